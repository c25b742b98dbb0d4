//! What a link does while its session is there: proposals, replays, questions.

use std::sync::Arc;

use model::{Instant, Request};

use super::{
    ApplyError, ApplyId, AskError, AskId, Event, Link, Open, Output, Phase, Purpose, State,
    WAITING_MAX, Work,
};
use crate::Desired;
use crate::edits::Live;
use crate::said::Said;
use crate::sync::{Goal, Refusal, Start, Sync};

impl Link {
    /// The session is there.
    pub(super) fn up(&mut self, now: Instant, event: Event) {
        let State::Open(open) = &mut self.state else { return };
        open.phase = Phase::Up;
        self.backoff.reset();
        self.was_up = true;
        self.refusal = None;
        self.replay_at = None;
        self.outputs.push_back(Output::Event(event));
        self.work(now);
    }

    pub(super) fn propose(&mut self, id: ApplyId, desired: Arc<Desired>, now: Instant) {
        let error = match self.state {
            State::Ended | State::Open(Open { phase: Phase::Leaving, .. }) => ApplyError::Ended,
            _ if self.proposals.len() == WAITING_MAX => ApplyError::Busy,
            _ => {
                self.proposals.push_back((id, desired));
                return self.work(now);
            }
        };
        self.outputs.push_back(Output::Applied(id, Err(error)));
    }

    pub(super) fn ask(&mut self, id: AskId, request: Request, now: Instant) {
        let error = match &self.state {
            _ if is_ours(&request) => AskError::Reserved,
            State::Ended => AskError::Ended,
            State::Open(open) if open.phase == Phase::Up => {
                let asked = |purpose: &&Purpose| matches!(purpose, Purpose::Ask(_));
                if open.in_flight.iter().filter(asked).count() < WAITING_MAX {
                    return self.send(Purpose::Ask(id), request, now);
                }
                AskError::Busy
            }
            State::Waiting { .. }
            | State::Connecting { .. }
            | State::Open(_)
            | State::Closing(_) => AskError::NotConnected,
        };
        self.outputs.push_back(Output::Answered(id, Err(error)));
    }

    /// An answer came to what was asked on behalf of the work in hand.
    pub(super) fn worked(&mut self, said: &Said, now: Instant) {
        if let State::Open(Open { work: Some(work), .. }) = &mut self.state {
            work.sync.answered(said);
        }
        self.work(now);
    }

    /// Brings the session to what is desired, as far as can be done without waiting.
    pub(super) fn work(&mut self, now: Instant) {
        while let Some(mut work) = self.take_work(now) {
            while let Some(request) = work.sync.next_request() {
                self.send(Purpose::Work, request, now);
            }
            let Some(outcome) = work.sync.outcome() else {
                if let State::Open(open) = &mut self.state {
                    open.work = Some(work);
                }
                return;
            };
            match outcome {
                Ok(live) => self.accepted(&work, live),
                Err(refusal) => self.refused(&work, refusal, now),
            }
        }
    }

    /// The work in hand, or the next: proposals first, for they replace what would be replayed.
    fn take_work(&mut self, now: Instant) -> Option<Box<Work>> {
        let State::Open(open) = &mut self.state else { return None };
        if open.phase != Phase::Up {
            return None;
        }
        if let Some(work) = open.work.take() {
            return Some(work);
        }
        let subscribed = self.is_subscribed || self.config.subscriptions.is_empty();
        let (desired, is_proposal) = match self.proposals.front() {
            Some((_, desired)) => (Arc::clone(desired), true),
            None if self.is_live && subscribed => return None,
            None if self.replay_at.is_some_and(|at| now < at) => return None,
            None => (Arc::clone(&self.wanted), false),
        };
        let subscriptions = if subscribed { Vec::new() } else { self.config.subscriptions.clone() };
        let start = Start { live: self.live.clone(), is_dirty: self.is_dirty, subscriptions };
        let sync = Sync::new(Arc::clone(&desired), start, Goal::Applied);
        Some(Box::new(Work { sync, is_proposal, desired }))
    }

    fn accepted(&mut self, work: &Work, live: Live) {
        let routes = live.routes.len();
        self.live = live;
        self.wanted = Arc::clone(&work.desired);
        self.is_live = true;
        self.is_dirty = false;
        self.is_subscribed = true;
        self.refusal = None;
        self.replay_at = None;
        self.outputs.push_back(Output::Event(Event::Applied { routes }));
        if work.is_proposal
            && let Some((id, _)) = self.proposals.pop_front()
        {
            self.outputs.push_back(Output::Applied(id, Ok(())));
        }
    }

    fn refused(&mut self, work: &Work, refusal: Refusal, now: Instant) {
        self.is_dirty = false;
        if work.is_proposal {
            if let Some((id, _)) = self.proposals.pop_front() {
                self.outputs.push_back(Output::Applied(id, Err(ApplyError::Refused(refusal))));
            }
            return;
        }
        // Somebody else may have the key for now, or the disk there may be full.
        self.replay_at = Some(now.after(self.config.backoff_max));
        self.outputs.push_back(Output::Event(Event::Refused(refusal.clone())));
        self.refusal = Some(refusal);
    }
}

/// Commands that would pull the session away from under the link.
fn is_ours(request: &Request) -> bool {
    matches!(
        request,
        Request::Auth(_)
            | Request::Register(_)
            | Request::RouteV1(_)
            | Request::HeaderV1(_)
            | Request::OptionV1(..)
            | Request::ValidateV1
            | Request::ShutdownV1
            | Request::ClientShutdown
            | Request::Reconnect
            | Request::Ack
    )
}
