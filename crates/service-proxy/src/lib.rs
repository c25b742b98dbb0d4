//! Reaches every service of the catalog by its name (seed 003).
//!
//! ```text
//!   TcpProxy           first line, or the TLS hello's server name -> tunnel
//!   HttpProxy          Host, first path segment -> a routing table -> a data plane of its own
//!   VirtualAddresses   a listener on each virtual address and port -> tunnel
//! ```
//!
//! Names are resolved in any case: `name`, `instance.name`, and both with the zone behind them.
//! Endpoints that can be relied on come first; of these, the one of two drawn at random that has
//! fewer tunnels.
//!
//! # Running it
//!
//! [`Tunnels::new`] once; then bind what is wanted and run each `serve` as a task.

mod addresses;
mod dial;
mod hello;
mod http;
mod loopback;
mod outcome;
mod preamble;
mod resolve;
mod routes;
mod tcp;
mod tunnel;

pub use addresses::{AddressError, VirtualAddresses, forget_addresses};
pub use http::{HttpProxy, HttpSettings};
pub use outcome::Became;
pub use tcp::TcpProxy;
pub use tunnel::{TunnelSettings, Tunnels};

#[cfg(test)]
mod tests;
