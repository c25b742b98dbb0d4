//! The machine's state as a whole, and how it is driven.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use model::{Batch, ConnId, Generation, Image, Instant, Now, Record, SessionId};
use routing::{EndpointId, Table};

use crate::claims::Claims;
use crate::deadline::{Deadlines, Due};
use crate::flight::Flight;
use crate::handover::Offers;
use crate::health::Failing;
use crate::ids::Ids;
use crate::live::LiveWaits;
use crate::peers::Peers;
use crate::state::{Conn, Identity, Seat, Session, Sid, Ticket, Waiting};
use crate::tombstones::Tombstones;
use crate::{Config, Input, Member, Note, Output, QueryId};

/// The registry. How to drive it is told in the documentation of the crate.
#[derive(Debug)]
pub struct Registry {
    pub(crate) config: Config,
    pub(crate) ids: Ids,
    pub(crate) conns: BTreeMap<ConnId, Conn>,
    pub(crate) sessions: BTreeMap<Sid, Session>,
    pub(crate) by_id: BTreeMap<SessionId, Sid>,
    pub(crate) seats: BTreeMap<Identity, Seat>,
    /// Sessions that were remembered at the start, perhaps under a higher bound.
    pub(crate) restored: usize,
    /// Registrations on their way to the disk.
    pub(crate) registering: usize,
    /// Where sessions, and registrations on their way, came from.
    pub(crate) peers: Peers,
    /// Staged changes of all sessions, in bytes.
    pub(crate) staged_bytes: usize,
    /// Routes that operations on their way to the disk will add.
    pub(crate) routes_coming: usize,
    pub(crate) flights: VecDeque<Flight>,
    /// The last batch handed out.
    pub(crate) seq: u64,
    pub(crate) claims: Claims,
    pub(crate) deadlines: Deadlines,
    /// What an operation that ended has set free.
    pub(crate) ready: VecDeque<Waiting>,
    pub(crate) queries: BTreeMap<QueryId, Ticket>,
    /// Watches of tries.
    pub(crate) watches: BTreeMap<QueryId, Sid>,
    pub(crate) live: LiveWaits,
    pub(crate) offers: Offers,
    pub(crate) tombstones: Tombstones,
    /// Endpoints that the data plane knows to be without their registry connection.
    pub(crate) away: BTreeSet<EndpointId>,
    /// Of these, the ones that refused a connection since.
    pub(crate) gone: BTreeSet<EndpointId>,
    /// Endpoints that drain.
    pub(crate) draining: BTreeSet<EndpointId>,
    pub(crate) failing: Failing,
    /// What was told of each instance.
    pub(crate) told: BTreeMap<Identity, Member>,
    pub(crate) table: Arc<Table>,
    /// The last generation given out; the table's own may still be on its way.
    pub(crate) generation: Generation,
    /// The last generation that the disk remembers as given out.
    pub(crate) counted: Generation,
    pub(crate) outputs: VecDeque<Output>,
}

impl Registry {
    /// A registry that goes on from `image`. `seed` is where its ids come from. The clocks of
    /// grace start at `now`: call it when the registry port accepts.
    pub fn new(config: Config, seed: [u8; 32], image: Image, now: Now) -> Self {
        let mut registry = Self {
            ids: Ids::new(seed, image.last_route),
            config,
            conns: BTreeMap::new(),
            sessions: BTreeMap::new(),
            by_id: BTreeMap::new(),
            seats: BTreeMap::new(),
            restored: image.sessions.len(),
            registering: 0,
            peers: Peers::default(),
            staged_bytes: 0,
            routes_coming: 0,
            flights: VecDeque::new(),
            seq: 0,
            claims: Claims::default(),
            deadlines: Deadlines::default(),
            ready: VecDeque::new(),
            queries: BTreeMap::new(),
            watches: BTreeMap::new(),
            live: LiveWaits::default(),
            offers: Offers::default(),
            tombstones: Tombstones::default(),
            away: BTreeSet::new(),
            gone: BTreeSet::new(),
            draining: BTreeSet::new(),
            failing: Failing::new(),
            told: BTreeMap::new(),
            table: Arc::new(Table::default()),
            generation: image.generation,
            counted: image.generation,
            outputs: VecDeque::new(),
        };
        registry.restore(image, now);
        registry
    }

    /// Takes one input.
    pub fn handle(&mut self, input: Input, now: Now) {
        match input {
            Input::Connected(conn, peer) => self.connected(conn, peer, now),
            Input::Authenticated(conn, credential) => self.authenticated(conn, credential),
            Input::Line(conn, line) => self.line(conn, line, now),
            Input::Lost(conn) => self.lost(conn, now),
            Input::Persisted(seq, result) => self.persisted(seq, result, now),
            Input::Answered(query, reply) => self.answered(query, reply),
            Input::Live(generation) => self.live_at(generation),
            Input::Refused(endpoint) => self.refused(endpoint),
            Input::Drained(endpoint) => self.drained(endpoint, now),
            Input::Tripped(watch, guard) => self.tripped(watch, guard, now),
            Input::Happened(event) => self.happened(&event),
            Input::Shutdown => self.shutdown(),
        }
        self.settle(now);
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(due) = self.deadlines.pop(now.mono) {
            self.due(due, now);
            self.settle(now);
        }
    }

    /// The next thing to do for the machine.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Registry::handle_timeout`] if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// The table as it was published last.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// How many sessions there are, those included whose connection is lost.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Carries on what waited for an operation that has ended meanwhile, until nothing can.
    fn settle(&mut self, now: Now) {
        self.advance(now);
        while let Some(waiting) = self.ready.pop_front() {
            match waiting {
                Waiting::Line(ticket, line) => self.resume(ticket, *line, now),
                Waiting::Due(due) => self.due(due, now),
            }
            self.advance(now);
        }
        self.check_if_small();
    }

    fn due(&mut self, due: Due, now: Now) {
        match due {
            Due::Expiry(sid) => self.expire(sid, due, now),
            Due::Routes(sid) => self.route_grace_over(sid, due, now),
            Due::StagedWarning(sid) => self.warn_of_expiry(sid),
            Due::Staged(sid) => self.staged_expired(sid, due),
            Due::Try(sid) => self.try_over(sid, due, now),
            Due::Drained(sid) => self.drain_over(sid, now),
            Due::Silence(sid) => self.silent(sid, now),
            Due::Idle(conn) => self.idle(conn),
            Due::Answer(conn) => self.answer_overdue(conn),
            Due::Live(generation) => self.live_now(generation),
            Due::Offers => self.offers_over(now.mono),
            Due::Tombstones => self.forget_tombstones(now.mono),
        }
    }

    pub(crate) fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn note(&mut self, note: Note) {
        self.emit(Output::Note(note));
    }

    /// Makes something durable that nobody waits for.
    pub(crate) fn write_behind(&mut self, records: Vec<Record>) {
        self.seq += 1;
        let batch = Batch { seq: self.seq, urgent: false, records };
        self.emit(Output::Persist(batch));
    }

    pub(crate) fn session(&self, sid: Sid) -> Option<&Session> {
        self.sessions.get(&sid)
    }

    /// The counters as they are to be remembered.
    pub(crate) fn counters(&self) -> Record {
        Record::Counters { last_route: self.ids.taken(), generation: self.generation }
    }
}
