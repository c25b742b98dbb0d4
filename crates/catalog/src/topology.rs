//! Which networks this machine is in, and what is near to whom.

use std::net::IpAddr;

use ipnet::IpNet;

/// Most interfaces that are looked at.
pub const INTERFACES_MAX: usize = 256;

/// How an address is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetworkKind {
    /// On this machine.
    Local,
    /// By a network this machine is in.
    Lan,
    /// Through a WireGuard tunnel.
    WireGuard,
}

impl NetworkKind {
    /// As the service API has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "Local",
            Self::Lan => "LAN",
            Self::WireGuard => "WireGuard",
        }
    }
}

/// A network interface of this machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interface {
    /// Its name: `eth0`.
    pub name: Box<str>,
    /// What is reached through it.
    pub kind: NetworkKind,
    /// Its addresses, and the networks they are in.
    pub addresses: Vec<IpNet>,
}

/// The interfaces of this machine that are up. Compares equal when nothing has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    interfaces: Vec<Interface>,
}

impl Topology {
    /// From what the system says, in any order; at most [`INTERFACES_MAX`] by name.
    pub fn new(mut interfaces: Vec<Interface>) -> Self {
        for interface in &mut interfaces {
            interface.addresses.sort();
        }
        interfaces.sort();
        interfaces.truncate(INTERFACES_MAX);
        Self { interfaces }
    }

    /// By name.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// How an address is reached; `None` if only by way of a router.
    pub fn kind_of(&self, address: IpAddr) -> Option<NetworkKind> {
        let address = address.to_canonical();
        let own = |net: &IpNet| net.addr() == address;
        if address.is_loopback() || self.nets().any(|(_, net)| own(net)) {
            return Some(NetworkKind::Local);
        }
        self.network_of(address).map(|(kind, _)| kind)
    }

    /// How far an endpoint is from who asks; the nearest has the least. An address of this machine
    /// that only this machine can reach is the farthest for everybody else.
    pub fn distance(&self, asker: IpAddr, endpoint: IpAddr) -> u8 {
        let (asker, endpoint) = (asker.to_canonical(), endpoint.to_canonical());
        let (from, to) = (self.kind_of(asker), self.kind_of(endpoint));
        if endpoint.is_loopback() && from != Some(NetworkKind::Local) {
            return u8::MAX;
        }
        let shared = |net: Option<(NetworkKind, &IpNet)>| {
            net.is_some_and(|(_, net)| net.contains(&endpoint) && net.contains(&asker))
        };
        match (from, to) {
            _ if asker == endpoint => 0,
            (Some(NetworkKind::Local), Some(NetworkKind::Local)) => 0,
            // The same network, this machine's address in it included.
            _ if shared(self.network_of(asker)) => 1,
            (_, Some(NetworkKind::Local)) => 2,
            (_, Some(NetworkKind::Lan)) => 3,
            (_, Some(NetworkKind::WireGuard)) => 4,
            (_, None) => 5,
        }
    }

    /// The narrowest of this machine's networks that an address is in.
    fn network_of(&self, address: IpAddr) -> Option<(NetworkKind, &IpNet)> {
        let within = self.nets().filter(|(_, net)| net.contains(&address));
        within.max_by_key(|(_, net)| net.prefix_len())
    }

    fn nets(&self) -> impl Iterator<Item = (NetworkKind, &IpNet)> {
        let each = |interface: &'_ Interface| interface.kind;
        self.interfaces.iter().flat_map(move |interface| {
            interface.addresses.iter().map(move |net| (each(interface), net))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology() -> Topology {
        let interface = |name: &str, kind, nets: &[&str]| Interface {
            name: name.into(),
            kind,
            addresses: nets.iter().map(|net| net.parse().unwrap()).collect(),
        };
        Topology::new(vec![
            interface("wg0", NetworkKind::WireGuard, &["10.42.0.1/16"]),
            interface("lo", NetworkKind::Local, &["127.0.0.1/8", "::1/128"]),
            interface("eth0", NetworkKind::Lan, &["192.168.1.5/24", "fd00::5/64"]),
        ])
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn kinds() {
        use NetworkKind::{Lan, Local, WireGuard};
        let topology = topology();
        #[rustfmt::skip]
        let table = [
            ("127.0.0.9",          Some(Local)),
            ("::1",                Some(Local)),
            ("192.168.1.5",        Some(Local)),
            ("::ffff:192.168.1.5", Some(Local)),
            ("192.168.1.77",       Some(Lan)),
            ("fd00::77",           Some(Lan)),
            ("10.42.3.4",          Some(WireGuard)),
            ("10.42.0.1",          Some(Local)),
            ("8.8.8.8",            None),
        ];
        for (address, kind) in table {
            assert_eq!(topology.kind_of(ip(address)), kind, "{address}");
        }
    }

    #[test]
    fn the_nearest_comes_first() {
        let topology = topology();
        #[rustfmt::skip]
        let table = [
            ("127.0.0.1",    &["127.0.0.1", "192.168.1.7", "10.42.0.9", "8.8.8.8"][..]),
            ("192.168.1.9",  &["192.168.1.7", "10.42.0.9", "8.8.8.8", "127.0.0.1"]),
            ("10.42.0.200",  &["10.42.0.9", "192.168.1.7", "8.8.8.8", "127.0.0.1"]),
            ("1.2.3.4",      &["192.168.1.5", "192.168.1.7", "10.42.0.9", "8.8.8.8", "127.0.0.1"]),
        ];
        for (asker, order) in table {
            let mut found: Vec<_> = order.iter().rev().copied().collect();
            found.sort_by_key(|endpoint| topology.distance(ip(asker), ip(endpoint)));
            assert_eq!(found, order, "{asker}");
        }
    }

    #[test]
    fn the_order_in_which_interfaces_are_listed_means_nothing() {
        let mut interfaces = topology().interfaces().to_vec();
        interfaces.reverse();
        assert_eq!(Topology::new(interfaces), topology());
    }
}
