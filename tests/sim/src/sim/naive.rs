//! The plain reading: what the table should hold, and where a request should go, found by looking
//! at everything.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use model::{
    HostPattern, Image, MatchKind, RouteId, RoutePath, RouteSpec, StoredSession, TargetItem,
};
use routing::{Entry, Head, RouteKey, Table};

/// The routes of everybody, as they are remembered.
pub(super) fn entries(image: &Image) -> Vec<Entry> {
    let of_session = |held: &StoredSession| -> Vec<Entry> {
        let entry = |(route, spec, since): &(RouteId, RouteSpec, model::Generation)| Entry {
            route: *route,
            service: held.row.service.clone(),
            instance: held.row.instance.clone(),
            spec: spec.clone(),
            config: Arc::new(held.settings.resolve(*route)),
            since: *since,
        };
        held.routes.iter().map(entry).collect()
    };
    let mut all: Vec<Entry> = image.sessions.iter().flat_map(of_session).collect();
    all.sort_by_key(|entry| entry.route);
    all
}

/// The routes of a session that its maintenance orders are about.
pub(super) fn resting(held: &StoredSession) -> BTreeSet<RouteId> {
    let items = held.maintenance.iter().map(|order| &order.target.items);
    let meant = |spec: &RouteSpec, route: RouteId, item: &TargetItem| match item {
        TargetItem::Route(id) => *id == route,
        TargetItem::Path(path) => same_path(path, &spec.path),
        TargetItem::Domain(domain) => spec.domains.contains(domain),
    };
    let routes = held.routes.iter().filter(|(route, spec, _)| {
        let mut items = items.clone();
        items.any(|items| items.is_empty() || items.iter().any(|item| meant(spec, *route, item)))
    });
    routes.map(|(route, ..)| *route).collect()
}

fn same_path(one: &RoutePath, other: &RoutePath) -> bool {
    one.compared(MatchKind::Prefix) == other.compared(MatchKind::Prefix)
}

/// The key that answers a request, by looking at every key there is.
pub(super) fn winner(table: &Table, head: Head<'_>) -> Option<RouteKey> {
    let live = table.entries().flat_map(|entry| entry.keys().collect::<Vec<_>>());
    let all = live.chain(table.tombstones().cloned());
    all.filter(|key| host_matches(&key.domain, head.host) && path_matches(key, head)).max_by_key(
        |key| {
            // Exact first, then the longest; a raw path is a prefix that is read in another way.
            let exact = key.kind == MatchKind::Exact;
            let longest = (key.path.len(), Reverse(key.kind));
            (key.domain.specificity(), key.priority, exact, longest)
        },
    )
}

fn host_matches(pattern: &HostPattern, host: Option<&str>) -> bool {
    match host {
        Some(host) => pattern.matches(host),
        None => *pattern == HostPattern::Any,
    }
}

fn path_matches(key: &RouteKey, head: Head<'_>) -> bool {
    let path = match key.kind {
        MatchKind::Raw => head.raw_path,
        MatchKind::Exact | MatchKind::Prefix => &head.path.compared,
    };
    match key.kind {
        MatchKind::Exact => *path == *key.path,
        MatchKind::Prefix | MatchKind::Raw => {
            &*key.path == "/"
                || path
                    .strip_prefix(&*key.path)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    }
}
