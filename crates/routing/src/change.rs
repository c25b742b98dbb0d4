//! A change of a table: edits in order, then one judgement, then the next table.
//!
//! [`Draft`] notes what becomes of each route and key that the edits touch and leaves the table
//! alone; an edit costs the logarithm of the change, however large the pools are. Nothing is
//! built before every key has one owner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Generation, HostPattern, RouteId, ServiceName};

use crate::host::Change;
use crate::table::Held;
use crate::{Changed, Conflict, Edit, Entry, Member, Pool, RouteKey, Table};

/// Most conflicts that are told.
pub(crate) const CONFLICTS_MAX: usize = 100;

/// A table with edits noted beside it.
pub(crate) struct Draft<'t> {
    table: &'t Table,
    /// What becomes of the routes touched; `None` for those that go.
    routes: BTreeMap<RouteId, Option<Arc<Entry>>>,
    keys: BTreeMap<RouteKey, Group>,
    /// Edits so far.
    order: usize,
}

/// What becomes of one key.
#[derive(Default)]
struct Group {
    before: Option<Arc<Pool>>,
    /// Members of `before` that go, or are put anew.
    gone: BTreeSet<RouteId>,
    /// Routes put on it, by the edit that did.
    put: BTreeMap<RouteId, usize>,
    /// What it is while it has no routes.
    empty: Empty,
}

#[derive(Default)]
enum Empty {
    /// Unknown.
    #[default]
    Nothing,
    /// The tombstone that it was before the change.
    Tombstone,
    /// Buried by this change, in this edit.
    Buried { last: Arc<Entry>, order: usize },
}

/// Why a route leaves a key.
#[derive(Clone, Copy)]
enum Leaves {
    OnPurpose,
    WithItsService,
}

impl<'t> Draft<'t> {
    pub(crate) fn new(table: &'t Table) -> Self {
        Self { table, routes: BTreeMap::new(), keys: BTreeMap::new(), order: 0 }
    }

    pub(crate) fn edit(&mut self, edit: Edit) {
        self.order += 1;
        match edit {
            Edit::Put(entry) => self.put(entry),
            Edit::Remove(route) => self.take(route, Leaves::OnPurpose),
            Edit::Bury(route) => self.take(route, Leaves::WithItsService),
            Edit::Forget(key) => {
                let group = self.group(key);
                if !group.has_routes() {
                    group.empty = Empty::Nothing;
                }
            }
        }
    }

    fn put(&mut self, entry: Entry) {
        let route = entry.route;
        self.take(route, Leaves::OnPurpose);
        let order = self.order;
        for key in entry.keys() {
            self.group(key).put.insert(route, order);
        }
        self.routes.insert(route, Some(Arc::new(entry)));
    }

    fn take(&mut self, route: RouteId, leaves: Leaves) {
        let Some(entry) = self.entry(route).cloned() else { return };
        let order = self.order;
        let was_put = self.routes.contains_key(&route);
        for key in entry.keys() {
            let group = self.group(key);
            if was_put {
                group.put.remove(&route);
            } else {
                group.gone.insert(route);
            }
            if !group.has_routes() {
                group.empty = match leaves {
                    Leaves::OnPurpose => Empty::Nothing,
                    Leaves::WithItsService => Empty::Buried { last: Arc::clone(&entry), order },
                };
            }
        }
        self.routes.insert(route, None);
    }

    fn entry(&self, route: RouteId) -> Option<&Arc<Entry>> {
        match self.routes.get(&route) {
            Some(touched) => touched.as_ref(),
            None => self.table.get(route),
        }
    }

    fn group(&mut self, key: RouteKey) -> &mut Group {
        let table = self.table;
        self.keys.entry(key).or_insert_with_key(|key| Group::of(table.pool(key)))
    }

    pub(crate) fn finish(self, generation: Generation) -> Result<Changed, Vec<Conflict>> {
        let conflicts = self.conflicts();
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let mut table = self.table.clone();
        table.generation = generation;
        change_routes(&mut table, self.routes);
        let buried = change_tombstones(&mut table, &self.keys);
        change_hosts(&mut table, self.keys, &buried, generation);
        Ok(Changed { table, buried: buried.kept })
    }

    fn conflicts(&self) -> Vec<Conflict> {
        let mut by_order = BTreeMap::new();
        for (key, group) in &self.keys {
            let mut puts: Vec<(usize, &Arc<Entry>)> = Vec::new();
            puts.extend(group.put.iter().filter_map(|(r, order)| Some((*order, self.entry(*r)?))));
            puts.sort_by_key(|(order, _)| *order);
            let Some(owner) = group.owner(&puts) else { continue };
            for (order, entry) in puts.iter().filter(|(_, entry)| entry.service != *owner) {
                by_order.entry(*order).or_insert_with(|| Conflict {
                    route: entry.route,
                    key: key.clone(),
                    owner: owner.clone(),
                });
            }
        }
        by_order.into_values().take(CONFLICTS_MAX).collect()
    }
}

impl Group {
    fn of(before: Option<&Arc<Pool>>) -> Self {
        let empty = match before {
            Some(pool) if pool.is_tombstone() => Empty::Tombstone,
            Some(_) | None => Empty::Nothing,
        };
        Self { before: before.cloned(), empty, ..Self::default() }
    }

    fn members_before(&self) -> &[Member] {
        self.before.as_ref().map_or(&[], |pool| &pool.members)
    }

    fn has_routes(&self) -> bool {
        !self.put.is_empty() || self.members_before().len() > self.gone.len()
    }

    /// Whose the key is after the change.
    fn owner<'a>(&'a self, puts: &[(usize, &'a Arc<Entry>)]) -> Option<&'a ServiceName> {
        let had_it = self.before.as_ref().filter(|pool| !pool.is_tombstone());
        if let Some(pool) = had_it {
            let stays = pool.members.len() > self.gone.len()
                || puts.iter().any(|(_, entry)| entry.service == pool.service);
            if stays {
                return Some(&pool.service);
            }
        }
        puts.first().map(|(_, entry)| &entry.service)
    }

    /// The pool after the change.
    fn pool(&self, key: &RouteKey, table: &Table, generation: Generation) -> Option<Arc<Pool>> {
        if !self.has_routes() {
            return match &self.empty {
                Empty::Nothing => None,
                Empty::Tombstone => self.before.clone(),
                Empty::Buried { last, .. } => Some(Arc::new(Pool::buried(key.clone(), last))),
            };
        }
        let put = self.put.keys().filter_map(|route| table.routes.get(route));
        let service = match self.put.keys().find_map(|route| table.routes.get(route)) {
            Some(held) => held.entry.service.clone(),
            None => self.before.as_ref()?.service.clone(),
        };
        let stay = self.members_before().iter().filter(|m| !self.gone.contains(&m.route));
        // Exactly as many as there are: most pools have one member, and there are many pools.
        let count = self.members_before().len() - self.gone.len() + self.put.len();
        let mut members = Vec::with_capacity(count);
        members.extend(stay.cloned());
        members.extend(put.map(|held| Member::of(&held.entry, held.endpoint, generation)));
        Pool::of(key.clone(), service, members).map(Arc::new)
    }
}

fn change_routes(table: &mut Table, routes: BTreeMap<RouteId, Option<Arc<Entry>>>) {
    let mut old = Vec::new();
    for (route, entry) in routes {
        old.extend(match entry {
            Some(entry) => {
                let endpoint = table.endpoints.acquire(&entry);
                table.routes.insert(route, Held { entry, endpoint })
            }
            None => table.routes.remove(&route),
        });
    }
    // Last, so that an endpoint that only changed its route kept its id.
    for held in old {
        table.endpoints.release(&held.entry);
    }
}

/// Keys that were buried.
struct Buried {
    kept: Vec<RouteKey>,
    /// Tombstones that had to go for them.
    forgotten: BTreeSet<Arc<RouteKey>>,
}

fn change_tombstones(table: &mut Table, keys: &BTreeMap<RouteKey, Group>) -> Buried {
    let mut by_order = Vec::new();
    for (key, group) in keys {
        match &group.empty {
            Empty::Buried { order, .. } if !group.has_routes() => by_order.push((*order, key)),
            Empty::Tombstone if !group.has_routes() => {}
            Empty::Nothing | Empty::Tombstone | Empty::Buried { .. } => {
                table.tombstones.forget(key);
            }
        }
    }
    by_order.sort();
    let keys = by_order.iter().map(|(_, key)| *key);
    let forgotten = keys.clone().filter_map(|key| table.tombstones.bury(key)).collect();
    let kept = keys.filter(|key| table.tombstones.contains(key)).cloned().collect();
    Buried { kept, forgotten }
}

fn change_hosts(
    table: &mut Table,
    keys: BTreeMap<RouteKey, Group>,
    buried: &Buried,
    generation: Generation,
) {
    // Keys sort by host first, so this also tells which hosts to make anew.
    let mut hosts: BTreeMap<HostPattern, Vec<Change>> = BTreeMap::new();
    for (key, group) in keys {
        let pool = if buried.forgotten.contains(&key) {
            None
        } else {
            group.pool(&key, table, generation)
        };
        hosts.entry(key.domain.clone()).or_default().push((key, pool));
    }
    for key in &buried.forgotten {
        hosts.entry(key.domain.clone()).or_default().push((RouteKey::clone(key), None));
    }
    for (domain, changes) in hosts {
        table.hosts.change(&domain, changes);
    }
}
