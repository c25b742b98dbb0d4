//! Whether a response is to be coded at all.

/// Bodies known to be shorter pass as they are: what is saved fits the packet it would have
/// taken anyway.
pub const LENGTH_MIN: u64 = 1024;

/// What a response's head says, as far as it matters here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The status code (RFC 9110, 15).
    pub status: u16,
    /// Whether the request was `HEAD`, so no body follows (RFC 9110, 9.3.2).
    pub is_head: bool,
    /// The value of `Content-Type` (RFC 9110, 8.3).
    pub content_type: Option<&'a [u8]>,
    /// The values of all `Content-Encoding` lines (RFC 9110, 8.4).
    pub content_encoding: &'a [&'a [u8]],
    /// The length of the body, where the head tells it (RFC 9110, 8.6).
    pub content_length: Option<u64>,
    /// The values of all `Cache-Control` lines (RFC 9111, 5.2).
    pub cache_control: &'a [&'a [u8]],
    /// Whether there is a `Content-Range` (RFC 9110, 14.4).
    pub has_content_range: bool,
}

/// Whether a response is to be coded, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Worth,
    /// It has no body: 1xx, 204, 205, 304, or the answer to `HEAD` (RFC 9110, 6.4.1).
    NoBody,
    /// It is part of a representation, whose ranges count bytes as they are (RFC 9110, 14.4).
    Partial,
    /// It is coded already (RFC 9110, 8.4).
    Encoded,
    /// `Cache-Control: no-transform` (RFC 9111, 5.2.2.6; RFC 9110, 7.7).
    NoTransform,
    /// Its type is unknown, does not get smaller, or is a stream of events or messages.
    Type,
    /// It is shorter than [`LENGTH_MIN`].
    Small,
}

/// Says whether to code a response.
///
/// It does not ask what the client takes; that is [`negotiate`](crate::negotiate).
pub fn verdict(facts: &Facts<'_>) -> Verdict {
    if facts.is_head || matches!(facts.status, 0..200 | 204 | 205 | 304) {
        Verdict::NoBody
    } else if facts.status == 206 || facts.has_content_range {
        Verdict::Partial
    } else if tokens(facts.content_encoding).any(|coding| !is(coding, "identity")) {
        Verdict::Encoded
    } else if tokens(facts.cache_control).any(|directive| is(directive, "no-transform")) {
        Verdict::NoTransform
    } else if !facts.content_type.is_some_and(gets_smaller) {
        Verdict::Type
    } else if facts.content_length.is_some_and(|length| length < LENGTH_MIN) {
        Verdict::Small
    } else {
        Verdict::Worth
    }
}

/// The items of a list (RFC 9110, 5.6.1). A comma in a quoted string cuts too, which can only
/// find a word that was quoted, and then the response passes as it is.
fn tokens<'a>(lines: &'a [&'a [u8]]) -> impl Iterator<Item = &'a [u8]> {
    let items = lines.iter().flat_map(|line| line.split(|b| *b == b','));
    items.map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

/// Types that are text in disguise, beside `text/*`, `*+json` and `*+xml`.
const TYPES: &[&str] = &[
    "application/dash+xml",
    "application/ecmascript",
    "application/graphql",
    "application/javascript",
    "application/json",
    "application/json-seq",
    "application/jsonl",
    "application/manifest",
    "application/ndjson",
    "application/rtf",
    "application/sql",
    "application/toml",
    "application/vnd.apple.mpegurl",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-javascript",
    "application/x-ndjson",
    "application/x-sh",
    "application/x-www-form-urlencoded",
    "application/x-yaml",
    "application/xml",
    "application/xml-dtd",
    "application/yaml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/x-icon",
    "image/vnd.microsoft.icon",
];

/// Whether bodies of this media type (RFC 9110, 8.3.1) get smaller, and may be touched.
fn gets_smaller(content_type: &[u8]) -> bool {
    let name = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if is(name, "text/event-stream") || starts(name, "application/grpc") {
        return false;
    }
    starts(name, "text/")
        || ends(name, "+json")
        || ends(name, "+xml")
        || ends(name, "+yaml")
        || TYPES.iter().any(|known| is(name, known))
}

fn is(name: &[u8], known: &str) -> bool {
    name.eq_ignore_ascii_case(known.as_bytes())
}

fn starts(name: &[u8], with: &str) -> bool {
    name.get(..with.len()).is_some_and(|start| is(start, with))
}

fn ends(name: &[u8], with: &str) -> bool {
    let at = name.len().checked_sub(with.len());
    at.and_then(|at| name.get(at..)).is_some_and(|end| is(end, with))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Lines = &'static [&'static [u8]];

    const HTML: Facts<'_> = Facts {
        status: 200,
        is_head: false,
        content_type: Some(b"text/html; charset=utf-8"),
        content_encoding: &[],
        content_length: None,
        cache_control: &[],
        has_content_range: false,
    };

    #[test]
    fn heads() {
        let length = |length| Facts { content_length: Some(length), ..HTML };
        let status = |status| Facts { status, ..HTML };
        #[rustfmt::skip]
        let table = [
            (HTML,                                             Verdict::Worth),
            (status(404),                                      Verdict::Worth),
            (status(500),                                      Verdict::Worth),
            (status(103),                                      Verdict::NoBody),
            (status(101),                                      Verdict::NoBody),
            (status(204),                                      Verdict::NoBody),
            (status(205),                                      Verdict::NoBody),
            (status(304),                                      Verdict::NoBody),
            (Facts { is_head: true, ..HTML },                  Verdict::NoBody),
            (status(206),                                      Verdict::Partial),
            (Facts { has_content_range: true, ..status(416) }, Verdict::Partial),
            (length(0),                                        Verdict::Small),
            (length(1023),                                     Verdict::Small),
            (length(1024),                                     Verdict::Worth),
            (length(u64::MAX),                                 Verdict::Worth),
            (Facts { content_type: None, ..HTML },             Verdict::Type),
        ];
        for (facts, want) in table {
            assert_eq!(verdict(&facts), want, "{facts:?}");
        }
    }

    #[test]
    fn lists() {
        #[rustfmt::skip]
        let table: &[(Lines, Lines, Verdict)] = &[
            // Content-Encoding                Cache-Control                      verdict
            (&[b"gzip"],                       &[],                               Verdict::Encoded),
            (&[b"unheard-of"],                 &[],                               Verdict::Encoded),
            (&[b"identity, br"],               &[],                               Verdict::Encoded),
            (&[b"identity", b"br"],            &[],                               Verdict::Encoded),
            (&[b"Identity"],                   &[],                               Verdict::Worth),
            (&[b""],                           &[],                               Verdict::Worth),
            (&[],                              &[b"no-transform"],                Verdict::NoTransform),
            (&[],                              &[b"max-age=1, No-Transform"],     Verdict::NoTransform),
            (&[],                              &[b"public", b"no-transform"],     Verdict::NoTransform),
            (&[],                              &[b"no-cache, no-store"],          Verdict::Worth),
            (&[],                              &[b"x-no-transform"],              Verdict::Worth),
        ];
        for (content_encoding, cache_control, want) in table {
            let facts = Facts { content_encoding, cache_control, ..HTML };
            assert_eq!(verdict(&facts), *want, "{facts:?}");
        }
    }

    #[test]
    fn types() {
        #[rustfmt::skip]
        let table = [
            ("text/html",                         true),
            ("TEXT/PLAIN;charset=utf-8",          true),
            ("text/css ; x=y",                    true),
            ("text/javascript",                   true),
            ("application/javascript",            true),
            ("application/json",                  true),
            ("application/problem+json",          true),
            ("application/ld+json; profile=x",    true),
            ("application/xml",                   true),
            ("application/atom+xml",              true),
            ("image/svg+xml",                     true),
            ("application/wasm",                  true),
            ("application/x-ndjson",              true),
            ("font/ttf",                          true),
            ("text/event-stream",                 false),
            ("Text/Event-Stream; charset=utf-8",  false),
            ("application/grpc",                  false),
            ("application/grpc+json",             false),
            ("application/grpc-web-text",         false),
            ("image/png",                         false),
            ("image/jpeg",                        false),
            ("font/woff2",                        false),
            ("video/mp4",                         false),
            ("application/zip",                   false),
            ("application/gzip",                  false),
            ("application/octet-stream",          false),
            ("application/pdf",                   false),
            ("multipart/byteranges; boundary=x",  false),
            ("application/jsonx",                 false),
            ("texthtml",                          false),
            ("",                                  false),
            (";",                                 false),
        ];
        for (name, want) in table {
            let facts = Facts { content_type: Some(name.as_bytes()), ..HTML };
            let want = if want { Verdict::Worth } else { Verdict::Type };
            assert_eq!(verdict(&facts), want, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_head_has_a_verdict(status: u16, kind: Vec<u8>, coding: Vec<u8>, cache: Vec<u8>) {
            let facts = Facts {
                status,
                content_type: Some(&kind),
                content_encoding: &[&coding],
                cache_control: &[&cache],
                ..HTML
            };
            verdict(&facts);
        }
    }
}
