//! Response heads (RFC 9112, 4).

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
    fields: Fields<'h>,
}

impl<'h> ResponseHead<'h> {
    /// All fields as they came.
    pub fn fields(&self) -> Fields<'h> {
        self.fields.clone()
    }

    /// The fields to forward.
    pub fn end_to_end(&self) -> EndToEnd<'h> {
        todo!()
    }

    /// The names `Connection` nominates; [`ResponseHead::end_to_end`] has left them out.
    pub fn nominated(&self) -> Nominated<'h> {
        todo!()
    }

    /// Whether another head for the same request follows: 1xx except 101.
    pub fn is_interim(&self) -> bool {
        todo!()
    }

    /// Whether the connection leaves HTTP with this head: 101, to whatever protocol.
    pub fn is_upgrade(&self) -> bool {
        self.status == 101
    }
}

/// Parses the response head at the start of `buf`, the answer to a `verb` request, or says
/// that more bytes are needed. `scan` as in [`parse_request`](crate::parse_request).
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
    let _ = (buf, verb, scan, limits, space);
    todo!()
}
