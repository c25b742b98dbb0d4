//! Bytes to lines.
//!
//! Holds one unfinished line and nothing more. A line that is too long is dropped as it comes,
//! reported once, and reading goes on after its line feed (SPEC 2.1).

use crate::{Dialect, LINE_BYTES_MAX, LINE_BYTES_MAX_V1};

/// Cuts a stream of bytes into lines.
#[derive(Debug)]
pub struct Framer {
    held: Vec<u8>,
    /// Up to here `held` has been handed out.
    taken: usize,
    /// Up to here `held` has no line feed.
    searched: usize,
    /// Dropping the rest of a line that was too long.
    skipping: bool,
    bytes_max: usize,
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

impl Framer {
    /// A framer for a connection that has not registered.
    pub fn new() -> Self {
        Self { held: Vec::new(), taken: 0, searched: 0, skipping: false, bytes_max: LINE_BYTES_MAX }
    }

    /// From now on lines may be as long as this dialect allows.
    pub fn set_dialect(&mut self, dialect: Dialect) {
        self.bytes_max = match dialect {
            Dialect::Fresh | Dialect::V2 => LINE_BYTES_MAX,
            Dialect::V1 => LINE_BYTES_MAX_V1,
        };
    }

    /// Takes what was read. Empty [`Framer::next_line`] before the next call: what is held then
    /// is less than one line.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.drain(..self.taken);
        self.searched -= self.taken;
        self.taken = 0;
        self.held.extend_from_slice(bytes);
    }

    /// The next whole line, without its line feed and a carriage return before it; empty lines
    /// are skipped. An error stands for the line it is about.
    pub fn next_line(&mut self) -> Option<Result<String, FrameError>> {
        loop {
            let unsearched = self.held.get(self.searched..).unwrap_or_default();
            let Some(at) = unsearched.iter().position(|byte| *byte == b'\n') else {
                return self.unfinished();
            };
            let end = self.searched + at;
            let line = self.held.get(self.taken..end).unwrap_or_default();
            let with_line_feed = line.len() + 1;
            let line = checked(line);
            self.taken = end + 1;
            self.searched = self.taken;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if with_line_feed > self.bytes_max {
                return Some(Err(FrameError::TooLong(self.bytes_max)));
            }
            match line {
                Ok(line) if line.is_empty() => {}
                other => return Some(other),
            }
        }
    }

    /// Whether the first bytes of a line are there and its line feed is not: the read timeout
    /// runs.
    pub fn is_mid_line(&self) -> bool {
        match self.held.get(self.taken..).and_then(<[u8]>::last) {
            Some(byte) => *byte != b'\n',
            None => self.skipping,
        }
    }

    /// No line feed is there: what is too long already is dropped and reported.
    fn unfinished(&mut self) -> Option<Result<String, FrameError>> {
        self.searched = self.held.len();
        if self.skipping {
            self.taken = self.held.len();
            self.release();
            return None;
        }
        // With its line feed it would be one byte longer.
        if self.held.len() - self.taken >= self.bytes_max {
            self.taken = self.held.len();
            self.skipping = true;
            self.release();
            return Some(Err(FrameError::TooLong(self.bytes_max)));
        }
        self.release();
        None
    }

    /// An idle connection holds no memory.
    fn release(&mut self) {
        if self.taken == self.held.len() {
            self.held = Vec::new();
            self.taken = 0;
            self.searched = 0;
        }
    }
}

impl Default for Framer {
    fn default() -> Self {
        Self::new()
    }
}

fn checked(line: &[u8]) -> Result<String, FrameError> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = std::str::from_utf8(line).map_err(|_| FrameError::NotUtf8)?;
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err(FrameError::Control);
    }
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Lines = Vec<Result<String, FrameError>>;

    fn all(pieces: &[&[u8]]) -> Lines {
        let mut framer = Framer::new();
        let mut lines = Vec::new();
        for piece in pieces {
            framer.push(piece);
            lines.extend(std::iter::from_fn(|| framer.next_line()));
        }
        lines
    }

    #[test]
    fn lines() {
        let ok = |line: &str| Ok(line.to_owned());
        let table: [(&[u8], Lines); 7] = [
            (b"PING|s\n", vec![ok("PING|s")]),
            (b"PING|s\r\n\n\r\nPING|t\n", vec![ok("PING|s"), ok("PING|t")]),
            (b"no end", vec![]),
            (b"a\tb\n", vec![ok("a\tb")]),
            (b"a\0b\nc\n", vec![Err(FrameError::Control), ok("c")]),
            (b"\xff\nc\n", vec![Err(FrameError::NotUtf8), ok("c")]),
            (b"a\rb\n", vec![Err(FrameError::Control)]),
        ];
        for (bytes, lines) in table {
            assert_eq!(all(&[bytes]), lines, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn the_bound_and_one_past_it() {
        let longest = [vec![b'x'; LINE_BYTES_MAX - 1], b"\n".to_vec()].concat();
        assert!(all(&[&longest])[0].is_ok());
        let past = [b"x".to_vec(), longest, b"PING|s\n".to_vec()].concat();
        let expected = vec![Err(FrameError::TooLong(16_384)), Ok("PING|s".to_owned())];
        assert_eq!(all(&[&past]), expected);
        // Byte by byte it is reported once, when it is too long, and skipped to its end.
        let pieces: Vec<&[u8]> = past.chunks(1).collect();
        assert_eq!(all(&pieces), expected);
    }

    #[test]
    fn v1_lines_are_shorter() {
        let mut framer = Framer::new();
        framer.set_dialect(Dialect::V1);
        framer.push(&[vec![b'x'; 8191], b"\n".to_vec(), vec![b'x'; 8192], b"\n".to_vec()].concat());
        assert!(framer.next_line().unwrap().is_ok());
        assert_eq!(framer.next_line(), Some(Err(FrameError::TooLong(8192))));
    }

    #[test]
    fn mid_line_is_between_the_first_byte_and_the_line_feed() {
        let mut framer = Framer::new();
        assert!(!framer.is_mid_line());
        framer.push(b"PIN");
        assert_eq!((framer.next_line(), framer.is_mid_line()), (None, true));
        framer.push(b"G|s\n");
        assert!(framer.next_line().is_some());
        assert_eq!((framer.next_line(), framer.is_mid_line()), (None, false));
        // Whole lines that nobody has taken yet are no beginning of one.
        framer.push(b"PING|s\nPING|t\n");
        assert!(!framer.is_mid_line());
        assert!(framer.next_line().is_some() && !framer.is_mid_line());
        framer.push(b"PI");
        assert!(framer.next_line().is_some() && framer.is_mid_line());
        framer.push(&[b'x'; LINE_BYTES_MAX]);
        assert!(framer.next_line().is_some() && framer.is_mid_line(), "skipping");
        framer.push(b"\n");
        assert!(!framer.is_mid_line());
    }

    proptest::proptest! {
        /// However the stream is cut, the lines are the same.
        #[test]
        fn any_split(bytes in proptest::collection::vec(proptest::prop_oneof![
            proptest::strategy::Just(b'\n'), proptest::strategy::Just(b'\r'), b'a'..b'd', proptest::num::u8::ANY,
        ], 0..200), cuts in proptest::collection::vec(0..200usize, 0..8)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            proptest::prop_assert_eq!(all(&pieces), all(&[&bytes]));
        }
    }
}
