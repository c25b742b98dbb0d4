//! One service's tie to the registry: registered, configured, and again after every loss.
//!
//! ```text
//!               Connected                   AUTH_OK          OK
//!  connecting ------------> authenticating --------> resuming ----> up
//!    ^    \                                   |          | REREGISTER
//!    |     \                                  v          v      ACK
//!    |      \                               registering ----------> up
//!    | wait  \
//!    |        v        no answer, refused, Lost, from any state
//!  waiting <------ (closing: until the shell has dropped the socket)
//! ```
//!
//! While up it brings the session to what is desired, answers its program's questions, and pings.
//! Whatever the server refuses is retried later; what was proposed and refused is forgotten, and
//! the last accepted set stays the one that is replayed.
//!
//! If the connection breaks between an apply and its answer, nobody knows what is live. Then the
//! link does not resume: it registers again, which the registry treats as a restart of the
//! service, and the next apply swaps the old routes for the new in one publication.
//!
//! # Driving it
//!
//! [`Link`] does no I/O, reads no clock and draws no number. After every call that takes
//! `&mut self`, empty [`Link::poll_output`], then wait until [`Link::poll_timeout`] or the next
//! input. After [`Output::Connect`] and [`Output::Disconnect`] there must come a
//! [`Input::Connected`] or [`Input::Lost`], and [`Input::Lost`].

mod backoff;
mod config;
mod introduce;
mod up;

use std::collections::VecDeque;
use std::sync::Arc;

use model::{Instant, Line, Request, SessionId};

use crate::Desired;
use crate::edits::{Live, command};
use crate::said::Said;
use crate::sync::{Refusal, Sync};
pub(crate) use backoff::Backoff;
pub use config::{ApplyError, ApplyId, AskError, AskId, Event, Input, LinkConfig, Output, Status};

/// Proposals and questions of the program that wait, each.
const WAITING_MAX: usize = 64;

/// The machine.
#[derive(Debug)]
pub struct Link {
    config: LinkConfig,
    state: State,
    backoff: Backoff,
    /// What we would resume.
    session: Option<SessionId>,
    /// What that session has live.
    live: Live,
    /// Whether that session may have something staged.
    is_dirty: bool,
    /// Whether that session has the subscriptions.
    is_subscribed: bool,
    /// What was accepted last, and is replayed.
    wanted: Arc<Desired>,
    /// Whether that is live.
    is_live: bool,
    /// Not before then is it replayed again.
    replay_at: Option<Instant>,
    /// What the program proposed, oldest first. The first may be under way.
    proposals: VecDeque<(ApplyId, Arc<Desired>)>,
    /// Why the server refuses what we want, if it does.
    refusal: Option<Refusal>,
    /// Whether it was up once.
    was_up: bool,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum State {
    Waiting {
        until: Instant,
    },
    Connecting {
        deadline: Instant,
    },
    Open(Open),
    /// `Disconnect` was said; the socket goes for this reason.
    Closing(Box<str>),
    Ended,
}

/// A connection in use.
#[derive(Debug)]
struct Open {
    phase: Phase,
    /// What each unanswered command was for, oldest first.
    in_flight: VecDeque<Purpose>,
    /// When the oldest of them must be answered.
    deadline: Option<Instant>,
    ping_at: Instant,
    work: Option<Box<Work>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before a session is there.
    Introducing,
    Up,
    Leaving,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    Auth,
    Resume,
    Register,
    Work,
    Ping,
    Ask(AskId),
    Goodbye,
}

/// Bringing the session to what is desired.
#[derive(Debug)]
struct Work {
    sync: Sync,
    /// For the first proposal, or a replay.
    is_proposal: bool,
    desired: Arc<Desired>,
}

impl Link {
    /// A link that begins to connect.
    pub fn new(config: LinkConfig, now: Instant) -> Self {
        let backoff = Backoff::new(config.backoff_min, config.backoff_max);
        let mut link = Self {
            config,
            state: State::Waiting { until: now },
            backoff,
            session: None,
            live: Live::default(),
            is_dirty: false,
            is_subscribed: false,
            wanted: Arc::default(),
            is_live: true,
            replay_at: None,
            proposals: VecDeque::new(),
            refusal: None,
            was_up: false,
            outputs: VecDeque::new(),
        };
        link.handle_timeout(now);
        link
    }

    /// Takes one input.
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Connected => self.connected(now),
            Input::Lost { reason, draw } => self.lost(reason, draw, now),
            Input::Said(said) => self.said(said, now),
            Input::Apply(id, desired) => self.propose(id, desired, now),
            Input::Ask(id, request) => self.ask(id, request, now),
            Input::Shutdown => self.shutdown(now),
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = |at: &Instant| *at <= now;
        match &mut self.state {
            State::Waiting { until } if due(until) => {
                let deadline = now.after(self.config.answer_timeout);
                self.state = State::Connecting { deadline };
                self.outputs.push_back(Output::Connect);
            }
            State::Connecting { deadline } if due(deadline) => {
                self.close("connecting took too long")
            }
            State::Open(open) if open.deadline.as_ref().is_some_and(due) => {
                self.close("no answer in time");
            }
            State::Open(open) if open.phase == Phase::Up => {
                if open.deadline.is_none() && due(&open.ping_at) {
                    self.send(Purpose::Ping, Request::Ping, now);
                }
                self.work(now);
            }
            State::Waiting { .. }
            | State::Connecting { .. }
            | State::Open(_)
            | State::Closing(_)
            | State::Ended => {}
        }
    }

    /// The next thing to do for us, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Link::handle_timeout`] if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Waiting { until } => Some(*until),
            State::Connecting { deadline } => Some(*deadline),
            State::Open(open) if open.phase == Phase::Up => {
                let ping = open.deadline.is_none().then_some(open.ping_at);
                let replay = self.replay_at.filter(|_| open.work.is_none());
                [open.deadline, ping, replay].into_iter().flatten().min()
            }
            State::Open(open) => open.deadline,
            State::Closing(_) | State::Ended => None,
        }
    }

    /// How it stands, for people.
    pub fn status(&self) -> Status {
        match &self.state {
            State::Ended => Status::Ended,
            State::Waiting { .. }
            | State::Connecting { .. }
            | State::Closing(_)
            | State::Open(Open { phase: Phase::Introducing | Phase::Leaving, .. }) => {
                match (&self.refusal, self.was_up) {
                    (Some(refusal), _) => Status::Refused(refusal.clone()),
                    (None, true) => Status::Reconnecting,
                    (None, false) => Status::Connecting,
                }
            }
            State::Open(_) => match &self.refusal {
                Some(refusal) => Status::Refused(refusal.clone()),
                None if self.is_live => Status::Connected,
                None => Status::Registered,
            },
        }
    }

    /// The session, while there is one to resume.
    pub fn session(&self) -> Option<&SessionId> {
        self.session.as_ref()
    }

    fn said(&mut self, said: Said, now: Instant) {
        let State::Open(open) = &mut self.state else { return };
        let purpose = if said.is_push() { None } else { open.in_flight.pop_front() };
        let Some(purpose) = purpose else {
            return self.outputs.push_back(Output::Event(Event::Told(said)));
        };
        open.deadline = (!open.in_flight.is_empty()).then(|| now.after(self.config.answer_timeout));
        open.ping_at = now.after(self.config.ping_interval);
        match purpose {
            Purpose::Auth => match said.error() {
                Some(reason) => self.turned_away("AUTH", reason),
                None => self.introduce(now),
            },
            Purpose::Resume if said.line() == "OK" => self.up(now, Event::Resumed),
            Purpose::Resume => self.register(now),
            Purpose::Register => match SessionId::parse(said.rest()) {
                Ok(session) if said.verb() == "ACK" => {
                    self.session = Some(session.clone());
                    self.up(now, Event::Registered(session));
                }
                Ok(_) | Err(_) => {
                    let reason = said.error().unwrap_or("the answer is no ACK with a session id");
                    self.turned_away("REGISTER", reason);
                }
            },
            Purpose::Work => self.worked(&said, now),
            Purpose::Ping => {
                if said.error().is_some() {
                    // The session is gone, however the server puts it.
                    self.session = None;
                    self.close("the session was replaced or has ended");
                }
            }
            Purpose::Ask(id) => self.outputs.push_back(Output::Answered(id, Ok(said))),
            Purpose::Goodbye => self.end(said.error().is_none()),
        }
    }

    /// Drops the connection; the shell answers with `Lost`. Whoever was leaving has left.
    fn close(&mut self, reason: &str) {
        if let State::Open(Open { phase: Phase::Leaving, .. }) = &self.state {
            return self.end(false);
        }
        self.give_up_work();
        self.state = State::Closing(reason.into());
        self.outputs.push_back(Output::Disconnect);
    }

    fn lost(&mut self, reason: Box<str>, draw: u64, now: Instant) {
        self.give_up_work();
        let ours = match std::mem::replace(&mut self.state, State::Ended) {
            State::Ended => return,
            State::Open(Open { phase: Phase::Leaving, .. }) => return self.end(false),
            State::Closing(ours) => Some(ours),
            State::Waiting { .. } | State::Connecting { .. } | State::Open(_) => None,
        };
        if ours.is_none() {
            self.refusal = None;
        }
        let wait = self.backoff.next(draw);
        self.state = State::Waiting { until: now.after(wait) };
        let reason = ours.unwrap_or(reason);
        self.outputs.push_back(Output::Event(Event::Lost { reason, retry_in: wait }));
    }

    /// The connection ends with commands unanswered.
    fn give_up_work(&mut self) {
        let State::Open(open) = &mut self.state else { return };
        for purpose in open.in_flight.drain(..) {
            if let Purpose::Ask(id) = purpose {
                self.outputs.push_back(Output::Answered(id, Err(AskError::Lost)));
            }
        }
        if let Some(work) = open.work.take() {
            self.is_dirty = true;
            if work.sync.is_in_doubt() {
                self.session = None;
            }
        }
    }

    fn shutdown(&mut self, now: Instant) {
        match &mut self.state {
            State::Open(open) if open.phase == Phase::Up => {
                open.phase = Phase::Leaving;
                self.send(Purpose::Goodbye, Request::ClientShutdown, now);
            }
            State::Open(Open { phase: Phase::Leaving, .. }) | State::Ended => {}
            State::Waiting { .. }
            | State::Connecting { .. }
            | State::Open(_)
            | State::Closing(_) => self.end(false),
        }
    }

    fn end(&mut self, said_goodbye: bool) {
        self.give_up_work();
        self.state = State::Ended;
        for (id, _) in self.proposals.drain(..) {
            self.outputs.push_back(Output::Applied(id, Err(ApplyError::Ended)));
        }
        self.outputs.push_back(Output::Disconnect);
        self.outputs.push_back(Output::Ended { said_goodbye });
    }

    /// Sends a command of our own or of the program's.
    fn send(&mut self, purpose: Purpose, request: Request, now: Instant) {
        let State::Open(open) = &mut self.state else { return };
        debug_assert!(open.in_flight.len() < 4 * WAITING_MAX, "{}", command(&request));
        open.in_flight.push_back(purpose);
        if open.deadline.is_none() {
            open.deadline = Some(now.after(self.config.answer_timeout));
        }
        open.ping_at = now.after(self.config.ping_interval);
        let session = match request {
            Request::Auth(_) | Request::Register(_) => None,
            _ => self.session.clone(),
        };
        let mut bytes = Vec::new();
        wire::encode_line(&Line { session, txn: None, request }, &mut bytes);
        self.outputs.push_back(Output::Send(bytes));
    }
}

#[cfg(test)]
mod tests;
