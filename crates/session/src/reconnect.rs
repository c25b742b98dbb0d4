//! RECONNECT: a session goes on over another connection (SPEC 2.3).

use model::{Line, Now, Refusal, Reply};

use crate::answering::Outcome;
use crate::state::{Held, Session, Sid, Standing, Ticket};
use crate::{Note, Output, Registry};

impl Registry {
    pub(crate) fn reconnect(&mut self, ticket: Ticket, line: Line, now: Now) -> Outcome {
        let Some(id) = &line.session else { return Err(Refusal::INVALID_SESSION) };
        let sid = self.by_id.get(id).copied();
        match self.conns.get(&ticket.conn).map(|conn| &conn.standing) {
            Some(Standing::Holds(held)) if Some(*held) != sid => {
                return Err(Refusal::INVALID_SESSION);
            }
            Some(Standing::Holds(_)) => return Ok(Reply::Ok.into()),
            Some(Standing::Fresh | Standing::Void(..) | Standing::Closing) | None => {}
        }
        let Some((sid, session)) = sid.and_then(|sid| Some((sid, self.session(sid)?))) else {
            return Ok(Reply::Reregister.into());
        };
        // Whoever holds the id learns nothing of whose it is.
        if !self.may_reconnect(ticket.conn, session) {
            return Ok(Reply::Reregister.into());
        }
        let identity = session.identity.clone();
        if self.is_busy(&identity) {
            return self.wait(&identity, ticket, line);
        }
        let old = match session.held {
            Held::By(old) => Some(old),
            Held::Away | Held::Pinned => None,
            Held::Lapsed | Held::Replaced { .. } => return Ok(Reply::Reregister.into()),
        };
        if let Some(old) = old {
            // The old connection may be half-open for minutes; the newest one wins.
            self.close(old);
        }
        self.take(ticket, sid, now);
        Ok(Reply::Ok.into())
    }

    fn take(&mut self, ticket: Ticket, sid: Sid, now: Now) {
        self.hold(ticket.conn, sid, now);
        let Some(Session { version, identity, .. }) = self.sessions.get(&sid) else { return };
        let (version, identity) = (*version, identity.clone());
        self.emit(Output::Speaks(ticket.conn, version));
        self.note(Note::Reconnected { service: identity.service, instance: identity.instance });
    }
}
