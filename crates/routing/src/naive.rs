//! A table that is too simple to be wrong, and the proof that the real one does the same.
//!
//! [`Naive`] keeps entries in a list and looks for everything from front to back. Names are drawn
//! from small pools, so that edits collide.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{
    BackendUrl, Generation, HostPattern, InstanceName, Instant, MatchKind, RouteConfig, RouteId,
    RoutePath, RouteSpec, ServiceName, normalize_path,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::fixture::Fine;
use crate::{
    Choice, Conflict, Decision, Edit, EndpointId, Entry, Head, Pool, RouteKey, Table, decide,
    explain,
};

#[derive(Clone, Default)]
struct Naive {
    routes: Vec<Applied>,
    /// The one buried first at the front.
    tombstones: Vec<RouteKey>,
    endpoints: Vec<(Identity, EndpointId)>,
    last_endpoint: u64,
}

#[derive(Clone)]
struct Applied {
    entry: Entry,
    generation: Generation,
    /// The place among the edits of its generation.
    order: usize,
}

type Identity = (ServiceName, InstanceName, BackendUrl);

fn identity(entry: &Entry) -> Identity {
    (entry.service.clone(), entry.instance.clone(), entry.spec.backend.clone())
}

impl Naive {
    fn with(
        &self,
        edits: &[Edit],
        generation: Generation,
    ) -> Result<(Self, Vec<RouteKey>), Vec<Conflict>> {
        let mut next = self.clone();
        let mut buried: Vec<RouteKey> = Vec::new();
        for (order, edit) in edits.iter().enumerate() {
            match edit {
                Edit::Put(entry) => {
                    next.routes.retain(|applied| applied.entry.route != entry.route);
                    next.tombstones.retain(|key| !entry.keys().any(|own| own == *key));
                    next.routes.push(Applied { entry: entry.clone(), generation, order });
                }
                Edit::Remove(route) => next.routes.retain(|a| a.entry.route != *route),
                Edit::Bury(route) => {
                    let Some(at) = next.routes.iter().position(|a| a.entry.route == *route) else {
                        continue;
                    };
                    let gone = next.routes.remove(at);
                    for key in gone.entry.keys().collect::<BTreeSet<_>>() {
                        if next.on(&key).is_empty() {
                            next.tombstones.push(key.clone());
                            buried.push(key);
                        }
                    }
                }
                Edit::Forget(key) => next.tombstones.retain(|tombstone| tombstone != key),
            }
        }
        let conflicts = self.conflicts(&mut next, generation);
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        next.number(generation);
        let mut seen = BTreeSet::new();
        buried.reverse();
        buried.retain(|key| next.tombstones.contains(key) && seen.insert(key.clone()));
        buried.reverse();
        Ok((next, buried))
    }

    fn conflicts(&self, next: &mut Self, generation: Generation) -> Vec<Conflict> {
        next.routes.sort_by_key(|applied| applied.order);
        let put = next.routes.iter().filter(|applied| applied.generation == generation);
        let claims = put.filter_map(|applied| {
            let keys: BTreeSet<RouteKey> = applied.entry.keys().collect();
            keys.into_iter().find_map(|key| {
                let now = next.on(&key);
                let before = self.on(&key).first().map(|applied| applied.entry.service.clone());
                let stays = before.filter(|s| now.iter().any(|a| a.entry.service == *s));
                let owner = match stays {
                    Some(owner) => owner,
                    None => now.first()?.entry.service.clone(),
                };
                let route = applied.entry.route;
                (owner != applied.entry.service).then_some(Conflict { route, key, owner })
            })
        });
        claims.collect()
    }

    fn number(&mut self, generation: Generation) {
        let mut put: Vec<&Applied> = self.routes.iter().collect();
        put.retain(|applied| applied.generation == generation);
        put.sort_by_key(|applied| applied.entry.route);
        for applied in put {
            let identity = identity(&applied.entry);
            if !self.endpoints.iter().any(|(known, _)| *known == identity) {
                self.last_endpoint += 1;
                self.endpoints.push((identity, EndpointId(self.last_endpoint)));
            }
        }
        let routes = &self.routes;
        self.endpoints.retain(|(known, _)| routes.iter().any(|a| identity(&a.entry) == *known));
    }

    /// The routes on a key, oldest first.
    fn on(&self, key: &RouteKey) -> Vec<&Applied> {
        let on = |applied: &&Applied| applied.entry.keys().any(|own| own == *key);
        self.routes.iter().filter(on).collect()
    }

    fn keys(&self) -> BTreeSet<RouteKey> {
        let live = self.routes.iter().flat_map(|applied| applied.entry.keys().collect::<Vec<_>>());
        live.chain(self.tombstones.iter().cloned()).collect()
    }

    /// The keys a request could belong to, in order of precedence.
    fn matching(&self, head: Head<'_>) -> Vec<RouteKey> {
        let mut keys: Vec<RouteKey> = self.keys().into_iter().collect();
        keys.retain(|key| {
            let host = match head.host {
                Some(host) => key.domain.matches(host),
                None => key.domain == HostPattern::Any,
            };
            let path = match key.kind {
                MatchKind::Exact => *key.path == *head.path.compared,
                MatchKind::Prefix => is_under(&key.path, &head.path.compared),
                MatchKind::Raw => is_under(&key.path, head.raw_path),
            };
            host && path
        });
        keys.sort_by(|a, b| {
            let host = b.domain.specificity().cmp(&a.domain.specificity());
            let exact = |key: &RouteKey| key.kind == MatchKind::Exact;
            let longest = b.path.len().cmp(&a.path.len()).then(a.kind.cmp(&b.kind));
            host.then(b.priority.cmp(&a.priority)).then(exact(b).cmp(&exact(a))).then(longest)
        });
        keys
    }

    fn endpoint(&self, entry: &Entry) -> EndpointId {
        let identity = identity(entry);
        self.endpoints.iter().find(|(known, _)| *known == identity).unwrap().1
    }
}

fn is_under(prefix: &str, path: &str) -> bool {
    let prefix: Vec<&str> = prefix.split('/').skip(1).filter(|_| prefix != "/").collect();
    let path: Vec<&str> = path.split('/').skip(1).collect();
    path.starts_with(&prefix)
}

const REQUEST_HOSTS: [Option<&str>; 8] = [
    None,
    Some("b"),
    Some("a.b"),
    Some("x.b"),
    Some("x.y.b"),
    Some("x.a.b"),
    Some("c"),
    Some("d.c"),
];
const REQUEST_PATHS: [&str; 12] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/b/c",
    "/ab",
    "/%61",
    "/%61/b",
    "/b",
    "//",
    "/a//b",
    "/c/d/e/f/g",
];

fn each_head(mut visit: impl FnMut(Head<'_>)) {
    for raw_path in REQUEST_PATHS {
        let path = normalize_path(raw_path.as_bytes()).unwrap();
        for host in REQUEST_HOSTS {
            visit(Head { host, raw_path, path: &path });
        }
    }
}

fn same(table: &Table, naive: &Naive) {
    assert_eq!(table.len(), naive.routes.len());
    let mut routes: Vec<&Applied> = naive.routes.iter().collect();
    routes.sort_by_key(|applied| applied.entry.route);
    let entries: Vec<&Entry> = routes.iter().map(|applied| &applied.entry).collect();
    assert_eq!(table.entries().map(|entry| &**entry).collect::<Vec<_>>(), entries);
    for Applied { entry, .. } in &naive.routes {
        assert_eq!(table.get(entry.route).map(|entry| &**entry), Some(entry));
        assert_eq!(table.endpoint_of(entry.route), Some(naive.endpoint(entry)));
    }
    for id in 0..naive.last_endpoint + 2 {
        let id = EndpointId(id);
        assert_eq!(table.has_endpoint(id), naive.endpoints.iter().any(|(_, known)| *known == id));
    }
    assert_eq!(table.endpoints.counts(), (naive.endpoints.len(), naive.routes.len()));
    let tombstones: Vec<RouteKey> = table.tombstones().cloned().collect();
    assert_eq!(tombstones, naive.tombstones);
    let pools: Vec<&Arc<Pool>> = table.hosts.all().flat_map(|host| host.pools()).collect();
    assert_eq!(pools.len(), naive.keys().len());
    for key in naive.keys() {
        same_pool(table.pool(&key).unwrap(), &key, naive);
        same_shadows(table, &key, naive);
    }
    each_head(|head| same_decision(table, naive, head));
}

fn same_pool(pool: &Pool, key: &RouteKey, naive: &Naive) {
    assert_eq!(pool.key, *key);
    let mut on = naive.on(key);
    on.sort_by_key(|applied| (applied.entry.since, applied.entry.route));
    let members: Vec<_> = pool.members.iter().map(|m| (m.route, m.endpoint)).collect();
    let expected = on.iter().map(|a| (a.entry.route, naive.endpoint(&a.entry)));
    assert_eq!(members, expected.collect::<Vec<_>>());
    for (member, applied) in pool.members.iter().zip(&on) {
        assert_eq!(pool.service, applied.entry.service);
        assert_eq!(member.instance, applied.entry.instance);
        assert_eq!(member.backend, applied.entry.spec.backend);
        assert_eq!(member.config, applied.entry.config);
        let elder = on.iter().find(|a| identity(&a.entry) == identity(&applied.entry)).unwrap();
        let first = elder.entry.route == member.route;
        assert_eq!(member.weight, if first { member.config.options.weight } else { 0 });
    }
    let newest = on.iter().max_by_key(|a| (a.generation, a.entry.since, a.entry.route));
    if let Some(newest) = newest {
        assert_eq!(pool.config, newest.entry.config);
    }
}

fn same_shadows(table: &Table, key: &RouteKey, naive: &Naive) {
    let service = ServiceName::parse("blue").unwrap();
    let others = naive.keys().into_iter().rev().filter(|other| {
        let alike = (&other.domain, &other.path, other.kind) == (&key.domain, &key.path, key.kind);
        let owners = naive.on(other);
        alike
            && other.priority != key.priority
            && owners.first().is_some_and(|a| a.entry.service != service)
    });
    assert_eq!(table.shadows(key, &service), others.collect::<Vec<_>>());
}

fn same_decision(table: &Table, naive: &Naive, head: Head<'_>) {
    let expected = naive.matching(head);
    let found: Vec<RouteKey> = table.matching(head).iter().map(|pool| pool.key.clone()).collect();
    assert_eq!(found, expected, "{head:?}");
    let now = Instant::default();
    let decision = decide(table, &Fine, head, &Choice::default());
    let report = explain(table, &Fine, head, now);
    match (decision, expected.first()) {
        (Decision::NoRoute, None) => assert_eq!((report.outcome, report.route), ("no_route", None)),
        (Decision::Unavailable { pool, .. }, Some(key)) => {
            assert_eq!(pool.key, *key);
            assert!(pool.is_tombstone());
            assert_eq!((report.outcome, report.route), ("unavailable", None));
        }
        (Decision::Send { pool, member }, Some(key)) => {
            assert_eq!(pool.key, *key);
            let route = pool.members[member].route;
            assert_eq!((report.outcome, report.route), ("route", Some(route)));
            let fellows = pool.members.iter().map(|member| member.route);
            assert!(report.endpoints.iter().map(|e| e.route).eq(fellows));
        }
        (decision, key) => panic!("{head:?}: {decision:?} instead of {key:?}"),
    }
    let losers = expected.iter().skip(1).flat_map(|key| {
        let mut on = naive.on(key);
        on.sort_by_key(|applied| (applied.entry.since, applied.entry.route));
        on
    });
    let told = report.candidates.iter().map(|candidate| candidate.route);
    assert!(told.eq(losers.map(|applied| applied.entry.route)), "{head:?}");
}

fn any_entry(ids: u64, domains: &'static [&'static str]) -> impl Strategy<Value = Entry> {
    let path = select(vec!["/", "/a", "/a/", "/a/b", "/%61", "/b", "/c/d/e", "//"]);
    let kind = select(vec![MatchKind::Exact, MatchKind::Prefix, MatchKind::Raw]);
    let domains = prop::collection::btree_set(select(domains), 1..=2.min(domains.len()));
    let service = select(vec!["blue", "blue", "blue", "blue", "green"]);
    let place = (path, kind, -1..=1_i32, domains);
    (1..=ids, place, service, 1..=2_u8, 1..=2_u8, 0..=2_u64, 1..=3_u32).prop_map(
        |(route, (path, kind, priority, domains), service, instance, backend, since, weight)| {
            let mut config = RouteConfig::default();
            config.options.match_kind = kind;
            config.options.weight = weight;
            let domains = domains.into_iter().map(|d| HostPattern::parse(d).unwrap()).collect();
            let path = RoutePath::parse(path).unwrap();
            let backend = BackendUrl::parse(&format!("http://b{backend}")).unwrap();
            Entry {
                route: RouteId(route),
                service: ServiceName::parse(service).unwrap(),
                instance: InstanceName::parse(&format!("i{instance}")).unwrap(),
                spec: RouteSpec { domains, path, backend, priority },
                config: Arc::new(config),
                since: Generation(since),
            }
        },
    )
}

fn any_edit(ids: u64, domains: &'static [&'static str]) -> impl Strategy<Value = Edit> {
    prop_oneof![
        5 => any_entry(ids, domains).prop_map(Edit::Put),
        1 => (1..=ids).prop_map(|route| Edit::Remove(RouteId(route))),
        2 => (1..=ids).prop_map(|route| Edit::Bury(RouteId(route))),
        1 => any_entry(ids, domains).prop_map(|e| Edit::Forget(e.keys().next().unwrap())),
    ]
}

/// Makes every change in both tables, and in the end removes everything from both.
fn run(changes: &[Vec<Edit>]) {
    let (mut table, mut naive) = (Table::default(), Naive::default());
    for (at, edits) in changes.iter().enumerate() {
        let generation = Generation(at as u64 + 3);
        let before = table.clone();
        match (table.with(edits.clone(), generation), naive.with(edits, generation)) {
            (Ok(changed), Ok((next, buried))) => {
                assert_eq!(changed.table.generation(), generation);
                assert_eq!(changed.buried, buried);
                same(&changed.table, &next);
                // The old one is a value and stays what it was.
                same(&before, &naive);
                (table, naive) = (changed.table, next);
            }
            (Err(conflicts), Err(expected)) => {
                assert_eq!(conflicts, expected);
                same(&table, &naive);
            }
            (real, expected) => panic!("{:?} instead of {:?}", real.err(), expected.err()),
        }
    }
    let routes = table.entries().map(|entry| Edit::Remove(entry.route));
    let keys = table.tombstones().cloned().map(Edit::Forget);
    let empty = table.with(routes.chain(keys).collect(), Generation(1000)).unwrap().table;
    same(&empty, &Naive { last_endpoint: naive.last_endpoint, ..Naive::default() });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_edits_on_a_few_hosts(
        changes in prop::collection::vec(
            prop::collection::vec(
                any_edit(8, &["a.b", "*.b", "**.b", "*.a.b", "**.a.b", "**.c", "*"]), 1..5),
            1..12),
    ) {
        run(&changes);
    }

    /// More keys on one host than are kept as a list.
    #[test]
    fn any_edits_on_one_host(
        changes in prop::collection::vec(
            prop::collection::vec(any_edit(30, &["a.b"]), 1..20), 1..8),
    ) {
        run(&changes);
    }
}
