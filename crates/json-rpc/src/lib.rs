//! The catalog over JSON-RPC 2.0, as the registry of Plexus hubs speaks it (SPEC 7).
//!
//! One port for WebSocket on any path and for POST. The documented names, `registry.list` and its
//! like, are plain calls; `_info`, `registry-hub.call` and `registry_list`, which the hub's own
//! clients use, answer with a subscription of one item, as COMPATIBILITY 3 has them.
//!
//! ```text
//!   socket -> server, connection -> dialog: message -> request -> registry -> discovery::Handle
//!                                                          \-> hub, schema: items of subscriptions
//!   backends file, environment, own entry -> sources -> discovery::Handle
//! ```
//!
//! [`bind`] and [`Server::run`] are all there is to it. [`read_backends`] and [`parse_environment`]
//! read the same entries for whoever only wants to know whether they are good.
//!
//! # Why not jsonrpsee
//!
//! The hub was built on its server. It cannot say why a message is malformed (its -32700 and -32600
//! are made before anything of ours is asked, without `data`), drops notifications instead of
//! carrying them out, and starts a task for each message that comes, as many as somebody sends who
//! reads no answers. With those three replaced nothing but its frames would be left.

mod backend;
mod backends_file;
mod config;
mod connection;
mod dialog;
mod entry;
mod environment;
mod error;
pub mod fuzz;
mod hub;
mod lists;
mod message;
mod outcome;
mod params;
mod refused;
mod registry;
mod request;
mod schema;
mod server;
mod sources;
mod watch;
mod websocket;

pub use backends_file::{BackendsError, read_backends};
pub use config::{Bounds, Settings};
pub use entry::{Entry, EntryError};
pub use environment::{EnvironmentError, VARIABLE, parse_environment};
pub use outcome::Became;
pub use server::{Server, bind};
pub use sources::Reload;
