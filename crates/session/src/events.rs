//! SUBSCRIBE and UNSUBSCRIBE, and who is told what.

use std::collections::BTreeSet;

use model::{ConnId, Event, EventKind, Push, Record, Refusal, Reply, RouteId, Version};

use crate::answering::Outcome;
use crate::bounds::WATCHES_PER_CONNECTION_MAX;
use crate::state::{Session, Sid, Ticket};
use crate::{Output, Peer, Registry};

impl Registry {
    /// `None` is `all`. An operator's connection watches the session it names.
    pub(crate) fn subscribe(
        &mut self,
        ticket: Ticket,
        sid: Sid,
        kind: Option<EventKind>,
    ) -> Outcome {
        let kinds = kinds(kind);
        if self.is_v1(ticket) {
            return Err(Refusal::new("events need a v2 session"));
        }
        if self.is_operator(ticket.conn) {
            self.watch(ticket.conn, sid, &kinds)?;
        } else {
            let Some(session) = self.sessions.get_mut(&sid) else {
                return Err(Refusal::SESSION_NOT_FOUND);
            };
            if session.version == Version::V1 {
                return Err(Refusal::new("events need a v2 session"));
            }
            session.subscriptions.extend(kinds);
            self.remember_subscriptions(sid);
        }
        Ok(Reply::SubscribeOk.into())
    }

    pub(crate) fn unsubscribe(
        &mut self,
        ticket: Ticket,
        sid: Sid,
        kind: Option<EventKind>,
    ) -> Outcome {
        let kinds = kinds(kind);
        let operator = self.is_operator(ticket.conn);
        let Some(session) = self.sessions.get_mut(&sid) else {
            return Err(Refusal::SESSION_NOT_FOUND);
        };
        if operator {
            if let Some(watched) = session.watchers.get_mut(&ticket.conn) {
                watched.retain(|kind| !kinds.contains(kind));
                if watched.is_empty() {
                    session.watchers.remove(&ticket.conn);
                    if let Some(conn) = self.conns.get_mut(&ticket.conn) {
                        conn.watches.remove(&sid);
                    }
                }
            }
        } else {
            session.subscriptions.retain(|kind| !kinds.contains(kind));
            self.remember_subscriptions(sid);
        }
        Ok(Reply::UnsubscribeOk.into())
    }

    pub(crate) fn is_operator(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_some_and(|conn| conn.peer == Peer::Operator)
    }

    fn watch(
        &mut self,
        conn: ConnId,
        sid: Sid,
        kinds: &BTreeSet<EventKind>,
    ) -> Result<(), Refusal> {
        let Some(held) = self.conns.get_mut(&conn) else { return Err(Refusal::NO_SESSION) };
        if !held.watches.contains(&sid) && held.watches.len() >= WATCHES_PER_CONNECTION_MAX {
            let max = WATCHES_PER_CONNECTION_MAX;
            return Err(Refusal::new(format!("too many sessions watched (max {max})")));
        }
        let Some(session) = self.sessions.get_mut(&sid) else {
            return Err(Refusal::SESSION_NOT_FOUND);
        };
        held.watches.insert(sid);
        session.watchers.entry(conn).or_default().extend(kinds);
        Ok(())
    }

    /// A connection watches nothing any more.
    pub(crate) fn unwatch_all(&mut self, conn: ConnId) {
        let Some(held) = self.conns.get_mut(&conn) else { return };
        for sid in std::mem::take(&mut held.watches) {
            if let Some(session) = self.sessions.get_mut(&sid) {
                session.watchers.remove(&conn);
            }
        }
    }

    /// Nobody watches a session any more.
    pub(crate) fn unwatch_session(&mut self, sid: Sid) {
        let Some(session) = self.sessions.get_mut(&sid) else { return };
        for conn in std::mem::take(&mut session.watchers).into_keys() {
            if let Some(held) = self.conns.get_mut(&conn) {
                held.watches.remove(&sid);
            }
        }
    }

    fn remember_subscriptions(&mut self, sid: Sid) {
        let Some(session) = self.session(sid) else { return };
        let row = session.row();
        self.write_behind(vec![Record::PutSession(row)]);
    }

    /// Tells a session of something, if it wants to know, and whoever watches it.
    pub(crate) fn tell(&mut self, sid: Sid, event: &Event) {
        let Some(session) = self.session(sid) else { return };
        let kind = event.kind();
        let own = session.subscriptions.contains(&kind) && session.version == Version::V2;
        let own = session.connection().filter(|_| own);
        let watching = session.watchers.iter().filter(|(_, kinds)| kinds.contains(&kind));
        let conns: Vec<ConnId> = own.into_iter().chain(watching.map(|(conn, _)| *conn)).collect();
        for conn in conns {
            self.emit(Output::Push(conn, Push::Event(event.clone())));
        }
    }

    /// Something happened outside: whose it is, is told, and what must outlive us is remembered.
    pub(crate) fn happened(&mut self, event: &Event) {
        let concerned: Vec<Sid> = match event {
            Event::BackendHealthChanged { route, healthy, reason } => {
                self.remember_health(*route, *healthy);
                self.tell_checked(*route, *healthy, reason);
                self.owner_of(*route).map(|(sid, _)| sid).into_iter().collect()
            }
            Event::CircuitStateChanged { route, .. } => {
                self.owner_of(*route).map(|(sid, _)| sid).into_iter().collect()
            }
            Event::CertRenewed { domain, .. } => self.sessions_with(domain, event.kind()),
            Event::GlobalConfigChanged { .. } => self.sessions.keys().copied().collect(),
            // These are the machine's own.
            Event::Drained { .. }
            | Event::ConfigReverted { .. }
            | Event::ConfigExpiring { .. }
            | Event::MaintenanceChanged { .. } => Vec::new(),
        };
        concerned.into_iter().for_each(|sid| self.tell(sid, event));
    }

    pub(crate) fn tell_checked(&mut self, route: RouteId, healthy: bool, reason: &str) {
        let Some(entry) = self.table.get(route) else { return };
        let (service, instance) = (entry.service.clone(), entry.instance.clone());
        let backend = entry.spec.backend.clone();
        self.emit(Output::Checked(service, instance, backend, healthy, reason.into()));
    }

    /// Sessions that want to know of a domain and have a route on it.
    fn sessions_with(&self, domain: &str, kind: EventKind) -> Vec<Sid> {
        let wants = |session: &Session| {
            session.subscriptions.contains(&kind) || !session.watchers.is_empty()
        };
        let has = |session: &Session| {
            let entries = session.active.iter().filter_map(|route| self.table.get(*route));
            let mut domains = entries.flat_map(|entry| &entry.spec.domains);
            domains.any(|pattern| pattern.matches(domain) || pattern.to_string() == domain)
        };
        let sessions = self.sessions.iter();
        sessions.filter(|(_, s)| wants(s) && has(s)).map(|(sid, _)| *sid).collect()
    }

    /// The proxy is about to end.
    pub(crate) fn shutdown(&mut self) {
        let held = self.sessions.values().filter(|session| session.version == Version::V2);
        let conns: Vec<ConnId> = held.filter_map(Session::connection).collect();
        for conn in conns {
            self.emit(Output::Push(conn, Push::Shutdown));
        }
        // Ids that were only set aside are not lost when it ends in good order.
        if self.flights.is_empty() {
            self.ids.release();
        }
        self.counted = self.generation;
        let records = vec![self.counters()];
        self.write_behind(records);
    }
}

fn kinds(kind: Option<EventKind>) -> BTreeSet<EventKind> {
    match kind {
        Some(kind) => BTreeSet::from([kind]),
        None => EventKind::ALL.into_iter().map(|(kind, _)| kind).collect(),
    }
}
