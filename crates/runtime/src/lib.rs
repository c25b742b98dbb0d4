//! Everything non-deterministic: clock, entropy, sockets, signals.
//!
//! Cores take time and randomness as arguments; shells get them here. The only crate that reads a
//! clock, and the only one that may lift the ban on `unsafe`, each place with its reason. It knows
//! nothing of routes, sessions or protocols.

mod clock;
pub mod entropy;
pub mod limits;
mod listen;
pub mod net;
mod signals;
mod snapshot;

pub use clock::Clock;
pub use listen::listen_alone;
pub use signals::{Signal, Signals};
pub use snapshot::{Reader, Snapshot};
