//! Which endpoints fail, as far as it was heard, so that it is known after a restart (SPEC 2.5).
//!
//! What is learned belongs to an endpoint and outlives any route; what is remembered stands at a
//! route. So one live route of each failing endpoint bears the mark, and hands it on when it goes.

use std::collections::{BTreeMap, BTreeSet};

use model::{Record, RouteId};
use routing::EndpointId;

use crate::state::Sid;
use crate::{Output, Registry};

/// Failing endpoints, and the route that each is remembered by.
pub(crate) type Failing = BTreeMap<EndpointId, RouteId>;

/// Why a backend is ill that nobody has checked in this life.
const REMEMBERED: &str = "failed its checks before the restart";

impl Registry {
    /// A route's backend fails, or is well again.
    pub(crate) fn remember_health(&mut self, route: RouteId, healthy: bool) {
        let Some(endpoint) = self.table.endpoint_of(route) else { return };
        let marked = self.failing.get(&endpoint).copied();
        match (healthy, marked) {
            (false, None) => {
                self.failing.insert(endpoint, route);
                self.write_behind(vec![Record::PutHealth(route, false)]);
            }
            (true, Some(marked)) => {
                self.failing.remove(&endpoint);
                self.write_behind(vec![Record::PutHealth(marked, true)]);
            }
            (false, Some(_)) | (true, None) => {}
        }
    }

    /// Takes up what is remembered, and tells it once the table is published.
    pub(crate) fn restore_health(&mut self, remembered: BTreeSet<RouteId>) {
        let mut spare = Vec::new();
        for route in remembered {
            let Some(endpoint) = self.table.endpoint_of(route) else { continue };
            if *self.failing.entry(endpoint).or_insert(route) != route {
                spare.push(Record::PutHealth(route, true));
            }
        }
        // A kill came between a change and the marks that it moved.
        if !spare.is_empty() {
            self.write_behind(spare);
        }
        if !self.failing.is_empty() {
            self.emit(Output::Failing(self.failing.values().copied().collect()));
        }
    }

    /// Tells whoever knows instances which of their backends fail, as far as it is remembered.
    pub(crate) fn tell_remembered(&mut self) {
        let routes: Vec<RouteId> = self.failing.values().copied().collect();
        routes.into_iter().for_each(|route| self.tell_checked(route, false, REMEMBERED));
    }

    /// Of routes that are taken out or put anew, those that bear a mark.
    pub(crate) fn marked(&self, leaving: &[(Sid, RouteId)]) -> Vec<(Sid, RouteId, EndpointId)> {
        if self.failing.is_empty() {
            return Vec::new();
        }
        let marked = |(sid, route): &(Sid, RouteId)| {
            let endpoint = self.table.endpoint_of(*route)?;
            (self.failing.get(&endpoint) == Some(route)).then_some((*sid, *route, endpoint))
        };
        leaving.iter().filter_map(marked).collect()
    }

    /// Marks whose routes lead there no longer go to another one that does, or are gone.
    pub(crate) fn hand_on_marks(
        &mut self,
        mut left: Vec<(Sid, RouteId, EndpointId)>,
        coming: &[(Sid, RouteId)],
    ) {
        left.retain(|(_, route, endpoint)| self.table.endpoint_of(*route) != Some(*endpoint));
        if left.is_empty() {
            return;
        }
        let heirs = self.heirs(&left, coming);
        let (mut gone, mut marked) = (Vec::new(), Vec::new());
        for (_, route, endpoint) in left {
            // It may have been written down after its new backend.
            if self.table.get(route).is_some() {
                gone.push(Record::PutHealth(route, true));
            }
            match heirs.get(&endpoint) {
                Some(heir) => {
                    self.failing.insert(endpoint, *heir);
                    marked.push(Record::PutHealth(*heir, false));
                }
                None => drop(self.failing.remove(&endpoint)),
            }
        }
        gone.append(&mut marked);
        if !gone.is_empty() {
            self.write_behind(gone);
        }
    }

    /// A route that leads to each of these endpoints, if there is one: it belongs to the same
    /// identity.
    fn heirs(&self, left: &[(Sid, RouteId, EndpointId)], coming: &[(Sid, RouteId)]) -> Failing {
        let wanted: BTreeSet<EndpointId> = left.iter().map(|(.., endpoint)| *endpoint).collect();
        let sids: BTreeSet<Sid> = left.iter().map(|(sid, ..)| *sid).collect();
        let identities = sids.iter().filter_map(|sid| Some(&self.session(*sid)?.identity));
        let sessions = identities.flat_map(|identity| self.sessions_of(identity));
        let others = sessions.flat_map(|session| session.active.iter());
        let routes = others.chain(coming.iter().map(|(_, route)| route));
        let leads = routes.filter_map(|route| Some((self.table.endpoint_of(*route)?, *route)));
        leads.filter(|(endpoint, _)| wanted.contains(endpoint)).collect()
    }
}
