//! REGISTER: a session begins, and one of the same identity is replaced (SPEC 2.3).

use model::{
    InstanceName, Line, Now, Record, Refusal, Registration, Reply, ServiceName, SessionId,
    SessionRow, Version,
};

use resilience::ClientKey;

use crate::answering::{Done, Outcome};
use crate::deadline::Due;
use crate::flight::{Op, Prepared, Waits};
use crate::state::{Held, Identity, Session, Sid, Standing, Ticket};
use crate::{Note, Output, Peer, Registry};

/// A session about to begin.
#[derive(Debug)]
pub(crate) struct Newcomer {
    row: SessionRow,
    /// Where it counts.
    peer: Option<ClientKey>,
}

impl Newcomer {
    /// Where it counts.
    pub(crate) fn peer(&self) -> Option<ClientKey> {
        self.peer
    }
}

impl Registry {
    pub(crate) fn register(
        &mut self,
        ticket: Ticket,
        registration: &Registration,
        line: Line,
        now: Now,
    ) -> Outcome {
        let (identity, version) = identify(registration)?;
        self.may_register(ticket.conn, &identity.service)?;
        if let Some(Standing::Holds(sid)) = self.conns.get(&ticket.conn).map(|c| &c.standing)
            && self.session(*sid).is_some_and(|session| session.identity != identity)
        {
            return Err(Refusal::new("already registered"));
        }
        if self.is_busy(&identity) {
            return self.wait(&identity, ticket, line);
        }
        let max = self.config.sessions_max;
        if self.sessions.len() + self.registering - self.without_routes(&identity).len() >= max {
            return Err(Refusal::new(format!("too many sessions (max {max})")));
        }
        let peer = self.conns.get(&ticket.conn).and_then(|held| held.peer.counted());
        self.has_room_for_peer(peer, &identity)?;
        let row = self.newcomer(ticket, registration, &identity, version, now);
        let mut records = self.replacement_records(&identity, &row.session);
        records.push(Record::PutSession(row.clone()));
        self.registering += 1;
        self.peers.enter(peer);
        self.launch(Prepared {
            ticket: Some(ticket),
            op: Op::Register(Box::new(Newcomer { row, peer })),
            records,
            waits: Waits::ForTheDisk,
            locks: vec![identity],
            claims: None,
            coming: 0,
        });
        Ok(Done::Later)
    }

    fn newcomer(
        &mut self,
        ticket: Ticket,
        registration: &Registration,
        identity: &Identity,
        version: Version,
        now: Now,
    ) -> SessionRow {
        let (session, maintenance_port, metadata) = match registration {
            Registration::V1 { hostname, service_port, maintenance_port, .. } => {
                let id = self.ids.session_id(hostname.as_str(), *service_port, now.wall);
                (id, *maintenance_port, None)
            }
            Registration::V2 { service, maintenance_port, metadata, .. } => {
                let id = self.ids.session_id(service.as_str(), *maintenance_port, now.wall);
                (id, *maintenance_port, metadata.clone())
            }
        };
        let trusted = match self.conns.get(&ticket.conn).map(|conn| &conn.peer) {
            Some(Peer::Operator | Peer::Local) => true,
            Some(Peer::Tcp(_)) | None => false,
        };
        SessionRow {
            session,
            service: identity.service.clone(),
            instance: identity.instance.clone(),
            version,
            maintenance_port,
            credential: self.credential_name(ticket.conn),
            pinned: trusted && metadata.as_deref().is_some_and(asks_to_be_pinned),
            metadata,
            registered_at: now.wall,
            last_apply: None,
            generation: None,
            subscriptions: Vec::new(),
            replaced_by: None,
        }
    }

    /// Sessions of an identity that nothing is left of when they are replaced.
    fn without_routes(&self, identity: &Identity) -> Vec<Sid> {
        let sessions = self.seats.get(identity).map_or(&[][..], |seat| &seat.sessions);
        let bare = |sid: &Sid| self.session(*sid).is_some_and(|s| s.active.is_empty());
        sessions.iter().copied().filter(bare).collect()
    }

    /// Sessions that this registration takes the place of count no longer.
    fn has_room_for_peer(
        &self,
        peer: Option<ClientKey>,
        identity: &Identity,
    ) -> Result<(), Refusal> {
        let Some(peer) = peer else { return Ok(()) };
        let going = self.without_routes(identity).into_iter();
        let going = going.filter(|sid| self.session(*sid).is_some_and(|s| s.peer == Some(peer)));
        let max = self.config.sessions_per_peer_max;
        if self.peers.count(peer).saturating_sub(going.count()) >= max {
            let refusal = format!("too many sessions from this address (max {max})");
            return Err(Refusal::new(refusal));
        }
        Ok(())
    }

    fn replacement_records(&self, identity: &Identity, by: &SessionId) -> Vec<Record> {
        let Some(seat) = self.seats.get(identity) else { return Vec::new() };
        let sessions = seat.sessions.iter().filter_map(|sid| self.session(*sid));
        let mut records = Vec::new();
        for session in sessions {
            if session.active.is_empty() {
                records.push(Record::RemoveSession(session.id.clone()));
                continue;
            }
            let row = SessionRow { replaced_by: Some(by.clone()), ..session.row() };
            records.push(Record::PutSession(row));
            if !session.staging.is_empty() {
                records.push(Record::DropDraft(session.id.clone()));
            }
            if session.drain.is_some() {
                records.push(Record::PutDrain(session.id.clone(), None));
            }
        }
        records
    }

    pub(crate) fn commit_register(&mut self, newcomer: Newcomer, ticket: Option<Ticket>, now: Now) {
        self.registering -= 1;
        let identity = Identity {
            service: newcomer.row.service.clone(),
            instance: newcomer.row.instance.clone(),
        };
        let sid = self.ids.next_session();
        self.replace_all(&identity, sid, &newcomer.row, now);
        let session = Session { peer: newcomer.peer, ..Session::new(newcomer.row, now.wall) };
        self.note(Note::Registered {
            service: identity.service.clone(),
            at: identity.instance.as_str().into(),
            session: session.id.clone(),
        });
        let (id, version) = (session.id.clone(), session.version);
        self.by_id.insert(id.clone(), sid);
        self.seats.entry(identity.clone()).or_default().sessions.push(sid);
        self.sessions.insert(sid, session);
        let Some(ticket) = ticket else { return };
        if self.hold(ticket.conn, sid, now) {
            self.emit(Output::Speaks(ticket.conn, version));
        } else {
            self.begin_away(sid, now);
            self.refresh_all(&identity);
        }
        self.answer(ticket, Reply::Registered(id));
    }

    /// Makes every session of an identity wait for the first apply of its successor, or ends it
    /// when it has no routes.
    fn replace_all(&mut self, identity: &Identity, by: Sid, row: &SessionRow, now: Now) {
        let bare = self.without_routes(identity);
        let all = self.seats.get(identity).map_or(Vec::new(), |seat| seat.sessions.clone());
        for sid in all {
            if let Some(conn) = self.session(sid).and_then(Session::connection) {
                self.void(conn, sid, now);
            }
            if bare.contains(&sid) {
                self.forget_session(sid);
                continue;
            }
            self.drop_draft(sid);
            self.end_drain(sid);
            self.withdraw_offers(sid);
            self.unwatch_session(sid);
            let Some(session) = self.sessions.get_mut(&sid) else { continue };
            let link = match session.held {
                Held::By(conn) => Some(conn),
                Held::Replaced { link, .. } => link,
                Held::Away | Held::Lapsed | Held::Pinned => None,
            };
            session.held = Held::Replaced { by, link };
            session.replaced_by = Some(row.session.clone());
            self.deadlines.clear(Due::Expiry(sid));
            self.deadlines.clear(Due::Silence(sid));
            let grace = match row.version {
                Version::V1 => self.config.v1_route_grace,
                Version::V2 => self.config.route_grace,
            };
            self.deadlines.set(Due::Routes(sid), now.mono.after(grace));
        }
    }
}

/// Whose registration it is. A v1 instance is `hostname:service_port`.
fn identify(registration: &Registration) -> Result<(Identity, Version), Refusal> {
    match registration {
        Registration::V1 { service, hostname, service_port, .. } => {
            let instance = format!("{hostname}:{service_port}");
            let instance = InstanceName::parse(&instance)
                .map_err(|error| Refusal::new(format!("hostname with its port {error}")))?;
            Ok((Identity { service: ServiceName::clone(service), instance }, Version::V1))
        }
        Registration::V2 { service, instance, .. } => {
            let identity = Identity { service: service.clone(), instance: instance.clone() };
            Ok((identity, Version::V2))
        }
    }
}

/// Whether metadata begins with `{"pinned":true`: how `apply --pin` asks for a lease that lasts
/// until it is removed. Only heeded on local sockets.
fn asks_to_be_pinned(metadata: &str) -> bool {
    let plain: String = metadata.chars().filter(|c| !c.is_ascii_whitespace()).take(15).collect();
    plain.strip_prefix(r#"{"pinned":true"#).is_some_and(|rest| rest == "}" || rest == ",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_key_pins() {
        for yes in [r#"{"pinned":true}"#, r#"{ "pinned" : true , "a": 1 }"#] {
            assert!(asks_to_be_pinned(yes), "{yes}");
        }
        for no in [r#"{"pinned":false}"#, r#"{"a":{"pinned":true}}"#, r#"{"pinned":trueish}"#, "{}"]
        {
            assert!(!asks_to_be_pinned(no), "{no}");
        }
    }

    #[test]
    fn a_v1_instance_is_host_and_port() {
        let v1 = |hostname: &str| Registration::V1 {
            service: ServiceName::parse("api").unwrap(),
            hostname: InstanceName::parse(hostname).unwrap(),
            service_port: 9000,
            maintenance_port: 9001,
        };
        let (identity, version) = identify(&v1("api-v2")).unwrap();
        assert_eq!((identity.instance.as_str(), version), ("api-v2:9000", Version::V1));
        let refused = identify(&v1(&"h".repeat(255))).unwrap_err();
        assert_eq!(refused.as_str(), "hostname with its port must be at most 255 bytes long");
    }
}
