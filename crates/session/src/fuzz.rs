//! What must hold for any sequence of operations at all.
//!
//! The fuzz target calls [`ops`], and so does a test over the committed corpus. A broken rule is a
//! panic. Names, keys and connections come from pools so small that everything collides.

mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use model::{
    Batch, ConnId, Event, Image, Instant, Line, Now, RouteId, SessionId, TxnId, UnixMillis,
};
use routing::EndpointId;

use self::words::Words;
use crate::{Config, Effects, Input, Output, Peer, QueryId, Registry};

/// Connections at once.
const CONNECTIONS: u8 = 5;
/// Operations of one run: time for what is interesting, and an end.
const OPERATIONS_MAX: usize = 2000;
/// Times that may pass: about the deadlines there are.
const TIMES: [Duration; 8] = [
    Duration::from_millis(1),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(600),
    Duration::from_secs(1800),
];

/// Carries out the operations that `data` spells, on a machine with a slow disk in a world without
/// mercy.
///
/// After each one the machine is whole ([`Registry::check`]), every command was answered at most
/// once and in time, and the machine wants to be woken later than now.
///
/// # Panics
///
/// If one of these does not hold.
pub fn ops(data: &[u8]) {
    let mut run = Run::new(Words::new(data));
    for _ in 0..OPERATIONS_MAX {
        let Some(operation) = run.words.next() else { break };
        run.operation(operation);
        run.registry.check();
    }
    run.leave();
}

struct Run<'a> {
    registry: Registry,
    words: Words<'a>,
    now: Now,
    image: Image,
    /// Batches that the disk has not answered.
    writes: VecDeque<Batch>,
    conns: BTreeMap<u8, Talk>,
    last_conn: u64,
    starts: u8,
    sessions: Vec<SessionId>,
    tokens: Vec<Box<str>>,
    queries: VecDeque<QueryId>,
    watches: BTreeSet<QueryId>,
}

/// One end of a conversation.
struct Talk {
    conn: ConnId,
    /// Since when an answer is awaited.
    waits: Option<Instant>,
    /// The session that was registered or reconnected to last.
    own: Option<SessionId>,
    closed: bool,
}

pub(crate) fn config() -> Config {
    Config {
        session_expiry: Duration::from_secs(60),
        v1_route_grace: Duration::from_secs(60),
        route_grace: Duration::from_secs(300),
        staged_expiry: Duration::from_secs(1800),
        sessions_max: 6,
        routes_max: 14,
        routes_per_session_max: 8,
        sessions_per_peer_max: 10_000,
        effects: Effects::ALL,
    }
}

impl<'a> Run<'a> {
    fn new(words: Words<'a>) -> Self {
        let now = Now { mono: Instant::from_nanos(1), wall: UnixMillis(1_734_532_800_000) };
        let mut run = Self {
            registry: Registry::new(config(), [0; 32], Image::default(), now),
            words,
            now,
            image: Image::default(),
            writes: VecDeque::new(),
            conns: BTreeMap::new(),
            last_conn: 0,
            starts: 0,
            sessions: Vec::new(),
            tokens: Vec::new(),
            queries: VecDeque::new(),
            watches: BTreeSet::new(),
        };
        run.perform();
        run
    }

    fn operation(&mut self, operation: u8) {
        match operation % 16 {
            0..=8 => self.say(),
            9 => self.lose(),
            10 | 11 => self.write(),
            12 => {
                let by = self.words.one_of(&TIMES);
                self.wait(by);
            }
            13 => self.happen(),
            14 => self.answer_a_query(),
            _ => match self.words.below(8) {
                0 => self.restart(),
                1 => self.input(Input::Shutdown),
                _ => self.write_all(),
            },
        }
    }

    /// A command over one of the connections, unless it still waits for an answer.
    fn say(&mut self) {
        let number = self.words.below(CONNECTIONS);
        if self.conns.get(&number).is_some_and(|talk| talk.closed) {
            self.lose_this(number);
        }
        if !self.conns.contains_key(&number) {
            self.connect(number);
        }
        let Some(talk) = self.conns.get_mut(&number) else { return };
        if talk.waits.is_some() {
            return;
        }
        let request = self.words.request(&self.tokens);
        let session = if self.words.below(8) == 0 {
            self.words.one_of_some(&self.sessions)
        } else {
            talk.own.clone().or_else(|| self.sessions.last().cloned())
        };
        let txn = if self.words.below(4) == 0 { TxnId::parse("t1") } else { None };
        talk.waits = Some(self.now.mono);
        let line = Line { session, txn, request };
        let conn = talk.conn;
        self.input(Input::Line(conn, line));
    }

    fn connect(&mut self, number: u8) {
        self.last_conn += 1;
        let conn = ConnId(self.last_conn);
        // The last of the pool is an operator, who may name any session.
        let peer = if number + 1 == CONNECTIONS { Peer::Operator } else { Peer::Local };
        self.conns.insert(number, Talk { conn, waits: None, own: None, closed: false });
        self.input(Input::Connected(conn, peer));
    }

    fn lose(&mut self) {
        let number = self.words.below(CONNECTIONS);
        self.lose_this(number);
    }

    fn lose_this(&mut self, number: u8) {
        if let Some(talk) = self.conns.remove(&number) {
            self.input(Input::Lost(talk.conn));
        }
    }

    /// The disk answers the oldest batch: it writes them in order, each whole or not at all.
    fn write(&mut self) {
        let works = self.words.below(5) > 0;
        if let Some(batch) = self.writes.pop_front() {
            self.written(&batch, works);
        }
    }

    fn write_all(&mut self) {
        while let Some(batch) = self.writes.pop_front() {
            self.written(&batch, true);
        }
    }

    fn written(&mut self, batch: &Batch, works: bool) {
        let result = if works {
            batch.records.iter().for_each(|record| self.image.apply(record));
            Ok(())
        } else {
            Err("disk full".to_owned())
        };
        self.input(Input::Persisted(batch.seq, result));
    }

    fn wait(&mut self, by: Duration) {
        let until = self.now.after(by);
        while let Some(next) = self.registry.poll_timeout().filter(|next| *next <= until.mono) {
            self.now = self.now.after(next.since(self.now.mono));
            self.registry.handle_timeout(self.now);
            self.perform();
            let next = self.registry.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now.mono), "woken for nothing");
            self.registry.check();
        }
        self.now = until;
        let now = self.now.mono;
        for (number, talk) in self.conns.iter().filter(|(_, talk)| !talk.closed) {
            let waited = talk.waits.map_or(Duration::ZERO, |since| now.since(since));
            assert!(waited <= Duration::from_secs(4), "{number} has waited for {waited:?}");
        }
    }

    fn happen(&mut self) {
        let number = u64::from(self.words.below(12));
        let input = match self.words.below(6) {
            0 => Input::Live(self.registry.table().generation()),
            1 => Input::Refused(EndpointId(number)),
            2 => Input::Drained(EndpointId(number)),
            3 => match self.watches.first() {
                Some(watch) => Input::Tripped(*watch, "errors<5%".into()),
                None => return,
            },
            4 => Input::Happened(Event::CertRenewed {
                domain: "a.example".into(),
                expiry: self.now.wall,
            }),
            _ => Input::Happened(Event::BackendHealthChanged {
                route: RouteId(number),
                healthy: self.words.below(3) == 0,
                reason: "connection_timeout".into(),
            }),
        };
        self.input(input);
    }

    fn answer_a_query(&mut self) {
        if let Some(query) = self.queries.pop_front() {
            self.input(Input::Answered(query, model::Reply::CircuitOk));
        }
    }

    /// The proxy is killed; the next one goes on from what is durable.
    fn restart(&mut self) {
        self.starts = self.starts.wrapping_add(1);
        self.writes.clear();
        self.conns.clear();
        self.queries.clear();
        self.watches.clear();
        self.tokens.clear();
        let image = self.image.clone();
        self.registry = Registry::new(config(), [self.starts; 32], image, self.now);
        self.perform();
    }

    fn input(&mut self, input: Input) {
        self.registry.handle(input, self.now);
        self.perform();
    }

    fn perform(&mut self) {
        while let Some(output) = self.registry.poll_output() {
            match output {
                Output::Answer(conn, answer) => {
                    let Some(talk) = self.conns.values_mut().find(|talk| talk.conn == conn) else {
                        continue;
                    };
                    assert!(
                        talk.waits.take().is_some(),
                        "{conn:?} got an answer it did not ask for"
                    );
                    assert!(!talk.closed, "{conn:?} got an answer after it was closed");
                    talk.remember(&answer.reply, &mut self.sessions, &mut self.tokens);
                }
                Output::Close(conn) => {
                    if let Some(talk) = self.conns.values_mut().find(|talk| talk.conn == conn) {
                        talk.closed = true;
                    }
                }
                Output::Persist(batch) => self.writes.push_back(batch),
                Output::Query(query, _) => self.queries.push_back(query),
                Output::Watch(watch, Some(_)) => drop(self.watches.insert(watch)),
                Output::Watch(watch, None) => drop(self.watches.remove(&watch)),
                Output::Push(..)
                | Output::Speaks(..)
                | Output::Publish(_)
                | Output::Presence(..)
                | Output::Failing(_)
                | Output::Drain(..)
                | Output::Maintenance(_)
                | Output::Member(..)
                | Output::Checked(..)
                | Output::Note(_) => {}
            }
        }
    }

    /// Everybody goes; in the end nothing but what is pinned is left.
    fn leave(&mut self) {
        self.write_all();
        for number in 0..CONNECTIONS {
            self.lose_this(number);
        }
        for _ in 0..2 {
            self.wait(Duration::from_secs(366 * 24 * 3600));
            self.write_all();
        }
        self.registry.check();
        let pinned = self.registry.image().sessions.iter().any(|stored| stored.row.pinned);
        assert!(pinned || self.registry.table().is_empty(), "routes are left");
    }
}

impl Talk {
    fn remember(
        &mut self,
        reply: &model::Reply,
        sessions: &mut Vec<SessionId>,
        tokens: &mut Vec<Box<str>>,
    ) {
        match reply {
            model::Reply::Registered(id) => {
                assert!(!sessions.contains(id), "{id:?} was given out twice");
                sessions.push(id.clone());
                self.own = Some(id.clone());
            }
            model::Reply::Ok => self.own = self.own.take().or_else(|| sessions.last().cloned()),
            model::Reply::HandoverOk(token) => tokens.push(token.clone()),
            _ => {}
        }
    }
}
