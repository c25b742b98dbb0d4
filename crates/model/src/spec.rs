//! What may be set for a route, already checked.

use std::time::Duration;

use crate::{BackendUrl, HostPattern, RouteId, RoutePath};

/// A route as it was staged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteSpec {
    /// The hosts it answers for, at least one, none twice.
    pub domains: Vec<HostPattern>,
    /// The path it answers for.
    pub path: RoutePath,
    /// Where its requests go.
    pub backend: BackendUrl,
    /// Higher is matched first.
    pub priority: i32,
}

/// What a setting is for. `All` sorts first, so that a route's own settings come after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Every route of the session, those of later as well.
    All,
    /// One route.
    Route(RouteId),
}

/// What an active health check does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HealthProbe {
    /// Asks for a path; 2xx and 3xx pass.
    Http(Box<str>),
    /// Connects, and that is all.
    Tcp,
    /// Nothing is checked.
    Off,
}

/// Active health checks of one route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HealthSpec {
    /// What is done.
    pub probe: HealthProbe,
    /// Between two checks.
    pub interval: Duration,
    /// For one check.
    pub timeout: Duration,
}

/// A rate limit per client address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitSpec {
    /// Most requests in any window; 0 is no limit.
    pub requests: u32,
    /// The window.
    pub window: Duration,
}

/// A circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BreakerSpec {
    /// Failures in a row that open it; 0 is no breaker.
    pub threshold: u32,
    /// How long it stays open.
    pub timeout: Duration,
    /// Requests let through to test recovery; all must pass.
    pub half_open_requests: u32,
}
