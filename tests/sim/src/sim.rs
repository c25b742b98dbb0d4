//! What nobody would think of: random clients, disks and outages, from a seed, with everything
//! that always holds checked after every step.

mod checks;
mod heard;
mod lines;
mod naive;
pub mod partial;
mod rng;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{ConnId, Event, EventKind, Image, RouteId, SessionId};
use routing::{EndpointId, Table};
use session::Input;

use self::lines::Words;
use self::rng::Rng;
use crate::world::{Disk, World, config};

/// Connections at once.
const CONNECTIONS: u64 = 4;
/// Times that may pass: about the deadlines there are.
const TIMES: [Duration; 9] = [
    Duration::from_millis(1),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(20),
    Duration::from_secs(59),
    Duration::from_secs(60),
    Duration::from_secs(240),
    Duration::from_secs(300),
    Duration::from_secs(1741),
];
/// Longer than anything lasts: then nothing is left of who is gone.
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);
/// A command is answered within this time (SPEC 2.1).
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// One run.
#[derive(Debug)]
pub struct Sim {
    /// What happened, line by line.
    pub trace: Vec<String>,
    world: World,
    rng: Rng,
    /// The session each connection holds, or held last.
    holds: BTreeMap<ConnId, SessionId>,
    /// Connections whose session is held no more: it was replaced, taken over or ended.
    void: BTreeSet<ConnId>,
    /// Every session there was.
    sessions: Vec<String>,
    /// Every route id there was, and the session it was given to.
    routes: BTreeMap<RouteId, SessionId>,
    tokens: Vec<String>,
    subscriptions: BTreeMap<SessionId, BTreeSet<EventKind>>,
    /// Whether also those batches may fail that nobody waits for: then what is durable and what
    /// is live differ for good, and are not compared.
    careless: bool,
    /// Whether such a batch has failed.
    diverged: bool,
    /// Endpoints that fail, as far as the machine was told.
    failing: BTreeSet<EndpointId>,
    /// The table that was looked at last, and how many batches there were then.
    checked: (Arc<Table>, u64),
}

impl Sim {
    /// A run from this seed.
    pub fn new(seed: u64) -> Self {
        Self {
            trace: Vec::new(),
            world: World::new(config(), seed),
            rng: Rng::new(seed),
            holds: BTreeMap::new(),
            void: BTreeSet::new(),
            sessions: Vec::new(),
            routes: BTreeMap::new(),
            tokens: Vec::new(),
            subscriptions: BTreeMap::new(),
            careless: seed % 8 == 7,
            diverged: false,
            failing: BTreeSet::new(),
            checked: (Arc::default(), u64::MAX),
        }
    }

    /// Does this many random things, then lets everybody go.
    ///
    /// # Panics
    ///
    /// When something does not hold that always should.
    pub fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
            self.hear();
            self.check();
        }
        self.leave();
    }

    fn step(&mut self) {
        match self.rng.below(200) {
            0..130 => self.say(),
            130..142 => self.apply_and_compare(),
            142..152 => self.lose(),
            152..168 => {
                let by = *self.rng.pick(&TIMES);
                self.note(format!("+{by:?}"));
                self.world.wait(by);
            }
            168..176 => self.change_disk(),
            176..188 => self.write(),
            188..190 => self.refuse(),
            190 => self.turn_health(),
            191..193 => self.trip(),
            193..196 => {
                self.world.busy = self.rng.percent(50);
                self.world.mute = self.rng.percent(20);
                self.note(format!("busy: {}, mute: {}", self.world.busy, self.world.mute));
                self.world.settle();
            }
            196 => {
                self.note("shutdown".to_owned());
                self.world.input(Input::Shutdown);
            }
            _ => self.restart(),
        }
    }

    fn note(&mut self, what: String) {
        self.trace.push(what);
    }

    /// One of the connections, opened if need be; one that was closed is gone first.
    fn connection(&mut self) -> (u64, ConnId) {
        let number = 1 + self.rng.below(CONNECTIONS as usize) as u64;
        if self.world.client(number).is_some_and(|client| client.closed) {
            self.world.lose(number);
        }
        if self.world.client(number).is_none() {
            self.world.connect(number);
        }
        let conn = self.world.client(number).expect("it was just opened").conn;
        (number, conn)
    }

    fn say(&mut self) {
        let (number, conn) = self.connection();
        let words = Words {
            own: self.holds.get(&conn).map(SessionId::as_str),
            sessions: &self.sessions,
            last_route: self.routes.keys().next_back().map_or(1, |route| route.0),
            tokens: &self.tokens,
        };
        let fresh = !self.holds.contains_key(&conn);
        let line = match self.sessions.last() {
            Some(last) if fresh && self.rng.percent(30) => format!("RECONNECT|{last}"),
            _ if fresh && self.rng.percent(60) => lines::register(&mut self.rng),
            _ => lines::line(&mut self.rng, &words),
        };
        self.say_this(number, &line);
    }

    fn say_this(&mut self, number: u64, line: &str) {
        self.note(format!("{number}> {line}"));
        let quiet = self.is_quiet();
        let before = (self.world.image.clone(), self.world.plane.table.generation());
        self.world.say(number, line);
        // Nothing else went on: then a refusal has changed nothing.
        let refused = self.world.heard.iter().all(heard::is_refusal);
        if quiet && refused && self.is_quiet() && self.world.disk == Disk::Works {
            let Image { sessions, generation, .. } = &self.world.image;
            assert_eq!(*sessions, before.0.sessions, "a refusal changed what is remembered");
            assert_eq!(*generation, before.0.generation, "a refusal made a generation");
            assert_eq!(self.world.plane.table.generation(), before.1, "a refusal published");
        }
    }

    /// Whether no command is under way and nothing on its way to the disk.
    fn is_quiet(&self) -> bool {
        let idle = self.world.clients().all(|(_, client)| !client.is_waiting());
        idle && self.world.writes.is_empty()
    }

    fn lose(&mut self) {
        let number = 1 + self.rng.below(CONNECTIONS as usize) as u64;
        self.note(format!("{number}! lost"));
        self.world.lose(number);
    }

    fn change_disk(&mut self) {
        self.world.disk = match self.rng.below(8) {
            0 if self.careless => Disk::Full,
            0..3 => Disk::Slow,
            _ => Disk::Works,
        };
        self.note(format!("disk: {:?}", self.world.disk));
        self.diverged |= self.world.disk == Disk::Full;
        self.world.settle();
    }

    fn write(&mut self) {
        let Some(urgent) = self.world.writes.front().map(|batch| batch.urgent) else { return };
        let works = self.rng.percent(70) || !(urgent || self.careless);
        self.note(format!("write: {works}"));
        self.diverged |= !works && !urgent;
        self.world.write(works);
    }

    fn refuse(&mut self) {
        let entries: Vec<_> = self.world.plane.table.entries().cloned().collect();
        if entries.is_empty() {
            return;
        }
        let backend = self.rng.pick(&entries).spec.backend.to_string();
        self.note(format!("refused {backend}"));
        for endpoint in self.world.plane.refuse(&backend) {
            self.world.input(Input::Refused(endpoint));
        }
    }

    /// A backend begins to fail, or is well again.
    fn turn_health(&mut self) {
        let routes: Vec<_> = self.world.plane.table.entries().map(|entry| entry.route).collect();
        if routes.is_empty() {
            return;
        }
        let (route, healthy) = (*self.rng.pick(&routes), self.rng.percent(30));
        self.note(format!("{route} is well: {healthy}"));
        let endpoint = self.world.plane.table.endpoint_of(route).expect("it is live");
        match healthy {
            true => drop(self.failing.remove(&endpoint)),
            false => drop(self.failing.insert(endpoint)),
        }
        let reason = "check_failed".into();
        let event = Event::BackendHealthChanged { route, healthy, reason };
        self.world.input(Input::Happened(event));
    }

    /// The guard of a try trips.
    fn trip(&mut self) {
        let Some(watch) = self.world.watches.first().copied() else { return };
        self.note(format!("{watch:?} trips"));
        self.world.input(Input::Tripped(watch, "errors<5%".into()));
    }

    /// The proxy is killed: of what is on its way to the disk, the first few have arrived.
    fn restart(&mut self) {
        let arrived = self.rng.below(self.world.writes.len() + 1);
        for batch in self.world.writes.iter().take(arrived) {
            batch.records.iter().for_each(|record| self.world.image.apply(record));
        }
        self.note(format!("restart, {arrived} more batches written"));
        self.world.restart();
        self.failing = checks::endpoints(&self.world.image.failing, &self.world.plane.table);
        assert_eq!(self.world.plane.failing, self.failing, "what failed is told at the start");
        self.holds.clear();
        self.void.clear();
        self.tokens.clear();
        let rows = self.world.image.sessions.iter().map(|held| &held.row);
        self.subscriptions = rows
            .map(|row| (row.session.clone(), row.subscriptions.iter().copied().collect()))
            .collect();
    }

    /// Everybody goes; in the end nothing is left.
    fn leave(&mut self) {
        self.note("everybody goes".to_owned());
        self.world.disk = Disk::Works;
        self.world.busy = false;
        self.world.mute = false;
        self.world.settle();
        for number in 1..=CONNECTIONS {
            self.world.lose(number);
        }
        self.world.wait(FOR_EVER);
        self.hear();
        let world = &self.world;
        assert_eq!(world.registry.poll_timeout(), None, "something is still waited for");
        assert_eq!(world.plane.table.len(), 0, "routes are left");
        assert_eq!(world.watches.len(), 0, "tries are still watched");
        assert_eq!(world.plane.table.tombstones().count(), 0, "tombstones are left");
        if !self.diverged {
            assert_eq!(world.image.sessions, [], "sessions are left");
        }
    }
}
