//! What must hold for any bytes at all.
//!
//! The fuzz targets call these, and so does a test over the committed corpus. A broken rule
//! is a panic.

use crate::{
    BodyFraming, Decoder, Field, Fields, Framing, H3_FRAME_BYTES_MAX, H3_FRAMES_MAX, H3Guard,
    H3Refused, H3StreamKind, HeadError, HeadSpace, Known, Limits, MessageSpace, RequestHead,
    RequestStart, ResponseHead, Scan, Step, Verb, Version, encode, message_request, parse_request,
    parse_response,
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

/// Reads `data` as the bytes of HTTP/3's streams.
///
/// However the bytes arrive, they are refused for the same reason or not at all; what passes are
/// whole frames that may come there, none too long and not too many.
///
/// # Panics
///
/// If one of these does not hold.
pub fn h3_streams(data: &[u8]) {
    for kind in [H3StreamKind::Request, H3StreamKind::OneWay] {
        let whole = guarded(kind, data, data.len());
        for piece in [1, 2, 7] {
            assert_eq!(guarded(kind, data, piece), whole, "{kind:?} in pieces of {piece}");
        }
        if whole.is_ok() {
            frames_are_in_order(kind, data);
        }
    }
}

fn guarded(kind: H3StreamKind, data: &[u8], piece: usize) -> Result<(), H3Refused> {
    let mut guard = H3Guard::new(kind);
    data.chunks(piece.max(1)).try_for_each(|piece| guard.take(piece))?;
    guard.end()
}

/// Walks frames in the plainest way.
fn frames_are_in_order(kind: H3StreamKind, data: &[u8]) {
    let mut at = 0;
    if kind == H3StreamKind::OneWay {
        match number(data, &mut at) {
            Some(0) => {}
            Some(stream) => return assert_ne!(stream, 1, "a client pushes nothing"),
            None => return,
        }
    }
    let (mut others, mut heads) = (0, 0);
    while at < data.len() {
        let frame = number(data, &mut at).expect("whole frames");
        let length = number(data, &mut at).expect("whole frames");
        let end = at.checked_add(usize::try_from(length).expect("a length")).expect("a length");
        let payload = data.get(at..end).expect("whole frames");
        at = end;
        match (kind, frame) {
            (H3StreamKind::Request, 0) => assert_eq!(heads, 1, "payload after a head"),
            (H3StreamKind::Request, 1) | (H3StreamKind::OneWay, 4) => heads += 1,
            (H3StreamKind::OneWay, 3 | 7 | 0xd) => {
                let mut read = 0;
                assert!(number(payload, &mut read).is_some() && read == payload.len());
            }
            (_, 0..=9 | 0xd) => panic!("frame {frame} on {kind:?}"),
            _ => {}
        }
        others += u32::from(frame != 0);
        assert!(frame == 0 || length <= H3_FRAME_BYTES_MAX);
        assert!(others <= H3_FRAMES_MAX);
        assert!(heads <= if kind == H3StreamKind::Request { 2 } else { 1 });
    }
}

/// A variable-length integer (RFC 9000, 16).
fn number(data: &[u8], at: &mut usize) -> Option<u64> {
    let first = *data.get(*at)?;
    let bytes = data.get(*at..*at + (1 << (first >> 6)))?;
    *at += bytes.len();
    let all = bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
    Some(all & (u64::MAX >> (66 - 8 * bytes.len())))
}

/// Reads `data` as a head that comes as frames: what it says besides its fields in the bits of the
/// first byte, then pieces, each after its length: a method, an authority, a path, and fields.
///
/// What is accepted, written as HTTP/1.1, is read as the same.
///
/// # Panics
///
/// If that does not hold.
pub fn message(data: &[u8]) {
    let Some((flags, rest)) = data.split_first() else { return };
    let flag = |bit: u8| flags & 1 << bit != 0;
    let mut rest = rest;
    let mut piece = || {
        let (len, more) = rest.split_first()?;
        let (piece, more) = more.split_at(usize::from(*len).min(more.len()));
        rest = more;
        Some(piece)
    };
    let start = RequestStart {
        version: if flag(0) { Version::Http2 } else { Version::Http3 },
        method: piece().unwrap_or_default(),
        https: flag(1),
        authority: piece().filter(|_| flag(2)),
        path: piece().filter(|_| flag(3)),
        websocket: flag(4),
        ended: flag(5),
    };
    let mut fields = Vec::new();
    while let (Some(name), Some(value)) = (piece(), piece()) {
        // Whoever reads frames hands over no other names.
        let Ok(name) = std::str::from_utf8(name) else { return };
        fields.push((name, value));
    }
    let mut space = MessageSpace::new();
    let head = message_request(start, fields.into_iter(), &Limits::STANDARD, &mut space);
    if let Ok(head) = head {
        message_written_as_text(&head);
    }
}

/// As a backend of HTTP/1.1 would read it.
fn message_written_as_text(head: &RequestHead<'_>) {
    let Some(host) = head.host else { return };
    // Answered here, and never sent on.
    if matches!(head.verb, Verb::Connect | Verb::Trace) {
        return;
    }
    let mut out = Vec::new();
    encode::request_line(&mut out, head.method, head.path_and_query());
    encode::field(&mut out, b"Host", host.raw);
    for field in head.end_to_end().filter(|field| field.known != Known::Host) {
        encode::field(&mut out, field.name, field.value);
    }
    if head.framing == Framing::UntilEnd {
        encode::field(&mut out, b"Transfer-Encoding", b"chunked");
    }
    if head.upgrade_websocket {
        encode::field(&mut out, b"Connection", b"Upgrade");
        encode::field(&mut out, b"Upgrade", b"websocket");
    } else if head.te_trailers {
        encode::field(&mut out, b"Connection", b"TE");
    }
    encode::blank_line(&mut out);
    reread(&out, |again| {
        let framing = match head.framing {
            Framing::UntilEnd => Framing::Chunked,
            framing => framing,
        };
        assert_eq!(again.framing.has_body(), framing.has_body());
        assert!(again.framing == framing || !framing.has_body());
        assert_eq!((again.verb, again.method), (head.verb, head.method));
        assert_eq!(again.path_and_query(), head.path_and_query());
        assert_eq!(again.host.map(|host| host.raw), Some(host.raw));
        assert_eq!(again.upgrade_websocket, head.upgrade_websocket);
        assert_eq!(again.te_trailers, head.te_trailers);
        assert_eq!(again.expect_continue, head.expect_continue);
        assert_eq!(again.nominated().count(), 0);
    });
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
