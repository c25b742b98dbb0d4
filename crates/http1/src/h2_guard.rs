//! How much a client of HTTP/2 may say that is no part of any message (RFC 9113, 10.5).
//!
//! Whoever reads frames answers each PING and each SETTINGS, and looks at everything else that
//! comes, for as long as it comes. This counts the frames that carry nothing. A client has a stock
//! of them, which fills up with time and with every frame of a message in either direction: one
//! that keeps a quiet connection alive, or measures how fast an answer comes, never gets to its
//! end.
//!
//! Since it sees every frame in both directions, it also knows which answers are not all on their
//! way yet: whoever ends a connection waits for these.

use std::time::Duration;

/// Frames that carry nothing, in a row: the stock when it is full.
pub const H2_IDLE_FRAMES_MAX: u32 = 10_000;
/// What each second adds to the stock.
pub const H2_IDLE_FRAMES_PER_SECOND: u32 = 10;
/// What a frame of a message adds, whoever sends it: clients that measure the path send a PING
/// for some of them, and clients that prioritise say so once a request.
pub const H2_IDLE_FRAMES_PER_MESSAGE_FRAME: u32 = 4;

/// What a client sends before its first frame (section 3.4).
const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;

/// Frame types (section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
/// The flag of DATA and HEADERS.
const END_STREAM: u8 = 1;
/// Streams whose answers are waited for; more are never open at a time, and those in excess are
/// taken as answered.
const UNANSWERED_MAX: usize = 1024;

/// Looks at the bytes of one connection as they come and go.
#[derive(Clone, Debug)]
pub struct H2Guard {
    received: Cursor,
    sent: Cursor,
    stock: u32,
    /// How old the connection was, in seconds, when the stock was filled up last.
    filled: u64,
    /// The last request, and those whose answers are not all written.
    last: u32,
    unanswered: Vec<u32>,
}

/// Why a connection is refused: `ENHANCE_YOUR_CALM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many frames that carry nothing")]
pub struct H2Refused;

/// A place in a row of frames.
#[derive(Clone, Debug)]
struct Cursor {
    /// Bytes to pass over: the preface, a payload.
    left: usize,
    head: [u8; HEAD_BYTES],
    /// How much of a head has come.
    len: usize,
}

/// What the head of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    length: u32,
}

/// What a frame is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    /// Part of a message.
    Message,
    /// What comes with messages, and is answered by nothing: as often as payload was taken.
    Neutral,
    Nothing,
}

impl H2Guard {
    /// For a new connection.
    pub fn new() -> Self {
        Self {
            received: Cursor::after(PREFACE_BYTES),
            sent: Cursor::after(0),
            stock: H2_IDLE_FRAMES_MAX,
            filled: 0,
            last: 0,
            unanswered: Vec::new(),
        }
    }

    /// Requests whose answers are not all written, as far as the frames say that went by.
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// Takes the next bytes from the client, at this age of the connection.
    ///
    /// # Errors
    ///
    /// [`H2Refused`]; nothing of these bytes must reach whoever reads frames.
    pub fn take(&mut self, mut bytes: &[u8], age: Duration) -> Result<(), H2Refused> {
        let passed = age.as_secs().saturating_sub(self.filled);
        if passed > 0 {
            self.filled = age.as_secs();
            let passed = u32::try_from(passed).unwrap_or(u32::MAX);
            self.add(passed.saturating_mul(H2_IDLE_FRAMES_PER_SECOND));
        }
        while let Some(frame) = self.received.next(&mut bytes) {
            match frame.kind {
                HEADERS if frame.stream > self.last => {
                    self.last = frame.stream;
                    if self.unanswered.len() < UNANSWERED_MAX {
                        self.unanswered.push(frame.stream);
                    }
                }
                RST_STREAM => self.answered(frame.stream),
                _ => {}
            }
            match frame.worth() {
                Worth::Message => self.add(H2_IDLE_FRAMES_PER_MESSAGE_FRAME),
                Worth::Neutral => {}
                Worth::Nothing => self.stock = self.stock.checked_sub(1).ok_or(H2Refused)?,
            }
        }
        Ok(())
    }

    /// Takes the next bytes for the client.
    pub fn gave(&mut self, mut bytes: &[u8]) {
        while let Some(frame) = self.sent.next(&mut bytes) {
            if frame.worth() == Worth::Message {
                self.add(H2_IDLE_FRAMES_PER_MESSAGE_FRAME);
            }
            if frame.ends_stream() {
                self.answered(frame.stream);
            }
        }
    }

    fn answered(&mut self, stream: u32) {
        if let Some(at) = self.unanswered.iter().position(|open| *open == stream) {
            self.unanswered.swap_remove(at);
        }
    }

    fn add(&mut self, frames: u32) {
        self.stock = self.stock.saturating_add(frames).min(H2_IDLE_FRAMES_MAX);
    }
}

impl Default for H2Guard {
    fn default() -> Self {
        Self::new()
    }
}

impl Frame {
    fn of([a, b, c, kind, flags, stream @ ..]: [u8; HEAD_BYTES]) -> Self {
        let length = u32::from_be_bytes([0, a, b, c]);
        // The first bit is reserved.
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        Self { kind, flags, stream, length }
    }

    fn worth(self) -> Worth {
        match self.kind {
            HEADERS => Worth::Message,
            DATA if self.length > 0 => Worth::Message,
            WINDOW_UPDATE => Worth::Neutral,
            _ => Worth::Nothing,
        }
    }

    fn ends_stream(self) -> bool {
        let may_end = matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0;
        may_end || self.kind == RST_STREAM
    }
}

impl Cursor {
    fn after(left: usize) -> Self {
        Self { left, head: [0; HEAD_BYTES], len: 0 }
    }

    /// The next frame whose head is whole; takes the bytes up to there.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        let passed = self.left.min(bytes.len());
        *bytes = bytes.get(passed..).unwrap_or_default();
        self.left -= passed;
        while let Some((first, rest)) = bytes.split_first() {
            *bytes = rest;
            if let Some(place) = self.head.get_mut(self.len) {
                *place = *first;
            }
            self.len += 1;
            if self.len == HEAD_BYTES {
                self.len = 0;
                let frame = Frame::of(self.head);
                self.left = frame.length as usize;
                return Some(frame);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;
    const SETTINGS: u8 = 4;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [.., a, b, c] = length.to_be_bytes();
        [&[a, b, c, kind, 0, 0, 0, 0, 0][..], &vec![kind; length]].concat()
    }

    /// After the preface, in one piece and in many.
    fn says(frames: &[u8]) -> Result<(), H2Refused> {
        let bytes = [&[0xff; PREFACE_BYTES][..], frames].concat();
        let whole = H2Guard::new().take(&bytes, Duration::ZERO);
        let mut in_pieces = H2Guard::new();
        let pieces = bytes.chunks(7).try_for_each(|piece| in_pieces.take(piece, Duration::ZERO));
        assert_eq!(whole, pieces, "it does not matter how it comes");
        whole
    }

    #[test]
    fn as_many_frames_as_allowed_and_one_more() {
        let max = H2_IDLE_FRAMES_MAX as usize;
        let idle = |count: usize| frame(PING, 8).repeat(count);
        let message = frame(HEADERS, 5);
        let more = H2_IDLE_FRAMES_PER_MESSAGE_FRAME as usize;
        #[rustfmt::skip]
        let table = [
            (idle(max),                                         Ok(()),         "the stock"),
            (idle(max + 1),                                     Err(H2Refused), "and one more"),
            (frame(SETTINGS, 6).repeat(max + 1),                Err(H2Refused), "settings"),
            (frame(2, 5).repeat(max + 1),                       Err(H2Refused), "priorities"),
            (frame(9, 0).repeat(max + 1),                       Err(H2Refused), "continuations"),
            (frame(0xfa, 100).repeat(max + 1),                  Err(H2Refused), "kinds nobody knows"),
            (frame(DATA, 0).repeat(max + 1),                    Err(H2Refused), "no payload"),
            (frame(DATA, 1).repeat(max + 1),                    Ok(()),         "payload"),
            (frame(WINDOW_UPDATE, 4).repeat(10 * max),          Ok(()),         "windows"),
            (message.repeat(10 * max),                          Ok(()),         "requests"),
            ([message.repeat(max), idle(max)].concat(),         Ok(()),         "no stock is larger"),
            ([message.repeat(max), idle(max + 1)].concat(),     Err(H2Refused), "and one more"),
            ([idle(max), message.clone(), idle(more)].concat(), Ok(()),         "a request fills it up"),
            ([idle(max), message, idle(more + 1)].concat(),     Err(H2Refused), "and one more"),
        ];
        for (frames, expected, why) in table {
            assert_eq!(says(&frames), expected, "{why}");
        }
    }

    #[test]
    fn time_and_answers_fill_the_stock() {
        let ping = frame(PING, 8);
        let at = Duration::from_secs;
        let mut guard = H2Guard::new();
        let all = [vec![0; PREFACE_BYTES], ping.repeat(H2_IDLE_FRAMES_MAX as usize)].concat();
        assert_eq!(guard.take(&all, at(0)), Ok(()));
        assert_eq!(guard.clone().take(&ping, at(0)), Err(H2Refused));
        let second = ping.repeat(H2_IDLE_FRAMES_PER_SECOND as usize);
        assert_eq!(guard.clone().take(&second, at(1)), Ok(()), "a second later");
        guard.gave(&frame(DATA, 100));
        let answered = ping.repeat(H2_IDLE_FRAMES_PER_MESSAGE_FRAME as usize);
        assert_eq!(guard.take(&answered, at(0)), Ok(()), "for an answer");
        guard.gave(&[frame(PING, 8), frame(SETTINGS, 0)].concat());
        assert_eq!(guard.take(&ping, at(0)), Err(H2Refused), "acknowledgements are no answers");
        // A PING every ten seconds for a week.
        let mut quiet = H2Guard::new();
        quiet.take(&[0; PREFACE_BYTES], at(0)).unwrap();
        for tens in 1..7 * 24 * 360 {
            quiet.take(&ping, at(10 * tens)).unwrap();
        }
    }

    #[test]
    fn what_is_not_answered_is_known() {
        let frame = |kind, flags, stream: u8| vec![0, 0, 0, kind, flags, 0, 0, 0, stream];
        let (received, sent) = (true, false);
        let mut guard = H2Guard::new();
        guard.take(&[0; PREFACE_BYTES], Duration::ZERO).unwrap();
        for (comes, frame, expected, why) in [
            (received, frame(HEADERS, 0, 1), 1, "a request"),
            (received, frame(HEADERS, END_STREAM, 1), 1, "its trailers"),
            (received, frame(HEADERS, END_STREAM, 3), 2, "another one"),
            (sent, frame(HEADERS, 0, 1), 2, "a head"),
            (sent, frame(DATA, 0, 1), 2, "payload"),
            (sent, frame(DATA, END_STREAM, 1), 1, "the last of it"),
            (sent, frame(RST_STREAM, 0, 1), 1, "no more of the request is wanted"),
            (sent, frame(SETTINGS, END_STREAM, 0), 1, "an acknowledgement"),
            (received, frame(HEADERS, END_STREAM, 5), 2, "one more"),
            (received, frame(RST_STREAM, 0, 5), 1, "that is given up"),
            (sent, frame(HEADERS, END_STREAM, 3), 0, "a head alone"),
        ] {
            match comes {
                true => guard.take(&frame, Duration::ZERO).unwrap(),
                false => guard.gave(&frame),
            }
            assert_eq!(guard.unanswered(), expected, "{why}");
        }
        let many = (0..2000_u32).flat_map(|n| {
            let [a, b, c, d] = (2 * n + 7).to_be_bytes();
            [0, 0, 0, HEADERS, END_STREAM, a, b, c, d]
        });
        guard.take(&many.collect::<Vec<u8>>(), Duration::ZERO).unwrap();
        assert_eq!(guard.unanswered(), UNANSWERED_MAX);
    }
}
