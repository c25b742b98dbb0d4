//! The table: what a set of routes looks like to requests, to sessions and to the next change.

use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use model::{Generation, RouteId, ServiceName};

use crate::change::Draft;
use crate::endpoints::Endpoints;
use crate::hosts::Hosts;
use crate::tombstones::Tombstones;
use crate::{Conflict, Edit, EndpointId, Entry, Head, Pool, RouteKey};

/// Most keys that [`Table::shadows`] names.
const SHADOWS_MAX: usize = 100;

/// An immutable routing table. Cloning and changing it costs what changes, not what it holds.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub(crate) generation: Generation,
    pub(crate) hosts: Hosts,
    pub(crate) routes: OrdMap<RouteId, Held>,
    pub(crate) endpoints: Endpoints,
    pub(crate) tombstones: Tombstones,
}

/// A live route and where it leads.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) entry: Arc<Entry>,
    pub(crate) endpoint: EndpointId,
}

/// One route that is not what it was; one of the two is always there.
#[derive(Clone, Copy, Debug)]
pub struct RouteChange<'t> {
    /// What it was, and its endpoint.
    pub before: Option<(&'t Entry, EndpointId)>,
    /// What it is.
    pub now: Option<(&'t Entry, EndpointId)>,
}

impl Held {
    fn told(&self) -> (&Entry, EndpointId) {
        (&self.entry, self.endpoint)
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.entry, &other.entry) && self.endpoint == other.endpoint
    }
}

/// The result of [`Table::with`].
#[derive(Clone, Debug)]
pub struct Changed {
    /// The next table.
    pub table: Table,
    /// Keys that lost their last route by [`Edit::Bury`], in the order of the edits: to be
    /// forgotten in time.
    pub buried: Vec<RouteKey>,
}

impl Table {
    /// The generation this table was published as.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// How many live routes it holds.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A live route.
    pub fn get(&self, route: RouteId) -> Option<&Arc<Entry>> {
        self.routes.get(&route).map(|held| &held.entry)
    }

    /// Every live route, in the order of their ids.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.routes.values().map(|held| &held.entry)
    }

    /// The pool that a request belongs to, also when it is a tombstone.
    pub fn find(&self, head: Head<'_>) -> Option<&Arc<Pool>> {
        self.hosts.each(head.host, |host| host.find(head))
    }

    /// Every pool that a request could belong to, in order of precedence: the first is the one
    /// that [`Table::find`] finds.
    pub(crate) fn matching(&self, head: Head<'_>) -> Vec<&Arc<Pool>> {
        let mut pools = Vec::new();
        let all: Option<()> = self.hosts.each(head.host, |host| {
            pools.extend(host.matching(head));
            None
        });
        debug_assert!(all.is_none(), "every host is asked");
        pools
    }

    /// The pool of a key, also when it is a tombstone.
    pub fn pool(&self, key: &RouteKey) -> Option<&Arc<Pool>> {
        self.hosts.get(&key.domain)?.get(key)
    }

    /// Every key without routes that is not forgotten yet, the one buried first at the front.
    pub fn tombstones(&self) -> impl Iterator<Item = &RouteKey> {
        self.tombstones.iter()
    }

    /// What became of the routes since `before`, an earlier table. Costs what changed, not what it
    /// holds.
    pub fn changes<'t>(&'t self, before: &'t Self) -> impl Iterator<Item = RouteChange<'t>> {
        before.routes.diff(&self.routes).map(|item| match item {
            DiffItem::Add(_, new) => RouteChange { before: None, now: Some(new.told()) },
            DiffItem::Update { old: (_, old), new: (_, new) } => {
                RouteChange { before: Some(old.told()), now: Some(new.told()) }
            }
            DiffItem::Remove(_, old) => RouteChange { before: Some(old.told()), now: None },
        })
    }

    /// The endpoint of a live route (one for all its domains).
    pub fn endpoint_of(&self, route: RouteId) -> Option<EndpointId> {
        self.routes.get(&route).map(|held| held.endpoint)
    }

    /// Whether any live route leads to an endpoint.
    pub fn has_endpoint(&self, endpoint: EndpointId) -> bool {
        self.endpoints.contains(endpoint)
    }

    /// The next table, edits carried out in order; all or nothing.
    ///
    /// Who owns a key is judged when all edits are done: the service that had it, while any of
    /// its routes is left on it, else the one whose [`Edit::Put`] came first. Removing or burying
    /// a route that is not there, and forgetting a key that has routes, change nothing. At most
    /// 10 000 keys stay buried; then the one buried first is forgotten.
    ///
    /// # Errors
    ///
    /// [`Conflict`]s, one for each route that claims another service's key; at most 100.
    pub fn with(&self, edits: Vec<Edit>, generation: Generation) -> Result<Changed, Vec<Conflict>> {
        let mut draft = Draft::new(self);
        edits.into_iter().for_each(|edit| draft.edit(edit));
        draft.finish(generation)
    }

    /// For DIFF's warnings: other services' routes on the same host and path that a route with
    /// this key would shadow or be shadowed by (the same host, path and kind, another priority).
    /// The highest priority first; at most 100.
    pub fn shadows(&self, key: &RouteKey, service: &ServiceName) -> Vec<RouteKey> {
        let rivals = self.hosts.get(&key.domain).map(|host| host.rivals(key));
        rivals
            .into_iter()
            .flatten()
            .filter(|pool| pool.key.priority != key.priority)
            .filter(|pool| !pool.is_tombstone() && pool.service != *service)
            .take(SHADOWS_MAX)
            .map(|pool| pool.key.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests;
