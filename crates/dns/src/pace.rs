//! How often one client may ask.
//!
//! Over UDP the address of who asks can be forged, so an answer may hit somebody who never asked:
//! beyond the rate half of the questions get no answer, and half of them the shortest there is,
//! which sends a client that is real to TCP. `governor` keeps the accounts, and there are so many:
//! whoever comes when all are taken shares one with all others who do.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Mutex;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

use crate::bounds::PACED_CLIENTS_MAX;

/// Whom a question is counted for: an IPv4 address, or the network of an IPv6 one, in which one
/// client has as many addresses as it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Client {
    V4(u32),
    V6(u64),
}

impl Client {
    /// `None` for loopback, where everybody has the same address.
    pub(crate) fn counted(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            address if address.is_loopback() => None,
            IpAddr::V4(v4) => Some(Self::V4(v4.to_bits())),
            IpAddr::V6(v6) => Some(Self::V6((v6.to_bits() >> 64) as u64)),
        }
    }
}

/// The one clock, as `governor` reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mono(pub(crate) runtime::Clock);

impl Clock for Mono {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.mono().since(model::Instant::default()).into()
    }
}

/// Accounts by client.
#[derive(Debug)]
pub(crate) struct Pace<C: Clock<Instant = Nanos> = Mono>(
    Mutex<RateLimiter<Client, Accounts, C, NoOpMiddleware<Nanos>>>,
);

/// What `governor` remembers of each client: when its account will be full again.
#[derive(Debug)]
struct Accounts {
    max: usize,
    by_client: RefCell<BTreeMap<Client, Nanos>>,
    overflow: Cell<Option<Nanos>>,
}

impl<C: Clock<Instant = Nanos>> Pace<C> {
    /// So many a second, and twice as many at once.
    pub(crate) fn new(per_second: NonZeroU32, clock: C) -> Self {
        Self::with(PACED_CLIENTS_MAX, per_second, clock)
    }

    fn with(max: usize, per_second: NonZeroU32, clock: C) -> Self {
        let quota = Quota::per_second(per_second).allow_burst(per_second.saturating_mul(TWICE));
        let accounts = Accounts { max, by_client: RefCell::default(), overflow: Cell::default() };
        Self(Mutex::new(RateLimiter::new(quota, accounts, clock)))
    }

    /// Whether one more question of this client is answered now.
    pub(crate) fn admits(&self, client: Client) -> bool {
        self.0.lock().is_ok_and(|accounts| accounts.check_key(&client).is_ok())
    }

    /// Throws accounts away that are full again.
    pub(crate) fn sweep(&self) {
        if let Ok(accounts) = self.0.lock() {
            accounts.retain_recent();
        }
    }
}

const TWICE: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

impl StateStore for Accounts {
    type Key = Client;

    fn measure_and_replace<T, F, E>(&self, key: &Client, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut by_client = self.by_client.borrow_mut();
        let known = by_client.get(key).copied();
        if known.is_none() && by_client.len() >= self.max {
            let (said, next) = f(self.overflow.get())?;
            self.overflow.set(Some(next));
            return Ok(said);
        }
        let (said, next) = f(known)?;
        by_client.insert(*key, next);
        Ok(said)
    }
}

impl governor::state::keyed::ShrinkableKeyedStateStore<Client> for Accounts {
    fn retain_recent(&self, drop_below: Nanos) {
        self.by_client.borrow_mut().retain(|_, full_at| *full_at > drop_below);
        self.overflow.set(self.overflow.get().filter(|full_at| *full_at > drop_below));
    }

    fn len(&self) -> usize {
        self.by_client.borrow().len()
    }

    fn is_empty(&self) -> bool {
        self.by_client.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn who_is_counted() {
        #[rustfmt::skip]
        let table = [
            ("127.0.0.1",        None),
            ("::1",              None),
            ("::ffff:127.0.0.9", None),
            ("::ffff:10.0.0.1",  Some(Client::V4(0x0A00_0001))),
            ("10.0.0.1",         Some(Client::V4(0x0A00_0001))),
            ("fd00::1:2",        Some(Client::V6(0xFD00_0000_0000_0000))),
        ];
        for (address, want) in table {
            assert_eq!(Client::counted(address.parse().unwrap()), want, "{address}");
        }
    }

    #[test]
    fn so_many_at_once_and_strangers_share() {
        let clock = FakeRelativeClock::default();
        let ten = NonZeroU32::new(10).unwrap();
        let pace = Pace::with(2, ten, clock.clone());
        let admitted = |client| (0..100).filter(|_| pace.admits(Client::V4(client))).count();
        assert_eq!([admitted(1), admitted(2), admitted(1)], [20, 20, 0]);
        assert_eq!([admitted(3), admitted(4)], [20, 0], "one account for both");
        clock.advance(Duration::from_secs(1));
        assert_eq!([admitted(1), admitted(4), admitted(3)], [10, 10, 0]);
        clock.advance(Duration::from_secs(3600));
        pace.sweep();
        assert_eq!([admitted(3), admitted(4), admitted(5)], [20, 20, 20]);
    }
}
