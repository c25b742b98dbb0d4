//! What is remembered across restarts, as values.
//!
//! The session machine hands out [`Batch`]es of [`Record`]s; a store makes each batch durable as a
//! whole or not at all, in order, and gives back an [`Image`] of everything at the next start.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::{
    BackendUrl, Draft, EventKind, Generation, InstanceName, MaintenanceTarget, RouteId, RouteSpec,
    ServiceName, SessionId, Settings, SettingsEdits, StagedRoute, UnixMillis, Version,
};

/// Records that become durable together.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Grows by one with each batch; comes back with the store's answer.
    pub seq: u64,
    /// Whether somebody waits for the disk. Others are written within 50 ms (SPEC 8).
    pub urgent: bool,
    /// What changes, in order.
    pub records: Vec<Record>,
}

/// One change of what is remembered.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A session is new or changed.
    PutSession(SessionRow),
    /// A session is gone, and everything kept under it.
    RemoveSession(SessionId),
    /// A route is live, or changed.
    PutRoute {
        /// Whose.
        session: SessionId,
        /// Its id.
        route: RouteId,
        /// What it is.
        spec: RouteSpec,
        /// The generation in which its key first appeared: its age.
        since: Generation,
    },
    /// A route is no longer live.
    RemoveRoute(RouteId),
    /// Whether the backend of a live route is well. One that is put anew with another backend
    /// counts as well again.
    PutHealth(RouteId, bool),
    /// Active settings changed.
    PutSettings(SessionId, SettingsEdits),
    /// A route's staged change; `None` when it is no longer staged.
    StageRoute(SessionId, RouteId, Option<StagedRoute>),
    /// Further staged settings, over those staged before.
    StageSettings(SessionId, SettingsEdits),
    /// All staged settings are gone, staged routes stay.
    DropStagedSettings(SessionId),
    /// Everything staged is gone.
    DropDraft(SessionId),
    /// A drain order, or its end.
    PutDrain(SessionId, Option<DrainRow>),
    /// All maintenance orders of a session.
    PutMaintenance(SessionId, Vec<MaintenanceRow>),
    /// A running try, or its end.
    PutTry(SessionId, Option<TryRow>),
    /// One line of history.
    History(HistoryRow),
    /// The last route id given out and the last generation published.
    Counters {
        /// Ids up to this one are taken.
        last_route: RouteId,
        /// Last generation.
        generation: Generation,
    },
}

/// A session as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Its id.
    pub session: SessionId,
    /// Its service.
    pub service: ServiceName,
    /// Its instance.
    pub instance: InstanceName,
    /// How it speaks.
    pub version: Version,
    /// Where its maintenance page is.
    pub maintenance_port: u16,
    /// As registered.
    pub metadata: Option<Box<str>>,
    /// The name of the credential it was registered with.
    pub credential: Option<Box<str>>,
    /// When it registered.
    pub registered_at: UnixMillis,
    /// When it applied last.
    pub last_apply: Option<UnixMillis>,
    /// The generation it applied last.
    pub generation: Option<Generation>,
    /// What it subscribed to; all kinds for `all`.
    pub subscriptions: Vec<EventKind>,
    /// The session of the same identity that replaced it: its routes serve until that one's
    /// first apply.
    pub replaced_by: Option<SessionId>,
    /// Whether its routes last without a connection, until removed.
    pub pinned: bool,
}

/// A drain order as it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainRow {
    /// When it began.
    pub started_at: UnixMillis,
    /// How long it lasts.
    pub duration: Duration,
    /// The share it began at, in percent.
    pub from_percent: u32,
}

/// A maintenance order as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenanceRow {
    /// What it is about.
    pub target: MaintenanceTarget,
    /// Where the page is; `None` for the registered port.
    pub page: Option<BackendUrl>,
    /// When it began.
    pub entered_at: UnixMillis,
}

/// A try as it is remembered: how to undo it, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct TryRow {
    /// It reverts then.
    pub deadline: UnixMillis,
    /// The routes it touched, as they were; `None` for those it added.
    pub routes: Vec<(RouteId, Option<RouteSpec>)>,
    /// The settings it touched, as they were.
    pub settings: SettingsEdits,
}

/// One line of history: who changed what, when, from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// The generation it made.
    pub generation: Generation,
    /// When.
    pub at: UnixMillis,
    /// Whose.
    pub service: ServiceName,
    /// Whose.
    pub instance: InstanceName,
    /// From where: the peer's address, or what caused it (`grace over`).
    pub origin: Box<str>,
    /// What was done: `apply`, `route`, `shutdown`, `revert`, ...
    pub action: &'static str,
    /// Routes that appeared or changed, as they are now.
    pub put: Vec<(RouteId, RouteSpec)>,
    /// Routes that went.
    pub removed: Vec<RouteId>,
}

/// Everything remembered, as it is read at start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// Ids up to this one are taken.
    pub last_route: u64,
    /// Last generation.
    pub generation: Generation,
    /// Sessions, in the order of their registration.
    pub sessions: Vec<StoredSession>,
    /// Live routes whose backends failed when they were checked last.
    pub failing: BTreeSet<RouteId>,
}

/// One session with everything kept under it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSession {
    /// The session.
    pub row: SessionRow,
    /// Its live routes.
    pub routes: Vec<(RouteId, RouteSpec, Generation)>,
    /// Its active settings.
    pub settings: Settings,
    /// What it has staged.
    pub draft: Draft,
    /// Its drain order.
    pub drain: Option<DrainRow>,
    /// Its maintenance orders.
    pub maintenance: Vec<MaintenanceRow>,
    /// Its running try.
    pub trial: Option<TryRow>,
}
