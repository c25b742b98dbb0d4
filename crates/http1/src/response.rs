//! Response heads (RFC 9112, 4).

use crate::facts::{Facts, Side};
use crate::field::Retain;
use crate::request::keep_alive;
use crate::scan::Before;
use crate::{EndToEnd, Fields, HeadError, HeadSpace, Limits, Nominated, Scan, Verb, Version};

/// How the body of a response is delimited (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is no body, whatever the fields say.
    None,
    /// That many bytes.
    Length(u64),
    /// The chunked transfer coding.
    Chunked,
    /// All that comes until the connection ends.
    UntilClose,
}

/// The head of a response, as views into the buffer it was parsed from.
#[derive(Clone, Debug)]
pub struct ResponseHead<'h> {
    /// 100 to 999.
    pub status: u16,
    /// The reason phrase, perhaps empty.
    pub reason: &'h [u8],
    /// The version of the sender.
    pub version: Version,
    /// Bytes of the head in the buffer, blank line included. The body starts there.
    pub len: usize,
    /// How the body is delimited, given the method it answers.
    pub framing: BodyFraming,
    /// What `Content-Length` says, even where no body follows (HEAD, 304).
    pub content_length: Option<u64>,
    /// Whether the connection may be used again once the body is complete.
    pub keep_alive: bool,
    /// Whether this agrees to a WebSocket handshake: 101 with the matching `Connection` and
    /// `Upgrade`.
    pub upgrade_websocket: bool,
    pub(crate) fields: Fields<'h>,
    pub(crate) nominates: bool,
}

impl<'h> ResponseHead<'h> {
    /// All fields as they came.
    pub fn fields(&self) -> Fields<'h> {
        self.fields.clone()
    }

    /// The fields to forward.
    pub fn end_to_end(&self) -> EndToEnd<'h> {
        let retain = if self.upgrade_websocket { Retain::Websocket } else { Retain::Nothing };
        EndToEnd::new(self.fields(), self.nominates, retain, !has_no_length(self.status))
    }

    /// The names `Connection` nominates; [`ResponseHead::end_to_end`] has left them out.
    pub fn nominated(&self) -> Nominated<'h> {
        Nominated::new(self.fields())
    }

    /// Whether another head for the same request follows: 1xx except 101.
    pub fn is_interim(&self) -> bool {
        matches!(self.status, 100..=199) && !self.is_upgrade()
    }

    /// Whether the connection leaves HTTP with this head: 101, to whatever protocol.
    pub fn is_upgrade(&self) -> bool {
        self.status == 101
    }
}

/// Parses the response head at the start of `buf`, the answer to a `verb` request, or says
/// that more bytes are needed. `scan` as in [`parse_request`](crate::parse_request).
///
/// As strict about lines and framing as for requests. Let through: a missing or non-ASCII
/// reason phrase (the latter reads as empty), bytes above 127 in values, `Content-Length`
/// with leading zeros, and a `Content-Length` or `Transfer-Encoding` where there can be no
/// body, which costs the connection (an honest server does not send them, so what comes next
/// may be a body after all).
///
/// # Errors
///
/// [`HeadError`]: the answer to the client is 502 whatever it says, and the connection it
/// came from is of no further use.
pub fn parse_response<'h, 'b: 'h>(
    buf: &'b [u8],
    verb: Verb,
    scan: &mut Scan,
    limits: &Limits,
    space: &'h mut HeadSpace<'b>,
) -> Result<Option<ResponseHead<'h>>, HeadError> {
    let Some(found) = scan.find(buf, Before::Nothing, limits)? else {
        return check_beginning(buf).map(|()| None);
    };
    let bytes = &buf[found.start..found.end];
    let mut response = httparse::Response::new(&mut []);
    let room = &mut space.headers[..limits.fields.min(Limits::FIELDS_MAX)];
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut response, bytes, room) {
        Ok(httparse::Status::Complete(len)) if len == bytes.len() => {}
        Ok(_) => return Err(HeadError::StatusLine),
        Err(error) => return Err(HeadError::diagnose(bytes, error, HeadError::StatusLine)),
    }
    let (Some(status @ 100..), Some(version)) = (response.code, response.version) else {
        return Err(HeadError::StatusLine);
    };
    let headers: &'h [httparse::Header<'b>] = response.headers;
    let known = &mut space.known[..headers.len()];
    let facts = Facts::learn(headers, known, Side::Response)?;
    let version = if version == 0 { Version::Http10 } else { Version::Http11 };
    if facts.chunked && version == Version::Http10 {
        return Err(HeadError::EncodingInHttp10);
    }
    let framing = framing(status, verb, &facts);
    let announces_a_body = facts.chunked || facts.length.is_some_and(|length| length > 0);
    Ok(Some(ResponseHead {
        status,
        reason: response.reason.unwrap_or("").as_bytes(),
        version,
        len: found.end,
        framing,
        content_length: facts.length,
        keep_alive: keep_alive(&facts, version)
            && framing != BodyFraming::UntilClose
            && status != 101
            && verb != Verb::Connect
            && !(has_no_length(status) && announces_a_body),
        upgrade_websocket: status == 101 && version == Version::Http11 && facts.is_websocket(),
        fields: Fields::new(headers, known),
        nominates: facts.nominates,
    }))
}

/// RFC 9112, 6.3.
pub(crate) fn framing(status: u16, verb: Verb, facts: &Facts<'_>) -> BodyFraming {
    let tunnel = verb == Verb::Connect && matches!(status, 200..=299);
    if verb == Verb::Head || has_no_length(status) || status == 304 || tunnel {
        return BodyFraming::None;
    }
    match (facts.chunked, facts.length) {
        (true, _) => BodyFraming::Chunked,
        (false, Some(length)) => BodyFraming::Length(length),
        (false, None) => BodyFraming::UntilClose,
    }
}

/// Whether a response with `status` has neither body nor `Content-Length` (RFC 9110, 8.6).
/// A 304 has no body either, but says how long it would be.
const fn has_no_length(status: u16) -> bool {
    matches!(status, 100..=199 | 204)
}

/// Refuses at once what is no HTTP at all, such as the greeting of another protocol.
fn check_beginning(buf: &[u8]) -> Result<(), HeadError> {
    let wanted = b"HTTP/";
    let len = buf.len().min(wanted.len());
    if buf[..len] == wanted[..len] { Ok(()) } else { Err(HeadError::StatusLine) }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
