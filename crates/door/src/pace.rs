//! How often one peer may do something.
//!
//! A bound on connections at once does not hinder somebody who opens and closes them all day, and
//! none of them hinders somebody who asks. `governor` keeps the accounts; what it keeps is bounded
//! here. There are so many accounts, whoever comes when all are taken shares one with all others who
//! do, and accounts that are full again are thrown away.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use resilience::ClientKey;

/// The one clock, as `governor` reads it.
#[derive(Clone, Copy, Debug)]
pub struct Mono(pub runtime::Clock);

impl Clock for Mono {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.mono().since(model::Instant::default()).into()
    }
}

/// What one peer may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In the long run.
    pub per_second: NonZeroU32,
    /// After a silence.
    pub at_once: NonZeroU32,
    /// Peers that are watched one by one; all further ones share one account.
    pub peers_max: usize,
}

/// Accounts by peer.
#[derive(Debug)]
pub struct Pace<C: Clock<Instant = Nanos> = Mono>(Mutex<Limiter<C>>);

type Limiter<C> = RateLimiter<ClientKey, Accounts, C, NoOpMiddleware<Nanos>>;

/// What `governor` remembers of each peer: when its account will be full again.
#[derive(Debug)]
struct Accounts {
    max: usize,
    by_peer: RefCell<BTreeMap<ClientKey, Nanos>>,
    overflow: Cell<Option<Nanos>>,
}

impl<C: Clock<Instant = Nanos>> Pace<C> {
    /// Everybody has been silent.
    pub fn new(rate: Rate, clock: C) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.at_once);
        let (by_peer, overflow) = Default::default();
        let accounts = Accounts { max: rate.peers_max, by_peer, overflow };
        Self(Mutex::new(RateLimiter::new(quota, accounts, clock)))
    }

    /// Whether this peer may once more now.
    pub fn admits(&self, peer: ClientKey) -> bool {
        self.lock().check_key(&peer).is_ok()
    }

    /// Throws accounts away that are full again; to be called now and then.
    pub fn sweep(&self) {
        self.lock().retain_recent();
    }

    fn lock(&self) -> MutexGuard<'_, Limiter<C>> {
        // Nothing in here can be left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Accounts {
    type Key = ClientKey;

    fn measure_and_replace<T, F, E>(&self, key: &ClientKey, f: F) -> Result<T, E>
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

impl governor::state::keyed::ShrinkableKeyedStateStore<ClientKey> for Accounts {
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
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const AT_ONCE: u32 = 20;
    const PER_SECOND: u32 = 5;

    fn pace(peers_max: usize, clock: &FakeRelativeClock) -> Pace<FakeRelativeClock> {
        let [per_second, at_once] = [PER_SECOND, AT_ONCE].map(|n| NonZeroU32::new(n).unwrap());
        Pace::new(Rate { per_second, at_once, peers_max }, clock.clone())
    }

    fn key(at: u32) -> ClientKey {
        ClientKey::of(IpAddr::V4(Ipv4Addr::from_bits(at)))
    }

    /// How many of many get in now.
    fn admitted(pace: &Pace<FakeRelativeClock>, peer: u32) -> u32 {
        (0..2 * AT_ONCE).map(|_| u32::from(pace.admits(key(peer)))).sum()
    }

    #[test]
    fn so_many_at_once_and_then_so_many_per_second() {
        let clock = FakeRelativeClock::default();
        let pace = pace(10, &clock);
        assert_eq!(admitted(&pace, 1), AT_ONCE);
        assert!(!pace.admits(key(1)), "one past it");
        assert_eq!(admitted(&pace, 2), AT_ONCE, "others have their own");
        clock.advance(SECOND);
        assert_eq!(admitted(&pace, 1), PER_SECOND);
        clock.advance(3600 * SECOND);
        assert_eq!(admitted(&pace, 1), AT_ONCE, "it does not pile up");
    }

    /// Strangers in any number neither fill the memory nor keep those out who are known.
    #[test]
    fn so_many_accounts_and_one_for_all_others() {
        let clock = FakeRelativeClock::default();
        let pace = pace(3, &clock);
        assert!((1..=3).all(|peer| pace.admits(key(peer))));
        assert_eq!(pace.lock().len(), 3);
        let shared = (4..4 + 2 * AT_ONCE).filter(|peer| pace.admits(key(*peer)));
        assert_eq!(shared.count(), AT_ONCE as usize);
        assert_eq!(pace.lock().len(), 3, "none was added");
        assert!(pace.admits(key(1)), "who has an account is not touched by that");
        // What is full again is forgotten, and there is room.
        clock.advance(3600 * SECOND);
        pace.sweep();
        assert!(pace.lock().is_empty());
        assert!(pace.admits(key(4)));
        assert_eq!(pace.lock().len(), 1);
    }

    #[test]
    fn what_is_not_full_again_is_kept() {
        let clock = FakeRelativeClock::default();
        let pace = pace(3, &clock);
        assert_eq!(admitted(&pace, 1), AT_ONCE);
        clock.advance(SECOND);
        pace.sweep();
        assert_eq!(pace.lock().len(), 1);
        assert_eq!(admitted(&pace, 1), PER_SECOND);
    }
}
