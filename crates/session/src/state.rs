//! What is known of a session, of the identity it belongs to, and of a connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use model::{
    BackendUrl, ConnId, EventKind, Generation, Guard, InstanceName, Instant, Line, MaintenanceRow,
    RouteConfig, RouteId, ServiceName, SessionId, SessionRow, Settings, TryRow, TxnId, UnixMillis,
    Version,
};
use resilience::{ClientKey, Drain};
use routing::{EndpointId, RouteKey};

use crate::deadline::Due;
use crate::staging::Staging;
use crate::{Credential, Mode, Peer, QueryId};

/// A session, by a number that is cheap to compare and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sid(pub(crate) u64);

/// Who a session belongs to (SPEC 2.3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) service: ServiceName,
    pub(crate) instance: InstanceName,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) identity: Identity,
    pub(crate) version: Version,
    pub(crate) maintenance_port: u16,
    pub(crate) metadata: Option<Box<str>>,
    /// The name of the credential it was registered with.
    pub(crate) credential: Option<Box<str>>,
    /// Where it was registered from, if that is counted.
    pub(crate) peer: Option<ClientKey>,
    pub(crate) registered_at: UnixMillis,
    pub(crate) connected_at: UnixMillis,
    pub(crate) last_activity: UnixMillis,
    pub(crate) last_apply: Option<UnixMillis>,
    pub(crate) generation: Option<Generation>,
    pub(crate) pinned: bool,
    /// The id of the session that replaced it.
    pub(crate) replaced_by: Option<SessionId>,
    pub(crate) held: Held,
    pub(crate) pulse: Pulse,
    pub(crate) subscriptions: BTreeSet<EventKind>,
    /// Operators who want its events.
    pub(crate) watchers: BTreeMap<ConnId, BTreeSet<EventKind>>,
    /// Its live routes; what they are is in the table.
    pub(crate) active: BTreeSet<RouteId>,
    /// Where its live routes lead.
    pub(crate) endpoints: BTreeMap<EndpointId, Led>,
    pub(crate) settings: Settings,
    /// What holds for a route without settings of its own: nearly all of them share it.
    pub(crate) base: Arc<RouteConfig>,
    pub(crate) staging: Staging,
    pub(crate) drain: Option<DrainOrder>,
    /// Maintenance orders, oldest first.
    pub(crate) orders: Vec<MaintenanceRow>,
    /// Routes in maintenance.
    pub(crate) resting: BTreeMap<RouteId, Mode>,
    pub(crate) trial: Option<Trial>,
    /// Offers of handovers, by token.
    pub(crate) offers: BTreeSet<Box<str>>,
}

/// Where routes of one session lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Led {
    pub(crate) backend: BackendUrl,
    /// How many.
    pub(crate) routes: usize,
}

/// What keeps a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// A connection.
    By(ConnId),
    /// Nobody; it may be reconnected to until [`Due::Expiry`].
    Away,
    /// Nobody; only its routes are left, until [`Due::Routes`].
    Lapsed,
    /// An operator's word.
    Pinned,
    /// Its successor, which has not applied yet, until [`Due::Routes`]. The old connection may
    /// still be open.
    Replaced { by: Sid, link: Option<ConnId> },
}

/// How often a session pings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pulse {
    pub(crate) pings: u32,
    pub(crate) last_ping: Option<Instant>,
    /// The longest time between two pings.
    pub(crate) interval: std::time::Duration,
    /// When anything was heard last.
    pub(crate) heard: Instant,
}

/// A drain in force.
#[derive(Clone, Debug)]
pub(crate) struct DrainOrder {
    pub(crate) row: model::DrainRow,
    pub(crate) drain: Drain,
    /// Endpoints at which nothing is in flight any more.
    pub(crate) drained: BTreeSet<EndpointId>,
    /// Whether `drained` was sent.
    pub(crate) told: bool,
}

/// A try in progress.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) row: TryRow,
    /// Keys that going back needs; nobody else may take them meanwhile.
    pub(crate) keys: Vec<RouteKey>,
    pub(crate) watch: Option<(QueryId, Guard)>,
    /// Why it goes back, once that is decided: `timeout`, or the guard.
    pub(crate) tripped: Option<Box<str>>,
}

/// Everything of one identity.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    /// Its sessions, the newest last; all but the newest are replaced.
    pub(crate) sessions: Vec<Sid>,
    /// Whether an operation of it is on its way to the disk. Nothing of the identity changes
    /// meanwhile but who is connected.
    pub(crate) busy: bool,
    /// What waits for that.
    pub(crate) waiting: VecDeque<Waiting>,
}

/// What waits for an operation to end.
#[derive(Clone, Debug)]
pub(crate) enum Waiting {
    Line(Ticket, Box<Line>),
    Due(Due),
}

/// One command of one connection, to be answered once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) conn: ConnId,
    pub(crate) number: u64,
    /// When it came.
    pub(crate) asked: Instant,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) peer: Peer,
    /// Who it has shown to be.
    pub(crate) credential: Option<Arc<Credential>>,
    pub(crate) standing: Standing,
    pub(crate) pending: Option<Pending>,
    /// Sessions whose events it wants.
    pub(crate) watches: BTreeSet<Sid>,
}

/// What a connection holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No session yet.
    Fresh,
    /// This session.
    Holds(Sid),
    /// A session that was replaced or has ended, by its id and whose it was.
    Void(SessionId, Identity),
    /// Nothing any more: it is being closed.
    Closing,
}

/// A command that is not answered yet.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) ticket: u64,
    pub(crate) txn: Option<TxnId>,
    pub(crate) query: Option<QueryId>,
}

impl Session {
    /// One more of its routes is live.
    pub(crate) fn lead(&mut self, route: RouteId, endpoint: EndpointId, backend: &BackendUrl) {
        self.active.insert(route);
        let led = self.endpoints.entry(endpoint);
        led.or_insert_with(|| Led { backend: backend.clone(), routes: 0 }).routes += 1;
    }

    /// A session as it begins, held by nobody yet.
    pub(crate) fn new(row: SessionRow, at: UnixMillis) -> Self {
        Self {
            id: row.session,
            identity: Identity { service: row.service, instance: row.instance },
            version: row.version,
            maintenance_port: row.maintenance_port,
            metadata: row.metadata,
            credential: row.credential,
            peer: None,
            registered_at: row.registered_at,
            connected_at: at,
            last_activity: at,
            last_apply: row.last_apply,
            generation: row.generation,
            pinned: row.pinned,
            replaced_by: row.replaced_by,
            held: if row.pinned { Held::Pinned } else { Held::Lapsed },
            pulse: Pulse::default(),
            subscriptions: row.subscriptions.into_iter().collect(),
            watchers: BTreeMap::new(),
            active: BTreeSet::new(),
            endpoints: BTreeMap::new(),
            settings: Settings::default(),
            base: Arc::new(RouteConfig::default()),
            staging: Staging::default(),
            drain: None,
            orders: Vec::new(),
            resting: BTreeMap::new(),
            trial: None,
            offers: BTreeSet::new(),
        }
    }

    /// As it is remembered.
    pub(crate) fn row(&self) -> SessionRow {
        SessionRow {
            session: self.id.clone(),
            service: self.identity.service.clone(),
            instance: self.identity.instance.clone(),
            version: self.version,
            maintenance_port: self.maintenance_port,
            metadata: self.metadata.clone(),
            credential: self.credential.clone(),
            registered_at: self.registered_at,
            last_apply: self.last_apply,
            generation: self.generation,
            subscriptions: self.subscriptions.iter().copied().collect(),
            replaced_by: self.replaced_by.clone(),
            pinned: self.pinned,
        }
    }

    /// The connection that holds it.
    pub(crate) fn connection(&self) -> Option<ConnId> {
        match self.held {
            Held::By(conn) => Some(conn),
            Held::Away | Held::Lapsed | Held::Pinned | Held::Replaced { .. } => None,
        }
    }
}
