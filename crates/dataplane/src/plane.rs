//! The data plane as a whole: its workers, and what they share.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use model::ExplainReport;
use routing::{EndpointId, Head, Live, Table};
use runtime::{Clock, Snapshot};
use tokio::sync::{mpsc, oneshot};

use crate::endpoint::Endpoints;
use crate::worker::Worker;

/// Notices that wait for their reader; more are dropped, the next failure repeats them.
const NOTICES_MAX: usize = 1024;
/// How long listeners stay open after a drain began, so that who was told of us a moment ago
/// still gets an answer.
const ACCEPT_WHILE_DRAINING: Duration = Duration::from_millis(300);
/// How often a drain looks whether it is over.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(10);

/// How the data plane is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect in clear text.
    pub listen: Vec<SocketAddr>,
    /// Threads.
    pub workers: usize,
    /// Open client connections per worker.
    pub connections_max: usize,
    /// For a request head, from its first byte.
    pub header_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
    /// For a connection to a backend.
    pub connect_timeout: Duration,
    /// Between two pieces of a body.
    pub body_timeout: Duration,
    /// Peers whose forwarding fields are believed.
    pub trusted_proxies: BTreeSet<IpAddr>,
}

impl Config {
    /// SPEC 4 and 6.
    pub fn new(listen: Vec<SocketAddr>, workers: usize) -> Self {
        Self {
            listen,
            workers,
            connections_max: 50_000,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            connect_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(60),
            trusted_proxies: BTreeSet::new(),
        }
    }
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
    /// No thread, or no runtime in it.
    #[error("cannot start a worker: {0}")]
    Worker(io::Error),
}

/// What the data plane has to tell the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An endpoint refused a connection while its registry connection is lost.
    Refused(EndpointId),
}

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) table: Snapshot<Table>,
    pub(crate) endpoints: Endpoints,
    pub(crate) draining: AtomicBool,
    /// Requests being worked on, tunnels included.
    pub(crate) in_flight: AtomicUsize,
    pub(crate) notices: mpsc::Sender<Notice>,
}

/// A running data plane.
#[derive(Debug)]
pub struct Plane {
    shared: Arc<Shared>,
    bound: Vec<SocketAddr>,
    workers: Vec<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Plane {
    /// Binds every address for every worker and starts the threads, which route by `table` from
    /// the first request on.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing is left running then.
    pub fn start(
        config: Config,
        clock: Clock,
        table: Arc<Table>,
    ) -> Result<(Self, mpsc::Receiver<Notice>), StartError> {
        let workers = config.workers.max(1);
        let mut bound = Vec::new();
        let mut sockets: Vec<Vec<std::net::TcpListener>> =
            (0..workers).map(|_| Vec::new()).collect();
        for address in &config.listen {
            let fail = |source| StartError::Bind { address: *address, source };
            let mut actual = *address;
            for sockets in &mut sockets {
                let socket = runtime::net::listen_shared(actual).map_err(fail)?;
                // Port 0 is chosen by the first, the others join it.
                actual = socket.local_addr().map_err(fail)?;
                sockets.push(socket);
            }
            bound.push(actual);
        }
        let (shared, receiver) = shared(config, clock, table);
        let mut plane = Self { shared, bound, workers: Vec::new() };
        for (number, sockets) in sockets.into_iter().enumerate() {
            let worker = spawn(number, Arc::clone(&plane.shared), sockets);
            plane.workers.push(worker.map_err(StartError::Worker)?);
        }
        Ok((plane, receiver))
    }

    /// The addresses really bound, in the order of the configuration.
    pub fn bound(&self) -> &[SocketAddr] {
        &self.bound
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
        let in_flight = || self.shared.in_flight.load(Ordering::Relaxed);
        while in_flight() > 0 && clock.mono() < deadline {
            tokio::time::sleep(DRAIN_LOOK_EVERY).await;
        }
        let finished = in_flight() == 0;
        let joins: Vec<_> = self
            .workers
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
    /// From now on every new request is routed by this table.
    pub fn publish(&self, table: Arc<Table>) {
        self.shared.table.store(table);
    }

    /// The registry connection behind these endpoints was lost, or is back.
    pub fn set_presence(&self, endpoints: &[EndpointId], connected: bool) {
        self.shared.endpoints.set_presence(endpoints, connected);
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
    clock: Clock,
    table: Arc<Table>,
) -> (Arc<Shared>, mpsc::Receiver<Notice>) {
    let (notices, receiver) = mpsc::channel(NOTICES_MAX);
    let shared = Arc::new(Shared {
        config,
        clock,
        table: Snapshot::new(table),
        endpoints: Endpoints::default(),
        draining: AtomicBool::new(false),
        in_flight: AtomicUsize::new(0),
        notices,
    });
    (shared, receiver)
}

impl Live for Shared {
    fn endpoint(&self, endpoint: EndpointId, now: model::Instant) -> routing::EndpointView {
        self.endpoints.get(endpoint).view(now)
    }
}

fn spawn(
    number: usize,
    shared: Arc<Shared>,
    listeners: Vec<std::net::TcpListener>,
) -> io::Result<(oneshot::Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name(format!("worker-{number}"));
    let join = thread.spawn(move || {
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            let worker = Worker::new(shared);
            tokio::select! {
                result = worker.run(listeners) => {
                    if let Err(error) = result {
                        tracing::error!(%error, number, "a worker ended");
                    }
                }
                _ = stopped => {}
            }
        });
    })?;
    Ok((stop, join))
}
