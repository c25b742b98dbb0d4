//! How many sessions came from where.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Peer;

/// What counts as one peer: an IPv4 address, or the /64 that an IPv6 address is in, for whoever
/// has one has all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerKey {
    /// This address.
    V4(Ipv4Addr),
    /// The upper half of the address.
    V6(u64),
}

impl PeerKey {
    /// An IPv4 address inside an IPv6 one is what it is.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(v6) => Self::V6((Ipv6Addr::to_bits(v6) >> 64) as u64),
        }
    }

    /// The key that a peer counts under, if it counts: everything on loopback has the same
    /// address, a Unix socket has none, and operators get in when everything else is full
    /// (SPEC 12).
    pub fn counted(peer: &Peer) -> Option<Self> {
        match peer {
            Peer::Tcp(address) if address.to_canonical().is_loopback() => None,
            Peer::Tcp(address) => Some(Self::of(*address)),
            Peer::Local | Peer::Operator => None,
        }
    }
}

/// Counts by peer. Where nothing is counted there is no entry.
#[derive(Debug, Default)]
pub(crate) struct Peers(BTreeMap<PeerKey, usize>);

impl Peers {
    pub(crate) fn enter(&mut self, peer: Option<PeerKey>) {
        if let Some(peer) = peer {
            *self.0.entry(peer).or_default() += 1;
        }
    }

    pub(crate) fn leave(&mut self, peer: Option<PeerKey>) {
        if let Some(peer) = peer
            && let Some(count) = self.0.get_mut(&peer)
        {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&peer);
            }
        }
    }

    pub(crate) fn count(&self, peer: PeerKey) -> usize {
        self.0.get(&peer).copied().unwrap_or_default()
    }

    pub(crate) fn total(&self) -> usize {
        self.0.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_has_one_key() {
        #[rustfmt::skip]
        let table = [
            // address               another                   same
            ("10.0.0.1",             "10.0.0.1",               true),
            ("10.0.0.1",             "10.0.0.2",               false),
            ("10.0.0.1",             "::ffff:10.0.0.1",        true),
            ("2001:db8::1",          "2001:db8::ffff:1:2:3",   true),
            ("2001:db8:0:1::1",      "2001:db8:0:2::1",        false),
        ];
        for (one, another, same) in table {
            let key = |text: &str| PeerKey::of(text.parse().unwrap());
            assert_eq!(key(one) == key(another), same, "{one} {another}");
        }
        for exempt in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(PeerKey::counted(&Peer::Tcp(exempt.parse().unwrap())), None, "{exempt}");
        }
        assert_eq!(PeerKey::counted(&Peer::Local), None);
    }
}
