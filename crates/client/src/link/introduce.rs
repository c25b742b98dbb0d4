//! What a link does on a new connection until it has a session.

use std::collections::VecDeque;

use model::{Instant, Registration, Request};

use super::{ApplyError, Event, Link, Open, Output, Phase, Purpose, State};
use crate::Desired;
use crate::edits::Live;
use crate::sync::Refusal;

impl Link {
    pub(super) fn connected(&mut self, now: Instant) {
        let State::Connecting { .. } = self.state else { return };
        self.state = State::Open(Open {
            phase: Phase::Introducing,
            in_flight: VecDeque::new(),
            deadline: None,
            ping_at: now.after(self.config.ping_interval),
            work: None,
        });
        match self.config.token.clone() {
            Some(token) => self.send(Purpose::Auth, Request::Auth(token), now),
            None => self.introduce(now),
        }
    }

    /// Resumes the session, or registers where there is none.
    pub(super) fn introduce(&mut self, now: Instant) {
        if self.session.is_some() {
            self.send(Purpose::Resume, Request::Reconnect, now);
        } else {
            self.register(now);
        }
    }

    pub(super) fn register(&mut self, now: Instant) {
        self.forget_session();
        let registration = Registration::V2 {
            service: self.config.service.clone(),
            instance: self.config.instance.clone(),
            maintenance_port: self.config.maintenance_port,
            metadata: self.config.metadata.clone(),
        };
        self.send(Purpose::Register, Request::Register(registration), now);
    }

    pub(super) fn forget_session(&mut self) {
        self.session = None;
        self.live = Live::default();
        self.is_dirty = false;
        self.is_subscribed = false;
        self.is_live = *self.wanted == Desired::default();
    }

    /// The server will not have us: proposals fail, and later we try again.
    pub(super) fn turned_away(&mut self, command: &'static str, reason: &str) {
        let refusal = Refusal { command, reason: reason.into() };
        self.outputs.push_back(Output::Event(Event::Refused(refusal.clone())));
        for (id, _) in self.proposals.drain(..) {
            let error = ApplyError::Refused(refusal.clone());
            self.outputs.push_back(Output::Applied(id, Err(error)));
        }
        self.refusal = Some(refusal);
        self.close("the server refused us");
    }
}
