//! How many connections there are, in all and from one address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Bounds;

/// Counts connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    all: usize,
    /// Of those that are not on this machine.
    by_peer: BTreeMap<IpAddr, usize>,
}

/// A connection that was counted in, and is counted out when this is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    peers: Peers,
    key: Option<IpAddr>,
}

impl Peers {
    /// Counts one in; `None`: there are as many as there may be.
    pub(crate) fn enter(&self, peer: IpAddr, bounds: &Bounds) -> Option<Permit> {
        let key = key(peer);
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = key.and_then(|key| counted.by_peer.get(&key)).copied().unwrap_or_default();
        if counted.all >= bounds.connections_max || from >= bounds.connections_per_peer_max {
            return None;
        }
        counted.all += 1;
        if let Some(key) = key {
            counted.by_peer.insert(key, from + 1);
        }
        drop(counted);
        Some(Permit { peers: self.clone(), key })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counted = self.peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.all -= 1;
        if let Some(key) = self.key
            && let Some(from) = counted.by_peer.get_mut(&key)
        {
            *from -= 1;
            if *from == 0 {
                counted.by_peer.remove(&key);
            }
        }
    }
}

/// Whom a peer is counted as: nobody on loopback, the whole network that one customer gets in IPv6.
fn key(peer: IpAddr) -> Option<IpAddr> {
    match peer.to_canonical() {
        own if own.is_loopback() => None,
        IpAddr::V4(address) => Some(IpAddr::V4(address)),
        IpAddr::V6(address) => Some(IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_there_may_be() {
        let bounds =
            Bounds { connections_max: 4, connections_per_peer_max: 2, ..Bounds::default() };
        let a = "192.0.2.1";
        #[rustfmt::skip]
        let table: &[(&[&str], usize)] = &[
            (&[a, a, a],                                         2),
            (&[a, "::ffff:192.0.2.1", a],                        2),
            (&["2001:db8::1", "2001:db8::2", "2001:db8::3"],     2),
            (&["2001:db8::1", "2001:db8:0:1::2", "2001:db8::3"], 3),
            (&["127.0.0.1", "::1", "127.0.0.1", "127.0.0.2", a], 4),
        ];
        for (from, let_in) in table {
            let peers = Peers::default();
            let permits: Vec<_> =
                from.iter().map(|peer| peers.enter(peer.parse().unwrap(), &bounds)).collect();
            assert_eq!(permits.iter().flatten().count(), *let_in, "{from:?}");
            drop(permits);
            let counted = peers.0.lock().unwrap();
            assert_eq!((counted.all, counted.by_peer.len()), (0, 0));
        }
    }
}
