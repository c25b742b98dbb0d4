//! What a client may say on a stream of HTTP/3, frame by frame (RFC 9114, 6.2 and 7).
//!
//! A frame says how long it is before it comes, and whoever reads frames keeps one until it is
//! whole. DATA is passed on in pieces; of everything else this sees to it that nobody waits for
//! more than a head may have. It also sees to it that whoever reads frames cannot lose the thread:
//! what has one field and another length, what comes where it must not, or ends in the middle goes
//! no further.

use crate::h3_section::{self, Section};

/// Bytes of a frame that is no DATA: a head of [`Limits::STANDARD`](crate::Limits) and its
/// overhead.
pub const H3_FRAME_BYTES_MAX: u64 = 80 * 1024;
/// Frames of a stream that are no DATA: heads, and those of kinds nobody knows (RFC 9114, 9).
pub const H3_FRAMES_MAX: u32 = 256;
/// So many more on the control stream for each request: clients say there which is more urgent
/// (RFC 9218, 7.2).
pub const H3_FRAMES_PER_REQUEST: u32 = 4;

// Frame types (RFC 9114, 7.2).
const DATA: u64 = 0;
const HEADERS: u64 = 1;
const CANCEL_PUSH: u64 = 3;
const SETTINGS: u64 = 4;
const PUSH_PROMISE: u64 = 5;
const GOAWAY: u64 = 7;
const MAX_PUSH_ID: u64 = 0xd;

// Kinds of streams of one direction (RFC 9114, 6.2).
const CONTROL: u64 = 0;
const PUSH: u64 = 1;

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
    kind: H3StreamKind,
    /// Frames that are no DATA.
    frames: u32,
    frames_max: u32,
    /// HEADERS of a request, or SETTINGS of a control stream.
    heads: u32,
    empty_payloads: u32,
}

/// Why a stream is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum H3Refused {
    /// A frame that is no DATA says that it is longer than [`H3_FRAME_BYTES_MAX`].
    #[error("a frame is longer than a head may be")]
    FrameTooLong,
    /// More than [`H3_FRAMES_MAX`] frames that are no DATA.
    #[error("too many frames that are no payload")]
    TooManyFrames,
    /// A frame that must not come on this stream, or not yet, or not any more.
    #[error("a frame is not allowed here")]
    FrameUnexpected,
    /// A frame has another length than its fields, or the stream ends before it does.
    #[error("a frame is longer or shorter than it says")]
    FrameLength,
    /// A control stream begins with something else.
    #[error("settings have to come first")]
    SettingsMissing,
    /// Only servers push.
    #[error("a client pushes nothing")]
    PushStream,
    /// Pseudo fields that are missing their value, repeated, late, or none of a request.
    #[error("pseudo fields are not in order")]
    Malformed,
    /// Fields refer to a table that there is not.
    #[error("fields refer to a dynamic table")]
    Undecodable,
}

impl H3Refused {
    /// The error code (RFC 9114, 8.1; RFC 9204, 6).
    pub fn code(self) -> u64 {
        match self {
            Self::PushStream => 0x103,
            Self::FrameUnexpected => 0x105,
            Self::FrameLength => 0x106,
            Self::FrameTooLong | Self::TooManyFrames => 0x107,
            Self::SettingsMissing => 0x10a,
            Self::Malformed => 0x10e,
            Self::Undecodable => 0x200,
        }
    }

    /// Whether the whole connection is of no further use, and not only a request.
    pub fn ends_connection(self) -> bool {
        match self {
            Self::FrameTooLong | Self::TooManyFrames | Self::Malformed => false,
            Self::FrameUnexpected
            | Self::FrameLength
            | Self::SettingsMissing
            | Self::PushStream
            | Self::Undecodable => true,
        }
    }
}

#[derive(Clone, Debug)]
enum State {
    /// The kind of a stream of one direction.
    Kind(Number),
    Type(Number),
    Length {
        kind: u64,
        number: Number,
    },
    Payload(u64),
    Fields(u64, Box<Section>),
    /// Frames whose payload is one number of this length.
    Single(u64),
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
        Self { state, kind, frames: 0, frames_max: H3_FRAMES_MAX, heads: 0, empty_payloads: 0 }
    }

    /// Tells a guard of a control stream how many requests its connection has seen.
    pub fn set_requests(&mut self, requests: u32) {
        let more = requests.saturating_mul(H3_FRAMES_PER_REQUEST);
        self.frames_max = H3_FRAMES_MAX.saturating_add(more);
    }

    /// How many DATA frames without payload came, which are easily taken for the end.
    pub fn empty_payloads(&self) -> u32 {
        self.empty_payloads
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
                    let (_, later) = split(bytes, left);
                    bytes = later;
                }
                State::Fields(left, section) => {
                    let (fields, later) = split(bytes, left);
                    section.take(fields)?;
                    bytes = later;
                    if *left == 0 {
                        self.state = State::Payload(0);
                    }
                }
                State::Single(length) => {
                    if 1 << (first >> 6) != *length {
                        return Err(H3Refused::FrameLength);
                    }
                    self.state = State::Payload(*length);
                }
                State::Kind(number) => {
                    bytes = rest;
                    // Control; those of QPACK hold no frames and are not kept.
                    if let Some(kind) = number.push(*first) {
                        self.state = match kind {
                            CONTROL => State::Type(Number::default()),
                            PUSH => return Err(H3Refused::PushStream),
                            _ => State::Free,
                        };
                    }
                }
                State::Type(number) => {
                    bytes = rest;
                    if let Some(kind) = number.push(*first) {
                        self.check_order(kind)?;
                        self.state = State::Length { kind, number: Number::default() };
                    }
                }
                State::Length { kind, number } => {
                    bytes = rest;
                    if let Some(length) = number.push(*first) {
                        let kind = *kind;
                        self.state = self.payload(kind, length)?;
                    }
                }
            }
            if let State::Payload(0) = self.state {
                self.state = State::Type(Number::default());
            }
        }
        Ok(())
    }

    /// The stream has ended.
    ///
    /// # Errors
    ///
    /// [`H3Refused::FrameLength`]: in the middle of a frame (RFC 9114, 7.1).
    pub fn end(&self) -> Result<(), H3Refused> {
        match &self.state {
            State::Free | State::Kind(_) => Ok(()),
            State::Type(number) if number.left.is_none() => Ok(()),
            State::Type(_)
            | State::Length { .. }
            | State::Payload(_)
            | State::Fields(..)
            | State::Single(_) => Err(H3Refused::FrameLength),
        }
    }

    /// RFC 9114, 4.1, 6.2.1 and 7.2.
    fn check_order(&mut self, kind: u64) -> Result<(), H3Refused> {
        let is_first = self.frames == 0;
        if kind != DATA {
            self.frames += 1;
            if self.frames > self.frames_max {
                return Err(H3Refused::TooManyFrames);
            }
        }
        match self.kind {
            H3StreamKind::OneWay if is_first && kind != SETTINGS => {
                return Err(H3Refused::SettingsMissing);
            }
            H3StreamKind::Request | H3StreamKind::OneWay => {}
        }
        let is_allowed = match (self.kind, kind) {
            // A head, payload, and trailers.
            (H3StreamKind::Request, DATA) => self.heads == 1,
            (H3StreamKind::Request, HEADERS) => {
                self.heads += 1;
                self.heads <= 2
            }
            (H3StreamKind::OneWay, SETTINGS) => {
                self.heads += 1;
                self.heads == 1
            }
            (H3StreamKind::OneWay, CANCEL_PUSH | GOAWAY | MAX_PUSH_ID) => true,
            (
                H3StreamKind::Request,
                CANCEL_PUSH | SETTINGS | PUSH_PROMISE | GOAWAY | MAX_PUSH_ID,
            )
            | (H3StreamKind::OneWay, DATA | HEADERS | PUSH_PROMISE) => false,
            // Of HTTP/2 (7.2.8).
            (_, 2 | 6 | 8 | 9) => false,
            _ => true,
        };
        if is_allowed { Ok(()) } else { Err(H3Refused::FrameUnexpected) }
    }

    fn payload(&mut self, kind: u64, length: u64) -> Result<State, H3Refused> {
        if kind != DATA && length > H3_FRAME_BYTES_MAX {
            return Err(H3Refused::FrameTooLong);
        }
        match kind {
            DATA if length == 0 => {
                self.empty_payloads = self.empty_payloads.saturating_add(1);
                Ok(State::Payload(0))
            }
            HEADERS if length > 0 => {
                let section = Section::new(self.heads > 1);
                Ok(State::Fields(length, Box::new(section)))
            }
            CANCEL_PUSH | GOAWAY | MAX_PUSH_ID if length == 0 => Err(H3Refused::FrameLength),
            CANCEL_PUSH | GOAWAY | MAX_PUSH_ID => Ok(State::Single(length)),
            _ => Ok(State::Payload(length)),
        }
    }
}

/// What of these bytes belongs to a payload of which so much is left, and the rest.
fn split<'b>(bytes: &'b [u8], left: &mut u64) -> (&'b [u8], &'b [u8]) {
    let len = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= len as u64;
    bytes.split_at(len)
}

impl From<h3_section::Refused> for H3Refused {
    fn from(refused: h3_section::Refused) -> Self {
        match refused {
            h3_section::Refused::Malformed => Self::Malformed,
            h3_section::Refused::Undecodable => Self::Undecodable,
        }
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

    /// Zeroes are a section without fields, and numbers; SETTINGS are not looked into.
    fn filler(kind: u64, length: u64) -> Vec<u8> {
        let byte = if kind == HEADERS { 0 } else { 0xff };
        let mut filler = vec![byte; length.min(100_000) as usize];
        if let (CANCEL_PUSH | GOAWAY | MAX_PUSH_ID, Some(first)) = (kind, filler.first_mut()) {
            *first = (length.ilog2() as u8) << 6;
        }
        filler
    }

    fn frame(kind: u64, length: u64) -> Vec<u8> {
        [number(kind), number(length), filler(kind, length)].concat()
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
        use H3Refused::{FrameLength, FrameTooLong, FrameUnexpected, PushStream, SettingsMissing};
        use H3StreamKind::{OneWay, Request};
        let max = H3_FRAME_BYTES_MAX;
        let head = || frame(1, 3);
        let control = |bytes: Vec<u8>| [number(0), bytes].concat();
        let later = |bytes: Vec<u8>| [number(0), frame(4, 10), bytes].concat();
        let too_long = Err(FrameTooLong);
        #[rustfmt::skip]
        let table = [
            (Request, frame(1, 10),                               Ok(())),
            (Request, frame(1, max),                              Ok(())),
            (Request, frame(1, max + 1),                          too_long),
            (Request, number(1),                                  Ok(())),
            (Request, [number(1), number(1 << 30)].concat(),      too_long),
            (Request, [number(1), number((1 << 62) - 1)].concat(), too_long),
            (Request, [head(), frame(0, 1 << 40)].concat(),       Ok(())),
            (Request, [head(), frame(0, 90_000), frame(1, max + 1)].concat(), too_long),
            (Request, [head(), frame(0, 0), frame(33, max + 1)].concat(), too_long),
            (Request, frame(0x4b, max + 1),                       too_long),
            // 4.1: a head, payload, trailers; between them what nobody knows.
            (Request, [frame(33, 2), head(), frame(33, 2), frame(0, 2), head(), frame(33, 2)].concat(), Ok(())),
            (Request, frame(0, 2),                                Err(FrameUnexpected)),
            (Request, [head(), head(), frame(0, 2)].concat(),     Err(FrameUnexpected)),
            (Request, [head(), frame(0, 2), head(), head()].concat(), Err(FrameUnexpected)),
            (Request, frame(3, 1),                                Err(FrameUnexpected)),
            (Request, frame(4, 0),                                Err(FrameUnexpected)),
            (Request, [head(), frame(5, 0)].concat(),             Err(FrameUnexpected)),
            (Request, [head(), frame(7, 1)].concat(),             Err(FrameUnexpected)),
            (Request, [head(), frame(0xd, 1)].concat(),           Err(FrameUnexpected)),
            (Request, [head(), frame(2, 5)].concat(),             Err(FrameUnexpected)),
            (Request, [head(), frame(9, 5)].concat(),             Err(FrameUnexpected)),
            (OneWay,  control(frame(4, 10)),                      Ok(())),
            (OneWay,  control(frame(4, max + 1)),                 too_long),
            (OneWay,  control(frame(33, 1)),                      Err(SettingsMissing)),
            (OneWay,  control(frame(0, 1)),                       Err(SettingsMissing)),
            (OneWay,  later(frame(4, 0)),                         Err(FrameUnexpected)),
            (OneWay,  later(frame(0, 0)),                         Err(FrameUnexpected)),
            (OneWay,  later(frame(1, 3)),                         Err(FrameUnexpected)),
            (OneWay,  later(frame(5, 3)),                         Err(FrameUnexpected)),
            (OneWay,  later(frame(6, 3)),                         Err(FrameUnexpected)),
            (OneWay,  later([frame(33, 9), frame(7, 1), frame(3, 2), frame(0xd, 4), frame(7, 8)].concat()), Ok(())),
            (OneWay,  later([number(7), number(0)].concat()),     Err(FrameLength)),
            (OneWay,  later([number(7), number(2), vec![1, 1]].concat()), Err(FrameLength)),
            (OneWay,  later([number(3), number(1), vec![0xc0]].concat()), Err(FrameLength)),
            (OneWay,  later([number(0xd), number(9), vec![0xc0; 9]].concat()), Err(FrameLength)),
            (OneWay,  number(1),                                  Err(PushStream)),
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
        let payload = [frame(1, 3), frame(0, 1).repeat(1000)].concat();
        assert_eq!(says(H3StreamKind::Request, &payload), Ok(()), "payload is no matter");
        let mut guard = H3Guard::new(H3StreamKind::Request);
        guard.take(&[frame(1, 3), frame(0, 0), frame(0, 1), frame(0, 0)].concat()).unwrap();
        assert_eq!(guard.empty_payloads(), 2);
    }

    #[test]
    fn requests_allow_more_on_the_control_stream() {
        let mut guard = H3Guard::new(H3StreamKind::OneWay);
        let all = [number(0), frame(4, 0), frame(33, 1).repeat(H3_FRAMES_MAX as usize - 1)];
        assert_eq!(guard.take(&all.concat()), Ok(()));
        let mut more = guard.clone();
        assert_eq!(guard.take(&frame(33, 1)), Err(H3Refused::TooManyFrames));
        more.set_requests(1);
        assert_eq!(more.take(&frame(33, 1).repeat(H3_FRAMES_PER_REQUEST as usize)), Ok(()));
        assert_eq!(more.take(&frame(33, 1)), Err(H3Refused::TooManyFrames));
    }

    #[test]
    fn a_stream_ends_between_two_frames() {
        let whole = [frame(1, 3), frame(0, 5)].concat();
        for len in 0..=whole.len() {
            let mut guard = H3Guard::new(H3StreamKind::Request);
            guard.take(&whole[..len]).unwrap();
            let is_whole = [0, 5, whole.len()].contains(&len);
            assert_eq!(guard.end().is_ok(), is_whole, "after {len} of {}", whole.len());
        }
        let mut data_alone = H3Guard::new(H3StreamKind::Request);
        data_alone.take(&[frame(1, 3), number(0), number(5)].concat()).unwrap();
        assert_eq!(data_alone.end(), Err(H3Refused::FrameLength));
    }
}
