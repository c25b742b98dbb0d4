//! The key of a WebSocket handshake, and what its answer has to be (RFC 6455, 4.2.2): whoever
//! answers it speaks the protocol, and did not merely repeat what it was sent.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http1::ResponseHead;

/// What is appended to a key before it is hashed.
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Twenty bytes in base64.
const ACCEPT_BYTES: usize = 28;

/// The name of the field with the key.
pub(crate) const KEY: &[u8] = b"sec-websocket-key";
/// The name of the field with the answer.
pub(crate) const ACCEPT: &[u8] = b"sec-websocket-accept";

/// What a key has to be answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accept([u8; ACCEPT_BYTES]);

/// A key of our own.
pub(crate) fn key() -> String {
    let mut key = [0; 16];
    fastrand::fill(&mut key);
    BASE64_STANDARD.encode(key)
}

impl Accept {
    /// To this key, whatever it looks like: that is between those who talk.
    pub(crate) fn of(key: &[u8]) -> Self {
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, MAGIC].concat());
        let mut accept = [0; ACCEPT_BYTES];
        let written = BASE64_STANDARD.encode_slice(hash, &mut accept);
        debug_assert_eq!(written, Ok(ACCEPT_BYTES));
        Self(accept)
    }

    /// Whether a response gives this answer, and no other.
    pub(crate) fn is_in(&self, head: &ResponseHead<'_>) -> bool {
        let mut given = head.fields().filter(|field| field.name.eq_ignore_ascii_case(ACCEPT));
        given.next().is_some_and(|field| field.value == self.0) && given.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use http1::{HeadSpace, Limits, Scan, Verb, parse_response};

    use super::*;

    #[test]
    fn a_key_is_answered_once_and_rightly() {
        // RFC 6455, 1.3.
        let accept = Accept::of(b"dGhlIHNhbXBsZSBub25jZQ==");
        for (lines, expected) in [
            ("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", true),
            ("sec-websocket-accept:  s3pPLMBiTxaQ9kYGzzhZRbK+xOo= \r\n", true),
            ("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=\r\n", false),
            ("Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==\r\n", false),
            ("Sec-WebSocket-Accept: \r\n", false),
            ("", false),
            (
                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Accept: x\r\n",
                false,
            ),
        ] {
            let head = format!("HTTP/1.1 101 S\r\n{lines}\r\n");
            let (mut scan, mut space) = (Scan::new(), HeadSpace::new());
            let head = parse_response(
                head.as_bytes(),
                Verb::Get,
                &mut scan,
                &Limits::STANDARD,
                &mut space,
            );
            assert_eq!(accept.is_in(&head.unwrap().unwrap()), expected, "{lines}");
        }
    }
}
