//! What a tunnel begins with: the name of a service.
//!
//! The first program of this kind wrote the name and nothing else, and took whatever came in the
//! first packet for it. Here a name ends at a line feed, a NUL, 256 bytes, or when nothing more
//! comes; what follows belongs to the service.

use wire::heartbeat::{FRAME_BYTES_MAX, whole};

/// What the first bytes say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Preamble {
    /// More is needed.
    More,
    /// A TLS handshake begins: its hello has the name.
    Tls,
    /// A name, and where the service's own bytes begin.
    Name(Box<str>, usize),
    /// No name can begin so.
    Nothing,
}

/// Reads what has come so far. `is_over`: nothing more came for a while, or will.
pub(crate) fn read(held: &[u8], is_over: bool) -> Preamble {
    // RFC 8446, 5.1: a record of a handshake, and the major version.
    match held {
        [0x16, 0x03, ..] => return Preamble::Tls,
        // No name begins so: it has the time of a handshake, and not that of a name.
        [] | [0x16] => return if is_over { Preamble::Nothing } else { Preamble::More },
        _ => {}
    }
    let (end, payload) = match whole(held) {
        Some(end) => match held.get(end) {
            Some(0) => match after_nul(held, end, is_over) {
                Some(payload) => (end, payload),
                None => return Preamble::More,
            },
            Some(b'\n') => (end, end + 1),
            // 256 bytes without an end.
            Some(_) | None => (end, end),
        },
        None if is_over => (held.len(), held.len()),
        None => return Preamble::More,
    };
    let name = held.get(..end).unwrap_or_default().trim_ascii();
    match str::from_utf8(name) {
        Ok(name) if !name.is_empty() => Preamble::Name(name.into(), payload),
        Ok(_) | Err(_) => Preamble::Nothing,
    }
}

/// Where the payload begins behind a name that ended with a NUL. NULs up to the end of the frame
/// fill it; with anything else in it they are the payload's own.
fn after_nul(held: &[u8], end: usize, is_over: bool) -> Option<usize> {
    let frame = held.get(..FRAME_BYTES_MAX).unwrap_or(held);
    let behind = frame.get(end..).unwrap_or_default();
    if behind.iter().any(|byte| *byte != 0) {
        return Some(end + 1);
    }
    (is_over || frame.len() == FRAME_BYTES_MAX).then_some(frame.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_follows() {
        let mut padded = [0; 260];
        padded[..3].copy_from_slice(b"web");
        padded[256..].copy_from_slice(b"more");
        let mut nul_first = [0; 259];
        nul_first[..3].copy_from_slice(b"web");
        // A PostgreSQL client begins with its length, whose first bytes are NUL.
        let postgres = b"db\0\0\0\0\x08\x04\xd2\x16\x2f";
        let long = [b'x'; 300];
        let name = |text: &str, at| Preamble::Name(text.into(), at);
        #[rustfmt::skip]
        let table: &[(&[u8], bool, Preamble)] = &[
            (b"",                   false, Preamble::More),
            (b"",                   true,  Preamble::Nothing),
            (b"web",                false, Preamble::More),
            (b"web",                true,  name("web", 3)),
            (b" web \r\nGET /",     false, name("web", 7)),
            (b"web\n",              false, name("web", 4)),
            (b"web\n\0\0",          false, name("web", 4)),
            (b"web\0GET",           false, name("web", 4)),
            (b"web\0",              false, Preamble::More),
            (b"web\0",              true,  name("web", 4)),
            (&padded[..255],        false, Preamble::More),
            (&padded[..256],        false, name("web", 256)),
            (&padded,               false, name("web", 256)),
            (&nul_first,            false, name("web", 256)),
            (postgres,              false, name("db", 3)),
            (&long[..255],          false, Preamble::More),
            (&long,                 false, name(&"x".repeat(256), 256)),
            (b"\n",                 false, Preamble::Nothing),
            (b"\0x",                false, Preamble::Nothing),
            (b"\xff\n",             false, Preamble::Nothing),
            (b"\x16",               false, Preamble::More),
            (b"\x16",               true,  Preamble::Nothing),
            (b"\x16\x03\x01",       false, Preamble::Tls),
        ];
        for (held, is_over, want) in table {
            assert_eq!(read(held, *is_over), *want, "{}", held.escape_ascii());
        }
    }
}
