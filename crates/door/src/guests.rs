//! How much there may be of one kind, in all and of one peer.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use resilience::ClientKey;

/// How many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At once.
    pub connections_max: usize,
    /// Of these, from one address that is not loopback; a /64 of IPv6 counts as one.
    pub connections_per_peer_max: usize,
}

/// Which bound keeps somebody out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// Of everybody there are as many as there may be.
    #[error("too many at once")]
    All,
    /// Of this address there are.
    #[error("too many of this address at once")]
    Peer,
}

/// Counts connections, or whatever else there may be so many of, against their bounds. Clones count
/// together: several doors may share it.
#[derive(Clone, Debug)]
pub struct Guests(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    /// As a log has it: `JSON-RPC connections`.
    what: &'static str,
    bounds: Bounds,
    inside: Mutex<Inside>,
    /// Somebody was kept out and nobody has been let in since.
    is_refusing: AtomicBool,
}

#[derive(Debug, Default)]
struct Inside {
    all: usize,
    /// Of those that are counted by peer; nobody without a connection.
    by_peer: BTreeMap<ClientKey, usize>,
    /// That were kept out so far.
    refused: u64,
}

/// One that was let in; dropped when it is over.
#[derive(Debug)]
pub struct Guest {
    counts: Arc<Counts>,
    key: Option<ClientKey>,
}

impl Guests {
    /// Nobody is inside. `what` they are is said in logs, in the plural.
    pub fn new(what: &'static str, bounds: Bounds) -> Self {
        let (inside, is_refusing) = Default::default();
        Self(Arc::new(Counts { what, bounds, inside, is_refusing }))
    }

    /// Lets one more in, unless there are as many as there may be.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn enter(&self, peer: IpAddr) -> Result<Guest, Full> {
        self.enter_as(ClientKey::counted(peer))
    }

    /// The same, and a log hears of the first one that is kept out, until somebody is let in again.
    pub fn admit(&self, peer: SocketAddr) -> Option<Guest> {
        match self.enter(peer.ip()) {
            Ok(guest) => {
                self.0.is_refusing.store(false, Relaxed);
                Some(guest)
            }
            Err(full) => {
                if !self.0.is_refusing.swap(true, Relaxed) {
                    tracing::warn!(%peer, "{} are refused: {full}", self.0.what);
                }
                None
            }
        }
    }

    /// The same for whoever is counted as this one, or for all alone.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn enter_as(&self, key: Option<ClientKey>) -> Result<Guest, Full> {
        let bounds = self.0.bounds;
        let mut inside = self.0.lock();
        let from = key.and_then(|key| inside.by_peer.get(&key)).copied().unwrap_or_default();
        let full = match key {
            _ if inside.all >= bounds.connections_max => Some(Full::All),
            Some(_) if from >= bounds.connections_per_peer_max => Some(Full::Peer),
            Some(_) | None => None,
        };
        if let Some(full) = full {
            inside.refused = inside.refused.saturating_add(1);
            return Err(full);
        }
        if let Some(key) = key {
            inside.by_peer.insert(key, from + 1);
        }
        inside.all += 1;
        drop(inside);
        Ok(Guest { counts: Arc::clone(&self.0), key })
    }

    /// How many are inside.
    pub fn inside(&self) -> usize {
        self.0.lock().all
    }

    /// How many were kept out so far.
    pub fn refused(&self) -> u64 {
        self.0.lock().refused
    }
}

impl Counts {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        // Nothing in here can be left half done by a panic.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut inside = self.counts.lock();
        inside.all = inside.all.saturating_sub(1);
        if let Some(key) = self.key
            && let Some(from) = inside.by_peer.get_mut(&key)
        {
            *from = from.saturating_sub(1);
            if *from == 0 {
                inside.by_peer.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { connections_max: 4, connections_per_peer_max: 2 };

    #[test]
    fn as_many_as_there_may_be() {
        let a = "192.0.2.1";
        #[rustfmt::skip]
        let table: &[(&[&str], usize, Option<Full>)] = &[
            (&[a, a],                                              2, None),
            (&[a, a, a],                                           2, Some(Full::Peer)),
            (&[a, "::ffff:192.0.2.1", a],                          2, Some(Full::Peer)),
            (&["2001:db8::1", "2001:db8::2", "2001:db8::3"],       2, Some(Full::Peer)),
            (&["2001:db8::1", "2001:db8:0:1::2", "2001:db8::3"],   3, None),
            (&["127.0.0.1", "::1", "127.0.0.1", "127.0.0.2", a],   4, Some(Full::All)),
        ];
        for (from, let_in, last) in table {
            let guests = Guests::new("guests", BOUNDS);
            let mut entered = from.iter().map(|peer| guests.enter(peer.parse().unwrap()));
            let held: Vec<_> = entered.by_ref().collect();
            assert_eq!(held.iter().flatten().count(), *let_in, "{from:?}");
            assert_eq!(held.last().unwrap().as_ref().err(), last.as_ref(), "{from:?}");
            assert_eq!(guests.inside(), *let_in);
            assert_eq!(guests.refused(), (from.len() - let_in) as u64);
            drop(held);
            let inside = guests.0.lock();
            assert_eq!((inside.all, inside.by_peer.len()), (0, 0), "nothing is kept");
        }
    }

    #[test]
    fn who_goes_makes_room() {
        let guests = Guests::new("guests", BOUNDS);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = guests.enter(ip("192.0.2.1")).unwrap();
        let second = guests.enter(ip("192.0.2.1")).unwrap();
        drop(first);
        let again = guests.enter(ip("192.0.2.1"));
        assert!(again.is_ok());
        let local = [guests.enter(ip("::1")), guests.enter(ip("::1"))];
        assert!(guests.enter(ip("::1")).is_err(), "the bound for all");
        drop((second, again, local));
        assert_eq!(guests.inside(), 0);
    }
}
