//! The machine: what sources say goes in, a [`View`] and [`Record`]s come out.
//!
//! Cloning costs next to nothing. A shell changes a clone, writes the records of the change to the
//! disk, and only then lets the clone take the original's place: a change that cannot be saved
//! never happened.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use imbl::{OrdMap, OrdSet};
use ipnet::Ipv4Net;
use model::{BackendHost, Instant, Now, ServiceName};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use crate::seat::{Claim, Seat};
use crate::{
    AddressPool, Check, Endpoint, Expired, Facts, FactsError, Finding, Given, Health, Identity,
    Image, Instance, Lease, Place, PoolError, PortPool, Protocol, Record, Source, State,
    StoredEntry, Topology, TransitionError, View, What, id,
};

/// What nobody waits for, when an instance was heard of last for one, is shown at most this much
/// later: with every heartbeat and every check there would be nothing that can be kept.
const TIMES_SHOWN_AFTER: Duration = Duration::from_secs(10);

/// How long things last, and how many there may be.
#[derive(Clone, Debug)]
pub struct Config {
    /// What all sources together may say, sessions excepted, which have their own bounds.
    pub entries_max: usize,
    /// How long a name lives without a heartbeat.
    pub heartbeat_max_age: Duration,
    /// The virtual addresses of names on the heartbeat port, first and last.
    pub addresses: (Ipv4Addr, Ipv4Addr),
    /// The ports of names on the heartbeat port.
    pub ports: RangeInclusive<u16>,
    /// Networks that addresses are allocated in, the first that has one.
    pub subnets: Vec<Ipv4Net>,
    /// Whether somebody checks the endpoints that nobody speaks for. Until that is done nothing is
    /// known of them; otherwise they are taken to be well.
    pub checks: bool,
}

impl Default for Config {
    /// What seed 003 has, no networks, and nobody who checks.
    fn default() -> Self {
        Self {
            entries_max: 50_000,
            heartbeat_max_age: Duration::from_secs(60),
            addresses: (Ipv4Addr::new(10, 0, 0, 100), Ipv4Addr::new(10, 0, 0, 254)),
            ports: 9000..=9999,
            subnets: Vec::new(),
            checks: false,
        }
    }
}

/// Why a change is refused. Reads as a reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What was said is not allowed.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// The catalog is full.
    #[error("the catalog is full ({0} entries)")]
    Full(usize),
    /// Nobody of that name.
    #[error("{0} is not in the catalog")]
    Unknown(Identity),
    /// A source with a higher precedence speaks about it, and it alone may change that.
    #[error("{0} belongs to a live {1}: change it there")]
    Live(Identity, &'static str),
    /// Somebody else has the name.
    #[error("{0} is registered from another address until its heartbeats end")]
    Foreign(Identity),
    /// No address, or not this one.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// No port.
    #[error("no free port")]
    Ports,
    /// No networks are configured.
    #[error("no subnets are configured to allocate addresses in")]
    NoSubnets,
    /// A step that is not allowed.
    #[error(transparent)]
    Transition(#[from] TransitionError),
}

/// Who exists.
#[derive(Clone, Debug)]
pub struct Catalog {
    config: Arc<Config>,
    random: ChaCha20Rng,
    seats: OrdMap<Identity, Arc<Seat>>,
    /// What all sources but sessions say.
    entries: usize,
    deadlines: OrdSet<(Instant, Identity)>,
    addresses: AddressPool,
    ports: PortPool,
    subnets: AddressPool,
    view: View,
    /// Whose times are not shown as they are.
    stale: OrdSet<Identity>,
    /// When they will be.
    times_due: Option<Instant>,
    records: Vec<Record>,
}

impl Catalog {
    /// A catalog of nobody. The seed is for ids, which are names and no secrets.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let (first, last) = config.addresses;
        Self {
            random: ChaCha20Rng::from_seed(seed),
            seats: OrdMap::new(),
            entries: 0,
            deadlines: OrdSet::new(),
            addresses: AddressPool::range(first, last),
            ports: PortPool::new(config.ports.clone()),
            subnets: AddressPool::subnets(&config.subnets),
            view: View::default(),
            stale: OrdSet::new(),
            times_due: None,
            records: Vec::new(),
            config: Arc::new(config),
        }
    }

    /// Takes what was remembered. Heartbeats have their whole time from now on: the silence was
    /// ours. What no longer fits the configuration, an address outside of its network for one, is
    /// left out and forgotten.
    pub fn restore(&mut self, image: Image, now: Now) {
        self.view.set_names(image.names, &mut self.records);
        for entry in image.entries {
            let fits = entry.source.is_stored() && entry.facts.check().is_ok();
            if !fits || entry.given.is_some_and(|given| !self.reserve(&entry.identity, given)) {
                self.records.push(Record::Remove(entry.identity, entry.source));
                continue;
            }
            let is_heartbeat = entry.source == Source::Heartbeat;
            let claim = Claim {
                id: entry.id,
                facts: entry.facts,
                lease: if is_heartbeat { Lease::Heartbeat } else { Lease::Pinned },
                state: entry.state,
                state_since: entry.state_since,
                registered_at: entry.registered_at,
                updated_at: entry.updated_at,
                last_seen: entry.last_seen,
                given: entry.given,
                expires: is_heartbeat.then(|| now.mono.after(self.config.heartbeat_max_age)),
            };
            self.claim(&entry.identity, entry.source, claim, now);
        }
        for (service, address) in image.allocations {
            let fits = !self.addresses.is_taken(address)
                && self.subnets.of(&service).is_none()
                && self.subnets.allocate_this(&service, address).is_ok();
            if fits {
                self.view.set_allocation(&service, Some(address));
            } else {
                self.records.push(Record::RemoveAllocation(service));
            }
        }
    }

    /// What is known now.
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// What has to be remembered of the changes since this was asked last.
    pub fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    /// When [`Catalog::expire`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let ends = self.deadlines.get_min().map(|(at, _)| *at);
        ends.into_iter().chain(self.times_due).min()
    }

    /// Takes out whose heartbeats ended, and shows who was heard of. Gives those it took out.
    pub fn expire(&mut self, now: Now) -> Vec<Expired> {
        let mut expired = Vec::new();
        while let Some((at, identity)) = self.deadlines.get_min().cloned()
            && at <= now.mono
        {
            if let Some(Claim { given, last_seen, .. }) =
                self.claim_of(&identity, Source::Heartbeat)
            {
                let (given, last_seen) = (*given, *last_seen);
                expired.push(Expired { identity: identity.clone(), given, last_seen });
            }
            self.drop_claim(&identity, Source::Heartbeat, now);
        }
        if self.times_due.is_some_and(|due| due <= now.mono) {
            self.times_due = None;
            for identity in std::mem::take(&mut self.stale) {
                self.show_times(&identity);
            }
        }
        expired
    }

    /// What a source says about an identity, in place of what it said before. Not for sessions
    /// and heartbeats.
    ///
    /// # Errors
    ///
    /// [`Refusal::Facts`], [`Refusal::Full`].
    pub fn put(
        &mut self,
        identity: &Identity,
        source: Source,
        facts: Facts,
        now: Now,
    ) -> Result<(), Refusal> {
        facts.check()?;
        let held = self.claim_of(identity, source).cloned();
        if held.is_none() && self.entries >= self.config.entries_max {
            return Err(Refusal::Full(self.config.entries_max));
        }
        let facts = Arc::new(facts);
        let claim = match held {
            Some(held) => Claim { facts, updated_at: now.wall, ..held },
            None => Claim {
                id: self.new_id(identity, source),
                facts,
                lease: Lease::Pinned,
                state: State::Registered,
                state_since: now.wall,
                registered_at: now.wall,
                updated_at: now.wall,
                last_seen: None,
                given: None,
                expires: None,
            },
        };
        self.remember(identity, source, &claim);
        self.claim(identity, source, claim, now);
        Ok(())
    }

    /// Makes these, and only these, what a source says; what it says about others is taken back.
    /// Of two about one identity the first counts. Gives how many changed.
    ///
    /// # Errors
    ///
    /// As [`Catalog::put`]; nothing has changed then.
    pub fn put_all(
        &mut self,
        source: Source,
        entries: Vec<(Identity, Facts)>,
        now: Now,
    ) -> Result<usize, Refusal> {
        let mut next = self.clone();
        let changed = next.replace_all(source, entries, now)?;
        *self = next;
        Ok(changed)
    }

    fn replace_all(
        &mut self,
        source: Source,
        entries: Vec<(Identity, Facts)>,
        now: Now,
    ) -> Result<usize, Refusal> {
        let speaks = |(identity, seat): (&Identity, &Arc<Seat>)| {
            seat.claims.contains_key(&source).then(|| identity.clone())
        };
        let mut silent: OrdSet<Identity> = self.seats.iter().filter_map(speaks).collect();
        entries.iter().for_each(|(identity, _)| drop(silent.remove(identity)));
        // Who leaves makes room for who comes.
        for identity in &silent {
            self.drop_claim(identity, source, now);
        }
        let mut said = OrdSet::new();
        let mut changed = silent.len();
        for (identity, facts) in entries {
            let same = self.claim_of(&identity, source).is_some_and(|claim| *claim.facts == facts);
            if said.insert(identity.clone()).is_none() && !same {
                self.put(&identity, source, facts, now)?;
                changed += 1;
            }
        }
        Ok(changed)
    }

    /// A source says nothing about an identity any more. Gives whether it did.
    pub fn remove(&mut self, identity: &Identity, source: Source, now: Now) -> bool {
        self.drop_claim(identity, source, now)
    }

    /// What a session says about its instance, and whether its connection is there. `None` when
    /// no session of the identity is left.
    pub fn put_session(&mut self, identity: &Identity, said: Option<(Facts, bool)>, now: Now) {
        let Some((mut facts, is_connected)) = said else {
            self.drop_claim(identity, Source::Session, now);
            return;
        };
        facts.endpoints.truncate(crate::ENDPOINTS_MAX);
        let held = self.claim_of(identity, Source::Session).cloned();
        let claim = Claim {
            id: id::named(Source::Session, identity),
            state_since: held.as_ref().map_or(now.wall, |held| held.state_since),
            updated_at: match &held {
                Some(held) if *held.facts == facts => held.updated_at,
                Some(_) | None => now.wall,
            },
            registered_at: held.as_ref().map_or(now.wall, |held| held.registered_at),
            last_seen: if is_connected { Some(now.wall) } else { held.and_then(|h| h.last_seen) },
            facts: Arc::new(facts),
            lease: Lease::Connection(is_connected),
            // One whose connection is lost is not known to be down: its routes go on.
            state: State::Running,
            given: None,
            expires: None,
        };
        self.claim(identity, Source::Session, claim, now);
    }

    /// A name on the heartbeat port: its virtual address and port. The same peer gets what it had.
    ///
    /// # Errors
    ///
    /// [`Refusal::Foreign`], [`Refusal::Full`], [`Refusal::Pool`], [`Refusal::Ports`].
    pub fn register_heartbeat(
        &mut self,
        identity: &Identity,
        peer: IpAddr,
        now: Now,
    ) -> Result<Given, Refusal> {
        let peer = peer.to_canonical();
        let held = self.claim_of(identity, Source::Heartbeat).cloned();
        let given = match held.as_ref().and_then(|held| held.given) {
            Some(given) if given.peer == peer => given,
            Some(_) => return Err(Refusal::Foreign(identity.clone())),
            None if self.entries >= self.config.entries_max => {
                return Err(Refusal::Full(self.config.entries_max));
            }
            None => {
                let subnets = &self.subnets;
                let elsewhere = |address| subnets.is_taken(address);
                let address = self.addresses.allocate(&identity.to_string(), elsewhere)?;
                let Some(port) = self.ports.take() else {
                    self.addresses.release(&identity.to_string());
                    return Err(Refusal::Ports);
                };
                Given { peer, address, port }
            }
        };
        let host = BackendHost::Ip(peer);
        let name = identity.service.as_str();
        let endpoints = vec![Endpoint::new(name, host, given.port, Protocol::Tcp)];
        let claim = Claim {
            id: match &held {
                Some(held) => held.id.clone(),
                None => self.new_id(identity, Source::Heartbeat),
            },
            facts: Arc::new(Facts { endpoints, ..Facts::default() }),
            lease: Lease::Heartbeat,
            state: State::Running,
            state_since: held.as_ref().map_or(now.wall, |held| held.state_since),
            registered_at: held.as_ref().map_or(now.wall, |held| held.registered_at),
            updated_at: now.wall,
            last_seen: Some(now.wall),
            given: Some(given),
            expires: Some(now.mono.after(self.config.heartbeat_max_age)),
        };
        self.remember(identity, Source::Heartbeat, &claim);
        self.claim(identity, Source::Heartbeat, claim, now);
        Ok(given)
    }

    /// A heartbeat came. Gives whether the name is registered. Not remembered: a restart of ours
    /// gives every name its whole time again.
    pub fn beat(&mut self, identity: &Identity, now: Now) -> bool {
        let Some(claim) = self.claim_of(identity, Source::Heartbeat).cloned() else { return false };
        let expires = Some(now.mono.after(self.config.heartbeat_max_age));
        let claim = Claim { last_seen: Some(now.wall), expires, ..claim };
        self.claim(identity, Source::Heartbeat, claim, now);
        true
    }

    /// Somebody has seen the instance; the source that is believed remembers it.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unknown`].
    pub fn touch(&mut self, identity: &Identity, now: Now) -> Result<(), Refusal> {
        let (source, claim) = self.believed(identity)?;
        let claim = Claim { last_seen: Some(now.wall), ..claim };
        self.remember(identity, source, &claim);
        self.claim(identity, source, claim, now);
        // Whoever asked for it looks at once.
        if self.stale.remove(identity).is_some() {
            self.show_times(identity);
        }
        Ok(())
    }

    /// The next step of what an instance does; gives what it did before.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unknown`]; [`Refusal::Live`] if a session or heartbeats say what it does;
    /// [`Refusal::Transition`].
    pub fn set_state(
        &mut self,
        identity: &Identity,
        to: State,
        now: Now,
    ) -> Result<State, Refusal> {
        let (source, claim) = self.believed(identity)?;
        if claim.lease != Lease::Pinned {
            return Err(Refusal::Live(identity.clone(), source.as_str()));
        }
        let from = claim.state;
        if !from.leads_to(to) {
            return Err(TransitionError { from, to }.into());
        }
        let claim = Claim { state: to, state_since: now.wall, ..claim };
        self.remember(identity, source, &claim);
        self.claim(identity, source, claim, now);
        Ok(from)
    }

    /// Tells those who follow changes to look at an instance again, though nothing about it changed.
    /// Of one that is gone: nothing.
    pub fn remind(&mut self, identity: &Identity, now: Now) {
        if self.view.instance(identity).is_some() {
            let (service, instance) = (identity.service.clone(), identity.instance.clone());
            self.view.note(now.wall, What::Updated(service, instance));
        }
    }

    /// What was found about the endpoint of that name. Of an instance that is gone meanwhile:
    /// nothing.
    pub fn check(&mut self, identity: &Identity, endpoint: &str, found: Finding, now: Now) {
        let Some(seat) = self.seats.get(identity) else { return };
        let Some(place) = seat.named(endpoint).next().map(Endpoint::place) else { return };
        self.found(identity, endpoint, place, found, now);
    }

    /// What was found about a place, for every endpoint of a service that is there and that nobody
    /// else speaks for.
    pub fn check_place(&mut self, service: &ServiceName, place: &Place, found: &Finding, now: Now) {
        let Some(service) = self.view.service(service.as_str()).cloned() else { return };
        for instance in service.instances.iter().filter(|instance| instance.is_checked) {
            for endpoint in instance.facts.endpoints.iter().filter(|held| held.is_at(place)) {
                self.found(&instance.identity, &endpoint.name, place.clone(), found.clone(), now);
            }
        }
    }

    fn found(&mut self, identity: &Identity, name: &str, place: Place, found: Finding, now: Now) {
        let Some(seat) = self.seats.get(identity) else { return };
        let mut seat = Seat::clone(seat);
        let (health, reason) = (found.health, found.reason.clone());
        let shown = |view: &View| {
            let instance = view.instance(identity)?;
            let (_, check) = instance.checks.iter().find(|(held, _)| **held == *name)?;
            Some(check.found.health)
        };
        let was = shown(&self.view).unwrap_or(Health::Unknown);
        seat.checks.insert(name.into(), (place, Check { found, at: now.wall }));
        self.seats.insert(identity.clone(), Arc::new(seat));
        self.show(identity, now);
        // What a source that is not believed says of its endpoints is kept, and told to nobody.
        if shown(&self.view) == Some(health) && was != health {
            let (service, instance) = (identity.service.clone(), identity.instance.clone());
            let endpoint = name.into();
            self.view.note(now.wall, What::Health { service, instance, endpoint, health, reason });
        }
    }

    /// An address in one of the configured networks; the same service gets the same one again.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoSubnets`]; [`Refusal::Pool`] if all are full.
    pub fn allocate(&mut self, service: &str) -> Result<Ipv4Addr, Refusal> {
        if self.config.subnets.is_empty() {
            return Err(Refusal::NoSubnets);
        }
        if let Some(address) = self.subnets.of(service) {
            return Ok(address);
        }
        // The networks may hold virtual addresses.
        let virtual_ones = &self.addresses;
        let address = self.subnets.allocate(service, |address| virtual_ones.is_taken(address))?;
        self.view.set_allocation(service, Some(address));
        self.records.push(Record::PutAllocation(service.into(), address));
        Ok(address)
    }

    /// Frees the address of a service, and says which it was.
    pub fn release(&mut self, service: &str) -> Option<Ipv4Addr> {
        let address = self.subnets.release(service)?;
        self.view.set_allocation(service, None);
        self.records.push(Record::RemoveAllocation(service.into()));
        Some(address)
    }

    /// The networks of this machine, as the system has them now. Gives whether that is news.
    pub fn set_topology(&mut self, topology: Topology, now: Now) -> bool {
        if **self.view.topology() == topology {
            return false;
        }
        self.view.set_topology(Arc::new(topology.clone()));
        self.view.note(now.wall, What::Topology(topology));
        true
    }

    fn claim_of(&self, identity: &Identity, source: Source) -> Option<&Claim> {
        self.seats.get(identity)?.claims.get(&source)
    }

    fn believed(&self, identity: &Identity) -> Result<(Source, Claim), Refusal> {
        let first = self.seats.get(identity).and_then(|seat| seat.claims.get_min());
        first.cloned().ok_or_else(|| Refusal::Unknown(identity.clone()))
    }

    fn remember(&mut self, identity: &Identity, source: Source, claim: &Claim) {
        if source.is_stored() {
            self.records.push(Record::Put(StoredEntry {
                identity: identity.clone(),
                source,
                id: claim.id.clone(),
                facts: Arc::clone(&claim.facts),
                state: claim.state,
                state_since: claim.state_since,
                registered_at: claim.registered_at,
                updated_at: claim.updated_at,
                last_seen: claim.last_seen,
                given: claim.given,
            }));
        }
    }

    /// Takes what was handed out in a life before this one; `false` if that cannot be.
    fn reserve(&mut self, identity: &Identity, given: Given) -> bool {
        let name = identity.to_string();
        if self.addresses.allocate_this(&name, given.address).is_err() {
            return false;
        }
        let is_free = self.ports.take_this(given.port);
        if !is_free {
            self.addresses.release(&name);
        }
        is_free
    }

    fn claim(&mut self, identity: &Identity, source: Source, claim: Claim, now: Now) {
        let held = self.seats.get(identity);
        let mut seat = held.map_or_else(Seat::default, |seat| Seat::clone(seat));
        if let Some(expires) = claim.expires {
            self.deadlines.insert((expires, identity.clone()));
        }
        let expires = claim.expires;
        match seat.claims.insert(source, claim) {
            Some(Claim { expires: Some(before), .. }) if Some(before) != expires => {
                drop(self.deadlines.remove(&(before, identity.clone())));
            }
            Some(_) => {}
            None => self.entries += usize::from(source != Source::Session),
        }
        seat.forget_checks();
        self.seats.insert(identity.clone(), Arc::new(seat));
        self.show(identity, now);
    }

    fn drop_claim(&mut self, identity: &Identity, source: Source, now: Now) -> bool {
        let Some(seat) = self.seats.get(identity) else { return false };
        let mut seat = Seat::clone(seat);
        let Some(claim) = seat.claims.remove(&source) else { return false };
        self.entries -= usize::from(source != Source::Session);
        if let Some(expires) = claim.expires {
            self.deadlines.remove(&(expires, identity.clone()));
        }
        if let Some(given) = claim.given {
            self.addresses.release(&identity.to_string());
            self.ports.free(given.port);
        }
        if source.is_stored() {
            self.records.push(Record::Remove(identity.clone(), source));
        }
        if seat.claims.is_empty() {
            self.seats.remove(identity);
        } else {
            seat.forget_checks();
            self.seats.insert(identity.clone(), Arc::new(seat));
        }
        self.show(identity, now);
        true
    }

    /// Shows an identity as its sources have it now, and notes what is new about it.
    fn show(&mut self, identity: &Identity, now: Now) {
        let shown = self.shown(identity);
        let before = self.view.instance(identity);
        if let (Some(before), Some(shown)) = (before, &shown)
            && before.says_the_same(shown)
        {
            if before != shown {
                self.stale.insert(identity.clone());
                self.times_due.get_or_insert(now.mono.after(TIMES_SHOWN_AFTER));
            }
            return;
        }
        self.stale.remove(identity);
        let was_known = self.view.service(identity.service.as_str()).is_some();
        let before = self.view.set_instance(identity, shown.clone(), &mut self.records);
        let is_known = self.view.service(identity.service.as_str()).is_some();

        let (service, instance) = (identity.service.clone(), identity.instance.clone());
        let named = |what: fn(_, _) -> What| what(service.clone(), instance.clone());
        let mut happened = Vec::new();
        match (&before, &shown) {
            (None, Some(_)) if was_known => happened.push(named(What::Updated)),
            (None, Some(_)) => happened.push(named(What::Registered)),
            (Some(_), None) if is_known => happened.push(named(What::Updated)),
            (Some(_), None) => happened.push(named(What::Deregistered)),
            (Some(before), Some(shown)) => {
                let said = |of: &Instance| (Arc::clone(&of.facts), of.source, of.given, of.lease);
                if said(before) != said(shown) {
                    happened.push(named(What::Updated));
                }
                if before.facts.endpoints != shown.facts.endpoints {
                    happened.push(named(What::Endpoints));
                }
                if before.state != shown.state {
                    let (from, to) = (before.state, shown.state);
                    happened.push(What::State { service, instance, from, to });
                }
            }
            (None, None) => {}
        }
        happened.into_iter().for_each(|what| self.view.note(now.wall, what));
    }

    /// Shows when an identity was heard of last, which is news to nobody.
    fn show_times(&mut self, identity: &Identity) {
        let shown = self.shown(identity);
        self.view.set_instance(identity, shown, &mut self.records);
    }

    fn shown(&self, identity: &Identity) -> Option<Arc<Instance>> {
        let seat = self.seats.get(identity)?;
        seat.shown(identity, self.config.checks).map(Arc::new)
    }

    /// The id of an entry that is new. One that nobody remembers has the same in every life.
    fn new_id(&mut self, identity: &Identity, source: Source) -> Box<str> {
        if !source.is_stored() {
            return id::named(source, identity);
        }
        let mut bytes = [0; 16];
        self.random.fill_bytes(&mut bytes);
        id::random(bytes)
    }
}

#[cfg(test)]
mod tests;
