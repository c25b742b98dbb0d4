//! HTTP/1.1 as clients and backends really speak it, byte for byte where bytes matter.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use proxyd_e2e::{Backend, Caller, PATIENCE, Proxy, Registry, accept, curl, get};

/// A backend that says exactly these bytes once it has read a request that ends in `until`, and
/// hands back what it read.
fn scripted(until: &'static [u8], says: &'static [u8]) -> (String, thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut got = Vec::new();
        let mut byte = [0; 4096];
        while !got.ends_with(until) {
            let n = stream.read(&mut byte).unwrap();
            assert_ne!(n, 0, "ended early: {}", got.escape_ascii());
            got.extend_from_slice(&byte[..n]);
        }
        stream.write_all(says).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        got
    });
    (url, served)
}

fn with_route(url: &str) -> (Proxy, Registry) {
    let proxy = Proxy::start();
    let mut registry = proxy.registry();
    registry.serve("web", "1", &[("a.test", "/", url)]);
    (proxy, registry)
}

#[test]
fn heads_keep_their_order_and_case() {
    let says = b"HTTP/1.1 200 Fine\r\nX-b: 1\r\nx-A: 2\r\nContent-Length: 2\r\nConnection: X-Hop\r\nX-Hop: gone\r\n\r\nhi";
    let (url, backend) = scripted(b"\r\n\r\n", says);
    let (proxy, _lease) = with_route(&url);
    let answer = proxy.raw(b"GET /p/%7e?q=1 HTTP/1.1\r\nhOST: a.test\r\nB-second: 2\r\nA-first: 1\r\nConnection: close, X-Mine\r\nX-Mine: gone\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n",
    );
    assert_eq!(
        answer,
        "HTTP/1.1 200 Fine\r\nX-b: 1\r\nx-A: 2\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
    );
    let request = String::from_utf8(backend.join().unwrap()).unwrap();
    assert!(
        request.starts_with(
            "GET /p/%7e?q=1 HTTP/1.1\r\nhOST: a.test\r\nB-second: 2\r\nA-first: 1\r\n"
        ),
        "{request}"
    );
    assert!(request.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{request}");
    for gone in ["X-Mine", "9.9.9.9", "Connection"] {
        assert!(!request.contains(gone), "{gone}: {request}");
    }
    for told in ["X-Forwarded-Proto: http", "X-Forwarded-Host: a.test", "X-Real-IP: 127.0.0.1"] {
        assert!(request.contains(told), "{told}: {request}");
    }
    for made in ["X-Request-Id: ", "traceparent: 00-"] {
        assert_eq!(request.matches(made).count(), 1, "{made}: {request}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::start("one");
    let (proxy, _lease) = with_route(&backend.url());
    let answer = proxy.raw(b"GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabcHEAD /3 HTTP/1.1\r\nHost: a.test\r\n\r\nGET /4 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
    );
    let places: Vec<_> =
        ["GET /1 ", "POST /2 ", "GET /4 "].iter().map(|line| answer.find(line)).collect();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{places:?} {answer}");
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 3 + 1, "{answer}");
}

#[test]
fn bodies_stream_in_chunks_both_ways() {
    let says = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n";
    let (url, backend) = scripted(b"0\r\n\r\n", says);
    let (proxy, _lease) = with_route(&url);
    let answer = proxy.raw(b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n",
    );
    assert!(answer.ends_with("\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n"), "{answer}");
    let request = String::from_utf8(backend.join().unwrap()).unwrap();
    assert!(request.ends_with("\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"), "{request}");
}

#[test]
fn a_body_without_an_end_gets_chunks_or_an_end() {
    let says = b"HTTP/1.0 200 OK\r\n\r\nto the end";
    for (version, ends) in
        [("1.1", "\r\n\r\na\r\nto the end\r\n0\r\n\r\n"), ("1.0", "\r\n\r\nto the end")]
    {
        let (url, backend) = scripted(b"\r\n\r\n", says);
        let (proxy, _lease) = with_route(&url);
        let request = format!("GET / HTTP/{version}\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        let answer = proxy.raw(request.as_bytes());
        assert!(answer.ends_with(ends), "{version}: {answer}");
        backend.join().unwrap();
    }
}

#[test]
fn interim_responses_and_expectations_pass() {
    let says = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    let (url, backend) = scripted(b"\r\n\r\n", says);
    let (proxy, _lease) = with_route(&url);
    let mut stream = TcpStream::connect(proxy.http()).unwrap();
    stream
        .write_all(b"PUT / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut got = String::new();
    let mut piece = [0; 4096];
    while !got.contains("100 Continue\r\n\r\n") {
        let n = stream.read(&mut piece).unwrap();
        assert_ne!(n, 0, "{got}");
        got.push_str(&String::from_utf8_lossy(&piece[..n]));
    }
    let _ = stream.write_all(b"hi");
    let _ = stream.read_to_string(&mut got);
    assert!(
        got.starts_with("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue"),
        "{got}"
    );
    assert!(got.contains("HTTP/1.1 204 No Content\r\n"), "{got}");
    assert!(String::from_utf8(backend.join().unwrap()).unwrap().contains("Expect: 100-continue"));
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let backend = Backend::start("one");
    let (proxy, _lease) = with_route(&backend.url());
    #[rustfmt::skip]
    let table: [(&str, &str); 14] = [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost : a.test\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: +1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\nHost: a.test\n\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nX: a\r\n b\r\n\r\n", "400"),
        ("GET /a\\b HTTP/1.1\r\nHost: a.test\r\n\r\n", "400"),
        ("GET /%00 HTTP/1.1\r\nHost: a.test\r\n\r\n", "400"),
        ("GET /../x HTTP/1.1\r\nHost: a.test\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400"),
        ("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n", "405"),
        ("TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n", "405"),
    ];
    for (request, status) in table {
        let answer = proxy.raw(request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
    }
    assert_eq!(backend.requests(), 0);
}

#[test]
fn our_own_answers_say_what_and_not_where() {
    let proxy = Proxy::start();
    let answer = get(&proxy, "nobody.test", "/");
    assert_eq!(answer.status, 404);
    for said in ["application/problem+json", "Proxy-Status: proxyd; error=", "X-Request-Id: "] {
        assert!(answer.text.contains(said), "{said}: {}", answer.text);
    }
    let page = curl(&proxy, "nobody.test", "/", &["-H", "Accept: text/html,*/*"]);
    assert!(page.text.contains("<!doctype html>"), "{}", page.text);
    // Nobody listens there.
    let mut registry = proxy.registry();
    registry.serve("web", "1", &[("a.test", "/", "http://127.0.0.1:1")]);
    let answer = get(&proxy, "a.test", "/");
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(answer.text.contains("Retry-After: "), "{}", answer.text);
    assert!(!answer.text.contains("127.0.0.1"), "{}", answer.text);
}

const HANDSHAKE: &[u8] = b"GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A backend's agreement to [`HANDSHAKE`], its first frame behind it.
fn agreement(lines: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{lines}\r\n"
    );
    [head.as_bytes(), b"\x81\x05hello"].concat()
}

#[test]
fn a_tunnel_carries_the_frame_glued_to_the_101() {
    let says = agreement(&format!("Sec-WebSocket-Accept: {}\r\n", accept("x")));
    let (url, backend) = scripted(b"\r\n\r\n", says.leak());
    let (proxy, _lease) = with_route(&url);
    let answer = proxy.raw(HANDSHAKE);
    assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n\u{fffd}\u{5}hello"), "{answer:?}");
    assert!(answer.to_ascii_lowercase().contains("connection: upgrade\r\n"), "{answer}");
    let request = String::from_utf8(backend.join().unwrap()).unwrap().to_ascii_lowercase();
    assert!(request.contains("upgrade: websocket\r\n"), "{request}");
}

/// Whoever answers no key, or another one's, does not speak the protocol: no tunnel to it.
#[test]
fn a_handshake_whose_key_is_not_answered_is_refused() {
    for lines in [
        "",
        "Sec-WebSocket-Accept: x\r\n",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
    ] {
        let (url, _backend) = scripted(b"\r\n\r\n", agreement(lines).leak());
        let (proxy, _lease) = with_route(&url);
        let mut caller = Caller::connect(proxy.http()).unwrap();
        caller.stream.write_all(HANDSHAKE).unwrap();
        let said = caller.read().unwrap();
        assert_eq!(said.status, 502, "{lines}: {said:?}");
        assert!(!said.body.contains("hello"), "{lines}: {said:?}");
    }
}

#[test]
fn megabytes_pass_both_ways_unchanged() {
    let backend = Backend::start("big");
    let (proxy, _lease) = with_route(&backend.url());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    std::fs::write(&file, vec![b'x'; 3_000_000]).unwrap();
    let body = format!("@{}", file.display());
    for more in [&["--data-binary", &*body][..], &["-H", "Expect:", "--data-binary", &*body][..]] {
        let answer = curl(&proxy, "a.test", "/", more);
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert_eq!(backend.requests(), 2);
}

#[test]
fn header_settings_and_path_options_hold() {
    let backend = Backend::start("one");
    let proxy = Proxy::start();
    let mut registry = proxy.registry();
    let ack = registry.ask("REGISTER|web|1|9|{}");
    assert!(ack.starts_with("ACK|"));
    registry.expect(&format!("ROUTE_ADD|$sid|a.test|/api|{}/base|0", backend.url()), "ROUTE_OK|r1");
    for (line, answer) in [
        ("HEADERS_SET|$sid|ALL|X-Frame-Options|DENY", "HEADERS_OK"),
        ("HEADERS_SET|$sid|r1|-X-Backend|", "HEADERS_OK"),
        ("HEADERS_SET|$sid|r1|req:X-Secret|s", "HEADERS_OK"),
        ("OPTIONS_SET|$sid|r1|strip_prefix|/api", "OPTIONS_OK"),
        ("OPTIONS_SET|$sid|r1|preserve_host|false", "OPTIONS_OK"),
        ("CONFIG_APPLY|$sid", "OK"),
    ] {
        registry.expect(line, answer);
    }
    let answer = get(&proxy, "a.test", "/api/x?y=1").text;
    assert!(answer.contains("X-Frame-Options: DENY\r\n"), "{answer}");
    assert!(!answer.contains("X-Backend"), "{answer}");
    assert!(answer.contains("GET /base/x?y=1 HTTP/1.1"), "{answer}");
    assert!(answer.contains("X-Secret: s"), "{answer}");
    assert!(answer.contains(&format!("Host: {}", backend.address())), "{answer}");
}

#[test]
fn backends_by_name_are_resolved() {
    let backend = Backend::start("named");
    let url = format!("http://localhost:{}", backend.address().port());
    let (proxy, _lease) = with_route(&url);
    let answer = get(&proxy, "a.test", "/");
    assert_eq!(answer.status, 200, "{}", answer.text);
    // A kept connection is found by name as well.
    assert_eq!(get(&proxy, "a.test", "/").status, 200);
    let (proxy, _lease) = with_route("http://nobody.invalid:80");
    assert_eq!(get(&proxy, "a.test", "/").status, 503);
}

/// Two requests in one go, the first too large: what follows it is not read as half a request.
#[test]
fn after_a_body_that_is_too_large_the_connection_ends() {
    let backend = Backend::start("small");
    let proxy = Proxy::start();
    let mut registry = proxy.registry();
    registry.serve("web", "1", &[("a.test", "/", &backend.url())]);
    registry.expect("OPTIONS_SET|$sid|ALL|max_body|10", "OPTIONS_OK");
    registry.expect("CONFIG_APPLY|$sid", "OK");
    let mut stream = TcpStream::connect(proxy.http()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let head = b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head).unwrap();
    stream.write_all(b"b\r\nhello world\r\n0\r\n\r\nGET /a HTTP/1.1\r\nHo").unwrap();
    let mut got = Vec::new();
    let _ = stream.read_to_end(&mut got);
    let got = String::from_utf8_lossy(&got);
    assert!(got.contains("HTTP/1.1 413 ") && got.contains("Connection: close\r\n"), "{got}");
    assert_eq!(got.matches("HTTP/1.1 ").count(), 1, "{got}");
}

#[test]
fn request_settings_replace_our_own_fields() {
    let backend = Backend::start("one");
    let proxy = Proxy::start();
    let mut registry = proxy.registry();
    registry.serve("web", "1", &[("a.test", "/", &backend.url())]);
    registry.expect("HEADERS_SET|$sid|ALL|req:X-Forwarded-Proto|https", "HEADERS_OK");
    registry.expect("HEADERS_SET|$sid|ALL|req:-X-Real-IP|", "HEADERS_OK");
    registry.expect("CONFIG_APPLY|$sid", "OK");
    let answer = get(&proxy, "a.test", "/").text;
    assert_eq!(answer.matches("X-Forwarded-Proto: ").count(), 1, "{answer}");
    assert!(answer.contains("X-Forwarded-Proto: https"), "{answer}");
    assert!(!answer.contains("X-Real-IP"), "{answer}");
    assert!(answer.contains("X-Forwarded-For: 127.0.0.1"), "{answer}");
}
