//! Request heads (RFC 9112, 3).

use crate::{
    Authority, EndToEnd, Fields, HeadError, HeadSpace, Limits, Nominated, Scan, Target, Verb,
    Version,
};

/// How the body of a request is delimited (RFC 9112, 6.3). A request cannot end with the
/// connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body and no field that speaks of one.
    None,
    /// That many bytes; zero only if the sender said `Content-Length: 0`.
    Length(u64),
    /// The chunked transfer coding.
    Chunked,
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
    /// Bytes of the head in the buffer, blank lines included. The body starts there.
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
    /// Whether the sender reads trailers: `TE: trailers` and `Connection: TE`.
    pub te_trailers: bool,
    fields: Fields<'h>,
}

impl<'h> RequestHead<'h> {
    /// All fields as they came.
    pub fn fields(&self) -> Fields<'h> {
        self.fields.clone()
    }

    /// The fields to forward.
    pub fn end_to_end(&self) -> EndToEnd<'h> {
        todo!()
    }

    /// The names `Connection` nominates; [`RequestHead::end_to_end`] has left them out.
    pub fn nominated(&self) -> Nominated<'h> {
        todo!()
    }

    /// The target to send to an origin server: path and query, `*` for OPTIONS of the server
    /// as a whole; for CONNECT the target itself.
    pub fn path_and_query(&self) -> &'h [u8] {
        todo!()
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
    let _ = (buf, scan, limits, space);
    todo!()
}
