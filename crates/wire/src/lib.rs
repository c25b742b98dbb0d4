//! Lines to requests and replies to lines: the registry protocol, v1 and v2.

use model::{Answer, Line, Push, TxnId};

/// Longest command of a v2 session, in bytes, with its line feed (SPEC 2.1).
pub const LINE_BYTES_MAX: usize = 16_384;
/// Longest command of a v1 session, in bytes, with its line feed (SPEC 2.1).
pub const LINE_BYTES_MAX_V1: usize = 8_192;

/// How a connection is read and answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Not registered yet; read as v2.
    #[default]
    Fresh,
    /// A v1 session.
    V1,
    /// A v2 session.
    V2,
}

/// Cuts a stream of bytes into lines.
#[derive(Debug)]
pub struct Framer {}

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
        todo!()
    }

    /// From now on lines may be this long.
    pub fn set_dialect(&mut self, _dialect: Dialect) {
        todo!()
    }

    /// Takes what was read. Holds at most one line's worth besides what was pushed at once.
    pub fn push(&mut self, _bytes: &[u8]) {
        todo!()
    }

    /// The next whole line, without its line feed and a carriage return before it; empty lines
    /// are skipped.
    pub fn next_line(&mut self) -> Option<Result<String, FrameError>> {
        todo!()
    }

    /// Whether the first bytes of a line are there and its line feed is not: the read timeout
    /// runs.
    pub fn is_mid_line(&self) -> bool {
        todo!()
    }
}

/// Why a line is no command. `reason` goes after `ERROR|` (and the txn, if it was told apart).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The transaction id to echo.
    pub txn: Option<TxnId>,
    /// What is wrong.
    pub reason: model::Refusal,
}

/// Decodes one line.
///
/// # Errors
///
/// [`DecodeError`]; every text is either a command or an error, never a panic.
pub fn decode(_line: &str, _dialect: Dialect) -> Result<Line, DecodeError> {
    todo!()
}

/// Writes an answer with its line feed.
pub fn encode_answer(_answer: &Answer, _dialect: Dialect, _out: &mut Vec<u8>) {
    todo!()
}

/// Writes a line that is no answer, with its line feed.
pub fn encode_push(_push: &Push, _out: &mut Vec<u8>) {
    todo!()
}

/// Writes a command with its line feed, as a client sends it.
pub fn encode_line(_line: &Line, _out: &mut Vec<u8>) {
    todo!()
}
