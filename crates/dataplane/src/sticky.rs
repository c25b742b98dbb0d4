//! The cookie that keeps a client at one endpoint (SPEC 4: `sticky=cookie`).
//!
//! `proxyd=<endpoint>.<client>`, sixteen hexadecimal digits each. The first is a hash of the
//! endpoint's identity: it names no address and is the same on every machine and after every
//! restart. The second tells clients of one endpoint apart, so that each leaves a draining one at
//! a moment of its own.

use http1::{Fields, Known};
use routing::Sticky;

/// Cookies of one name that are looked at; a client may send the name twice.
const COOKIES_MAX: usize = 8;

/// What a client brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cookie {
    pub(crate) token: u64,
    client: u64,
}

impl Cookie {
    pub(crate) fn sticky(self) -> Sticky {
        Sticky { token: self.token, client: self.client }
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let value = std::str::from_utf8(value).ok()?;
        let (token, client) = value.split_once('.')?;
        let number = |text: &str| {
            let fits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            fits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
        };
        Some(Self { token: number(token)?, client: number(client)? })
    }
}

/// The cookie of this name, if the request has one that reads as ours.
pub(crate) fn find(fields: Fields<'_>, name: &str) -> Option<Cookie> {
    fields
        .filter(|field| field.known == Known::Cookie)
        .flat_map(|field| field.value.split(|byte| *byte == b';'))
        .filter_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
        .take(COOKIES_MAX)
        .find_map(|value| Cookie::parse(value.trim_ascii()))
}

/// The field value that sets it.
pub(crate) fn set(name: &str, token: u64) -> Box<str> {
    let client = fastrand::u64(..);
    format!("{name}={token:016x}.{client:016x}; Path=/; HttpOnly; SameSite=Lax").into()
}

#[cfg(test)]
mod tests {
    use http1::{HeadSpace, Limits, Scan, parse_request};

    use super::*;

    #[test]
    fn only_what_was_set_here_is_believed() {
        let cookie = "proxyd=00000000000000ff.0000000000000001";
        let found = Some(Cookie { token: 255, client: 1 });
        for (line, expected) in [
            (cookie.to_owned(), found),
            (format!("a=b; {cookie}; c=d"), found),
            (format!("proxyd=x; {cookie}"), found),
            ("xproxyd=00000000000000ff.0000000000000001".to_owned(), None),
            ("proxyd=00000000000000ff".to_owned(), None),
            ("proxyd=00000000000000ff.+000000000000001".to_owned(), None),
            ("proxyd=ff.1".to_owned(), None),
            (String::new(), None),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {line}\r\n\r\n");
            let mut space = HeadSpace::new();
            let limits = &Limits::STANDARD;
            let head = parse_request(head.as_bytes(), &mut Scan::new(), limits, &mut space);
            let head = head.unwrap().unwrap();
            assert_eq!(find(head.fields(), "proxyd"), expected, "{line}");
        }
        let set = set("proxyd", 255);
        let value = set.split(';').next().unwrap().strip_prefix("proxyd=").unwrap();
        assert_eq!(Cookie::parse(value.as_bytes()).unwrap().token, 255);
    }
}
