//! What the registry answers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{
    BackendUrl, Generation, HostPattern, InstanceName, Refusal, RouteId, RoutePath, ServiceName,
    SessionId, TxnId, UnixMillis,
};

/// One answer to one command.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The command's transaction id, echoed.
    pub txn: Option<TxnId>,
    /// The answer.
    pub reply: Reply,
}

/// What is answered. The variants stand in the order of [`Request`](crate::Request).
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `AUTH_OK`.
    AuthOk,
    /// `ACK|session_id`.
    Registered(SessionId),
    /// `ROUTE_OK`, to ROUTE, ROUTE_UPDATE and ROUTE_REMOVE.
    RouteOk,
    /// `HEADER_OK`.
    HeaderOk,
    /// `OPTIONS_OK`, in either version.
    OptionsOk,
    /// `OK`: VALIDATE, CONFIG_*, RECONNECT.
    Ok,
    /// `GOODBYE`.
    Goodbye,
    /// `ROUTE_OK|r1`.
    RouteAdded(RouteId),
    /// `ROUTE_BULK_OK|[...]`.
    RoutesAdded(Vec<RouteId>),
    /// `ROUTE_LIST_OK|[...]`.
    RouteList(RouteListing),
    /// `HEADERS_OK`.
    HeadersOk,
    /// `HEALTH_OK`.
    HealthOk,
    /// `RATELIMIT_OK`.
    RatelimitOk,
    /// `CIRCUIT_OK`.
    CircuitOk,
    /// `CIRCUIT_STATUS_OK|{...}` for one route, an array for all.
    CircuitStatus {
        /// Whether the answer is an array.
        all: bool,
        /// One report a route.
        reports: Vec<CircuitReport>,
    },
    /// `DIFF_OK|{...}`.
    Diff(DiffReport),
    /// `STATS_OK|{...}` for one route, an array for all.
    Stats {
        /// Whether the answer is an array.
        all: bool,
        /// One report a route.
        reports: Vec<StatsReport>,
        /// Whether the answer is wanted compressed.
        compressed: bool,
    },
    /// `PONG`.
    Pong,
    /// `SESSION_OK|{...}`.
    Session(SessionReport),
    /// `DRAIN_OK|2024-12-20T11:35:00Z`.
    DrainStarted(UnixMillis),
    /// `DRAIN_STATUS_OK|{...}`.
    DrainStatus(DrainReport),
    /// `DRAIN_OK`.
    DrainCancelled,
    /// `ACK`, to v2's MAINT_ENTER and MAINT_EXIT.
    MaintenanceAccepted,
    /// `MAINT_OK`, to v1's; v2 gets it pushed after its `ACK`.
    MaintenanceLive,
    /// `MAINT_STATUS_OK|{...}`.
    MaintenanceStatus(MaintenanceReport),
    /// `SUBSCRIBE_OK`.
    SubscribeOk,
    /// `UNSUBSCRIBE_OK`.
    UnsubscribeOk,
    /// `BACKEND_OK|{...}` or `BACKEND_FAIL|{...}`.
    Backend(BackendReport),
    /// `EXPLAIN_OK|{...}`.
    Explain(Box<ExplainReport>),
    /// `HANDOVER_OK|token`.
    HandoverOk(Box<str>),
    /// `SHUTDOWN_OK`.
    ShutdownOk,
    /// `REREGISTER`.
    Reregister,
    /// `SESSIONS_OK|[...]`.
    Sessions(SessionListing),
    /// `CATALOG_OK|{...}`: JSON of whoever owns the catalog.
    Catalog(Box<str>),
    /// `ERROR|reason`.
    Refused(Refusal),
}

/// The state of a route in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteStatus {
    /// Live, with or without staged changes.
    Active,
    /// Waits for an apply.
    Staged,
    /// Live until the next apply.
    PendingRemoval,
}

/// A list of routes, or a page of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteListing {
    /// In the order of their ids.
    pub entries: Vec<RouteListEntry>,
    /// Whether as many as fit are wanted, instead of all or an error.
    pub paged: bool,
    /// Whether the answer is wanted compressed.
    pub compressed: bool,
}

/// One route in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteListEntry {
    /// Its id.
    pub route: RouteId,
    /// Its hosts.
    pub domains: Vec<HostPattern>,
    /// Its path.
    pub path: RoutePath,
    /// Its backend.
    pub backend: BackendUrl,
    /// Its priority.
    pub priority: i32,
    /// Its state.
    pub status: RouteStatus,
    /// What a staged update changes.
    pub staged: Option<StagedFields>,
}

/// The fields that a staged update changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StagedFields {
    /// New hosts.
    pub domains: Option<Vec<HostPattern>>,
    /// New path.
    pub path: Option<RoutePath>,
    /// New backend.
    pub backend: Option<BackendUrl>,
    /// New priority.
    pub priority: Option<i32>,
}

/// What an apply would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiffReport {
    /// Routes that would appear.
    pub routes_added: Vec<RouteId>,
    /// Routes that would go.
    pub routes_removed: Vec<RouteId>,
    /// Routes that would change.
    pub routes_modified: Vec<RouteId>,
    /// Headers set where none was.
    pub headers_added: usize,
    /// Headers that would go.
    pub headers_removed: usize,
    /// Headers with another value.
    pub headers_modified: usize,
    /// Options set where none was.
    pub options_added: usize,
    /// Options that would go.
    pub options_removed: usize,
    /// Options with another value.
    pub options_modified: usize,
    /// Health checks that would change.
    pub health_modified: usize,
    /// Rate limits that would change.
    pub ratelimit_modified: usize,
    /// Circuit breakers that would change.
    pub circuit_modified: usize,
    /// What an operator should know: `route r2 shadows ...`.
    pub warnings: Vec<String>,
}

/// The breaker of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitReport {
    /// The route.
    pub route: RouteId,
    /// `closed`, `open` or `half_open`; the worst endpoint's.
    pub state: &'static str,
    /// Failures in a row.
    pub failures: u64,
    /// When the last one was.
    pub last_failure: Option<UnixMillis>,
    /// When the next request is tried.
    pub next_attempt: Option<UnixMillis>,
    /// Whether a breaker is set.
    pub configured: bool,
}

/// Statistics of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsReport {
    /// The route.
    pub route: RouteId,
    /// Requests answered.
    pub requests: u64,
    /// Of these, failed.
    pub errors: u64,
    /// Mean latency.
    pub latency_mean: Duration,
    /// 95th percentile.
    pub latency_p95: Duration,
    /// 99th percentile.
    pub latency_p99: Duration,
    /// To clients.
    pub bytes_sent: u64,
    /// From clients.
    pub bytes_received: u64,
    /// Answers by status.
    pub status_codes: BTreeMap<u16, u64>,
}

/// A session, as SESSION_INFO shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionReport {
    /// Its id.
    pub session: SessionId,
    /// Its service.
    pub service: ServiceName,
    /// Its instance.
    pub instance: InstanceName,
    /// When it registered or reconnected last.
    pub connected_at: UnixMillis,
    /// How long ago that was.
    pub uptime: Duration,
    /// Routes live.
    pub routes_active: usize,
    /// Routes with staged changes.
    pub routes_staged: usize,
    /// When something was applied last.
    pub last_apply: Option<UnixMillis>,
    /// As registered.
    pub metadata: Option<Box<str>>,
    /// When a command came last.
    pub last_activity: UnixMillis,
    /// The generation it applied last.
    pub generation: Option<Generation>,
}

/// The sessions that an operator may name, or the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionListing {
    /// How many there are.
    pub count: usize,
    /// The first, in the order of service and instance.
    pub entries: Vec<SessionListEntry>,
}

/// One session in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionListEntry {
    /// Its id.
    pub session: SessionId,
    /// Its service.
    pub service: ServiceName,
    /// Its instance.
    pub instance: InstanceName,
    /// What keeps it.
    pub state: SessionState,
    /// Routes live.
    pub routes_active: usize,
    /// When it registered or reconnected last; `None` while no connection holds it.
    pub connected_at: Option<UnixMillis>,
    /// Whether a drain is in force.
    pub draining: bool,
    /// Whether any of its routes is in maintenance.
    pub in_maintenance: bool,
}

/// What keeps a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// A connection.
    Connected,
    /// Nothing, for now.
    Away,
    /// An operator's word.
    Pinned,
}

/// A drain, as DRAIN_STATUS shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainReport {
    /// Whether it still runs.
    pub active: bool,
    /// When it began.
    pub started_at: UnixMillis,
    /// How long it lasts.
    pub duration: Duration,
    /// How much of that is over.
    pub elapsed: Duration,
    /// How much is left.
    pub remaining: Duration,
    /// The share of its usual traffic the instance still gets.
    pub traffic_percent: u32,
}

/// Maintenance, as MAINT_STATUS shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceReport {
    /// Routes in maintenance.
    pub in_maintenance: Vec<RouteId>,
    /// Every order in force, oldest first.
    pub targets: Vec<MaintenanceEntry>,
}

/// One maintenance order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenanceEntry {
    /// As it was given.
    pub target: Box<str>,
    /// Where the page is.
    pub page: Option<BackendUrl>,
    /// When it began.
    pub entered_at: UnixMillis,
}

/// What BACKEND_TEST found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendReport {
    /// It answered.
    Reachable {
        /// To the response head.
        response_time: Duration,
        /// Its status.
        status_code: u16,
        /// Whether its certificate was good; false without TLS.
        tls_valid: bool,
    },
    /// It did not.
    Unreachable {
        /// Why.
        error: String,
    },
}

/// How one request would be routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainReport {
    /// The route that wins, if any.
    pub route: Option<RouteId>,
    /// `route`, `no_route` or `unavailable`.
    pub outcome: &'static str,
    /// Routes that also match, in order of precedence, with why each lost.
    pub candidates: Vec<ExplainCandidate>,
    /// The winner's endpoints.
    pub endpoints: Vec<ExplainEndpoint>,
    /// The generation asked.
    pub generation: Generation,
}

/// A route that matches and does not win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainCandidate {
    /// The route.
    pub route: RouteId,
    /// Its service.
    pub service: ServiceName,
    /// The host it matched by.
    pub domain: HostPattern,
    /// The path it matched by.
    pub path: Box<str>,
    /// Its priority.
    pub priority: i32,
    /// Why it lost.
    pub lost: &'static str,
}

/// An endpoint as the data plane sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainEndpoint {
    /// The route it belongs to.
    pub route: RouteId,
    /// Its instance.
    pub instance: InstanceName,
    /// Where it is.
    pub backend: BackendUrl,
    /// Its weight.
    pub weight: u32,
    /// `up`, `ejected` or `away` (its registry connection is lost).
    pub health: &'static str,
    /// `closed`, `open` or `half_open`.
    pub breaker: &'static str,
    /// Requests a window, if limited.
    pub limiter: Option<u32>,
    /// The share of its usual traffic.
    pub drain_percent: u32,
    /// Whether it is in maintenance.
    pub in_maintenance: bool,
}
