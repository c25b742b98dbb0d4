//! Connections, and which session each one holds.

use model::{ConnId, Line, Now, Refusal};

use crate::deadline::Due;
use crate::state::{Conn, Held, Sid, Standing};
use crate::{Output, Peer, Registry};

impl Registry {
    pub(crate) fn connected(&mut self, conn: ConnId, peer: Peer, now: Now) {
        let fresh = Conn {
            peer,
            credential: None,
            standing: Standing::Fresh,
            pending: None,
            watches: Default::default(),
        };
        let before = self.conns.insert(conn, fresh);
        debug_assert!(before.is_none(), "connection {conn:?} was there already");
        self.idle_from(conn, now);
    }

    /// The session that a command is about.
    pub(crate) fn named(&self, conn: ConnId, line: &Line) -> Result<Sid, Refusal> {
        let Some(held) = self.conns.get(&conn) else { return Err(Refusal::NO_SESSION) };
        let Some(id) = &line.session else {
            let is_fresh = held.standing == Standing::Fresh;
            return Err(if is_fresh { Refusal::NO_SESSION } else { Refusal::INVALID_SESSION });
        };
        if held.peer == Peer::Operator {
            return self.named_by_operator(id.as_str()).ok_or(Refusal::SESSION_NOT_FOUND);
        }
        match &held.standing {
            Standing::Fresh => Err(Refusal::NO_SESSION),
            Standing::Void(old, _) if old == id => Err(Refusal::SESSION_NOT_FOUND),
            Standing::Void(..) | Standing::Closing => Err(Refusal::INVALID_SESSION),
            Standing::Holds(sid) => match self.session(*sid) {
                Some(session) if session.id == *id => Ok(*sid),
                Some(_) | None => Err(Refusal::INVALID_SESSION),
            },
        }
    }

    /// By its id, or as `service/instance`.
    fn named_by_operator(&self, name: &str) -> Option<Sid> {
        let by_id = model::SessionId::parse(name).ok().and_then(|id| self.by_id.get(&id).copied());
        let by_name = || {
            name.match_indices('/').find_map(|(at, _)| {
                let service = model::ServiceName::parse(&name[..at]).ok()?;
                let instance = model::InstanceName::parse(&name[at + 1..]).ok()?;
                let identity = crate::state::Identity { service, instance };
                self.seats.get(&identity)?.sessions.last().copied()
            })
        };
        let sid = by_id.or_else(by_name)?;
        let replaced = matches!(self.session(sid)?.held, Held::Replaced { .. });
        (!replaced).then_some(sid)
    }

    /// From where a change came, for the history.
    pub(crate) fn origin(&self, conn: ConnId) -> Box<str> {
        let Some(held) = self.conns.get(&conn) else { return "connection lost".into() };
        let from = match &held.peer {
            Peer::Tcp(address) => address.to_string(),
            Peer::Local => "local".to_owned(),
            Peer::Operator => "operator".to_owned(),
        };
        match &held.credential {
            Some(credential) => format!("{from} as {}", credential.name).into(),
            None => from.into(),
        }
    }

    /// The session of a connection was replaced or has ended.
    pub(crate) fn void(&mut self, conn: ConnId, sid: Sid, now: Now) {
        let Some(session) = self.sessions.get(&sid) else { return };
        let Some(held) = self.conns.get_mut(&conn) else { return };
        if held.standing != Standing::Holds(sid) {
            return;
        }
        held.standing = Standing::Void(session.id.clone(), session.identity.clone());
        self.idle_from(conn, now);
    }

    /// Lets go of a connection that is to be closed.
    pub(crate) fn close(&mut self, conn: ConnId) {
        let Some(held) = self.conns.get_mut(&conn) else { return };
        if held.standing == Standing::Closing {
            return;
        }
        let identity = match std::mem::replace(&mut held.standing, Standing::Closing) {
            Standing::Holds(sid) => self.sessions.get(&sid).map(|s| s.identity.clone()),
            Standing::Void(_, identity) => Some(identity),
            Standing::Fresh | Standing::Closing => None,
        };
        if let Some(query) = held.pending.take().and_then(|pending| pending.query) {
            self.queries.remove(&query);
        }
        self.deadlines.clear(Due::Answer(conn));
        self.deadlines.clear(Due::Idle(conn));
        self.unwatch_all(conn);
        if let Some(identity) = identity {
            self.unlink_all(&identity, conn);
        }
        self.emit(Output::Close(conn));
    }

    /// A connection has had no session for long.
    pub(crate) fn idle(&mut self, conn: ConnId) {
        let Some(held) = self.conns.get(&conn) else { return };
        match held.standing {
            Standing::Fresh | Standing::Void(..) => self.close(conn),
            Standing::Holds(_) | Standing::Closing => {}
        }
    }

    /// A connection is gone: its session is away from now on.
    pub(crate) fn lost(&mut self, conn: ConnId, now: Now) {
        self.unwatch_all(conn);
        let Some(held) = self.conns.remove(&conn) else { return };
        if let Some(query) = held.pending.and_then(|pending| pending.query) {
            self.queries.remove(&query);
        }
        self.deadlines.clear(Due::Answer(conn));
        self.deadlines.clear(Due::Idle(conn));
        match held.standing {
            Standing::Holds(sid) => self.away_from(sid, conn, now),
            Standing::Void(_, identity) => self.unlink_all(&identity, conn),
            Standing::Fresh | Standing::Closing => {}
        }
    }
}
