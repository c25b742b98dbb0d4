//! The catalog as it is at one moment: immutable, cheap to clone, asked by every dialect.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use imbl::{OrdMap, OrdSet, Vector};
use model::{BackendHost, ServiceName, UnixMillis};

use crate::departed::Departed;
use crate::names::{Reversed, is_above};
use crate::{
    CHANGES_MAX, Change, Check, Endpoint, Facts, Given, Health, Identity, NetworkKind, Record,
    Source, State, Topology, What,
};

/// What holds an instance in the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// A connection to the registry, which is there (`true`) or in its grace.
    Connection(bool),
    /// Heartbeats.
    Heartbeat,
    /// Nothing has to be renewed.
    Pinned,
}

/// One instance, by what the source with the highest precedence says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Which.
    pub identity: Identity,
    /// A UUID, for dialects that name entries by one.
    pub id: Box<str>,
    /// Who is believed.
    pub source: Source,
    /// Everybody who speaks about it, the believed one first.
    pub sources: Vec<Source>,
    /// What is said.
    pub facts: Arc<Facts>,
    /// What holds it.
    pub lease: Lease,
    /// What it does.
    pub state: State,
    /// Since when.
    pub state_since: UnixMillis,
    /// When it was said first.
    pub registered_at: UnixMillis,
    /// When it was said last.
    pub updated_at: UnixMillis,
    /// When it was heard of last, or pinged.
    pub last_seen: Option<UnixMillis>,
    /// What the heartbeat port handed out for it, whoever is believed. Whether clients are told of
    /// it is said by [`Service::virtual_address_of`].
    pub given: Option<Given>,
    /// What was found about its endpoints, by their names.
    pub checks: Vec<(Box<str>, Check)>,
    /// Whether its endpoints are checked because nobody else says how they are.
    pub is_checked: bool,
}

/// How much an endpoint can be relied on; the better one is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Somebody says that it is well, or nobody would.
    Good,
    /// It was not checked yet, or cannot be.
    Unknown,
    /// Its registry connection is lost.
    Away,
    /// It is about to leave, and wants nothing new.
    Draining,
    /// It was found ill, or its service does not run.
    Bad,
}

impl Standing {
    /// Its one name, everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Unknown => "unknown",
            Self::Away => "away",
            Self::Draining => "draining",
            Self::Bad => "bad",
        }
    }
}

impl Instance {
    /// What was found about an endpoint, if it was ever checked.
    pub fn check_of(&self, endpoint: &Endpoint) -> Option<&Check> {
        self.checks.iter().find(|(name, _)| *name == endpoint.name).map(|(_, check)| check)
    }

    /// How much one of its endpoints can be relied on.
    pub fn standing_of(&self, endpoint: &Endpoint) -> Standing {
        let health = self.check_of(endpoint).map(|check| check.found.health);
        match self.lease {
            _ if health == Some(Health::Ill) => Standing::Bad,
            _ if self.facts.is_draining => Standing::Draining,
            Lease::Connection(false) => Standing::Away,
            _ if !self.state.takes_requests() => Standing::Bad,
            Lease::Pinned if self.is_checked && health != Some(Health::Well) => Standing::Unknown,
            Lease::Connection(true) | Lease::Heartbeat | Lease::Pinned => Standing::Good,
        }
    }

    /// How much it can be relied on: as much as the best of its endpoints.
    pub fn standing(&self) -> Standing {
        let each = self.facts.endpoints.iter().map(|endpoint| self.standing_of(endpoint));
        each.min().unwrap_or(Standing::Bad)
    }

    /// Whether requests may be sent there.
    pub fn is_active(&self) -> bool {
        self.standing() < Standing::Draining
    }

    /// Whether it is the same but for the times at which it was last heard of and checked.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let checked = |of: &Self| of.checks.len();
        let (last_seen, checks) = (other.last_seen, other.checks.clone());
        let alike = self
            .checks
            .iter()
            .zip(&other.checks)
            .all(|((name, check), (of, other))| name == of && check.says_the_same(other));
        alike
            && checked(self) == checked(other)
            && Self { last_seen, checks, ..self.clone() } == *other
    }
}

/// A service and everything that belongs to it. Has at least one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// In the order of their names.
    pub instances: Vec<Arc<Instance>>,
}

/// An endpoint, and the instance it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Reachable<'a> {
    /// The instance.
    pub instance: &'a Instance,
    /// Its endpoint.
    pub endpoint: &'a Endpoint,
}

impl Service {
    /// The instance that stands for the service where only one can be shown: of those that can be
    /// relied on most, that of the source with the highest precedence.
    pub fn first(&self) -> Option<&Arc<Instance>> {
        self.instances.iter().min_by_key(|instance| (instance.standing(), instance.source))
    }

    /// The instance of the source with the highest precedence: whose word about the service counts.
    pub fn owner(&self) -> Option<&Arc<Instance>> {
        self.instances.iter().min_by_key(|instance| (instance.source, instance.standing()))
    }

    /// The virtual address that the service is known by: that of the instance that stands for it,
    /// if heartbeats hold that (SPEC 12).
    pub fn virtual_address(&self) -> Option<Given> {
        self.virtual_address_of(self.first()?)
    }

    /// The virtual address that stands for one of its instances. None where somebody else speaks
    /// for the instance, or for one that can be relied on more: then all are where they are.
    pub fn virtual_address_of(&self, instance: &Instance) -> Option<Given> {
        let is_held = |held: &Instance| held.source == Source::Heartbeat;
        let is_known_by_it = is_held(instance) && self.first().is_some_and(|first| is_held(first));
        instance.given.filter(|_| is_known_by_it)
    }

    /// The instance of that name.
    pub fn instance(&self, name: &str) -> Option<&Arc<Instance>> {
        let of = |held: &Arc<Instance>| held.identity.instance.as_str().cmp(name);
        self.instances.get(self.instances.binary_search_by(of).ok()?)
    }

    /// The instance of that name, in whatever case it is written, as
    /// [`View::service_in_any_case`] finds services.
    pub fn instance_in_any_case(&self, name: &str) -> Option<&Arc<Instance>> {
        let is_it =
            |held: &&Arc<Instance>| held.identity.instance.as_str().eq_ignore_ascii_case(name);
        self.instances.iter().rfind(is_it)
    }

    /// Every endpoint, those that can be relied on most first, otherwise in the order of instances.
    pub fn endpoints(&self) -> Vec<Reachable<'_>> {
        let each = self.instances.iter().flat_map(|instance| {
            let endpoints = instance.facts.endpoints.iter();
            endpoints.map(move |endpoint| Reachable { instance, endpoint })
        });
        let mut all: Vec<_> = each.collect();
        all.sort_by_key(|found| found.instance.standing_of(found.endpoint));
        all
    }

    /// The same for one who asks from this address: of those that can be relied on alike, the
    /// nearest first. A name that is not resolved counts as far away.
    pub fn endpoints_near(&self, asker: IpAddr, topology: &Topology) -> Vec<Reachable<'_>> {
        let mut all = self.endpoints();
        all.sort_by_cached_key(|found| {
            let distance = match &found.endpoint.host {
                BackendHost::Ip(ip) => topology.distance(asker, *ip),
                BackendHost::Name(_) => u8::MAX - 1,
            };
            (found.instance.standing_of(found.endpoint), distance)
        });
        all
    }
}

/// The catalog at one moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    services: OrdMap<ServiceName, Arc<Service>>,
    /// By their names in any case, for those who do not distinguish.
    labels: OrdMap<Reversed, OrdSet<ServiceName>>,
    addresses: OrdMap<IpAddr, OrdSet<Identity>>,
    /// Those of them that were handed out.
    virtual_addresses: OrdSet<Ipv4Addr>,
    departed: Departed,
    changes: Vector<Arc<Change>>,
    seq: u64,
    version: u64,
    topology: Arc<Topology>,
    allocations: OrdMap<Box<str>, Ipv4Addr>,
}

impl View {
    /// Every service, by name.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// How many services there are.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// The service of exactly that name.
    pub fn service(&self, name: &str) -> Option<&Arc<Service>> {
        let name = ServiceName::parse(name).ok()?;
        self.services.get(&name)
    }

    /// The service of that name, in whatever case it is written: with ASCII letters in either
    /// case. Of several the same one is found by every spelling, for resolvers change it as they
    /// like: the one in lower case, or that comes last in the order of bytes.
    pub fn service_in_any_case(&self, name: &str) -> Option<&Arc<Service>> {
        let named = self.labels.get(&Reversed::of(name))?;
        self.services.get(named.get_max()?)
    }

    /// The instance of that identity.
    pub fn instance(&self, identity: &Identity) -> Option<&Arc<Instance>> {
        self.services.get(&identity.service)?.instance(identity.instance.as_str())
    }

    /// Whether there was a service of that name, in whatever case, which left, in this life or an
    /// earlier one. Of the last ten thousand.
    pub fn has_departed(&self, name: &str) -> bool {
        self.departed.contains(name)
    }

    /// Whether the name of a service, be it there or one that left, ends with a dot and this, in
    /// whatever case: in a tree of names there is something below it.
    pub fn is_above_a_name(&self, name: &str) -> bool {
        let name = Reversed::of(name);
        is_above(&self.labels, &name) || self.departed.is_above(&name)
    }

    /// Who is at an address, real or virtual.
    pub fn at(&self, address: IpAddr) -> impl Iterator<Item = &Identity> {
        self.addresses.get(&address.to_canonical()).into_iter().flat_map(OrdSet::iter)
    }

    /// The networks of this machine.
    pub fn topology(&self) -> &Arc<Topology> {
        &self.topology
    }

    /// How an endpoint is reached; `None` for a name, and for what is only reached by a router.
    pub fn kind_of(&self, endpoint: &Endpoint) -> Option<NetworkKind> {
        match &endpoint.host {
            BackendHost::Ip(ip) => self.topology.kind_of(*ip),
            BackendHost::Name(_) => None,
        }
    }

    /// Addresses of configured subnets, by service.
    pub fn allocations(&self) -> impl Iterator<Item = (&str, Ipv4Addr)> {
        self.allocations.iter().map(|(service, address)| (&**service, *address))
    }

    /// The number of the last change; 0 before the first.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Moves with everything that is shown in another way, what has no number included: when an
    /// instance was last heard of, for one.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Whether an address is one that was handed out: what connects there may come back to us.
    pub fn is_virtual(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => self.virtual_addresses.contains(&address),
            IpAddr::V6(_) => false,
        }
    }

    /// The changes after this one, oldest first; `None` if some of them are forgotten, or it has
    /// not happened yet: whoever asks has to begin anew.
    pub fn changes_after(&self, seq: u64) -> Option<impl Iterator<Item = &Arc<Change>>> {
        let missed = usize::try_from(self.seq.checked_sub(seq)?).ok()?;
        let skip = self.changes.len().checked_sub(missed)?;
        Some(self.changes.iter().skip(skip))
    }

    pub(crate) fn note(&mut self, at: UnixMillis, what: What) {
        self.seq += 1;
        self.version += 1;
        self.changes.push_back(Arc::new(Change { seq: self.seq, at, what }));
        if self.changes.len() > CHANGES_MAX {
            self.changes.pop_front();
        }
    }

    pub(crate) fn set_topology(&mut self, topology: Arc<Topology>) {
        self.topology = topology;
        self.version += 1;
    }

    pub(crate) fn set_allocation(&mut self, service: &str, address: Option<Ipv4Addr>) {
        self.version += 1;
        match address {
            Some(address) => drop(self.allocations.insert(service.into(), address)),
            None => drop(self.allocations.remove(service)),
        }
    }

    /// Takes names that were known in an earlier life.
    pub(crate) fn set_names(&mut self, names: Vec<(Box<str>, u64)>, records: &mut Vec<Record>) {
        self.departed.restore(names, records);
        self.version += 1;
    }

    /// Puts an instance in its place, or takes it out; gives what was there, and adds what has to
    /// be remembered of names.
    pub(crate) fn set_instance(
        &mut self,
        identity: &Identity,
        instance: Option<Arc<Instance>>,
        records: &mut Vec<Record>,
    ) -> Option<Arc<Instance>> {
        let before = self.instance(identity).cloned();
        let at = |of: &Arc<Instance>| (Arc::as_ptr(&of.facts), of.given);
        // Most changes are of times and health, and move nobody.
        if before.as_ref().map(at) != instance.as_ref().map(at) {
            if let Some(before) = &before {
                self.index(before, false);
            }
            if let Some(instance) = &instance {
                self.index(instance, true);
            }
        }
        let held = self.services.get(&identity.service);
        let mut instances = held.map_or_else(Vec::new, |held| held.instances.clone());
        let at = instances.binary_search_by(|held| held.identity.cmp(identity));
        match (at, instance) {
            (Ok(at), Some(instance)) => {
                if let Some(held) = instances.get_mut(at) {
                    *held = instance;
                }
            }
            (Ok(at), None) => drop(instances.remove(at)),
            (Err(at), Some(instance)) => instances.insert(at, instance),
            (Err(_), None) => return before,
        }
        let name = identity.service.clone();
        self.version += 1;
        if instances.is_empty() {
            self.depart(&name, records);
        } else {
            self.arrive(&name, records);
            self.services.insert(name.clone(), Arc::new(Service { name, instances }));
        }
        before
    }

    fn arrive(&mut self, name: &ServiceName, records: &mut Vec<Record>) {
        let label = Reversed::of(name.as_str());
        let mut named = self.labels.get(&label).cloned().unwrap_or_default();
        if named.is_empty() {
            self.departed.arrive(&name.as_str().to_ascii_lowercase(), records);
        }
        named.insert(name.clone());
        self.labels.insert(label, named);
    }

    fn depart(&mut self, name: &ServiceName, records: &mut Vec<Record>) {
        self.services.remove(name);
        let label = Reversed::of(name.as_str());
        let mut named = self.labels.get(&label).cloned().unwrap_or_default();
        named.remove(name);
        if !named.is_empty() {
            self.labels.insert(label, named);
            return;
        }
        self.labels.remove(&label);
        self.departed.depart(&name.as_str().to_ascii_lowercase(), records);
    }

    fn index(&mut self, instance: &Instance, is_there: bool) {
        let real = instance.facts.endpoints.iter().filter_map(|endpoint| match &endpoint.host {
            BackendHost::Ip(ip) => Some(ip.to_canonical()),
            BackendHost::Name(_) => None,
        });
        let virtual_one = instance.given.map(|given| given.address);
        if let Some(address) = virtual_one {
            if is_there {
                self.virtual_addresses.insert(address);
            } else {
                self.virtual_addresses.remove(&address);
            }
        }
        for address in real.chain(virtual_one.map(IpAddr::V4)) {
            let mut there = self.addresses.get(&address).cloned().unwrap_or_default();
            if is_there {
                there.insert(instance.identity.clone());
            } else {
                there.remove(&instance.identity);
            }
            if there.is_empty() {
                self.addresses.remove(&address);
            } else {
                self.addresses.insert(address, there);
            }
        }
    }
}
