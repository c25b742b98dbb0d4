//! One worker: what a thread of the data plane has to itself, and its loop.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{Balance, Instant, RouteId};
use resilience::RetryBudget;
use routing::{EndpointId, EndpointView, Live, Member, Pool, Table};
use runtime::{Clock, Reader};
use tokio::net::TcpListener;

use crate::connection;
use crate::plane::Shared;
use crate::upstream::{LocalEndpoint, Upstreams};

/// Between two looks at idle connections.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How long accepting pauses when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What one thread has to itself.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Clock,
    pub(crate) upstreams: Upstreams,
    pub(crate) budget: RefCell<RetryBudget>,
    table: RefCell<Reader<Table>>,
    endpoints: RefCell<HashMap<EndpointId, Rc<LocalEndpoint>>>,
    /// Where `balance=round_robin` has come to, by the oldest route of the pool.
    rotations: RefCell<HashMap<RouteId, u64>>,
    connections: Cell<usize>,
    /// Connections that wait for their next request without being quiet.
    pub(crate) pausing: Cell<usize>,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>) -> Rc<Self> {
        let clock = shared.clock;
        let table = RefCell::new(shared.table.reader());
        Rc::new(Self {
            clock,
            upstreams: Upstreams::new(clock),
            budget: RefCell::new(RetryBudget::new(clock.mono())),
            table,
            endpoints: RefCell::default(),
            rotations: RefCell::default(),
            connections: Cell::new(0),
            pausing: Cell::new(0),
            shared,
        })
    }

    /// Accepts on these sockets until the thread ends.
    pub(crate) async fn run(
        self: Rc<Self>,
        listeners: Vec<std::net::TcpListener>,
    ) -> io::Result<()> {
        for listener in listeners {
            let listener = TcpListener::from_std(listener)?;
            tokio::task::spawn_local(Rc::clone(&self).accept(listener));
        }
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            self.sweep();
        }
    }

    async fn accept(self: Rc<Self>, listener: TcpListener) {
        let port = listener.local_addr().map_or(0, |address| address.port());
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    if self.connections.get() >= self.shared.config.connections_max {
                        // Closing at once says more than a queue that never moves.
                        continue;
                    }
                    self.connections.set(self.connections.get() + 1);
                    let open = Open(Rc::clone(&self));
                    tokio::task::spawn_local(async move {
                        connection::serve(&open.0, stream, peer, port).await;
                    });
                }
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Looks at the table published last.
    pub(crate) fn with_table<T>(&self, look: impl FnOnce(&Table) -> T) -> T {
        look(self.table.borrow_mut().latest())
    }

    /// The endpoint of a member, as this worker uses it.
    pub(crate) fn endpoint(&self, member: &Member) -> Rc<LocalEndpoint> {
        if let Some(local) = self.endpoints.borrow().get(&member.endpoint) {
            return Rc::clone(local);
        }
        let state = self.shared.endpoints.get(member.endpoint);
        let local = Rc::new(self.upstreams.local(state, &member.backend));
        self.endpoints.borrow_mut().insert(member.endpoint, Rc::clone(&local));
        local
    }

    /// What a choice among the endpoints of a pool is drawn by: the next number of its rotation,
    /// or a random one.
    pub(crate) fn draw(&self, pool: &Pool) -> u64 {
        match (pool.config.options.balance, pool.members.first()) {
            (Balance::RoundRobin, Some(oldest)) => {
                let mut rotations = self.rotations.borrow_mut();
                let next = rotations.entry(oldest.route).or_default();
                *next = next.wrapping_add(1);
                *next
            }
            _ => fastrand::u64(..),
        }
    }

    /// Whether new requests should be the last of their connections.
    pub(crate) fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn is_trusted(&self, peer: SocketAddr) -> bool {
        let ip = peer.ip().to_canonical();
        self.shared.config.trusted_proxies.contains(&ip)
    }

    fn sweep(&self) {
        let now = self.clock.mono();
        self.upstreams.sweep(now);
        self.with_table(|table| {
            self.endpoints.borrow_mut().retain(|endpoint, _| table.has_endpoint(*endpoint));
            self.shared.endpoints.retain(|endpoint| table.has_endpoint(endpoint));
            self.rotations.borrow_mut().retain(|route, _| table.get(*route).is_some());
        });
    }
}

impl Live for Worker {
    fn endpoint(&self, endpoint: EndpointId, now: Instant) -> EndpointView {
        match self.endpoints.borrow().get(&endpoint) {
            Some(local) => local.state.view(now),
            None => self.shared.endpoints.get(endpoint).view(now),
        }
    }
}

/// Counts an open connection for as long as it lives.
struct Open(Rc<Worker>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
    }
}

/// Errors of `accept` that belong to the connection that was to be accepted (accept(2)).
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
