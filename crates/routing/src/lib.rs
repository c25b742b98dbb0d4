//! An immutable routing table, and the decision for one request.

use std::sync::Arc;
use std::time::Duration;

use model::{
    BackendUrl, ExplainReport, Generation, HostPattern, InstanceName, Instant, MatchKind,
    NormalPath, RouteConfig, RouteId, RouteSpec, ServiceName,
};

/// An endpoint: one (service, instance, backend URL), whatever routes lead to it. Given out by
/// the table, never used again; learned state is kept under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u64);

/// What a route is owned by: one service per key (SPEC 2.5).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    /// The host.
    pub domain: HostPattern,
    /// The path as it is compared.
    pub path: Box<str>,
    /// How.
    pub kind: MatchKind,
    /// The priority.
    pub priority: i32,
}

/// One live route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub route: RouteId,
    /// Whose it is.
    pub service: ServiceName,
    /// Which instance it leads to.
    pub instance: InstanceName,
    /// What it is.
    pub spec: RouteSpec,
    /// What holds for it.
    pub config: Arc<RouteConfig>,
    /// The generation in which it first appeared.
    pub since: Generation,
}

/// One change of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// A route is new, or replaces the one of the same id.
    Put(Entry),
    /// A route is gone, on purpose: its requests are 404.
    Remove(RouteId),
    /// A route is gone because its service is: its requests are 503 until the key is forgotten.
    Bury(RouteId),
    /// A key without routes is forgotten.
    Forget(RouteKey),
}

/// A key is owned by another service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The route that was refused.
    pub route: RouteId,
    /// The key.
    pub key: RouteKey,
    /// Whose it is.
    pub owner: ServiceName,
}

/// An immutable routing table. Cloning and changing it costs what changes, not what it holds.
#[derive(Clone, Debug, Default)]
pub struct Table {}

/// The result of [`Table::with`].
#[derive(Clone, Debug)]
pub struct Changed {
    /// The next table.
    pub table: Table,
    /// Keys that lost their last route by [`Edit::Bury`]: to be forgotten in time.
    pub buried: Vec<RouteKey>,
}

/// The endpoints of one key.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The key.
    pub key: RouteKey,
    /// Whose it is.
    pub service: ServiceName,
    /// Empty for a tombstone.
    pub members: Vec<Member>,
    /// The configuration of the newest apply: pool settings come from it.
    pub config: Arc<RouteConfig>,
}

/// One route of a pool, and where it leads.
#[derive(Clone, Debug)]
pub struct Member {
    /// The route.
    pub route: RouteId,
    /// The endpoint's identity.
    pub endpoint: EndpointId,
    /// The instance behind it.
    pub instance: InstanceName,
    /// Where it is.
    pub backend: BackendUrl,
    /// What holds for requests sent to it.
    pub config: Arc<RouteConfig>,
}

/// What is known about endpoints right now.
pub trait Live {
    /// One endpoint, as it is at `now`.
    fn endpoint(&self, endpoint: EndpointId, now: Instant) -> EndpointView;
}

/// An endpoint right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointView {
    /// Whether it may be sent anything.
    pub health: EndpointHealth,
    /// Requests it is working on.
    pub in_flight: u32,
    /// Its latency, a peak-sensitive moving average, in microseconds; 0 is unknown.
    pub latency_micros: u32,
    /// The share of its weight it gets now, in percent: drains and ramps.
    pub share_percent: u32,
}

/// Whether an endpoint may be sent anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointHealth {
    /// Yes.
    Up,
    /// Its registry connection is lost: only while no connected endpoint is usable.
    Away,
    /// A connect failed a moment ago: only when every endpoint is bad.
    Ejected,
    /// Refused a connection while its registry connection is lost: not at all (SPEC 4).
    Gone,
}

/// What routing knows of a request.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The host, normalised; `None` for HTTP/1.0 without one.
    pub host: Option<&'a str>,
    /// The path as it was sent, without query.
    pub raw_path: &'a str,
    /// The path, normalised.
    pub path: &'a NormalPath<'a>,
}

/// What to do with a request.
#[derive(Clone, Copy, Debug)]
pub enum Decision<'t> {
    /// Nothing known: 404.
    NoRoute,
    /// No usable endpoint: 503.
    Unavailable {
        /// The pool that would have answered.
        pool: &'t Arc<Pool>,
        /// When to come back.
        retry_after: Duration,
    },
    /// Send it there.
    Send {
        /// The pool that answers.
        pool: &'t Arc<Pool>,
        /// The index of the member picked.
        member: usize,
    },
}

/// Decides where one request goes. `draw` is a random number; `tried` are the endpoints that
/// failed this request already.
pub fn decide<'t>(
    _table: &'t Table,
    _live: &impl Live,
    _head: Head<'_>,
    _now: Instant,
    _draw: u64,
    _tried: &[EndpointId],
) -> Decision<'t> {
    todo!()
}

/// Says how [`decide`] comes to its decision.
pub fn explain(_table: &Table, _live: &impl Live, _head: Head<'_>, _now: Instant) -> ExplainReport {
    todo!()
}

impl Table {
    /// The generation this table was published as.
    pub fn generation(&self) -> Generation {
        todo!()
    }

    /// How many live routes it holds.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A live route.
    pub fn get(&self, _route: RouteId) -> Option<&Arc<Entry>> {
        todo!()
    }

    /// The pool of a key, also when it is a tombstone.
    pub fn pool(&self, _key: &RouteKey) -> Option<&Arc<Pool>> {
        todo!()
    }

    /// The endpoints of a live route (one for all its domains).
    pub fn endpoint_of(&self, _route: RouteId) -> Option<EndpointId> {
        todo!()
    }

    /// Whether any live route leads to an endpoint.
    pub fn has_endpoint(&self, _endpoint: EndpointId) -> bool {
        todo!()
    }

    /// The next table, edits carried out in order; all or nothing.
    ///
    /// # Errors
    ///
    /// [`Conflict`]s, one for each route that claims another service's key; at most 100.
    pub fn with(
        &self,
        _edits: Vec<Edit>,
        _generation: Generation,
    ) -> Result<Changed, Vec<Conflict>> {
        todo!()
    }

    /// For DIFF's warnings: other services' routes on the same host and path that a route with
    /// this key would shadow or be shadowed by (the same host, path and kind, another priority).
    pub fn shadows(&self, _key: &RouteKey, _service: &ServiceName) -> Vec<RouteKey> {
        todo!()
    }
}

/// The keys of a route: one per domain.
pub fn keys(_spec: &RouteSpec, _kind: MatchKind) -> impl Iterator<Item = RouteKey> {
    std::iter::empty()
}
