//! Bytes to lines: limits, resynchronisation, and what a line may hold (SPEC 2.1).
//!
//! A line that is too long costs one error and nothing else: the rest of it is thrown away as it
//! comes, and the next line is read as if nothing had been.

use crate::{Dialect, LINE_BYTES_MAX, LINE_BYTES_MAX_V1};

/// An empty buffer larger than this is given back: most connections are silent for hours.
const KEPT_BYTES_MAX: usize = 1024;

/// Cuts a stream of bytes into lines.
#[derive(Debug)]
pub struct Framer {
    bytes: Vec<u8>,
    /// Everything before was handed out.
    start: usize,
    /// No line feed stands between `start` and here.
    searched: usize,
    line_bytes_max: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// The error was told; nothing counts up to the next line feed.
    Skipping,
}

/// Why a stretch of bytes is no line. Displays as the reason after `ERROR|`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than allowed; skipped up to its line feed.
    #[error("line too long (max {0} bytes)")]
    TooLong(usize),
    /// Not UTF-8.
    #[error("line is not UTF-8")]
    NotUtf8,
    /// NUL or another control character but TAB.
    #[error("line holds a control character")]
    Control,
}

impl Default for Framer {
    fn default() -> Self {
        Self::new()
    }
}

impl Framer {
    /// A framer for a connection that has not registered.
    pub fn new() -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            searched: 0,
            line_bytes_max: LINE_BYTES_MAX,
            state: State::Reading,
        }
    }

    /// From now on lines may be this long.
    pub fn set_dialect(&mut self, dialect: Dialect) {
        self.line_bytes_max = match dialect {
            Dialect::Fresh | Dialect::V2 => LINE_BYTES_MAX,
            Dialect::V1 => LINE_BYTES_MAX_V1,
        };
        self.searched = self.start;
    }

    /// Takes what was read. Holds at most one line's worth besides what was pushed at once.
    pub fn push(&mut self, bytes: &[u8]) {
        let bytes = match self.state {
            State::Reading => bytes,
            State::Skipping => match line_feed(bytes) {
                Some(at) => {
                    self.state = State::Reading;
                    bytes.get(at + 1..).unwrap_or_default()
                }
                None => return,
            },
        };
        // Moving what is left costs at most what was handed out since the last time.
        if self.start > self.bytes.len() - self.start {
            self.bytes.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line, without its line feed and a carriage return before it; empty lines
    /// are skipped.
    ///
    /// An overlong line is an error as soon as it is one, before its line feed has come.
    pub fn next_line(&mut self) -> Option<Result<String, FrameError>> {
        loop {
            let ahead = self.bytes.get(self.searched..).unwrap_or_default();
            let room = (self.start + self.line_bytes_max).saturating_sub(self.searched);
            let window = ahead.get(..room).unwrap_or(ahead);
            let Some(length) = line_feed(window) else {
                if ahead.len() >= room {
                    return Some(Err(self.skip(room)));
                }
                self.searched = self.bytes.len();
                self.give_back();
                return None;
            };
            let end = self.searched + length;
            let line = checked(self.bytes.get(self.start..end).unwrap_or_default());
            self.start = end + 1;
            self.searched = self.start;
            if line.as_ref().is_ok_and(String::is_empty) {
                continue;
            }
            self.give_back();
            return Some(line);
        }
    }

    /// Whether the first bytes of a line are there and its line feed is not: the read timeout
    /// runs.
    pub fn is_mid_line(&self) -> bool {
        let rest = self.bytes.get(self.searched..).unwrap_or_default();
        match self.state {
            State::Skipping => true,
            State::Reading => self.start < self.bytes.len() && line_feed(rest).is_none(),
        }
    }

    /// Throws the overlong line away, as far as it is there. The first `searched + room` bytes
    /// hold no line feed.
    fn skip(&mut self, room: usize) -> FrameError {
        let from = self.searched + room;
        match line_feed(self.bytes.get(from..).unwrap_or_default()) {
            Some(length) => self.start = from + length + 1,
            None => {
                self.start = self.bytes.len();
                self.state = State::Skipping;
            }
        }
        self.searched = self.start;
        self.give_back();
        FrameError::TooLong(self.line_bytes_max)
    }

    fn give_back(&mut self) {
        if self.start == self.bytes.len() {
            if self.bytes.capacity() > KEPT_BYTES_MAX {
                self.bytes = Vec::new();
            }
            self.bytes.clear();
            (self.start, self.searched) = (0, 0);
        }
    }
}

fn line_feed(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|b| *b == b'\n')
}

fn checked(line: &[u8]) -> Result<String, FrameError> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| FrameError::NotUtf8)?;
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(FrameError::Control);
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_a_stream() {
        #[rustfmt::skip]
        let table: [(&[u8], &str); 12] = [
            (b"PING|a\n",              "PING|a"),
            (b"PING|a\r\n",            "PING|a"),
            (b"PING|a\nPONG\n",        "PING|a; PONG"),
            (b"\n\r\n\nPING|a\n\n",    "PING|a"),
            (b"PING|a",                "..."),
            (b"a\tb\n",                "a\tb"),
            (b"a\r\r\n",               "line holds a control character"),
            (b"a\rb\nc\n",             "line holds a control character; c"),
            (b"a\0\nc\n",              "line holds a control character; c"),
            (b"a\x7f\nc\n",            "line holds a control character; c"),
            (b"\xc2\x85\n\xc3\xa4\n",  "line holds a control character; \u{e4}"),
            (b"\xff\nc\nd",            "line is not UTF-8; c; ..."),
        ];
        for (bytes, lines) in table {
            assert_eq!(shown(Framer::new(), &[bytes]), lines, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_the_bound_and_no_longer() {
        for (dialect, max) in
            [(Dialect::Fresh, 16_384), (Dialect::V2, 16_384), (Dialect::V1, 8_192)]
        {
            let mut framer = Framer::new();
            framer.set_dialect(dialect);
            framer.push(&line(max));
            assert_eq!(framer.next_line().unwrap().unwrap().len(), max - 1, "{dialect:?}");
            assert!(!framer.is_mid_line());

            framer.push(&line(max + 1));
            framer.push(b"PING|a\n");
            assert_eq!(framer.next_line(), Some(Err(FrameError::TooLong(max))), "{dialect:?}");
            assert_eq!(framer.next_line(), Some(Ok("PING|a".to_owned())));
            assert_eq!(framer.next_line(), None);
        }
    }

    #[test]
    fn skipping_keeps_nothing() {
        let mut framer = Framer::new();
        framer.push(&[b'x'; 16_384]);
        assert_eq!(framer.next_line(), Some(Err(FrameError::TooLong(16_384))));
        for _ in 0..100 {
            framer.push(&[b'x'; 16_384]);
            assert_eq!(framer.next_line(), None);
            assert!(framer.is_mid_line());
            assert_eq!(framer.bytes.capacity(), 0);
        }
        framer.push(b"\nPING|a\n");
        assert_eq!(framer.next_line(), Some(Ok("PING|a".to_owned())));
    }

    #[test]
    fn what_was_handed_out_is_forgotten() {
        let mut framer = Framer::new();
        for _ in 0..10_000 {
            framer.push(b"PING|a\nPING|a\nPI");
            while framer.next_line().is_some() {}
            framer.push(b"NG|a\nPING");
            while framer.next_line().is_some() {}
            framer.push(b"|a\n");
            while framer.next_line().is_some() {}
        }
        assert!(framer.bytes.capacity() <= KEPT_BYTES_MAX, "{}", framer.bytes.capacity());
        assert!(!framer.is_mid_line());
    }

    #[test]
    fn a_line_has_begun_or_not() {
        let mut framer = Framer::new();
        assert!(!framer.is_mid_line());
        framer.push(b"P");
        assert!(framer.is_mid_line(), "before anybody asked for a line");
        assert_eq!(framer.next_line(), None);
        assert!(framer.is_mid_line());
        framer.push(b"ING|a\n");
        assert!(!framer.is_mid_line());
        assert!(framer.next_line().is_some());
        assert!(!framer.is_mid_line());
    }

    proptest! {
        /// However the stream is cut, the lines are the same.
        #[test]
        fn any_split(
            words in prop::collection::vec(word(), 0..12),
            cuts in prop::collection::vec(1usize..9000, 1..20),
        ) {
            let stream = words.concat();
            let (mut pieces, mut rest) = (Vec::new(), stream.as_slice());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            prop_assert_eq!(shown(Framer::new(), &pieces), shown(Framer::new(), &[&stream]));
        }
    }

    fn word() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            Just(b"\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\xff".to_vec()),
            Just(b"\0".to_vec()),
            (16_380usize..16_390).prop_map(|length| vec![b'x'; length]),
            "[a-z|]{0,5}".prop_map(String::into_bytes),
            "[a-z|]{0,5}\n".prop_map(String::into_bytes),
        ]
    }

    /// A line of so many bytes with its line feed.
    fn line(bytes: usize) -> Vec<u8> {
        let mut line = vec![b'x'; bytes];
        line[bytes - 1] = b'\n';
        line
    }

    fn shown(mut framer: Framer, pieces: &[&[u8]]) -> String {
        let mut lines = Vec::new();
        for piece in pieces {
            framer.push(piece);
            while let Some(line) = framer.next_line() {
                lines.push(line.unwrap_or_else(|error| error.to_string()));
            }
        }
        lines.extend(framer.is_mid_line().then(|| "...".to_owned()));
        lines.join("; ")
    }
}
