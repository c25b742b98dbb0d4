//! Words of a manifest that end up in paths and commands.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// Longest name or version, in bytes.
const ID_BYTES_MAX: usize = 64;

/// Why a word will not do. Reads on after the name of the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing is left of it, or it begins with a dot or a dash.
    #[error("must begin with a letter or digit")]
    Beginning,
    /// Longer than allowed.
    #[error("must have at most {ID_BYTES_MAX} bytes")]
    TooLong,
    /// What cannot name a program or a library.
    #[error("must be letters, digits, `.`, `_`, `+`, `-`")]
    Needed,
    /// No span of time.
    #[error("{0}")]
    Duration(wire::duration::DurationError),
    /// Zero, or longer than is waited for.
    #[error("must be from 1 second to 10 minutes")]
    Seconds,
}

/// A name or a version, ready to be a part of a file name: letters, digits, `-`, `_`; in versions
/// `.` too. Anything else became `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(Box<str>);

impl Id {
    /// Reads the name of a package.
    ///
    /// # Errors
    ///
    /// [`TextError::Beginning`], [`TextError::TooLong`].
    pub fn name(text: &str) -> Result<Self, TextError> {
        Self::of(text, |c| matches!(c, '-' | '_'))
    }

    /// Reads its version.
    ///
    /// # Errors
    ///
    /// As [`Id::name`].
    pub fn version(text: &str) -> Result<Self, TextError> {
        Self::of(text, |c| matches!(c, '-' | '_' | '.'))
    }

    /// As it stands in file names.
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    fn of(text: &str, other: impl Fn(char) -> bool) -> Result<Self, TextError> {
        let kept = |c: char| c.is_ascii_alphanumeric() || other(c);
        let text: String = text.chars().map(|c| if kept(c) { c } else { '_' }).collect();
        if text.len() > ID_BYTES_MAX {
            return Err(TextError::TooLong);
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(TextError::Beginning);
        }
        Ok(Self(text.into()))
    }
}

/// A program or a library that the host must have: no path, and nothing that a shell would read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Needed(Box<str>);

impl Needed {
    /// As the manifest has it.
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Needed {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
        if text.len() > ID_BYTES_MAX {
            return Err(TextError::TooLong);
        }
        if text.is_empty() || text.starts_with('-') || !text.chars().all(fits) {
            return Err(TextError::Needed);
        }
        Ok(Self(text.into()))
    }
}

/// How long is waited, in whole seconds: what every shell can sleep. Rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(u16);

impl Seconds {
    const MAX: u16 = 600;

    pub(crate) const fn of(seconds: u16) -> Self {
        Self(seconds)
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The same as a span of time.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }

    fn whole(seconds: u64) -> Result<Self, TextError> {
        let fits = u16::try_from(seconds).ok().filter(|seconds| (1..=Self::MAX).contains(seconds));
        fits.map(Self).ok_or(TextError::Seconds)
    }
}

/// `10s`, `1m30s`, or a number of seconds.
impl FromStr for Seconds {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let span = wire::duration::parse(text).map_err(TextError::Duration)?;
        Self::whole(span.as_secs() + u64::from(span.subsec_nanos() > 0))
    }
}

/// As text or as a number: both are how people write it.
impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Seconds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 10s, or a number of seconds")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Seconds, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Seconds, E> {
                Seconds::whole(seconds).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Seconds, E> {
                Seconds::whole(seconds.try_into().unwrap_or(0)).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_keep_what_file_names_may_have() {
        #[rustfmt::skip]
        let table = [
            // text        name                        version
            ("web",        Ok("web"),                  Ok("web")),
            ("1.2.3-rc.1", Ok("1_2_3-rc_1"),           Ok("1.2.3-rc.1")),
            ("my shop",    Ok("my_shop"),              Ok("my_shop")),
            ("a/../b",     Ok("a____b"),               Ok("a_.._b")),
            ("caf\u{e9}",  Ok("caf_"),                 Ok("caf_")),
            ("a'; rm -rf", Ok("a___rm_-rf"),           Ok("a___rm_-rf")),
            ("",           Err(TextError::Beginning),  Err(TextError::Beginning)),
            ("..",         Err(TextError::Beginning),  Err(TextError::Beginning)),
            ("-rf",        Err(TextError::Beginning),  Err(TextError::Beginning)),
        ];
        for (text, name, version) in table {
            assert_eq!(Id::name(text).as_ref().map(Id::as_str), name.as_ref().copied(), "{text}");
            let read = Id::version(text);
            assert_eq!(read.as_ref().map(Id::as_str), version.as_ref().copied(), "{text}");
        }
        assert!(Id::name(&"a".repeat(64)).is_ok());
        assert_eq!(Id::name(&"a".repeat(65)), Err(TextError::TooLong));
    }

    #[test]
    fn what_a_host_needs_is_nothing_that_a_shell_reads() {
        for text in ["sh", "python3.11", "g++", "libssl.so.3"] {
            assert!(Needed::try_from(text.to_owned()).is_ok(), "{text}");
        }
        for text in ["", "-v", "a b", "a;b", "/bin/sh", "$(x)", "a\nb"] {
            assert!(Needed::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn waits_are_whole_seconds() {
        let table = [("10s", 10), ("90", 90), ("1m30s", 90), ("100ms", 1), ("10m", 600)];
        for (text, seconds) in table {
            assert_eq!(text.parse::<Seconds>().unwrap().get(), seconds, "{text}");
        }
        for text in ["0", "0s", "601", "11m", "soon", ""] {
            assert!(text.parse::<Seconds>().is_err(), "{text}");
        }
    }
}
