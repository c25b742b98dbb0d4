//! What a decision asks about endpoints: the only door to the world outside.

use model::Instant;

use crate::Member;

/// An endpoint: one (service, instance, backend URL), whatever routes lead to it. Given out by
/// the table, never used again; learned state is kept under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u64);

/// What is known about endpoints right now.
pub trait Live {
    /// The endpoint of a member, as requests over this member's route find it at `now`. Asked up
    /// to four times about each member for one decision; the answers may differ.
    fn member(&self, member: &Member, now: Instant) -> EndpointView;
}

/// An endpoint right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointView {
    /// Whether it may be sent anything.
    pub health: EndpointHealth,
    /// Requests it is working on.
    pub in_flight: u32,
    /// Its latency, a peak-sensitive moving average, in microseconds; 0 is unknown.
    pub latency_micros: u32,
    /// The share of its usual traffic it gets now, in percent: drains and ramps. With 0 it serves
    /// only while nothing better is left; when its drain is over it is [`EndpointHealth::Gone`].
    pub share_percent: u32,
}

/// Whether an endpoint may be sent anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointHealth {
    /// Yes.
    Up,
    /// Its registry connection is lost: only while no connected endpoint is usable.
    Away,
    /// Its first health check has not passed yet: only while no other endpoint is usable (SPEC 4).
    Unchecked,
    /// A connect failed a moment ago: only when every endpoint is bad.
    Ejected,
    /// Its health checks fail: only when every endpoint is bad.
    Failing,
    /// Not at all: refused a connection while its registry connection is lost (SPEC 4), or is
    /// drained.
    Gone,
    /// Not at all before then: the circuit breaker of this route is open, or its probes are out.
    Open {
        /// When the next request may be tried.
        until: Instant,
    },
    /// Not at all: it works on as many requests as `max_in_flight` allows.
    Full,
    /// Not at all: its instance is in maintenance.
    Maintenance,
}
