//! Host names: what a route is staged for, and what a request asks for.

use std::borrow::Cow;
use std::fmt;

/// Longest host name, in bytes (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 253;
/// Longest label, in bytes (RFC 1035, section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// The hosts a route answers for, folded to lower case and A-labels (SPEC 3).
///
/// The order of the variants is the order of precedence: an earlier one is more specific.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// One host: `api.example.com`.
    Exact(Box<str>),
    /// `*.example.com`: exactly one more label. Holds `example.com`.
    OneLabel(Box<str>),
    /// `**.example.com`: one more label or several. Holds `example.com`.
    AnyDepth(Box<str>),
    /// `*`: every host, and requests without one.
    Any,
}

/// Why a text names no host. Reads on after the name of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing there.
    #[error("must name at least one host")]
    Empty,
    /// A label or the whole is too long, a label is empty, or a character is not allowed.
    #[error("must be host names such as api.example.com, *.example.com, **.example.com or *")]
    Malformed,
    /// A port or a scheme was given along.
    #[error("must be a host name alone, without port, scheme or path")]
    NotOnlyAHost,
}

impl HostPattern {
    /// Reads a pattern; non-ASCII names become A-labels (UTS 46).
    ///
    /// # Errors
    ///
    /// [`HostError`], saying what was wanted.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(rest) = text.strip_prefix("**.") {
            return host(rest).map(Self::AnyDepth);
        }
        if let Some(rest) = text.strip_prefix("*.") {
            return host(rest).map(Self::OneLabel);
        }
        host(text).map(Self::Exact)
    }

    /// Whether a request for `host`, as [`normalize_authority`] gives it, is meant.
    pub fn matches(&self, host: &str) -> bool {
        let above = |suffix: &str| host.strip_suffix(suffix)?.strip_suffix('.');
        match self {
            Self::Exact(name) => **name == *host,
            Self::OneLabel(suffix) => {
                above(suffix).is_some_and(|label| !label.is_empty() && !label.contains('.'))
            }
            Self::AnyDepth(suffix) => above(suffix).is_some_and(|labels| !labels.is_empty()),
            Self::Any => true,
        }
    }

    /// How specific the pattern is, greater is more: exact, one label, any depth, any; among
    /// wildcards of one kind the longer suffix.
    pub fn specificity(&self) -> (u8, usize) {
        match self {
            Self::Exact(_) => (3, 0),
            Self::OneLabel(suffix) => (2, suffix.len()),
            Self::AnyDepth(suffix) => (1, suffix.len()),
            Self::Any => (0, 0),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::OneLabel(suffix) => write!(f, "*.{suffix}"),
            Self::AnyDepth(suffix) => write!(f, "**.{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

fn host(text: &str) -> Result<Box<str>, HostError> {
    if text.contains(['/', '@', '?', '#']) {
        return Err(HostError::NotOnlyAHost);
    }
    if let Some(inner) = text.strip_prefix('[') {
        let address = inner.strip_suffix(']').ok_or(HostError::NotOnlyAHost)?;
        let address: std::net::Ipv6Addr = address.parse().map_err(|_| HostError::Malformed)?;
        return Ok(format!("[{address}]").into());
    }
    if text.contains(':') {
        return Err(HostError::NotOnlyAHost);
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    let name = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii(text).map_err(|_| HostError::Malformed)?
    };
    if is_host_name(name.as_bytes()) { Ok(name.into()) } else { Err(HostError::Malformed) }
}

/// Lower-case letters, digits, `-` and `_` in labels of 1 to 63 bytes, 253 in all. Underscores
/// are no host names by the book, yet container networks are full of them.
fn is_host_name(name: &[u8]) -> bool {
    // Of the label that the byte is in.
    let mut len = 0;
    for byte in name {
        len = match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' if len < LABEL_BYTES_MAX => len + 1,
            b'.' if len > 0 => 0,
            _ => return false,
        };
    }
    len > 0 && name.len() <= HOST_BYTES_MAX
}

/// The host of a request's authority (`Host`, `:authority`), as routes are looked up: without
/// port and one trailing dot, folded to lower case. Allocates only when something had to change.
///
/// `None` when it is no host: non-ASCII, user information, an empty name, a port that is no
/// number. The request is then answered 400 (SPEC 12, "Paths").
pub fn normalize_authority(authority: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(authority).ok().filter(|t| t.is_ascii())?;
    if let Some(v6) = text.strip_prefix('[') {
        let (address, port) = v6.split_once(']')?;
        let address: std::net::Ipv6Addr = address.parse().ok()?;
        let plain = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return plain.then(|| Cow::Owned(format!("[{address}]")));
    }
    let name = match text.split_once(':') {
        Some((name, port)) if is_port(port) => name,
        Some(_) => return None,
        None => text,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if is_host_name(name.as_bytes()) {
        return Some(Cow::Borrowed(name));
    }
    let folded = name.to_ascii_lowercase();
    is_host_name(folded.as_bytes()).then_some(Cow::Owned(folded))
}

/// RFC 3986 lets a port be empty.
fn is_port(text: &str) -> bool {
    text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let table = [
            ("API.Example.com", "api.example.com"),
            ("api.example.com.", "api.example.com"),
            (" a.b ", "a.b"),
            ("*.example.com", "*.example.com"),
            ("**.Example.com", "**.example.com"),
            ("*", "*"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("my_service", "my_service"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[0:0::1]", "[::1]"),
        ];
        for (text, shown) in table {
            assert_eq!(HostPattern::parse(text).unwrap().to_string(), shown, "{text}");
        }
        let long_label = "x".repeat(64);
        let bad = [
            "a..b",
            ".a",
            "*.",
            "a.*.b",
            "a b",
            "***.a",
            "*a",
            "..",
            long_label.as_str(),
            "a\u{0}b",
        ];
        for text in bad {
            assert_eq!(HostPattern::parse(text), Err(HostError::Malformed), "{text}");
        }
        for text in ["a:80", "http://a", "a/b", "u@a", "[::1]:80"] {
            assert_eq!(HostPattern::parse(text), Err(HostError::NotOnlyAHost), "{text}");
        }
        assert_eq!(HostPattern::parse(""), Err(HostError::Empty));
    }

    #[test]
    fn wildcards() {
        let table = [
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.b.example.com", false),
            ("**.example.com", "a.b.example.com", true),
            ("**.example.com", "example.com", false),
            ("**.example.com", "notexample.com", false),
            ("*.example.com", "xexample.com", false),
            ("*", "anything", true),
            ("*", "", true),
        ];
        for (pattern, host, matches) in table {
            assert_eq!(
                HostPattern::parse(pattern).unwrap().matches(host),
                matches,
                "{pattern} {host}"
            );
        }
    }

    #[test]
    fn authorities() {
        let table: [(&[u8], Option<&str>); 14] = [
            (b"api.example.com", Some("api.example.com")),
            (b"API.example.com:8080", Some("api.example.com")),
            (b"api.example.com.", Some("api.example.com")),
            (b"api.example.com.:80", Some("api.example.com")),
            (b"api.example.com:", Some("api.example.com")),
            (b"[::1]:80", Some("[::1]")),
            (b"[::1]", Some("[::1]")),
            (b"", None),
            (b"a..b", None),
            (b"user@a", None),
            (b"a:80:80", None),
            (b"a:x", None),
            ("b\u{fc}cher.de".as_bytes(), None),
            (b"[::1]x", None),
        ];
        for (text, host) in table {
            assert_eq!(normalize_authority(text).as_deref(), host, "{:?}", text.escape_ascii());
        }
    }
}
