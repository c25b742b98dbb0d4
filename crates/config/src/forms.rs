//! The forms that values have in the file, and what is said to whoever writes another.

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::raw::Demand;

/// A value that is written as a text.
pub(crate) trait Form: Sized {
    /// Follows on "expected".
    const WANT: &'static str;

    /// # Errors
    ///
    /// What is wrong with the text, for a person.
    fn parse(text: &str) -> Result<Self, String>;

    /// What to write instead of a number, where that is known.
    fn instead_of(_number: i64) -> Option<String> {
        None
    }
}

impl Form for SocketAddr {
    const WANT: &'static str = "an address with a port such as \"127.0.0.1:80\"";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| {
            format!(
                "{text:?} is no address with a port: write it like \"127.0.0.1:80\" or \"[::1]:80\""
            )
        })
    }

    fn instead_of(number: i64) -> Option<String> {
        u16::try_from(number).ok().map(|port| format!("write \"0.0.0.0:{port}\""))
    }
}

impl Form for IpNet {
    const WANT: &'static str = "an address or a network such as \"10.0.0.0/8\"";

    fn parse(text: &str) -> Result<Self, String> {
        let network = text.parse::<Self>();
        let network = network.or_else(|_| text.parse::<IpAddr>().map(Self::from));
        network
            .map(|network| network.trunc())
            .map_err(|_| "want an address or a network like 10.0.0.0/8".to_owned())
    }
}

/// As it is written, to the last bit: whoever hands out addresses from it must not guess.
impl Form for Ipv4Net {
    const WANT: &'static str = "a network of IPv4 such as \"10.42.0.0/16\"";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "want a network of IPv4 like 10.42.0.0/16".to_owned())
    }
}

impl Form for Duration {
    const WANT: &'static str = "a duration such as \"30s\"";

    fn parse(text: &str) -> Result<Self, String> {
        wire::duration::parse_positive(text).map_err(|error| error.to_string())
    }

    fn instead_of(number: i64) -> Option<String> {
        Some(format!("a duration has a unit: write \"{number}s\""))
    }
}

impl Form for PathBuf {
    const WANT: &'static str = "the path of a file, in quotes";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains('\0') {
            return Err("want the path of a file".to_owned());
        }
        Ok(text.into())
    }
}

impl Form for String {
    const WANT: &'static str = "a text in quotes";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl Form for Demand {
    const WANT: &'static str = "\"required\" or \"optional\"";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "required" => Ok(Self::Required),
            "optional" => Ok(Self::Optional),
            _ => Err(format!("want \"required\" or \"optional\", not {text:?}")),
        }
    }
}

/// For `deserialize_with`: one value.
pub(crate) fn given<'de, T: Form, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    one(from).map(Some)
}

/// For `deserialize_with`: one value that must be there.
pub(crate) fn one<'de, T: Form, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    One::deserialize(from).map(|One(value)| value)
}

/// For `deserialize_with`: a list of values.
pub(crate) fn list<'de, T: Form, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Vec<T>>, D::Error> {
    from.deserialize_any(Many(PhantomData)).map(Some)
}

/// For `deserialize_with`: how many there may be.
pub(crate) fn count<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    from.deserialize_any(Count).map(Some)
}

struct One<T>(T);

impl<'de, T: Form> Deserialize<'de> for One<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Text(PhantomData)).map(Self)
    }
}

struct Text<T>(PhantomData<T>);

impl<'de, T: Form> Visitor<'de> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WANT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::parse(text).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        Err(match T::instead_of(number) {
            Some(instead) => E::custom(instead),
            None => E::invalid_type(serde::de::Unexpected::Signed(number), &self),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        let first = list.next_element::<String>().ok().flatten();
        Err(A::Error::custom(match first {
            Some(first) => format!("want one value and no list: write {first:?}"),
            None => format!("want one value and no list: {}", T::WANT),
        }))
    }
}

struct Many<T>(PhantomData<T>);

impl<'de, T: Form> Visitor<'de> for Many<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list in brackets, each one {}", T::WANT)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(One(value)) = list.next_element()? {
            all.push(value);
        }
        Ok(all)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
        T::parse(text).map_err(E::custom)?;
        Err(E::custom(format!("want a list: write [{text:?}]")))
    }
}

struct Count;

impl Visitor<'_> for Count {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, without quotes")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<usize, E> {
        let unexpected = serde::de::Unexpected::Signed(number);
        usize::try_from(number).map_err(|_| E::invalid_value(unexpected, &self))
    }
}
