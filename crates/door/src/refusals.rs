//! Who is refused, as a log tells of it: the first one at once, what follows for the same reason
//! together, so that nobody can fill a disk with it.

use std::convert::Infallible;
use std::fmt::Display;
use std::sync::Arc;

use runtime::Clock;
use telemetry::TOLD_EVERY;
use tokio::time::{MissedTickBehavior, interval};

/// What somebody is refused for: an enum, whose variants are few.
pub trait Reason: Copy + Ord + Display {
    /// Whether it is to be warned of, as where there is no room for somebody who is wanted.
    fn is_warning(self) -> bool {
        false
    }
}

/// Tells of refusals, now and then. Clones count together.
#[derive(Clone, Debug)]
pub struct Refusals<R> {
    of: &'static str,
    counts: Arc<telemetry::Refusals<R>>,
    clock: Clock,
}

impl<R: Reason> Refusals<R> {
    /// Nobody was refused yet. Clients are `of` a protocol: `JSON-RPC`.
    pub fn new(of: &'static str, clock: Clock) -> Self {
        Self { of, counts: Arc::default(), clock }
    }

    /// Tells of one if it is time to, and why exactly, as far as that is known.
    pub fn tell(&self, peer: &dyn Display, reason: R, error: Option<&dyn Display>) {
        let (of, error) = (self.of, error.map(tracing::field::display));
        let is_told = self.counts.count(reason, self.clock.mono());
        match (is_told, reason.is_warning()) {
            (false, _) => tracing::debug!(%peer, error, "a {of} client is refused: {reason}"),
            (true, true) => tracing::warn!(%peer, error, "a {of} client is refused: {reason}"),
            (true, false) => tracing::info!(%peer, error, "a {of} client is refused: {reason}"),
        }
    }

    /// Tells how many more there were. To be called every few seconds.
    pub fn tell_more(&self) {
        for (reason, count) in self.counts.due(self.clock.mono()) {
            tracing::info!(count, "more {} clients were refused: {reason}", self.of);
        }
    }

    /// The same, for ever.
    pub async fn keep_telling(&self) -> Infallible {
        let mut turns = interval(TOLD_EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            self.tell_more();
        }
    }
}
