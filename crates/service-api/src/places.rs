//! Who may come in: so many at once, and so many of one address.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts what there is of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    all_max: usize,
    per_peer_max: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Of those that are not on this machine.
    by_peer: BTreeMap<IpAddr, usize>,
}

/// One of them. Free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    taken: Arc<Mutex<Taken>>,
    peer: Option<IpAddr>,
}

impl Places {
    pub(crate) fn new(all_max: usize, per_peer_max: usize) -> Self {
        Self { all_max, per_peer_max, taken: Arc::default() }
    }

    /// A place for somebody, or which bound keeps it out.
    pub(crate) fn take(&self, peer: IpAddr) -> Result<Place, &'static str> {
        let peer = counted(peer);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.all_max {
            return Err("too many at once");
        }
        if let Some(peer) = peer {
            let from = taken.by_peer.get(&peer).copied().unwrap_or_default();
            if from >= self.per_peer_max {
                return Err("too many of this address at once");
            }
            taken.by_peer.insert(peer, from + 1);
        }
        taken.all += 1;
        Ok(Place { taken: Arc::clone(&self.taken), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        if let Some(peer) = self.peer
            && let Some(from) = taken.by_peer.get_mut(&peer)
        {
            *from -= 1;
            if *from == 0 {
                taken.by_peer.remove(&peer);
            }
        }
    }
}

/// Whom an address is counted as; loopback is exempt. Whoever has one IPv6 address has 2^64.
fn counted(peer: IpAddr) -> Option<IpAddr> {
    match peer.to_canonical() {
        peer if peer.is_loopback() => None,
        IpAddr::V6(peer) => Some(Ipv6Addr::from_bits(peer.to_bits() >> 64 << 64).into()),
        peer @ IpAddr::V4(_) => Some(peer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_kept_at_and_past() {
        let places = Places::new(4, 2);
        let take = |peer: &str| places.take(peer.parse().unwrap());
        let of_one = "too many of this address at once";
        let a = [take("10.0.0.1").unwrap(), take("::ffff:10.0.0.1").unwrap()];
        assert_eq!(take("10.0.0.1").unwrap_err(), of_one);
        let b = [take("2001:db8::1").unwrap(), take("2001:db8::2").unwrap()];
        assert_eq!(take("127.0.0.1").unwrap_err(), "too many at once");
        drop(a);
        assert_eq!(take("2001:db8::3").unwrap_err(), of_one);
        let c = [take("127.0.0.1").unwrap(), take("::1").unwrap()];
        assert_eq!(take("10.0.0.1").unwrap_err(), "too many at once");
        drop((b, c));
        let left = places.taken.lock().unwrap();
        assert!(left.all == 0 && left.by_peer.is_empty());
    }
}
