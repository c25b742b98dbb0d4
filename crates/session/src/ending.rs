//! The end of a session: its routes are gone at once, requests under way finish.

use model::{Generation, HistoryRow, Now, Record, Reply, RouteId};
use routing::Edit;

use crate::Registry;
use crate::answering::{Done, Outcome};
use crate::deadline::Due;
use crate::flight::{Op, Prepared, Waits};
use crate::state::{Session, Sid, Ticket};

/// Why a session ends whose grace is over.
pub(crate) const GRACE_OVER: &str = "grace over";

/// Sessions of one identity about to end.
#[derive(Debug)]
pub(crate) struct Ending {
    sids: Vec<Sid>,
    reason: &'static str,
    generation: Generation,
    reply: Option<Reply>,
}

impl Registry {
    /// SHUTDOWN and CLIENT_SHUTDOWN. What the session replaced goes with it.
    pub(crate) fn say_goodbye(
        &mut self,
        ticket: Ticket,
        sid: Sid,
        reply: Reply,
        now: Now,
    ) -> Outcome {
        let Some(session) = self.session(sid) else {
            return Err(model::Refusal::SESSION_NOT_FOUND);
        };
        let sids = match self.seats.get(&session.identity) {
            Some(seat) => seat.sessions.clone(),
            None => vec![sid],
        };
        let origin = self.origin(ticket.conn);
        let ending =
            Ending { sids, reason: "shutdown", generation: Generation(0), reply: Some(reply) };
        self.launch_end(ending, Some(ticket), &origin, now);
        Ok(Done::Later)
    }

    /// Ends a session whose time is over.
    pub(crate) fn end_in_time(&mut self, sid: Sid, reason: &'static str, now: Now) {
        let ending = Ending { sids: vec![sid], reason, generation: Generation(0), reply: None };
        self.launch_end(ending, None, reason, now);
    }

    fn launch_end(&mut self, mut ending: Ending, ticket: Option<Ticket>, origin: &str, now: Now) {
        let sessions: Vec<&Session> =
            ending.sids.iter().filter_map(|sid| self.session(*sid)).collect();
        let Some(first) = sessions.first() else { return };
        let identity = first.identity.clone();
        let mut records: Vec<Record> =
            sessions.iter().map(|session| Record::RemoveSession(session.id.clone())).collect();
        let removed: Vec<RouteId> =
            sessions.iter().flat_map(|session| session.active.iter().copied()).collect();
        if !removed.is_empty() {
            ending.generation = self.next_generation();
            records.push(Record::History(HistoryRow {
                generation: ending.generation,
                at: now.wall,
                service: identity.service.clone(),
                instance: identity.instance.clone(),
                origin: origin.into(),
                action: ending.reason,
                put: Vec::new(),
                removed,
            }));
            records.push(self.counters());
        }
        let waits = if ticket.is_some() { Waits::ForTheDisk } else { Waits::ForItsTurn };
        let op = Op::End(ending);
        let locks = vec![identity];
        self.launch(Prepared { ticket, op, records, waits, locks, claims: None, coming: 0 });
    }

    pub(crate) fn commit_end(&mut self, ending: Ending, ticket: Option<Ticket>, _now: Now) {
        let mut leaving = Vec::new();
        for sid in &ending.sids {
            let Some(session) = self.session(*sid) else { continue };
            leaving.extend(session.active.iter().map(|route| (*sid, *route)));
        }
        if !leaving.is_empty() {
            let edits = leaving.iter().map(|(_, route)| Edit::Bury(*route)).collect();
            self.carry_out(edits, ending.generation, &leaving, &[], _now);
        }
        if let (Some(ticket), Some(reply)) = (ticket, ending.reply) {
            self.answer(ticket, reply);
        }
        for sid in ending.sids {
            self.note_ended_with(sid, ending.reason, &leaving);
            if let Some(conn) = self.session(sid).and_then(Session::connection) {
                self.close(conn);
            }
            self.forget_session(sid);
        }
    }

    fn note_ended_with(&mut self, sid: Sid, reason: &'static str, left: &[(Sid, RouteId)]) {
        let Some(Session { identity, .. }) = self.sessions.get(&sid) else { return };
        let (service, instance) = (identity.service.clone(), identity.instance.clone());
        let routes = left.iter().filter(|(of, _)| *of == sid).count();
        self.note(crate::Note::Ended { service, instance, reason, routes });
    }

    /// Takes a session out of every index. Its routes must be gone, or about to go.
    pub(crate) fn forget_session(&mut self, sid: Sid) {
        self.end_trial(sid);
        self.withdraw_offers(sid);
        self.drop_draft(sid);
        self.unwatch_session(sid);
        for due in [
            Due::Expiry(sid),
            Due::Routes(sid),
            Due::StagedWarning(sid),
            Due::Staged(sid),
            Due::Try(sid),
            Due::Drained(sid),
            Due::Silence(sid),
        ] {
            self.deadlines.clear(due);
        }
        let Some(session) = self.sessions.remove(&sid) else { return };
        self.peers.leave(session.peer);
        self.by_id.remove(&session.id);
        if let Some(seat) = self.seats.get_mut(&session.identity) {
            seat.sessions.retain(|other| *other != sid);
            if seat.sessions.is_empty() && !seat.busy {
                debug_assert!(seat.waiting.is_empty(), "who is not busy keeps nobody waiting");
                self.seats.remove(&session.identity);
            }
        }
        let endpoints = session.endpoints.into_keys().collect();
        self.refresh(&session.identity, &endpoints);
    }

    pub(crate) fn next_generation(&mut self) -> Generation {
        self.generation = self.generation.next();
        self.generation
    }
}
