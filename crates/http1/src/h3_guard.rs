//! How much a client may announce on a stream of HTTP/3 (RFC 9114, 7.1).
//!
//! A frame says how long it is before it comes, and whoever reads frames keeps one until it is
//! whole. DATA is passed on in pieces; of everything else this sees to it that nobody waits for
//! more than a head may have.

/// Bytes of a frame that is no DATA: a head of [`Limits::STANDARD`](crate::Limits) and its
/// overhead.
pub const H3_FRAME_BYTES_MAX: u64 = 80 * 1024;
/// Frames of a stream that are no DATA: heads, and those of kinds nobody knows (RFC 9114, 9).
pub const H3_FRAMES_MAX: u32 = 256;

/// The frame type of payload (RFC 9114, 7.2.1).
const DATA: u64 = 0;

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum H3StreamKind {
    /// A request: frames from its first byte.
    Request,
    /// A stream of one direction: its kind, then frames if it is the control stream.
    OneWay,
}

/// Looks at the bytes of one stream as they come.
#[derive(Clone, Debug)]
pub struct H3Guard {
    state: State,
    frames: u32,
}

/// Why a stream is refused: `H3_EXCESSIVE_LOAD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum H3Refused {
    /// A frame that is no DATA says that it is longer than [`H3_FRAME_BYTES_MAX`].
    #[error("a frame is longer than a head may be")]
    FrameTooLong,
    /// More than [`H3_FRAMES_MAX`] frames that are no DATA.
    #[error("too many frames that are no payload")]
    TooManyFrames,
}

#[derive(Clone, Debug)]
enum State {
    /// The kind of a stream of one direction.
    Kind(Number),
    Type(Number),
    Length {
        is_data: bool,
        number: Number,
    },
    Payload(u64),
    /// No frames, or none that anybody keeps.
    Free,
}

/// A variable-length integer on its way (RFC 9000, 16).
#[derive(Clone, Debug, Default)]
struct Number {
    value: u64,
    /// Bytes still to come; none has come while it is `None`.
    left: Option<u8>,
}

impl H3Guard {
    /// For a new stream.
    pub fn new(kind: H3StreamKind) -> Self {
        let state = match kind {
            H3StreamKind::Request => State::Type(Number::default()),
            H3StreamKind::OneWay => State::Kind(Number::default()),
        };
        Self { state, frames: 0 }
    }

    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    ///
    /// [`H3Refused`]; nothing of these bytes must reach whoever reads frames.
    pub fn take(&mut self, mut bytes: &[u8]) -> Result<(), H3Refused> {
        while let Some((first, rest)) = bytes.split_first() {
            match &mut self.state {
                State::Free => return Ok(()),
                State::Payload(left) => {
                    let len = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= len as u64;
                    bytes = bytes.get(len..).unwrap_or_default();
                }
                State::Kind(number) => {
                    bytes = rest;
                    // Control; those of QPACK hold no frames and are not kept.
                    if let Some(kind) = number.push(*first) {
                        let is_control = kind == 0;
                        self.state =
                            if is_control { State::Type(Number::default()) } else { State::Free };
                    }
                }
                State::Type(number) => {
                    bytes = rest;
                    if let Some(kind) = number.push(*first) {
                        let is_data = kind == DATA;
                        if !is_data {
                            self.frames += 1;
                            if self.frames > H3_FRAMES_MAX {
                                return Err(H3Refused::TooManyFrames);
                            }
                        }
                        self.state = State::Length { is_data, number: Number::default() };
                    }
                }
                State::Length { is_data, number } => {
                    bytes = rest;
                    if let Some(length) = number.push(*first) {
                        if !*is_data && length > H3_FRAME_BYTES_MAX {
                            return Err(H3Refused::FrameTooLong);
                        }
                        self.state = State::Payload(length);
                    }
                }
            }
            if let State::Payload(0) = self.state {
                self.state = State::Type(Number::default());
            }
        }
        Ok(())
    }
}

impl Number {
    fn push(&mut self, byte: u8) -> Option<u64> {
        let left = match self.left {
            None => {
                self.value = u64::from(byte & 0x3f);
                (1_u8 << (byte >> 6)) - 1
            }
            Some(left) => {
                self.value = self.value << 8 | u64::from(byte);
                left - 1
            }
        };
        self.left = Some(left);
        (left == 0).then_some(self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: u64) -> Vec<u8> {
        match value {
            0..0x40 => vec![value as u8],
            0x40..0x4000 => (value as u16 | 0x4000).to_be_bytes().to_vec(),
            0x4000..0x4000_0000 => (value as u32 | 0x8000_0000).to_be_bytes().to_vec(),
            _ => (value | 0xc000_0000_0000_0000).to_be_bytes().to_vec(),
        }
    }

    fn frame(kind: u64, length: u64) -> Vec<u8> {
        [number(kind), number(length), vec![0xff; length.min(100_000) as usize]].concat()
    }

    fn says(kind: H3StreamKind, bytes: &[u8]) -> Result<(), H3Refused> {
        let whole = H3Guard::new(kind).take(bytes);
        let mut in_pieces = H3Guard::new(kind);
        let pieces = bytes.chunks(7).try_for_each(|piece| in_pieces.take(piece));
        assert_eq!(whole, pieces, "it does not matter how it comes");
        whole
    }

    #[test]
    fn frames() {
        use H3StreamKind::{OneWay, Request};
        let max = H3_FRAME_BYTES_MAX;
        let control = |bytes: Vec<u8>| [number(0), bytes].concat();
        let too_long = Err(H3Refused::FrameTooLong);
        #[rustfmt::skip]
        let table = [
            (Request, frame(1, 10),                               Ok(())),
            (Request, frame(1, max),                              Ok(())),
            (Request, frame(1, max + 1),                          too_long),
            (Request, number(1),                                  Ok(())),
            (Request, [number(1), number(1 << 30)].concat(),      too_long),
            (Request, [number(1), number((1 << 62) - 1)].concat(), too_long),
            (Request, [frame(1, 3), frame(0, 1 << 40)].concat(),  Ok(())),
            (Request, [frame(1, 3), frame(0, 90_000), frame(1, max + 1)].concat(), too_long),
            (Request, [frame(0, 0), frame(0, 0), frame(33, max + 1)].concat(), too_long),
            (Request, frame(0x4b, max + 1),                       too_long),
            (OneWay,  control(frame(4, 10)),                      Ok(())),
            (OneWay,  control(frame(4, max + 1)),                 too_long),
            (OneWay,  [number(2), frame(4, max + 1)].concat(),    Ok(())),
            (OneWay,  [number(0x1f * 2 + 0x21), frame(4, max + 1)].concat(), Ok(())),
        ];
        for (kind, bytes, expected) in table {
            let shown = bytes.get(..bytes.len().min(20)).unwrap_or_default();
            assert_eq!(says(kind, &bytes), expected, "{kind:?} {shown:x?}");
        }
    }

    #[test]
    fn as_many_frames_as_allowed_and_one_more() {
        let frames = |count: u32| frame(33, 1).repeat(count as usize);
        assert_eq!(says(H3StreamKind::Request, &frames(H3_FRAMES_MAX)), Ok(()));
        let refused = says(H3StreamKind::Request, &frames(H3_FRAMES_MAX + 1));
        assert_eq!(refused, Err(H3Refused::TooManyFrames));
        let payload = frame(0, 1).repeat(1000);
        assert_eq!(says(H3StreamKind::Request, &payload), Ok(()), "payload is no matter");
    }
}
