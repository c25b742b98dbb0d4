//! Bodies: where they end, and which of their bytes are payload (RFC 9112, 6 and 7).

use crate::{BodyFraming, Framing};

/// Reads one body off a connection, piece by piece, without copying payload.
///
/// Every byte handed in is used up by the call that reports it, so the caller never keeps a
/// piece for later. Use either [`Decoder::decode`] (payload alone) or [`Decoder::pass`]
/// (the body as it is, to forward it), not both on one body.
#[derive(Debug)]
pub struct Decoder {
    payload: u64,
}

/// What the start of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// That many bytes are payload. At least one.
    Payload(usize),
    /// That many bytes frame the payload and carry nothing. At least one.
    Framing(usize),
    /// The input is used up; the body is not over.
    More,
    /// The body is over. What is left of the input belongs to the next message.
    Done,
}

/// One piece of a body on its way through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass<'a> {
    /// What to send on; part of the input or, for trailers, of the decoder. May be empty.
    pub out: &'a [u8],
    /// How many bytes of the input this used up. Call again with the rest while there is
    /// one and `done` is false.
    pub consumed: usize,
    /// Whether the body is over.
    pub done: bool,
}

/// Why a body is refused. The text is for a person and repeats nothing the peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// A chunk does not start with its size in hexadecimal digits.
    #[error("a chunk size is not a hexadecimal number")]
    ChunkSize,
}

impl Decoder {
    /// For the body of a request.
    pub fn request(framing: Framing) -> Decoder {
        let _ = framing;
        todo!()
    }

    /// For the body of a response.
    pub fn response(framing: BodyFraming) -> Decoder {
        let _ = framing;
        todo!()
    }

    /// Says what the start of `input` is. Call again with what follows until
    /// [`Step::More`] or [`Step::Done`].
    ///
    /// # Errors
    ///
    /// [`BodyError`]; the connection is of no further use.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, BodyError> {
        let _ = input;
        todo!()
    }

    /// Takes as much of `input` as can be sent on in one piece, chunk framing included:
    /// checked, without chunk extensions, trailers as one piece at the end.
    ///
    /// # Errors
    ///
    /// [`BodyError`]; the connection is of no further use.
    pub fn pass<'a>(&'a mut self, input: &'a [u8]) -> Result<Pass<'a>, BodyError> {
        let _ = input;
        todo!()
    }

    /// Whether the body is over.
    pub fn is_done(&self) -> bool {
        todo!()
    }

    /// Payload bytes seen so far, framing not counted.
    pub fn payload_bytes(&self) -> u64 {
        self.payload
    }

    /// Takes the end of the connection.
    ///
    /// # Errors
    ///
    /// `Truncated` if the body was not over.
    pub fn finish(&mut self) -> Result<(), BodyError> {
        todo!()
    }

    /// The trailer section of a chunked body as it came, each line with its CR LF and
    /// without the blank line; empty until the body is over, and mostly then.
    pub fn trailers(&self) -> &[u8] {
        todo!()
    }
}
