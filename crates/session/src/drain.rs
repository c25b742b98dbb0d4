//! DRAIN_START, DRAIN_STATUS, DRAIN_CANCEL.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{DrainReport, DrainRow, Event, Now, Record, Refusal, Reply};
use resilience::Drain;
use routing::EndpointId;

use crate::answering::{Done, Outcome};
use crate::deadline::Due;
use crate::flight::{Op, Prepared, Waits};
use crate::state::{DrainOrder, Session, Sid, Ticket};
use crate::{Output, Registry};

/// Between two looks at a drain that is over and whose requests are not, at first.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The same in the end.
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(600);

/// A drain order, or its end, on its way to the disk.
#[derive(Debug)]
pub(crate) struct DrainChange {
    sid: Sid,
    order: Option<DrainOrder>,
    reply: Reply,
}

impl Registry {
    /// Starts anew from the present percentage.
    pub(crate) fn drain_start(
        &mut self,
        ticket: Ticket,
        sid: Sid,
        duration: Duration,
        now: Now,
    ) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        let from_percent =
            session.drain.as_ref().map_or(100, |order| order.drain.percent(now.mono));
        let row = DrainRow { started_at: now.wall, duration, from_percent };
        let drain = Drain { started: now.mono, duration, from_percent };
        let order = DrainOrder { row, drain, drained: BTreeSet::new(), told: false };
        let reply = Reply::DrainStarted(now.wall.after(duration));
        self.change_drain(ticket, DrainChange { sid, order: Some(order), reply })
    }

    pub(crate) fn drain_cancel(&mut self, ticket: Ticket, sid: Sid) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        if session.drain.is_none() {
            return Err(no_drain());
        }
        self.change_drain(ticket, DrainChange { sid, order: None, reply: Reply::DrainCancelled })
    }

    fn change_drain(&mut self, ticket: Ticket, change: DrainChange) -> Outcome {
        let Some(Session { id, identity, .. }) = self.sessions.get(&change.sid) else {
            return Err(Refusal::SESSION_NOT_FOUND);
        };
        let row = change.order.as_ref().map(|order| order.row);
        let (records, locks) = (vec![Record::PutDrain(id.clone(), row)], vec![identity.clone()]);
        self.launch(Prepared {
            ticket: Some(ticket),
            op: Op::Drain(change),
            records,
            waits: Waits::ForTheDisk,
            locks,
            claims: None,
            coming: 0,
        });
        Ok(Done::Later)
    }

    pub(crate) fn commit_drain(&mut self, change: DrainChange, ticket: Option<Ticket>, _now: Now) {
        self.set_drain(change.sid, change.order);
        if let Some(ticket) = ticket {
            self.answer(ticket, change.reply);
        }
    }

    /// Sets a session's drain, and tells the data plane about all its endpoints.
    pub(crate) fn set_drain(&mut self, sid: Sid, order: Option<DrainOrder>) {
        let Some(session) = self.sessions.get_mut(&sid) else { return };
        let drain = order.as_ref().map(|order| order.drain);
        session.drain = order;
        match drain {
            Some(drain) => self.deadlines.set(Due::Drained(sid), drain.ends()),
            None => self.deadlines.clear(Due::Drained(sid)),
        }
        let endpoints: Vec<EndpointId> = session.endpoints.keys().copied().collect();
        for endpoint in &endpoints {
            match drain {
                Some(_) => drop(self.draining.insert(*endpoint)),
                None => drop(self.draining.remove(endpoint)),
            }
        }
        let identity = session.identity.clone();
        if !endpoints.is_empty() {
            self.emit(Output::Drain(endpoints, drain));
        }
        self.tell_member(&identity);
    }

    /// A session was replaced: its instance is back.
    pub(crate) fn end_drain(&mut self, sid: Sid) {
        if self.session(sid).is_some_and(|session| session.drain.is_some()) {
            self.set_drain(sid, None);
        }
    }

    pub(crate) fn drain_status(&self, sid: Sid, now: Now) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        let Some(DrainOrder { row, drain, .. }) = &session.drain else { return Err(no_drain()) };
        let remaining = drain.remaining(now.mono);
        let report = DrainReport {
            active: !remaining.is_zero(),
            started_at: row.started_at,
            duration: row.duration,
            elapsed: row.duration.saturating_sub(remaining),
            remaining,
            traffic_percent: drain.percent(now.mono),
        };
        Ok(Reply::DrainStatus(report).into())
    }

    /// Nothing is in flight any more at an endpoint. Once that is so for all of a session's, it
    /// may exit.
    pub(crate) fn drained(&mut self, endpoint: EndpointId, now: Now) {
        let mut concerned = Vec::new();
        for (sid, session) in &mut self.sessions {
            let Some(order) = &mut session.drain else { continue };
            if session.endpoints.contains_key(&endpoint) && order.drain.is_over(now.mono) {
                order.drained.insert(endpoint);
                concerned.push(*sid);
            }
        }
        for sid in concerned {
            self.permit_exit(sid, now);
        }
    }

    /// A drain is over. A session without routes has nothing in flight that anybody could tell of,
    /// and one whose routes go while it waits has less to wait for.
    pub(crate) fn drain_over(&mut self, sid: Sid, now: Now) {
        if self.permit_exit(sid, now) {
            return;
        }
        let order = self.session(sid).and_then(|session| session.drain.as_ref());
        let Some(ended) = order.map(|order| order.drain.ends()) else { return };
        // Twice as late each time: what still runs after a minute may run all night.
        let wait = now.mono.since(ended).clamp(LOOK_AGAIN, LOOK_AGAIN_MAX);
        self.deadlines.set(Due::Drained(sid), now.mono.after(wait));
    }

    /// Tells a session once that it may exit, if it may; whether there is nothing left to tell.
    fn permit_exit(&mut self, sid: Sid, now: Now) -> bool {
        let Some(session) = self.sessions.get_mut(&sid) else { return true };
        let Some(order) = &mut session.drain else { return true };
        if order.told {
            return true;
        }
        let all = session.endpoints.keys().all(|endpoint| order.drained.contains(endpoint));
        if !all || !order.drain.is_over(now.mono) {
            return false;
        }
        order.told = true;
        self.deadlines.clear(Due::Drained(sid));
        self.tell(sid, &Event::Drained { at: now.wall });
        true
    }
}

/// A drain as it goes on after a restart: what is left of it begins now.
pub(crate) fn resumed(row: DrainRow, now: Now) -> DrainOrder {
    let remaining = row.duration.saturating_sub(now.wall.since(row.started_at));
    let whole = Drain {
        started: model::Instant::default(),
        duration: row.duration,
        from_percent: row.from_percent,
    };
    let from_percent = whole.percent(model::Instant::default().after(row.duration - remaining));
    let drain = Drain { started: now.mono, duration: remaining, from_percent };
    DrainOrder { row, drain, drained: BTreeSet::new(), told: false }
}

fn no_drain() -> Refusal {
    Refusal::new("no drain in progress")
}

#[cfg(test)]
mod tests {
    use model::{Instant, UnixMillis};

    use super::*;

    #[test]
    fn a_drain_goes_on_after_a_restart() {
        let row = DrainRow {
            started_at: UnixMillis(1_000_000),
            duration: Duration::from_secs(120),
            from_percent: 100,
        };
        for (after, percent, remaining) in [(0, 100, 120), (45, 62, 75), (120, 0, 0), (999, 0, 0)] {
            let now =
                Now { mono: Instant::from_nanos(7), wall: UnixMillis(1_000_000 + after * 1000) };
            let order = resumed(row, now);
            assert_eq!(order.drain.percent(now.mono), percent, "{after}");
            assert_eq!(order.drain.remaining(now.mono), Duration::from_secs(remaining), "{after}");
        }
    }
}
