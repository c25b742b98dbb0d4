//! The heartbeat port (seed 003): a name registers and gets a virtual address and a port, lives as
//! long as its heartbeats, and can be looked up.
//!
//! One connection, one request, one answer. What a name means is the catalog's to say; who may say
//! it is decided by the address it comes from: a name belongs to the peer that registered it until
//! its heartbeats end.
//!
//! # Running it
//!
//! [`Listener::bind`], then [`Listener::serve`] as one task.

mod answer;
mod connection;
mod listener;
mod outcome;

pub use listener::{Listener, Settings};
pub use outcome::Became;

#[cfg(test)]
mod tests;
