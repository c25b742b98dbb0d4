//! Header settings: what a route sets, appends or strips, on requests or responses (SPEC 5).

use std::fmt;

/// Longest header name, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Longest header value, in bytes.
const VALUE_BYTES_MAX: usize = 8192;

/// Which message a setting touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HeaderSide {
    /// On its way to the backend: `req:`.
    Request,
    /// On its way to the client: `resp:`, or no prefix.
    Response,
}

/// What a setting does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HeaderAction {
    /// Replaces whatever was there.
    Set,
    /// Adds one more field: `+`.
    Append,
    /// Removes what was there: `-`. The value means nothing.
    Strip,
}

/// What a setting is known by: a route's own overrides `ALL`'s of the same key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderKey {
    /// Which message.
    pub side: HeaderSide,
    /// The field's name in lower case.
    pub name: Box<str>,
}

/// One header setting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderRule {
    /// Which message.
    pub side: HeaderSide,
    /// What to do.
    pub action: HeaderAction,
    /// The field's name in the case it was given.
    pub name: Box<str>,
    /// The field's value.
    pub value: Box<str>,
}

/// Why a header may not be set. Reads on after the name of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not a token (RFC 9110, section 5.1), or too long.
    #[error("must be a field name of letters, digits and -_.!#$&'*+^`~ (at most 128 bytes)")]
    Name,
    /// A field that belongs to the connection or to message framing.
    #[error("must not be a hop-by-hop or framing header, Host or a pseudo header")]
    Reserved,
    /// Control characters, or too long.
    #[error("must hold no control characters and at most 8192 bytes")]
    Value,
}

/// Fields that belong to one connection or to the framing of a message, and are not for services
/// to set (RFC 9110, section 7.6.1; RFC 9112, section 6).
const RESERVED: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl HeaderRule {
    /// Reads a name as HEADERS_SET has it (`X-A`, `req:X-A`, `resp:+X-A`, `-X-A`) and a value.
    ///
    /// # Errors
    ///
    /// [`HeaderError`], saying what was wanted.
    pub fn parse(name: &str, value: &str) -> Result<Self, HeaderError> {
        let (side, action, name) = split(name);
        check_name(name)?;
        let clean = value.bytes().all(|b| b == b'\t' || (b >= 0x20 && b != 0x7f));
        if !clean || value.len() > VALUE_BYTES_MAX {
            return Err(HeaderError::Value);
        }
        let value = value.trim_matches([' ', '\t']);
        Ok(Self { side, action, name: name.into(), value: value.into() })
    }

    /// What the setting is known by.
    pub fn key(&self) -> HeaderKey {
        HeaderKey { side: self.side, name: self.name.to_ascii_lowercase().into() }
    }
}

impl HeaderKey {
    /// Reads the name that HEADERS_REMOVE gives; `+` and `-` mean nothing here.
    ///
    /// # Errors
    ///
    /// [`HeaderError::Name`].
    pub fn parse(name: &str) -> Result<Self, HeaderError> {
        let (side, _, name) = split(name);
        check_name(name)?;
        Ok(Self { side, name: name.to_ascii_lowercase().into() })
    }
}

impl fmt::Display for HeaderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            HeaderSide::Request => "req:",
            HeaderSide::Response => "",
        };
        write!(f, "{side}{}", self.name)
    }
}

fn split(text: &str) -> (HeaderSide, HeaderAction, &str) {
    let (side, rest) = if let Some(rest) = text.strip_prefix("req:") {
        (HeaderSide::Request, rest)
    } else {
        (HeaderSide::Response, text.strip_prefix("resp:").unwrap_or(text))
    };
    if let Some(name) = rest.strip_prefix('+') {
        (side, HeaderAction::Append, name)
    } else if let Some(name) = rest.strip_prefix('-') {
        (side, HeaderAction::Strip, name)
    } else {
        (side, HeaderAction::Set, rest)
    }
}

fn check_name(name: &str) -> Result<(), HeaderError> {
    if name.starts_with(':') || RESERVED.iter().any(|r| r.eq_ignore_ascii_case(name)) {
        return Err(HeaderError::Reserved);
    }
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`~".contains(&b);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(token) {
        return Err(HeaderError::Name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        use HeaderAction::{Append, Set, Strip};
        use HeaderSide::{Request, Response};
        let table = [
            ("X-A", Response, Set, "X-A"),
            ("resp:X-A", Response, Set, "X-A"),
            ("req:X-A", Request, Set, "X-A"),
            ("+X-A", Response, Append, "X-A"),
            ("req:-X-A", Request, Strip, "X-A"),
        ];
        for (text, side, action, name) in table {
            let rule = HeaderRule::parse(text, " 1\t").unwrap();
            assert_eq!((rule.side, rule.action, &*rule.name), (side, action, name), "{text}");
            assert_eq!(&*rule.value, "1");
            assert_eq!(HeaderKey::parse(text).unwrap(), rule.key(), "{text}");
        }
    }

    #[test]
    fn refused() {
        for name in RESERVED {
            let upper = name.to_ascii_uppercase();
            assert_eq!(HeaderRule::parse(&upper, ""), Err(HeaderError::Reserved), "{name}");
        }
        assert_eq!(HeaderRule::parse(":path", ""), Err(HeaderError::Reserved));
        for name in ["", "a b", "a:b", "ä", "req:", "+"] {
            assert_eq!(HeaderRule::parse(name, ""), Err(HeaderError::Name), "{name}");
        }
        for value in ["a\rb", "a\nb", "a\0b", "\x7f"] {
            assert_eq!(HeaderRule::parse("X", value), Err(HeaderError::Value), "{value:?}");
        }
        assert!(HeaderRule::parse("X", &"v".repeat(8192)).is_ok());
        assert_eq!(HeaderRule::parse("X", &"v".repeat(8193)), Err(HeaderError::Value));
    }
}
