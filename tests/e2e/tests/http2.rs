//! HTTP/2 from clients: curl over TLS and with prior knowledge, and raw frames where what happens
//! between two of them matters (SPEC 6).

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use proxyd_e2e::frames::{self, code, data, fields, get, head, request, reset, setting};
use proxyd_e2e::{Backend, Frames, Outcome, Proxy, Registry, Session, accept, wait_for};

const HOST: &str = "a.test";

fn with_route(url: &str) -> (Proxy, Registry) {
    let proxy = Proxy::start();
    let mut registry = proxy.registry();
    registry.serve("web", "1", &[(HOST, "/", url)]);
    (proxy, registry)
}

/// A backend that answers each connection's first request with these bytes, and hands back what it
/// read up to `until`.
fn scripted(until: &'static [u8], says: Vec<u8>) -> (String, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (heard, hears) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (says, heard) = (says.clone(), heard.clone());
            thread::spawn(move || -> std::io::Result<()> {
                let mut stream = stream;
                let (mut got, mut piece) = (Vec::new(), [0; 4096]);
                while !got.ends_with(until) {
                    let n = stream.read(&mut piece)?;
                    if n == 0 {
                        break;
                    }
                    got.extend_from_slice(&piece[..n]);
                }
                let _ = heard.send(got);
                stream.write_all(&says)?;
                // Until the other side has what it wants.
                stream.shutdown(std::net::Shutdown::Write)?;
                std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
            });
        }
    });
    (url, hears)
}

/// What curl says with prior knowledge: heads and body.
fn curl(proxy: &Proxy, path: &str, more: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["-sS", "-m", "20", "--http2-prior-knowledge", "-i", "--path-as-is"])
        .args(["--connect-to", &format!("{HOST}:80:{}", proxy.http())])
        .args(more)
        .arg(format!("http://{HOST}{path}"))
        .output()
        .unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn curl_is_served() {
    let backend = Backend::start("one");
    let (proxy, _lease) = with_route(&backend.url());
    let said = curl(&proxy, "/p?q=1", &["-H", "Cookie: a=1", "-H", "TE: trailers"]);
    assert!(said.starts_with("HTTP/2 200"), "{said}");
    for told in ["GET /p?q=1 HTTP/1.1", "Host: a.test", "X-Forwarded-Proto: http", "cookie: a=1"] {
        assert!(said.contains(told), "{told}: {said}");
    }
    let said = curl(&proxy, "/", &["--head"]);
    assert!(said.starts_with("HTTP/2 200") && said.contains("content-length: "), "{said}");
    assert!(!said.contains("HEAD / HTTP"), "no body: {said}");
    // Larger than every window.
    let folder = tempfile::tempdir().unwrap();
    let body = folder.path().join("body");
    std::fs::write(&body, vec![b'x'; 5 << 20]).unwrap();
    let upload = format!("@{}", body.display());
    let said = curl(&proxy, "/", &["--data-binary", &upload]);
    assert!(said.starts_with("HTTP/2 200") && said.contains("content-length: 5242880"), "{said}");
    // Answers of ours.
    let status = |host: &str, more: &[&str]| {
        let host = format!("Host: {host}");
        let said = curl(&proxy, "/", &[&["-H", &host], more].concat());
        said.get(7..10).unwrap_or_default().to_owned()
    };
    assert_eq!(status("nobody.test", &[]), "404");
    assert_eq!(status(HOST, &["-X", "TRACE"]), "405");
    let mut gone = proxy.registry();
    gone.serve("gone", "1", &[("gone.test", "/", "http://127.0.0.1:1")]);
    assert_eq!(status("gone.test", &[]), "503");
}

#[test]
fn bodies_of_unknown_length_and_trailers_go_both_ways() {
    let says = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n";
    let (url, heard) = scripted(b"x-sum: 9\r\n\r\n", says.to_vec());
    let (proxy, _lease) = with_route(&url);
    let mut client = Frames::connect(proxy.http()).unwrap();
    let asked = head(1, &request("POST", HOST, "/", &[("te", "trailers")]), false);
    let trailers = head(1, &fields(&[("x-sum", "9")]), true);
    let body = [data(1, b"abc", false), data(1, b"defg", false)].concat();
    client.send(&[asked, body, trailers].concat()).unwrap();
    let Outcome::Answer(answer) = client.outcome(1).unwrap() else { panic!("no answer") };
    assert_eq!((answer.status, &*answer.text()), (200, "hello"));
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "7".to_owned())]);
    for gone in ["transfer-encoding", "connection"] {
        assert_eq!(answer.field(gone), None);
    }
    let request = String::from_utf8(heard.recv().unwrap()).unwrap();
    assert!(request.contains("Transfer-Encoding: chunked\r\n"), "{request}");
    assert!(request.ends_with("0\r\nx-sum: 9\r\n\r\n"), "{request}");
    // An answer that ends with its connection, and one that is cut off.
    for (says, whole) in [
        ("HTTP/1.0 200 OK\r\n\r\nto the end", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nto the end", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", false),
    ] {
        let (url, _heard) = scripted(b"\r\n\r\n", says.into());
        let (proxy, _lease) = with_route(&url);
        let mut client = Frames::connect(proxy.http()).unwrap();
        match client.get(1, HOST, "/").unwrap() {
            Outcome::Answer(answer) => {
                assert!(whole && answer.text() == "to the end", "{answer:?}")
            }
            other => assert!(!whole && other == Outcome::Reset(code::INTERNAL_ERROR), "{other:?}"),
        }
        assert!(client.is_alive().unwrap());
    }
}

#[test]
fn cookies_that_come_in_crumbs_are_joined() {
    let backend = Backend::start("one");
    let (proxy, _lease) = with_route(&backend.url());
    let mut client = Frames::connect(proxy.http()).unwrap();
    let crumbs = [("cookie", "a=1"), ("x-a", "between"), ("cookie", "b=2"), ("cookie", "c=3")];
    client.send(&head(1, &request("GET", HOST, "/", &crumbs), true)).unwrap();
    let Outcome::Answer(answer) = client.outcome(1).unwrap() else { panic!("no answer") };
    let text = answer.text();
    assert!(text.contains("cookie: a=1; b=2; c=3\r\n"), "{text}");
    assert_eq!(text.matches("cookie:").count(), 1, "{text}");
}

#[test]
fn interim_responses_and_expectations_pass() {
    let says = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    let (url, heard) = scripted(b"\r\n\r\n", says.to_vec());
    let (proxy, _lease) = with_route(&url);
    let mut client = Frames::connect(proxy.http()).unwrap();
    let expects = [("expect", "100-continue"), ("content-length", "2")];
    client.send(&head(1, &request("PUT", HOST, "/", &expects), false)).unwrap();
    let head = String::from_utf8(heard.recv().unwrap()).unwrap();
    assert!(head.contains("expect: 100-continue\r\n"), "{head}");
    client.send(&data(1, b"hi", true)).unwrap();
    let Outcome::Answer(answer) = client.outcome(1).unwrap() else { panic!("no answer") };
    assert_eq!((answer.interim, answer.status), (vec![103, 100], 204));
    // An expectation nobody knows (RFC 9110, 10.1.1).
    let other = [("expect", "200-ok")];
    client.send(&frames::head(3, &request("GET", HOST, "/", &other), true)).unwrap();
    assert_eq!(client.outcome(3).unwrap().status(), 417);
}

#[test]
fn options_of_routes_hold() {
    let (says, large) = (
        |body: &str| {
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        },
        "t".repeat(10_000),
    );
    let (url, _heard) = scripted(b"\r\n\r\n", says(&large).into());
    let proxy = Proxy::start();
    let (mut session, route) = Session::serve(&proxy, "web", "web.1", (HOST, &url));
    session.expect(&format!("OPTIONS_SET|$sid|{route}|compression|true"), "OPTIONS_OK");
    session.expect(&format!("OPTIONS_SET|$sid|{route}|max_body|10"), "OPTIONS_OK");
    session.expect("CONFIG_APPLY|$sid", "OK");
    let said = curl(&proxy, "/", &["--compressed"]);
    assert!(said.starts_with("HTTP/2 200") && said.contains("content-encoding: "), "{said:.300}");
    assert!(said.ends_with(&large), "{}", said.len());
    // Answered before its body came, and then told to keep it (RFC 9113, 8.1). Not by curl, which
    // loses the answer when it reads that before it has sent its body (7.88: error 92).
    let mut client = Frames::connect(proxy.http()).unwrap();
    let upload = [("content-length", "19")];
    client.send(&head(1, &request("POST", HOST, "/", &upload), false)).unwrap();
    assert_eq!(client.outcome(1).unwrap().status(), 413);
    assert_eq!(client.outcome(1).unwrap(), Outcome::Reset(code::NO_ERROR));
    client.send(&data(1, b"more than ten bytes", true)).unwrap();
    assert!(client.is_alive().unwrap());
    session.expect(&format!("RATELIMIT_SET|$sid|{route}|2|1m"), "RATELIMIT_OK");
    session.expect("CONFIG_APPLY|$sid", "OK");
    let statuses: Vec<u16> =
        [3, 5, 7].map(|stream| client.get(stream, HOST, "/").unwrap().status()).into();
    assert_eq!(statuses, [200, 200, 429]);
    session.expect(&format!("RATELIMIT_SET|$sid|{route}|0|1m"), "RATELIMIT_OK");
    session.expect("CONFIG_APPLY|$sid", "OK");
    let entered = session.ask("MAINT_ENTER|$sid|ALL|");
    assert!(entered.starts_with("ACK") || entered.starts_with("MAINT_OK"), "{entered}");
    wait_for("maintenance", || {
        let said = curl(&proxy, "/", &[]);
        (said.starts_with("HTTP/2 503") && said.contains("retry-after: ")).then_some(())
    });
}

#[test]
fn a_hundred_streams_share_one_connection() {
    let backend = Backend::start_slow("slow", Duration::from_millis(300));
    let (proxy, _lease) = with_route(&backend.url());
    let mut client = Frames::connect(proxy.http()).unwrap();
    let all: Vec<u8> = (0..100).flat_map(|n| get(2 * n + 1, HOST, &format!("/{n}"))).collect();
    client.send(&all).unwrap();
    for n in 0..100 {
        let Outcome::Answer(answer) = client.outcome(2 * n + 1).unwrap() else { panic!("{n}") };
        assert!(answer.text().contains(&format!("GET /{n} HTTP")), "{answer:?}");
    }
    assert_eq!(backend.requests(), 100);
}

/// SPEC 6: "Routing changes never send GOAWAY, never close a connection, never drop a stream of
/// another route."
#[test]
fn applies_touch_no_stream_of_another_route() {
    // One byte at a time, for as long as the test likes.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (drip, drips) = mpsc::channel::<()>();
    let dripping = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut String::new()).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        while drips.recv().is_ok() {
            stream.write_all(b"1\r\n.\r\n").unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    let (proxy, _lease) = with_route(&url);
    let mut client = Frames::connect(proxy.http()).unwrap();
    client.send(&get(1, HOST, "/")).unwrap();
    assert_eq!(client.status(1).unwrap(), 200);
    let backend = Backend::start("other");
    let (mut session, _) = Session::serve(&proxy, "other", "1", ("other.test", &backend.url()));
    for n in 0..50 {
        session.stage(&format!("d{n}.test"), "/", &backend.url());
        session.expect("CONFIG_APPLY|$sid", "OK");
        drip.send(()).unwrap();
        assert_eq!(client.payload(1, 1).unwrap(), b".", "{n}");
        // The new route is there for the old connection.
        let stream = 2 * n + 3;
        assert_eq!(client.get(stream, &format!("d{n}.test"), "/").unwrap().status(), 200, "{n}");
        assert_eq!(client.goaway(), None);
    }
    drop(drip);
    assert_eq!(client.outcome(1).unwrap().status(), 200);
    dripping.join().unwrap();
}

/// TERM: what is in flight ends, on connections that are told so; nobody is cut off.
#[test]
fn a_drain_lets_streams_end() {
    let backend = Backend::start_slow("slow", Duration::from_millis(700));
    let (mut proxy, _lease) = with_route(&backend.url());
    let mut clients: Vec<_> = (0..4).map(|_| Frames::connect(proxy.http()).unwrap()).collect();
    for client in &mut clients {
        client.send(&(0..10).flat_map(|n| get(2 * n + 1, HOST, "/")).collect::<Vec<_>>()).unwrap();
    }
    wait_for("requests in flight", || (backend.requests() == 40).then_some(()));
    let mut quiet = Frames::connect(proxy.http()).unwrap();
    proxy.terminate();
    for client in &mut clients {
        for n in 0..10 {
            assert_eq!(client.outcome(2 * n + 1).unwrap().status(), 200, "{n}");
        }
        assert_eq!(client.end().unwrap(), Outcome::GoAway(code::NO_ERROR));
    }
    assert_eq!(quiet.end().unwrap(), Outcome::GoAway(code::NO_ERROR));
    assert!(proxy.wait(), "a good end");
}

/// A client that gives up a request frees its backend, and nobody else's.
#[test]
fn a_request_that_is_given_up_frees_its_backend() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (proxy, _lease) = with_route(&format!("http://{}", listener.local_addr().unwrap()));
    let (other, mut lease) = (Backend::start("other"), proxy.registry());
    lease.serve("other", "1", &[("other.test", "/", &other.url())]);
    let mut client = Frames::connect(proxy.http()).unwrap();
    client.send(&get(1, HOST, "/")).unwrap();
    let (mut backend, _) = listener.accept().unwrap();
    backend.set_read_timeout(Some(proxyd_e2e::PATIENCE)).unwrap();
    let mut byte = [0];
    backend.read_exact(&mut byte).unwrap();
    client.send(&reset(1, code::CANCEL)).unwrap();
    let mut rest = Vec::new();
    let _ = backend.read_to_end(&mut rest);
    assert_eq!(client.get(3, "other.test", "/").unwrap().status(), 200);
    // So does one that goes with all its requests.
    client.send(&get(5, HOST, "/")).unwrap();
    let (mut backend, _) = listener.accept().unwrap();
    backend.set_read_timeout(Some(proxyd_e2e::PATIENCE)).unwrap();
    drop(client);
    let _ = backend.read_to_end(&mut rest);
}

/// A folder with a certificate, which can be renewed.
struct Files(tempfile::TempDir);

impl Files {
    fn renew(&self) {
        let minted = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
        for (name, pem) in
            [("cert.pem", minted.cert.pem()), ("key.pem", minted.signing_key.serialize_pem())]
        {
            let beside = self.0.path().join("new");
            std::fs::write(&beside, pem).unwrap();
            std::fs::rename(beside, self.0.path().join(name)).unwrap();
        }
    }
}

/// By ALPN; and a certificate that is renewed under load costs no request.
#[test]
fn tls_offers_it_and_a_renewed_certificate_costs_nothing() {
    let files = Files(tempfile::tempdir().unwrap());
    files.renew();
    let (cert, key) = (files.0.path().join("cert.pem"), files.0.path().join("key.pem"));
    let section = format!(
        "[https]\nlisten = [\"127.0.0.1:0\"]\ncertificates = [{{ cert = {cert:?}, key = {key:?} }}]\n"
    );
    let proxy = Proxy::start_with(&section);
    let backend = Backend::start("web");
    let (mut session, _) = Session::serve(&proxy, "web", "1", (HOST, &backend.url()));
    let ask = |ca: &[&str], more: &[&str]| {
        let output = Command::new("curl")
            .args([
                "-sS",
                "-m",
                "20",
                "--http2",
                "-o",
                "/dev/null",
                "-w",
                "%{http_version} %{http_code}\n",
            ])
            .args(["--connect-to", &format!("{HOST}:443:{}", proxy.https())])
            .args(ca)
            .args(more)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let url = format!("https://{HOST}/");
    assert_eq!(ask(&["-k"], &[&url]), "2 200\n");
    assert_eq!(ask(&["-k"], &["--http1.1", &url]), "1.1 200\n", "who wants text gets text");
    let other = ["-H", "Host: other.test", &url];
    assert_eq!(ask(&["-k"], &other), "2 421\n");
    session.expect("SUBSCRIBE|$sid|cert_renewed", "SUBSCRIBE_OK");
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    // Twenty of them over one connection.
                    let said = ask(&["-k"], &[&format!("{url}[1-20]")]);
                    assert_eq!(said, "2 200\n".repeat(20));
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        files.renew();
        let event = session.event();
        assert!(event.starts_with("EVENT|cert_renewed|"), "{event}");
        let ca = ["--cacert", cert.to_str().unwrap()];
        wait_for("the new certificate", || (ask(&ca, &[&url]) == "2 200\n").then_some(()));
        let so_far = asked.load(Ordering::SeqCst);
        wait_for("more requests", || (asked.load(Ordering::SeqCst) > so_far + 3).then_some(()));
        stop.store(true, Ordering::SeqCst);
    });
}

/// An HTTP/1.1 server that shakes hands and then gives every byte back; it says `bye` when the
/// other side ends, and then ends too.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || give_back(stream));
        }
    });
    url
}

fn give_back(mut stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let head = proxyd_e2e::read_head(&mut reader).ok()??;
    let field = |name| proxyd_e2e::field(&head, name);
    if !head.starts_with("GET ") || field("upgrade") != Some("websocket") {
        stream.write_all(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n").ok()?;
        return None;
    }
    // The key is the proxy's own: RFC 8441 has none.
    let key = field("sec-websocket-key")?;
    let version = field("sec-websocket-version")?.to_owned();
    let said = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         {}X-Seen: {} {version}\r\n\r\nhello",
        match field("x-accept") {
            Some("none") => String::new(),
            Some(wrong) => format!("Sec-WebSocket-Accept: {wrong}\r\n"),
            None => format!("Sec-WebSocket-Accept: {}\r\n", accept(key)),
        },
        key.len()
    );
    stream.write_all(said.as_bytes()).ok()?;
    let mut piece = [0; 4096];
    loop {
        match reader.read(&mut piece).ok()? {
            0 => return stream.write_all(b"bye").ok(),
            n => stream.write_all(&piece[..n]).ok()?,
        }
    }
}

/// RFC 8441, towards a backend that knows HTTP/1.1 alone.
#[test]
fn websockets_tunnel_over_a_stream() {
    let proxy = Proxy::start();
    let (mut session, route) = Session::serve(&proxy, "ws", "1", (HOST, &echo()));
    let mut client = Frames::connect(proxy.http()).unwrap();
    assert_eq!(client.settings.get(&setting::ENABLE_CONNECT_PROTOCOL), Some(&1));
    let handshake_with = |stream, more: &[(&str, &str)]| {
        let list = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":path", "/chat"),
            (":authority", HOST),
            ("sec-websocket-version", "13"),
        ];
        head(stream, &fields(&[&list, more].concat()), false)
    };
    let handshake = |stream| handshake_with(stream, &[]);
    client.send(&handshake(1)).unwrap();
    assert_eq!(client.status(1).unwrap(), 200);
    assert_eq!(client.payload(1, 5).unwrap(), b"hello");
    for message in [&b"one"[..], &[0x81, 0, 0xff], &[b'x'; 100_000]] {
        // A window is a window here as well.
        for piece in message.chunks(50_000) {
            client.send(&data(1, piece, false)).unwrap();
            assert_eq!(client.payload(1, piece.len()).unwrap(), piece);
        }
    }
    // Others have their own streams meanwhile.
    client.send(&handshake(3)).unwrap();
    assert_eq!(client.payload(3, 5).unwrap(), b"hello");
    assert_eq!(client.get(5, "nobody.test", "/").unwrap().status(), 404);
    // An apply touches neither.
    session.stage("more.test", "/", "http://127.0.0.1:9");
    session.expect("CONFIG_APPLY|$sid", "OK");
    client.send(&data(3, b"three", false)).unwrap();
    assert_eq!(client.payload(3, 5).unwrap(), b"three");
    // The client's end gets to the backend, and the backend's to the client.
    client.send(&data(1, b"", true)).unwrap();
    let Outcome::Answer(answer) = client.outcome(1).unwrap() else { panic!("no end") };
    assert_eq!(answer.text(), "bye");
    for gone in ["upgrade", "connection", "sec-websocket-accept"] {
        assert_eq!(answer.field(gone), None, "{gone}");
    }
    // A reset gets there as the end too, and does not hurt the connection.
    client.send(&reset(3, code::CANCEL)).unwrap();
    assert!(client.is_alive().unwrap());
    // Who does not answer the key does not speak the protocol.
    let mut stream = 101;
    for wrong in ["none", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="] {
        client.send(&handshake_with(stream, &[("x-accept", wrong)])).unwrap();
        assert_eq!(client.outcome(stream).unwrap().status(), 502, "{wrong}");
        stream += 2;
    }
    // Refused where the route says so.
    session.expect(&format!("OPTIONS_SET|$sid|{route}|websocket|false"), "OPTIONS_OK");
    session.expect("CONFIG_APPLY|$sid", "OK");
    client.send(&handshake(stream)).unwrap();
    assert_eq!(client.outcome(stream).unwrap().status(), 400);
    session.expect(&format!("OPTIONS_SET|$sid|{route}|websocket|true"), "OPTIONS_OK");
    session.expect("CONFIG_APPLY|$sid", "OK");
    session.ask("MAINT_ENTER|$sid|ALL|");
    wait_for("maintenance", || {
        stream += 2;
        client.send(&handshake(stream)).unwrap();
        let status = client.status(stream).unwrap();
        client.send(&reset(stream, code::CANCEL)).unwrap();
        (status == 503).then_some(())
    });
}
