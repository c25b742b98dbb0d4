//! One worker: what a thread of the data plane has to itself, and its loop.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use door::{Guest, is_about_one_connection};
use model::{BackendUrl, Balance, Generation, Instant, RouteId};
use resilience::{Phase, RetryBudget};
use routing::{EndpointHealth, EndpointId, EndpointView, Fixed, Live, Member, Pool, Table};
use runtime::{Clock, Reader};
use tokio::net::TcpListener;

use crate::connection;
use crate::endpoint::EndpointState;
use crate::h3_server;
use crate::identity;
use crate::ledger::Ledger;
use crate::plane::{Door, Shared};
use crate::quiet::Quiet;
use crate::refusal::Refused;
use crate::route::RouteState;
use crate::ticket::LocalRoute;
use crate::upstream::{LocalEndpoint, Upstreams};

/// Between two looks at idle connections.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How long accepting pauses when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Servers of maintenance pages that are remembered; what is forgotten is made anew.
const PAGES_MAX: usize = 1024;

/// What one thread has to itself.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    /// Which one it is.
    pub(crate) number: usize,
    pub(crate) clock: Clock,
    pub(crate) upstreams: Upstreams,
    pub(crate) budget: RefCell<RetryBudget>,
    table: RefCell<Reader<Table>>,
    endpoints: RefCell<HashMap<EndpointId, Rc<LocalEndpoint>, Fixed>>,
    routes: RefCell<HashMap<RouteId, Rc<LocalRoute>, Fixed>>,
    ledger: Ledger,
    /// Where `balance=round_robin` has come to, by the oldest route of the pool.
    rotations: RefCell<HashMap<RouteId, u64>>,
    /// Servers of maintenance pages.
    pages: RefCell<HashMap<BackendUrl, Rc<LocalEndpoint>>>,
    /// Connections that wait for their next request.
    pub(crate) quiet: Quiet,
    /// Connections that wait for their next request without being quiet.
    pub(crate) pausing: Cell<usize>,
    /// Responses that are compressed on their way.
    pub(crate) encoders: Rc<Cell<usize>>,
    /// Requests that are parked, and the bytes they hold.
    pub(crate) parked: Cell<(usize, usize)>,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, number: usize) -> Rc<Self> {
        let clock = shared.clock;
        let table = RefCell::new(shared.table.reader());
        let (policy, tls) = (shared.config.policy.clone(), shared.tls.clone());
        Rc::new(Self {
            clock,
            upstreams: Upstreams::new(clock, policy, tls, shared.config.body_timeout),
            budget: RefCell::new(RetryBudget::new(clock.mono())),
            table,
            endpoints: RefCell::default(),
            routes: RefCell::default(),
            ledger: Ledger::new(Arc::clone(&shared.oldest), number),
            number,
            rotations: RefCell::default(),
            pages: RefCell::default(),
            quiet: Quiet::default(),
            pausing: Cell::new(0),
            encoders: Rc::default(),
            parked: Cell::new((0, 0)),
            shared,
        })
    }

    /// Accepts on these sockets until the thread ends.
    pub(crate) async fn run(
        self: Rc<Self>,
        listeners: Vec<(std::net::TcpListener, Door)>,
        sockets: Vec<UdpSocket>,
    ) -> io::Result<()> {
        for socket in sockets {
            let Some(https) = &self.shared.config.https else { break };
            let Some(quic) = &https.quic else { break };
            let port = socket.local_addr()?.port();
            let place = (self.number, self.shared.config.workers.max(1));
            let idle = self.shared.config.idle_timeout;
            let endpoint =
                h3_server::endpoint(socket, Arc::clone(quic), &https.reset_key, idle, place)?;
            tokio::task::spawn_local(h3_server::accept(Rc::clone(&self), endpoint, port));
        }
        for (listener, door) in listeners {
            let listener = TcpListener::from_std(listener)?;
            tokio::task::spawn_local(Rc::clone(&self).accept(listener, door));
        }
        tokio::task::spawn_local(Rc::clone(&self).leave());
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            self.sweep();
        }
    }

    /// Ends what waits for its next request, once that is to be.
    async fn leave(self: Rc<Self>) {
        self.shared.leave.notified().await;
        self.quiet.end();
    }

    async fn accept(self: Rc<Self>, listener: TcpListener, door: Door) {
        let port = listener.local_addr().map_or(0, |address| address.port());
        let stop = self.shared.stop_accepting.notified();
        tokio::pin!(stop);
        stop.as_mut().enable();
        loop {
            let accepted = tokio::select! {
                // First, so that whoever stands in the queue when it closes is let in.
                biased;
                accepted = listener.accept() => accepted,
                () = &mut stop => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    // Closing at once says more than a queue that never moves.
                    let Some(open) = self.open() else {
                        self.shared.refuse(peer, Some(Refused::Full), None);
                        continue;
                    };
                    tokio::task::spawn_local(async move {
                        connection::welcome(&open, stream, (peer, port), door).await;
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

    /// A place for one more connection, if there is one.
    pub(crate) fn open(self: &Rc<Self>) -> Option<Open> {
        let open = self.shared.openings.get(self.number);
        if open >= self.shared.config.connections_max {
            return None;
        }
        self.shared.openings.set(self.number, open + 1);
        Some(Open { worker: Rc::clone(self), counted: Cell::new(None) })
    }

    /// Looks at the table published last.
    pub(crate) fn with_table<T>(&self, look: impl FnOnce(&Table) -> T) -> T {
        look(self.table.borrow_mut().latest())
    }

    /// Finds the pool of a request, and counts the request under the generation it was found in.
    pub(crate) fn find(
        self: &Rc<Self>,
        find: impl Fn(&Table) -> Option<Arc<Pool>>,
    ) -> Option<(Arc<Pool>, Entered)> {
        loop {
            let (pool, generation) = self.with_table(|table| (find(table), table.generation()));
            let pool = pool?;
            let look_again = self.ledger.enter(generation);
            let entered = Entered { worker: Rc::clone(self), generation };
            if !look_again || self.with_table(|table| table.generation() == generation) {
                return Some((pool, entered));
            }
        }
    }

    /// The route of a member, as this worker uses it.
    pub(crate) fn route(&self, member: &Member) -> Rc<LocalRoute> {
        if let Some(local) = self.routes.borrow().get(&member.route)
            && local.leads_to == member.endpoint
            && !local.state.is_retired()
            && !local.endpoint.state.is_retired()
        {
            return Rc::clone(local);
        }
        let local = Rc::new(LocalRoute {
            route: member.route,
            leads_to: member.endpoint,
            endpoint: self.endpoint(member),
            state: self.shared.routes.get(member.route, member.endpoint),
        });
        self.routes.borrow_mut().insert(member.route, Rc::clone(&local));
        local
    }

    /// The endpoint of a member, as this worker uses it.
    fn endpoint(&self, member: &Member) -> Rc<LocalEndpoint> {
        if let Some(local) = self.endpoints.borrow().get(&member.endpoint)
            && !local.state.is_retired()
        {
            return Rc::clone(local);
        }
        let state = self.shared.endpoints.get(member.endpoint);
        let local = Rc::new(self.upstreams.local(state, &member.backend));
        self.endpoints.borrow_mut().insert(member.endpoint, Rc::clone(&local));
        local
    }

    /// The server of a maintenance page. It is no endpoint: nobody balances over it.
    pub(crate) fn page_server(&self, url: &BackendUrl) -> Rc<LocalEndpoint> {
        let mut pages = self.pages.borrow_mut();
        if let Some(server) = pages.get(url) {
            return Rc::clone(server);
        }
        if pages.len() >= PAGES_MAX {
            pages.clear();
        }
        let server = Rc::new(self.upstreams.local(Arc::default(), url));
        pages.insert(url.clone(), Rc::clone(&server));
        server
    }

    /// What a choice among the endpoints of a pool is drawn by: the next number of its rotation,
    /// the hash of the client, or a random one.
    pub(crate) fn draw(&self, pool: &Pool, client: IpAddr) -> u64 {
        match (pool.config.options.balance, pool.members.first()) {
            (Balance::Hash, _) => identity::hash(client),
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

    pub(crate) fn is_trusted(&self, peer: IpAddr) -> bool {
        let ip = peer.to_canonical();
        self.shared.config.trusted_proxies.iter().any(|network| network.contains(&ip))
    }

    fn sweep(&self) {
        let now = self.clock.mono();
        self.shared.tell_refusals();
        self.upstreams.sweep(now);
        self.with_table(|table| {
            self.endpoints.borrow_mut().retain(|endpoint, _| table.has_endpoint(*endpoint));
            self.routes.borrow_mut().retain(|route, _| table.get(*route).is_some());
            self.rotations.borrow_mut().retain(|route, _| table.get(*route).is_some());
        });
    }
}

/// Endpoints as one request sees them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight<'w> {
    pub(crate) worker: &'w Worker,
    /// Whether maintenance does not hold for it: ACME challenges always pass (SPEC 4).
    pub(crate) through_maintenance: bool,
}

impl Live for Sight<'_> {
    fn member(&self, member: &Member, now: Instant) -> EndpointView {
        let local = self.worker.route(member);
        let (endpoint, state) = (&*local.endpoint.state, &*local.state);
        if state.is_in_maintenance() && !self.through_maintenance {
            return resting(endpoint.view(now));
        }
        view(member, (endpoint, endpoint.view(now)), state, now)
    }
}

/// An endpoint in maintenance. Whether it is there does not matter: it may well be down.
pub(crate) fn resting(view: EndpointView) -> EndpointView {
    EndpointView { health: EndpointHealth::Maintenance, ..view }
}

/// How requests over a route find its endpoint.
pub(crate) fn view(
    member: &Member,
    (endpoint, mut view): (&EndpointState, EndpointView),
    state: &RouteState,
    now: Instant,
) -> EndpointView {
    let options = &member.config.options;
    if view.health == EndpointHealth::Gone {
        return view;
    }
    if let Some(rule) = &member.config.breaker
        && !state.breaker().may_try(rule, now)
    {
        let until = match state.breaker().phase(now) {
            Phase::Open { until } => until,
            Phase::Closed | Phase::HalfOpen => now,
        };
        view.health = EndpointHealth::Open { until };
    } else if options.max_in_flight.is_some_and(|max| view.in_flight >= max) {
        view.health = EndpointHealth::Full;
    } else if !options.slow_start.is_zero() && view.health == EndpointHealth::Up {
        let ramp = endpoint.ramp_percent(options.slow_start, now);
        view.share_percent = view.share_percent.min(ramp);
    }
    view
}

/// Counts a request for as long as it is worked on.
#[derive(Debug)]
pub(crate) struct Entered {
    worker: Rc<Worker>,
    generation: Generation,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.worker.ledger.leave(self.generation);
    }
}

/// Counts an open connection for as long as it lives.
pub(crate) struct Open {
    pub(crate) worker: Rc<Worker>,
    /// Its place among those of its client, if that is counted.
    counted: Cell<Option<Guest>>,
}

impl Open {
    /// Whether its client may have one more connection. `named` is whether somebody we trust has
    /// named the client. Who is trusted itself comes for many, and so may this machine.
    pub(crate) fn admits(&self, ip: IpAddr, named: bool) -> bool {
        let ip = ip.to_canonical();
        if ip.is_loopback() || (!named && self.worker.is_trusted(ip)) {
            return true;
        }
        let guest = self.worker.shared.peers.enter(ip).ok();
        let admits = guest.is_some();
        self.counted.set(guest);
        admits
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let (openings, number) = (&self.worker.shared.openings, self.worker.number);
        openings.set(number, openings.get(number).saturating_sub(1));
    }
}
