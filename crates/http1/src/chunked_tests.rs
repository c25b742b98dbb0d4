//! Chunk by chunk, what is accepted and what is refused.

use crate::trailers::{TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX};
use crate::{BodyError, Decoder, Framing, Step};

use super::CHUNK_LINE_MAX;

/// Payload and trailers of a body that must be over with the last byte of `input`.
fn decode(input: &[u8]) -> Result<(String, String), BodyError> {
    let (mut body, mut payload, mut at) = (Decoder::request(Framing::Chunked), Vec::new(), 0);
    loop {
        match body.decode(&input[at..])? {
            Step::Payload(len) => {
                payload.extend_from_slice(&input[at..at + len]);
                at += len;
            }
            Step::Framing(len) => at += len,
            Step::More => return Err(body.finish().unwrap_err()),
            Step::Done => break,
        }
    }
    assert_eq!(at, input.len(), "over too early: {}", input.escape_ascii());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Ok((text(&payload), text(body.trailers())))
}

#[test]
fn accepted() {
    #[rustfmt::skip]
    let table: [(&[u8], &str, &str); 19] = [
        // bytes                                        payload   trailers
        (b"0\r\n\r\n",                                  "",       ""),
        (b"000\r\n\r\n",                                "",       ""),
        (b"1\r\na\r\n0\r\n\r\n",                        "a",      ""),
        (b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",             "abc",    ""),
        (b"00000003\r\nabc\r\n0\r\n\r\n",               "abc",    ""),
        (b"0000000000000003\r\nabc\r\n0\r\n\r\n",       "abc",    ""),
        (b"a\r\n0123456789\r\n0\r\n\r\n",               "0123456789", ""),
        (b"A\r\n0123456789\r\n0\r\n\r\n",               "0123456789", ""),
        (b"2\r\n\r\n\r\n0\r\n\r\n",                     "\r\n",   ""),
        (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n",                "0\r\n\r\n", ""),
        (b"1;\r\na\r\n0\r\n\r\n",                       "a",      ""),
        (b"1;x=y;z=\"q\t'\"\r\na\r\n0;last\r\n\r\n",    "a",      ""),
        (b"0\r\nA: b\r\n\r\n",                          "",       "A: b\r\n"),
        (b"0\r\nA:b\t\r\nc: \r\n\r\n",                  "",       "A: b\r\nc: \r\n"),
        (b"1\r\na\r\n0;x\r\nA: b\r\n\r\n",              "a",      "A: b\r\n"),
        // fields with a meaning in a head are left out
        (b"0\r\nX-Forwarded-For: b\r\nA: b\r\n\r\n",    "",       "A: b\r\n"),
        (b"0\r\nAuthorization: b\r\n\r\n",              "",       ""),
        (b"0\r\nConnection: a\r\nA: b\r\n\r\n",         "",       "A: b\r\n"),
        (b"0\r\nSet_Cookie: b\r\nA: b\r\n\r\n",         "",       "A: b\r\n"),
    ];
    for (bytes, payload, trailers) in table {
        let wanted = Ok((payload.to_owned(), trailers.to_owned()));
        assert_eq!(decode(bytes), wanted, "{}", bytes.escape_ascii());
    }
}

#[test]
fn refused() {
    use BodyError::*;
    #[rustfmt::skip]
    let table: [(&[u8], BodyError); 51] = [
        // sizes
        (b"\r\n",                                ChunkSize),
        (b"\n",                                  ChunkSize),
        (b";x\r\n",                              ChunkSize),
        (b"g\r\n",                               ChunkSize),
        (b"-1\r\n",                              ChunkSize),
        (b"+1\r\n",                              ChunkSize),
        (b"0x1\r\na\r\n",                        ChunkSize),
        (b"0X1\r\na\r\n",                        ChunkSize),
        (b"1_0\r\n",                             ChunkSize),
        (b"1,0\r\n",                             ChunkSize),
        (b" 1\r\na\r\n",                         ChunkSize),
        (b"\t1\r\na\r\n",                        ChunkSize),
        (b"1 \r\na\r\n",                         ChunkSize),
        (b"1\t\r\na\r\n",                        ChunkSize),
        (b"1 ;x\r\na\r\n",                       ChunkSize),
        (b"1\0\r\na\r\n",                        ChunkSize),
        (b"\xef\xbc\x91\r\na\r\n",               ChunkSize),
        (b"8000000000000000\r\n",                ChunkTooLarge),
        (b"ffffffffffffffff\r\n",                ChunkTooLarge),
        (b"10000000000000001\r\n",               ChunkTooLarge),
        (b"00000000000000001\r\n",               ChunkTooLarge),
        (b"fffffffffffffffffffffffff\r\n",       ChunkTooLarge),
        // line ends
        (b"1\na\r\n0\r\n\r\n",                   ChunkSize),
        (b"1\ra\r\n0\r\n\r\n",                   ChunkSize),
        (b"1\r\r\na\r\n0\r\n\r\n",               ChunkSize),
        (b"1\r\na\n0\r\n\r\n",                   ChunkEnd),
        (b"1\r\na\r0\r\n\r\n",                   ChunkEnd),
        (b"1\r\na0\r\n\r\n",                     ChunkEnd),
        (b"1\r\nab\r\n0\r\n\r\n",                ChunkEnd),
        (b"3\r\nab\r\n0\r\n\r\n",                ChunkEnd),
        (b"1\r\na\r\n\r\n0\r\n\r\n",             ChunkSize),
        (b"1\r\na\r\n0\n\r\n",                   ChunkSize),
        (b"0\r\n\n",                             TrailerInvalid),
        (b"0\r\n\rX",                            TrailerInvalid),
        // extensions
        (b"1;x\na\r\n0\r\n\r\n",                 ChunkExtension),
        (b"1;x\r\r\na\r\n",                      ChunkSize),
        (b"1;x\ry\r\na\r\n",                     ChunkSize),
        (b"1;x=\"\r\n\"\na\r\n0\r\n\r\n",        ChunkEnd),
        (b"1;\0\r\na\r\n",                       ChunkExtension),
        (b"1;\x7f\r\na\r\n",                     ChunkExtension),
        (b"1;\xe9\r\na\r\n",                     ChunkExtension),
        // trailers
        (b"0\r\nA b\r\n\r\n",                    TrailerInvalid),
        (b"0\r\nA : b\r\n\r\n",                  TrailerInvalid),
        (b"0\r\n A: b\r\n\r\n",                  TrailerInvalid),
        (b"0\r\nA: b\r\n c\r\n\r\n",             TrailerInvalid),
        (b"0\r\nA: b\n\r\n",                     TrailerInvalid),
        (b"0\r\nA: b\rc\r\n\r\n",                TrailerInvalid),
        (b"0\r\nA: \0\r\n\r\n",                  TrailerInvalid),
        (b"0\r\nContent-Length: 1\r\n\r\n",      TrailerForbidden),
        (b"0\r\ntransfer_encoding: a\r\n\r\n",   TrailerForbidden),
        (b"0\r\nA: b\r\nhost: a\r\n\r\n",        TrailerForbidden),
    ];
    for (bytes, wanted) in table {
        assert_eq!(decode(bytes), Err(wanted), "{}", bytes.escape_ascii());
    }
}

#[test]
fn every_beginning_of_a_body_is_incomplete() {
    let body = b"3;x\r\nabc\r\n0;y\r\nA: b\r\n\r\n";
    for end in 0..body.len() {
        assert_eq!(decode(&body[..end]), Err(BodyError::Truncated), "first {end} bytes");
    }
}

#[test]
fn bounds() {
    let extension = |len: usize| format!("1{}\r\na\r\n0\r\n\r\n", ";".repeat(len - 1));
    assert!(decode(extension(CHUNK_LINE_MAX).as_bytes()).is_ok());
    assert_eq!(decode(extension(CHUNK_LINE_MAX + 1).as_bytes()), Err(BodyError::ChunkLineTooLong));

    let fields = |count: usize| format!("0\r\n{}\r\n", "a: b\r\n".repeat(count));
    assert!(decode(fields(TRAILER_FIELDS_MAX).as_bytes()).is_ok());
    assert_eq!(decode(fields(TRAILER_FIELDS_MAX + 1).as_bytes()), Err(BodyError::TooManyTrailers));

    let bytes = |count: usize| format!("0\r\na: {}\r\n\r\n", "b".repeat(count - 7));
    assert!(decode(bytes(TRAILER_BYTES_MAX).as_bytes()).is_ok());
    assert_eq!(decode(bytes(TRAILER_BYTES_MAX + 1).as_bytes()), Err(BodyError::TrailersTooLong));
}

/// The largest size is believed; the body is then merely not over.
#[test]
fn the_largest_chunk() {
    assert_eq!(decode(b"7fffffffffffffff\r\nabc"), Err(BodyError::Truncated));
}

#[test]
fn extensions_do_not_pass_whatever_the_pieces() {
    let input = b"3;x=y\r\nabc\r\n0;z\r\nA: b\r\nAge: 1\r\n\r\nnext";
    for piece in 1..=input.len() {
        let (mut body, mut out, mut at) = (Decoder::request(Framing::Chunked), Vec::new(), 0);
        while !body.is_done() {
            let end = (at + piece).min(input.len());
            let pass = body.pass(&input[at..end]).unwrap();
            out.extend_from_slice(pass.out);
            at += pass.consumed;
            assert_eq!(pass.done, at == input.len() - 4);
        }
        assert_eq!(out, b"3\r\nabc\r\n0\r\nA: b\r\nAge: 1\r\n\r\n", "pieces of {piece}");
    }
}

#[test]
fn a_plain_body_passes_in_one_piece() {
    let input = b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\nGET";
    let mut body = Decoder::request(Framing::Chunked);
    let pass = body.pass(input).unwrap();
    assert_eq!((pass.out, pass.consumed, pass.done), (&input[..18], 18, true));
    assert_eq!(body.payload_bytes(), 3);
}
