//! The data plane as a whole: its workers, and what they share.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use certs::{Challenges, Resolver, ServerConfig};
use door::{Bounds, Guests};
use ipnet::IpNet;
use model::{
    BackendUrl, CircuitReport, ExplainReport, Generation, Guard, Instant, RouteId, StatsReport,
};
use probe::{Policy, Tls};
use resilience::Drain;
use routing::{EndpointId, EndpointView, Head, Live, Member, Table};
use runtime::{Clock, Snapshot};
use telemetry::{Answered, Refusals, Totals};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::endpoint::{Checked, Endpoints};
use crate::ledger::Oldest;
use crate::limits::Limits;
use crate::monitor::{self, Watched};
use crate::openings::Openings;
use crate::refusal::Refused;
use crate::route::Routes;
use crate::worker::{Worker, resting, view};

/// Notices that wait for their reader. Of more, those that matter for good are told again; the
/// rest is news that nobody could keep up with.
const NOTICES_MAX: usize = 4096;
/// How long listeners stay open after a drain began, so that who was told of us a moment ago
/// still gets an answer.
const ACCEPT_WHILE_DRAINING: Duration = Duration::from_millis(300);
/// How often a drain looks whether it is over.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long connections in text that wait for their next request are kept from then on: a request
/// that is on its way is answered, and told that it was the last. A tenth of the grace at most.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// How the data plane is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect in clear text.
    pub listen: Vec<SocketAddr>,
    /// Threads.
    pub workers: usize,
    /// Open client connections per worker.
    pub connections_max: usize,
    /// Open client connections per client address, over all workers. This machine and trusted
    /// proxies may have any number.
    pub connections_per_peer_max: usize,
    /// For a request head, from its first byte.
    pub header_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
    /// For a connection to a backend.
    pub connect_timeout: Duration,
    /// Between two pieces of a body.
    pub body_timeout: Duration,
    /// Peers whose forwarding fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether those peers begin each connection with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Whether services are found by their names. Then the first segment of a path is one, in any
    /// case and with any escapes ([`model::name_segment`]), and so is the host of a target, whatever
    /// `Host` says.
    pub by_name: bool,
    /// Which addresses backends may be at.
    pub policy: Policy,
    /// TLS towards clients.
    pub https: Option<Https>,
    /// What certificate authorities are answered that doubt a name of ours.
    pub challenges: Option<Challenges>,
}

/// TLS towards clients.
#[derive(Clone, Debug)]
pub struct Https {
    /// Where clients connect with TLS.
    pub listen: Vec<SocketAddr>,
    /// How it is spoken.
    pub tls: Arc<ServerConfig>,
    /// How it is spoken over QUIC, on the same ports; without it there is no HTTP/3.
    pub quic: Option<Arc<ServerConfig>>,
    /// By which clients of a process before this one are told that their connections are over: the same
    /// as that one's.
    pub reset_key: [u8; 32],
    /// Which certificates there are.
    pub resolver: Resolver,
    /// Whether requests in clear text for a host that has a certificate are sent here.
    pub redirect: bool,
}

impl Config {
    /// SPEC 4 and 6.
    pub fn new(listen: Vec<SocketAddr>, workers: usize) -> Self {
        Self {
            listen,
            workers,
            connections_max: 50_000,
            connections_per_peer_max: 10_000,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            connect_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(60),
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            by_name: false,
            policy: Policy::default(),
            https: None,
            challenges: None,
        }
    }
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Plain,
    Tls,
}

/// Why the data plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken, or not ours.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// An address is taken or not ours for UDP, where HTTP/3 comes.
    #[error("cannot listen on {address} for HTTP/3 (UDP): {source}")]
    BindUdp {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No thread, or no runtime in it.
    #[error("cannot start a worker: {0}")]
    Worker(io::Error),
}

/// What the data plane has to tell the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An endpoint refused a connection while its registry connection is lost.
    Refused(EndpointId),
    /// Nothing is in flight any more at an endpoint whose drain is over.
    Drained(EndpointId),
    /// Every request that began before this generation has ended, on every worker.
    Live(Generation),
    /// The circuit breaker of a route is `closed`, `open` or `half_open` now.
    Circuit(RouteId, &'static str),
    /// The backend of a route went up or down, and why, in a word.
    Health(RouteId, bool, &'static str),
    /// The guard of a watch tripped, and which it was: `errors<5%`.
    Tripped(u64, Box<str>),
}

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// How backends are spoken to with TLS.
    pub(crate) tls: Tls,
    pub(crate) clock: Clock,
    pub(crate) table: Snapshot<Table>,
    pub(crate) endpoints: Endpoints,
    pub(crate) routes: Routes,
    pub(crate) limits: Limits,
    pub(crate) peers: Guests,
    /// By status, with and without a route.
    pub(crate) answered: Answered,
    /// Clients that were not let in.
    pub(crate) refused: AtomicU64,
    pub(crate) openings: Openings,
    pub(crate) refusals: Refusals<Refused>,
    /// Where clients are sent that came in clear text.
    pub(crate) https_port: AtomicU16,
    pub(crate) draining: AtomicBool,
    /// Closes the listeners.
    pub(crate) stop_accepting: Notify,
    /// Requests being worked on, tunnels included.
    pub(crate) in_flight: AtomicUsize,
    /// Client connections that carry frames.
    pub(crate) messaging: AtomicUsize,
    /// Ends connections that wait for their next request.
    pub(crate) leave: Notify,
    pub(crate) oldest: Arc<Oldest>,
    /// The registry ordered something: wakes the monitor.
    pub(crate) ordered: Notify,
    /// Where requests go may have changed: wakes those that are parked.
    pub(crate) changed: Notify,
    /// Guards of tries, under the registry's numbers.
    pub(crate) watches: Mutex<BTreeMap<u64, Watched>>,
    pub(crate) notices: mpsc::Sender<Notice>,
}

impl Shared {
    /// Tells the registry, unless the queue is full.
    pub(crate) fn tell(&self, notice: Notice) -> bool {
        self.notices.try_send(notice).is_ok()
    }
}

/// A running data plane.
#[derive(Debug)]
pub struct Plane {
    shared: Arc<Shared>,
    bound: Vec<SocketAddr>,
    bound_https: Vec<SocketAddr>,
    /// Per worker; nobody accepts on them yet.
    listeners: Vec<Vec<(TcpListener, Door)>>,
    sockets: Vec<Vec<UdpSocket>>,
    threads: Vec<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Plane {
    /// Binds every address for every worker. Whoever connects waits until [`Plane::serve`].
    ///
    /// # Errors
    ///
    /// [`StartError::Bind`].
    pub fn bind(
        config: Config,
        backend_tls: Tls,
        clock: Clock,
        table: Arc<Table>,
    ) -> Result<(Self, mpsc::Receiver<Notice>), StartError> {
        let workers = config.workers.max(1);
        let (mut bound, mut bound_https) = (Vec::new(), Vec::new());
        let mut listeners: Vec<Vec<(TcpListener, Door)>> =
            (0..workers).map(|_| Vec::new()).collect();
        let plain = config.listen.iter().map(|address| (address, Door::Plain));
        let tls = config.https.iter().flat_map(|https| &https.listen);
        for (address, door) in plain.chain(tls.map(|address| (address, Door::Tls))) {
            let fail = |source| StartError::Bind { address: *address, source };
            runtime::net::check_free(*address).map_err(fail)?;
            let mut actual = *address;
            for listeners in &mut listeners {
                let listener = runtime::net::listen_shared(actual).map_err(fail)?;
                // Port 0 is chosen by the first, the others join it.
                actual = listener.local_addr().map_err(fail)?;
                listeners.push((listener, door));
            }
            match door {
                Door::Plain => bound.push(actual),
                Door::Tls => bound_https.push(actual),
            }
        }
        let has_quic = config.https.as_ref().is_some_and(|https| https.quic.is_some());
        let mut sockets: Vec<Vec<UdpSocket>> = (0..workers).map(|_| Vec::new()).collect();
        for address in bound_https.iter().filter(|_| has_quic) {
            let fail = |source| StartError::BindUdp { address: *address, source };
            runtime::net::check_free_udp(*address).map_err(fail)?;
            for sockets in &mut sockets {
                sockets.push(runtime::net::udp_shared(*address).map_err(fail)?);
            }
            if let Some(socket) = sockets.first().and_then(|sockets| sockets.last()) {
                runtime::net::steer_by_connection_id(socket, workers).map_err(fail)?;
            }
        }
        let (shared, receiver) = shared(config, backend_tls, clock, table);
        if let Some(first) = bound_https.first() {
            shared.https_port.store(first.port(), Ordering::Relaxed);
        }
        Ok((Self { shared, bound, bound_https, listeners, sockets, threads: Vec::new() }, receiver))
    }

    /// Starts the threads. Every order that was given before holds from the first request on.
    ///
    /// # Errors
    ///
    /// [`StartError::Worker`]; what was started ends when the plane is dropped.
    pub fn serve(&mut self) -> Result<(), StartError> {
        let listeners = std::mem::take(&mut self.listeners).into_iter();
        let sockets = std::mem::take(&mut self.sockets);
        for (number, (listeners, sockets)) in listeners.zip(sockets).enumerate() {
            let shared = Arc::clone(&self.shared);
            let worker = spawn(format!("worker-{number}"), move || async move {
                if let Err(error) = Worker::new(shared, number).run(listeners, sockets).await {
                    tracing::error!(%error, number, "a worker ended");
                }
            });
            self.threads.push(worker.map_err(StartError::Worker)?);
        }
        let shared = Arc::clone(&self.shared);
        let monitor = spawn("monitor".to_owned(), || monitor::run(shared));
        self.threads.push(monitor.map_err(StartError::Worker)?);
        Ok(())
    }

    /// The addresses really bound, in the order of the configuration.
    pub fn bound(&self) -> &[SocketAddr] {
        &self.bound
    }

    /// The addresses for TLS really bound, in the order of the configuration.
    pub fn bound_https(&self) -> &[SocketAddr] {
        &self.bound_https
    }

    /// A handle that publishes into this data plane.
    pub fn publisher(&self) -> Publisher {
        Publisher { shared: Arc::clone(&self.shared) }
    }

    /// Lets requests in flight finish, for at most `grace`, then ends the workers. Returns
    /// whether all had finished.
    pub async fn drain(self, grace: Duration) -> bool {
        self.shared.draining.store(true, Ordering::Relaxed);
        let clock = self.shared.clock;
        let deadline = clock.mono().after(grace);
        tokio::time::sleep(ACCEPT_WHILE_DRAINING.min(grace)).await;
        // Under a steady load there would never be a moment without a request.
        self.shared.stop_accepting.notify_waiters();
        let leave_at = deadline.min(clock.mono().after(LAST_REQUESTS.min(grace / 10)));
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let mut left = false;
        loop {
            let now = clock.mono();
            if !left && (now >= leave_at || self.shared.openings.sum() == 0) {
                left = true;
                self.shared.leave.notify_waiters();
            }
            // The last frames are written by their connections, which end when their clients know.
            let busy = count(&self.shared.in_flight) + count(&self.shared.messaging);
            if now >= deadline || (left && busy == 0) {
                break;
            }
            tokio::time::sleep(DRAIN_LOOK_EVERY).await;
        }
        let finished = count(&self.shared.in_flight) == 0;
        let joins: Vec<_> = self
            .threads
            .into_iter()
            .map(|(stop, join)| {
                drop(stop);
                join
            })
            .collect();
        let _ = tokio::task::spawn_blocking(move || {
            for join in joins {
                let _ = join.join();
            }
        })
        .await;
        finished
    }
}

/// Gives the data plane what to work with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
}

impl Publisher {
    /// From now on every new request is routed by this table. [`Notice::Live`] tells when the
    /// requests of older ones have ended.
    pub fn publish(&self, table: Arc<Table>) {
        self.shared.table.store(table);
        self.wake();
    }

    /// The registry connection behind these endpoints was lost, or is back.
    pub fn set_presence(&self, endpoints: &[EndpointId], connected: bool) {
        let now = self.shared.clock.mono();
        for route in self.shared.endpoints.set_presence(endpoints, connected, now) {
            self.shared.tell(Notice::Health(route, true, "registered"));
        }
        self.wake();
    }

    /// These endpoints drain, or no longer do. [`Notice::Drained`] tells when nothing is left.
    pub fn set_drain(&self, endpoints: &[EndpointId], drain: Option<Drain>) {
        self.shared.endpoints.set_drain(endpoints, drain);
        self.wake();
    }

    /// The backends of these routes failed their health checks when they were asked last, in a
    /// life before this one.
    pub fn set_failing(&self, routes: &[RouteId]) {
        let (table, now) = (self.shared.table.load(), self.shared.clock.mono());
        for endpoint in routes.iter().filter_map(|route| table.endpoint_of(*route)) {
            self.shared.endpoints.get(endpoint).set_checked(Checked::Failing, now);
        }
    }

    /// A route goes into maintenance, with a page of its own or the built-in one, or comes back.
    /// Holds from the next publication on, at the latest.
    pub fn set_maintenance(&self, route: RouteId, page: Option<Option<BackendUrl>>) {
        self.shared.routes.set_maintenance(route, page, self.shared.clock.mono());
    }

    /// Watches these routes, and tells by [`Notice::Tripped`] when the guard trips; `None` ends
    /// the watch.
    pub fn watch(&self, watch: u64, what: Option<(Vec<RouteId>, Guard)>) {
        monitor::watch(&self.shared, watch, what);
        self.wake();
    }

    /// What happened on a route since it was first met.
    pub fn stats(&self, route: RouteId) -> StatsReport {
        let totals = self.shared.routes.known(route).map(|state| state.stats.totals());
        totals.unwrap_or_default().report(route)
    }

    /// Tells what every published route did that anybody has met, in the order of their ids.
    /// Nobody waits for it longer than for one route.
    pub fn each_route(&self, mut tell: impl FnMut(RouteId, &Totals)) {
        let table = self.shared.table.load();
        for entry in table.entries() {
            if let Some(state) = self.shared.routes.known(entry.route) {
                tell(entry.route, &state.stats.totals());
            }
        }
    }

    /// The routing table that is published.
    pub fn table(&self) -> Arc<Table> {
        self.shared.table.load()
    }

    /// Open connections of clients, by worker.
    pub fn connections(&self) -> Vec<usize> {
        self.shared.openings.all()
    }

    /// What was answered so far by status, where no route was found as well. By class the counts
    /// are exact.
    pub fn answered(&self) -> BTreeMap<u16, u64> {
        self.shared.answered.totals()
    }

    /// How many clients were not let in so far.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// The circuit breaker of a route.
    pub fn circuit(&self, route: RouteId) -> CircuitReport {
        monitor::circuit(&self.shared, route)
    }

    /// Closes the circuit breaker of a route.
    pub fn reset_circuit(&self, route: RouteId) {
        let now = self.shared.clock.mono();
        if self.shared.routes.known(route).is_some_and(|state| state.reset_breaker(now)) {
            self.shared.tell(Notice::Circuit(route, "closed"));
        }
    }

    fn wake(&self) {
        self.shared.ordered.notify_one();
        self.shared.changed.notify_waiters();
    }

    /// How a request would be routed now.
    pub fn explain(&self, head: Head<'_>) -> ExplainReport {
        let table = self.shared.table.load();
        routing::explain(&table, &*self.shared, head, self.shared.clock.mono())
    }

    /// Requests being worked on.
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::Relaxed)
    }
}

/// What the workers will share, and where their notices come out.
pub(crate) fn shared(
    config: Config,
    tls: Tls,
    clock: Clock,
    table: Arc<Table>,
) -> (Arc<Shared>, mpsc::Receiver<Notice>) {
    let (notices, receiver) = mpsc::channel(NOTICES_MAX);
    let workers = config.workers.max(1);
    // How many there may be in all is counted by worker.
    let bounds = Bounds {
        connections_max: usize::MAX,
        connections_per_peer_max: config.connections_per_peer_max,
    };
    let peers = Guests::new("connections", bounds);
    let shared = Arc::new(Shared {
        config,
        tls,
        clock,
        table: Snapshot::new(table),
        endpoints: Endpoints::default(),
        routes: Routes::new(workers),
        limits: Limits::new(),
        peers,
        answered: Answered::new(workers),
        refused: AtomicU64::new(0),
        openings: Openings::new(workers),
        refusals: Refusals::default(),
        oldest: Arc::new(Oldest::new(workers)),
        ordered: Notify::new(),
        changed: Notify::new(),
        watches: Mutex::default(),
        https_port: AtomicU16::new(443),
        draining: AtomicBool::new(false),
        stop_accepting: Notify::new(),
        in_flight: AtomicUsize::new(0),
        messaging: AtomicUsize::new(0),
        leave: Notify::new(),
        notices,
    });
    (shared, receiver)
}

impl Live for Shared {
    fn member(&self, member: &Member, now: Instant) -> EndpointView {
        let endpoint = self.endpoints.get(member.endpoint);
        let state = self.routes.get(member.route, member.endpoint);
        if state.is_in_maintenance() {
            return resting(endpoint.view(now));
        }
        view(member, (&endpoint, endpoint.view(now)), &state, now)
    }
}

/// Runs this in a thread with a runtime of its own, until the sender is dropped.
fn spawn<F>(
    name: String,
    run: impl FnOnce() -> F + Send + 'static,
) -> io::Result<(oneshot::Sender<()>, JoinHandle<()>)>
where
    F: Future<Output = ()>,
{
    let (stop, stopped) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let join = std::thread::Builder::new().name(name).spawn(move || {
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            tokio::select! {
                () = run() => {}
                _ = stopped => {}
            }
        });
    })?;
    Ok((stop, join))
}
