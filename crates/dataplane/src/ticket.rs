//! The right to send one request to one endpoint: counted at the endpoint, admitted by the
//! breaker of the route. Given back when it goes out of scope, whatever became of the request.

use std::rc::Rc;

use model::{FailureClass, RouteId};
use resilience::{Outcome, Permit, Phase};
use routing::{EndpointId, Member};

use crate::plane::Notice;
use crate::route::RouteState;
use crate::upstream::LocalEndpoint;
use crate::worker::Worker;

/// A route as one worker uses it.
#[derive(Debug)]
pub(crate) struct LocalRoute {
    pub(crate) route: RouteId,
    pub(crate) leads_to: EndpointId,
    pub(crate) endpoint: Rc<LocalEndpoint>,
    pub(crate) state: std::sync::Arc<RouteState>,
}

/// One request at its endpoint.
#[derive(Debug)]
pub(crate) struct Ticket {
    worker: Rc<Worker>,
    pub(crate) route: Rc<LocalRoute>,
    breaker: Option<(model::BreakerSpec, Permit)>,
}

impl Ticket {
    /// Takes the right to send a request to this member; `None` when somebody else took the last.
    pub(crate) fn take(worker: &Rc<Worker>, member: &Member) -> Option<Self> {
        let route = worker.route(member);
        let now = || worker.clock.mono();
        if !route.endpoint.state.begin(member.config.options.max_in_flight, now) {
            return None;
        }
        // From here on dropping the ticket gives back what was counted.
        let mut ticket = Self { worker: Rc::clone(worker), route, breaker: None };
        if let Some(rule) = &member.config.breaker {
            let (permit, phase) = ticket.route.state.admit(rule, now())?;
            ticket.breaker = Some((*rule, permit));
            ticket.tell(phase);
        }
        Some(ticket)
    }

    /// How the request went, as far as the breaker is concerned. The first word counts.
    pub(crate) fn settle(&mut self, outcome: Outcome) {
        let Some((rule, permit)) = self.breaker.take() else { return };
        let state = &self.route.state;
        if outcome == Outcome::Failed {
            state.note_failure(self.worker.clock.now().wall.0);
        }
        let phase = state.settle(&rule, permit, outcome, self.worker.clock.mono());
        self.tell(phase);
    }

    fn tell(&self, phase: Option<Phase>) {
        if let Some(phase) = phase {
            self.worker.shared.tell(Notice::Circuit(self.route.route, phase_name(phase)));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.settle(Outcome::Abandoned);
        self.route.endpoint.state.end();
    }
}

/// What a response's status says to a breaker (SPEC 4).
pub(crate) fn outcome_of(status: u16, failure: FailureClass) -> Outcome {
    let failed = match failure {
        FailureClass::Gateway => matches!(status, 502..=504),
        FailureClass::Any5xx => status >= 500,
    };
    if failed { Outcome::Failed } else { Outcome::Passed }
}

/// As the protocol calls it.
pub(crate) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Closed => "closed",
        Phase::Open { .. } => "open",
        Phase::HalfOpen => "half_open",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC 4: "502/503/504 (`failure=5xx` adds the rest). Never 4xx".
    #[test]
    fn what_counts_as_a_failure() {
        for (status, gateway, any) in [
            (200, false, false),
            (404, false, false),
            (429, false, false),
            (500, false, true),
            (501, false, true),
            (502, true, true),
            (503, true, true),
            (504, true, true),
            (505, false, true),
        ] {
            let failed = |class| outcome_of(status, class) == Outcome::Failed;
            assert_eq!(failed(FailureClass::Gateway), gateway, "{status}");
            assert_eq!(failed(FailureClass::Any5xx), any, "{status}");
        }
    }
}
