//! HTTP/2 towards backends, which are Node's own servers, so that both sides are not the same
//! library (SPEC 5 and 6).

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use proxyd_e2e::frames::{self, code, data, fields, frame, get, head, kind, setting, settings};
use proxyd_e2e::{Caller, Frames, Outcome, Program, Proxy, Session, wait_for};

const HOST: &str = "a.test";
/// How often the proxy asks the same endpoint again that refused.
const REFUSED_MAX: usize = 4;

/// Says on its output where it listens, and of each connection that it came.
/// Arguments: a port or 0, `h2c`, `h2`, `h1` or `both`, and the certificate and key of TLS.
const SERVER: &str = r#"
const http2 = require("http2"), https = require("https"), fs = require("fs");
const [port, kind, cert, key] = process.argv.slice(1);
const tls = cert && { cert: fs.readFileSync(cert), key: fs.readFileSync(key) };
const answer = (req, res) => {
  const { method, url, headers } = req;
  if (url === "/slow") return setTimeout(() => res.end("slow"), 300);
  if (url === "/hang") return console.log("hangs");
  if (url === "/endless") {
    const piece = Buffer.alloc(16384, "e");
    const more = () => { while (!res.destroyed && res.write(piece)); };
    res.on("drain", more); return more();
  }
  if (url === "/midway") {
    res.writeHead(200, { "content-length": 100000 }); res.write("begun");
    return console.log("begun");
  }
  if (url === "/hints" && res.stream) {
    res.stream.additionalHeaders({ ":status": 103, link: "</x>; rel=preload" });
    return res.end("hinted");
  }
  if (url === "/refuse" && req.stream) {
    if (!globalThis.refused) { globalThis.refused = true; console.log("refused"); return req.stream.close(http2.constants.NGHTTP2_REFUSED_STREAM); }
    return res.end("not refused");
  }
  if (url === "/reset" && req.stream) return req.stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
  if (url === "/goaway" && req.stream) {
    // Once: a second one may not name a later stream.
    const session = req.stream.session; if (!session.gone) session.goaway(0);
    session.gone = true; res.setHeader("content-length", 4); return res.end("last"); }
  if (url.startsWith("/ends/") && res.stream) {
    res.stream.on("close", () => console.log(url, "ended with code", res.stream.rstCode));
    return req.on("data", () => {}).on("end", () => {
      const sum = String(req.trailers["x-sum"]);
      res.writeHead(200, { "content-length": 4 });
      // The end comes by itself: the last byte does not know of it.
      res.write("body", () => setTimeout(() => {
        if (url === "/ends/trailers") res.addTrailers({ "x-back": sum });
        res.end();
      }, 20));
    });
  }
  if (url === "/empty") { res.stream.respond({ ":status": 201 }, { endStream: true }); return; }
  if (url === "/no-body") { res.writeHead(204); return res.end(); }
  let length = 0, sum = 0;
  req.on("data", (piece) => { length += piece.length; for (const byte of piece) sum = (sum * 31 + byte) >>> 0; });
  req.on("end", () => {
    if (url === "/large") { res.setHeader("x-sum", sum); return res.end(Buffer.alloc(length, "r")); }
    if (url === "/trailers") {
      res.setHeader("trailer", "x-back"); res.write("body");
      res.addTrailers({ "x-back": String(req.trailers["x-sum"]) }); return res.end();
    }
    const seen = { version: req.httpVersion, method, url, headers, length, sum };
    const text = JSON.stringify(seen);
    res.setHeader("content-length", text.length); res.end(text);
  });
};
const server = kind === "h2c" ? http2.createServer({ peerMaxConcurrentStreams: 100, settings: { maxConcurrentStreams: 100 } }, answer)
  : kind === "h2" ? http2.createSecureServer({ ...tls, allowHTTP1: false }, answer)
  : kind === "both" ? http2.createSecureServer({ ...tls, allowHTTP1: true }, answer)
  : https.createServer(tls, answer);
server.on(kind === "h2c" ? "session" : "secureConnection", () => console.log("connection"));
server.listen(Number(port), "127.0.0.1", () => console.log("port", server.address().port));
"#;

/// A running server.
struct Node {
    program: Program,
    port: u16,
}

impl Node {
    fn start(kind: &str, port: u16, files: &[&str]) -> Self {
        let mut command = Command::new("node");
        command.args(["-e", SERVER, &port.to_string(), kind]).args(files);
        let program = Program::start(&mut command).unwrap();
        let port = wait_for("the port of the server", || {
            let said = program.said();
            said.lines().find_map(|line| line.strip_prefix("port ")?.parse().ok())
        });
        Self { program, port }
    }

    fn connections(&self) -> usize {
        self.program.said().matches("connection\n").count()
    }
}

fn proxy(url: &str, extra: &str) -> (Proxy, Session) {
    let proxy = Proxy::start_with(extra);
    let (session, _) = Session::serve(&proxy, "web", "web.1", (HOST, url));
    (proxy, session)
}

fn h2c() -> (Node, Proxy, Session) {
    let node = Node::start("h2c", 0, &[]);
    let (proxy, session) = proxy(&format!("h2c://127.0.0.1:{}", node.port), "");
    (node, proxy, session)
}

/// A certificate for loopback, signed by itself: its file, its key's file.
fn certificate(folder: &Path) -> (String, String) {
    let minted = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, minted.cert.pem()).unwrap();
    std::fs::write(&key, minted.signing_key.serialize_pem()).unwrap();
    (certificate.display().to_string(), key.display().to_string())
}

#[test]
fn requests_in_text_and_in_frames_go_on_in_frames() {
    let (_node, proxy, _session) = h2c();
    let mut caller = Caller::connect(proxy.http()).unwrap();
    let said = caller.get(HOST, "/p?q=1", "Cookie: a=1\r\nX-Own: 2\r\nTE: trailers\r\n").unwrap();
    for part in
        [r#""version":"2.0""#, r#""url":"/p?q=1""#, r#"":authority":"a.test""#, r#""x-own":"2""#]
    {
        assert!(said.body.contains(part), "{part}: {}", said.body);
    }
    assert!(!said.body.contains(r#""host""#) && !said.body.contains(r#""connection""#));
    let mut client = Frames::connect(proxy.http()).unwrap();
    let Outcome::Answer(answer) = client.get(1, HOST, "/f").unwrap() else { panic!("no answer") };
    assert!(answer.text().contains(r#""url":"/f""#), "{answer:?}");
    // A fragment is nobody's business but the client's: no second reading of the path.
    let Outcome::Answer(answer) = client.get(3, HOST, "/f#x?y").unwrap() else { panic!("none") };
    assert!(answer.text().contains(r#""url":"/f""#), "{answer:?}");
    // No body is no body, and HEAD none either.
    caller.send(&format!("HEAD / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).unwrap();
    let mut text = [0; 12];
    caller.stream.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"HTTP/1.1 200");
    let mut said = Caller::connect(proxy.http()).unwrap();
    said.send(&format!("GET /no-body HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"))
        .unwrap();
    let mut text = String::new();
    said.stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 204") && text.ends_with("\r\n\r\n"), "{text}");
}

/// A head that ends its stream says so; a client in text has to be told, or it waits for a body.
#[test]
fn an_empty_answer_is_one_in_text_too() {
    let (_node, proxy, _session) = h2c();
    let mut caller = Caller::connect(proxy.http()).unwrap();
    for _ in 0..2 {
        let said = caller.get(HOST, "/empty", "").unwrap();
        assert_eq!((said.status, &*said.body), (201, ""), "and the connection goes on");
    }
}

#[test]
fn large_bodies_and_trailers_go_both_ways() {
    let (_node, proxy, _session) = h2c();
    let body: Vec<u8> = (0..8_u32 << 20).map(|n| (n % 251) as u8).collect();
    let sum =
        body.iter().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
    // In text.
    let length = body.len();
    let mut stream = Caller::connect(proxy.http()).unwrap();
    let lines = format!("Content-Length: {length}\r\nConnection: close");
    stream.send(&format!("POST /large HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n\r\n")).unwrap();
    let mut writer = stream.stream.try_clone().unwrap();
    let mut got = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| writer.write_all(&body).unwrap());
        stream.stream.read_to_end(&mut got).unwrap();
    });
    let text = String::from_utf8_lossy(&got);
    assert!(text.contains(&format!("x-sum: {sum}\r\n")), "{}", &text[..300]);
    assert!(got.iter().filter(|byte| **byte == b'r').count() >= length, "{}", got.len());
    // In frames, with trailers.
    let mut client = Frames::connect(proxy.http()).unwrap();
    let request = frames::request("POST", HOST, "/trailers", &[("te", "trailers")]);
    let trailers = head(1, &fields(&[("x-sum", "7")]), true);
    client.send(&[head(1, &request, false), data(1, b"abc", false), trailers].concat()).unwrap();
    let Outcome::Answer(answer) = client.outcome(1).unwrap() else { panic!("no answer") };
    assert_eq!((answer.status, &*answer.text()), (200, "body"));
    assert_eq!(answer.trailers, [("x-back".to_owned(), "7".to_owned())]);
    // In text, with trailers.
    let mut stream = Caller::connect(proxy.http()).unwrap();
    let chunks = "3\r\nabc\r\n0\r\nX-Sum: 8\r\n\r\n";
    stream
        .send(&format!("POST /trailers HTTP/1.1\r\nHost: {HOST}\r\nTE: trailers\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"))
        .unwrap();
    let mut text = String::new();
    stream.stream.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("4\r\nbody\r\n0\r\nx-back: 8\r\n\r\n"), "{text}");
}

/// A length says where the payload ends, and not the message: that is said by its stream.
#[test]
fn messages_with_a_length_end_with_their_streams() {
    let (node, proxy, _session) = h2c();
    let mut client = Frames::connect(proxy.http()).unwrap();
    let post = |stream, path, length| {
        head(stream, &frames::request("POST", HOST, path, &[("content-length", length)]), false)
    };
    let trailers = |stream| head(stream, &fields(&[("x-sum", "7")]), true);
    for (stream, body, path, back) in [
        (1, [data(1, b"abc", false), trailers(1)].concat(), "/ends/trailers", Some("7")),
        (
            3,
            [data(3, b"abc", false), data(3, b"", true)].concat(),
            "/ends/trailers",
            Some("undefined"),
        ),
        (5, [data(5, b"abc", false), trailers(5)].concat(), "/ends/empty", None),
        (7, data(7, b"abc", true), "/ends/empty", None),
        (9, trailers(9), "/ends/trailers", Some("7")),
        (11, data(11, b"", true), "/ends/trailers", Some("undefined")),
    ] {
        let length = if stream < 9 { "3" } else { "0" };
        client.send(&[post(stream, path, length), body].concat()).unwrap();
        let Outcome::Answer(answer) = client.outcome(stream).unwrap() else { panic!("{stream}") };
        assert_eq!((answer.status, &*answer.text()), (200, "body"), "{stream}");
        let back: Vec<_> =
            back.map(|sum| ("x-back".to_owned(), sum.to_owned())).into_iter().collect();
        assert_eq!(answer.trailers, back, "{stream}");
    }
    // In text there is no place for trailers after a length; the backend's stream ends well.
    let mut caller = Caller::connect(proxy.http()).unwrap();
    for path in ["/ends/trailers", "/ends/empty"] {
        let said = caller.get(HOST, path, "").unwrap();
        assert_eq!((said.status, &*said.body), (200, "body"), "{path}");
    }
    let ended = wait_for("all streams to end", || {
        let said = node.program.said();
        (said.matches("ended with code").count() == 8).then_some(said)
    });
    assert_eq!(ended.matches("ended with code 0\n").count(), 8, "{ended}");
}

#[test]
fn interim_responses_come_from_frames() {
    let (_node, proxy, _session) = h2c();
    let mut client = Frames::connect(proxy.http()).unwrap();
    let Outcome::Answer(answer) = client.get(1, HOST, "/hints").unwrap() else { panic!("none") };
    assert_eq!(
        (answer.interim.as_slice(), answer.status, &*answer.text()),
        (&[103][..], 200, "hinted")
    );
    let mut caller = Caller::connect(proxy.http()).unwrap();
    caller
        .send(&format!("GET /hints HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"))
        .unwrap();
    let mut text = String::new();
    caller.stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 103 ") && text.contains("HTTP/1.1 200 "), "{text}");
}

/// Whatever the backend never looked at goes there again, whether harmless or not (SPEC 4).
#[test]
fn what_was_refused_is_asked_again() {
    let (node, proxy, _session) = h2c();
    let mut client = Frames::connect(proxy.http()).unwrap();
    client
        .send(
            &[head(1, &frames::request("POST", HOST, "/refuse", &[]), false), data(1, b"x", true)]
                .concat(),
        )
        .unwrap();
    let Outcome::Answer(answer) = client.outcome(1).unwrap() else { panic!("none") };
    assert_eq!((answer.status, &*answer.text()), (200, "not refused"));
    assert!(node.program.said().contains("refused"));
    // One that was looked at is a failure when it may not be asked twice.
    client
        .send(
            &[head(3, &frames::request("POST", HOST, "/reset", &[]), false), data(3, b"x", true)]
                .concat(),
        )
        .unwrap();
    assert_eq!(client.outcome(3).unwrap().status(), 502);
    assert_eq!(client.get(5, HOST, "/after").unwrap().status(), 200, "the connection goes on");
}

/// A server that goes away: no request fails over that, many at a time.
#[test]
fn a_connection_that_takes_no_more_is_replaced() {
    let (node, proxy, _session) = h2c();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Frames::connect(proxy.http()).unwrap();
                for stream in (1..200).step_by(2) {
                    let path = if stream % 20 == 1 { "/goaway" } else { "/" };
                    let outcome = client.get(stream, HOST, path).unwrap();
                    assert_eq!(outcome.status(), 200, "{path}: {outcome:?}");
                }
            });
        }
    });
    assert!(node.connections() > 2, "{}", node.connections());
}

/// GOAWAY with a last stream below those that are open: the rest was not looked at.
#[test]
fn what_is_above_the_last_stream_is_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let mut asked = 0;
        let mut served = Vec::new();
        while served.len() < 2 {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(&settings(&[])).unwrap();
            let mut input = vec![0; frames::PREFACE.len()];
            stream.read_exact(&mut input).unwrap();
            loop {
                let mut nine = [0; 9];
                if stream.read_exact(&mut nine).is_err() {
                    break;
                }
                let length = u32::from_be_bytes([0, nine[0], nine[1], nine[2]]);
                stream.read_exact(&mut vec![0; length as usize]).unwrap();
                if nine[3] == kind::SETTINGS && nine[4] == 0 {
                    stream.write_all(&frame(kind::SETTINGS, frames::ACK, 0, b"")).unwrap();
                }
                if nine[3] != kind::HEADERS {
                    continue;
                }
                asked += 1;
                let number = u32::from_be_bytes([nine[5], nine[6], nine[7], nine[8]]);
                if asked == 1 {
                    // Nothing was looked at, and nothing will be.
                    stream.write_all(&frame(kind::GOAWAY, 0, 0, &[0; 8])).unwrap();
                    break;
                }
                served.push(number);
                let answer =
                    head(number, &fields(&[(":status", "200"), ("content-length", "0")]), true);
                stream.write_all(&answer).unwrap();
                if served.len() == 2 {
                    break;
                }
            }
            // What comes and is not read would reset the connection, and undo what was said.
            let _ = stream.shutdown(Shutdown::Write);
            thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
        }
    });
    let (proxy, _session) = proxy(&url, "");
    let mut client = Frames::connect(proxy.http()).unwrap();
    let post = |stream| head(stream, &frames::request("POST", HOST, "/", &[]), true);
    client.send(&post(1)).unwrap();
    assert_eq!(client.outcome(1).unwrap().status(), 200);
    client.send(&post(3)).unwrap();
    assert_eq!(client.outcome(3).unwrap().status(), 200);
    server.join().unwrap();
}

/// One that refuses everything is asked a few times, and no more.
#[test]
fn a_backend_that_refuses_everything_is_let_alone() {
    let (asked, listener) =
        (Arc::new(AtomicUsize::new(0)), TcpListener::bind("127.0.0.1:0").unwrap());
    let (url, counted) = (format!("h2c://{}", listener.local_addr().unwrap()), Arc::clone(&asked));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let counted = Arc::clone(&counted);
            thread::spawn(move || {
                let _ = stream.write_all(&settings(&[]));
                let _ = stream.read_exact(&mut vec![0; frames::PREFACE.len()]);
                let mut nine = [0; 9];
                while stream.read_exact(&mut nine).is_ok() {
                    let length = u32::from_be_bytes([0, nine[0], nine[1], nine[2]]);
                    let _ = stream.read_exact(&mut vec![0; length as usize]);
                    let number = u32::from_be_bytes([nine[5], nine[6], nine[7], nine[8]]);
                    let _ = match nine[3] {
                        kind::HEADERS => {
                            counted.fetch_add(1, Ordering::SeqCst);
                            stream.write_all(&frames::reset(number, code::REFUSED_STREAM))
                        }
                        kind::SETTINGS if nine[4] == 0 => {
                            stream.write_all(&frame(kind::SETTINGS, frames::ACK, 0, b""))
                        }
                        _ => Ok(()),
                    };
                }
            });
        }
    });
    let (proxy, _session) = proxy(&url, "");
    let mut client = Frames::connect(proxy.http()).unwrap();
    assert_eq!(client.get(1, HOST, "/").unwrap().status(), 502);
    assert_eq!(asked.load(Ordering::SeqCst), 1 + REFUSED_MAX);
}

#[test]
fn a_backend_that_is_killed_midway_leaves_nobody_waiting() {
    let (node, proxy, _session) = h2c();
    let mut clients: Vec<_> = (0..10).map(|_| Frames::connect(proxy.http()).unwrap()).collect();
    for client in &mut clients {
        client.send(&[get(1, HOST, "/midway"), get(3, HOST, "/hang")].concat()).unwrap();
        assert_eq!(client.payload(1, 5).unwrap(), b"begun");
    }
    wait_for("requests to hang", || {
        (node.program.said().matches("hangs").count() == 10).then_some(())
    });
    node.program.signal(9);
    for client in &mut clients {
        // What was begun is cut, and what was not is an error; the connection goes on.
        assert_eq!(client.outcome(1).unwrap(), Outcome::Reset(code::INTERNAL_ERROR));
        let status = client.outcome(3).unwrap().status();
        assert!(matches!(status, 502 | 503), "{status}");
        assert!(client.is_alive().unwrap());
    }
}

/// 200 requests at a time, and no more connections than it takes for 100 streams each.
#[test]
fn many_requests_share_few_connections() {
    let (node, proxy, _session) = h2c();
    let mut clients: Vec<_> = (0..4).map(|_| Frames::connect(proxy.http()).unwrap()).collect();
    for client in &mut clients {
        let requests: Vec<u8> = (0..50).flat_map(|n| get(2 * n + 1, HOST, "/slow")).collect();
        client.send(&requests).unwrap();
    }
    for client in &mut clients {
        for n in 0..50 {
            assert_eq!(client.outcome(2 * n + 1).unwrap().status(), 200);
        }
    }
    // Two workers, each with at most two for its share.
    assert!(node.connections() <= 5, "{}", node.connections());
}

/// Clients that do not read must not hold up what others get from the same backend.
#[test]
fn clients_that_do_not_read_hold_nobody_up() {
    let (_node, proxy, _session) = h2c();
    let mut idle: Vec<_> = (0..16).map(|_| Frames::connect(proxy.http()).unwrap()).collect();
    for client in &mut idle {
        client.grant_nothing();
        client.send(&get(1, HOST, "/endless")).unwrap();
        // The window is full: 65 535 bytes.
        client.payload(1, 65_535).unwrap();
    }
    for _ in 0..4 {
        let mut client = Frames::connect(proxy.http()).unwrap();
        let request = frames::request("POST", HOST, "/large", &[]);
        client.send(&[head(1, &request, false), data(1, &[b'x'; 60_000], true)].concat()).unwrap();
        let Outcome::Answer(answer) = client.outcome(1).unwrap() else { panic!("none") };
        assert_eq!((answer.status, answer.body.len()), (200, 60_000));
    }
}

/// A stream of many small messages to a client that is slow is no attack on anybody, and costs
/// others nothing.
#[test]
fn small_messages_may_wait_for_a_slow_client() {
    let (calm, messages) = (Arc::new(AtomicBool::new(true)), 256 * 1024 / MESSAGE.len());
    let (listener, seen) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::clone(&calm));
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let seen = Arc::clone(&seen);
            thread::spawn(move || chatter(stream, messages, &seen));
        }
    });
    let (proxy, _session) = proxy(&url, "");
    let mut slow: Vec<_> = (0..4).map(|_| Frames::connect(proxy.http()).unwrap()).collect();
    for client in &mut slow {
        client.grant_nothing();
        let request = frames::request("BREW", HOST, "/", &[]);
        client.send(&head(1, &request, true)).unwrap();
        client.payload(1, 65_535 / MESSAGE.len() * MESSAGE.len()).unwrap();
    }
    let mut other = Frames::connect(proxy.http()).unwrap();
    for stream in (1..100).step_by(2) {
        assert_eq!(other.get(stream, HOST, "/").unwrap().status(), 200);
    }
    for client in &mut slow {
        let more = [frames::window_update(1, 1 << 20), frames::window_update(0, 1 << 20)];
        client.send(&more.concat()).unwrap();
        let Outcome::Answer(answer) = client.outcome(1).unwrap() else { panic!("cut off") };
        let before = 65_535 / MESSAGE.len();
        assert_eq!(answer.body.len(), (messages - before) * MESSAGE.len());
    }
    assert!(calm.load(Ordering::SeqCst), "the proxy ended a connection");
}

/// A backend that takes nothing of any body.
fn takes_nothing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(&settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]));
            let _ = stream.write_all(&frame(kind::SETTINGS, frames::ACK, 0, b""));
            thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
        }
    });
    url
}

/// The same in the other direction: a backend that takes nothing yet.
#[test]
fn small_messages_may_wait_for_a_slow_backend() {
    let (proxy, _session) = proxy(&takes_nothing(), "");
    let mut client = Frames::connect(proxy.http()).unwrap();
    client.send(&head(1, &frames::request("POST", HOST, "/", &[]), false)).unwrap();
    // As much as the window of a stream takes.
    let messages = data(1, MESSAGE, false).repeat(256 * 1024 / MESSAGE.len());
    client.send(&messages).unwrap();
    assert!(client.is_alive().unwrap(), "{:?}", client.goaway());
    assert_eq!(client.get(3, "nobody.test", "/").unwrap().status(), 404);
}

/// Uploads that nobody takes leave room for others over the same connection.
#[test]
fn stuck_uploads_do_not_stop_their_connection() {
    let (proxy, mut session) = proxy(&takes_nothing(), "");
    let node = Node::start("h2c", 0, &[]);
    session.stage("b.test", "/", &format!("h2c://127.0.0.1:{}", node.port));
    session.expect("CONFIG_APPLY|$sid", "OK");
    let mut client = Frames::connect(proxy.http()).unwrap();
    for stream in (1..15).step_by(2) {
        client.send(&head(stream, &frames::request("POST", HOST, "/", &[]), false)).unwrap();
        client.send(&data(stream, &[b'x'; 16 * 1024], false).repeat(16)).unwrap();
    }
    assert!(client.is_alive().unwrap(), "{:?}", client.goaway());
    let request = frames::request("POST", "b.test", "/large", &[]);
    client.send(&[head(15, &request, false), data(15, &[b'x'; 16_000], true)].concat()).unwrap();
    let Outcome::Answer(answer) = client.outcome(15).unwrap() else { panic!("none") };
    assert_eq!((answer.status, answer.body.len()), (200, 16_000));
}

/// As small as of server-sent events.
const MESSAGE: &[u8] = b"data: x\n\n";

/// Answers BREW with so many messages, each in a frame of its own, and everything else at once.
fn chatter(mut stream: TcpStream, messages: usize, calm: &AtomicBool) {
    let _ = stream.write_all(&settings(&[(setting::HEADER_TABLE_SIZE, 0)]));
    let _ = stream.read_exact(&mut vec![0; frames::PREFACE.len()]);
    let mut nine = [0; 9];
    while stream.read_exact(&mut nine).is_ok() {
        let length = u32::from_be_bytes([0, nine[0], nine[1], nine[2]]);
        let number = u32::from_be_bytes([nine[5], nine[6], nine[7], nine[8]]);
        let mut payload = vec![0; length as usize];
        let _ = stream.read_exact(&mut payload);
        let answer = match nine[3] {
            kind::GOAWAY => {
                calm.fetch_and(payload[4..8] == [0; 4], Ordering::SeqCst);
                continue;
            }
            kind::SETTINGS if nine[4] == 0 => frame(kind::SETTINGS, frames::ACK, 0, b""),
            kind::HEADERS => {
                // GET is the second field of the static table; before it may come a table's size.
                let brews = payload.iter().find(|byte| **byte != 0x20) != Some(&0x82);
                let mut answer = head(number, &fields(&[(":status", "200")]), !brews);
                for _ in 0..if brews { messages } else { 0 } {
                    answer.extend(data(number, MESSAGE, false));
                }
                if brews {
                    answer.extend(data(number, b"", true));
                }
                answer
            }
            _ => continue,
        };
        let _ = stream.write_all(&answer);
    }
}

/// By ALPN, and what it chose may be another thing after a restart.
#[test]
fn a_backend_with_tls_chooses() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(folder.path());
    let files = [&*certificate, &*key];
    let extra = format!("[backends]\nca = [{certificate:?}]\n");
    let mut node = Node::start("h2", 0, &files);
    let port = node.port;
    let (proxy, mut session) = proxy(&format!("https://127.0.0.1:{port}"), &extra);
    for (kind, wanted) in [("h2", "2.0"), ("h1", "1.1"), ("h2", "2.0"), ("h1", "1.1")] {
        drop(node);
        node = Node::start(kind, port, &files);
        // It was away for a moment, and may be left alone for another one.
        wait_for("the backend to be back", || {
            (Caller::once(proxy.http(), HOST, "/").status == 200).then_some(())
        });
        for _ in 0..5 {
            let said = Caller::once(proxy.http(), HOST, "/");
            assert_eq!(said.status, 200, "{said:?}");
            assert!(said.body.contains(&format!(r#""version":"{wanted}""#)), "{wanted}: {said:?}");
        }
    }
    // With the option it is asked in text, whatever it could do.
    drop(node);
    let _node = Node::start("both", port, &files);
    let version = || {
        let said = Caller::once(proxy.http(), HOST, "/");
        let at = said.body.find(r#""version":""#)? + r#""version":""#.len();
        said.body.get(at..at + 3).map(str::to_owned)
    };
    wait_for("HTTP/2", || (version()? == "2.0").then_some(()));
    session.expect("OPTIONS_SET|$sid|r1|http2|false", "OPTIONS_OK");
    session.expect("CONFIG_APPLY|$sid", "OK");
    for _ in 0..5 {
        assert_eq!(version().as_deref(), Some("1.1"));
    }
}
