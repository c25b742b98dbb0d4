//! Which names are registered: the only ones that anything is ordered for.

use std::collections::{BTreeMap, BTreeSet};

use routing::Table;

use crate::name::{Name, address_of};

/// The names of a routing table, and how many routes have them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted(BTreeMap<Name, usize>);

/// A name that was not there before or is there no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Came(Name),
    Left(Name),
    /// An address, which nobody is asked about; told when its route comes, and never again.
    Passed(Box<str>),
}

impl Wanted {
    /// Follows from one table to a later one. Costs what changed.
    pub(crate) fn follow(&mut self, before: &Table, now: &Table) -> Vec<Change> {
        let mut touched = BTreeMap::new();
        let mut passed = BTreeSet::new();
        for change in now.changes(before) {
            let before = change.before.map(|(entry, _)| &*entry.spec.domains).unwrap_or_default();
            let after = change.now.map(|(entry, _)| &*entry.spec.domains).unwrap_or_default();
            let new = after.iter().filter(|host| !before.contains(host));
            passed.extend(new.filter_map(address_of));
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
        let passed = passed.into_iter().map(|host| Change::Passed(host.into()));
        changed.chain(passed).collect()
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

#[cfg(test)]
mod tests {
    use model::{
        BackendUrl, HostPattern, InstanceName, RouteConfig, RouteId, RoutePath, RouteSpec,
        ServiceName,
    };
    use routing::{Edit, Entry};

    use super::*;

    fn put(route: u64, domains: &str) -> Edit {
        Edit::Put(Entry {
            route: RouteId(route),
            service: ServiceName::parse("s").unwrap(),
            instance: InstanceName::parse(&format!("i{route}")).unwrap(),
            spec: RouteSpec {
                domains: domains.split(',').map(|d| HostPattern::parse(d).unwrap()).collect(),
                path: RoutePath::parse("/").unwrap(),
                backend: BackendUrl::parse("http://b").unwrap(),
                priority: 0,
            },
            config: RouteConfig::default().into(),
            since: Default::default(),
        })
    }

    #[test]
    fn names_come_with_their_first_route_and_leave_with_their_last() {
        #[rustfmt::skip]
        let table = [
            // edits                                      what follows       why
            (vec![put(1, "a.test,*.b.test,localhost")],   "+a.test",         "no wildcard, no local name"),
            (vec![put(2, "a.test,c.test")],               "+c.test",         "it is there already"),
            (vec![put(1, "d.test")],                      "+d.test",         "another route has it still"),
            (vec![put(2, "c.test,c.test")],               "-a.test",         "now none has"),
            (vec![put(5, "192.0.2.1,[2001:db8::1]")],     "!192.0.2.1 ![2001:db8::1]", "addresses are told"),
            (vec![put(5, "192.0.2.1")],                   "",                "once"),
            (vec![Edit::Remove(RouteId(5))],              "",                "and not again"),
            (vec![put(3, "c.test"), Edit::Remove(RouteId(2))], "",           "from one route to another"),
            (vec![Edit::Bury(RouteId(1))],                "-d.test",         "a tombstone is no route"),
            (vec![Edit::Remove(RouteId(3)), put(4, "e.test")], "-c.test +e.test", "in one step"),
        ];
        let (mut wanted, mut before) = (Wanted::default(), Table::default());
        for (edits, follows, why) in table {
            let now = before.with(edits, before.generation().next()).unwrap().table;
            let changes = wanted.follow(&before, &now);
            let shown = changes.iter().map(|change| match change {
                Change::Came(name) => format!("+{name}"),
                Change::Left(name) => format!("-{name}"),
                Change::Passed(address) => format!("!{address}"),
            });
            assert_eq!(shown.collect::<Vec<_>>().join(" "), follows, "{why}");
            before = now;
        }
        assert_eq!(wanted.names().map(Name::as_str).collect::<Vec<_>>(), ["e.test"]);
    }
}
