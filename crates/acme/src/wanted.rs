//! Which names are registered: the only ones that anything is ordered for.

use std::collections::BTreeMap;

use routing::Table;

use crate::name::Name;

/// The names of a routing table, and how many routes have them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted(BTreeMap<Name, usize>);

/// A name that was not there before, or is there no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Came(Name),
    Left(Name),
}

impl Wanted {
    /// Follows from one table to a later one. Costs what changed.
    pub(crate) fn follow(&mut self, before: &Table, now: &Table) -> Vec<Change> {
        let mut touched = BTreeMap::new();
        for change in now.changes(before) {
            for (entry, is_now) in [(change.before, false), (change.now, true)] {
                let Some((entry, _)) = entry else { continue };
                for name in entry.spec.domains.iter().filter_map(Name::of) {
                    touched.entry(name.clone()).or_insert_with(|| self.0.contains_key(&name));
                    self.count(name, is_now);
                }
            }
        }
        let changed = touched.into_iter().filter_map(|(name, was)| match (was, self.has(&name)) {
            (false, true) => Some(Change::Came(name)),
            (true, false) => Some(Change::Left(name)),
            (true, true) | (false, false) => None,
        });
        changed.collect()
    }

    /// All of them.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Name> {
        self.0.keys()
    }

    fn has(&self, name: &Name) -> bool {
        self.0.contains_key(name)
    }

    fn count(&mut self, name: Name, is_now: bool) {
        let routes = self.0.entry(name.clone()).or_default();
        *routes = if is_now { routes.saturating_add(1) } else { routes.saturating_sub(1) };
        if *routes == 0 {
            self.0.remove(&name);
        }
    }
}
