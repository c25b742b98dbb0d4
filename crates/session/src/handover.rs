//! HANDOVER_OFFER and HANDOVER_ACCEPT: a route changes its service in one publication.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    BackendUrl, Instant, Line, Now, Record, Refusal, Reply, RouteId, RouteSpec, SettingsEdits,
    StagedRoute,
};

use crate::Registry;
use crate::answering::{Done, Outcome};
use crate::apply::not_trying;
use crate::bounds::{OFFER_LASTS, OFFERS_PER_SESSION_MAX};
use crate::deadline::Due;
use crate::state::{Sid, Ticket};

/// Offers in force. They do not survive a restart.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    by_token: BTreeMap<Box<str>, Offer>,
    order: BTreeSet<(Instant, Box<str>)>,
}

/// A route offered to whoever has the token.
#[derive(Clone, Debug)]
struct Offer {
    sid: Sid,
    route: RouteId,
    until: Instant,
}

impl Offers {
    fn remove(&mut self, token: &str) -> Option<Offer> {
        let (token, offer) = self.by_token.remove_entry(token)?;
        self.order.remove(&(offer.until, token));
        Some(offer)
    }

    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.by_token.len(), self.order.len());
        self.by_token.len()
    }
}

impl Registry {
    pub(crate) fn handover_offer(&mut self, sid: Sid, route: RouteId, now: Now) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        if !session.active.contains(&route) {
            return Err(Refusal::ROUTE_NOT_FOUND);
        }
        not_trying(session)?;
        let earlier = session.offers.iter().find(|token| {
            self.offers.by_token.get(*token).is_some_and(|offer| offer.route == route)
        });
        let earlier = earlier.cloned();
        if earlier.is_none() && session.offers.len() >= OFFERS_PER_SESSION_MAX {
            let max = OFFERS_PER_SESSION_MAX;
            return Err(Refusal::new(format!("too many offers in this session (max {max})")));
        }
        if let Some(token) = earlier {
            self.withdraw(&token);
        }
        let token: Box<str> = self.ids.secret().into();
        let until = now.mono.after(OFFER_LASTS);
        self.offers.order.insert((until, token.clone()));
        self.offers.by_token.insert(token.clone(), Offer { sid, route, until });
        if let Some(session) = self.sessions.get_mut(&sid) {
            session.offers.insert(token.clone());
        }
        self.arm_offers();
        Ok(Reply::HandoverOk(token).into())
    }

    /// Stages taking the route over. The token is used up; the taking over is not offered again
    /// when it is rolled back.
    pub(crate) fn handover_accept(
        &mut self,
        ticket: Ticket,
        sid: Sid,
        token: &str,
        backend: &BackendUrl,
        line: &Line,
        now: Now,
    ) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        let offer = self.offers.by_token.get(token).cloned();
        let Some(offer) = offer else { return Err(Refusal::new("token is unknown or expired")) };
        let owner = self.session(offer.sid).filter(|owner| owner.active.contains(&offer.route));
        let (Some(owner), Some(entry)) = (owner, self.table.get(offer.route)) else {
            return Err(Refusal::ROUTE_NOT_FOUND);
        };
        if owner.identity.service == session.identity.service {
            return Err(Refusal::new("the route is this service's own already"));
        }
        let spec = RouteSpec { backend: backend.clone(), ..entry.spec.clone() };
        self.may_route(ticket.conn, None, &spec)?;
        let staged = StagedRoute::TakenOver { spec, from: offer.route };
        self.has_room_for_routes(session, 1)?;
        self.has_room(sid, std::slice::from_ref(&staged), &SettingsEdits::default())?;
        if !self.ids.has_reserved(1) {
            self.reserve_ids(ticket, sid, 1, line);
            return Ok(Done::Later);
        }
        let id = session.id.clone();
        let route = self.next_staged_route();
        self.withdraw(token);
        let records = vec![Record::StageRoute(id, route, Some(staged.clone()))];
        self.edit_draft(sid, |staging| staging.stage(route, staged));
        self.staged(sid, records, now);
        Ok(Reply::RouteAdded(route).into())
    }

    fn withdraw(&mut self, token: &str) {
        let Some(offer) = self.offers.remove(token) else { return };
        if let Some(session) = self.sessions.get_mut(&offer.sid) {
            session.offers.remove(token);
        }
        self.arm_offers();
    }

    /// Takes all offers of a session back.
    pub(crate) fn withdraw_offers(&mut self, sid: Sid) {
        let Some(session) = self.sessions.get_mut(&sid) else { return };
        for token in std::mem::take(&mut session.offers) {
            self.offers.remove(&token);
        }
        self.arm_offers();
    }

    pub(crate) fn offers_over(&mut self, now: Instant) {
        while let Some((until, token)) = self.offers.order.first()
            && *until <= now
        {
            let token = token.clone();
            self.withdraw(&token);
        }
        self.arm_offers();
    }

    fn arm_offers(&mut self) {
        match self.offers.order.first() {
            Some((until, _)) => self.deadlines.set(Due::Offers, *until),
            None => self.deadlines.clear(Due::Offers),
        }
    }
}
