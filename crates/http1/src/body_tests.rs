//! Bodies that are counted and bodies that end with the connection.

use super::{BodyError, Decoder, Step};
use crate::{BodyFraming, Framing};

#[test]
fn a_counted_body_ends_at_its_length() {
    let mut body = Decoder::request(Framing::Length(5));
    assert_eq!(body.decode(b""), Ok(Step::More));
    assert_eq!(body.decode(b"abc"), Ok(Step::Payload(3)));
    assert_eq!(body.finish(), Err(BodyError::Truncated));
    assert_eq!(body.decode(b"deGET"), Ok(Step::Payload(2)));
    assert_eq!(body.decode(b"GET"), Ok(Step::Done));
    assert_eq!(body.decode(b""), Ok(Step::Done));
    assert_eq!((body.payload_bytes(), body.finish()), (5, Ok(())));
}

#[test]
fn a_counted_body_passes_up_to_its_length() {
    let mut body = Decoder::response(BodyFraming::Length(3));
    let pass = body.pass(b"ab").unwrap();
    assert_eq!((pass.out, pass.consumed, pass.done), (&b"ab"[..], 2, false));
    let pass = body.pass(b"cd").unwrap();
    assert_eq!((pass.out, pass.consumed, pass.done), (&b"c"[..], 1, true));
    let pass = body.pass(b"d").unwrap();
    assert_eq!((pass.out, pass.consumed, pass.done), (&b""[..], 0, true));
    assert_eq!(body.payload_bytes(), 3);
}

#[test]
fn no_body_is_over_before_it_begins() {
    for mut body in [
        Decoder::request(Framing::None),
        Decoder::request(Framing::Length(0)),
        Decoder::response(BodyFraming::None),
    ] {
        assert!(body.is_done());
        assert_eq!(body.decode(b"GET"), Ok(Step::Done));
        assert_eq!((body.finish(), body.trailers()), (Ok(()), &b""[..]));
    }
}

#[test]
fn a_body_until_close_is_over_when_the_connection_is() {
    let mut body = Decoder::response(BodyFraming::UntilClose);
    assert_eq!(body.decode(b"abc"), Ok(Step::Payload(3)));
    let pass = body.pass(b"de").unwrap();
    assert_eq!((pass.out, pass.consumed, pass.done), (&b"de"[..], 2, false));
    assert!(!body.is_done());
    assert_eq!((body.finish(), body.is_done(), body.payload_bytes()), (Ok(()), true, 5));
}
