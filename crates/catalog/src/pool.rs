//! Addresses and ports that are handed out.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use imbl::{OrdMap, OrdSet};
use ipnet::Ipv4Net;

/// Addresses that one range can hand out at most; a larger network is used up to there.
pub const ADDRESSES_MAX: u32 = 65_536;
/// The longest prefix of a network that has an address to hand out.
const PREFIX_MAX: u8 = 30;
/// The shortest prefix of a network that is handed out as a whole.
const PREFIX_MIN: u8 = 16;

/// Why addresses are not handed out from a network. Reads as a reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    /// It is an address in a network, and not a network.
    #[error("{0} is not the address of its network: write {1}")]
    Host(Ipv4Net, Ipv4Net),
    /// There is nothing to hand out.
    #[error("{0} has no address to hand out: want a network of /{PREFIX_MAX} or larger")]
    Small(Ipv4Net),
    /// Not all of it could be handed out.
    #[error(
        "{0} is larger than {ADDRESSES_MAX} addresses: want a network of /{PREFIX_MIN} or smaller"
    )]
    Large(Ipv4Net),
    /// One address would be in both.
    #[error("{0} overlaps {1}")]
    Overlap(Ipv4Net, Ipv4Net),
}

/// Whether addresses may be handed out from a network, beside others.
///
/// # Errors
///
/// [`SubnetError`].
pub fn check_subnet(net: Ipv4Net, others: &[Ipv4Net]) -> Result<(), SubnetError> {
    if net != net.trunc() {
        return Err(SubnetError::Host(net, net.trunc()));
    }
    if net.prefix_len() > PREFIX_MAX {
        return Err(SubnetError::Small(net));
    }
    if net.prefix_len() < PREFIX_MIN {
        return Err(SubnetError::Large(net));
    }
    let overlaps = |other: &&Ipv4Net| other.contains(&net) || net.contains(*other);
    match others.iter().find(overlaps) {
        Some(other) => Err(SubnetError::Overlap(net, *other)),
        None => Ok(()),
    }
}

/// Why there is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// All are taken.
    #[error("no free address in {0}")]
    Exhausted(Box<str>),
    /// Not one of those that are handed out.
    #[error("{0} is not handed out from {1}")]
    Outside(Ipv4Addr, Box<str>),
    /// Somebody has it.
    #[error("IP {0} already allocated to {1}")]
    Taken(Ipv4Addr, Box<str>),
}

/// Hands out the lowest free address of the first range that has one; the same name gets the same
/// one again.
#[derive(Clone, Debug)]
pub struct AddressPool {
    shown: Box<str>,
    ranges: Vec<RangeInclusive<u32>>,
    by_name: OrdMap<Box<str>, u32>,
    /// Of all ranges, so that it does not matter whether they overlap.
    taken: OrdMap<u32, Box<str>>,
}

impl AddressPool {
    /// The addresses from `first` to `last`; none if `last` is before `first`.
    pub fn range(first: Ipv4Addr, last: Ipv4Addr) -> Self {
        let range = bounded(first.to_bits(), last.to_bits());
        Self::over(format!("{first}-{last}"), vec![range])
    }

    /// The addresses of networks but for each one's own, its gateway's, which is the first, and its
    /// broadcast address. A network of fewer than four addresses has none.
    pub fn subnets(nets: &[Ipv4Net]) -> Self {
        let inner = |net: &Ipv4Net| {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            bounded(first.saturating_add(2), last.saturating_sub(1))
        };
        let shown: Vec<_> = nets.iter().map(|net| net.trunc().to_string()).collect();
        Self::over(shown.join(", "), nets.iter().map(inner).collect())
    }

    fn over(shown: String, ranges: Vec<RangeInclusive<u32>>) -> Self {
        let (by_name, taken) = (OrdMap::new(), OrdMap::new());
        Self { shown: shown.into(), ranges, by_name, taken }
    }

    /// The address of a name, a new one if it has none: one that nobody has here, nor elsewhere.
    ///
    /// # Errors
    ///
    /// [`PoolError::Exhausted`], at once.
    pub fn allocate(
        &mut self,
        name: &str,
        elsewhere: impl Fn(Ipv4Addr) -> bool,
    ) -> Result<Ipv4Addr, PoolError> {
        if let Some(address) = self.by_name.get(name) {
            return Ok(Ipv4Addr::from_bits(*address));
        }
        let free = self.ranges.iter().find_map(|range| self.lowest_free(range, &elsewhere));
        let address = free.ok_or_else(|| PoolError::Exhausted(self.shown.clone()))?;
        self.take(name, address);
        Ok(Ipv4Addr::from_bits(address))
    }

    fn lowest_free(
        &self,
        range: &RangeInclusive<u32>,
        elsewhere: impl Fn(Ipv4Addr) -> bool,
    ) -> Option<u32> {
        let mut range = range.clone();
        loop {
            if range.is_empty() {
                return None;
            }
            let taken = self.taken.range(range.clone()).map(|(taken, _)| *taken);
            let free = lowest_free(range.clone(), taken)?;
            if !elsewhere(Ipv4Addr::from_bits(free)) {
                return Some(free);
            }
            range = free.checked_add(1)?..=*range.end();
        }
    }

    /// Gives a name this very address; whatever other one it had is free again.
    ///
    /// # Errors
    ///
    /// [`PoolError::Outside`], [`PoolError::Taken`]; the name keeps what it had.
    pub fn allocate_this(&mut self, name: &str, address: Ipv4Addr) -> Result<(), PoolError> {
        let bits = address.to_bits();
        if !self.ranges.iter().any(|range| range.contains(&bits)) {
            return Err(PoolError::Outside(address, self.shown.clone()));
        }
        match self.taken.get(&bits) {
            Some(holder) if &**holder == name => return Ok(()),
            Some(holder) => return Err(PoolError::Taken(address, holder.clone())),
            None => {}
        }
        self.release(name);
        self.take(name, bits);
        Ok(())
    }

    /// Frees the address of a name, and says which.
    pub fn release(&mut self, name: &str) -> Option<Ipv4Addr> {
        let address = self.by_name.remove(name)?;
        self.taken.remove(&address);
        Some(Ipv4Addr::from_bits(address))
    }

    /// The address of a name.
    pub fn of(&self, name: &str) -> Option<Ipv4Addr> {
        self.by_name.get(name).map(|address| Ipv4Addr::from_bits(*address))
    }

    /// Whether somebody has this address.
    pub fn is_taken(&self, address: Ipv4Addr) -> bool {
        self.taken.contains_key(&address.to_bits())
    }

    /// Who has which, by name.
    pub fn taken(&self) -> impl Iterator<Item = (&str, Ipv4Addr)> {
        self.by_name.iter().map(|(name, address)| (&**name, Ipv4Addr::from_bits(*address)))
    }

    fn take(&mut self, name: &str, address: u32) {
        self.by_name.insert(name.into(), address);
        self.taken.insert(address, name.into());
    }
}

/// Not more of a range than is handed out of one.
fn bounded(first: u32, last: u32) -> RangeInclusive<u32> {
    first..=last.min(first.saturating_add(ADDRESSES_MAX - 1))
}

/// Hands out the lowest free port.
#[derive(Clone, Debug)]
pub struct PortPool {
    range: RangeInclusive<u16>,
    taken: OrdSet<u16>,
}

impl PortPool {
    /// These ports.
    pub fn new(range: RangeInclusive<u16>) -> Self {
        Self { range, taken: OrdSet::new() }
    }

    /// A port nobody has; `None` when there is none.
    pub fn take(&mut self) -> Option<u16> {
        let range = u32::from(*self.range.start())..=u32::from(*self.range.end());
        let free = lowest_free(range, self.taken.iter().map(|port| u32::from(*port)))?;
        let port = u16::try_from(free).ok()?;
        self.taken.insert(port);
        Some(port)
    }

    /// Takes this very port; `false` if somebody has it or it is not handed out.
    pub fn take_this(&mut self, port: u16) -> bool {
        self.range.contains(&port) && self.taken.insert(port).is_none()
    }

    /// Frees a port.
    pub fn free(&mut self, port: u16) {
        self.taken.remove(&port);
    }
}

/// The first number of a range that is not among these, which are in order.
fn lowest_free(range: RangeInclusive<u32>, taken: impl Iterator<Item = u32>) -> Option<u32> {
    let mut free = *range.start();
    for taken in taken.skip_while(|taken| taken < range.start()) {
        if taken > free {
            break;
        }
        free = taken.checked_add(1)?;
    }
    range.contains(&free).then_some(free)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    fn subnets(nets: &[&str]) -> AddressPool {
        let nets: Vec<_> = nets.iter().map(|net| net.parse().unwrap()).collect();
        AddressPool::subnets(&nets)
    }

    fn allocate(pool: &mut AddressPool, name: &str) -> Result<Ipv4Addr, PoolError> {
        pool.allocate(name, |_| false)
    }

    #[test]
    fn which_networks_addresses_are_handed_out_from() {
        #[rustfmt::skip]
        let table = [
            ("10.42.0.0/16", "",              ""),
            ("10.42.0.0/30", "10.42.0.4/30",  ""),
            ("10.42.0.1/16", "",              "10.42.0.1/16 is not the address of its network: write 10.42.0.0/16"),
            ("10.0.0.0/15",  "",              "10.0.0.0/15 is larger than 65536 addresses: want a network of /16 or smaller"),
            ("10.0.0.0/31",  "",              "10.0.0.0/31 has no address to hand out: want a network of /30 or larger"),
            ("10.0.0.1/32",  "",              "10.0.0.1/32 has no address to hand out: want a network of /30 or larger"),
            ("10.42.0.0/29", "10.42.0.0/30",  "10.42.0.0/29 overlaps 10.42.0.0/30"),
            ("10.42.0.8/30", "10.42.0.0/16",  "10.42.0.8/30 overlaps 10.42.0.0/16"),
            ("10.42.0.0/16", "10.42.0.0/16",  "10.42.0.0/16 overlaps 10.42.0.0/16"),
        ];
        for (net, other, want) in table {
            let others: Vec<_> = other.parse().into_iter().collect();
            let got = check_subnet(net.parse().unwrap(), &others);
            assert_eq!(got.map_err(|error| error.to_string()).err().unwrap_or_default(), want);
        }
    }

    #[test]
    fn a_network_keeps_its_gateway_and_has_an_end() {
        let mut pool = subnets(&["10.42.0.0/29"]);
        let first: Vec<_> = ["a", "b", "a"].map(|name| allocate(&mut pool, name).unwrap()).into();
        assert_eq!(first, [ip("10.42.0.2"), ip("10.42.0.3"), ip("10.42.0.2")]);
        let last: Vec<_> = ["c", "d", "e"].map(|name| allocate(&mut pool, name).unwrap()).into();
        assert_eq!(last[2], ip("10.42.0.6"));
        let error = allocate(&mut pool, "f").unwrap_err();
        assert_eq!(error.to_string(), "no free address in 10.42.0.0/29");
        assert_eq!(pool.release("b"), Some(ip("10.42.0.3")));
        assert_eq!(allocate(&mut pool, "f").unwrap(), ip("10.42.0.3"));
        for net in ["10.0.0.0/31", "10.0.0.0/32", "255.255.255.255/32"] {
            assert!(allocate(&mut subnets(&[net]), "a").is_err(), "{net}");
        }
    }

    #[test]
    fn this_very_address() {
        let mut pool = AddressPool::range(ip("10.0.0.100"), ip("10.0.0.102"));
        allocate(&mut pool, "a").unwrap();
        #[rustfmt::skip]
        let table = [
            ("b", "10.0.0.99",  Err("10.0.0.99 is not handed out from 10.0.0.100-10.0.0.102")),
            ("b", "10.0.0.100", Err("IP 10.0.0.100 already allocated to a")),
            ("a", "10.0.0.100", Ok(())),
            ("a", "10.0.0.102", Ok(())),
            ("b", "10.0.0.100", Ok(())),
        ];
        for (name, address, want) in table {
            let got = pool.allocate_this(name, ip(address)).map_err(|error| error.to_string());
            assert_eq!(got, want.map_err(str::to_owned), "{name} {address}");
        }
        let taken: Vec<_> = pool.taken().collect();
        assert_eq!(taken, [("a", ip("10.0.0.102")), ("b", ip("10.0.0.100"))]);
    }

    #[test]
    fn ports_are_handed_out_lowest_first() {
        let mut ports = PortPool::new(9000..=9002);
        assert_eq!([ports.take(), ports.take()], [Some(9000), Some(9001)]);
        ports.free(9000);
        assert!(!ports.take_this(9001) && !ports.take_this(8999) && ports.take_this(9002));
        assert_eq!([ports.take(), ports.take()], [Some(9000), None]);
        let mut last = PortPool::new(65535..=65535);
        assert_eq!([last.take(), last.take()], [Some(65535), None]);
    }

    proptest! {
        /// Whatever the networks, and whatever others have.
        #[test]
        fn no_network_hands_out_what_another_one_did(
            nets in proptest::collection::vec((0_u32..32, 26_u8..=32), 1..5),
            others in proptest::collection::btree_set(0_u32..32, 0..8),
            steps in proptest::collection::vec((0_u8..12, any::<bool>()), 0..60),
        ) {
            let base = ip("10.42.0.0").to_bits();
            let nets: Vec<_> = nets
                .into_iter()
                .map(|(host, len)| Ipv4Net::new(Ipv4Addr::from_bits(base + host), len).unwrap())
                .collect();
            let others: Vec<_> =
                others.into_iter().map(|host| Ipv4Addr::from_bits(base + host)).collect();
            let mut pool = AddressPool::subnets(&nets);
            for (who, is_wanted) in steps {
                let name = who.to_string();
                if is_wanted {
                    let _ = pool.allocate(&name, |address| others.contains(&address));
                } else {
                    pool.release(&name);
                }
                let mut held: Vec<_> = pool.taken().map(|(_, address)| address).collect();
                prop_assert!(held.iter().all(|address| !others.contains(address)));
                let count = held.len();
                held.sort();
                held.dedup();
                prop_assert_eq!(held.len(), count);
            }
        }

        #[test]
        fn nobody_shares_an_address(
            steps in proptest::collection::vec((0_u8..12, 0_u8..3), 0..60),
        ) {
            let mut pool = AddressPool::range(ip("10.0.0.1"), ip("10.0.0.6"));
            for (who, what) in steps {
                let name = who.to_string();
                let held: Vec<_> = pool.taken().map(|(_, address)| address).collect();
                if what == 0 {
                    pool.release(&name);
                } else if pool.of(&name).is_none() {
                    let lowest = (1..=6).map(|n| Ipv4Addr::new(10, 0, 0, n));
                    let lowest = lowest.into_iter().find(|address| !held.contains(address));
                    prop_assert_eq!(allocate(&mut pool, &name).ok(), lowest);
                }
                let mut held: Vec<_> = pool.taken().map(|(_, address)| address).collect();
                let count = held.len();
                held.sort();
                held.dedup();
                prop_assert_eq!(held.len(), count);
            }
        }
    }
}
