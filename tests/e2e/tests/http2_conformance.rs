//! What RFC 9113 says must not be accepted, as bytes in and an error out; and that nothing of it
//! reaches a backend, whose HTTP/1.1 has no frames to tell one request from the next.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use proxyd_e2e::frames::{
    ACK, END_HEADERS, END_STREAM, PADDED, PREFACE, WITH_PRIORITY, code, data, fields, frame, get,
    head, kind, request, reset, setting, settings, window_update,
};
use proxyd_e2e::{Frames, Outcome, Proxy, Registry, field, read_head};

const HOST: &str = "a.test";

/// What is to become of the connection or of stream 1.
#[derive(Clone, Copy, Debug)]
enum Expect {
    /// The connection ends with this code (section 5.4.1), or with the general one.
    Ends(u32),
    /// The stream does, and the connection goes on (section 5.4.2).
    Resets(u32),
    /// As for malformed requests (section 8.1.1): the stream ends, or 400 is the answer. What can
    /// never stand in a field may end the connection too (section 5.4).
    Refused,
    /// The same, of what came after a head that a backend was told of.
    Cut,
    /// The connection goes on as if nothing had come.
    Goes,
    /// The request is answered.
    Answered(u16),
}
use Expect::{Answered, Cut, Ends, Goes, Refused, Resets};

fn start() -> (Proxy, Registry, Recorder) {
    let backend = Recorder::start();
    let proxy = Proxy::start();
    let mut registry = proxy.registry();
    registry.serve("web", "1", &[(HOST, "/", &backend.url)]);
    (proxy, registry, backend)
}

/// Sends the bytes on a connection of their own, and says what is not as expected.
fn fault(at: SocketAddr, bytes: &[u8], expect: Expect) -> Option<String> {
    let mut frames = Frames::connect(at).unwrap();
    // Whoever ends a connection early does not read to the end of what is sent.
    let _ = frames.send(bytes);
    let outcome = match expect {
        Ends(_) => frames.end(),
        Goes => Ok(Outcome::Closed),
        Resets(_) | Refused | Cut | Answered(_) => frames.outcome(1),
    };
    let (fine, ends) = match (&outcome, expect) {
        (Ok(Outcome::GoAway(found)), Ends(code)) => {
            (*found == code || *found == code::PROTOCOL_ERROR, true)
        }
        (Ok(Outcome::GoAway(code::PROTOCOL_ERROR)), Refused | Cut) => (true, true),
        (Ok(Outcome::Reset(code::PROTOCOL_ERROR)), Refused | Cut) => (true, false),
        (Ok(Outcome::Answer(answer)), Refused | Cut) => (answer.status == 400, false),
        (Ok(Outcome::Answer(answer)), Answered(status)) => (answer.status == status, false),
        (Ok(Outcome::Reset(found)), Resets(code)) => (*found == code, false),
        (_, Goes) => (true, false),
        _ => (false, false),
    };
    let alive = ends || matches!(frames.is_alive(), Ok(true));
    (!fine || !alive).then(|| format!("{outcome:?}, alive: {alive}"))
}

/// Every row has a client of its own; none hurts another one.
fn check(table: &[(&str, Vec<u8>, Expect)]) {
    let (proxy, _lease, backend) = start();
    let mut faults = Vec::new();
    for (what, bytes, expect) in table {
        let before = backend.heads.load(Ordering::SeqCst);
        if let Some(fault) = fault(proxy.http(), bytes, *expect) {
            faults.push(format!("{what}: wanted {expect:?}, got {fault}"));
        }
        let mut other = Frames::connect(proxy.http()).unwrap();
        assert_eq!(other.get(1, HOST, "/other").unwrap().status(), 200, "after {what}");
        // One is the other client's.
        let seen = backend.heads.load(Ordering::SeqCst) - before - 1;
        let may_be_seen = !matches!(expect, Refused | Answered(400..));
        if seen > usize::from(may_be_seen) {
            faults.push(format!("{what}: reached the backend"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const AUTHORITY: (&str, &str) = (":authority", HOST);
const PATH: (&str, &str) = (":path", "/");

/// Section 8.
#[test]
fn malformed_requests_end_their_stream_and_reach_nobody() {
    let row = |what, list: &[(&str, &str)], expect| (what, head(1, &fields(list), true), expect);
    let with = |what, more: (&str, &str), expect| {
        row(what, &[METHOD, SCHEME, AUTHORITY, PATH, more], expect)
    };
    let target = |what, authority, path, expect| {
        (what, head(1, &request("GET", authority, path, &[]), true), expect)
    };
    let method =
        |what, method, expect| (what, head(1, &request(method, HOST, "/", &[]), true), expect);
    #[rustfmt::skip]
    let mut table = vec![
        row("a whole request",          &[METHOD, SCHEME, AUTHORITY, PATH], Answered(200)),
        row("in another order",         &[PATH, AUTHORITY, SCHEME, METHOD], Answered(200)),
        row("no fields at all",         &[], Refused),
        row("no :method",               &[SCHEME, AUTHORITY, PATH], Refused),
        row("no :scheme",               &[METHOD, AUTHORITY, PATH], Refused),
        row("no :path",                 &[METHOD, SCHEME, AUTHORITY], Refused),
        row("no :authority and no host", &[METHOD, SCHEME, PATH], Refused),
        row("no :authority but a host", &[METHOD, SCHEME, PATH, ("host", HOST)], Answered(200)),
        row(":method twice",            &[METHOD, METHOD, SCHEME, AUTHORITY, PATH], Refused),
        row(":scheme twice",            &[METHOD, SCHEME, SCHEME, AUTHORITY, PATH], Refused),
        row(":authority twice",         &[METHOD, SCHEME, AUTHORITY, AUTHORITY, PATH], Refused),
        row(":path twice",              &[METHOD, SCHEME, AUTHORITY, PATH, PATH], Refused),
        row("a pseudo field after others", &[METHOD, SCHEME, AUTHORITY, ("x-a", "1"), PATH], Refused),
        row("a pseudo field nobody knows", &[METHOD, SCHEME, AUTHORITY, PATH, (":other", "1")], Refused),
        row("a response's pseudo field", &[METHOD, SCHEME, AUTHORITY, PATH, (":status", "200")], Refused),
        row(":protocol without CONNECT", &[METHOD, SCHEME, AUTHORITY, PATH, (":protocol", "websocket")], Refused),
        with("a name in upper case",    ("X-Upper", "1"), Refused),
        with("an empty name",           ("", "1"), Refused),
        with("a name with a space",     ("x a", "1"), Refused),
        with("a name with a colon",     ("x:a", "1"), Refused),
        with("a name with a line end",  ("x\r\na", "1"), Refused),
        with("a name with NUL",         ("x\0a", "1"), Refused),
        with("a name with DEL",         ("x\x7fa", "1"), Refused),
        with("a name that is not ASCII", ("x\u{e4}", "1"), Refused),
        with("a value with CR LF",      ("x-a", "1\r\nevil: 1"), Refused),
        with("a value with CR",         ("x-a", "1\revil: 1"), Refused),
        with("a value with LF",         ("x-a", "1\nevil: 1"), Refused),
        with("a value with NUL",        ("x-a", "1\0"), Refused),
        with("a value that begins with a space", ("x-a", " 1"), Refused),
        with("a value that ends with a tab", ("x-a", "1\t"), Refused),
        with("a value that is empty",   ("x-a", ""), Answered(200)),
        with("connection",              ("connection", "close"), Refused),
        with("connection: keep-alive",  ("connection", "keep-alive"), Refused),
        with("keep-alive",              ("keep-alive", "timeout=5"), Refused),
        with("proxy-connection",        ("proxy-connection", "keep-alive"), Refused),
        with("transfer-encoding",       ("transfer-encoding", "chunked"), Refused),
        with("upgrade",                 ("upgrade", "websocket"), Refused),
        with("te: gzip",                ("te", "gzip"), Refused),
        with("te: trailers, gzip",      ("te", "trailers, gzip"), Refused),
        with("te: trailers",            ("te", "trailers"), Answered(200)),
        with("the same host",           ("host", HOST), Answered(200)),
        with("another host",            ("host", "b.test"), Refused),
        with("a host with a line end",  ("host", "a.test\r\nx: 1"), Refused),
        with("an empty host",           ("host", ""), Refused),
        with("a length without a body", ("content-length", "1"), Refused),
        with("a length that is none",   ("content-length", "-1"), Refused),
        with("a length with a sign",    ("content-length", "+0"), Refused),
        with("a length in hex",         ("content-length", "0x0"), Refused),
        with("a length list",           ("content-length", "0, 1"), Refused),
        with("a length too large",      ("content-length", "18446744073709551616"), Refused),
        with("an empty length",         ("content-length", ""), Refused),
        target("an empty path",         HOST, "", Refused),
        target("a path without slash",  HOST, "a", Refused),
        target("an absolute path",      HOST, "http://b.test/", Refused),
        target("a path with a space",   HOST, "/a b", Refused),
        target("a path that ends a line", HOST, "/ HTTP/1.1\r\nHost: b.test\r\n\r\nGET /x", Refused),
        target("a path with NUL",       HOST, "/\0", Refused),
        target("a path with an encoded NUL", HOST, "/%00", Refused),
        target("an asterisk for GET",   HOST, "*", Refused),
        target("user information",      "u@a.test", "/", Refused),
        target("an authority with a path", "a.test/x", "/", Refused),
        target("an authority with a space", "a.test b", "/", Refused),
        target("an authority with a line end", "a.test\r\nx: 1", "/", Refused),
        target("an empty authority",    "", "/", Refused),
        target("a bad port",            "a.test:99999999", "/", Refused),
        method("an empty method",       "", Refused),
        method("a method with a space", "GET /x", Refused),
        method("a method with a line end", "GET / HTTP/1.1\r\nx:", Refused),
        method("a method with NUL",     "G\0T", Refused),
        method("an unknown method",     "BREW", Answered(200)),
        method("TRACE",                 "TRACE", Answered(405)),
        row("CONNECT",                  &[(":method", "CONNECT"), ("x-a", "1"), ], Refused),
        row("CONNECT with an authority", &[(":method", "CONNECT"), (":authority", "a.test:80")], Answered(405)),
        row("CONNECT with a scheme",    &[(":method", "CONNECT"), SCHEME, AUTHORITY], Refused),
        row("CONNECT with a path",      &[(":method", "CONNECT"), AUTHORITY, PATH], Refused),
        row("CONNECT for something unknown", &[(":method", "CONNECT"), SCHEME, AUTHORITY, PATH, (":protocol", "x")], Refused),
        row("a scheme with a space",    &[METHOD, (":scheme", "ht tp"), AUTHORITY, PATH], Refused),
        row("two lengths",              &[METHOD, SCHEME, AUTHORITY, PATH, ("content-length", "0"), ("content-length", "1")], Refused),
        row("two hosts",                &[METHOD, SCHEME, PATH, ("host", HOST), ("host", HOST)], Refused),
    ];
    let posted = |more: &[(&str, &str)]| head(1, &request("POST", HOST, "/", more), false);
    let trailers = |list: &[(&str, &str)]| {
        let ended = head(1, &fields(list), true);
        [posted(&[]), data(1, b"abc", false), ended].concat()
    };
    let length = |said: &str, body: &[u8]| {
        [posted(&[("content-length", said)]), data(1, body, true)].concat()
    };
    #[rustfmt::skip]
    table.extend([
        ("a body as long as was said",  length("3", b"abc"), Answered(200)),
        ("a body that is longer",       length("2", b"abc"), Resets(code::PROTOCOL_ERROR)),
        ("a body that is shorter",      length("4", b"abc"), Resets(code::PROTOCOL_ERROR)),
        ("no body at all",              length("4", b""), Resets(code::PROTOCOL_ERROR)),
        ("a body where none was said",  length("0", b"abc"), Resets(code::PROTOCOL_ERROR)),
        // Left out by whoever reads the frames: nobody is told of them.
        ("pseudo fields in trailers",   trailers(&[(":path", "/")]), Answered(200)),
        ("upper case in trailers",      trailers(&[("X-Sum", "1")]), Cut),
        ("a line end in trailers",      trailers(&[("x-sum", "1\r\n\r\nGET / HTTP/1.1")]), Cut),
        ("framing in trailers",         trailers(&[("transfer-encoding", "chunked")]), Cut),
        ("trailers that do not end the stream",
            [posted(&[]), data(1, b"a", false), head(1, &fields(&[("x-sum", "1")]), false)].concat(), Cut),
    ]);
    check(&table);
}

/// Sections 3 to 6, as h2spec goes through them.
#[test]
fn broken_frames_end_what_they_break() {
    let block = request("GET", HOST, "/", &[]);
    let open = || head(1, &request("POST", HOST, "/", &[]), false);
    let closed = || get(1, HOST, "/");
    let after = |first: Vec<u8>, then: Vec<u8>| [first, then].concat();
    let prioritized = |on: u32| {
        let payload = [&on.to_be_bytes()[..], &[15], &block].concat();
        frame(kind::HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, &payload)
    };
    let padded = |kind, flags, length: u8, payload: &[u8]| {
        frame(kind, flags | PADDED, 1, &[&[length], payload].concat())
    };
    let setting = |name, value| settings(&[(name, value)]);
    let half = block.split_at(block.len() / 2);
    let in_two = |between: Vec<u8>, stream| {
        let first = frame(kind::HEADERS, END_STREAM, 1, half.0);
        let second = frame(kind::CONTINUATION, END_HEADERS, stream, half.1);
        [first, between, second].concat()
    };
    #[rustfmt::skip]
    let table = vec![
        // 4.1, 4.2
        ("a frame of a kind nobody knows", frame(0xb, 0xff, 0, b"what"), Goes),
        ("a frame of a kind nobody knows, on a stream", after(frame(0xb, 0xff, 1, b"what"), closed()), Answered(200)),
        ("flags nobody knows",           frame(kind::PING, 0xfe, 0, &[0; 8]), Goes),
        ("a reserved bit that is set",   after(frame(kind::PING, 0, 1 << 31, &[0; 8]), closed()), Answered(200)),
        ("DATA as long as may be",       after(open(), frame(kind::DATA, END_STREAM, 1, &[b'x'; 16_384])), Answered(200)),
        ("DATA that is longer",          after(open(), frame(kind::DATA, END_STREAM, 1, &[b'x'; 16_385])), Ends(code::FRAME_SIZE_ERROR)),
        ("HEADERS that are longer",      frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &[0; 16_385]), Ends(code::FRAME_SIZE_ERROR)),
        // 4.3
        ("a head that cannot be read",   frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, b"\x82\xff\xff\xff\xff\xff\xff\xff\xff"), Ends(code::COMPRESSION_ERROR)),
        ("an index that does not exist", frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, b"\x82\xbe"), Ends(code::COMPRESSION_ERROR)),
        ("an index of zero",             frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, b"\x80"), Ends(code::COMPRESSION_ERROR)),
        ("a table larger than allowed",  frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xe1\xff\x03\x82"), Ends(code::COMPRESSION_ERROR)),
        ("a table resized after a field", frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &[&block[..], b"\x20"].concat()), Ends(code::COMPRESSION_ERROR)),
        ("Huffman code with EOS",        frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &[&block[..], b"\x00\x01x\x84\xff\xff\xff\xff"].concat()), Ends(code::COMPRESSION_ERROR)),
        ("a head in two frames",         in_two(vec![], 1), Answered(200)),
        ("a frame within a head",        in_two(frame(kind::PING, 0, 0, &[0; 8]), 1), Ends(code::PROTOCOL_ERROR)),
        ("another stream's frame within a head", in_two(data(3, b"x", false), 1), Ends(code::PROTOCOL_ERROR)),
        ("a head that goes on elsewhere", in_two(vec![], 3), Ends(code::PROTOCOL_ERROR)),
        // 5.1
        ("DATA before its stream",       data(1, b"x", true), Ends(code::PROTOCOL_ERROR)),
        ("RST_STREAM before its stream", reset(1, code::CANCEL), Ends(code::PROTOCOL_ERROR)),
        ("WINDOW_UPDATE before its stream", window_update(1, 1), Ends(code::PROTOCOL_ERROR)),
        ("CONTINUATION before its stream", frame(kind::CONTINUATION, END_HEADERS, 1, &block), Ends(code::PROTOCOL_ERROR)),
        ("DATA after the end",           after(closed(), data(1, b"x", true)), Ends(code::STREAM_CLOSED)),
        ("HEADERS after the end",        after(closed(), closed()), Ends(code::STREAM_CLOSED)),
        ("CONTINUATION after the end",   after(closed(), frame(kind::CONTINUATION, END_HEADERS, 1, &block)), Ends(code::PROTOCOL_ERROR)),
        ("WINDOW_UPDATE after the end",  after(closed(), window_update(1, 1)), Answered(200)),
        ("PRIORITY after the end",       after(closed(), frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 1])), Answered(200)),
        // 5.1.1
        ("a stream with an even number", get(2, HOST, "/"), Ends(code::PROTOCOL_ERROR)),
        ("numbers that go down",         after(get(5, HOST, "/"), get(3, HOST, "/")), Ends(code::PROTOCOL_ERROR)),
        ("HEADERS on the connection",    frame(kind::HEADERS, END_HEADERS | END_STREAM, 0, &block), Ends(code::PROTOCOL_ERROR)),
        // 5.3
        ("a priority",                   prioritized(3), Answered(200)),
        ("HEADERS that depend on themselves", prioritized(1), Resets(code::PROTOCOL_ERROR)),
        ("PRIORITY on the connection",   frame(kind::PRIORITY, 0, 0, &[0, 0, 0, 3, 1]), Ends(code::PROTOCOL_ERROR)),
        // 6.1
        ("DATA on the connection",       data(0, b"x", true), Ends(code::PROTOCOL_ERROR)),
        ("padding",                      after(open(), padded(kind::DATA, END_STREAM, 3, b"abc\0\0\0")), Answered(200)),
        ("DATA that is padding alone",   after(open(), padded(kind::DATA, END_STREAM, 3, b"\0\0\0")), Answered(200)),
        ("more padding than payload",    after(open(), padded(kind::DATA, END_STREAM, 4, b"abc")), Ends(code::PROTOCOL_ERROR)),
        ("padding without its length",   after(open(), frame(kind::DATA, END_STREAM | PADDED, 1, b"")), Ends(code::PROTOCOL_ERROR)),
        // 6.2
        ("HEADERS with padding",         padded(kind::HEADERS, END_HEADERS | END_STREAM, 3, &[&block[..], b"\0\0\0"].concat()), Answered(200)),
        ("HEADERS with too much padding", padded(kind::HEADERS, END_HEADERS | END_STREAM, 255, &block), Ends(code::PROTOCOL_ERROR)),
        // 6.4
        ("RST_STREAM on the connection", reset(0, code::CANCEL), Ends(code::PROTOCOL_ERROR)),
        ("RST_STREAM too short",         after(open(), frame(kind::RST_STREAM, 0, 1, &[0; 3])), Ends(code::FRAME_SIZE_ERROR)),
        // 6.5
        ("SETTINGS on a stream",         frame(kind::SETTINGS, 0, 1, b""), Ends(code::PROTOCOL_ERROR)),
        ("SETTINGS that is no multiple", frame(kind::SETTINGS, 0, 0, &[0; 5]), Ends(code::FRAME_SIZE_ERROR)),
        ("an ACK that says something",   frame(kind::SETTINGS, ACK, 0, &[0; 6]), Ends(code::FRAME_SIZE_ERROR)),
        ("a push of 2",                  setting(setting::ENABLE_PUSH, 2), Ends(code::PROTOCOL_ERROR)),
        ("a window too large",           setting(setting::INITIAL_WINDOW_SIZE, 1 << 31), Ends(code::FLOW_CONTROL_ERROR)),
        ("frames too small",             setting(setting::MAX_FRAME_SIZE, 16_383), Ends(code::PROTOCOL_ERROR)),
        ("frames too large",             setting(setting::MAX_FRAME_SIZE, 1 << 24), Ends(code::PROTOCOL_ERROR)),
        ("a setting nobody knows",       setting(0xff, 1), Goes),
        // 6.6
        ("PUSH_PROMISE from a client",   frame(kind::PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], &block[..]].concat()), Ends(code::PROTOCOL_ERROR)),
        // 6.7
        ("PING on a stream",             frame(kind::PING, 0, 1, &[0; 8]), Ends(code::PROTOCOL_ERROR)),
        ("PING too short",               frame(kind::PING, 0, 0, &[0; 7]), Ends(code::FRAME_SIZE_ERROR)),
        ("an ACK that nobody waits for", frame(kind::PING, ACK, 0, &[0; 8]), Goes),
        // 6.8
        ("GOAWAY on a stream",           frame(kind::GOAWAY, 0, 1, &[0; 8]), Ends(code::PROTOCOL_ERROR)),
        // 6.9
        ("no growth of the connection's window", window_update(0, 0), Ends(code::PROTOCOL_ERROR)),
        ("no growth of a stream's window", after(open(), window_update(1, 0)), Ends(code::PROTOCOL_ERROR)),
        ("WINDOW_UPDATE too short",      frame(kind::WINDOW_UPDATE, 0, 0, &[0; 3]), Ends(code::FRAME_SIZE_ERROR)),
        ("a connection's window too large", after(window_update(0, (1 << 31) - 1), window_update(0, 1)), Ends(code::FLOW_CONTROL_ERROR)),
        ("a stream's window too large",  after(open(), window_update(1, (1 << 31) - 1)), Resets(code::FLOW_CONTROL_ERROR)),
        ("windows that grow too large later",
            [open(), window_update(1, 1 << 30), setting(setting::INITIAL_WINDOW_SIZE, (1 << 31) - 1)].concat(), Ends(code::FLOW_CONTROL_ERROR)),
        // 6.10
        ("CONTINUATION on the connection", after(frame(kind::HEADERS, END_STREAM, 1, half.0), frame(kind::CONTINUATION, END_HEADERS, 0, half.1)), Ends(code::PROTOCOL_ERROR)),
        ("CONTINUATION after a whole head", after(open(), frame(kind::CONTINUATION, END_HEADERS, 1, &block)), Ends(code::PROTOCOL_ERROR)),
        ("CONTINUATION after DATA",      [open(), data(1, b"x", false), frame(kind::CONTINUATION, END_HEADERS, 1, &block)].concat(), Ends(code::PROTOCOL_ERROR)),
    ];
    check(&table);
}

/// Section 3.4: what is no preface is no HTTP/2.
#[test]
fn connections_begin_as_they_must() {
    let (proxy, _lease, backend) = start();
    let mut broken = PREFACE.to_vec();
    broken[20] = b'X';
    #[rustfmt::skip]
    let table = [
        ("a request in text with that name", b"PRI * HTTP/2.0\r\nHost: a.test\r\n\r\n".to_vec()),
        ("a broken preface",                 broken),
        ("no SETTINGS first",                [PREFACE, &frame(kind::PING, 0, 0, &[0; 8])].concat()),
        ("text after the preface",           [PREFACE, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"].concat()),
        ("half of a preface",                PREFACE[..20].to_vec()),
    ];
    for (what, bytes) in table {
        let mut stream = TcpStream::connect(proxy.http()).unwrap();
        stream.set_read_timeout(Some(proxyd_e2e::PATIENCE)).unwrap();
        stream.write_all(&bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut got = Vec::new();
        let _ = stream.read_to_end(&mut got);
        let seen = backend.heads.load(Ordering::SeqCst);
        assert_eq!(seen, 0, "{what}: {}", got.escape_ascii());
    }
    // The preface in pieces is one.
    let mut frames = Frames::bare(proxy.http()).unwrap();
    for byte in PREFACE {
        frames.send(&[*byte]).unwrap();
    }
    let first = settings(&[(setting::HEADER_TABLE_SIZE, 0)]);
    frames.send(&[first, get(1, HOST, "/")].concat()).unwrap();
    assert_eq!(frames.outcome(1).unwrap().status(), 200);
    assert_eq!(frames.settings.get(&setting::ENABLE_CONNECT_PROTOCOL), Some(&1), "RFC 8441, 3");
    assert_eq!(backend.heads.load(Ordering::SeqCst), 1);
}

/// Keeps every byte that comes, and answers whatever is a request.
#[derive(Clone)]
struct Recorder {
    url: String,
    seen: Arc<Mutex<Vec<u8>>>,
    heads: Arc<AtomicUsize>,
}

impl Recorder {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let recorder = Self { url, seen: Arc::default(), heads: Arc::default() };
        let shared = recorder.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                thread::spawn(move || shared.serve(BufReader::new(stream)));
            }
        });
        recorder
    }

    fn keep(&self, bytes: &[u8]) {
        self.seen.lock().unwrap().extend_from_slice(bytes);
    }

    fn serve(&self, mut stream: BufReader<TcpStream>) -> Option<()> {
        while let Ok(Some(head)) = read_head(&mut stream) {
            self.heads.fetch_add(1, Ordering::SeqCst);
            self.keep(head.as_bytes());
            if let Some(length) = field(&head, "content-length") {
                self.take(&mut stream, length.parse().unwrap())?;
            } else if field(&head, "transfer-encoding").is_some() {
                while self.chunk(&mut stream)? {}
            }
            stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").ok()?;
        }
        None
    }

    fn take(&self, stream: &mut impl Read, length: usize) -> Option<()> {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).ok()?;
        self.keep(&bytes);
        Some(())
    }

    /// Whether another one follows.
    fn chunk(&self, stream: &mut impl BufRead) -> Option<bool> {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        self.keep(line.as_bytes());
        let size = usize::from_str_radix(line.trim_end(), 16).ok()?;
        if size > 0 {
            return self.take(stream, size + 2).map(|()| true);
        }
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).ok().filter(|length| *length > 0)?;
            self.keep(line.as_bytes());
        }
        Some(false)
    }
}

/// What a backend gets of a request is one request, whatever is in it.
#[test]
fn nothing_is_smuggled_into_text() {
    let (proxy, _lease, backend) = start();
    let ask = |bytes: &[u8]| {
        backend.seen.lock().unwrap().clear();
        let mut frames = Frames::connect(proxy.http()).unwrap();
        frames.send(bytes).unwrap();
        let outcome = frames.outcome(1).unwrap();
        let seen = backend.seen.lock().unwrap().clone();
        (outcome.status(), String::from_utf8_lossy(&seen).into_owned())
    };
    let smuggled = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    // Without a length it goes in chunks, which hold it.
    let posted = |more: &[(&str, &str)]| head(1, &request("POST", HOST, "/first", more), false);
    let (status, got) = ask(&[posted(&[]), data(1, smuggled, true)].concat());
    assert_eq!(status, 200, "{got}");
    let (head_lines, body) = got.split_once("\r\n\r\n").unwrap();
    assert_eq!(head_lines.matches("Transfer-Encoding: chunked").count(), 1, "{got}");
    assert!(!head_lines.to_lowercase().contains("content-length"), "{got}");
    let size = format!("{:x}\r\n0\r\n\r\nGET /smuggled", smuggled.len());
    assert!(body.starts_with(&size) && body.ends_with("\r\n0\r\n\r\n"), "{got}");
    // With one that is the length, and nothing else says how long it is.
    let length = smuggled.len().to_string();
    let said = posted(&[("content-length", &length)]);
    let (status, got) = ask(&[said, data(1, smuggled, true)].concat());
    assert_eq!(status, 200, "{got}");
    let head_lines = got.split_once("\r\n\r\n").unwrap().0.to_lowercase();
    assert_eq!(head_lines.matches("content-length").count(), 1, "{got}");
    assert!(!head_lines.contains("transfer-encoding"), "{got}");
    // The same length twice is one, or none.
    let twice = posted(&[("content-length", "3"), ("content-length", "3")]);
    let (status, got) = ask(&[twice, data(1, b"abc", true)].concat());
    let lengths = got.to_lowercase().matches("content-length").count();
    assert!((status != 200 && got.is_empty()) || lengths == 1, "{status} {got}");
    // Trailers come after the last chunk, each a line.
    let ended = head(1, &fields(&[("x-sum", "7")]), true);
    let (status, got) = ask(&[posted(&[]), data(1, b"abc", false), ended].concat());
    assert_eq!(status, 200, "{got}");
    assert!(got.to_lowercase().ends_with("3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n"), "{got}");
    // A host is told once, and it is the one that the request was decided by.
    let hosts = [("host", HOST)];
    let (status, got) = ask(&head(1, &request("GET", HOST, "/first", &hosts), true));
    assert_eq!((status, got.to_lowercase().matches("\r\nhost: a.test\r\n").count()), (200, 1));
    assert_eq!(got.to_lowercase().matches("\r\nhost:").count(), 1, "{got}");
    assert!(got.starts_with("GET /first HTTP/1.1\r\n"), "{got}");
    // A field that nominates others is refused, and so nobody loses one by it.
    let hop = [("connection", "x-forwarded-for"), ("x-forwarded-for", "9.9.9.9")];
    let (status, got) = ask(&head(1, &request("GET", HOST, "/first", &hop), true));
    assert!(status != 200 && got.is_empty(), "{status} {got}");
    // Every byte that a field may not have, at its beginning, in its midst and at its end.
    for byte in (0..=31).chain([127]) {
        let bad = char::from(byte).to_string();
        for value in [format!("{bad}x"), format!("x{bad}x"), format!("x{bad}")] {
            let (status, got) = ask(&head(1, &request("GET", HOST, "/", &[("x-a", &value)]), true));
            // A tab may stand within a value.
            let fine = byte == b'\t' && value.len() == 3;
            assert_eq!(status == 200, fine, "{byte}: {status}");
            assert!(fine || got.is_empty(), "{byte}: {got}");
        }
        for target in [format!("/{bad}"), format!("/x{bad}x"), format!("/?{bad}")] {
            let (status, got) = ask(&head(1, &request("GET", HOST, &target, &[]), true));
            assert!(status != 200 && got.is_empty(), "{byte} in the path: {status} {got}");
        }
        let (status, got) = ask(&head(1, &request(&format!("G{bad}T"), HOST, "/", &[]), true));
        assert!(status != 200 && got.is_empty(), "{byte} in the method: {status} {got}");
        let (status, got) = ask(&head(1, &request("GET", &format!("a.test{bad}"), "/", &[]), true));
        assert!(status != 200 && got.is_empty(), "{byte} in the authority: {status} {got}");
    }
}
