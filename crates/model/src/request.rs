//! What a client may ask of the registry.

use std::time::Duration;

use crate::{
    BackendUrl, BreakerSpec, EventKind, HeaderKey, HeaderRule, HealthSpec, HostPattern,
    InstanceName, LimitSpec, OptionKey, OptionValue, RouteId, RoutePath, RouteSpec, ServiceName,
    SessionId, Target, TxnId,
};

/// One command, decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The session it names; `None` where the command has none (REGISTER, AUTH, SESSIONS, a bare
    /// ACK), and where an EXPLAIN is about no session.
    pub session: Option<SessionId>,
    /// Echoed in its answer.
    pub txn: Option<TxnId>,
    /// What is asked.
    pub request: Request,
}

/// What is asked. The variants stand in the order of the documents.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// `AUTH|token`.
    Auth(Box<str>),
    /// `REGISTER`, in either version.
    Register(Registration),
    /// v1 `ROUTE`: takes effect at once.
    RouteV1(RouteSpec),
    /// v1 `HEADER`, for all routes, at once.
    HeaderV1(HeaderRule),
    /// v1 `OPTIONS`, for all routes, at once.
    OptionV1(OptionKey, OptionValue),
    /// v1 `VALIDATE`.
    ValidateV1,
    /// v1 `SHUTDOWN`.
    ShutdownV1,
    /// `ROUTE_ADD`.
    RouteAdd(RouteSpec),
    /// `ROUTE_ADD_BULK`.
    RouteAddBulk(Vec<RouteSpec>),
    /// `ROUTE_UPDATE`.
    RouteUpdate(RouteId, RouteUpdate),
    /// `ROUTE_REMOVE`.
    RouteRemove(RouteId),
    /// `ROUTE_LIST`; `from` asks for a page that begins with this id.
    RouteList {
        /// First id wanted.
        from: Option<RouteId>,
        /// Whether the answer is wanted compressed.
        compressed: bool,
    },
    /// `HEADERS_SET`.
    HeadersSet(Target, HeaderRule),
    /// `HEADERS_REMOVE`.
    HeadersRemove(Target, HeaderKey),
    /// `OPTIONS_SET`.
    OptionsSet(Target, OptionKey, OptionValue),
    /// `OPTIONS_REMOVE`.
    OptionsRemove(Target, OptionKey),
    /// `HEALTH_SET`.
    HealthSet(RouteId, HealthSpec),
    /// `RATELIMIT_SET`.
    RatelimitSet(Target, LimitSpec),
    /// `CIRCUIT_BREAKER_SET`.
    CircuitBreakerSet(Target, BreakerSpec),
    /// `CIRCUIT_BREAKER_STATUS`.
    CircuitBreakerStatus(Target),
    /// `CIRCUIT_BREAKER_RESET`.
    CircuitBreakerReset(Target),
    /// `CONFIG_VALIDATE`.
    ConfigValidate,
    /// `CONFIG_APPLY`.
    ConfigApply,
    /// `CONFIG_APPLY_PARTIAL`.
    ConfigApplyPartial(Scopes),
    /// `CONFIG_ROLLBACK`.
    ConfigRollback,
    /// `CONFIG_DIFF`.
    ConfigDiff,
    /// `CONFIG_TRY`.
    ConfigTry {
        /// How long the try lasts unless confirmed.
        duration: Duration,
        /// What ends it early.
        guard: Option<Guard>,
    },
    /// `CONFIG_CONFIRM`.
    ConfigConfirm,
    /// `STATS_GET`.
    StatsGet {
        /// Which routes.
        target: Target,
        /// Whether the answer is wanted compressed.
        compressed: bool,
    },
    /// `PING`.
    Ping,
    /// `SESSION_INFO`.
    SessionInfo,
    /// `DRAIN_START`.
    DrainStart(Duration),
    /// `DRAIN_STATUS`.
    DrainStatus,
    /// `DRAIN_CANCEL`.
    DrainCancel,
    /// `MAINT_ENTER`; a v1 session gives neither field: `ALL`, and its own maintenance port.
    MaintEnter {
        /// What goes into maintenance.
        target: MaintenanceTarget,
        /// Where the page is; `None` is the route's host at the registered port.
        page: Option<BackendUrl>,
    },
    /// `MAINT_EXIT`.
    MaintExit(MaintenanceTarget),
    /// `MAINT_STATUS`.
    MaintStatus,
    /// `SUBSCRIBE`; `None` is `all`.
    Subscribe(Option<EventKind>),
    /// `UNSUBSCRIBE`; `None` is `all`.
    Unsubscribe(Option<EventKind>),
    /// `BACKEND_TEST`.
    BackendTest(BackendUrl),
    /// `EXPLAIN`.
    Explain {
        /// Request method.
        method: Box<str>,
        /// Request authority.
        host: Box<str>,
        /// Request path, without query.
        path: Box<str>,
    },
    /// `HANDOVER_OFFER`.
    HandoverOffer(RouteId),
    /// `HANDOVER_ACCEPT`.
    HandoverAccept {
        /// What the offer answered.
        token: Box<str>,
        /// Where the route's requests go then.
        backend: BackendUrl,
    },
    /// `CLIENT_SHUTDOWN`.
    ClientShutdown,
    /// `RECONNECT`.
    Reconnect,
    /// `SESSIONS`: for operators.
    Sessions,
    /// `CATALOG`: for operators. What is asked about the catalog, or changed in it.
    Catalog {
        /// In a word: `services`.
        what: Box<str>,
        /// A JSON object; what is in it is for whoever owns the catalog to read.
        with: Box<str>,
    },
    /// A bare `ACK`: accepted and answered with nothing.
    Ack,
}

/// Who registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration {
    /// `REGISTER|service|hostname|service_port|maintenance_port`.
    V1 {
        /// The service.
        service: ServiceName,
        /// Its host name.
        hostname: InstanceName,
        /// Where it listens.
        service_port: u16,
        /// Where its maintenance page is.
        maintenance_port: u16,
    },
    /// `REGISTER|service|instance|maintenance_port[|metadata]`.
    V2 {
        /// The service.
        service: ServiceName,
        /// The instance.
        instance: InstanceName,
        /// Where its maintenance page is.
        maintenance_port: u16,
        /// A JSON object as the client wrote it; `None` for `null`, empty or absent.
        metadata: Option<Box<str>>,
    },
}

/// One field of a route, changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteUpdate {
    /// `backend_url`.
    Backend(BackendUrl),
    /// `priority`.
    Priority(i32),
    /// `domains`.
    Domains(Vec<HostPattern>),
    /// `path`.
    Path(RoutePath),
}

/// One kind of staged change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Routes added, changed, removed.
    Routes,
    /// Headers.
    Headers,
    /// Options.
    Options,
    /// Health checks.
    Health,
    /// Rate limits.
    Ratelimit,
    /// Circuit breakers.
    Circuit,
}

impl Scope {
    /// Every scope, and its name in the protocol.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Routes, "routes"),
        (Self::Headers, "headers"),
        (Self::Options, "options"),
        (Self::Health, "health"),
        (Self::Ratelimit, "ratelimit"),
        (Self::Circuit, "circuit"),
    ];
}

/// Some kinds of staged changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Every kind.
    pub const ALL: Self = Self(0b11_1111);

    /// These kinds and one more.
    #[must_use]
    pub const fn with(self, scope: Scope) -> Self {
        Self(self.0 | 1 << scope as u8)
    }

    /// Whether a kind is among them.
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }
}

/// What ends a try before its time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Guard {
    /// `errors<5%`: the share of failed requests reached this, in percent.
    ErrorsBelow(f64),
    /// `p99<200ms`: the 99th percentile of latency reached this.
    P99Below(Duration),
}

/// What a maintenance command is about, and how it was written, for the echo.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MaintenanceTarget {
    /// As it was written; `ALL` for v1.
    pub text: Box<str>,
    /// What was named; empty is `ALL`.
    pub items: Vec<TargetItem>,
}

/// One thing that can be in maintenance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetItem {
    /// A route. A name that is a route id is this one, whatever domains exist.
    Route(RouteId),
    /// Every route of the session with this path.
    Path(RoutePath),
    /// Every route of the session with this domain.
    Domain(HostPattern),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_scopes_are_all() {
        let each = Scope::ALL.iter().fold(Scopes::default(), |set, (scope, _)| set.with(*scope));
        assert_eq!(each, Scopes::ALL);
        assert!(!Scopes::default().with(Scope::Health).has(Scope::Routes));
    }
}
