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

#[test]
fn a_counted_body_in_frames_ends_with_its_stream() {
    let new = || Decoder::request_in_frames(Framing::Length(3));
    let mut body = new();
    assert_eq!((body.decode(b""), body.decode(b"abc")), (Ok(Step::More), Ok(Step::Payload(3))));
    assert_eq!((body.is_done(), body.decode(b"")), (false, Ok(Step::More)));
    assert_eq!((body.finish(), body.is_done(), body.decode(b"")), (Ok(()), true, Ok(Step::Done)));
    let mut body = new();
    assert_eq!(body.pass(b"ab").map(|pass| pass.done), Ok(false));
    assert_eq!(body.finish(), Err(BodyError::Truncated));
    let pass = body.pass(b"cd").unwrap();
    assert_eq!((pass.out, pass.consumed, pass.done), (&b"c"[..], 1, false));
    let pass = body.pass(b"d").unwrap();
    assert_eq!((pass.out, pass.consumed, pass.done), (&b""[..], 0, true));
    // There need not be any, and what has no length is as it was.
    let mut body = Decoder::response_in_frames(BodyFraming::None);
    assert_eq!((body.is_done(), body.finish(), body.is_done()), (false, Ok(()), true));
    let mut body = Decoder::response_in_frames(BodyFraming::None);
    assert_eq!((body.decode(b"x"), body.is_done()), (Ok(Step::Done), true));
}
