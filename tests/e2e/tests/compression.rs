//! The option `compression` (SPEC 5): by Accept-Encoding, on its way, and not at all where it would
//! do harm.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use proxyd_e2e::{PATIENCE, Proxy, Registry};

/// A backend that hands each accepted connection with a read request head to the test.
fn by_hand() -> (String, mpsc::Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut byte = [0];
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
            if sender.send(stream).is_err() {
                return;
            }
        }
    });
    (url, receiver)
}

fn with_compression(url: &str) -> (Proxy, Registry) {
    let proxy = Proxy::start();
    let mut registry = proxy.registry();
    registry.serve("web", "1", &[("a.test", "/", url)]);
    registry.expect("OPTIONS_SET|$sid|ALL|compression|true", "OPTIONS_OK");
    registry.expect("CONFIG_APPLY|$sid", "OK");
    (proxy, registry)
}

fn ask(proxy: &Proxy, accept: &str) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.http()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{accept}Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn rest(mut stream: TcpStream) -> (String, Vec<u8>) {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    (String::from_utf8(all[..end].to_vec()).unwrap(), all[end + 4..].to_vec())
}

/// What chunks hold.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return payload;
        }
        payload.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 2 + size + 2..];
    }
}

#[test]
fn what_is_compressed_and_what_is_not() {
    let (url, backend) = by_hand();
    let (proxy, _lease) = with_compression(&url);
    let text = "all work and no play ".repeat(500);
    let plain = |kind: &str, more: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nETag: \"x\"\r\n{more}Content-Length: {}\r\n\r\n{text}",
            text.len()
        )
    };
    #[rustfmt::skip]
    let table = [
        // Accept-Encoding                   content type         more                                   coding
        ("Accept-Encoding: gzip\r\n",         "text/html",         "",                                    Some("gzip")),
        ("Accept-Encoding: gzip, br\r\n",     "application/json",  "",                                    Some("br")),
        ("Accept-Encoding: zstd, gzip\r\n",   "text/css",          "",                                    Some("zstd")),
        ("",                                  "text/html",         "",                                    None),
        ("Accept-Encoding: gzip;q=0\r\n",     "text/html",         "",                                    None),
        ("Accept-Encoding: gzip\r\n",         "image/png",         "",                                    None),
        ("Accept-Encoding: gzip\r\n",         "text/event-stream", "",                                    None),
        ("Accept-Encoding: gzip\r\n",         "text/html",         "Content-Encoding: br\r\n",            None),
        ("Accept-Encoding: gzip\r\n",         "text/html",         "Cache-Control: no-transform\r\n",     None),
    ];
    for (accept, kind, more, coding) in table {
        let client = ask(&proxy, accept);
        let mut stream = backend.recv_timeout(PATIENCE).unwrap();
        stream.write_all(plain(kind, more).as_bytes()).unwrap();
        let (head, body) = rest(client);
        let why = format!("{accept}{kind} {more}: {head}");
        match coding {
            Some(coding) => {
                assert!(head.contains(&format!("Content-Encoding: {coding}")), "{why}");
                assert!(
                    head.contains("Vary: Accept-Encoding") && head.contains("W/\"x\""),
                    "{why}"
                );
                assert!(!head.contains("Content-Length"), "{why}");
                assert!(body.len() < text.len() / 4, "{why}: {}", body.len());
                if coding == "gzip" {
                    let mut plain = String::new();
                    let payload = unchunked(&body);
                    let mut decoder = flate2::read::GzDecoder::new(payload.as_slice());
                    decoder.read_to_string(&mut plain).unwrap();
                    assert_eq!(plain, text, "{why}");
                }
            }
            None => {
                assert_eq!(body, text.as_bytes(), "{why}");
                assert!(head.contains("ETag: \"x\""), "{why}");
            }
        }
    }
}

#[test]
fn what_the_backend_has_sent_does_not_wait_for_the_rest() {
    let (url, backend) = by_hand();
    let (proxy, _lease) = with_compression(&url);
    let mut client = ask(&proxy, "Accept-Encoding: gzip\r\n");
    let mut stream = backend.recv_timeout(PATIENCE).unwrap();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(b"6\r\nfirst \r\n").unwrap();
    // The first piece can be read before the second one is sent.
    let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
    let piece = loop {
        let n = client.read(&mut buffer).unwrap();
        assert_ne!(n, 0, "ended early");
        got.extend_from_slice(&buffer[..n]);
        let Some(end) = got.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let mut body = got[end + 4..].to_vec();
        if body.ends_with(b"\r\n") {
            body.extend_from_slice(b"0\r\n\r\n");
            let (payload, mut plain) = (unchunked(&body), vec![0; 64]);
            let mut decoder = flate2::read::GzDecoder::new(payload.as_slice());
            break decoder.read(&mut plain).map(|n| plain[..n].to_vec()).unwrap();
        }
    };
    assert_eq!(piece, b"first ");
    stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").unwrap();
    got.clear();
    client.read_to_end(&mut got).unwrap();
    assert!(got.ends_with(b"0\r\n\r\n"), "{}", got.escape_ascii());
}
