//! Keys that change hands: from a service that is gone, by a handover, from a session to its
//! successor. A route that loses some of its keys keeps the others.

use std::collections::{BTreeMap, BTreeSet};

use model::{HostPattern, RouteId, RouteSpec, ServiceName};
use routing::{Pool, RouteKey};

use crate::Registry;
use crate::state::{Identity, Session, Sid};

/// Whose a key is.
pub(crate) enum Claim {
    /// Nobody's, or the service's own.
    Free,
    /// It can be had from these routes.
    From(Vec<RouteId>),
    /// Another service's.
    Owned(ServiceName),
}

/// Keys taken from routes, by route.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    by_route: BTreeMap<RouteId, Lost>,
}

#[derive(Debug)]
enum Lost {
    Everything,
    These(BTreeSet<HostPattern>),
}

/// A route of another session, or another route of this one, that loses keys.
#[derive(Clone, Debug)]
pub(crate) struct Released {
    pub(crate) sid: Sid,
    pub(crate) route: RouteId,
    /// What is left of it.
    pub(crate) rest: Option<RouteSpec>,
}

impl Taken {
    pub(crate) fn whole(&mut self, route: RouteId) {
        self.by_route.insert(route, Lost::Everything);
    }

    pub(crate) fn key(&mut self, route: RouteId, domain: &HostPattern) {
        let lost = self.by_route.entry(route).or_insert_with(|| Lost::These(BTreeSet::new()));
        match lost {
            Lost::Everything => {}
            Lost::These(domains) => drop(domains.insert(domain.clone())),
        }
    }
}

impl Registry {
    /// Whether a service may have a key, if the routes `giving` give it up.
    pub(crate) fn claim(
        &self,
        key: &RouteKey,
        service: &ServiceName,
        giving: &BTreeSet<RouteId>,
    ) -> Claim {
        if let Some(owner) = self.claims.of(key)
            && owner != service
        {
            return Claim::Owned(owner.clone());
        }
        let Some(pool) = self.table.pool(key) else { return Claim::Free };
        if pool.is_tombstone() || pool.service == *service {
            return Claim::Free;
        }
        if pool.members.iter().all(|member| giving.contains(&member.route)) {
            return Claim::Free;
        }
        if self.is_dead(pool) {
            return Claim::From(pool.members.iter().map(|member| member.route).collect());
        }
        Claim::Owned(pool.service.clone())
    }

    /// Whether every endpoint of a pool is down and nobody vouches for one (SPEC 2.5). Whoever
    /// has a try running comes back to his keys.
    fn is_dead(&self, pool: &Pool) -> bool {
        pool.members.iter().all(|member| {
            let trying =
                self.owner_of(member.route).is_some_and(|(_, owner)| owner.trial.is_some());
            self.gone.contains(&member.endpoint) && !trying
        })
    }

    /// The session that has a live route.
    pub(crate) fn owner_of(&self, route: RouteId) -> Option<(Sid, &Session)> {
        let entry = self.table.get(route)?;
        let identity =
            Identity { service: entry.service.clone(), instance: entry.instance.clone() };
        let seat = self.seats.get(&identity)?;
        let sessions = seat.sessions.iter().filter_map(|sid| Some((*sid, self.session(*sid)?)));
        sessions.into_iter().find(|(_, session)| session.active.contains(&route))
    }

    /// What becomes of the routes that keys are taken from.
    pub(crate) fn released(&self, taken: &Taken) -> Vec<Released> {
        let routes = taken.by_route.iter();
        routes
            .filter_map(|(route, lost)| {
                let (sid, _) = self.owner_of(*route)?;
                let entry = self.table.get(*route)?;
                let rest = match lost {
                    Lost::Everything => None,
                    Lost::These(lost) => without(&entry.spec, lost),
                };
                Some(Released { sid, route: *route, rest })
            })
            .collect()
    }
}

/// A route without some of its domains; `None` when none is left.
fn without(spec: &RouteSpec, lost: &BTreeSet<HostPattern>) -> Option<RouteSpec> {
    let kept = spec.domains.iter().filter(|domain| !lost.contains(domain));
    let domains: Vec<HostPattern> = kept.cloned().collect();
    (!domains.is_empty()).then(|| RouteSpec { domains, ..spec.clone() })
}
