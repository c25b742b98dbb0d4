//! The chunked transfer coding, read byte by byte where it frames and slice by slice where
//! it carries (RFC 9112, 7.1).
//!
//! ```text
//!   Size -- `;` --> Extension -- CR ahead --> ExtensionEnd
//!    |CR                                           |CR
//!    +-----------------> SizeEnd <-----------------+
//!                           |LF
//!             size > 0      |      size = 0
//!      +--------------------+----------------> TrailerStart -- CR --> End
//!      v                                            | other            |LF
//!    Data --> DataEnd -- CR --> DataFeed            v     blank line   v
//!                                  |LF           Trailer -----------> Done
//!                                  +--> Size
//! ```

use crate::BodyError;
use crate::facts::LENGTH_MAX;
use crate::trailers::{Taken, Trailers};

/// Bytes of a line with a chunk size, its extensions included, without CR LF.
pub(crate) const CHUNK_LINE_MAX: usize = 256;
/// A `u64` has as many. More are leading zeros, which no sender needs.
const DIGITS_MAX: usize = 16;

/// Reads one chunked body.
#[derive(Debug)]
pub(crate) struct Chunked {
    state: State,
    /// Of the chunk: as read so far, then what is left of it.
    size: u64,
    /// Bytes of the size line so far.
    line: usize,
    trailers: Trailers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    ExtensionEnd,
    SizeEnd,
    Data,
    DataEnd,
    DataFeed,
    TrailerStart,
    Trailer,
    End,
    Done,
}

/// What the start of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Payload.
    Payload(usize),
    /// Framing that may be sent on as it is.
    Framing(usize),
    /// Chunk extensions or part of the trailer section: not to be sent on.
    Dropped(usize),
    /// The end of the trailer section, which is now to be sent on as a whole.
    Trailers(usize),
    /// Nothing: the input is used up.
    More,
    /// Nothing: the body is over.
    Done,
}

impl Chunked {
    pub(crate) fn new() -> Chunked {
        Chunked { state: State::Size, size: 0, line: 0, trailers: Trailers::default() }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether what comes next belongs to trailers.
    pub(crate) fn in_trailers(&self) -> bool {
        self.state == State::Trailer
    }

    pub(crate) fn trailers(&self) -> &Trailers {
        &self.trailers
    }

    /// Says what the start of `input` is and takes it.
    pub(crate) fn next(&mut self, input: &[u8]) -> Result<Part, BodyError> {
        match self.state {
            State::Done => Ok(Part::Done),
            _ if input.is_empty() => Ok(Part::More),
            State::Data => Ok(self.data(input)),
            State::Extension => self.extension(input),
            State::Trailer => self.trailer(input),
            State::Size
            | State::ExtensionEnd
            | State::SizeEnd
            | State::DataEnd
            | State::DataFeed
            | State::TrailerStart
            | State::End => self.framing(input),
        }
    }

    fn data(&mut self, input: &[u8]) -> Part {
        let len = usize::try_from(self.size).map_or(input.len(), |left| left.min(input.len()));
        self.size -= len as u64;
        if self.size == 0 {
            self.state = State::DataEnd;
        }
        Part::Payload(len)
    }

    /// Takes all framing up to the next payload, extension, trailer or end.
    fn framing(&mut self, input: &[u8]) -> Result<Part, BodyError> {
        for (at, byte) in input.iter().enumerate() {
            match (self.state, byte) {
                (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(*byte)?,
                (State::Size, b';') if self.line > 0 => self.state = State::Extension,
                (State::Size, b'\r') if self.line > 0 => self.state = State::SizeEnd,
                (State::ExtensionEnd, b'\r') => self.state = State::SizeEnd,
                (State::Size | State::ExtensionEnd, _) => return Err(BodyError::ChunkSize),
                (State::SizeEnd, b'\n') if self.size > 0 => {
                    self.state = State::Data;
                    return Ok(Part::Framing(at + 1));
                }
                (State::SizeEnd, b'\n') => self.state = State::TrailerStart,
                (State::DataEnd, b'\r') => self.state = State::DataFeed,
                (State::DataFeed, b'\n') => {
                    (self.state, self.size, self.line) = (State::Size, 0, 0);
                }
                (State::TrailerStart, b'\r') => self.state = State::End,
                (State::TrailerStart, _) => self.state = State::Trailer,
                (State::End, b'\n') => {
                    self.state = State::Done;
                    return Ok(Part::Framing(at + 1));
                }
                (State::SizeEnd, _) => return Err(BodyError::ChunkSize),
                (State::DataEnd | State::DataFeed, _) => return Err(BodyError::ChunkEnd),
                (State::End, _) => return Err(BodyError::TrailerInvalid),
                (State::Extension | State::Trailer | State::Data | State::Done, _) => {
                    debug_assert!(false, "these states are not framing");
                }
            }
            match self.state {
                // The byte that begins them is theirs.
                State::Extension | State::Trailer if at > 0 => return Ok(Part::Framing(at)),
                State::Extension => return self.extension(input),
                State::Trailer => return self.trailer(input),
                _ => {}
            }
        }
        Ok(Part::Framing(input.len()))
    }

    fn digit(&mut self, byte: u8) -> Result<(), BodyError> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            _ => (byte | 0x20) - b'a' + 10,
        };
        self.line += 1;
        if self.line > DIGITS_MAX {
            return Err(BodyError::ChunkTooLarge);
        }
        self.size = self.size << 4 | u64::from(digit);
        if self.size > LENGTH_MAX {
            return Err(BodyError::ChunkTooLarge);
        }
        Ok(())
    }

    /// Skips to the end of the size line. Extensions mean nothing to us and are not sent on
    /// (RFC 9112, 7.1.1); still they are one line of visible ASCII.
    fn extension(&mut self, input: &[u8]) -> Result<Part, BodyError> {
        let end = input.iter().position(|b| !matches!(b, b'\t' | b' '..=b'~'));
        let len = end.unwrap_or(input.len());
        self.line += len;
        if self.line > CHUNK_LINE_MAX {
            return Err(BodyError::ChunkLineTooLong);
        }
        match end.map(|end| input[end]) {
            None => return Ok(Part::Dropped(len)),
            Some(b'\r') => self.state = State::ExtensionEnd,
            Some(_) => return Err(BodyError::ChunkExtension),
        }
        if len > 0 { Ok(Part::Dropped(len)) } else { self.framing(input) }
    }

    fn trailer(&mut self, input: &[u8]) -> Result<Part, BodyError> {
        match self.trailers.take(input)? {
            Taken::All => Ok(Part::Dropped(input.len())),
            Taken::Complete(len) => {
                self.state = State::Done;
                Ok(Part::Trailers(len))
            }
        }
    }
}

#[cfg(test)]
#[path = "chunked_tests.rs"]
mod tests;
