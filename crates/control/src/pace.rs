//! How fast connections may come from one peer.
//!
//! A bound on connections at once does not hinder somebody who opens and closes them all day:
//! each costs us a task, two inputs of the machine, and with TLS a handshake. `governor` keeps the
//! account; what it keeps is bounded here. There are so many accounts, whoever comes when all are
//! taken shares one with all others who do, and accounts that are full again are thrown away.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use session::PeerKey;

use crate::bounds::{CONNECTS_AT_ONCE_MAX, CONNECTS_PER_SECOND_MAX, PACED_PEERS_MAX};

/// Accounts by peer.
#[derive(Debug)]
pub(crate) struct Pace<C: Clock<Instant = Nanos>>(
    RateLimiter<PeerKey, Accounts, C, NoOpMiddleware<Nanos>>,
);

/// What `governor` remembers of each peer: when its account will be full again.
#[derive(Debug)]
struct Accounts {
    max: usize,
    by_peer: RefCell<BTreeMap<PeerKey, Nanos>>,
    overflow: Cell<Option<Nanos>>,
}

impl<C: Clock<Instant = Nanos>> Pace<C> {
    pub(crate) fn new(clock: C) -> Self {
        Self::with(PACED_PEERS_MAX, clock)
    }

    fn with(max: usize, clock: C) -> Self {
        let rate = NonZeroU32::new(CONNECTS_PER_SECOND_MAX).unwrap_or(NonZeroU32::MIN);
        let burst = NonZeroU32::new(CONNECTS_AT_ONCE_MAX).unwrap_or(NonZeroU32::MIN);
        let accounts = Accounts { max, by_peer: RefCell::default(), overflow: Cell::default() };
        Self(RateLimiter::new(Quota::per_second(rate).allow_burst(burst), accounts, clock))
    }

    /// Whether one more connection may come from there now.
    pub(crate) fn admits(&self, peer: PeerKey) -> bool {
        self.0.check_key(&peer).is_ok()
    }

    /// Throws accounts away that are full again.
    pub(crate) fn sweep(&self) {
        self.0.retain_recent();
    }
}

impl StateStore for Accounts {
    type Key = PeerKey;

    fn measure_and_replace<T, F, E>(&self, key: &PeerKey, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut by_peer = self.by_peer.borrow_mut();
        let known = by_peer.get(key).copied();
        if known.is_none() && by_peer.len() >= self.max {
            let (said, next) = f(self.overflow.get())?;
            self.overflow.set(Some(next));
            return Ok(said);
        }
        let (said, next) = f(known)?;
        by_peer.insert(*key, next);
        Ok(said)
    }
}

impl governor::state::keyed::ShrinkableKeyedStateStore<PeerKey> for Accounts {
    fn retain_recent(&self, drop_below: Nanos) {
        self.by_peer.borrow_mut().retain(|_, full_at| *full_at > drop_below);
        self.overflow.set(self.overflow.get().filter(|full_at| *full_at > drop_below));
    }

    fn len(&self) -> usize {
        self.by_peer.borrow().len()
    }

    fn is_empty(&self) -> bool {
        self.by_peer.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(at: u32) -> PeerKey {
        PeerKey::V4(at.into())
    }

    /// How many of many get in now.
    fn admitted(pace: &Pace<FakeRelativeClock>, peer: PeerKey) -> u32 {
        let tries = 2 * CONNECTS_AT_ONCE_MAX;
        (0..tries).map(|_| u32::from(pace.admits(peer))).sum()
    }

    #[test]
    fn so_many_at_once_and_then_so_many_per_second() {
        let clock = FakeRelativeClock::default();
        let pace = Pace::with(10, clock.clone());
        assert_eq!(admitted(&pace, key(1)), CONNECTS_AT_ONCE_MAX);
        assert!(!pace.admits(key(1)), "one past it");
        assert_eq!(admitted(&pace, key(2)), CONNECTS_AT_ONCE_MAX, "others have their own");
        clock.advance(SECOND);
        assert_eq!(admitted(&pace, key(1)), CONNECTS_PER_SECOND_MAX);
        clock.advance(3600 * SECOND);
        assert_eq!(admitted(&pace, key(1)), CONNECTS_AT_ONCE_MAX, "it does not pile up");
    }

    /// Strangers in any number neither fill the memory nor keep those out who are known.
    #[test]
    fn so_many_accounts_and_one_for_all_others() {
        let clock = FakeRelativeClock::default();
        let pace = Pace::with(3, clock.clone());
        assert!((1..=3).all(|peer| pace.admits(key(peer))));
        assert_eq!(pace.0.len(), 3);
        let shared = (4..4 + 2 * CONNECTS_AT_ONCE_MAX).filter(|peer| pace.admits(key(*peer)));
        assert_eq!(shared.count(), CONNECTS_AT_ONCE_MAX as usize);
        assert_eq!(pace.0.len(), 3, "none was added");
        assert!(pace.admits(key(1)), "who has an account is not touched by that");
        // What is full again is forgotten, and there is room.
        clock.advance(3600 * SECOND);
        pace.sweep();
        assert!(pace.0.is_empty());
        assert!(pace.admits(key(4)));
        assert_eq!(pace.0.len(), 1);
    }

    #[test]
    fn what_is_not_full_again_is_kept() {
        let clock = FakeRelativeClock::default();
        let pace = Pace::with(3, clock.clone());
        assert_eq!(admitted(&pace, key(1)), CONNECTS_AT_ONCE_MAX);
        clock.advance(SECOND);
        pace.sweep();
        assert_eq!(pace.0.len(), 1);
        assert_eq!(admitted(&pace, key(1)), CONNECTS_PER_SECOND_MAX);
    }
}
