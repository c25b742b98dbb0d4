//! Sessions whose connection is gone: how long they may be reconnected to, and how long their
//! routes serve on.

use model::{ConnId, Now, Record, Version};

use crate::bounds::{IDLE, PINGS_MIN, SILENCE, SILENT_INTERVALS};
use crate::deadline::Due;
use crate::ending::GRACE_OVER;
use crate::state::{Held, Identity, Pulse, Session, Sid, Standing};
use crate::{Note, Peer, Registry};

impl Registry {
    /// A connection takes a session, if it is free to; the session's clocks of grace stop.
    pub(crate) fn hold(&mut self, conn: ConnId, sid: Sid, now: Now) -> bool {
        let Some(session) = self.sessions.get(&sid) else { return false };
        let identity = session.identity.clone();
        let Some(held) = self.conns.get(&conn) else { return false };
        match held.standing.clone() {
            Standing::Closing => return false,
            // A registration that came too late for its answer: the connection has moved on.
            Standing::Holds(other) if other != sid => return false,
            Standing::Fresh | Standing::Holds(_) => {}
            // The process behind it is somebody else from now on.
            Standing::Void(_, old) if old != identity => self.unlink_all(&old, conn),
            Standing::Void(..) => {}
        }
        if let Some(held) = self.conns.get_mut(&conn) {
            held.standing = Standing::Holds(sid);
        }
        if let Some(session) = self.sessions.get_mut(&sid) {
            session.held = Held::By(conn);
            session.connected_at = now.wall;
            session.last_activity = now.wall;
            session.pulse = Pulse { heard: now.mono, ..Pulse::default() };
        }
        self.deadlines.clear(Due::Idle(conn));
        self.deadlines.clear(Due::Expiry(sid));
        self.deadlines.clear(Due::Routes(sid));
        self.refresh_all(&identity);
        true
    }

    /// A session's connection is gone.
    pub(crate) fn away_from(&mut self, sid: Sid, conn: ConnId, now: Now) {
        let Some(session) = self.sessions.get(&sid) else { return };
        if session.held != Held::By(conn) {
            return;
        }
        let identity = session.identity.clone();
        let (service, instance) = (identity.service.clone(), identity.instance.clone());
        self.note(Note::Disconnected { service, instance, routes: session.active.len() });
        self.begin_away(sid, now);
        // What it replaced over the same connection has lost it too.
        self.unlink_all(&identity, conn);
    }

    /// Starts the clocks of grace.
    pub(crate) fn begin_away(&mut self, sid: Sid, now: Now) {
        let grace = self.grace(sid);
        let resume = self.config.session_expiry.min(grace);
        self.begin_away_for(sid, resume, grace, now);
    }

    /// Starts the clocks of grace with these times.
    pub(crate) fn begin_away_for(
        &mut self,
        sid: Sid,
        resume: std::time::Duration,
        grace: std::time::Duration,
        now: Now,
    ) {
        let Some(session) = self.sessions.get_mut(&sid) else { return };
        self.deadlines.clear(Due::Silence(sid));
        if session.pinned {
            session.held = Held::Pinned;
            return;
        }
        session.held = Held::Away;
        self.deadlines.set(Due::Expiry(sid), now.mono.after(resume));
        self.deadlines.set(Due::Routes(sid), now.mono.after(grace));
    }

    fn grace(&self, sid: Sid) -> std::time::Duration {
        match self.session(sid).map(|session| session.version) {
            Some(Version::V1) => self.config.v1_route_grace,
            Some(Version::V2) | None => self.config.route_grace,
        }
    }

    /// A connection is gone from the sessions of an identity that were replaced.
    pub(crate) fn unlink_all(&mut self, identity: &Identity, conn: ConnId) {
        let sessions = self.seats.get(identity).map_or(Vec::new(), |seat| seat.sessions.clone());
        for sid in sessions {
            let Some(session) = self.sessions.get_mut(&sid) else { continue };
            if let Held::Replaced { link, .. } = &mut session.held
                && *link == Some(conn)
            {
                *link = None;
            }
        }
        self.refresh_all(identity);
    }

    /// An away session can no longer be reconnected to. Its routes may have longer.
    pub(crate) fn expire(&mut self, sid: Sid, due: Due, _now: Now) {
        if self.postponed(sid, due) {
            return;
        }
        let Some(session) = self.sessions.get_mut(&sid) else { return };
        if session.held != Held::Away {
            return;
        }
        if session.active.is_empty() && session.trial.is_none() {
            let id = session.id.clone();
            self.note_ended(sid, "session expired");
            self.write_behind(vec![Record::RemoveSession(id)]);
            return self.forget_session(sid);
        }
        session.held = Held::Lapsed;
        let id = session.id.clone();
        if !session.staging.is_empty() {
            self.drop_draft(sid);
            self.write_behind(vec![Record::DropDraft(id)]);
        }
        self.withdraw_offers(sid);
    }

    /// The routes of a session that nobody came back for leave, and it with them.
    pub(crate) fn route_grace_over(&mut self, sid: Sid, due: Due, now: Now) {
        if self.postponed(sid, due) {
            return;
        }
        match self.session(sid).map(|session| session.held) {
            Some(Held::Away | Held::Lapsed | Held::Replaced { .. }) => {
                self.end_in_time(sid, GRACE_OVER, now);
            }
            Some(Held::By(_) | Held::Pinned) | None => {}
        }
    }

    /// A session spoke.
    pub(crate) fn heard(&mut self, sid: Sid, conn: ConnId, is_ping: bool, now: Now) {
        let Some(session) = self.sessions.get_mut(&sid) else { return };
        if session.held != Held::By(conn) {
            return;
        }
        session.last_activity = now.wall;
        let pulse = &mut session.pulse;
        pulse.heard = now.mono;
        if !is_ping {
            return;
        }
        if let Some(before) = pulse.last_ping.replace(now.mono) {
            pulse.interval = pulse.interval.max(now.mono.since(before));
        }
        pulse.pings = pulse.pings.saturating_add(1);
        if pulse.pings == PINGS_MIN {
            self.deadlines.set(Due::Silence(sid), now.mono.after(SILENCE));
        }
    }

    /// A session that used to ping may have been silent for too long. The deadline is not moved
    /// with each ping, so it may come early.
    pub(crate) fn silent(&mut self, sid: Sid, now: Now) {
        let Some(session) = self.sessions.get(&sid) else { return };
        let Held::By(conn) = session.held else { return };
        let may_be_silent = SILENCE.max(session.pulse.interval.saturating_mul(SILENT_INTERVALS));
        let until = session.pulse.heard.after(may_be_silent);
        if until > now.mono {
            return self.deadlines.set(Due::Silence(sid), until);
        }
        self.close(conn);
        self.away_from(sid, conn, now);
    }

    /// A connection has no session from now on.
    pub(crate) fn idle_from(&mut self, conn: ConnId, now: Now) {
        if self.conns.get(&conn).is_some_and(|held| held.peer != Peer::Operator) {
            self.deadlines.set(Due::Idle(conn), now.mono.after(IDLE));
        }
    }

    pub(crate) fn note_ended(&mut self, sid: Sid, reason: &'static str) {
        let Some(session) = self.sessions.get(&sid) else { return };
        let Session { identity, active, .. } = session;
        let (service, instance) = (identity.service.clone(), identity.instance.clone());
        self.note(Note::Ended { service, instance, reason, routes: active.len() });
    }
}
