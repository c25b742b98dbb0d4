//! What end-to-end tests share: a running proxyd, small backends, and lines to the registry.
//!
//! Everything listens on free ports of loopback, waits for conditions instead of sleeping, and
//! goes when it is dropped.

mod actor;
mod authority;
mod backend;
mod caller;
mod client;
pub mod dialects;
mod draw;
pub mod frames;
mod pebble;
mod program;
mod proxy;
mod registry;
mod release;
mod script;
mod server;
mod session;
mod site;
mod sshd;
mod tuned;
mod websocket;

pub use actor::{Act, Actor, Asked};
pub use authority::{Authority, Pair, quoted};
pub use backend::Backend;
pub use caller::{Caller, Said};
pub use client::{Client, Reply, field, read_head};
pub use draw::Draw;
pub use frames::{Frames, Outcome};
pub use pebble::{Pebble, PebblePlan};
pub use program::Program;
pub use proxy::{Answer, Proxy, binary, curl, get};
pub use registry::Registry;
pub use release::Release;
pub use script::{Origin, Script};
pub use session::Session;
pub use site::{Files, Site, free_port};
pub use sshd::Sshd;
pub use tuned::Tuned;
pub use websocket::{Echo, WebSocket, accept};

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `done` says so.
///
/// # Panics
///
/// When it does not within [`PATIENCE`].
#[expect(clippy::disallowed_methods, reason = "these tests run in real time")]
pub fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
