//! What is accepted as a response and what is refused, byte for byte.

use super::{BodyFraming, ResponseHead, parse_response};
use crate::{HeadError, HeadSpace, Limits, Scan, Verb, Version};

fn parse<T>(
    bytes: &[u8],
    verb: Verb,
    show: impl Fn(ResponseHead<'_>) -> T,
) -> Result<Option<T>, HeadError> {
    let (mut scan, mut space) = (Scan::new(), HeadSpace::new());
    parse_response(bytes, verb, &mut scan, &Limits::STANDARD, &mut space).map(|head| head.map(show))
}

fn accepted<T>(bytes: &str, verb: Verb, show: impl Fn(ResponseHead<'_>) -> T) -> T {
    match parse(bytes.as_bytes(), verb, show) {
        Ok(Some(shown)) => shown,
        Ok(None) => panic!("incomplete: {bytes:?}"),
        Err(error) => panic!("{error}: {bytes:?}"),
    }
}

#[test]
fn a_head_in_its_parts() {
    let bytes = "HTTP/1.1 404 Not here\r\nServer: x\r\nContent-Length: 2\r\n\r\nno";
    accepted(bytes, Verb::Get, |head| {
        assert_eq!((head.status, head.reason), (404, &b"Not here"[..]));
        assert_eq!(head.version, Version::Http11);
        assert_eq!(head.len, bytes.len() - 2);
        assert_eq!(head.fields().len(), 2);
        assert_eq!(head.content_length, Some(2));
        assert!(head.keep_alive && !head.is_interim() && !head.is_upgrade());
    });
}

/// Status and reason, or why there are none.
type Wanted = Result<(u16, &'static str), HeadError>;

#[test]
fn status_lines() {
    use HeadError::{Folded, LeadingEmptyLine, LineEnding, SpaceBeforeColon, StatusLine, Version};
    #[rustfmt::skip]
    let table: [(&[u8], Wanted); 21] = [
        (b"HTTP/1.1 200 OK\r\n\r\n",           Ok((200, "OK"))),
        (b"HTTP/1.0 200 \r\n\r\n",             Ok((200, ""))),
        (b"HTTP/1.1 200\r\n\r\n",              Ok((200, ""))),
        (b"HTTP/1.1 999 a b\tc\r\n\r\n",       Ok((999, "a b\tc"))),
        (b"HTTP/1.1 200 caf\xe9\r\n\r\n",      Ok((200, ""))),
        (b"HTTP/1.1 099 OK\r\n\r\n",           Err(StatusLine)),
        (b"HTTP/1.1 20 OK\r\n\r\n",            Err(StatusLine)),
        (b"HTTP/1.1 2000 OK\r\n\r\n",          Err(StatusLine)),
        (b"HTTP/1.1  200 OK\r\n\r\n",          Err(StatusLine)),
        (b"HTTP/1.1 +20 OK\r\n\r\n",           Err(StatusLine)),
        (b"HTTP/1.1 200 a\0b\r\n\r\n",         Err(StatusLine)),
        (b"http/1.1 200 OK\r\n\r\n",           Err(StatusLine)),
        (b"ICY 200 OK\r\n\r\n",                Err(StatusLine)),
        (b"HTTP/2.0 200 OK\r\n\r\n",           Err(Version)),
        (b"HTTP/2 200 OK\r\n\r\n",             Err(Version)),
        (b"HTTP/1.1 200 OK\n\n",               Err(LineEnding)),
        (b"HTTP/1.1 200 OK\r\na: b\n\r\n",     Err(LineEnding)),
        (b"HTTP/1.1 200 O\rK\r\n\r\n",         Err(LineEnding)),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n",       Err(LeadingEmptyLine)),
        (b"HTTP/1.1 200 OK\r\na : b\r\n\r\n",  Err(SpaceBeforeColon)),
        (b"HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n", Err(Folded)),
    ];
    for (bytes, wanted) in table {
        let parsed = parse(bytes, Verb::Get, |head| {
            (head.status, String::from_utf8(head.reason.to_vec()).unwrap())
        });
        let wanted = wanted.map(|(status, reason)| Some((status, reason.to_owned())));
        assert_eq!(parsed, wanted, "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_is_no_http_is_refused_at_once() {
    assert_eq!(parse(b"SSH-2.0-x", Verb::Get, |_| ()), Err(HeadError::StatusLine));
    assert_eq!(parse(b"HT", Verb::Get, |_| ()), Ok(None));
    assert_eq!(parse(b"HTTP/1.1 200", Verb::Get, |_| ()), Ok(None));
}

/// `keep` says whether the connection may be used again afterwards.
#[test]
fn framing() {
    use BodyFraming::{Chunked, Length, None, UntilClose};
    #[rustfmt::skip]
    let table = [
        // method        head                                                      framing     keep
        (Verb::Get,     "HTTP/1.1 200 OK\r\nContent-Length: 5",                    Length(5),  true),
        (Verb::Get,     "HTTP/1.1 200 OK\r\nContent-Length: 005",                  Length(5),  true),
        (Verb::Get,     "HTTP/1.1 200 OK\r\nContent-Length: 0",                    Length(0),  true),
        (Verb::Get,     "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked",           Chunked,    true),
        (Verb::Get,     "HTTP/1.1 200 OK",                                         UntilClose, false),
        (Verb::Get,     "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5", Length(5), false),
        (Verb::Get,     "HTTP/1.0 200 OK\r\nContent-Length: 5",                    Length(5),  false),
        (Verb::Get,     "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5", Length(5), true),
        (Verb::Get,     "HTTP/1.0 200 OK\r\nConnection: keep-alive",               UntilClose, false),
        (Verb::Head,    "HTTP/1.1 200 OK\r\nContent-Length: 5",                    None,       true),
        (Verb::Head,    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",           None,       true),
        (Verb::Head,    "HTTP/1.1 200 OK",                                         None,       true),
        (Verb::Get,     "HTTP/1.1 304 NM\r\nContent-Length: 5",                    None,       true),
        (Verb::Get,     "HTTP/1.1 204 NC",                                         None,       true),
        (Verb::Get,     "HTTP/1.1 204 NC\r\nContent-Length: 0",                    None,       true),
        (Verb::Get,     "HTTP/1.1 204 NC\r\nContent-Length: 5",                    None,       false),
        (Verb::Get,     "HTTP/1.1 204 NC\r\nTransfer-Encoding: chunked",           None,       false),
        (Verb::Get,     "HTTP/1.1 100 C",                                          None,       true),
        (Verb::Get,     "HTTP/1.1 103 EH",                                         None,       true),
        (Verb::Get,     "HTTP/1.1 101 SP",                                         None,       false),
        (Verb::Get,     "HTTP/1.1 205 RC\r\nContent-Length: 0",                    Length(0),  true),
        (Verb::Connect, "HTTP/1.1 200 OK\r\nContent-Length: 5",                    None,       false),
        (Verb::Connect, "HTTP/1.1 403 No\r\nContent-Length: 5",                    Length(5),  false),
    ];
    for (verb, head, framing, keep) in table {
        let bytes = format!("{head}\r\n\r\n");
        let read = accepted(&bytes, verb, |head| (head.framing, head.keep_alive));
        assert_eq!(read, (framing, keep), "{verb:?} {head}");
    }
}

#[test]
fn ambiguous_framing_is_refused_whatever_the_method() {
    use HeadError::*;
    #[rustfmt::skip]
    let table = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", LengthAndEncoding),
        ("HTTP/1.1 304 NM\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", LengthAndEncoding),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5",          LengthRepeated),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5,5",                             LengthInvalid),
        ("HTTP/1.1 200 OK\r\nContent-Length: x",                               LengthInvalid),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",                EncodingUnknown),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity",                     EncodingInvalid),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked",                      EncodingInHttp10),
    ];
    for (head, wanted) in table {
        for verb in [Verb::Get, Verb::Head] {
            let bytes = format!("{head}\r\n\r\n");
            assert_eq!(parse(bytes.as_bytes(), verb, |_| ()), Err(wanted), "{verb:?} {head}");
        }
    }
}

#[test]
fn switching_protocols() {
    #[rustfmt::skip]
    let table = [
        ("101 SP\r\nConnection: upgrade\r\nUpgrade: WebSocket",  true,  true),
        ("101 SP\r\nUpgrade: websocket",                         true,  false),
        ("101 SP\r\nConnection: upgrade\r\nUpgrade: h2c",        true,  false),
        ("200 OK\r\nConnection: upgrade\r\nUpgrade: websocket",  false, false),
    ];
    for (head, upgrade, websocket) in table {
        let bytes = format!("HTTP/1.1 {head}\r\n\r\n");
        let read = accepted(&bytes, Verb::Get, |head| (head.is_upgrade(), head.upgrade_websocket));
        assert_eq!(read, (upgrade, websocket), "{head}");
    }
    assert!(accepted("HTTP/1.1 100 C\r\n\r\n", Verb::Get, |head| head.is_interim()));
    assert!(!accepted("HTTP/1.1 101 SP\r\n\r\n", Verb::Get, |head| head.is_interim()));
}

/// What goes on to the client, `|` between fields.
#[test]
fn end_to_end_fields() {
    #[rustfmt::skip]
    let table = [
        ("200 OK\r\nServer: x\r\nSet-Cookie: a\r\nset-cookie: b", "Server: x|Set-Cookie: a|set-cookie: b"),
        ("200 OK\r\nConnection: close, X\r\nx: 1\r\ny: 2",        "y: 2"),
        ("200 OK\r\nKeep-Alive: a\r\nUpgrade: h2c\r\ny: 2",       "y: 2"),
        ("200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: z",    "Trailer: z"),
        ("200 OK\r\nContent-Length: 5",                           "Content-Length: 5"),
        ("304 NM\r\nContent-Length: 5",                           "Content-Length: 5"),
        ("204 NC\r\nContent-Length: 0\r\ny: 2",                   "y: 2"),
        ("103 EH\r\nContent-Length: 5\r\nLink: y",                "Link: y"),
        ("407 PA\r\nProxy-Authenticate: x\r\nContent-Length: 0",  "Content-Length: 0"),
        ("101 SP\r\nupgrade: websocket\r\nConnection: Upgrade\r\ny: 2", "upgrade: websocket|Connection: upgrade|y: 2"),
    ];
    for (head, wanted) in table {
        let forwarded = accepted(&format!("HTTP/1.1 {head}\r\n\r\n"), Verb::Get, |head| {
            let fields = head.end_to_end().map(|field| {
                format!("{}: {}", field.name.escape_ascii(), field.value.escape_ascii())
            });
            fields.collect::<Vec<_>>().join("|")
        });
        assert_eq!(forwarded, wanted, "{head}");
    }
}
