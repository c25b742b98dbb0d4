//! Routes as they are put into a table, and the keys they own.

use std::fmt;
use std::sync::Arc;

use model::{
    Generation, HostPattern, InstanceName, MatchKind, RouteConfig, RouteId, RouteSpec, ServiceName,
};

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

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.domain, self.path)
    }
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

impl Entry {
    /// The keys of this route: one per domain.
    pub fn keys(&self) -> impl Iterator<Item = RouteKey> {
        keys(&self.spec, self.config.options.match_kind)
    }
}

/// The keys of a route: one per domain.
pub fn keys(spec: &RouteSpec, kind: MatchKind) -> impl Iterator<Item = RouteKey> {
    let path = spec.path.compared(kind);
    spec.domains.iter().map(move |domain| RouteKey {
        domain: domain.clone(),
        path: path.as_ref().into(),
        kind,
        priority: spec.priority,
    })
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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("route {route}: {key} is owned by service {owner}")]
pub struct Conflict {
    /// The route that was refused.
    pub route: RouteId,
    /// The key.
    pub key: RouteKey,
    /// Whose it is.
    pub owner: ServiceName,
}
