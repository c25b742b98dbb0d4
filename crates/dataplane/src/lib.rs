//! HTTP/1.1 and WebSocket from clients to backends.
//!
//! One worker per core, each a thread with its own runtime, its own listening sockets
//! (SO_REUSEPORT) and its own connections to backends. Workers share the routing table, which
//! they read through one atomic pointer, and what is known about endpoints, which is atomics.
//! Nothing on the path of a request is locked, and nothing is allocated that is not used again.
//!
//! ```text
//!   accept -> connection --- idle: no buffer, no boxed future
//!                |
//!                v first byte
//!             exchange: head -> routing::decide -> upstream -> response   (again and again)
//!                |
//!                v 101
//!             tunnel
//! ```
//!
//! # Driving it
//!
//! [`Plane::bind`] takes the addresses and [`Plane::serve`] starts the workers;
//! [`Publisher::publish`] gives them a table; [`Plane::drain`] lets what is in flight finish.

mod answer;
mod asking;
mod attempt;
mod bounds;
mod buffers;
mod challenge;
mod coding;
mod connection;
mod endpoint;
mod exchange;
mod forward;
mod h2_client;
mod h2_server;
mod h2_stream;
mod h3_server;
mod h3_stream;
mod h3_transport;
mod head;
mod health;
mod identity;
mod ledger;
mod limits;
mod monitor;
mod names;
mod openings;
mod page;
mod park;
mod plan;
mod plane;
mod preamble;
mod pulse;
mod pump;
mod quiet;
mod receive;
mod refusal;
mod route;
mod sticky;
mod stream;
mod tally;
mod ticket;
mod tracker;
mod tunnel;
mod upstream;
mod watch;
mod websocket;
mod worker;

pub use plane::{Config, Https, Notice, Plane, Publisher, StartError};
