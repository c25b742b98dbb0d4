//! Clients that the registry refuses, and what the log tells of them.

use std::fmt::Display;
use std::sync::Arc;

use certs::Fault;
use runtime::Clock;
use session::Peer;

/// What a client is refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(crate) enum Refused {
    /// Of connections or handshakes there are as many as there may be, in these words.
    #[error("{0}")]
    Bound(&'static str),
    /// A wrong token.
    #[error("authentication failed")]
    Token,
    /// It speaks TLS where nobody does.
    #[error("TLS where clear text is spoken")]
    NoTls,
    /// The handshake.
    #[error(transparent)]
    Handshake(Fault),
}

/// Tells of them, now and then. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Refusals {
    counts: Arc<telemetry::Refusals<Refused>>,
    clock: Clock,
}

/// Tells what one client is refused for.
#[derive(Debug)]
pub(crate) struct Witness {
    pub(crate) peer: Peer,
    pub(crate) refusals: Refusals,
}

impl Refusals {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { counts: Arc::default(), clock }
    }

    /// Tells of one if it is time to, and why exactly, as far as that is known.
    pub(crate) fn tell(&self, peer: &Peer, reason: Refused, error: Option<&dyn Display>) {
        let error = error.map(tracing::field::display);
        match reason {
            _ if !self.counts.count(reason, self.clock.mono()) => {
                tracing::debug!(%peer, error, "a registry client is refused: {reason}");
            }
            // There may be no room for a service that is wanted.
            Refused::Bound(_) => tracing::warn!(%peer, "a registry client is refused: {reason}"),
            Refused::Token | Refused::NoTls | Refused::Handshake(_) => {
                tracing::info!(%peer, error, "a registry client is refused: {reason}");
            }
        }
    }

    /// Tells how many more there were. To be called every few seconds.
    pub(crate) fn tell_more(&self) {
        for (reason, count) in self.counts.due(self.clock.mono()) {
            tracing::info!(count, "more registry clients were refused: {reason}");
        }
    }
}

impl Witness {
    pub(crate) fn tell(&self, reason: Refused) {
        self.refusals.tell(&self.peer, reason, None);
    }
}
