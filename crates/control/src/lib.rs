//! The registry on its port: connections, limits, timeouts, and the task that owns the machine.
//!
//! ```text
//!   Listener: sockets, bounds        one task
//!     | accepts                      ends -> Lost
//!     v
//!   connection: read, frame, decode  one task each; one command at a time
//!     | Line            ^ answers, pushes, by the connection's mailbox
//!     v                 |
//!   RegistryTask: session::Registry  one task; its inputs by bounded queues
//!     | Persist -> store -> Persisted
//!     | Effect  -> whoever runs the proxy
//! ```
//!
//! It knows how lines travel and how long anybody may take. What a command means is the machine's
//! to say, and what an effect means is for [`Effect`]'s taker.
//!
//! # Running it
//!
//! [`RegistryTask::new`] takes a machine and gives a [`Handle`] to it; run it as one task. Give the
//! handle to a [`Listener`], add sockets, and run that until it is told to end. The task ends when
//! the last handle is gone, and hands back the store to be closed. All of it belongs on one
//! current-thread runtime.

mod access;
mod admission;
mod bounds;
mod connection;
mod credentials;
mod effect;
mod handshake;
mod listener;
mod mailbox;
mod outcome;
mod refusal;
mod socket;
mod task;
mod unsaved;

pub use access::{Exposed, Protection, check_exposure};
pub use bounds::{
    CONNECTIONS_MAX, CONNECTIONS_PER_PEER_MAX, CONNECTS_AT_ONCE_MAX, CONNECTS_PER_SECOND_MAX,
    HANDSHAKE_TIMEOUT, HANDSHAKES_MAX, HANDSHAKES_PER_PEER_MAX, OPERATORS_MAX, PUSHES_WAITING_MAX,
    READ_TIMEOUT, WRITE_TIMEOUT,
};
pub use connection::converse;
pub use credentials::Credentials;
pub use effect::Effect;
pub use listener::{Limits, Listener};
pub use outcome::Became;
pub use socket::{Address, Socket};
pub use task::{Gone, Handle, RegistryTask, Teller};
