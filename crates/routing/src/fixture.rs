//! Routes and requests in few words, for tests.

use std::sync::Arc;

use model::{
    BackendUrl, Generation, HostPattern, InstanceName, Instant, MatchKind, NormalPath, RouteConfig,
    RouteId, RoutePath, RouteSpec, ServiceName, normalize_path,
};

use crate::{
    Changed, Choice, Conflict, Decision, Edit, EndpointHealth, EndpointView, Entry, Head, Live,
    Member, RouteKey, Table, decide,
};

/// Everything there is is well.
pub(crate) struct Fine;

impl Live for Fine {
    fn member(&self, _: &Member, _: Instant) -> EndpointView {
        let health = EndpointHealth::Up;
        EndpointView { health, in_flight: 0, latency_micros: 0, share_percent: 100 }
    }
}

/// A route: `a.b,*.b/path`, with `=` before it for exact, `~` for raw, and `@5` after it for a
/// priority. Where it leads: instance and backend, `i1 b1`.
pub(crate) fn entry(route: u64, service: &str, place: &str, to: &str) -> Entry {
    let (kind, place) = match place.split_at(1) {
        ("=", rest) => (MatchKind::Exact, rest),
        ("~", rest) => (MatchKind::Raw, rest),
        _ => (MatchKind::Prefix, place),
    };
    let (place, priority) = place.split_once('@').unwrap_or((place, "0"));
    let (domains, path) = place.split_at(place.find('/').unwrap());
    let (instance, backend) = to.split_once(' ').unwrap();
    let mut config = RouteConfig::default();
    config.options.match_kind = kind;
    Entry {
        route: RouteId(route),
        service: ServiceName::parse(service).unwrap(),
        instance: InstanceName::parse(instance).unwrap(),
        spec: RouteSpec {
            domains: domains.split(',').map(|d| HostPattern::parse(d).unwrap()).collect(),
            path: RoutePath::parse(path).unwrap(),
            backend: BackendUrl::parse(&format!("http://{backend}")).unwrap(),
            priority: priority.parse().unwrap(),
        },
        config: Arc::new(config),
        since: Generation(0),
    }
}

pub(crate) fn put(route: u64, service: &str, place: &str, to: &str) -> Edit {
    Edit::Put(entry(route, service, place, to))
}

pub(crate) fn remove(route: u64) -> Edit {
    Edit::Remove(RouteId(route))
}

pub(crate) fn bury(route: u64) -> Edit {
    Edit::Bury(RouteId(route))
}

pub(crate) fn forget(place: &str) -> Edit {
    Edit::Forget(key(place))
}

/// The one key of a place.
pub(crate) fn key(place: &str) -> RouteKey {
    entry(0, "s", place, "i b").keys().next().unwrap()
}

pub(crate) fn changed(table: &Table, edits: Vec<Edit>) -> Result<Changed, Vec<Conflict>> {
    table.with(edits, table.generation().next())
}

pub(crate) fn with(table: &Table, edits: Vec<Edit>) -> Table {
    changed(table, edits).unwrap().table
}

/// Calls with the head of a request for `a.b/path`; without a host for `/path`.
pub(crate) fn ask<T>(request: &str, then: impl FnOnce(Head<'_>) -> T) -> T {
    let (host, raw_path) = request.split_at(request.find('/').unwrap());
    let path: NormalPath<'_> = normalize_path(raw_path.as_bytes()).unwrap();
    then(Head { host: Some(host).filter(|host| !host.is_empty()), raw_path, path: &path })
}

/// The number of the route that a request is sent to, `404` or `503`.
pub(crate) fn answer(table: &Table, request: &str) -> u64 {
    ask(request, |head| match decide(table, &Fine, head, &Choice::default()) {
        Decision::NoRoute => 404,
        Decision::Unavailable { .. } | Decision::Maintenance { .. } => 503,
        Decision::Send { pool, member } => pool.members[member].route.0,
    })
}
