//! Frames of the heartbeat port: one request and one answer for each connection (seed 003).
//!
//! ```text
//!   name\0...                 SUCCESS|ip|port|86400\0   or   FAILED|reason\0
//!   HEARTBEAT|name\0...       HEARTBEAT_OK              or   HEARTBEAT_FAILED
//!   DEREGISTER|name\0...      DEREGISTERED              or   FAILED|reason\0
//!   LOOKUP|name\0...          FOUND|ip|port             or   NOT_FOUND
//! ```
//!
//! A request fills 256 bytes with NULs. It is over earlier at a NUL, a line feed or the end of the
//! stream, or when nothing more comes: how long that takes is the shell's to say.

use std::fmt;
use std::net::IpAddr;

use model::{IdError, ServiceName};

/// A whole request, in bytes.
pub const FRAME_BYTES_MAX: usize = 256;
/// Longest name, in bytes: with the longest verb before it, it fills a frame.
pub const NAME_BYTES_MAX: usize = FRAME_BYTES_MAX - "DEREGISTER|".len();
/// What stands for a lease. Nobody reads it: a name lives as long as its heartbeats.
const LEASE_SECONDS: u32 = 86_400;

/// What comes before the name in requests that register none.
const VERBS: [&str; 3] = ["HEARTBEAT", "DEREGISTER", "LOOKUP"];

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A name wants an address and a port.
    Register(ServiceName),
    /// It lives.
    Beat(ServiceName),
    /// It goes.
    Deregister(ServiceName),
    /// Where is it?
    Lookup(ServiceName),
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What was handed out.
    Registered(IpAddr, u16),
    /// Not done, and why. Sent without what would end or divide it.
    Failed(Box<str>),
    /// The name is registered.
    Beaten,
    /// It is not, or not by who sent the heartbeat.
    NotBeaten,
    /// The name is free.
    Deregistered,
    /// It is there.
    Found(IpAddr, u16),
    /// Nobody has it, or it has no address.
    NotFound,
}

/// How many bytes the request at the beginning of these has, if it is whole; what divides it from
/// what follows is not counted.
pub fn whole(held: &[u8]) -> Option<usize> {
    let frame = held.get(..FRAME_BYTES_MAX).unwrap_or(held);
    let end = frame.iter().position(|byte| matches!(byte, 0 | b'\n'));
    end.or_else(|| (frame.len() == FRAME_BYTES_MAX).then_some(FRAME_BYTES_MAX))
}

/// Reads a request, given without its end; spaces around it are none of it.
///
/// # Errors
///
/// What to answer to something that is no request.
pub fn decode(frame: &[u8]) -> Result<Ask, Answer> {
    let frame = frame.trim_ascii();
    let after = |verb: &str| frame.strip_prefix(verb.as_bytes());
    if let Some(name) = after("HEARTBEAT|") {
        return named(name).map(Ask::Beat).map_err(|_| Answer::NotBeaten);
    }
    if let Some(name) = after("LOOKUP|") {
        return named(name).map(Ask::Lookup).map_err(|_| Answer::NotFound);
    }
    if let Some(name) = after("DEREGISTER|") {
        return named(name).map(Ask::Deregister);
    }
    // A service may have any name; whoever says a verb alone has forgotten one.
    match VERBS.iter().find(|verb| verb.as_bytes() == frame) {
        Some(verb) => {
            Err(Answer::Failed(format!("{verb} wants a pipe and a name behind it").into()))
        }
        None => named(frame).map(Ask::Register),
    }
}

fn named(bytes: &[u8]) -> Result<ServiceName, Answer> {
    let failed = |reason: &dyn fmt::Display| Answer::Failed(format!("name {reason}").into());
    let name = str::from_utf8(bytes.trim_ascii()).map_err(|_| failed(&"must be UTF-8"))?;
    if name.len() > NAME_BYTES_MAX {
        return Err(failed(&IdError::TooLong(NAME_BYTES_MAX)));
    }
    ServiceName::parse(name).map_err(|error| failed(&error))
}

/// The bytes of a request: a whole frame. A name longer than [`NAME_BYTES_MAX`] is cut off there,
/// and refused as another one: whoever asks has to see to that.
pub fn encode_ask(ask: &Ask) -> [u8; FRAME_BYTES_MAX] {
    let text = match ask {
        Ask::Register(name) => name.to_string(),
        Ask::Beat(name) => format!("HEARTBEAT|{name}"),
        Ask::Deregister(name) => format!("DEREGISTER|{name}"),
        Ask::Lookup(name) => format!("LOOKUP|{name}"),
    };
    let mut frame = [0; FRAME_BYTES_MAX];
    frame.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    frame
}

/// The bytes of an answer.
pub fn encode(answer: &Answer) -> Vec<u8> {
    match answer {
        Answer::Registered(ip, port) => format!("SUCCESS|{ip}|{port}|{LEASE_SECONDS}\0"),
        Answer::Failed(reason) => format!("FAILED|{}\0", plain(reason)),
        Answer::Beaten => "HEARTBEAT_OK".to_owned(),
        Answer::NotBeaten => "HEARTBEAT_FAILED".to_owned(),
        Answer::Deregistered => "DEREGISTERED".to_owned(),
        Answer::Found(ip, port) => format!("FOUND|{ip}|{port}"),
        Answer::NotFound => "NOT_FOUND".to_owned(),
    }
    .into_bytes()
}

fn plain(reason: &str) -> String {
    reason.chars().map(|c| if c == '|' || c.is_control() { ' ' } else { c }).collect()
}

/// Reads an answer, with or without what ends it; `None` for what is none.
pub fn decode_answer(bytes: &[u8]) -> Option<Answer> {
    let text = str::from_utf8(bytes).ok()?;
    let text = text.trim_end_matches(['\0', '\r', '\n']);
    let (verb, rest) = text.split_once('|').unwrap_or((text, ""));
    // Further fields are the lease, and whatever may follow it some day.
    let address = || {
        let (ip, rest) = rest.split_once('|')?;
        let port = rest.split('|').next()?;
        Some((ip.parse().ok()?, port.parse().ok()?))
    };
    match verb {
        "SUCCESS" => address().map(|(ip, port)| Answer::Registered(ip, port)),
        "FAILED" => Some(Answer::Failed(rest.into())),
        "HEARTBEAT_OK" => Some(Answer::Beaten),
        "HEARTBEAT_FAILED" => Some(Answer::NotBeaten),
        "DEREGISTERED" => Some(Answer::Deregistered),
        "FOUND" => address().map(|(ip, port)| Answer::Found(ip, port)),
        "NOT_FOUND" => Some(Answer::NotFound),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> ServiceName {
        ServiceName::parse(text).unwrap()
    }

    fn failed(reason: &str) -> Answer {
        Answer::Failed(reason.into())
    }

    #[test]
    fn requests() {
        let longest = "x".repeat(NAME_BYTES_MAX);
        let too_long = "x".repeat(NAME_BYTES_MAX + 1);
        let beat_too_long = format!("HEARTBEAT|{too_long}");
        let empty = failed("name must not be empty");
        let long = failed("name must be at most 245 bytes long");
        let character = failed("name must hold no spaces, pipes or control characters");
        #[rustfmt::skip]
        let table: &[(&[u8], Result<Ask, Answer>)] = &[
            (b"test-service-3",                 Ok(Ask::Register(name("test-service-3")))),
            (b" web\r",                         Ok(Ask::Register(name("web")))),
            (b"heartbeat",                      Ok(Ask::Register(name("heartbeat")))),
            (b"HEARTBEATS",                     Ok(Ask::Register(name("HEARTBEATS")))),
            (b"PING",                           Ok(Ask::Register(name("PING")))),
            (b"HEARTBEAT",                      Err(failed("HEARTBEAT wants a pipe and a name behind it"))),
            (b"DEREGISTER\r",                   Err(failed("DEREGISTER wants a pipe and a name behind it"))),
            (b"LOOKUP",                         Err(failed("LOOKUP wants a pipe and a name behind it"))),
            ("bücher".as_bytes(),               Ok(Ask::Register(name("bücher")))),
            (longest.as_bytes(),                Ok(Ask::Register(name(&longest)))),
            (b"HEARTBEAT|test-service-3",       Ok(Ask::Beat(name("test-service-3")))),
            (b"DEREGISTER|web",                 Ok(Ask::Deregister(name("web")))),
            (b"LOOKUP|web\r",                   Ok(Ask::Lookup(name("web")))),
            (b"",                               Err(empty.clone())),
            (b"\r",                             Err(empty.clone())),
            (too_long.as_bytes(),               Err(long)),
            (b"two words",                      Err(character.clone())),
            (b"heartbeat|web",                  Err(character.clone())),
            (b"BEAT|web",                       Err(character.clone())),
            (b"a\x01b",                         Err(character)),
            (b"\xff",                           Err(failed("name must be UTF-8"))),
            (b"DEREGISTER|",                    Err(empty)),
            (b"HEARTBEAT|",                     Err(Answer::NotBeaten)),
            (beat_too_long.as_bytes(),          Err(Answer::NotBeaten)),
            (b"LOOKUP|a|b",                     Err(Answer::NotFound)),
        ];
        for (frame, want) in table {
            assert_eq!(decode(frame), *want, "{:?}", frame.escape_ascii().to_string());
        }
    }

    #[test]
    fn a_request_is_over_at_a_nul_a_line_feed_or_256_bytes() {
        #[rustfmt::skip]
        let table: &[(&[u8], Option<usize>)] = &[
            (b"",           None),
            (b"web",        None),
            (b"web\0\0",    Some(3)),
            (b"web\nmore",  Some(3)),
            (b"web\r\n",    Some(4)),
            (b"\0",         Some(0)),
            (&[b'x'; 255],  None),
            (&[b'x'; 256],  Some(256)),
            (&[b'x'; 300],  Some(256)),
        ];
        for (held, want) in table {
            assert_eq!(whole(held), *want, "{:?}", held.escape_ascii().to_string());
        }
    }

    #[test]
    fn answers_byte_for_byte() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        #[rustfmt::skip]
        let table = [
            (Answer::Registered(ip("10.0.0.100"), 9000), "SUCCESS|10.0.0.100|9000|86400\0"),
            (failed("no free port"),                     "FAILED|no free port\0"),
            (failed("a|b\0c"),                           "FAILED|a b c\0"),
            (Answer::Beaten,                             "HEARTBEAT_OK"),
            (Answer::NotBeaten,                          "HEARTBEAT_FAILED"),
            (Answer::Deregistered,                       "DEREGISTERED"),
            (Answer::Found(ip("127.0.0.1"), 80),         "FOUND|127.0.0.1|80"),
            (Answer::Found(ip("::1"), 65535),            "FOUND|::1|65535"),
            (Answer::NotFound,                           "NOT_FOUND"),
        ];
        for (answer, bytes) in table {
            assert_eq!(String::from_utf8(encode(&answer)).unwrap(), bytes);
            if answer != failed("a|b\0c") {
                assert_eq!(decode_answer(bytes.as_bytes()), Some(answer));
            }
        }
        for none in [&b""[..], b"OK", b"SUCCESS|web|1|86400", b"SUCCESS|1.2.3.4", b"FOUND|::1|x"] {
            assert_eq!(decode_answer(none), None);
        }
        // As the first clients have it, and as other servers may.
        let want = Some(Answer::Registered(ip("10.0.0.7"), 1));
        assert_eq!(decode_answer(b"SUCCESS|10.0.0.7|1"), want);
        assert_eq!(decode_answer(b"SUCCESS|10.0.0.7|1|60|more\0\0\0"), want);
    }

    #[test]
    fn a_request_fills_its_frame() {
        let frame = encode_ask(&Ask::Register(name("web")));
        assert_eq!(&frame[..4], b"web\0");
        assert!(frame[3..].iter().all(|byte| *byte == 0));
        let longest = name(&"x".repeat(NAME_BYTES_MAX));
        for ask in [Ask::Register, Ask::Beat, Ask::Deregister, Ask::Lookup] {
            for name in [&name("web"), &longest] {
                let ask = ask(name.clone());
                let frame = encode_ask(&ask);
                let end = whole(&frame).unwrap();
                assert_eq!(decode(&frame[..end]), Ok(ask));
            }
        }
    }

    proptest! {
        #[test]
        fn every_text_has_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(end) = whole(&bytes) {
                prop_assert!(end <= FRAME_BYTES_MAX);
            }
            if let Err(answer) = decode(&bytes) {
                prop_assert_eq!(decode_answer(&encode(&answer)), Some(answer));
            }
            let _ = decode_answer(&bytes);
        }
    }
}
