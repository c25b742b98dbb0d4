//! What the data plane is told about endpoints: whether their registry connection is there, and
//! whether they drain.
//!
//! An endpoint belongs to one identity. It is present while a session that leads to it is held.
//! One that was replaced counts as held while both its old connection and its successor are there:
//! an old connection alone may be half-open for minutes.

use std::collections::BTreeSet;

use resilience::Drain;
use routing::EndpointId;

use crate::state::{Held, Identity, Session};
use crate::{MEMBER_BACKENDS_MAX, Member, Output, Registry};

impl Registry {
    /// Tells what has changed about all endpoints of an identity.
    pub(crate) fn refresh_all(&mut self, identity: &Identity) {
        let sessions = self.sessions_of(identity);
        let endpoints = sessions.flat_map(|session| session.endpoints.keys().copied()).collect();
        self.refresh(identity, &endpoints);
    }

    /// Tells what has changed about these endpoints of an identity.
    pub(crate) fn refresh(&mut self, identity: &Identity, endpoints: &BTreeSet<EndpointId>) {
        let (mut lost, mut back) = (Vec::new(), Vec::new());
        let (mut drains, mut full): (Vec<(EndpointId, Drain)>, _) = (Vec::new(), Vec::new());
        for endpoint in endpoints {
            let (present, drain) = match self.wanted(identity, *endpoint) {
                Some(wanted) => wanted,
                None => {
                    self.away.remove(endpoint);
                    self.gone.remove(endpoint);
                    self.draining.remove(endpoint);
                    continue;
                }
            };
            if !present && self.away.insert(*endpoint) {
                lost.push(*endpoint);
            }
            if present && self.away.remove(endpoint) {
                self.gone.remove(endpoint);
                back.push(*endpoint);
            }
            match drain {
                Some(drain) if self.draining.insert(*endpoint) => drains.push((*endpoint, drain)),
                None if self.draining.remove(endpoint) => full.push(*endpoint),
                Some(_) | None => {}
            }
        }
        if !lost.is_empty() {
            self.emit(Output::Presence(lost, false));
        }
        if !back.is_empty() {
            self.emit(Output::Presence(back, true));
        }
        if let Some((_, drain)) = drains.first().copied() {
            let endpoints = drains.into_iter().map(|(endpoint, _)| endpoint).collect();
            self.emit(Output::Drain(endpoints, Some(drain)));
        }
        if !full.is_empty() {
            self.emit(Output::Drain(full, None));
        }
        self.tell_member(identity);
    }

    /// Tells what is known of an instance, if it is something else than before.
    pub(crate) fn tell_member(&mut self, identity: &Identity) {
        let newest = self.sessions_of(identity).last();
        let member = newest.map(|newest| {
            let endpoints =
                self.sessions_of(identity).flat_map(|session| session.endpoints.values());
            let mut backends = BTreeSet::new();
            for led in endpoints {
                if backends.len() >= MEMBER_BACKENDS_MAX {
                    break;
                }
                backends.insert(led.backend.clone());
            }
            Box::new(Member {
                is_connected: self.sessions_of(identity).any(|session| self.is_present(session)),
                is_draining: newest.drain.is_some(),
                metadata: newest.metadata.clone(),
                backends: backends.into_iter().collect(),
            })
        });
        if member.as_deref() == self.told.get(identity) {
            return;
        }
        match &member {
            Some(member) => drop(self.told.insert(identity.clone(), Member::clone(member))),
            None => drop(self.told.remove(identity)),
        }
        let (service, instance) = (identity.service.clone(), identity.instance.clone());
        self.emit(Output::Member(service, instance, member));
    }

    /// Whether an endpoint is present, and its drain, by the newest session that leads to it;
    /// `None` when there is none.
    fn wanted(&self, identity: &Identity, endpoint: EndpointId) -> Option<(bool, Option<Drain>)> {
        let holders = || {
            self.sessions_of(identity).filter(|session| session.endpoints.contains_key(&endpoint))
        };
        let newest = holders().last()?;
        let present = holders().any(|session| self.is_present(session));
        Some((present, newest.drain.as_ref().map(|order| order.drain)))
    }

    /// Whether somebody vouches for the backends of a session.
    pub(crate) fn is_present(&self, session: &Session) -> bool {
        match session.held {
            Held::By(_) | Held::Pinned => true,
            Held::Replaced { link: Some(_), .. } => {
                let newest = self.sessions_of(&session.identity).last();
                newest.is_some_and(|newest| matches!(newest.held, Held::By(_) | Held::Pinned))
            }
            Held::Replaced { link: None, .. } | Held::Away | Held::Lapsed => false,
        }
    }

    pub(crate) fn sessions_of(&self, identity: &Identity) -> impl Iterator<Item = &Session> {
        let sids = self.seats.get(identity).map_or(&[][..], |seat| &seat.sessions);
        sids.iter().filter_map(|sid| self.session(*sid))
    }

    /// The data plane was refused a connection. It counts only while nobody vouches for the
    /// endpoint (SPEC 2.3).
    pub(crate) fn refused(&mut self, endpoint: EndpointId) {
        if self.away.contains(&endpoint) {
            self.gone.insert(endpoint);
        }
    }
}
