//! Bodies: where they end, and which of their bytes are payload (RFC 9112, 6 and 7).

use crate::chunked::{Chunked, Part};
use crate::trailers::{TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX};
use crate::{BodyFraming, Framing};

/// Reads one body off a connection, piece by piece, without copying payload.
///
/// Every byte handed in is used up by the call that reports it, so the caller never keeps a
/// piece for later. Use either [`Decoder::decode`] (payload alone) or [`Decoder::pass`]
/// (the body as it is, to forward it), not both on one body.
///
/// ```
/// use proxyd_http1::{Decoder, Framing};
///
/// let mut body = Decoder::request(Framing::Chunked);
/// let mut input: &[u8] = b"3;ignore=me\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
/// let mut out = Vec::new();
/// while !body.is_done() && !input.is_empty() {
///     let pass = body.pass(input)?;
///     out.extend_from_slice(pass.out);
///     input = &input[pass.consumed..];
/// }
/// assert_eq!(out, b"3\r\nabc\r\n0\r\n\r\n");
/// assert_eq!(input, b"GET / HTTP/1.1\r\n");
/// assert_eq!(body.payload_bytes(), 3);
/// # Ok::<(), proxyd_http1::BodyError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    mode: Mode,
    payload: u64,
}

#[derive(Debug)]
enum Mode {
    /// So many bytes are left.
    Length(u64),
    /// So many bytes are left, and then the end is to be told.
    LengthAndEnd {
        left: u64,
        ended: bool,
    },
    UntilClose,
    Chunked(Chunked),
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
    /// Whether the body is over. What is left of the input belongs to the next message.
    pub done: bool,
}

/// Why a body is refused. The text is for a person and repeats nothing the peer sent.
///
/// A request is answered with 400, if its response has not begun; either way the connection
/// is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// A chunk does not start with its size in hexadecimal digits and CR LF.
    #[error("a chunk size is not a hexadecimal number on a line of its own")]
    ChunkSize,
    /// A chunk size of 2^63 or more, or with more digits than that takes.
    #[error("a chunk size is too large")]
    ChunkTooLarge,
    /// The line with a chunk size is longer than 256 bytes.
    #[error("the extensions of a chunk are too long")]
    ChunkLineTooLong,
    /// A chunk extension has a byte in it other than visible ASCII.
    #[error("a chunk extension is not visible ASCII")]
    ChunkExtension,
    /// A chunk is not followed by CR LF.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    /// A line of the trailer section is no field.
    #[error("a trailer is not a field on a line of its own")]
    TrailerInvalid,
    /// A trailer says how the message is framed or whom it is for.
    #[error("a trailer has a name that only a head may have")]
    TrailerForbidden,
    /// The trailer section is too long.
    #[error("the trailers have more than {TRAILER_BYTES_MAX} bytes")]
    TrailersTooLong,
    /// The trailer section has too many fields.
    #[error("there are more than {TRAILER_FIELDS_MAX} trailers")]
    TooManyTrailers,
    /// The connection ended inside the body.
    #[error("the connection ended before the body did")]
    Truncated,
}

impl Decoder {
    /// For the body of a request.
    pub fn request(framing: Framing) -> Decoder {
        let mode = match framing {
            Framing::None => Mode::Length(0),
            Framing::Length(length) => Mode::Length(length),
            Framing::Chunked => Mode::Chunked(Chunked::new()),
            Framing::UntilEnd => Mode::UntilClose,
        };
        Decoder { mode, payload: 0 }
    }

    /// For the body of a response.
    pub fn response(framing: BodyFraming) -> Decoder {
        let mode = match framing {
            BodyFraming::None => Mode::Length(0),
            BodyFraming::Length(length) => Mode::Length(length),
            BodyFraming::Chunked => Mode::Chunked(Chunked::new()),
            BodyFraming::UntilClose => Mode::UntilClose,
        };
        Decoder { mode, payload: 0 }
    }

    /// For the body of a request that comes in frames, and whose stream has not ended yet: the
    /// frames say where it ends, trailers may come before that, and [`Decoder::finish`] is told.
    pub fn request_in_frames(framing: Framing) -> Decoder {
        Decoder::request(framing).in_frames()
    }

    /// The same for a response.
    pub fn response_in_frames(framing: BodyFraming) -> Decoder {
        Decoder::response(framing).in_frames()
    }

    fn in_frames(self) -> Decoder {
        let mode = match self.mode {
            Mode::Length(left) => Mode::LengthAndEnd { left, ended: false },
            mode => mode,
        };
        Decoder { mode, ..self }
    }

    /// Whether trailers may follow payload whose length is known.
    pub fn has_end_to_come(&self) -> bool {
        matches!(self.mode, Mode::LengthAndEnd { ended: false, .. })
    }

    /// Says what the start of `input` is. Call again with what follows until
    /// [`Step::More`] or [`Step::Done`].
    ///
    /// # Errors
    ///
    /// [`BodyError`]; the connection is of no further use.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, BodyError> {
        let step = match &mut self.mode {
            Mode::Length(0) => Step::Done,
            Mode::Length(_) | Mode::UntilClose if input.is_empty() => Step::More,
            Mode::Length(left) => Step::Payload(take(left, input)),
            Mode::LengthAndEnd { ended: true, .. } => Step::Done,
            Mode::LengthAndEnd { .. } if input.is_empty() => Step::More,
            // More than was said is nobody's, and no trailers follow it.
            Mode::LengthAndEnd { left: 0, ended } => {
                *ended = true;
                Step::Done
            }
            Mode::LengthAndEnd { left, .. } => Step::Payload(take(left, input)),
            Mode::UntilClose => Step::Payload(input.len()),
            Mode::Chunked(chunked) => match chunked.next(input)? {
                Part::Payload(len) => Step::Payload(len),
                Part::Framing(len) | Part::Dropped(len) | Part::Trailers(len) => Step::Framing(len),
                Part::More => Step::More,
                Part::Done => Step::Done,
            },
        };
        if let Step::Payload(len) = step {
            self.payload += len as u64;
        }
        Ok(step)
    }

    /// Takes as much of `input` as can be sent on in one piece, chunk framing included:
    /// checked, without chunk extensions, trailers as one piece at the end.
    ///
    /// # Errors
    ///
    /// [`BodyError`]; the connection is of no further use, and neither is the one that the
    /// pieces before were sent on to: it has seen part of a body that has no end.
    pub fn pass<'a>(&'a mut self, input: &'a [u8]) -> Result<Pass<'a>, BodyError> {
        let (len, done) = match &mut self.mode {
            Mode::Length(left) => (take(left, input), *left == 0),
            Mode::LengthAndEnd { left, ended } => {
                *ended |= *left == 0 && !input.is_empty();
                (take(left, input), *ended)
            }
            Mode::UntilClose => (input.len(), false),
            Mode::Chunked(chunked) => return pass_chunked(chunked, &mut self.payload, input),
        };
        self.payload += len as u64;
        Ok(Pass { out: &input[..len], consumed: len, done })
    }

    /// Whether the body is over.
    pub fn is_done(&self) -> bool {
        match &self.mode {
            Mode::Length(left) => *left == 0,
            Mode::LengthAndEnd { ended, .. } => *ended,
            Mode::UntilClose => false,
            Mode::Chunked(chunked) => chunked.is_done(),
        }
    }

    /// Payload bytes seen so far, framing not counted.
    pub fn payload_bytes(&self) -> u64 {
        self.payload
    }

    /// Takes the end of the connection, or of the stream.
    ///
    /// # Errors
    ///
    /// [`BodyError::Truncated`] if the body was not over.
    pub fn finish(&mut self) -> Result<(), BodyError> {
        match &mut self.mode {
            Mode::UntilClose => self.mode = Mode::Length(0),
            Mode::LengthAndEnd { left: 0, ended } => *ended = true,
            Mode::Length(_) | Mode::LengthAndEnd { .. } | Mode::Chunked(_) => {}
        }
        if self.is_done() { Ok(()) } else { Err(BodyError::Truncated) }
    }

    /// The trailer section of a chunked body, each line with its CR LF and without the blank
    /// line; empty until the body is over, and mostly then.
    ///
    /// Fields that have a meaning in a head are not in it: see [`Known`](crate::Known).
    pub fn trailers(&self) -> &[u8] {
        match &self.mode {
            Mode::Chunked(chunked) if chunked.is_done() => chunked.trailers().lines(),
            Mode::Chunked(_) | Mode::Length(_) | Mode::LengthAndEnd { .. } | Mode::UntilClose => {
                b""
            }
        }
    }
}

/// How much of `input` belongs to a body of which `left` bytes are missing.
fn take(left: &mut u64, input: &[u8]) -> usize {
    let len = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
    *left -= len as u64;
    len
}

/// The bytes of `input` as they are up to the first one that is not sent on; or the trailer
/// section, whose bytes are sent on only once it is whole.
fn pass_chunked<'a>(
    chunked: &'a mut Chunked,
    payload: &mut u64,
    input: &'a [u8],
) -> Result<Pass<'a>, BodyError> {
    let (mut from, mut at) = (0, 0);
    loop {
        let pending = at > from;
        if pending && chunked.in_trailers() {
            return Ok(Pass { out: &input[from..at], consumed: at, done: false });
        }
        match chunked.next(&input[at..])? {
            Part::Payload(len) => {
                at += len;
                *payload += len as u64;
            }
            Part::Framing(len) => at += len,
            Part::Dropped(len) if pending => {
                return Ok(Pass { out: &input[from..at], consumed: at + len, done: false });
            }
            Part::Dropped(len) => (from, at) = (at + len, at + len),
            Part::Trailers(len) => {
                let out = chunked.trailers().section();
                return Ok(Pass { out, consumed: at + len, done: true });
            }
            part @ (Part::More | Part::Done) => {
                let done = part == Part::Done;
                return Ok(Pass { out: &input[from..at], consumed: at, done });
            }
        }
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
