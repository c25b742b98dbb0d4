//! Heads that come as frames: those of HTTP/2 (RFC 9113, 8) and HTTP/3 (RFC 9114, 4).
//!
//! Whoever reads the frames hands over the fields; here they are held to the rules that a head
//! in text is held to, and become the same [`RequestHead`] and [`ResponseHead`]. What comes from
//! a client of one version and goes on in another is then never read in two ways.

use crate::error::is_token;
use crate::facts::{Facts, Side};
use crate::request::{self, METHOD_BYTES_MAX};
use crate::response;
use crate::{
    BodyFraming, Fields, Framing, HeadError, Known, Limits, RequestHead, ResponseHead, Target,
    Verb, Version,
};

/// What each field counts besides its name and value (RFC 9113, 6.5.2, and RFC 9114, 4.2.2).
const FIELD_OVERHEAD_BYTES: usize = 32;

/// Fields of most such heads.
const FIELDS: usize = 24;

/// Room for the fields of one such head, used like [`HeadSpace`](crate::HeadSpace). As much as is
/// needed: clearing room for the most there can be takes longer.
#[derive(Debug)]
pub struct MessageSpace<'b> {
    headers: Vec<httparse::Header<'b>>,
    known: Vec<Known>,
}

impl MessageSpace<'_> {
    /// Empty room.
    pub const fn new() -> Self {
        MessageSpace { headers: Vec::new(), known: Vec::new() }
    }
}

impl Default for MessageSpace<'_> {
    fn default() -> Self {
        MessageSpace::new()
    }
}

/// A field as it came: the name in lower case, the value.
pub type MessageField<'b> = (&'b str, &'b [u8]);

/// What a request's frames say besides its fields (RFC 9113, 8.3.1, and RFC 9114, 4.3.1).
#[derive(Clone, Copy, Debug)]
pub struct RequestStart<'b> {
    /// [`Version::Http2`] or [`Version::Http3`].
    pub version: Version,
    /// `:method`.
    pub method: &'b [u8],
    /// Whether `:scheme` is `https`.
    pub https: bool,
    /// `:authority`.
    pub authority: Option<&'b [u8]>,
    /// `:path`; only a CONNECT that is no extended one has none.
    pub path: Option<&'b [u8]>,
    /// Whether `:protocol` is `websocket` (RFC 8441, 4).
    pub websocket: bool,
    /// Whether the stream ended with the head.
    pub ended: bool,
}

/// Reads the head of a request.
///
/// A handshake for a WebSocket reads as the GET it would be in HTTP/1.1.
///
/// # Errors
///
/// [`HeadError`]: the message is malformed, its stream is of no further use; the connection is.
pub fn message_request<'h, 'b: 'h>(
    start: RequestStart<'b>,
    fields: impl Iterator<Item = MessageField<'b>>,
    limits: &Limits,
    space: &'h mut MessageSpace<'b>,
) -> Result<RequestHead<'h>, HeadError> {
    let sent = Verb::of(start.method);
    let (method, verb) =
        if start.websocket { (&b"GET"[..], Verb::Get) } else { (start.method, sent) };
    if start.websocket && sent != Verb::Connect {
        return Err(HeadError::RequestLine);
    }
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Err(HeadError::RequestLine);
    }
    if method.len() > METHOD_BYTES_MAX {
        return Err(HeadError::MethodTooLong);
    }
    let (facts, fields) = learn(fields, Side::Request, limits, space)?;
    if facts.expect_other {
        return Err(HeadError::Expectation);
    }
    let (target, form) = target(&start, verb, limits)?;
    // What follows a handshake is no body: nobody downstream must wait for one.
    if start.websocket && facts.length.is_some_and(|length| length > 0) {
        return Err(HeadError::LengthInvalid);
    }
    let framing = match (start.ended, facts.length) {
        (true, None) => Framing::None,
        (true, Some(0)) => Framing::Length(0),
        (true, Some(_)) => return Err(HeadError::LengthInvalid),
        (false, Some(length)) if !start.websocket => Framing::Length(length),
        (false, _) => Framing::UntilEnd,
    };
    Ok(RequestHead {
        method,
        verb,
        target,
        form,
        version: start.version,
        len: 0,
        framing: if start.websocket { Framing::None } else { framing },
        host: request::host(&facts, &form, start.version, false)?,
        keep_alive: true,
        expect_continue: facts.expect_continue && framing.has_body(),
        upgrade_websocket: start.websocket,
        te_trailers: facts.trailers,
        fields,
        nominates: false,
    })
}

/// Reads the head of a response to a `verb` request. `ended` is whether the stream ended with it.
///
/// # Errors
///
/// As for requests.
pub fn message_response<'h, 'b: 'h>(
    (version, status, ended): (Version, u16, bool),
    fields: impl Iterator<Item = MessageField<'b>>,
    verb: Verb,
    limits: &Limits,
    space: &'h mut MessageSpace<'b>,
) -> Result<ResponseHead<'h>, HeadError> {
    // Neither version has anything to switch to (RFC 9113, 8.6; RFC 9114, 4.5).
    if !matches!(status, 100 | 102..=999) {
        return Err(HeadError::StatusLine);
    }
    let (facts, fields) = learn(fields, Side::Response, limits, space)?;
    let framing = match response::framing(status, verb, &facts) {
        BodyFraming::None => BodyFraming::None,
        BodyFraming::Length(length) if ended && length > 0 => return Err(HeadError::LengthInvalid),
        // A client that reads text has to be told.
        _ if ended => BodyFraming::Length(0),
        framing => framing,
    };
    Ok(ResponseHead {
        status,
        reason: b"",
        version,
        len: 0,
        framing,
        content_length: facts.length,
        keep_alive: true,
        upgrade_websocket: false,
        fields,
        nominates: false,
    })
}

fn learn<'h, 'b: 'h>(
    fields: impl Iterator<Item = MessageField<'b>>,
    side: Side,
    limits: &Limits,
    space: &'h mut MessageSpace<'b>,
) -> Result<(Facts<'b>, Fields<'h>), HeadError> {
    let MessageSpace { headers, known } = space;
    headers.clear();
    headers.reserve(FIELDS);
    let mut bytes = 0;
    for (name, value) in fields {
        if headers.len() == limits.fields.min(Limits::FIELDS_MAX) {
            return Err(HeadError::TooManyFields);
        }
        bytes += name.len() + value.len() + FIELD_OVERHEAD_BYTES;
        if bytes > limits.head_bytes {
            return Err(HeadError::HeadTooLong);
        }
        if !is_name(name) {
            return Err(HeadError::FieldName);
        }
        if !is_value(value) {
            return Err(HeadError::FieldValue);
        }
        headers.push(httparse::Header { name, value });
    }
    known.resize(headers.len(), Known::Other);
    let (headers, known): (&'h [httparse::Header<'b>], &'h mut [Known]) = (headers, known);
    let facts = Facts::learn(headers, known, side)?;
    let of_this_hop = |(header, known): (&httparse::Header<'_>, &Known)| match known {
        Known::Connection
        | Known::KeepAlive
        | Known::ProxyConnection
        | Known::TransferEncoding
        | Known::Upgrade => true,
        // The one exception (RFC 9113, 8.2.2; RFC 9114, 4.2).
        Known::Te => side == Side::Response || !header.value.eq_ignore_ascii_case(b"trailers"),
        _ => false,
    };
    if headers.iter().zip(&*known).any(of_this_hop) {
        return Err(HeadError::ConnectionSpecific);
    }
    Ok((facts, Fields::new(headers, known)))
}

fn is_name(name: &str) -> bool {
    let is_good = |byte| is_token(byte) && !byte.is_ascii_uppercase();
    !name.is_empty() && name.bytes().all(is_good)
}

/// RFC 9113, 8.2.1, and RFC 9114, 10.3: no line ends and no NUL, no white space around it. Like a
/// head in text it holds no other control characters either.
fn is_value(value: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let is_control = |byte: &u8| matches!(byte, 0..=8 | 10..=31 | 127);
    !is_blank(value.first()) && !is_blank(value.last()) && !value.iter().any(is_control)
}

fn target<'b>(
    start: &RequestStart<'b>,
    verb: Verb,
    limits: &Limits,
) -> Result<(&'b [u8], Target<'b>), HeadError> {
    let invalid = HeadError::HostInvalid;
    let authority = match start.authority {
        Some(raw) => Some(crate::Authority::parse(raw).ok_or(invalid)?),
        None => None,
    };
    let Some(path) = start.path else {
        let authority = authority.filter(|_| verb == Verb::Connect);
        let authority = authority.ok_or(HeadError::Target("has no path"))?;
        return Ok((authority.raw, Target::Authority(authority)));
    };
    if path.len() > limits.target_bytes {
        return Err(HeadError::TargetTooLong);
    }
    let (form, path_and_query) = match Target::parse(path, verb)? {
        form @ Target::Origin(path) => (form, path),
        form @ Target::Asterisk => (form, path),
        Target::Absolute { .. } | Target::Authority(_) => {
            return Err(HeadError::Target("is no path"));
        }
    };
    Ok((
        path,
        match authority {
            Some(authority) => Target::Absolute { https: start.https, authority, path_and_query },
            None => form,
        },
    ))
}

/// The lines of a trailer section as frames bring it, in the form in which
/// [`Decoder::trailers`](crate::Decoder::trailers) gives them; `None` if it is malformed or says
/// how the message is framed or whom it is for.
pub fn trailer_lines<'b>(fields: impl Iterator<Item = MessageField<'b>>) -> Option<Vec<u8>> {
    let mut lines = Vec::new();
    for (name, value) in fields {
        if !is_name(name) || !is_value(value) {
            return None;
        }
        crate::encode::field(&mut lines, name.as_bytes(), value);
    }
    crate::trailers::checked(lines)
}

/// The fields of a trailer section in lines; nothing for what is none.
pub fn trailer_fields(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        Some((line.get(..colon)?, line.get(colon + 1..)?.trim_ascii()))
    })
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
