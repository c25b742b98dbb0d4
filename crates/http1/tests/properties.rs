//! What holds for bytes nobody thought of: soup of what attacks are made of, and heads and
//! bodies of which we know what they mean.

use proptest::prelude::*;
use proxyd_http1::{
    Decoder, Framing, HeadSpace, Limits, Scan, Step, Verb, encode, fuzz, parse_request,
};

/// Bits of heads and bodies, good and bad, to be strung together.
#[rustfmt::skip]
const BITS: [&[u8]; 44] = [
    b"\r\n", b"\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\t", b":", b": ", b",", b";", b"\0",
    b"\xe9", b"GET / HTTP/1.1\r\n", b"POST http://a/ HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n",
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 204 No\r\n", b"HTTP/1.1 101 S\r\n", b"Host: a\r\n", b"Host: a",
    b"Content-Length: 5\r\n", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding:", b"chunked", b"Connection: close\r\n", b"Connection: x, te\r\n",
    b"Connection: upgrade\r\n", b"Upgrade: websocket\r\n", b"TE: trailers\r\n", b"x: y\r\n", b"X",
    b"0\r\n\r\n", b"0\r\n", b"5\r\nhello\r\n", b"5", b"a", b"5;x\r\nhello\r\n", b"0;x\r\n", b"hello",
    b"00000000", b"ffffffff",
];

fn soup() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(BITS.to_vec()), 0..24).prop_map(|bits| bits.concat())
}

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}".prop_map(|name| format!("x-{name}"))
}

fn value() -> impl Strategy<Value = String> {
    "([!-~]([ \t!-~]{0,20}[!-~])?)?"
}

fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz::head(&data);
        fuzz::body(&data);
    }

    #[test]
    fn bits_of_attacks(data in soup()) {
        fuzz::head(&data);
        fuzz::body(&data);
    }

    /// One byte of a good request changed: read the same in pieces, never a panic.
    #[test]
    fn one_byte_changed(at in 0..120_usize, byte in any::<u8>()) {
        let mut data = b"POST http://a.b/c?d HTTP/1.1\r\nHost: a.b\r\nContent-Length: 5\r\nConnection: x, te\r\nTE: trailers\r\nX: yy\r\n\r\nhello".to_vec();
        let at = at % data.len();
        data[at] = byte;
        fuzz::head(&data);
    }

    #[test]
    fn what_we_write_we_read(
        method in "[A-Z]{1,10}",
        path in "/[A-Za-z0-9/._~%:@!$&'()*+,;=-]{0,40}",
        fields in prop::collection::vec((token(), value()), 0..20),
        length in prop::option::of(0..=i64::MAX as u64),
    ) {
        let mut out = Vec::new();
        encode::request_line(&mut out, method.as_bytes(), path.as_bytes());
        encode::field(&mut out, b"host", b"a");
        for (name, value) in &fields {
            encode::field(&mut out, name.as_bytes(), value.as_bytes());
        }
        if let Some(length) = length {
            encode::field_number(&mut out, b"content-length", length);
        }
        encode::blank_line(&mut out);

        let (mut scan, mut space) = (Scan::new(), HeadSpace::new());
        let head = parse_request(&out, &mut scan, &Limits::STANDARD, &mut space);
        prop_assume!(Verb::of(method.as_bytes()) != Verb::Connect);
        let head = head.expect("accepted").expect("whole");
        prop_assert_eq!(head.method, method.as_bytes());
        prop_assert_eq!(head.target, path.as_bytes());
        prop_assert_eq!(head.framing, length.map_or(Framing::None, Framing::Length));
        let read: Vec<_> = head.fields().skip(1).take(fields.len())
            .map(|field| (field.name, field.value)).collect();
        let written: Vec<_> =
            fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn a_chunked_body_carries_what_was_put_into_it(
        pieces in pieces(),
        trailers in prop::collection::vec((token(), value()), 0..4),
        split in 1..64_usize,
    ) {
        let (mut out, mut lines) = (Vec::new(), Vec::new());
        for (name, value) in &trailers {
            encode::field(&mut lines, name.as_bytes(), value.as_bytes());
        }
        for piece in &pieces {
            encode::chunk(&mut out, piece);
        }
        encode::last_chunk(&mut out, &lines);
        let end = out.len();
        out.extend_from_slice(b"next");

        let (mut body, mut payload, mut at) =
            (Decoder::request(Framing::Chunked), Vec::new(), 0);
        let mut upto = split.min(out.len());
        loop {
            match body.decode(&out[at..upto]) {
                Ok(Step::Payload(len)) => {
                    payload.extend_from_slice(&out[at..at + len]);
                    at += len;
                }
                Ok(Step::Framing(len)) => at += len,
                Ok(Step::More) => upto = (upto + split).min(out.len()),
                Ok(Step::Done) => break,
                Err(error) => panic!("{error}"),
            }
        }
        prop_assert_eq!(payload, pieces.concat());
        prop_assert_eq!(at, end);
        prop_assert_eq!(body.trailers(), &lines[..]);
    }
}

/// Some of the soup must be good, or the properties above say nothing.
#[test]
fn the_soup_is_not_all_bad() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut heads, mut bodies) = (0, 0);
    for _ in 0..4000 {
        let data = soup().new_tree(&mut runner).expect("a value").current();
        let (mut scan, mut space) = (Scan::new(), HeadSpace::new());
        let head = parse_request(&data, &mut scan, &Limits::STANDARD, &mut space);
        heads += u32::from(matches!(head, Ok(Some(_))));
        let mut body = Decoder::request(Framing::Chunked);
        bodies += u32::from(matches!(body.decode(&data), Ok(Step::Framing(_))));
    }
    assert!(heads > 0 && bodies > 20, "{heads} heads, {bodies} bodies");
}
