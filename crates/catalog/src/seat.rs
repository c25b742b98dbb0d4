//! What all sources say about one identity, and what is shown of that.

use std::sync::Arc;

use imbl::OrdMap;
use model::{Instant, UnixMillis};

use crate::{
    Check, Endpoint, Facts, Given, Health, Identity, Instance, Lease, Place, Source, State,
};

/// Everything about one identity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seat {
    pub(crate) claims: OrdMap<Source, Claim>,
    /// By the name of the endpoint. One that is elsewhere now was not checked.
    pub(crate) checks: OrdMap<Box<str>, (Place, Check)>,
}

/// What one source says about one identity.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) id: Box<str>,
    pub(crate) facts: Arc<Facts>,
    pub(crate) lease: Lease,
    pub(crate) state: State,
    pub(crate) state_since: UnixMillis,
    pub(crate) registered_at: UnixMillis,
    pub(crate) updated_at: UnixMillis,
    pub(crate) last_seen: Option<UnixMillis>,
    pub(crate) given: Option<Given>,
    pub(crate) expires: Option<Instant>,
}

impl Seat {
    /// The endpoints of that name, that of the source that is believed first.
    pub(crate) fn named(&self, name: &str) -> impl Iterator<Item = &Endpoint> {
        let all = self.claims.values().flat_map(|claim| &claim.facts.endpoints);
        all.filter(move |held| *held.name == *name)
    }

    /// What was found about endpoints that nobody speaks of any more.
    pub(crate) fn forget_checks(&mut self) {
        let checks = std::mem::take(&mut self.checks);
        let is_there = |name: &str, place: &Place| self.named(name).any(|held| held.is_at(place));
        self.checks =
            checks.into_iter().filter(|(name, (place, _))| is_there(name, place)).collect();
    }

    /// By the source that is believed.
    pub(crate) fn shown(&self, identity: &Identity, checks: bool) -> Option<Instance> {
        let (source, claim) = self.claims.get_min()?;
        let found = |endpoint: &Endpoint| {
            let (_, check) =
                self.checks.get(&endpoint.name).filter(|(at, _)| endpoint.is_at(at))?;
            Some((endpoint.name.clone(), check.clone()))
        };
        let found: Vec<_> = claim.facts.endpoints.iter().filter_map(found).collect();
        let is_checked = checks && source.is_silent();
        let is = |health| move |(_, check): &&(Box<str>, Check)| check.found.health == health;
        let answered = found.iter().filter(is(Health::Well)).map(|(_, check)| check.at).max();
        // An endpoint that answers a check is heard of.
        let last_seen = claim.last_seen.max(answered.filter(|_| is_checked));
        // Neither its connection nor any of its endpoints is there.
        let ill = found.iter().filter(is(Health::Ill)).map(|(_, check)| check.at).min();
        let all_ill = found.iter().filter(is(Health::Ill)).count() == claim.facts.endpoints.len();
        let (state, state_since) = match (claim.lease, ill) {
            (Lease::Connection(false), Some(at)) if all_ill => (State::Failed, at),
            (Lease::Connection(_) | Lease::Heartbeat | Lease::Pinned, _) => {
                (claim.state, claim.state_since)
            }
        };
        Some(Instance {
            identity: identity.clone(),
            id: claim.id.clone(),
            source: *source,
            sources: self.claims.keys().copied().collect(),
            facts: Arc::clone(&claim.facts),
            lease: claim.lease,
            state,
            state_since,
            registered_at: claim.registered_at,
            updated_at: claim.updated_at,
            last_seen,
            given: self.claims.values().find_map(|claim| claim.given),
            checks: found,
            is_checked,
        })
    }
}
