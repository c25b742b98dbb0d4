//! The trailer section of a chunked body (RFC 9112, 7.1.2).
//!
//! Kept here and not passed on as it comes: whether a line is fit to be sent on shows only
//! at its end. Most bodies have none, and then nothing is allocated.

use crate::{BodyError, Known};

/// Bytes of a trailer section, the blank line included.
pub(crate) const TRAILER_BYTES_MAX: usize = 16 * 1024;
/// Fields of a trailer section.
pub(crate) const TRAILER_FIELDS_MAX: usize = 64;

/// The lines so far; once complete, those that may be sent on and the blank line.
#[derive(Debug, Default)]
pub(crate) struct Trailers {
    bytes: Vec<u8>,
    /// Where the line being read begins.
    line: usize,
}

/// A section that came as a whole: the lines that may be sent on, without the blank line.
pub(crate) fn checked(mut lines: Vec<u8>) -> Option<Vec<u8>> {
    crate::encode::blank_line(&mut lines);
    if lines.len() > TRAILER_BYTES_MAX {
        return None;
    }
    let mut section = Trailers { bytes: lines, line: 0 };
    section.check().ok()?;
    Some(section.lines().to_vec())
}

/// How far [`Trailers::take`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// All of the input, and the section is not over.
    All,
    /// The section is over after that many bytes of the input.
    Complete(usize),
}

impl Trailers {
    /// Takes what `input` has of the section.
    pub(crate) fn take(&mut self, input: &[u8]) -> Result<Taken, BodyError> {
        let mut at = 0;
        while at < input.len() {
            let feed = memchr::memchr(b'\n', &input[at..]);
            let end = feed.map_or(input.len(), |feed| at + feed + 1);
            if self.bytes.len() + (end - at) > TRAILER_BYTES_MAX {
                return Err(BodyError::TrailersTooLong);
            }
            self.bytes.extend_from_slice(&input[at..end]);
            at = end;
            if feed.is_none() {
                break;
            }
            let line = &self.bytes[self.line..];
            if !line.ends_with(b"\r\n") {
                return Err(BodyError::TrailerInvalid);
            }
            if line.len() == 2 {
                self.check()?;
                return Ok(Taken::Complete(at));
            }
            self.line = self.bytes.len();
        }
        Ok(Taken::All)
    }

    /// The lines and the blank line, for the next hop.
    pub(crate) fn section(&self) -> &[u8] {
        &self.bytes
    }

    /// The lines without the blank line.
    pub(crate) fn lines(&self) -> &[u8] {
        self.bytes.strip_suffix(b"\r\n").unwrap_or(b"")
    }

    /// Holds the section to the rules of a head. A field that would change where a message
    /// ends or whom it is for is an attack; one that means something only in a head is left
    /// out, since there are servers that add trailers to the fields of the head
    /// (RFC 9110, 6.5.1).
    fn check(&mut self) -> Result<(), BodyError> {
        let mut headers = [httparse::EMPTY_HEADER; TRAILER_FIELDS_MAX];
        let headers = match httparse::parse_headers(&self.bytes, &mut headers) {
            Ok(httparse::Status::Complete((len, headers))) if len == self.bytes.len() => headers,
            Ok(_) => return Err(BodyError::TrailerInvalid),
            Err(httparse::Error::TooManyHeaders) => return Err(BodyError::TooManyTrailers),
            Err(_) => return Err(BodyError::TrailerInvalid),
        };
        let mut kept = Vec::with_capacity(self.bytes.len());
        for header in headers {
            match Known::of(header.name.as_bytes()) {
                Known::ContentLength | Known::TransferEncoding | Known::Host => {
                    return Err(BodyError::TrailerForbidden);
                }
                Known::Other => {
                    crate::encode::field(&mut kept, header.name.as_bytes(), header.value);
                }
                _ => {}
            }
        }
        crate::encode::blank_line(&mut kept);
        self.bytes = kept;
        Ok(())
    }
}
