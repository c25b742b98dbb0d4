//! What is accepted as a request and what is refused, byte for byte.

use super::{Framing, RequestHead, parse_request};
use crate::{HeadError, HeadSpace, Known, Limits, Scan, Target};

/// Parses `bytes` whole and shows what `show` makes of the head.
fn parse<T>(bytes: &[u8], show: impl Fn(RequestHead<'_>) -> T) -> Result<Option<T>, HeadError> {
    let (mut scan, mut space) = (Scan::new(), HeadSpace::new());
    parse_request(bytes, &mut scan, &Limits::STANDARD, &mut space).map(|head| head.map(show))
}

fn accepted<T>(bytes: &str, show: impl Fn(RequestHead<'_>) -> T) -> T {
    match parse(bytes.as_bytes(), show) {
        Ok(Some(shown)) => shown,
        Ok(None) => panic!("incomplete: {bytes:?}"),
        Err(error) => panic!("{error}: {bytes:?}"),
    }
}

fn error(bytes: &[u8]) -> Option<HeadError> {
    parse(bytes, |_| ()).err()
}

#[test]
fn a_head_in_its_parts() {
    let bytes = "\r\nPOST /a?b HTTP/1.1\r\nhOsT: a:80\r\nContent-Length:2\r\nX-Y: \t z z \t\r\nE:\r\n\r\nhi";
    accepted(bytes, |head| {
        assert_eq!(head.method, b"POST");
        assert_eq!(head.target, b"/a?b");
        assert_eq!(head.form, Target::Origin(b"/a?b"));
        assert_eq!(head.len, bytes.len() - 2);
        assert_eq!(head.framing, Framing::Length(2));
        assert!(head.keep_alive);
        let host = head.host.unwrap();
        assert_eq!((host.name, host.port), (&b"a"[..], Some(80)));
        let fields: Vec<_> = head.fields().map(|f| (f.name, f.value, f.known)).collect();
        let wanted: [(&[u8], &[u8], Known); 4] = [
            (b"hOsT", b"a:80", Known::Host),
            (b"Content-Length", b"2", Known::ContentLength),
            (b"X-Y", b"z z", Known::Other),
            (b"E", b"", Known::Other),
        ];
        assert_eq!(fields, wanted);
    });
}

#[test]
fn lines_and_bytes_that_are_refused() {
    use HeadError::*;
    #[rustfmt::skip]
    let table: [(&[u8], HeadError); 52] = [
        // line ends
        (b"GET / HTTP/1.1\nHost: a\n\n",                   LineEnding),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n",               LineEnding),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n",               LineEnding),
        (b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",       LineEnding),
        (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",           LineEnding),
        (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",           LineEnding),
        (b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",           LineEnding),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX\r: b\r\n\r\n",   LineEnding),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",           LineEnding),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",     LeadingEmptyLine),
        // the request line
        (b"GET /\r\n\r\n",                                 RequestLine),
        (b"GET\r\n\r\n",                                   RequestLine),
        (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",            RequestLine),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",            RequestLine),
        (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",            RequestLine),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",            RequestLine),
        (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",            RequestLine),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",          RequestLine),
        (b"GET / http/1.1\r\nHost: a\r\n\r\n",             RequestLine),
        (b"GET / HTTP/1.1x\r\nHost: a\r\n\r\n",            RequestLine),
        (b"GET / HTTP/11\r\nHost: a\r\n\r\n",              RequestLine),
        (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n",             RequestLine),
        (b"G\xc3\x89T / HTTP/1.1\r\nHost: a\r\n\r\n",      RequestLine),
        (b"G\0T / HTTP/1.1\r\nHost: a\r\n\r\n",            RequestLine),
        (b"\x16\x03\x01\x02",                              RequestLine),
        (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",           RequestLine),
        (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",         RequestLine),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",             Version),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",             Version),
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n",             Version),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",              Version),
        // fields
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",            SpaceBeforeColon),
        (b"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n",           SpaceBeforeColon),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", SpaceBeforeColon),
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",            Folded),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\tb\r\n\r\n",      Folded),
        (b"GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n",         Folded),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n", Folded),
        (b"GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n",        Folded),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",        FieldName),
        (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",      FieldName),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX(: b\r\n\r\n",    FieldName),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\"X\": b\r\n\r\n", FieldName),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n",   FieldName),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: b\r\n\r\n", FieldName),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\xef\xbb\xbfX: b\r\n\r\n", FieldName),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n",  FieldValue),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x0bc\r\n\r\n", FieldValue),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x7fc\r\n\r\n", FieldValue),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX:\x01\r\n\r\n",   FieldValue),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", FieldValue),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\x0c\r\n\r\n", FieldValue),
    ];
    for (bytes, wanted) in table {
        assert_eq!(error(bytes), Some(wanted), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_byte_above_127_is_fit_for_a_value_and_nothing_else() {
    assert_eq!(error(b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\xff\r\n\r\n"), None);
    assert!(error("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n".as_bytes()).is_some());
    assert!(error(b"GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n").is_some());
    assert_eq!(error(b"GET / HTTP/1.1\r\nHost: b\xfccher\r\n\r\n"), Some(HeadError::HostInvalid));
}

/// Vectorised parsers have slipped here: each byte at each place of a long field.
#[test]
fn control_bytes_are_refused_at_every_place() {
    let controls = (0..=0x1f).filter(|b| *b != b'\t').chain([0x7f]);
    for byte in controls {
        for at in 0..70 {
            let mut value = [b'v'; 70];
            value[at] = byte;
            let head = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", &value[..], b"\r\n\r\n"].concat();
            assert!(error(&head).is_some(), "{byte:#x} at {at} of a value");
            let head = [b"GET / HTTP/1.1\r\nHost: a\r\n", &value[..], b": x\r\n\r\n"].concat();
            assert!(error(&head).is_some(), "{byte:#x} at {at} of a name");
            let head = [b"GET /", &value[..], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
            assert!(error(&head).is_some(), "{byte:#x} at {at} of a target");
        }
    }
}

/// The rest of a head that begins `POST / HTTP/1.1, Host: a`, and how its body is framed.
#[test]
fn framing() {
    use Framing::{Chunked, Length, None};
    use HeadError::*;
    #[rustfmt::skip]
    let table: [(&str, Result<Framing, HeadError>); 47] = [
        ("",                                                            Ok(None)),
        ("Content-Length: 0",                                           Ok(Length(0))),
        ("Content-Length: 5",                                           Ok(Length(5))),
        ("content-LENGTH:5\t ",                                         Ok(Length(5))),
        ("Transfer-Encoding: chunked",                                  Ok(Chunked)),
        ("transfer-encoding:CHUNKED  ",                                 Ok(Chunked)),
        ("X-Content-Length: 5",                                         Ok(None)),
        // both: CL.TE, TE.CL
        ("Content-Length: 5\r\nTransfer-Encoding: chunked",             Err(LengthAndEncoding)),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5",             Err(LengthAndEncoding)),
        ("Transfer-Encoding: chunked\r\nX: y\r\nContent-Length: 0",     Err(LengthAndEncoding)),
        ("Content-Length: 5\r\nTransfer-Encoding: identity",            Err(EncodingInvalid)),
        // lengths
        ("Content-Length: 5\r\nContent-Length: 5",                      Err(LengthRepeated)),
        ("Content-Length: 5\r\nContent-Length: 6",                      Err(LengthRepeated)),
        ("Content-Length: 0\r\ncontent-length: 44",                     Err(LengthRepeated)),
        ("Content-Length: 5, 5",                                        Err(LengthInvalid)),
        ("Content-Length: 5,6",                                         Err(LengthInvalid)),
        ("Content-Length: +5",                                          Err(LengthInvalid)),
        ("Content-Length: -5",                                          Err(LengthInvalid)),
        ("Content-Length:",                                             Err(LengthInvalid)),
        ("Content-Length: 0x5",                                         Err(LengthInvalid)),
        ("Content-Length: 5 6",                                         Err(LengthInvalid)),
        ("Content-Length: 05",                                          Err(LengthInvalid)),
        ("Content-Length: \"5\"",                                       Err(LengthInvalid)),
        ("Content-Length: 5;",                                          Err(LengthInvalid)),
        ("Content-Length: 18446744073709551621",                        Err(LengthInvalid)),
        ("Content_Length: 5",                                           Err(FramingUnderscore)),
        ("Content-Length: 5\r\nContent_Length: 6",                      Err(FramingUnderscore)),
        // codings: TE.TE
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",    Err(EncodingRepeated)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",   Err(EncodingRepeated)),
        ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",   Err(EncodingInvalid)),
        ("Transfer-Encoding: xchunked",                                 Err(EncodingInvalid)),
        ("Transfer-Encoding: chunkedx",                                 Err(EncodingInvalid)),
        ("Transfer-Encoding: chunked, identity",                        Err(EncodingInvalid)),
        ("Transfer-Encoding: chunked, chunked",                         Err(EncodingInvalid)),
        ("Transfer-Encoding: chunked,",                                 Err(EncodingInvalid)),
        ("Transfer-Encoding: ,chunked",                                 Err(EncodingInvalid)),
        ("Transfer-Encoding: chunked;q=1",                              Err(EncodingInvalid)),
        ("Transfer-Encoding: \"chunked\"",                              Err(EncodingInvalid)),
        ("Transfer-Encoding: 'chunked'",                                Err(EncodingInvalid)),
        ("Transfer-Encoding: chu nked",                                 Err(EncodingInvalid)),
        ("Transfer-Encoding: identity",                                 Err(EncodingInvalid)),
        ("Transfer-Encoding: gzip",                                     Err(EncodingInvalid)),
        ("Transfer-Encoding: cow",                                      Err(EncodingInvalid)),
        ("Transfer-Encoding:",                                          Err(EncodingInvalid)),
        ("Transfer-Encoding: gzip, chunked",                            Err(EncodingUnknown)),
        ("Transfer_Encoding: chunked",                                  Err(FramingUnderscore)),
        ("Transfer_Encoding: chunked\r\nContent-Length: 5",             Err(FramingUnderscore)),
    ];
    for (fields, wanted) in table {
        let end = if fields.is_empty() { "" } else { "\r\n" };
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}{end}\r\n");
        assert_eq!(parse(bytes.as_bytes(), |head| head.framing), wanted.map(Some), "{fields}");
    }
    assert_eq!(
        error(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Some(EncodingInHttp10)
    );
}

#[test]
fn hosts() {
    use HeadError::*;
    #[rustfmt::skip]
    let table: [(&str, Result<Option<&str>, HeadError>); 22] = [
        ("GET / HTTP/1.1\r\nHost: a.b:80",                    Ok(Some("a.b:80"))),
        ("GET / HTTP/1.1\r\nHOST:[::1]",                      Ok(Some("[::1]"))),
        ("GET / HTTP/1.0",                                    Ok(None)),
        ("GET / HTTP/1.0\r\nHost: a",                         Ok(Some("a"))),
        ("OPTIONS * HTTP/1.1\r\nHost: a",                     Ok(Some("a"))),
        ("GET http://a/ HTTP/1.1\r\nHost: A:80",              Ok(Some("a"))),
        ("GET https://a:443/ HTTP/1.1\r\nHost: a",            Ok(Some("a:443"))),
        ("GET http://a/ HTTP/1.0",                            Ok(Some("a"))),
        ("CONNECT a:8443 HTTP/1.1\r\nHost: a",                Ok(Some("a:8443"))),
        ("CONNECT a:8443 HTTP/1.1\r\nHost: a:8443",           Ok(Some("a:8443"))),
        ("GET / HTTP/1.1",                                    Err(HostMissing)),
        ("GET http://a/ HTTP/1.1",                            Err(HostMissing)),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a",              Err(HostRepeated)),
        ("GET / HTTP/1.0\r\nHost: a\r\nhost: b",              Err(HostRepeated)),
        ("GET / HTTP/1.1\r\nHost:",                           Err(HostInvalid)),
        ("GET / HTTP/1.1\r\nHost: a b",                       Err(HostInvalid)),
        ("GET / HTTP/1.1\r\nHost: a, b",                      Err(HostInvalid)),
        ("GET / HTTP/1.1\r\nHost: a/b",                       Err(HostInvalid)),
        ("GET / HTTP/1.0\r\nHost: user@a",                    Err(HostInvalid)),
        ("GET http://a/ HTTP/1.1\r\nHost: b",                 Err(HostMismatch)),
        ("GET http://a/ HTTP/1.1\r\nHost: a:81",              Err(HostMismatch)),
        ("CONNECT a:8443 HTTP/1.1\r\nHost: a:80",             Err(HostMismatch)),
    ];
    for (head, wanted) in table {
        let host = parse(format!("{head}\r\n\r\n").as_bytes(), |head| {
            head.host.map(|host| String::from_utf8(host.raw.to_vec()).unwrap())
        });
        assert_eq!(host, wanted.map(|host| Some(host.map(str::to_owned))), "{head}");
    }
}

#[test]
fn whether_the_connection_stays() {
    #[rustfmt::skip]
    let table = [
        ("GET / HTTP/1.1",                                                        true),
        ("GET / HTTP/1.1\r\nConnection: keep-alive",                              true),
        ("GET / HTTP/1.1\r\nConnection: Close",                                   false),
        ("GET / HTTP/1.1\r\nConnection: x, close",                                false),
        ("GET / HTTP/1.1\r\nConnection: close\r\nConnection: keep-alive",         false),
        ("GET / HTTP/1.1\r\nConnection: closed",                                  true),
        ("GET / HTTP/1.0",                                                        false),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive",                              true),
        ("GET / HTTP/1.0\r\nConnection: keep-alive, close",                       false),
        ("GET / HTTP/1.0\r\nProxy-Connection: keep-alive",                        false),
        ("TRACE / HTTP/1.1",                                                      false),
    ];
    for (head, wanted) in table {
        let bytes = format!("{head}\r\nHost: a\r\n\r\n");
        assert_eq!(accepted(&bytes, |head| head.keep_alive), wanted, "{head}");
    }
    assert!(!accepted("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", |head| head.keep_alive));
}

#[test]
fn websocket_handshakes() {
    #[rustfmt::skip]
    let table = [
        ("GET / HTTP/1.1",  "Connection: Upgrade\r\nUpgrade: WebSocket",                       true),
        ("GET / HTTP/1.1",  "Connection: keep-alive, upgrade\r\nUpgrade: websocket",           true),
        ("GET / HTTP/1.1",  "Connection: a\r\nConnection: upgrade\r\nUpgrade: websocket",      true),
        ("GET / HTTP/1.1",  "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0",  true),
        ("GET / HTTP/1.1",  "Upgrade: websocket",                                              false),
        ("GET / HTTP/1.1",  "Connection: upgrade",                                             false),
        ("GET / HTTP/1.1",  "Connection: upgrade\r\nUpgrade: h2c",                             false),
        ("GET / HTTP/1.1",  "Connection: upgrade\r\nUpgrade: websocket, h2c",                  false),
        ("GET / HTTP/1.1",  "Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket",       false),
        ("GET / HTTP/1.1",  "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1",  false),
        ("GET / HTTP/1.1",  "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked", false),
        ("POST / HTTP/1.1", "Connection: upgrade\r\nUpgrade: websocket",                       false),
        ("GET / HTTP/1.0",  "Connection: upgrade\r\nUpgrade: websocket",                       false),
    ];
    for (line, fields, wanted) in table {
        let bytes = format!("{line}\r\nHost: a\r\n{fields}\r\n\r\n");
        assert_eq!(accepted(&bytes, |head| head.upgrade_websocket), wanted, "{line} {fields}");
    }
}

#[test]
fn expectations() {
    #[rustfmt::skip]
    let table = [
        ("PUT / HTTP/1.1", "Expect: 100-Continue\r\nContent-Length: 1",   Ok(Some(true))),
        ("PUT / HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 0",   Ok(Some(false))),
        ("PUT / HTTP/1.1", "Expect: 100-continue",                        Ok(Some(false))),
        ("PUT / HTTP/1.1", "Expect: 100-continue, x\r\nContent-Length: 1", Err(HeadError::Expectation)),
        ("PUT / HTTP/1.1", "Expect: 200-ok\r\nContent-Length: 1",         Err(HeadError::Expectation)),
        ("PUT / HTTP/1.0", "Expect: 100-continue\r\nContent-Length: 1",   Ok(Some(false))),
        ("PUT / HTTP/1.0", "Expect: 200-ok\r\nContent-Length: 1",         Ok(Some(false))),
    ];
    for (line, fields, wanted) in table {
        let bytes = format!("{line}\r\nHost: a\r\n{fields}\r\n\r\n");
        assert_eq!(parse(bytes.as_bytes(), |head| head.expect_continue), wanted, "{fields}");
    }
}

/// What goes on to the backend, `|` between fields.
#[test]
fn bounds() {
    let head = |method: usize, target: usize, fields: usize, padding: usize| {
        let fields = "a: b\r\n".repeat(fields);
        let (method, target) = ("M".repeat(method), "t".repeat(target - 1));
        let padding = "p".repeat(padding);
        format!("{method} /{target} HTTP/1.1\r\nHost: a\r\n{fields}p: {padding}\r\n\r\n")
    };
    let rest = 64 * 1024 - head(3, 1, 1, 0).len();
    assert_eq!(error(head(64, 16 * 1024, 98, 0).as_bytes()), None);
    assert_eq!(error(head(3, 1, 1, rest).as_bytes()), None);
    assert_eq!(error(head(65, 1, 1, 0).as_bytes()), Some(HeadError::MethodTooLong));
    assert_eq!(error(head(3, 16 * 1024 + 1, 1, 0).as_bytes()), Some(HeadError::TargetTooLong));
    assert_eq!(error(head(3, 1, 99, 0).as_bytes()), Some(HeadError::TooManyFields));
    assert_eq!(error(head(3, 1, 1, rest + 1).as_bytes()), Some(HeadError::HeadTooLong));
}

#[test]
fn what_cannot_become_a_head_is_refused_before_it_is_complete() {
    assert_eq!(error(&[b'M'; 64]), None);
    assert_eq!(error(&[b'M'; 65]), Some(HeadError::MethodTooLong));
    let target = |len| [b"GET ", &vec![b'/'; len][..]].concat();
    assert_eq!(error(&target(16 * 1024 + 10)), None);
    assert_eq!(error(&target(16 * 1024 + 11)), Some(HeadError::TargetTooLong));
    assert_eq!(error(&target(80 * 1024)), Some(HeadError::TargetTooLong));
    assert_eq!(error(b"{\"json\""), Some(HeadError::RequestLine));
    assert_eq!(error(b"GET / HTTP/1.1\nHost"), Some(HeadError::LineEnding));
}

#[test]
fn the_fields_allowed_may_be_fewer() {
    let parse = |fields| {
        let (mut scan, mut space) = (Scan::new(), HeadSpace::new());
        let limits = Limits { fields, ..Limits::STANDARD };
        parse_request(b"GET / HTTP/1.1\r\nHost: a\r\nb: c\r\n\r\n", &mut scan, &limits, &mut space)
            .map(|head| head.unwrap().fields().len())
    };
    assert_eq!(parse(1), Err(HeadError::TooManyFields));
    assert_eq!(parse(2), Ok(2));
    assert_eq!(parse(usize::MAX), Ok(2));
}

#[test]
fn pipelined_requests_follow_each_other() {
    let mut rest: &[u8] =
        b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTT";
    let mut scan = Scan::new();
    let mut targets = Vec::new();
    loop {
        let mut space = HeadSpace::new();
        let Some(head) = parse_request(rest, &mut scan, &Limits::STANDARD, &mut space).unwrap()
        else {
            break;
        };
        targets.push(head.target.to_vec());
        rest = &rest[head.len..];
    }
    assert_eq!(targets, [b"/1", b"/2"]);
    assert_eq!(rest, b"GET /3 HTT");
}

#[test]
fn statuses() {
    #[rustfmt::skip]
    let table = [
        (HeadError::TargetTooLong, 414), (HeadError::HeadTooLong, 431),
        (HeadError::TooManyFields, 431), (HeadError::Version, 505),
        (HeadError::EncodingUnknown, 501), (HeadError::MethodTooLong, 501),
        (HeadError::Expectation, 417), (HeadError::LengthAndEncoding, 400),
        (HeadError::HostMissing, 400), (HeadError::Target("is odd"), 400),
    ];
    for (error, status) in table {
        assert_eq!(error.status(), status, "{error}");
    }
}
