//! How many connections each client address has open, over all workers (SPEC 10).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use resilience::ClientKey;

/// The counts. As many as there are connections at most, and none without one.
#[derive(Debug)]
pub(crate) struct Peers {
    max: usize,
    open: Mutex<HashMap<ClientKey, usize>>,
}

impl Peers {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, open: Mutex::default() }
    }

    /// Counts one more connection of an address; `None` if it has as many as it may.
    pub(crate) fn enter(&self, ip: IpAddr) -> Option<ClientKey> {
        let key = ClientKey::of(ip);
        // Nothing in here can be left half done by a panic.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(key).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(key)
    }

    /// One of them is over.
    pub(crate) fn leave(&self, key: ClientKey) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = open.entry(key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_allowed_and_one_more() {
        let peers = Peers::new(2);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = peers.enter(ip("192.0.2.1")).unwrap();
        assert_eq!(peers.enter(ip("::ffff:192.0.2.1")), Some(first), "the same address");
        assert_eq!(peers.enter(ip("192.0.2.1")), None);
        assert!(peers.enter(ip("192.0.2.2")).is_some(), "others have their own");
        peers.leave(first);
        assert!(peers.enter(ip("192.0.2.1")).is_some());
        let v6 = peers.enter(ip("2001:db8::1")).unwrap();
        assert_eq!(peers.enter(ip("2001:db8::2")), Some(v6), "a /64 is one");
        assert_eq!(peers.enter(ip("2001:db8::3")), None);
        for (key, count) in [(first, 2), (v6, 2), (ClientKey::of(ip("192.0.2.2")), 1)] {
            (0..count).for_each(|_| peers.leave(key));
        }
        assert!(peers.open.lock().unwrap().is_empty(), "when all are gone nothing is kept");
    }
}
