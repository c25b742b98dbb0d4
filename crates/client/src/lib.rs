//! Register from a Rust program, and stay registered.
//!
//! [`Client`] holds a session with a registry for as long as the program runs: it registers,
//! makes what is [`Desired`] live in one step, pings, reconnects after a loss, and registers and
//! replays when the session is gone. [`Connection`] is one connection and no more, for tools that
//! send single commands. [`Link`] is the machine inside `Client`, without sockets and clocks.
//!
//! ```no_run
//! # async fn program() -> Result<(), Box<dyn std::error::Error>> {
//! use proxyd_client::{Client, Desired, route};
//!
//! let (client, mut events) = Client::builder("127.0.0.1:81".parse()?)
//!     .service("orbat")
//!     .instance("orbat.1")
//!     .maintenance_port(3001)
//!     .start()?;
//! let mut desired = Desired::default();
//! desired.routes.insert(route("orbat.example.com", "/", "http://10.0.0.7:3000")?, Default::default());
//! client.apply(desired).await?;
//! while let Some(event) = events.recv().await {
//!     println!("{event:?}");
//! }
//! # Ok(())
//! # }
//! ```

mod address;
mod builder;
mod client;
mod connection;
mod desired;
mod edits;
pub mod heartbeat;
mod link;
#[cfg(test)]
mod peer;
mod said;
mod shell;
mod sync;
mod tls;

pub use address::{Address, AddressError};
pub use builder::{BuildError, Builder};
pub use client::{Client, Events};
pub use connection::{Connection, ConnectionError};
pub use desired::{Desired, RouteError, RouteWish, Tuning, route};
pub use link::{
    ApplyError, ApplyId, AskError, AskId, Event, Input, Link, LinkConfig, Output, Status,
};
pub use said::{Said, SaidError};
pub use sync::Refusal;
pub use tls::{PairFiles, Tls, TlsError, TlsTrouble};
