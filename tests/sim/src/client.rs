//! One connection to the registry, as the shell keeps it: bytes, and whose turn it is.

use std::collections::VecDeque;

use model::{Answer, ConnId, Instant, Line, Push, Reply, Request, Version};
use wire::{Dialect, Framer};

/// One connection.
#[derive(Debug)]
pub struct Client {
    /// Its number for the machine.
    pub conn: ConnId,
    /// Whether it was said to be closed.
    pub closed: bool,
    framer: Framer,
    dialect: Dialect,
    under_way: Option<(Line, Instant)>,
    pushes: VecDeque<Push>,
    told: VecDeque<String>,
}

impl Client {
    /// A connection that was accepted as `conn`.
    pub fn new(conn: ConnId) -> Self {
        Self {
            conn,
            closed: false,
            framer: Framer::new(),
            dialect: Dialect::Fresh,
            under_way: None,
            pushes: VecDeque::new(),
            told: VecDeque::new(),
        }
    }

    /// Takes what the client says; a line feed is added.
    pub fn say(&mut self, line: &str) {
        self.framer.push(line.as_bytes());
        self.framer.push(b"\n");
    }

    /// The next command for the machine, if it is its turn. What is none is refused here.
    pub fn next(&mut self, now: Instant) -> Option<Line> {
        while !self.is_waiting() && !self.closed {
            let refused = match self.framer.next_line()? {
                Ok(text) => match wire::decode(&text, self.dialect) {
                    Ok(line) if line.request == Request::Ack => return Some(line),
                    Ok(line) => {
                        self.under_way = Some((line.clone(), now));
                        return Some(line);
                    }
                    Err(error) => Answer { txn: error.txn, reply: Reply::Refused(error.reason) },
                },
                Err(error) => {
                    let reason = model::Refusal::new(error.to_string());
                    Answer { txn: None, reply: Reply::Refused(reason) }
                }
            };
            self.write_answer(&refused);
        }
        None
    }

    /// The answer to the command under way, which is given back.
    ///
    /// # Panics
    ///
    /// When there is none under way: nobody asked.
    pub fn answer(&mut self, answer: &Answer) -> Line {
        let (line, _) = self.under_way.take().expect("an answer has a question");
        assert_eq!(line.txn, answer.txn, "{:?}: another transaction is echoed", self.conn);
        self.write_answer(answer);
        while let Some(push) = self.pushes.pop_front() {
            self.write_push(&push);
        }
        line
    }

    /// A line that nobody asked for: waits until nothing is unanswered.
    ///
    /// # Panics
    ///
    /// When the session is a v1 session: it must never be told such a thing.
    pub fn push(&mut self, push: Push) {
        assert_ne!(self.dialect, Dialect::V1, "{:?} is told {push:?} and speaks v1", self.conn);
        if self.is_waiting() {
            self.pushes.push_back(push);
        } else {
            self.write_push(&push);
        }
    }

    /// Speaks this version from now on.
    pub fn speaks(&mut self, version: Version) {
        self.dialect = match version {
            Version::V1 => Dialect::V1,
            Version::V2 => Dialect::V2,
        };
        self.framer.set_dialect(self.dialect);
    }

    /// Whether a command is unanswered.
    pub fn is_waiting(&self) -> bool {
        self.under_way.is_some()
    }

    /// Since when a command is unanswered.
    pub fn waits_since(&self) -> Option<Instant> {
        self.under_way.as_ref().map(|(_, since)| *since)
    }

    /// The next line the client was told.
    pub fn told(&mut self) -> Option<String> {
        self.told.pop_front()
    }

    /// The next line the client was told, left where it is.
    pub fn peek(&self) -> Option<&str> {
        self.told.front().map(String::as_str)
    }

    fn write_answer(&mut self, answer: &Answer) {
        let mut bytes = Vec::new();
        wire::encode_answer(answer, self.dialect, &mut bytes);
        self.write(&bytes);
    }

    fn write_push(&mut self, push: &Push) {
        let mut bytes = Vec::new();
        wire::encode_push(push, &mut bytes);
        self.write(&bytes);
    }

    /// # Panics
    ///
    /// When it is not exactly one line of text.
    fn write(&mut self, bytes: &[u8]) {
        let text = str::from_utf8(bytes).expect("what is written is text");
        let line = text.strip_suffix('\n').expect("what is written ends with a line feed");
        assert!(!line.contains(['\n', '\r']), "two lines at once: {line:?}");
        self.told.push_back(line.to_owned());
    }
}
