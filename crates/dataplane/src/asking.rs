//! The head of a request that came in frames, kept until a response has begun.

use http::Method;
use http::header::{CONTENT_LENGTH, COOKIE, HeaderValue};
use http1::{HeadError, Limits, MessageSpace, RequestHead, RequestStart, Version, message_request};

/// One request's head.
#[derive(Debug)]
pub(crate) struct Asking {
    parts: http::request::Parts,
    version: Version,
    websocket: bool,
    /// Whether the stream ended with it.
    pub(crate) ended: bool,
}

impl Asking {
    /// `websocket` is whether `:protocol` says so, `ended` whether there is no body. In a box:
    /// it goes from hand to hand.
    pub(crate) fn new(
        version: Version,
        mut parts: http::request::Parts,
        websocket: bool,
        ended: bool,
    ) -> Box<Self> {
        join_cookies(&mut parts.headers);
        Box::new(Self { parts, version, websocket, ended })
    }

    /// Whether a body is the exception, so that it is worth to wait for the end of the stream:
    /// without a length it would have to be announced to the backend, even if there is none.
    pub(crate) fn is_hardly_with_body(&self) -> bool {
        match self.parts.headers.get(CONTENT_LENGTH) {
            Some(length) => length == "0",
            None => {
                let method = &self.parts.method;
                matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::DELETE)
            }
        }
    }

    /// As whoever decides reads it.
    pub(crate) fn head<'h, 'b: 'h>(
        &'b self,
        space: &'h mut MessageSpace<'b>,
    ) -> Result<RequestHead<'h>, HeadError> {
        let uri = &self.parts.uri;
        let start = RequestStart {
            version: self.version,
            method: self.parts.method.as_str().as_bytes(),
            https: uri.scheme() == Some(&http::uri::Scheme::HTTPS),
            authority: uri.authority().map(|authority| authority.as_str().as_bytes()),
            path: uri.path_and_query().map(|path| path.as_str().as_bytes()),
            websocket: self.websocket,
            ended: self.ended,
        };
        let fields = self.parts.headers.iter();
        let fields = fields.map(|(name, value)| (name.as_str(), value.as_bytes()));
        message_request(start, fields, &Limits::STANDARD, space)
    }
}

/// Frames may bring cookies in pieces, so that they compress; elsewhere they are one line
/// (RFC 9113, 8.2.3; RFC 9114, 4.2.1).
fn join_cookies(fields: &mut http::HeaderMap) {
    let pieces: Vec<&[u8]> = fields.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if pieces.len() < 2 {
        return;
    }
    // Of what are values, nothing else comes.
    if let Ok(line) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        fields.insert(COOKIE, line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_become_one_line() {
        for (pieces, expected) in [
            (&["a=1"][..], &["a=1"][..]),
            (&["a=1", "b=2"], &["a=1; b=2"]),
            (&["a=1", "b=2; c=3", ""], &["a=1; b=2; c=3; "]),
            (&[], &[]),
        ] {
            let mut fields = http::HeaderMap::new();
            for piece in pieces {
                fields.append(COOKIE, piece.parse().unwrap());
            }
            join_cookies(&mut fields);
            let lines: Vec<_> = fields.get_all(COOKIE).iter().collect();
            assert_eq!(lines, expected, "{pieces:?}");
        }
    }
}
