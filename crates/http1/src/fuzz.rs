//! What must hold for any bytes at all.
//!
//! The fuzz targets call these, and so does a test over the committed corpus. A broken rule
//! is a panic.

use crate::{
    BodyFraming, Decoder, Field, Fields, Framing, HeadError, HeadSpace, Limits, RequestHead,
    ResponseHead, Scan, Step, Verb, encode, parse_request, parse_response,
};

/// Parses `data` as a request and as a response.
///
/// However the bytes arrive, the head is the same; what is accepted and written again is
/// accepted again, as the same.
///
/// # Panics
///
/// If one of these does not hold.
pub fn head(data: &[u8]) {
    let (mut scan, mut space) = (Scan::new(), HeadSpace::new());
    let whole = parse_request(data, &mut scan, &Limits::STANDARD, &mut space);
    agree(length(&whole, |head| head.len), in_pieces(data, request_length));
    if let Ok(Some(head)) = whole {
        request_written_again(&head);
    }
    for verb in [Verb::Get, Verb::Head, Verb::Connect] {
        let (mut scan, mut space) = (Scan::new(), HeadSpace::new());
        let whole = parse_response(data, verb, &mut scan, &Limits::STANDARD, &mut space);
        let pieces = in_pieces(data, |bytes, scan| response_length(bytes, verb, scan));
        agree(length(&whole, |head| head.len), pieces);
        if let Ok(Some(head)) = whole {
            response_written_again(&head, verb);
        }
    }
}

/// Reads `data` as bodies of every framing.
///
/// However the bytes arrive, payload, trailers and end are the same; what is passed on reads
/// as the same body and passes unchanged.
///
/// # Panics
///
/// If one of these does not hold.
pub fn body(data: &[u8]) {
    let half = data.len() as u64 / 2;
    for framing in [
        BodyFraming::None,
        BodyFraming::Length(half),
        BodyFraming::Length(data.len() as u64 + 1),
        BodyFraming::Chunked,
        BodyFraming::UntilClose,
    ] {
        let whole = decoded(framing, data, data.len());
        let passed = passed(framing, data, data.len());
        for piece in [1, 2, 7] {
            assert_eq!(decoded(framing, data, piece), whole, "in pieces of {piece}");
            let again = self::passed(framing, data, piece);
            assert_eq!(again, passed, "passed in pieces of {piece}");
        }
        match (whole, passed) {
            (Some(whole), Some(passed)) => {
                assert_eq!(passed.consumed, whole.consumed);
                let read = decoded(framing, &passed.bytes, passed.bytes.len());
                let read = read.expect("what is passed on can be read");
                assert_eq!(
                    (&read.bytes, read.done, &read.trailers),
                    (&whole.bytes, whole.done, &whole.trailers)
                );
                assert_eq!(read.consumed, passed.bytes.len());
                let again = self::passed(framing, &passed.bytes, passed.bytes.len());
                assert_eq!(again.map(|body| body.bytes), Some(passed.bytes));
                if framing == BodyFraming::Chunked && whole.done {
                    chunks_written_again(&whole);
                }
            }
            (None, None) => {}
            (whole, passed) => panic!("read as {whole:?}, passed on as {passed:?}"),
        }
    }
}

/// The length of the head, `None` if more bytes are needed, `Err` if it is refused.
type Outcome = Result<Option<usize>, ()>;

fn length<T>(parsed: &Result<Option<T>, HeadError>, len: impl Fn(&T) -> usize) -> Outcome {
    parsed.as_ref().map(|head| head.as_ref().map(len)).map_err(|_| ())
}

fn request_length(bytes: &[u8], scan: &mut Scan) -> Outcome {
    let mut space = HeadSpace::new();
    length(&parse_request(bytes, scan, &Limits::STANDARD, &mut space), |head| head.len)
}

fn response_length(bytes: &[u8], verb: Verb, scan: &mut Scan) -> Outcome {
    let mut space = HeadSpace::new();
    length(&parse_response(bytes, verb, scan, &Limits::STANDARD, &mut space), |head| head.len)
}

/// An incomplete head may be refused for its beginning alone, which shows only while there is
/// no more than that.
fn agree(whole: Outcome, pieces: Outcome) {
    assert!(
        whole == pieces || (whole == Ok(None) && pieces == Err(())),
        "{whole:?} as a whole, {pieces:?} in pieces"
    );
}

/// Parses ever longer beginnings of `data`, as they would arrive.
fn in_pieces(data: &[u8], parse: impl Fn(&[u8], &mut Scan) -> Outcome) -> Outcome {
    let piece = 1 + data.len() / 512;
    let mut scan = Scan::new();
    for end in (0..data.len()).step_by(piece) {
        let outcome = parse(&data[..end], &mut scan);
        if outcome != Ok(None) {
            return outcome;
        }
    }
    parse(data, &mut scan)
}

/// Writes the head as it came and, for the next hop, anew; both must read as this one.
fn request_written_again(head: &RequestHead<'_>) {
    let mut out = Vec::new();
    encode::request_line(&mut out, head.method, head.target);
    write_fields(&mut out, head.fields());
    // Written as HTTP/1.1, which a head of HTTP/1.0 need not be fit for.
    if head.version == crate::Version::Http11 {
        reread(&out, |again| {
            assert!(again.fields().eq(head.fields()));
            assert_eq!(
                (again.framing, again.host, again.form, again.keep_alive),
                (head.framing, head.host, head.form, head.keep_alive)
            );
        });
    }

    out.clear();
    if head.verb == Verb::Connect || head.verb == Verb::Trace || head.host.is_none() {
        return;
    }
    encode::request_line(&mut out, head.method, head.path_and_query());
    if let Some(host) = head.host {
        encode::field(&mut out, b"Host", host.raw);
    }
    let kept = |field: &Field<'_>| field.known != crate::Known::Host;
    for field in head.end_to_end().filter(kept) {
        encode::field(&mut out, field.name, field.value);
    }
    if head.framing == Framing::Chunked {
        encode::field(&mut out, b"Transfer-Encoding", b"chunked");
    }
    encode::blank_line(&mut out);
    // An `Expect` that HTTP/1.0 has us ignore would be refused here.
    if head.version == crate::Version::Http11 {
        reread(&out, |again| {
            assert_eq!((again.framing, again.verb), (head.framing, head.verb));
            assert_eq!(again.host.map(|host| host.raw), head.host.map(|host| host.raw));
            assert_eq!(again.path_and_query(), head.path_and_query());
            assert_eq!(again.upgrade_websocket, head.upgrade_websocket);
            assert_eq!(again.nominated().count(), 0);
        });
    }
}

fn reread(bytes: &[u8], check: impl Fn(RequestHead<'_>)) {
    let (mut scan, mut space) = (Scan::new(), HeadSpace::new());
    let limits = Limits { head_bytes: usize::MAX, ..Limits::STANDARD };
    match parse_request(bytes, &mut scan, &limits, &mut space) {
        Ok(Some(again)) => check(again),
        // Framing and `Host` are written where they may not have been: a field more.
        Err(HeadError::TooManyFields) => {}
        other => panic!("written as {}, read as {other:?}", bytes.escape_ascii()),
    }
}

fn response_written_again(head: &ResponseHead<'_>, verb: Verb) {
    let mut out = Vec::new();
    encode::status_line(&mut out, head.status, head.reason);
    write_fields(&mut out, head.fields());
    let (mut scan, mut space) = (Scan::new(), HeadSpace::new());
    let limits = Limits { head_bytes: usize::MAX, ..Limits::STANDARD };
    let again = parse_response(&out, verb, &mut scan, &limits, &mut space);
    let again = again.expect("a head written again is read").expect("whole");
    assert!(again.fields().eq(head.fields()));
    assert_eq!(
        (again.status, again.reason, again.framing, again.content_length),
        (head.status, head.reason, head.framing, head.content_length)
    );
    for field in head.end_to_end() {
        let renewed = head.upgrade_websocket;
        assert!(renewed || !field.known.is_hop_by_hop(), "hop-by-hop field forwarded");
    }
}

fn write_fields(out: &mut Vec<u8>, fields: Fields<'_>) {
    for field in fields {
        encode::field(out, field.name, field.value);
    }
    encode::blank_line(out);
}

/// A body as read: payload, or what was passed on.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    bytes: Vec<u8>,
    trailers: Vec<u8>,
    consumed: usize,
    done: bool,
    payload_bytes: u64,
}

impl Read {
    fn new(bytes: Vec<u8>, consumed: usize, decoder: &Decoder) -> Read {
        Read {
            bytes,
            trailers: decoder.trailers().to_vec(),
            consumed,
            done: decoder.is_done(),
            payload_bytes: decoder.payload_bytes(),
        }
    }
}

/// The payload of `data` handed over in pieces; `None` if it is refused.
fn decoded(framing: BodyFraming, data: &[u8], piece: usize) -> Option<Read> {
    let (mut decoder, mut payload, mut at) = (Decoder::response(framing), Vec::new(), 0);
    for piece in data.chunks(piece.max(1)) {
        let end = at + piece.len();
        loop {
            match decoder.decode(&data[at..end]).ok()? {
                Step::Payload(len) => {
                    assert!(len > 0);
                    payload.extend_from_slice(&data[at..at + len]);
                    at += len;
                }
                Step::Framing(len) => {
                    assert!(len > 0);
                    at += len;
                }
                Step::More => break assert_eq!(at, end),
                Step::Done => return Some(Read::new(payload, at, &decoder)),
            }
        }
    }
    Some(Read::new(payload, at, &decoder))
}

/// What is passed on of `data` handed over in pieces; `None` if it is refused.
fn passed(framing: BodyFraming, data: &[u8], piece: usize) -> Option<Read> {
    let (mut decoder, mut out, mut at) = (Decoder::response(framing), Vec::new(), 0);
    for piece in data.chunks(piece.max(1)) {
        let end = at + piece.len();
        while at < end && !decoder.is_done() {
            let pass = decoder.pass(&data[at..end]).ok()?;
            assert!(pass.consumed > 0 || pass.done, "no progress");
            out.extend_from_slice(pass.out);
            at += pass.consumed;
        }
    }
    Some(Read::new(out, at, &decoder))
}

/// Payload and trailers of a whole chunked body, written by us, are read as the same.
fn chunks_written_again(whole: &Read) {
    let mut out = Vec::new();
    for piece in whole.bytes.chunks(100) {
        encode::chunk(&mut out, piece);
    }
    encode::last_chunk(&mut out, &whole.trailers);
    let again = decoded(BodyFraming::Chunked, &out, out.len()).expect("our own chunks are read");
    assert!(again.done);
    assert_eq!((&again.bytes, &again.trailers), (&whole.bytes, &whole.trailers));
}
