//! Operations on their way to the disk.
//!
//! An operation is *prepared*: checked against the present state and turned into a value, the
//! records it writes and what it will change. While it is under way its identities are busy, so
//! that nothing it was checked against changes, and the keys it will add are claimed. Operations
//! take effect in the order in which they were sent to the disk, so generations only grow. One
//! that nobody may refuse (a grace is over) does not wait for the disk, only for its turn.

use model::{Batch, Event, Generation, Now, Record, Refusal, Reply, RouteId, ServiceName};
use routing::RouteKey;

use crate::bounds::WAITING_MAX;
use crate::configure::Configure;
use crate::drain::DrainChange;
use crate::ending::Ending;
use crate::maintenance::Maintain;
use crate::register::Newcomer;
use crate::state::{Identity, Sid, Ticket, Waiting};
use crate::{Note, Output, Registry};

/// An operation under way.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) seq: u64,
    state: State,
    waits: Waits,
    pub(crate) locks: Vec<Identity>,
    pub(crate) claims: Vec<RouteKey>,
    pub(crate) coming: usize,
    /// The generation that it has the disk remember as given out.
    counted: Option<Generation>,
    ticket: Option<Ticket>,
    /// Whether an operator ordered it.
    by_operator: bool,
    op: Op,
}

#[derive(Debug)]
enum State {
    Writing,
    Durable,
    Failed(String),
}

/// What an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// For the disk.
    ForTheDisk,
    /// For those before it.
    ForItsTurn,
}

/// What an operation does when its time has come.
#[derive(Debug)]
pub(crate) enum Op {
    Register(Box<Newcomer>),
    Configure(Box<Configure>),
    End(Ending),
    Drain(DrainChange),
    Maintain(Box<Maintain>),
    /// A try is confirmed.
    Confirm(Sid),
    /// Route ids up to this one may be given out; then the command goes on.
    Reserve(RouteId, Box<model::Line>),
}

/// An operation, prepared.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) ticket: Option<Ticket>,
    pub(crate) op: Op,
    pub(crate) records: Vec<Record>,
    pub(crate) waits: Waits,
    /// Whose state it was checked against.
    pub(crate) locks: Vec<Identity>,
    /// Keys it will add.
    pub(crate) claims: Option<(ServiceName, Vec<RouteKey>)>,
    /// How many routes it will add.
    pub(crate) coming: usize,
}

impl Registry {
    /// Sends an operation to the disk.
    pub(crate) fn launch(&mut self, prepared: Prepared) {
        let Prepared { ticket, op, records, waits, locks, claims, coming } = prepared;
        for identity in &locks {
            let seat = self.seats.entry(identity.clone()).or_default();
            debug_assert!(!seat.busy, "{identity:?} has two operations under way");
            seat.busy = true;
        }
        let claims = match claims {
            Some((service, keys)) => {
                self.claims.add(&service, &keys);
                keys
            }
            None => Vec::new(),
        };
        self.routes_coming += coming;
        self.seq += 1;
        let seq = self.seq;
        let urgent = waits == Waits::ForTheDisk;
        let counted = records.iter().find_map(|record| {
            if let Record::Counters { generation, .. } = record { Some(*generation) } else { None }
        });
        self.emit(Output::Persist(Batch { seq, urgent, records }));
        let state = State::Writing;
        let by_operator = ticket.is_some_and(|ticket| self.is_operator(ticket.conn));
        self.flights.push_back(Flight {
            seq,
            state,
            waits,
            locks,
            claims,
            coming,
            counted,
            ticket,
            by_operator,
            op,
        });
    }

    /// A batch is durable, or never will be.
    pub(crate) fn persisted(&mut self, seq: u64, result: Result<(), String>, now: Now) {
        match self.flights.binary_search_by_key(&seq, |flight| flight.seq) {
            Ok(at) => {
                self.flights[at].state = match result {
                    Ok(()) => State::Durable,
                    Err(reason) => State::Failed(reason),
                };
                self.advance(now);
            }
            // Nobody waits for it.
            Err(_) => {
                if let Err(reason) = result {
                    self.note(Note::NotSaved { reason: reason.into() });
                }
            }
        }
    }

    /// Lets every operation take effect whose turn it is.
    pub(crate) fn advance(&mut self, now: Now) {
        if self.flights.is_empty() {
            return;
        }
        while let Some(first) = self.flights.front() {
            let writing = matches!(first.state, State::Writing);
            if writing && first.waits == Waits::ForTheDisk {
                return;
            }
            let Some(flight) = self.flights.pop_front() else { return };
            self.claims.remove(&flight.claims);
            self.routes_coming -= flight.coming;
            if !matches!(flight.state, State::Failed(_)) {
                self.counted = self.counted.max(flight.counted.unwrap_or_default());
            }
            match (flight.state, flight.waits) {
                (State::Failed(reason), Waits::ForTheDisk) => {
                    self.failed(flight.op, flight.ticket, &reason);
                }
                (State::Failed(reason), Waits::ForItsTurn) => {
                    self.note(Note::NotSaved { reason: reason.into() });
                    self.commit(flight.op, flight.ticket, flight.by_operator, now);
                }
                (State::Writing | State::Durable, _) => {
                    self.commit(flight.op, flight.ticket, flight.by_operator, now)
                }
            }
            flight.locks.iter().for_each(|identity| self.unlock(identity));
        }
        // Numbers set aside for what has failed are free again.
        self.generation = self.counted.max(self.table.generation());
        self.ids.settle();
    }

    fn commit(&mut self, op: Op, ticket: Option<Ticket>, by_operator: bool, now: Now) {
        let changes = match op {
            Op::Configure(_) | Op::End(_) | Op::Drain(_) | Op::Maintain(_) => true,
            Op::Register(_) | Op::Confirm(_) | Op::Reserve(..) => false,
        };
        match op {
            Op::Register(newcomer) => self.commit_register(*newcomer, ticket, now),
            Op::Configure(configure) => self.commit_configure(*configure, ticket, now),
            Op::End(ending) => self.commit_end(ending, ticket, now),
            Op::Drain(change) => self.commit_drain(change, ticket, now),
            Op::Maintain(maintain) => self.commit_maintain(*maintain, ticket, now),
            Op::Confirm(sid) => self.commit_confirm(sid, ticket),
            Op::Reserve(last, line) => {
                self.ids.reserve(last);
                if let Some(ticket) = ticket {
                    self.ready.push_back(Waiting::Line(ticket, line));
                }
            }
        }
        if by_operator && changes {
            self.happened(&Event::GlobalConfigChanged { reason: "admin_update".into() });
        }
    }

    /// Nothing has changed.
    fn failed(&mut self, op: Op, ticket: Option<Ticket>, reason: &str) {
        if let Op::Register(newcomer) = &op {
            self.registering -= 1;
            self.peers.leave(newcomer.peer());
        }
        if let Some(ticket) = ticket {
            let refusal = Refusal::new(format!("not saved: {reason}"));
            self.answer(ticket, Reply::Refused(refusal));
        }
    }

    fn unlock(&mut self, identity: &Identity) {
        let Some(seat) = self.seats.get_mut(identity) else { return };
        seat.busy = false;
        self.ready.extend(seat.waiting.drain(..));
        if seat.sessions.is_empty() {
            self.seats.remove(identity);
        }
    }

    pub(crate) fn is_busy(&self, identity: &Identity) -> bool {
        self.seats.get(identity).is_some_and(|seat| seat.busy)
    }

    /// Has a command wait until the operation of an identity has ended.
    pub(crate) fn wait(
        &mut self,
        identity: &Identity,
        ticket: Ticket,
        line: model::Line,
    ) -> crate::answering::Outcome {
        let seat = self.seats.entry(identity.clone()).or_default();
        if seat.waiting.len() >= WAITING_MAX {
            return Err(Refusal::new(format!("busy: {WAITING_MAX} commands wait already")));
        }
        seat.waiting.push_back(Waiting::Line(ticket, Box::new(line)));
        Ok(crate::answering::Done::Later)
    }

    /// Whether something that is due has to wait for an operation under way; then it does.
    pub(crate) fn postponed(&mut self, sid: Sid, due: crate::deadline::Due) -> bool {
        let Some(session) = self.sessions.get(&sid) else { return false };
        let Some(seat) = self.seats.get_mut(&session.identity) else { return false };
        if seat.busy {
            seat.waiting.push_back(Waiting::Due(due));
        }
        seat.busy
    }
}
