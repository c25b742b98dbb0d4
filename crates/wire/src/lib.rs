//! Lines to requests and replies to lines: the registry protocol, v1 and v2.
//!
//! [`Framer`] cuts bytes into lines, [`decode`] reads a line, [`encode_answer`] and
//! [`encode_push`] write what goes back; [`encode_line`] is the client's side. One table,
//! [`COMMANDS`], gives names, field counts, usage errors, the manual and the fuzz dictionary.
//!
//! Every text is either a command or an error with a reason for its sender. A reason never holds
//! a pipe and never repeats what was sent.

mod bulk;
mod command;
mod compress;
mod decode;
pub mod docs;
pub mod duration;
mod encode;
mod field;
mod framer;
pub mod fuzz;
pub mod heartbeat;
mod json;
mod line;
pub mod option;
mod report;
mod tail;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod roundtrip;

pub use command::{COMMANDS, Command, Speaks, usage};
pub use decode::{DecodeError, decode};
pub use encode::{encode_answer, encode_push};
pub use framer::{FrameError, Framer};
pub use line::encode_line;

/// Longest command of a v2 session, in bytes, with its line feed (SPEC 2.1).
pub const LINE_BYTES_MAX: usize = 16_384;
/// Longest command of a v1 session, in bytes, with its line feed (SPEC 2.1).
pub const LINE_BYTES_MAX_V1: usize = 8_192;
/// Longest answer, in bytes, with its line feed (SPEC 2.1).
pub const ANSWER_BYTES_MAX: usize = 65_536;
/// Longest answer to a v1 session, in bytes, with its line feed (SPEC 12).
pub const ANSWER_BYTES_MAX_V1: usize = 1_024;
/// Longest compressed payload, in bytes of base64 (SPEC 2.1).
pub const COMPRESSED_BYTES_MAX: usize = 1 << 20;

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
