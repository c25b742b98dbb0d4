//! The request target and the authority in it (RFC 9112, 3.2).

use std::net::Ipv6Addr;

use crate::{HeadError, Verb};

/// Which of the four forms a request target has, and its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'b> {
    /// `/path?query`: the usual one. The whole target.
    Origin(&'b [u8]),
    /// `http://host/path?query`, as sent to proxies.
    Absolute {
        /// Whether the scheme is `https` and not `http`.
        https: bool,
        /// Host and port; no user information.
        authority: Authority<'b>,
        /// `/path?query`; `/` where the target ends after the authority, `*` for OPTIONS then.
        path_and_query: &'b [u8],
    },
    /// `host:port`, only with CONNECT.
    Authority(Authority<'b>),
    /// `*`, only with OPTIONS.
    Asterisk,
}

/// A host and perhaps a port, as in the `Host` field (RFC 9110, 7.2).
///
/// Narrower than the grammar of RFC 3986: letters, digits, hyphen, dot and underscore, or an
/// IPv6 address in brackets. No user information, no percent-encoding, no empty port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'b> {
    /// As sent, port included.
    pub raw: &'b [u8],
    /// The host alone, in the sender's case; never empty. An IPv6 address keeps its brackets.
    pub name: &'b [u8],
    /// The port, if one is given.
    pub port: Option<u16>,
}

impl<'b> Target<'b> {
    /// Reads the target of a `verb` request.
    ///
    /// A path holds visible ASCII without the bytes that must be percent-encoded there, on
    /// which servers differ: `"`, `#`, `<`, `>`, `\` and the backtick. A query may hold
    /// the latter two, since browsers send them as they are.
    pub(crate) fn parse(target: &'b [u8], verb: Verb) -> Result<Target<'b>, HeadError> {
        if verb == Verb::Connect {
            return match Authority::parse(target) {
                Some(authority) if authority.port.is_some() => Ok(Target::Authority(authority)),
                Some(_) | None => Err(HeadError::Target("of CONNECT is not `host:port`")),
            };
        }
        match target {
            [b'/', ..] => path_and_query(target).map(Target::Origin),
            b"*" if verb == Verb::Options => Ok(Target::Asterisk),
            b"*" => Err(HeadError::Target("`*` is for OPTIONS alone")),
            _ => absolute(target, verb),
        }
    }
}

impl<'b> Authority<'b> {
    /// Reads `host` or `host:port`.
    pub(crate) fn parse(raw: &'b [u8]) -> Option<Authority<'b>> {
        let name_len = match raw {
            [b'[', rest @ ..] => {
                let len = memchr::memchr(b']', rest)?;
                str::from_utf8(&rest[..len]).ok()?.parse::<Ipv6Addr>().ok()?;
                len + 2
            }
            _ => raw.iter().position(|b| !is_host(*b)).unwrap_or(raw.len()),
        };
        let (name, rest) = raw.split_at(name_len);
        let port = match rest {
            [] => None,
            [b':', digits @ ..] => Some(port(digits)?),
            _ => return None,
        };
        (!name.is_empty()).then_some(Authority { raw, name, port })
    }

    /// Whether both name the same server, `default` being the port of the scheme.
    pub(crate) fn is_same(&self, other: &Authority<'_>, default: u16) -> bool {
        self.name.eq_ignore_ascii_case(other.name)
            && self.port.unwrap_or(default) == other.port.unwrap_or(default)
    }
}

fn absolute(target: &[u8], verb: Verb) -> Result<Target<'_>, HeadError> {
    let Some((https, rest)) = scheme(target) else {
        return Err(HeadError::Target("is neither a path nor an http or https URL"));
    };
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let Some(authority) = Authority::parse(authority) else {
        return Err(HeadError::Target("has no plain `host` or `host:port` in it"));
    };
    let path_and_query = match path {
        [] if verb == Verb::Options => b"*",
        [] => b"/",
        [b'/', ..] => path_and_query(path)?,
        _ => return Err(HeadError::Target("has no path before its query")),
    };
    Ok(Target::Absolute { https, authority, path_and_query })
}

fn scheme(target: &[u8]) -> Option<(bool, &[u8])> {
    for (https, scheme) in [(false, &b"http://"[..]), (true, b"https://")] {
        if let Some((start, rest)) = target.split_at_checked(scheme.len())
            && start.eq_ignore_ascii_case(scheme)
        {
            return Some((https, rest));
        }
    }
    None
}

fn path_and_query(bytes: &[u8]) -> Result<&[u8], HeadError> {
    let path_ends = bytes.iter().position(|b| CLASS[usize::from(*b)] & IN_PATH == 0);
    let Some(path_ends) = path_ends else { return Ok(bytes) };
    let query = &bytes[path_ends + 1..];
    let good =
        bytes[path_ends] == b'?' && query.iter().all(|b| CLASS[usize::from(*b)] & IN_QUERY != 0);
    if good {
        Ok(bytes)
    } else {
        Err(HeadError::Target("has a byte in it that must be percent-encoded"))
    }
}

/// A port in decimal; `u16::from_str` would let a sign through.
fn port(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

const fn is_host(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_')
}

const IN_PATH: u8 = 1;
const IN_QUERY: u8 = 2;

/// Where in a target a byte may occur.
const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        class[byte as usize] = match byte {
            b'"' | b'#' | b'<' | b'>' => 0,
            b'?' | b'\\' | b'`' => IN_QUERY,
            _ => IN_PATH | IN_QUERY,
        };
        byte += 1;
    }
    class
};

#[cfg(test)]
mod tests {
    use super::{Authority, Target};
    use crate::Verb;

    #[test]
    fn forms() {
        #[rustfmt::skip]
        let table: [(Verb, &str, &str); 44] = [
            // method        target                 form
            (Verb::Get,     "/",                    "origin /"),
            (Verb::Get,     "//a/b",                "origin //a/b"),
            (Verb::Get,     "/a;b=c/..%2F?d?/e",    "origin /a;b=c/..%2F?d?/e"),
            (Verb::Get,     "/a|b^{}[]?`\\'",       "origin /a|b^{}[]?`\\'"),
            (Verb::Get,     "/?",                   "origin /?"),
            (Verb::Options, "/",                    "origin /"),
            (Verb::Options, "*",                    "asterisk"),
            (Verb::Get,     "http://a/b?c",         "absolute a /b?c"),
            (Verb::Get,     "HTTP://A:8080",        "absolute A:8080 /"),
            (Verb::Get,     "https://a.b:1/",       "absolute a.b:1 /"),
            (Verb::Options, "http://a",             "absolute a *"),
            (Verb::Options, "http://a/",            "absolute a /"),
            (Verb::Get,     "http://[::1]:8/x",     "absolute [::1]:8 /x"),
            (Verb::Connect, "a:443",                "authority a:443"),
            (Verb::Connect, "[::1]:443",            "authority [::1]:443"),
            (Verb::Get,     "*",                    "-"),
            (Verb::Options, "**",                   "-"),
            (Verb::Get,     "",                     "-"),
            (Verb::Get,     "a",                    "-"),
            (Verb::Get,     "a:443",                "-"),
            (Verb::Get,     "?a",                   "-"),
            (Verb::Get,     "/a#b",                 "-"),
            (Verb::Get,     "/a?b#c",               "-"),
            (Verb::Get,     "/a\\..\\b",            "-"),
            (Verb::Get,     "/a`b",                 "-"),
            (Verb::Get,     "/a\"b",                "-"),
            (Verb::Get,     "/?a\"b",               "-"),
            (Verb::Get,     "/<a>",                 "-"),
            (Verb::Get,     "/?<a>",                "-"),
            (Verb::Get,     "/\u{e9}",              "-"),
            (Verb::Get,     "/?\u{e9}",             "-"),
            (Verb::Get,     "/a\tb",                "-"),
            (Verb::Get,     "/a b",                 "-"),
            (Verb::Get,     "/a\0",                 "-"),
            (Verb::Get,     "/\u{7f}",              "-"),
            (Verb::Get,     "ftp://a/",             "-"),
            (Verb::Get,     "http:/a",              "-"),
            (Verb::Get,     "http://",              "-"),
            (Verb::Get,     "http:///a",            "-"),
            (Verb::Get,     "http://a?b",           "-"),
            (Verb::Get,     "http://u@a/",          "-"),
            (Verb::Get,     "http://a#b",           "-"),
            (Verb::Connect, "a",                    "-"),
            (Verb::Connect, "/",                    "-"),
        ];
        for (verb, target, wanted) in table {
            let form = match Target::parse(target.as_bytes(), verb) {
                Ok(Target::Origin(path)) => format!("origin {}", path.escape_ascii()),
                Ok(Target::Absolute { authority, path_and_query, .. }) => format!(
                    "absolute {} {}",
                    authority.raw.escape_ascii(),
                    path_and_query.escape_ascii()
                ),
                Ok(Target::Authority(a)) => format!("authority {}", a.raw.escape_ascii()),
                Ok(Target::Asterisk) => "asterisk".to_owned(),
                Err(_) => "-".to_owned(),
            };
            let wanted = wanted.as_bytes().escape_ascii().to_string();
            assert_eq!(form.replace("\\\\", "\\"), wanted.replace("\\\\", "\\"), "{target:?}");
        }
    }

    type NameAndPort = Option<(&'static str, Option<u16>)>;

    #[test]
    fn authorities() {
        #[rustfmt::skip]
        let table: [(&str, NameAndPort); 27] = [
            ("a",                Some(("a", None))),
            ("A-b_c.D.",         Some(("A-b_c.D.", None))),
            ("a:0",              Some(("a", Some(0)))),
            ("a:65535",          Some(("a", Some(65535)))),
            ("127.0.0.1:80",     Some(("127.0.0.1", Some(80)))),
            ("[::1]",            Some(("[::1]", None))),
            ("[2001:db8::1]:8",  Some(("[2001:db8::1]", Some(8)))),
            ("",                 None),
            (":80",              None),
            ("a:",               None),
            ("a:65536",          None),
            ("a:000080",         None),
            ("a:+80",            None),
            ("a:80:80",          None),
            ("a b",              None),
            ("a,b",              None),
            ("a/b",              None),
            ("a@b",              None),
            ("u:p@b",            None),
            ("a%2eb",            None),
            ("b\u{fc}cher",      None),
            ("::1",              None),
            ("[::1",             None),
            ("[]",               None),
            ("[a]",              None),
            ("[fe80::1%eth0]",   None),
            ("[::1]80",          None),
        ];
        for (raw, wanted) in table {
            let parsed = Authority::parse(raw.as_bytes());
            let parts = parsed.as_ref().map(|a| (str::from_utf8(a.name).unwrap(), a.port));
            assert_eq!(parts, wanted, "{raw}");
        }
    }

    #[test]
    fn a_default_port_need_not_be_written() {
        let parse = |raw: &'static str| Authority::parse(raw.as_bytes()).unwrap();
        assert!(parse("a").is_same(&parse("A:80"), 80));
        assert!(!parse("a").is_same(&parse("a:80"), 443));
        assert!(!parse("a").is_same(&parse("b"), 80));
    }
}
