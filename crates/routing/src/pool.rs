//! The endpoints behind one key.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{BackendUrl, Generation, InstanceName, RouteConfig, RouteId, ServiceName};

use crate::hash::{start, step};
use crate::{EndpointId, Entry, RouteKey};

/// The endpoints of one key.
///
/// The unit of copying: a change of one member copies the list.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The key.
    pub key: RouteKey,
    /// Whose it is; of a tombstone, whose it was.
    pub service: ServiceName,
    /// Oldest first. Empty for a tombstone.
    pub members: Vec<Member>,
    /// The configuration of the newest apply: pool settings come from it.
    pub config: Arc<RouteConfig>,
    /// The scope of rate limits for the route ([`Member::scope`]).
    pub scope: u64,
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
    /// Tells the endpoints of a pool apart in a sticky cookie: the same for the same instance and
    /// backend after a restart, on every machine.
    pub token: u64,
    /// Tells the route apart from others of its service in rate limits: the same for every
    /// instance that has this route.
    pub scope: u64,
    /// Its share of the pool's traffic, relative to the others. 0 for a younger route to an
    /// endpoint that an older one of this pool leads to: it is in the list and never picked, so
    /// that the endpoint does not get a double share.
    pub weight: u32,
    /// The generation in which the route first appeared.
    pub since: Generation,
    /// The generation in which it was last put.
    pub applied: Generation,
}

impl Pool {
    /// A pool of these members, which are in no particular order; `None` when there are none.
    pub(crate) fn of(
        key: RouteKey,
        service: ServiceName,
        mut members: Vec<Member>,
    ) -> Option<Self> {
        members.sort_by_key(|member| (member.since, member.route));
        let newest = members.iter().max_by_key(|m| (m.applied, m.since, m.route))?;
        let (config, scope) = (Arc::clone(&newest.config), newest.scope);
        let mut seen = BTreeSet::new();
        for member in &mut members {
            let first = seen.insert(member.endpoint);
            // A weight of zero is refused where options are read.
            member.weight = if first { member.config.options.weight.max(1) } else { 0 };
        }
        Some(Self { key, service, members, config, scope })
    }

    /// What is left of a pool when its last route was buried.
    pub(crate) fn buried(key: RouteKey, last: &Entry) -> Self {
        let config = Arc::clone(&last.config);
        let scope = scope(last);
        Self { key, service: last.service.clone(), members: Vec::new(), config, scope }
    }

    /// The scope of rate limits over all routes of the service.
    pub fn service_scope(&self) -> u64 {
        step(start(), self.service.as_str())
    }

    /// Whether requests for it are answered 503 until it is forgotten.
    pub fn is_tombstone(&self) -> bool {
        self.members.is_empty()
    }
}

impl Member {
    pub(crate) fn of(entry: &Entry, endpoint: EndpointId, applied: Generation) -> Self {
        Self {
            route: entry.route,
            endpoint,
            instance: entry.instance.clone(),
            backend: entry.spec.backend.clone(),
            config: Arc::clone(&entry.config),
            token: token(entry),
            scope: scope(entry),
            weight: 0,
            since: entry.since,
            applied,
        }
    }
}

fn token(entry: &Entry) -> u64 {
    let backend = entry.spec.backend.to_string();
    [entry.service.as_str(), entry.instance.as_str(), &backend].into_iter().fold(start(), step)
}

fn scope(entry: &Entry) -> u64 {
    let mut domains: Vec<String> = entry.spec.domains.iter().map(ToString::to_string).collect();
    domains.sort();
    let kind = entry.config.options.match_kind;
    let path = entry.spec.path.compared(kind);
    let rest = format!("{kind:?} {}", entry.spec.priority);
    let texts = [entry.service.as_str(), path.as_ref(), &rest];
    let code = texts.into_iter().fold(start(), step);
    domains.iter().fold(code, |code, domain| step(code, domain))
}
