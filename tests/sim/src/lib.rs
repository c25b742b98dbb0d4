//! The registry without a socket, a disk or a clock.
//!
//! A [`world::World`] is the session machine with connections that are text, a disk that is an
//! [`model::Image`], a data plane that serves nothing, and time that passes when told. In it
//! [`play`] plays the transcripts of `tests/transcripts`, which say what the protocol is, and
//! [`sim`] does what nobody would think of, checking after every step what always holds.

mod answers;
pub mod client;
pub mod pattern;
pub mod plane;
pub mod play;
pub mod sim;
pub mod transcript;
pub mod world;
