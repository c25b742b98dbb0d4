//! Which fields are forwarded, and what `Connection` may say.

use super::next_element;
use crate::{HeadError, HeadSpace, Known, Limits, RequestHead, Scan, parse_request};

fn parse<T>(bytes: &str, show: impl Fn(RequestHead<'_>) -> T) -> Result<T, HeadError> {
    let (mut scan, mut space) = (Scan::new(), HeadSpace::new());
    parse_request(bytes.as_bytes(), &mut scan, &Limits::STANDARD, &mut space)
        .map(|head| show(head.expect("a whole head")))
}

#[test]
fn end_to_end_fields() {
    #[rustfmt::skip]
    let table = [
        ("b: 1\r\nA: 2\r\nb: 3",                                           "b: 1|A: 2|b: 3"),
        ("Connection: close\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nb: 1", "b: 1"),
        ("Proxy: x\r\nProxy-Authorization: x\r\nProxy_Connection: x\r\nb: 1", "b: 1"),
        ("Transfer-Encoding: chunked\r\nTrailer: b",                       "Trailer: b"),
        ("Content-Length: 5\r\nExpect: 100-continue",                      "Content-Length: 5|Expect: 100-continue"),
        ("b: 1\r\nConnection: B, c\r\nC: 2\r\nd: 3",                       "d: 3"),
        ("Connection: a\r\nConnection: ,\tb ,\r\nA: 1\r\nB: 2\r\nC: 3",    "C: 3"),
        ("Connection: Content-Length, Authorization, Cookie\r\nContent-Length: 5\r\nAuthorization: x\r\nCookie: y",
                                                                           "Content-Length: 5|Authorization: x|Cookie: y"),
        ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x", ""),
        ("a: 1\r\nconnection: Keep-Alive, Upgrade\r\nb: 2\r\nUPGRADE: WebSocket\r\nConnection: b",
                                                                           "a: 1|connection: upgrade|UPGRADE: websocket"),
        ("Upgrade: websocket\r\nb: 1",                                     "b: 1"),
        ("TE: gzip, trailers\r\nConnection: TE\r\nTE: x",                  "TE: trailers|Connection: TE"),
        ("TE: trailers",                                                   ""),
        ("TE: gzip\r\nConnection: TE",                                     ""),
    ];
    for (fields, wanted) in table {
        let bytes = format!("GET / HTTP/1.1\r\n{fields}\r\nHost: a\r\n\r\n");
        let forwarded = parse(&bytes, |head| {
            let fields = head.end_to_end().map(|field| {
                format!("{}: {}", field.name.escape_ascii(), field.value.escape_ascii())
            });
            fields.collect::<Vec<_>>().join("|")
        });
        let host = if wanted.is_empty() { "Host: a" } else { "|Host: a" };
        assert_eq!(forwarded, Ok(format!("{wanted}{host}")), "{fields}");
    }
}

#[test]
fn host_is_not_taken_away_by_a_nomination() {
    let bytes = "GET / HTTP/1.1\r\nConnection: Host, x\r\nHost: a\r\nX: b\r\n\r\n";
    let (kept, nominated) = parse(bytes, |head| {
        let nominated: Vec<Vec<u8>> = head.nominated().map(<[u8]>::to_vec).collect();
        (head.end_to_end().map(|field| field.known).collect::<Vec<_>>(), nominated)
    })
    .unwrap();
    assert_eq!(kept, [Known::Host]);
    assert_eq!(nominated, [b"Host".to_vec(), b"x".to_vec()]);
}

#[test]
fn connection_is_a_bounded_list_of_tokens() {
    let error = |value: &str| {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {value}\r\n\r\n");
        parse(&bytes, |_| ()).err()
    };
    assert_eq!(error(&vec!["a"; 32].join(",")), None);
    assert_eq!(error(&vec!["a"; 33].join(",")), Some(HeadError::TooManyNominated));
    assert_eq!(error(&",".repeat(33)), Some(HeadError::TooManyNominated));
    assert_eq!(error(&"a".repeat(1024)), None);
    assert_eq!(error(&"a".repeat(1025)), Some(HeadError::TooManyNominated));
    assert_eq!(error("a b"), Some(HeadError::ConnectionInvalid));
    assert_eq!(error("\"close\""), Some(HeadError::ConnectionInvalid));
}

#[test]
fn lists() {
    #[rustfmt::skip]
    let table: [(&str, &[&str]); 6] = [
        ("",              &[]),
        ("a",             &["a"]),
        ("a,b",           &["a", "b"]),
        (" a\t,\t b c ",  &["a", "b c"]),
        (",,a,",          &["", "", "a"]),
        (" ",             &[""]),
    ];
    for (list, wanted) in table {
        let mut rest = list.as_bytes();
        let elements: Vec<&[u8]> = std::iter::from_fn(|| next_element(&mut rest)).collect();
        let wanted: Vec<&[u8]> = wanted.iter().map(|e| e.as_bytes()).collect();
        assert_eq!(elements, wanted, "{list:?}");
    }
}
