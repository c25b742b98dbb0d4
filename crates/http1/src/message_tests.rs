//! What is accepted as a head in frames and what is refused.

use super::*;
use crate::Decoder;

const GET: RequestStart<'static> = RequestStart {
    version: Version::Http2,
    method: b"GET",
    https: true,
    authority: Some(b"a.test"),
    path: Some(b"/"),
    websocket: false,
    ended: true,
};
const POST: RequestStart<'static> = RequestStart { method: b"POST", ended: false, ..GET };

fn request(start: RequestStart<'_>, fields: &[MessageField<'_>]) -> String {
    let mut space = MessageSpace::new();
    let fields = fields.iter().copied();
    match message_request(start, fields, &Limits::STANDARD, &mut space) {
        Ok(head) => {
            let host = head.host.map(|host| String::from_utf8_lossy(host.raw).into_owned());
            let target = String::from_utf8_lossy(head.path_and_query());
            format!("{:?} {target} {} {:?}", head.verb, host.unwrap_or_default(), head.framing)
        }
        Err(error) => format!("{} {error}", error.status()),
    }
}

/// RFC 9113, 8.3.1, and RFC 9114, 4.3.1.
#[test]
fn the_start_of_a_request() {
    let connect = RequestStart { method: b"CONNECT", path: None, ..GET };
    let websocket = RequestStart {
        method: b"CONNECT",
        websocket: true,
        ended: false,
        path: Some(b"/c"),
        ..GET
    };
    fn at(path: &[u8]) -> RequestStart<'_> {
        RequestStart { path: Some(path), ..GET }
    }
    let to = |authority: &'static [u8]| RequestStart { authority: Some(authority), ..GET };
    let nobody = RequestStart { authority: None, ..GET };
    let long = vec![b'a'; 65];
    let long_path = [b"/".to_vec(), vec![b'a'; 16 * 1024]].concat();
    #[rustfmt::skip]
    let table: [(RequestStart<'_>, &[MessageField<'_>], &str); _] = [
        (GET,                                       &[], "Get / a.test None"),
        (at(b"/x?y=<"),                             &[], "400 the request target has a byte in it that must be percent-encoded"),
        (at(b"/x?y"),                               &[], "Get /x?y a.test None"),
        (at(b""),                                   &[], "400 the request target is neither a path nor an http or https URL"),
        (at(b"x"),                                  &[], "400 the request target is neither a path nor an http or https URL"),
        (at(b"http://a.test/"),                     &[], "400 the request target is no path"),
        (at(b"*"),                                  &[], "400 the request target `*` is for OPTIONS alone"),
        (RequestStart { path: None, ..GET },        &[], "400 the request target has no path"),
        (RequestStart { method: b"OPTIONS", ..at(b"*") }, &[], "Options * a.test None"),
        (at(&long_path[..16 * 1024]),               &[], &format!("Get {} a.test None", str::from_utf8(&long_path[..16 * 1024]).unwrap())),
        (at(&long_path),                            &[], "414 the request target is too long"),
        (to(b"a.test:8443"),                        &[], "Get / a.test:8443 None"),
        (to(b""),                                   &[], "400 Host is not a host name or address with an optional port"),
        (to(b"user@a.test"),                        &[], "400 Host is not a host name or address with an optional port"),
        (GET,                    &[("host", b"A.test")], "Get / a.test None"),
        (GET,                    &[("host", b"b.test")], "400 Host and the request target name different hosts"),
        (GET, &[("host", b"a.test"), ("host", b"a.test")], "400 Host is there more than once"),
        (nobody,                 &[("host", b"b.test")], "Get / b.test None"),
        (nobody,                       &[("host", b"")], "400 Host is not a host name or address with an optional port"),
        (nobody,                                    &[], "400 Host is missing"),
        (RequestStart { method: b"G T", ..GET },    &[], "400 the request line is not `METHOD target HTTP/1.1` with single spaces"),
        (RequestStart { method: &long, ..GET },     &[], "501 the method is too long"),
        (RequestStart { method: b"get", ..GET },    &[], "Other / a.test None"),
        (RequestStart { authority: Some(b"a.test:443"), ..connect }, &[], "Connect a.test:443 a.test:443 None"),
        (websocket,                                 &[], "Get /c a.test None"),
        // A backend would wait for a body, and take a part of the next request for it.
        (websocket,                                 &[("content-length", b"5")], "400 Content-Length is not one decimal number"),
        (websocket,                                 &[("content-length", b"0")], "Get /c a.test None"),
        (RequestStart { websocket: true, ..GET },   &[], "400 the request line is not `METHOD target HTTP/1.1` with single spaces"),
    ];
    for (start, fields, expected) in table {
        let path = String::from_utf8_lossy(start.path.unwrap_or_default());
        assert_eq!(request(start, fields), expected, "{path:.40} {fields:?}");
    }
}

#[test]
fn where_the_body_ends() {
    #[rustfmt::skip]
    let table: [(RequestStart<'_>, &[MessageField<'_>], &str); _] = [
        (GET,                             &[], "Get / a.test None"),
        (GET,     &[("content-length", b"0")], "Get / a.test Length(0)"),
        (GET,     &[("content-length", b"1")], "400 Content-Length is not one decimal number"),
        (POST,                            &[], "Post / a.test UntilEnd"),
        (POST,    &[("content-length", b"7")], "Post / a.test Length(7)"),
        (POST,   &[("content-length", b"+7")], "400 Content-Length is not one decimal number"),
        (POST, &[("content-length", b"7"), ("content-length", b"7")], "400 Content-Length is there more than once"),
    ];
    for (start, fields, expected) in table {
        assert_eq!(request(start, fields), expected, "{fields:?}");
    }
    let mut body = Decoder::request(Framing::UntilEnd);
    assert!(body.pass(b"abc").is_ok_and(|pass| pass.out == b"abc" && !pass.done));
    assert!(body.finish().is_ok() && body.is_done() && body.payload_bytes() == 3);
}

/// RFC 9113, 8.2, and RFC 9114, 4.2 and 10.3.
#[test]
fn fields() {
    const ONLY_HTTP1: &str = "400 a field that only HTTP/1 has";
    #[rustfmt::skip]
    let table: [(MessageField<'_>, &str); _] = [
        (("x-a", b"b"),                       "Get / a.test None"),
        (("x-a", b"b\tc \xff"),               "Get / a.test None"),
        (("x-a", b""),                        "Get / a.test None"),
        (("x-a", b" b"),                      "400 a control character in a field value"),
        (("x-a", b"b\t"),                     "400 a control character in a field value"),
        (("x-a", b"b\r\nc: d"),               "400 a control character in a field value"),
        (("x-a", b"b\0"),                     "400 a control character in a field value"),
        (("x-a", b"b\x7f"),                   "400 a control character in a field value"),
        (("", b"b"),                          "400 a field name is not a token"),
        (("X-A", b"b"),                       "400 a field name is not a token"),
        (("x a", b"b"),                       "400 a field name is not a token"),
        (("x:a", b"b"),                       "400 a field name is not a token"),
        (("te", b"trailers"),                 "Get / a.test None"),
        (("te", b"gzip"),                     ONLY_HTTP1),
        (("te", b"trailers, gzip"),           ONLY_HTTP1),
        (("connection", b"close"),            ONLY_HTTP1),
        (("keep-alive", b"5"),                ONLY_HTTP1),
        (("proxy-connection", b"keep-alive"), ONLY_HTTP1),
        (("upgrade", b"websocket"),           ONLY_HTTP1),
        (("transfer-encoding", b"chunked"),   ONLY_HTTP1),
        (("transfer_encoding", b"chunked"),   "400 a framing field is spelled with an underscore"),
        (("content_length", b"0"),            "400 a framing field is spelled with an underscore"),
        (("expect", b"a miracle"),            "417 Expect is not `100-continue`"),
    ];
    for (field, expected) in table {
        assert_eq!(request(GET, &[field]), expected, "{field:?}");
    }
}

#[test]
fn as_many_as_in_text_and_one_more() {
    let fields = vec![("a", &b"b"[..]); Limits::FIELDS_MAX + 1];
    assert_eq!(request(GET, &fields[1..]), "Get / a.test None");
    assert_eq!(request(GET, &fields), "431 the head has too many fields");
    let value = vec![b'a'; Limits::STANDARD.head_bytes - 1 - FIELD_OVERHEAD_BYTES];
    assert_eq!(request(GET, &[("a", &value)]), "Get / a.test None");
    assert_eq!(request(GET, &[("aa", &value)]), "431 the head is too long");
}

#[test]
fn responses() {
    let response = |status, ended, verb, fields: &[MessageField<'_>]| {
        let mut space = MessageSpace::new();
        let (start, fields) = ((Version::Http2, status, ended), fields.iter().copied());
        let head = message_response(start, fields, verb, &Limits::STANDARD, &mut space);
        head.map_or_else(|error| error.to_string(), |head| format!("{:?}", head.framing))
    };
    let length = ("content-length", &b"5"[..]);
    #[rustfmt::skip]
    let table: [(u16, bool, Verb, &[MessageField<'_>], &str); _] = [
        (200, true,  Verb::Get,  &[],       "Length(0)"),
        (204, true,  Verb::Get,  &[],       "None"),
        (200, true,  Verb::Head, &[],       "None"),
        (200, false, Verb::Get,  &[],       "UntilClose"),
        (200, false, Verb::Get,  &[length], "Length(5)"),
        (200, true,  Verb::Get,  &[length], "Content-Length is not one decimal number"),
        (200, true,  Verb::Head, &[length], "None"),
        (304, true,  Verb::Get,  &[length], "None"),
        (103, false, Verb::Get,  &[],       "None"),
        (101, false, Verb::Get,  &[],       "the status line is not `HTTP/1.1 200 reason`"),
        (99,  false, Verb::Get,  &[],       "the status line is not `HTTP/1.1 200 reason`"),
        (200, true,  Verb::Get,  &[("connection", b"close")], "a field that only HTTP/1 has"),
        (200, true,  Verb::Get,  &[("te", b"trailers")],      "a field that only HTTP/1 has"),
    ];
    for (status, ended, verb, fields, expected) in table {
        assert_eq!(response(status, ended, verb, fields), expected, "{status} {fields:?}");
    }
}

#[test]
fn trailers_there_and_back() {
    let fields = [("grpc-status", &b"0"[..]), ("etag", b"x"), ("grpc-message", b"")];
    let lines = trailer_lines(fields.into_iter()).unwrap();
    assert_eq!(lines, b"grpc-status: 0\r\netag: x\r\ngrpc-message: \r\n");
    let back: Vec<_> = trailer_fields(&lines).collect();
    assert_eq!(back, fields.map(|(name, value)| (name.as_bytes(), value)));
    for (name, expected) in [("content-length", None), ("host", None), ("cookie", Some(vec![]))] {
        assert_eq!(trailer_lines([(name, &b"1"[..])].into_iter()), expected, "{name}");
    }
    assert_eq!(trailer_lines([("a", &b"b\r\nc"[..])].into_iter()), None);
}
