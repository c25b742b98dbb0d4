//! What the registry tells without being asked.

use std::time::Duration;

use crate::{RouteId, TxnId, UnixMillis};

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A certificate was renewed.
    CertRenewed,
    /// proxyd's files or an operator changed something.
    GlobalConfigChanged,
    /// A backend went up or down.
    BackendHealthChanged,
    /// Nothing more will come to this instance.
    Drained,
    /// A circuit breaker opened, half opened or closed.
    CircuitStateChanged,
    /// A try ended without being confirmed.
    ConfigReverted,
    /// Staged changes are about to expire.
    ConfigExpiring,
    /// Maintenance began or ended.
    MaintenanceChanged,
}

impl EventKind {
    /// Every kind, and its name in the protocol; the seeds' three first.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::CertRenewed, "cert_renewed"),
        (Self::GlobalConfigChanged, "global_config_changed"),
        (Self::BackendHealthChanged, "backend_health_changed"),
        (Self::Drained, "drained"),
        (Self::CircuitStateChanged, "circuit_state_changed"),
        (Self::ConfigReverted, "config_reverted"),
        (Self::ConfigExpiring, "config_expiring"),
        (Self::MaintenanceChanged, "maintenance_changed"),
    ];
}

/// A line that is not the answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// `MAINT_OK|[txn|]target`, after the `ACK`.
    MaintenanceLive {
        /// The command's transaction id.
        txn: Option<TxnId>,
        /// The target as it was written.
        target: Box<str>,
    },
    /// `EVENT|kind|{...}`, to those who subscribed.
    Event(Event),
    /// `SHUTDOWN`: the proxy goes.
    Shutdown,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A certificate was renewed.
    CertRenewed {
        /// For this name.
        domain: Box<str>,
        /// It is good until then.
        expiry: UnixMillis,
    },
    /// proxyd's files or an operator changed something.
    GlobalConfigChanged {
        /// What, in a word: `admin_update`.
        reason: Box<str>,
    },
    /// A backend went up or down.
    BackendHealthChanged {
        /// The session's route.
        route: RouteId,
        /// Whether it is up now.
        healthy: bool,
        /// Why, in a word: `connection_timeout`.
        reason: Box<str>,
    },
    /// Nothing more will come to this instance.
    Drained {
        /// When the drain ended.
        at: UnixMillis,
    },
    /// A circuit breaker opened, half opened or closed.
    CircuitStateChanged {
        /// The session's route.
        route: RouteId,
        /// `closed`, `open` or `half_open`.
        state: &'static str,
    },
    /// A try ended without being confirmed.
    ConfigReverted {
        /// `timeout`, or the guard that tripped.
        reason: Box<str>,
        /// The routes that went back.
        routes: Vec<RouteId>,
    },
    /// Staged changes are about to expire.
    ConfigExpiring {
        /// In this time.
        remaining: Duration,
    },
    /// Maintenance began or ended.
    MaintenanceChanged {
        /// The routes it is about.
        routes: Vec<RouteId>,
        /// Whether they are in maintenance now.
        active: bool,
    },
}

impl Event {
    /// What it is subscribed to as.
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::CertRenewed { .. } => EventKind::CertRenewed,
            Self::GlobalConfigChanged { .. } => EventKind::GlobalConfigChanged,
            Self::BackendHealthChanged { .. } => EventKind::BackendHealthChanged,
            Self::Drained { .. } => EventKind::Drained,
            Self::CircuitStateChanged { .. } => EventKind::CircuitStateChanged,
            Self::ConfigReverted { .. } => EventKind::ConfigReverted,
            Self::ConfigExpiring { .. } => EventKind::ConfigExpiring,
            Self::MaintenanceChanged { .. } => EventKind::MaintenanceChanged,
        }
    }
}
