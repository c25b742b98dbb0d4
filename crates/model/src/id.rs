//! Names and numbers that identify things.

use std::fmt;
use std::sync::Arc;

/// Longest service, instance or session name, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// Longest transaction id, in bytes (SPEC 2.2).
const TXN_BYTES_MAX: usize = 64;

/// Why a text is no identifier. Reads on after the name of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing there.
    #[error("must not be empty")]
    Empty,
    /// Longer than allowed.
    #[error("must be at most {0} bytes long")]
    TooLong(usize),
    /// A control character, a space or a pipe.
    #[error("must hold no spaces, pipes or control characters")]
    Character,
}

fn checked(text: &str) -> Result<Arc<str>, IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(IdError::TooLong(NAME_BYTES_MAX));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '|') {
        return Err(IdError::Character);
    }
    Ok(text.into())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks a name: 1 to 255 bytes, no spaces, pipes or control characters.
            ///
            /// # Errors
            ///
            /// [`IdError`], saying what is wrong.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                checked(text).map(Self)
            }

            /// The name as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

macro_rules! shown {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

name! {
    /// The logical name of a service, shared by its instances.
    ServiceName
}
shown!(ServiceName);

name! {
    /// One running instance of a service. A v1 instance is `hostname:service_port` (SPEC 2.3).
    InstanceName
}
shown!(InstanceName);

name! {
    /// A bearer secret that names a session: whoever holds it may reconnect to it.
    ///
    /// Shown in logs by [`SessionId::redacted`] only; `Debug` does the same.
    SessionId
}

impl SessionId {
    /// The id without its random part, for logs: `api-v2-9000-1734532800-…`.
    pub fn redacted(&self) -> String {
        match self.0.rsplit_once('-') {
            Some((head, _)) => format!("{head}-…"),
            None => "…".to_owned(),
        }
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

/// What a client put into a command to find its answer again, 1–64 bytes of `[A-Za-z0-9._:-]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxnId(Arc<str>);
shown!(TxnId);

impl TxnId {
    /// Reads a transaction id; `None` for what cannot be one (SPEC 2.2): wrong characters or
    /// length, `ALL`, `compressed`, or a route id.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=TXN_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b));
        let reserved = text == "ALL" || text == "compressed" || RouteId::parse(text).is_some();
        (fits && !reserved).then(|| Self(text.into()))
    }

    /// The id as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A route, unique in the proxy, never used again: `r1`, `r2`, ...
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub u64);

impl RouteId {
    /// Reads `r` and a decimal number without leading zeros.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('r')?;
        let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        plain.then(|| digits.parse().ok().map(Self))?
    }
}

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// A connection to the registry, numbered by the shell that accepted it, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// The number of a publication. Grows with each one, survives restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a session speaks: decided at REGISTER (SPEC 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// Commands take effect at once; never a line that was not asked for.
    V1,
    /// Staged configuration, transaction ids, events.
    V2,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn route_ids() {
        for (text, id) in [("r1", Some(1)), ("r10", Some(10)), ("r", None), ("r0", None)] {
            assert_eq!(RouteId::parse(text), id.map(RouteId), "{text}");
        }
        for text in ["r01", "R1", "1", "r-1", "r+1", "r1x", "r99999999999999999999"] {
            assert_eq!(RouteId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn transaction_ids() {
        let longest = "x".repeat(64);
        let too_long = "x".repeat(65);
        for good in ["t1", "a.b_c:d-e", "9", longest.as_str(), "all", "r", "r0"] {
            assert!(TxnId::parse(good).is_some(), "{good}");
        }
        for bad in ["", "ALL", "compressed", "r1", "a b", "a/b", "ä", too_long.as_str()] {
            assert!(TxnId::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_session_id_hides_its_secret() {
        let id = SessionId::parse("api-v2-9000-1734532800-secret").unwrap();
        assert_eq!(format!("{id:?}"), "api-v2-9000-1734532800-…");
    }

    #[test]
    fn names_are_bounded() {
        assert!(ServiceName::parse(&"x".repeat(255)).is_ok());
        assert_eq!(ServiceName::parse(&"x".repeat(256)), Err(IdError::TooLong(255)));
        assert_eq!(ServiceName::parse(""), Err(IdError::Empty));
        for bad in ["a b", "a|b", "a\tb", "a\0b"] {
            assert_eq!(ServiceName::parse(bad), Err(IdError::Character), "{bad:?}");
        }
    }
}
