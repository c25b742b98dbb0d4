//! Request heads (RFC 9112, 3).

use crate::error::is_token;
use crate::facts::{Facts, Side};
use crate::field::Retain;
use crate::scan::Before;
use crate::{
    Authority, EndToEnd, Fields, HeadError, HeadSpace, Limits, Nominated, Scan, Target, Verb,
    Version,
};

/// The longest method we read. The longest registered one has 17 bytes.
pub(crate) const METHOD_BYTES_MAX: usize = 64;

/// How the body of a request is delimited (RFC 9112, 6.3). A request cannot end with the
/// connection; with a stream of its own it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body and no field that speaks of one.
    None,
    /// That many bytes; zero only if the sender said `Content-Length: 0`.
    Length(u64),
    /// The chunked transfer coding.
    Chunked,
    /// All that comes until the stream of the request ends. Only in HTTP/2 and HTTP/3.
    UntilEnd,
}

impl Framing {
    /// Whether there are body bytes to come.
    pub const fn has_body(self) -> bool {
        match self {
            Framing::None | Framing::Length(0) => false,
            Framing::Length(_) | Framing::Chunked | Framing::UntilEnd => true,
        }
    }
}

/// The head of a request, as views into the buffer it was parsed from.
#[derive(Clone, Debug)]
pub struct RequestHead<'h> {
    /// The method as sent: a token.
    pub method: &'h [u8],
    /// The method, classified. The parser lets CONNECT and TRACE through so that they can be
    /// answered with 405; `keep_alive` is false for them.
    pub verb: Verb,
    /// The target as sent.
    pub target: &'h [u8],
    /// The target in its parts.
    pub form: Target<'h>,
    /// The version of the sender.
    pub version: Version,
    /// Bytes of the head in the buffer, blank lines included. The body starts there. 0 for a head
    /// that came in frames.
    pub len: usize,
    /// How the body is delimited.
    pub framing: Framing,
    /// Whom the request is for: the authority of the target, else the `Host` field. `None`
    /// only in HTTP/1.0.
    pub host: Option<Authority<'h>>,
    /// Whether the sender wants the connection to stay open after the response.
    pub keep_alive: bool,
    /// Whether the sender waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
    /// Whether this is a WebSocket handshake (RFC 6455, 4.1): GET, HTTP/1.1, no body,
    /// `Connection` contains `upgrade`, `Upgrade` is `websocket` and nothing else.
    pub upgrade_websocket: bool,
    /// Whether the sender reads trailers: `TE: trailers` and, in text, `Connection: TE`.
    pub te_trailers: bool,
    pub(crate) fields: Fields<'h>,
    pub(crate) nominates: bool,
}

impl<'h> RequestHead<'h> {
    /// All fields as they came.
    pub fn fields(&self) -> Fields<'h> {
        self.fields.clone()
    }

    /// The fields to forward.
    pub fn end_to_end(&self) -> EndToEnd<'h> {
        let retain = match (self.upgrade_websocket, self.te_trailers) {
            (true, _) => Retain::Websocket,
            (false, true) => Retain::TeTrailers,
            (false, false) => Retain::Nothing,
        };
        EndToEnd::new(self.fields(), self.nominates, retain, true)
    }

    /// The names `Connection` nominates; [`RequestHead::end_to_end`] has left them out.
    pub fn nominated(&self) -> Nominated<'h> {
        Nominated::new(self.fields())
    }

    /// The target to send to an origin server: path and query, `*` for OPTIONS of the server
    /// as a whole; for CONNECT the target itself.
    pub fn path_and_query(&self) -> &'h [u8] {
        match self.form {
            Target::Absolute { path_and_query, .. } => path_and_query,
            Target::Origin(_) | Target::Authority(_) | Target::Asterisk => self.target,
        }
    }
}

/// Parses the request head at the start of `buf`, or says that more bytes are needed.
///
/// `scan` must be new for each head and the same for each call with more bytes of it; after
/// a head it is new again. One empty line before the request line is skipped (RFC 9112, 2.2)
/// and counts into `len`.
///
/// # Errors
///
/// [`HeadError`]: answer with its status and close, since nobody can tell where the next
/// message begins.
pub fn parse_request<'h, 'b: 'h>(
    buf: &'b [u8],
    scan: &mut Scan,
    limits: &Limits,
    space: &'h mut HeadSpace<'b>,
) -> Result<Option<RequestHead<'h>>, HeadError> {
    let found = match scan.find(buf, Before::EmptyLine, limits) {
        Ok(Some(found)) => found,
        Ok(None) => return check_beginning(buf, scan, limits).map(|()| None),
        Err(HeadError::HeadTooLong) => {
            check_beginning(buf, scan, limits)?;
            return Err(HeadError::HeadTooLong);
        }
        Err(error) => return Err(error),
    };
    let bytes = &buf[found.start..found.end];
    let mut request = httparse::Request::new(&mut []);
    let room = &mut space.headers[..limits.fields.min(Limits::FIELDS_MAX)];
    match request.parse_with_uninit_headers(bytes, room) {
        Ok(httparse::Status::Complete(len)) if len == bytes.len() => {}
        Ok(_) => return Err(HeadError::RequestLine),
        Err(error) => return Err(HeadError::diagnose(bytes, error, HeadError::RequestLine)),
    }
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(HeadError::RequestLine);
    };
    let headers: &'h [httparse::Header<'b>] = request.headers;
    let known = &mut space.known[..headers.len()];
    let facts = Facts::learn(headers, known, Side::Request)?;

    let (method, target) = (method.as_bytes(), target.as_bytes());
    if method.len() > METHOD_BYTES_MAX {
        return Err(HeadError::MethodTooLong);
    }
    if target.len() > limits.target_bytes {
        return Err(HeadError::TargetTooLong);
    }
    let version = if version == 0 { Version::Http10 } else { Version::Http11 };
    let verb = Verb::of(method);
    let form = Target::parse(target, verb)?;
    let framing = framing(&facts, version)?;
    let expects = version == Version::Http11;
    if expects && facts.expect_other {
        return Err(HeadError::Expectation);
    }
    Ok(Some(RequestHead {
        method,
        verb,
        target,
        form,
        version,
        len: found.end,
        framing,
        host: host(&facts, &form, version, limits.host_by_target)?,
        keep_alive: keep_alive(&facts, version) && !matches!(verb, Verb::Connect | Verb::Trace),
        expect_continue: expects && facts.expect_continue && framing.has_body(),
        upgrade_websocket: facts.is_websocket()
            && verb == Verb::Get
            && version == Version::Http11
            && !framing.has_body(),
        te_trailers: facts.te_trailers(),
        fields: Fields::new(headers, known),
        nominates: facts.nominates,
    }))
}

/// Whether the sender would keep the connection (RFC 9112, 9.3).
pub(crate) fn keep_alive(facts: &Facts<'_>, version: Version) -> bool {
    match version {
        Version::Http10 => facts.keep_alive && !facts.close,
        Version::Http11 | Version::Http2 | Version::Http3 => !facts.close,
    }
}

/// Refuses an incomplete head that no more bytes can mend, so that nobody waits for them.
/// Looks at a bounded number of bytes, since it runs for each piece that arrives.
fn check_beginning(buf: &[u8], scan: &Scan, limits: &Limits) -> Result<(), HeadError> {
    let Some(start) = scan.in_start_line() else { return Ok(()) };
    let line = &buf[start..];
    match line {
        [] => return Ok(()),
        [b'\r'] if start == 0 => return Ok(()),
        [first, ..] if !is_token(*first) => return Err(HeadError::RequestLine),
        _ => {}
    }
    let head = &line[..line.len().min(METHOD_BYTES_MAX + 1)];
    match memchr::memchr(b' ', head) {
        None if head.len() > METHOD_BYTES_MAX => Err(HeadError::MethodTooLong),
        // What follows a target that is just short enough: ` HTTP/1.1`, CR.
        Some(space) if line.len() - space - 1 > limits.target_bytes + 10 => {
            Err(HeadError::TargetTooLong)
        }
        None | Some(_) => Ok(()),
    }
}

/// RFC 9112, 6.3, without the cases in which two readings are possible.
fn framing(facts: &Facts<'_>, version: Version) -> Result<Framing, HeadError> {
    match (facts.chunked, facts.length) {
        (true, _) if version == Version::Http10 => Err(HeadError::EncodingInHttp10),
        (true, _) => Ok(Framing::Chunked),
        (false, Some(length)) => Ok(Framing::Length(length)),
        (false, None) => Ok(Framing::None),
    }
}

/// Whom the request is for (RFC 9112, 3.2 and 3.3). RFC 9112 has a proxy replace a `Host`
/// that differs from the target. Few honest clients send one, so it is refused unless asked for.
pub(crate) fn host<'b>(
    facts: &Facts<'b>,
    form: &Target<'b>,
    version: Version,
    by_target: bool,
) -> Result<Option<Authority<'b>>, HeadError> {
    let field = match facts.host {
        Some(_) if facts.host_repeated => return Err(HeadError::HostRepeated),
        Some(value) => Some(Authority::parse(value).ok_or(HeadError::HostInvalid)?),
        None if version == Version::Http11 => return Err(HeadError::HostMissing),
        None if version != Version::Http10 && !has_authority(form) => {
            return Err(HeadError::HostMissing);
        }
        None => None,
    };
    let (target, port) = match form {
        Target::Origin(_) | Target::Asterisk => return Ok(field),
        Target::Absolute { authority, .. } if by_target => return Ok(Some(*authority)),
        Target::Absolute { https: true, authority, .. } => (authority, 443),
        Target::Absolute { https: false, authority, .. } => (authority, 80),
        // No default: the port is part of the target, and may be left out of `Host`.
        Target::Authority(authority) => (authority, authority.port.unwrap_or(0)),
    };
    match field {
        Some(field) if !field.is_same(target, port) => Err(HeadError::HostMismatch),
        Some(_) | None => Ok(Some(*target)),
    }
}

fn has_authority(form: &Target<'_>) -> bool {
    matches!(form, Target::Absolute { .. } | Target::Authority(_))
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
