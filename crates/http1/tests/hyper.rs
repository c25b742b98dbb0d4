//! What we accept as requests, hyper's server reads as the same requests.
//!
//! One way only: we refuse much that hyper reads. Both use httparse for the lines of a head,
//! so what this compares is all that is decided above it: the target, where a body ends, what
//! is in it, where the next request begins.

use std::cell::RefCell;
use std::convert::Infallible;
use std::path::Path;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proxyd_http1::{
    Decoder, Framing, HeadSpace, Limits, RequestHead, Scan, Step, Target, Version, parse_request,
};
use tokio::io::AsyncWriteExt;

/// Names and values, sorted by name, in the order they came for each name.
type Sorted = Vec<(String, Vec<u8>)>;

/// A request, as either of the two read it.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    method: String,
    authority: Option<String>,
    path_and_query: String,
    http10: bool,
    fields: Sorted,
    body: Vec<u8>,
    trailers: Sorted,
}

/// Compares on `data`, and says how many requests there were.
fn compare(data: &[u8]) -> usize {
    let (ours, len) = read_by_us(data);
    let theirs = read_by_hyper(&data[..len]);
    assert_eq!(ours, theirs, "{}", data.escape_ascii());
    ours.len()
}

/// The requests at the start of `data` that we accept whole, and their length.
fn read_by_us(data: &[u8]) -> (Vec<Read>, usize) {
    let (mut requests, mut len, mut scan) = (Vec::new(), 0, Scan::new());
    loop {
        let mut space = HeadSpace::new();
        let parsed = parse_request(&data[len..], &mut scan, &Limits::STANDARD, &mut space);
        let Ok(Some(head)) = parsed else { return (requests, len) };
        // hyper has no notion of the two as a server: they are not requests to an origin.
        if matches!(head.form, Target::Authority(_)) {
            return (requests, len);
        }
        let body = len + head.len;
        let Some((payload, trailers, body_len)) = read_body(head.framing, &data[body..]) else {
            return (requests, len);
        };
        requests.push(read_head(&head, payload, trailers));
        len = body + body_len;
        if !head.keep_alive {
            return (requests, len);
        }
    }
}

fn read_head(head: &RequestHead<'_>, body: Vec<u8>, trailers: Sorted) -> Read {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("ASCII");
    let authority = match head.form {
        Target::Absolute { authority, .. } => Some(text(authority.raw)),
        Target::Origin(_) | Target::Authority(_) | Target::Asterisk => None,
    };
    let mut fields: Vec<_> = head
        .fields()
        .map(|field| (text(field.name).to_ascii_lowercase(), field.value.to_vec()))
        .collect();
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    // hyper has no `*` for a URL without a path.
    let bare = authority.is_some() && head.path_and_query() == b"*";
    Read {
        method: text(head.method),
        path_and_query: if bare { "/".to_owned() } else { text(head.path_and_query()) },
        authority,
        http10: head.version == Version::Http10,
        fields,
        body,
        trailers,
    }
}

/// Payload, trailers and length of a whole body.
fn read_body(framing: Framing, data: &[u8]) -> Option<(Vec<u8>, Sorted, usize)> {
    let (mut decoder, mut payload, mut at) = (Decoder::request(framing), Vec::new(), 0);
    loop {
        match decoder.decode(&data[at..]).ok()? {
            Step::Payload(len) => {
                payload.extend_from_slice(&data[at..at + len]);
                at += len;
            }
            Step::Framing(len) => at += len,
            Step::More => return None,
            Step::Done => break,
        }
    }
    let lines = decoder.trailers().split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let mut trailers: Vec<_> = lines
        .map(|line| {
            let colon = line.iter().position(|b| *b == b':').expect("a field");
            let name = String::from_utf8(line[..colon].to_ascii_lowercase()).expect("ASCII");
            (name, line[colon + 1..].trim_ascii().to_vec())
        })
        .collect();
    trailers.sort_by(|(a, _), (b, _)| a.cmp(b));
    Some((payload, trailers, at))
}

/// The requests hyper hands to its service when exactly `data` arrives.
fn read_by_hyper(data: &[u8]) -> Vec<Read> {
    let requests = RefCell::new(Vec::new());
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let requests = &requests;
        async move {
            let request = read_request(request).await;
            requests.borrow_mut().push(request);
            Ok::<_, Infallible>(hyper::Response::new(Empty::<Bytes>::new()))
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        client.write_all(data).await.expect("there is room");
        client.shutdown().await.expect("the peer is there");
        let connection =
            http1::Builder::new().half_close(true).serve_connection(TokioIo::new(server), service);
        if let Err(error) = connection.await {
            panic!("hyper: {error}: {}", data.escape_ascii());
        }
    });
    requests.into_inner()
}

async fn read_request(request: hyper::Request<Incoming>) -> Read {
    let (head, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body,
        Err(error) => panic!("hyper: {error}"),
    };
    // Fields with a meaning in a head are not trailers to us.
    let known = |name: &str| proxyd_http1::Known::of(name.as_bytes()) != proxyd_http1::Known::Other;
    let trailers = body.trailers().map(sorted).unwrap_or_default();
    Read {
        method: head.method.to_string(),
        authority: head.uri.authority().map(ToString::to_string),
        path_and_query: head.uri.path_and_query().expect("a path").to_string(),
        http10: head.version == hyper::Version::HTTP_10,
        fields: sorted(&head.headers),
        trailers: trailers.into_iter().filter(|(name, _)| !known(name)).collect(),
        body: body.to_bytes().to_vec(),
    }
}

fn sorted(fields: &hyper::HeaderMap) -> Sorted {
    let fields = fields.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    let mut fields: Vec<_> = fields.collect();
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    fields
}

#[rustfmt::skip]
const LINES: [&str; 16] = [
    "GET / HTTP/1.1\r\n", "GET /a/../b?c=d&%2F|^{} HTTP/1.1\r\n", "POST /x HTTP/1.1\r\n",
    "PUT //y HTTP/1.1\r\n", "HEAD /?` HTTP/1.1\r\n", "DELETE /[a]@:;'() HTTP/1.1\r\n",
    "M-SEARCH /?? HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n", "OPTIONS http://a HTTP/1.1\r\n",
    "GET http://A:80/b?c HTTP/1.1\r\n", "GET https://a HTTP/1.1\r\n", "GET / HTTP/1.0\r\n",
    "POST / HTTP/1.0\r\n", "GET /a\\b HTTP/1.1\r\n", "GET /#a HTTP/1.1\r\n", "\r\nTRACE / HTTP/1.1\r\n",
];

#[rustfmt::skip]
const FIELDS: [&str; 28] = [
    "", "", "", "Host: a\r\n", "x: y\r\n", "X:\t z z \r\n", "Empty:\r\n", "x: \u{e9}\r\n",
    "Content-Length: 5\r\n", "Content-Length: 0\r\n", "content-length:\t5\r\n",
    "Content-Length: 5, 5\r\n", "Content-Length: 05\r\n", "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding:CHUNKED\r\n", "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding : chunked\r\n", "Transfer-Encoding: identity\r\n", "X: y\r\n folded\r\n",
    "Connection: close\r\n", "Connection: keep-alive, x\r\n", "Connection: upgrade\r\n",
    "Upgrade: websocket\r\n", "Upgrade: h2c\r\n", "Expect: 100-continue\r\n", "TE: trailers\r\n",
    "Trailer: t\r\n", "X: bare\nlf: y\r\n",
];

#[rustfmt::skip]
const BODIES: [&str; 16] = [
    "", "", "hello", "0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "1;x=y\r\na\r\nA\r\n0123456789\r\n0;z\r\n\r\n",
    "0\r\nT: u\r\nt: v\r\n\r\n", "0\r\nA: b\r\nCookie: c\r\n\r\n", "3\r\nabc\r\n00\r\n\r\n", "0\r\nHost: b\r\n\r\n",
    "5 \r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "5\nhello\n0\n\n", "5;x\nhello\r\n0\r\n\r\n",
    "fffffffffffffffff\r\n", "GET /",
];

/// Mostly well-formed requests, one after the other, some with a byte changed.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let one = (
        prop::sample::select(LINES.to_vec()),
        prop::bool::weighted(0.9),
        prop::collection::vec(prop::sample::select(FIELDS.to_vec()), 0..4),
        prop::sample::select(BODIES.to_vec()),
    )
        .prop_map(|(line, host, fields, body)| {
            let host = if host { "Host: a\r\n" } else { "" };
            format!("{line}{host}{}\r\n{body}", fields.concat()).into_bytes()
        });
    let changed = prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()));
    (prop::collection::vec(one, 1..4), changed).prop_map(|(requests, changed)| {
        let mut data = requests.concat();
        if let Some((at, byte)) = changed {
            let at = at.index(data.len());
            data[at] = byte;
        }
        data
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn requests_are_read_the_same(data in requests()) {
        compare(&data);
    }
}

/// Each byte of one request, changed to each value that has ever mattered.
#[test]
fn no_single_byte_makes_a_difference() {
    let request = b"POST /a?b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nhi\r\n0\r\nT: u\r\n\r\n";
    assert_eq!(compare(request), 1);
    let mut accepted = 0;
    for at in 0..request.len() {
        for byte in [
            0, b'\t', b'\n', 0x0b, 0x0c, b'\r', b' ', b'"', b'#', b',', b'0', b':', b';', b'\\',
            b'_', 0x7f, 0x85, 0xa0, 0xff,
        ] {
            let mut changed = request.to_vec();
            changed[at] = byte;
            accepted += compare(&changed);
        }
    }
    assert!(accepted > 50, "only {accepted} were accepted");
}

#[test]
fn the_corpus_is_read_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/http1_head");
    let mut accepted = 0;
    for file in std::fs::read_dir(folder).expect("the corpus is committed") {
        let path = file.expect("the folder can be listed").path();
        accepted += compare(&std::fs::read(path).expect("the file can be read"));
    }
    assert!(accepted > 10, "only {accepted} were accepted");
}

/// Some of what is generated must be accepted, or the comparison says nothing.
#[test]
fn enough_requests_are_accepted() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut count = || {
        let data = requests().new_tree(&mut runner).expect("a value").current();
        read_by_us(&data).0.len()
    };
    let accepted: usize = (0..1000).map(|_| count()).sum();
    assert!(accepted > 200, "only {accepted} were accepted");
}
