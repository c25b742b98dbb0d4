//! What goes in and what comes out.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{
    Answer, BackendUrl, Batch, ConnId, Event, Generation, Guard, InstanceName, Line, Push, Reply,
    RouteId, ServiceName, Target, Version,
};
use resilience::{ClientKey, Drain};
use routing::{EndpointId, Table};

use crate::{Credential, Note};

/// Backends of one instance that are told of.
pub const MEMBER_BACKENDS_MAX: usize = 64;

/// How long things last, and how many there may be.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a lost session can be reconnected to (SPEC 2.3); never longer than its routes last.
    pub session_expiry: Duration,
    /// How long a v1 session's routes outlive its connection.
    pub v1_route_grace: Duration,
    /// How long a v2 session's routes outlive its connection.
    pub route_grace: Duration,
    /// How long staged changes last after the last staging command.
    pub staged_expiry: Duration,
    /// Sessions at once.
    pub sessions_max: usize,
    /// Routes in the proxy.
    pub routes_max: usize,
    /// Routes in one session, staged ones included.
    pub routes_per_session_max: usize,
    /// Sessions that were registered from one address, and are not gone; loopback is exempt.
    pub sessions_per_peer_max: usize,
    /// What the running proxy can really do.
    pub effects: Effects,
}

/// What exists besides the protocol itself. A command whose effect is missing is answered
/// `ERROR|not supported yet` (SPEC 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effects {
    /// HEALTH_SET, and the options for it beyond being remembered.
    pub health: bool,
    /// RATELIMIT_SET.
    pub ratelimit: bool,
    /// CIRCUIT_BREAKER_*, the option `failure`.
    pub circuit: bool,
    /// DRAIN_*.
    pub drain: bool,
    /// MAINT_*.
    pub maintenance: bool,
    /// STATS_GET.
    pub stats: bool,
    /// BACKEND_TEST.
    pub backend_test: bool,
    /// The guards of CONFIG_TRY.
    pub guards: bool,
    /// The options `sticky`, `slow_start`, `park`, `max_in_flight` and `balance=hash`.
    pub pool_options: bool,
    /// Backends that are spoken to with TLS: `https`, `wss`.
    pub tls_backends: bool,
    /// Backends that are spoken to in HTTP/2: `h2c`, `grpc`, `grpcs`.
    pub http2_backends: bool,
}

impl Effects {
    /// Everything.
    pub const ALL: Self = Self {
        health: true,
        ratelimit: true,
        circuit: true,
        drain: true,
        maintenance: true,
        stats: true,
        backend_test: true,
        guards: true,
        pool_options: true,
        tls_backends: true,
        http2_backends: true,
    };
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A client over TCP.
    Tcp(IpAddr),
    /// A client over a Unix socket.
    Local,
    /// An operator on the admin socket, who may name any session (SPEC 12): by its id, or as
    /// `service/instance`.
    Operator,
}

impl Peer {
    /// Whom it counts as, if it counts: everything on loopback has the same address, a Unix socket
    /// has none, and operators get in when everything else is full (SPEC 12).
    pub fn counted(&self) -> Option<ClientKey> {
        match self {
            Self::Tcp(address) => ClientKey::counted(*address),
            Self::Local | Self::Operator => None,
        }
    }
}

/// As the log names it.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Local => f.write_str("Unix socket"),
            Self::Operator => f.write_str("admin socket"),
        }
    }
}

/// What happens to the machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// A connection was accepted.
    Connected(ConnId, Peer),
    /// A connection has shown who it is; comes once at most, and before its commands.
    Authenticated(ConnId, Arc<Credential>),
    /// A command came. The shell sends the next one of a connection only after the answer.
    Line(ConnId, Line),
    /// A connection is gone, whoever closed it.
    Lost(ConnId),
    /// A batch is durable, or will never be (then with the reason).
    Persisted(u64, Result<(), String>),
    /// The answer to a query.
    Answered(QueryId, Reply),
    /// Every request that began before this generation has ended, on every worker.
    Live(Generation),
    /// The data plane was refused a connection.
    Refused(EndpointId),
    /// Nothing is in flight any more at an endpoint whose drain is over.
    Drained(EndpointId),
    /// The guard of a try tripped; the text says which: `errors<5%`.
    Tripped(QueryId, Box<str>),
    /// Something that is told to those who subscribed. Of a route or a domain: to the sessions
    /// that have it.
    Happened(Event),
    /// The proxy is about to end.
    Shutdown,
}

/// What the machine wants done, oldest first.
#[derive(Clone, Debug)]
pub enum Output {
    /// The one answer to a command.
    Answer(ConnId, Answer),
    /// A line that is no answer; goes out when no command of the connection is unanswered.
    Push(ConnId, Push),
    /// From now on the connection speaks this version (limits, reading of MAINT_*). Comes before
    /// the answer to its REGISTER or RECONNECT.
    Speaks(ConnId, Version),
    /// Close the connection once what was said before is written.
    Close(ConnId),
    /// Make this durable; answered by [`Input::Persisted`].
    Persist(Batch),
    /// Publish this table.
    Publish(Arc<Table>),
    /// The registry connection behind these endpoints was lost, or is back. An endpoint that was
    /// never mentioned is connected.
    Presence(Vec<EndpointId>, bool),
    /// The backends of these live routes failed when they were checked last, in a life before
    /// this one. One route for each endpoint; comes once, after the first publication.
    Failing(Vec<RouteId>),
    /// These endpoints drain, or no longer do. An endpoint that was never mentioned does not.
    Drain(Vec<EndpointId>, Option<Drain>),
    /// How these routes answer. A route that was never mentioned serves. Comes before the
    /// publication that it takes effect with.
    Maintenance(Vec<(RouteId, Mode)>),
    /// Watch a try's routes, and tell by [`Input::Tripped`] when the guard trips; `None` ends the
    /// watch.
    Watch(QueryId, Option<(Vec<RouteId>, Guard)>),
    /// Answer this with [`Input::Answered`] within 4 s.
    Query(QueryId, Query),
    /// What is known of an instance now; `None`: no session of it is left. Comes when
    /// something of it has changed, and for each instance after a restart.
    Member(ServiceName, InstanceName, Option<Box<Member>>),
    /// A backend of an instance was found well (`true`), or not, for this reason.
    Checked(ServiceName, InstanceName, BackendUrl, bool, Box<str>),
    /// Tell the log.
    Note(Note),
}

/// An instance, as its sessions have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whether somebody vouches for it: a connection, or an operator.
    pub is_connected: bool,
    /// Whether its newest session drains, or has.
    pub is_draining: bool,
    /// As its newest session registered it.
    pub metadata: Option<Box<str>>,
    /// Where live routes of any of its sessions lead, in the order of their addresses; at most
    /// [`MEMBER_BACKENDS_MAX`].
    pub backends: Vec<BackendUrl>,
}

/// How a route answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By its backend.
    Serves,
    /// With a maintenance page.
    Maintenance {
        /// Where the page is; `None` is the built-in one.
        page: Option<BackendUrl>,
    },
}

/// The number of a question, or of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u64);

/// A question only a shell can answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// BACKEND_TEST: ask this path of this backend.
    BackendTest(BackendUrl, Box<str>),
    /// EXPLAIN.
    Explain {
        /// Request method.
        method: Box<str>,
        /// Request authority.
        host: Box<str>,
        /// Request path.
        path: Box<str>,
    },
    /// STATS_GET, of these routes.
    Stats {
        /// Which was asked for.
        target: Target,
        /// These.
        routes: Vec<RouteId>,
        /// Whether the answer is wanted compressed.
        compressed: bool,
    },
    /// CIRCUIT_BREAKER_STATUS, of these routes.
    CircuitStatus {
        /// Which was asked for.
        target: Target,
        /// These.
        routes: Vec<RouteId>,
    },
    /// CATALOG; answered by [`Reply::Catalog`] or [`Reply::Refused`].
    Catalog {
        /// What is asked.
        what: Box<str>,
        /// A JSON object.
        with: Box<str>,
    },
    /// CIRCUIT_BREAKER_RESET, of these routes; answered by [`Reply::CircuitOk`].
    CircuitReset(Vec<RouteId>),
}
