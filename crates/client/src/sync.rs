//! How a session's configuration becomes what is desired: which commands, in which order.
//!
//! ```text
//!   routes -> settings -> validate -> apply -> over
//!      \__________\___________\_________\
//!                    refused             `-> undo -> over
//! ```
//!
//! Settings come after routes, because they name the ids that routes were answered with. Within a
//! step commands are pipelined. Nothing here knows of connections or of time: lose one, and begin
//! again with another [`Sync`].

use std::collections::VecDeque;
use std::sync::Arc;

use model::{EventKind, Request, RouteId, RouteSpec, Target};

use crate::Desired;
use crate::edits::{Live, LiveRoute, route_edits, settle, tuning_edits};
use crate::said::Said;

/// Commands that wait for an answer at once.
const IN_FLIGHT_MAX: usize = 32;
/// Estimated bytes of routes in one ROUTE_ADD_BULK. A line may have 16 384 bytes (SPEC 2.1); the
/// rest is for the session id, and for an estimate that was low.
const BULK_BYTES_MAX: usize = 12_000;

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Staged and found valid.
    Validated,
    /// Live.
    Applied,
}

/// Where a session stands when work on it begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start {
    /// What it has live.
    pub(crate) live: Live,
    /// Whether something may be staged from before.
    pub(crate) is_dirty: bool,
    /// What is to be subscribed to; `None` is `all`.
    pub(crate) subscriptions: Vec<Option<EventKind>>,
}

/// The way from what is live to what is desired.
#[derive(Debug)]
pub(crate) struct Sync {
    desired: Arc<Desired>,
    goal: Goal,
    step: Step,
    before: Live,
    after: Live,
    /// Whether anything was staged.
    changes: bool,
    queue: VecDeque<Ask>,
    in_flight: VecDeque<Ask>,
    refusal: Option<Refusal>,
}

/// The server said no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{command}: {reason}")]
pub struct Refusal {
    /// To which command, as the protocol spells it.
    pub command: &'static str,
    /// As it was said.
    pub reason: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Routes,
    Settings,
    Validate,
    Apply,
    Undo,
    Over,
}

/// A command, and what has to be known about it when its answer comes.
#[derive(Debug)]
enum Ask {
    Bulk(Vec<RouteSpec>),
    Other(Request),
}

impl Sync {
    pub(crate) fn new(desired: Arc<Desired>, start: Start, goal: Goal) -> Self {
        let mut sync = Self {
            desired,
            goal,
            step: Step::Routes,
            before: start.live,
            after: Live::default(),
            changes: false,
            queue: VecDeque::new(),
            in_flight: VecDeque::new(),
            refusal: None,
        };
        if start.is_dirty {
            sync.queue.push_back(Ask::Other(Request::ConfigRollback));
        }
        for kind in start.subscriptions {
            sync.queue.push_back(Ask::Other(Request::Subscribe(kind)));
        }
        sync.plan_routes();
        sync
    }

    /// The next command to send, if one can be sent now.
    pub(crate) fn next_request(&mut self) -> Option<Request> {
        loop {
            if self.in_flight.len() == IN_FLIGHT_MAX {
                return None;
            }
            if let Some(ask) = self.queue.pop_front() {
                let request = ask.request();
                self.in_flight.push_back(ask);
                return Some(request);
            }
            if !self.in_flight.is_empty() || self.step == Step::Over {
                return None;
            }
            self.advance();
        }
    }

    /// Takes the answer to the oldest command that had none.
    pub(crate) fn answered(&mut self, said: &Said) {
        let Some(ask) = self.in_flight.pop_front() else { return };
        let reason = match (said.error(), &ask) {
            (Some(reason), _) => reason,
            (None, Ask::Other(_)) => return,
            (None, Ask::Bulk(specs)) => match said.bulk_ids() {
                Some(ids) if ids.len() == specs.len() => {
                    for (spec, id) in specs.iter().zip(ids) {
                        self.keep(spec, id, None);
                    }
                    return;
                }
                Some(_) | None => "the answer does not list one id for each route",
            },
        };
        if self.step != Step::Undo && self.refusal.is_none() {
            self.refusal = Some(Refusal { command: ask.command(), reason: reason.into() });
            self.queue.clear();
        }
    }

    /// What came of it, once it is over.
    pub(crate) fn outcome(&mut self) -> Option<Result<Live, Refusal>> {
        (self.step == Step::Over).then(|| match self.refusal.take() {
            Some(refusal) => Err(refusal),
            None => Ok(std::mem::take(&mut self.after)),
        })
    }

    /// Whether an apply was sent and not answered: nobody knows what is live.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.in_flight.iter().any(|ask| matches!(ask, Ask::Other(Request::ConfigApply)))
    }

    fn advance(&mut self) {
        if self.refusal.is_some() && self.step != Step::Undo {
            self.step = Step::Undo;
            self.queue.push_back(Ask::Other(Request::ConfigRollback));
            return;
        }
        self.step = match self.step {
            Step::Routes => {
                self.plan_settings();
                Step::Settings
            }
            Step::Settings if self.changes => {
                self.queue.push_back(Ask::Other(Request::ConfigValidate));
                Step::Validate
            }
            Step::Validate if self.goal == Goal::Applied => {
                self.queue.push_back(Ask::Other(Request::ConfigApply));
                Step::Apply
            }
            Step::Settings | Step::Validate | Step::Apply | Step::Undo | Step::Over => Step::Over,
        };
    }

    fn plan_routes(&mut self) {
        let desired = Arc::clone(&self.desired);
        for (spec, route) in &self.before.routes {
            if !desired.routes.contains_key(spec) {
                self.queue.push_back(Ask::Other(Request::RouteRemove(route.id)));
                self.changes = true;
            }
        }
        let mut bulk: Vec<RouteSpec> = Vec::new();
        let mut bytes = 0;
        for spec in desired.routes.keys() {
            if let Some(route) = self.before.routes.remove(spec) {
                self.keep(spec, route.id, Some(route));
                continue;
            }
            let more = estimated_bytes(spec);
            if bytes + more > BULK_BYTES_MAX && !bulk.is_empty() {
                self.queue.push_back(Ask::Bulk(std::mem::take(&mut bulk)));
                bytes = 0;
            }
            bytes += more;
            bulk.push(spec.clone());
        }
        if !bulk.is_empty() {
            self.queue.push_back(Ask::Bulk(bulk));
            self.changes = true;
        }
    }

    /// Remembers a route that will be live, and what its settings will be.
    fn keep(&mut self, spec: &RouteSpec, id: RouteId, before: Option<LiveRoute>) {
        let Some(wish) = self.desired.routes.get(spec) else { return };
        let before = before.unwrap_or_else(|| LiveRoute::new(id));
        let after = settle(&before, wish, &self.desired.all);
        self.before.routes.insert(spec.clone(), before);
        self.after.routes.insert(spec.clone(), after);
    }

    fn plan_settings(&mut self) {
        let mut requests = Vec::new();
        tuning_edits(Target::All, &self.before.all, &self.desired.all, &mut requests);
        self.after.all = self.desired.all.clone();
        for (spec, after) in &self.after.routes {
            if let Some(before) = self.before.routes.get(spec) {
                route_edits(before, after, &mut requests);
            }
        }
        self.changes |= !requests.is_empty();
        self.queue.extend(requests.into_iter().map(Ask::Other));
    }
}

impl Ask {
    fn request(&self) -> Request {
        match self {
            Self::Bulk(specs) => Request::RouteAddBulk(specs.clone()),
            Self::Other(request) => request.clone(),
        }
    }

    fn command(&self) -> &'static str {
        match self {
            Self::Bulk(_) => "ROUTE_ADD_BULK",
            Self::Other(request) => crate::edits::command(request),
        }
    }
}

/// As an element of ROUTE_ADD_BULK's list. What JSON escapes is at most six times as long.
fn estimated_bytes(spec: &RouteSpec) -> usize {
    let text = |text: String| {
        let escaped = text.bytes().filter(|b| matches!(b, b'"' | b'\\' | b'|')).count();
        text.len() + 5 * escaped + 3
    };
    let domains: usize = spec.domains.iter().map(|domain| text(domain.to_string())).sum();
    domains + text(spec.path.to_string()) + text(spec.backend.to_string()) + 70
}

#[cfg(test)]
mod tests;
