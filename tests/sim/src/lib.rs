//! The registry without a socket, a disk or a clock.

pub mod pattern;
pub mod transcript;
