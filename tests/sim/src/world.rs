//! The registry's machine and everything around it: connections, a disk, a data plane, and time
//! that passes only when told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use model::{Answer, Batch, ConnId, Generation, Image, Instant, Line, Now, Push, UnixMillis};
use routing::EndpointId;
use session::{Config, Effects, Input, Note, Output, Peer, Query, QueryId, Registry};

use crate::answers;
use crate::client::Client;
use crate::plane::Plane;

/// When every world begins: 2024-12-18T14:40:00Z, as in the guides.
pub const BEGIN: UnixMillis = UnixMillis(1_734_532_800_000);
/// Inputs that one event may cause; more is a loop.
const STEPS_MAX: usize = 100_000;

/// What becomes of what is to be made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// It is, at once.
    Works,
    /// It never will be.
    Full,
    /// It waits for [`World::write`].
    Slow,
}

/// What a connection was told.
#[derive(Debug)]
pub enum Heard {
    /// The answer of the machine to a command.
    Answer(ConnId, Box<(Line, Answer)>),
    /// Something it did not ask for.
    Push(ConnId, Push),
}

/// Everything.
#[derive(Debug)]
pub struct World {
    /// The machine.
    pub registry: Registry,
    /// What is durable.
    pub image: Image,
    /// The data plane.
    pub plane: Plane,
    /// The time.
    pub now: Now,
    /// What becomes of batches.
    pub disk: Disk,
    /// Whether requests that began before stay under way.
    pub busy: bool,
    /// Whether questions stay unanswered.
    pub mute: bool,
    /// Watches of tries, whose guards trip when somebody says so.
    pub watches: BTreeSet<QueryId>,
    /// Batches not answered yet.
    pub writes: VecDeque<Batch>,
    /// What connections were told, until somebody takes it.
    pub heard: Vec<Heard>,
    /// What the log was told.
    pub notes: Vec<Note>,
    config: Config,
    seed: u64,
    /// How often the machine was started.
    starts: u64,
    last_conn: u64,
    last_seq: u64,
    clients: BTreeMap<u64, Client>,
    questions: VecDeque<(QueryId, Query)>,
    /// Published, and not reported as live yet.
    live: VecDeque<Generation>,
    /// Drains that were reported as over.
    drained: BTreeSet<EndpointId>,
}

/// What the sections of SPEC 2.3 and 12 say, and everything there is.
pub fn config() -> Config {
    Config {
        session_expiry: Duration::from_secs(60),
        v1_route_grace: Duration::from_secs(60),
        route_grace: Duration::from_secs(300),
        staged_expiry: Duration::from_secs(1800),
        sessions_max: 20_000,
        routes_max: 200_000,
        routes_per_session_max: 100_000,
        sessions_per_peer_max: 10_000,
        effects: Effects::ALL,
    }
}

impl World {
    /// A world in which nothing has happened.
    pub fn new(config: Config, seed: u64) -> Self {
        let now = Now { mono: Instant::from_nanos(1_000_000_000), wall: BEGIN };
        let image = Image::default();
        let mut world = Self {
            registry: Registry::new(config.clone(), secret(seed, 0), image.clone(), now),
            image,
            plane: Plane::default(),
            now,
            disk: Disk::Works,
            busy: false,
            mute: false,
            watches: BTreeSet::new(),
            writes: VecDeque::new(),
            heard: Vec::new(),
            notes: Vec::new(),
            config,
            seed,
            starts: 0,
            last_conn: 0,
            last_seq: 0,
            clients: BTreeMap::new(),
            questions: VecDeque::new(),
            live: VecDeque::new(),
            drained: BTreeSet::new(),
        };
        world.settle();
        world
    }

    /// Starts the machine anew from what is durable; all connections are gone.
    pub fn restart(&mut self) {
        self.starts += 1;
        let seed = secret(self.seed, self.starts);
        self.registry = Registry::new(self.config.clone(), seed, self.image.clone(), self.now);
        self.plane = Plane::default();
        self.clients.clear();
        self.writes.clear();
        self.questions.clear();
        self.watches.clear();
        self.live.clear();
        self.drained.clear();
        self.last_seq = 0;
        self.settle();
    }

    /// A connection is accepted; `number` is its name here.
    pub fn connect(&mut self, number: u64) {
        self.accept(number, Peer::Tcp(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }

    /// A connection is accepted on the admin socket.
    pub fn connect_operator(&mut self, number: u64) {
        self.accept(number, Peer::Operator);
    }

    fn accept(&mut self, number: u64, peer: Peer) {
        self.last_conn += 1;
        let conn = ConnId(self.last_conn);
        let before = self.clients.insert(number, Client::new(conn));
        debug_assert!(before.is_none(), "connection {number} is open already");
        self.input(Input::Connected(conn, peer));
    }

    /// A client says a line.
    pub fn say(&mut self, number: u64, line: &str) {
        if let Some(client) = self.clients.get_mut(&number) {
            client.say(line);
        }
        self.settle();
    }

    /// A connection is gone; what it was told and has not read is lost with it.
    pub fn lose(&mut self, number: u64) {
        if let Some(client) = self.clients.remove(&number) {
            self.input(Input::Lost(client.conn));
        }
    }

    /// A connection.
    pub fn client(&mut self, number: u64) -> Option<&mut Client> {
        self.clients.get_mut(&number)
    }

    /// All connections by their number here.
    pub fn clients(&self) -> impl Iterator<Item = (u64, &Client)> {
        self.clients.iter().map(|(number, client)| (*number, client))
    }

    /// How many batches there were since the machine was started.
    pub fn batches(&self) -> u64 {
        self.last_seq
    }

    /// Something happens to the machine.
    pub fn input(&mut self, input: Input) {
        self.registry.handle(input, self.now);
        self.settle();
    }

    /// The oldest batch that waits is durable, or never will be.
    pub fn write(&mut self, works: bool) {
        if self.next_write(works) {
            self.settle();
        }
    }

    /// Time passes; what is due meanwhile is done in time.
    ///
    /// # Panics
    ///
    /// When the machine wants to be woken for what it has just done.
    pub fn wait(&mut self, by: Duration) {
        let (begin, end) = (self.now, self.now.mono.after(by));
        for _ in 0..STEPS_MAX {
            let drains =
                self.plane.drains.values().map(|drain| drain.started.after(drain.duration));
            let over = drains.filter(|at| *at > self.now.mono).min();
            let next = [self.registry.poll_timeout(), over].into_iter().flatten().min();
            let at = next.filter(|at| *at < end).unwrap_or(end).max(self.now.mono);
            self.now = begin.after(at.since(begin.mono));
            self.registry.handle_timeout(self.now);
            let next = self.registry.poll_timeout();
            assert!(next.is_none_or(|next| next > at), "woken at {at:?} for nothing");
            self.settle();
            if at == end {
                return;
            }
        }
        panic!("time does not pass");
    }

    /// Carries out what the machine wants, and gives it what follows, until nothing does.
    ///
    /// # Panics
    ///
    /// When that never ends.
    pub fn settle(&mut self) {
        for _ in 0..STEPS_MAX {
            while let Some(output) = self.registry.poll_output() {
                self.perform(output);
            }
            if let Some(input) = self.next_input() {
                self.registry.handle(input, self.now);
            } else if self.disk == Disk::Slow || !self.next_write(self.disk == Disk::Works) {
                return;
            }
        }
        panic!("the machine and its world never come to rest");
    }

    fn next_write(&mut self, works: bool) -> bool {
        let Some(batch) = self.writes.pop_front() else { return false };
        let result = if works {
            batch.records.iter().for_each(|record| self.image.apply(record));
            Ok(())
        } else {
            Err("no space left on device".to_owned())
        };
        self.registry.handle(Input::Persisted(batch.seq, result), self.now);
        true
    }

    /// What the world around the machine answers by itself.
    fn next_input(&mut self) -> Option<Input> {
        if !self.mute
            && let Some((query, question)) = self.questions.pop_front()
        {
            let reply = answers::answer(&question, &self.plane, self.now);
            return Some(Input::Answered(query, reply));
        }
        if !self.busy {
            if let Some(generation) = self.live.pop_front() {
                return Some(Input::Live(generation));
            }
            let over = self.plane.sweep(self.now.mono);
            self.drained.retain(|endpoint| over.contains(endpoint));
            if let Some(endpoint) = over.into_iter().find(|over| !self.drained.contains(over)) {
                self.drained.insert(endpoint);
                return Some(Input::Drained(endpoint));
            }
        }
        let now = self.now.mono;
        let mut clients = self.clients.values_mut();
        clients.find_map(|client| client.next(now).map(|line| Input::Line(client.conn, line)))
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Answer(conn, answer) => {
                if let Some(client) = self.by_conn(conn) {
                    let line = client.answer(&answer);
                    self.heard.push(Heard::Answer(conn, Box::new((line, answer))));
                }
            }
            Output::Push(conn, push) => {
                if let Some(client) = self.by_conn(conn) {
                    client.push(push.clone());
                    self.heard.push(Heard::Push(conn, push));
                }
            }
            Output::Speaks(conn, version) => {
                if let Some(client) = self.by_conn(conn) {
                    client.speaks(version);
                }
            }
            Output::Close(conn) => {
                if let Some(client) = self.by_conn(conn) {
                    client.closed = true;
                }
            }
            Output::Persist(batch) => {
                assert_eq!(batch.seq, self.last_seq + 1, "batches are numbered one by one");
                self.last_seq = batch.seq;
                self.writes.push_back(batch);
            }
            Output::Publish(table) => {
                self.live.push_back(table.generation());
                self.plane.publish(table);
            }
            Output::Presence(endpoints, connected) => self.plane.presence(&endpoints, connected),
            Output::Failing(routes) => self.plane.failing(&routes),
            Output::Drain(endpoints, drain) => {
                self.drained.retain(|endpoint| !endpoints.contains(endpoint));
                self.plane.drain(&endpoints, drain);
            }
            Output::Maintenance(modes) => self.plane.maintenance(&modes),
            Output::Query(query, question) => self.questions.push_back((query, question)),
            Output::Note(note) => self.notes.push(note),
            Output::Member(..) | Output::Checked(..) => {}
            Output::Watch(watch, Some(_)) => {
                assert!(self.watches.insert(watch), "{watch:?} is watched twice");
            }
            Output::Watch(watch, None) => {
                assert!(self.watches.remove(&watch), "{watch:?} is not watched");
            }
        }
    }

    fn by_conn(&mut self, conn: ConnId) -> Option<&mut Client> {
        self.clients.values_mut().find(|client| client.conn == conn)
    }
}

/// Where the ids of a start come from.
fn secret(seed: u64, start: u64) -> [u8; 32] {
    let mut secret = [0; 32];
    secret[..8].copy_from_slice(&seed.to_le_bytes());
    secret[8..16].copy_from_slice(&start.to_le_bytes());
    secret
}
