//! Connections to backends: one pool per worker and address, never shared, never locked.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use model::{BackendHost, BackendUrl, Instant, Scheme};
use probe::{Offer, Policy, Tls, TlsFailed};
use runtime::Clock;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::endpoint::EndpointState;
use crate::h2_client::{SharedConnections, Sharing, Turn};
use crate::names::Names;
use crate::stream::Stream;

/// Idle connections kept per worker and address.
const IDLE_MAX: usize = 512;
/// How long an idle connection is kept; backends close theirs after 5 s to 75 s.
const IDLE_AGE_MAX: Duration = Duration::from_secs(60);
/// How long a backend has at least to acknowledge what it was sent.
const UNACKNOWLEDGED_MIN: Duration = Duration::from_secs(30);
/// Addresses of one name that are tried for one request.
const ADDRESSES_TRIED_MAX: usize = 3;

/// One endpoint as one worker uses it.
#[derive(Debug)]
pub(crate) struct LocalEndpoint {
    pub(crate) state: Arc<EndpointState>,
    place: Place,
    scheme: Scheme,
    /// What it chose when it could choose; HTTP/2 until it is known, since that is what is offered
    /// first.
    chosen: Cell<Speech>,
    /// `host[:port]`, for a Host field.
    pub(crate) authority: Box<str>,
}

/// How requests are put to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// HTTP/1.1: one at a time over a connection.
    Text,
    /// HTTP/2: many at a time.
    Frames,
}

/// What a connect came to.
pub(crate) enum Connected {
    /// It speaks as it was expected to.
    AsExpected(Upstream),
    /// It is kept among the others, to be asked for there; perhaps the backend chose otherwise.
    Kept,
    /// Somebody else has connected meanwhile, or could not.
    Unknown,
}

#[derive(Debug)]
enum Place {
    At(Rc<AddressPool>),
    Named { name: Box<str>, port: u16, tls: Option<BackendHost>, next: Cell<usize> },
}

/// The connections of one worker to one address.
#[derive(Debug)]
pub(crate) struct AddressPool {
    address: SocketAddr,
    tls: Option<BackendHost>,
    idle: RefCell<Vec<(Stream, Instant)>>,
    /// Those that carry many requests at a time.
    shared: SharedConnections,
}

/// A connection to a backend.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) stream: Stream,
    /// Whether it has carried a request before.
    pub(crate) reused: bool,
    /// Where it may go afterwards; a stream goes nowhere.
    pool: Option<Rc<AddressPool>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The name has no address.
    #[error("the backend's name does not resolve")]
    NoAddress,
    /// Every address refused or failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Whoever is there is not who it should be, or speaks no TLS.
    #[error("{0}")]
    Tls(#[from] TlsFailed),
    /// It speaks no HTTP/2 although it should.
    #[error("HTTP/2: {0}")]
    Frames(#[from] h2::Error),
}

impl ConnectError {
    /// In a word, for events.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NoAddress => "name_not_resolved",
            Self::Tls(_) => "tls_failed",
            Self::Frames(_) => "protocol_error",
            Self::Io(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => "connection_refused",
                io::ErrorKind::PermissionDenied => "destination_denied",
                io::ErrorKind::TimedOut => "connection_timeout",
                _ => "connection_failed",
            },
        }
    }
}

/// A client's address, and the one it connected to.
pub(crate) type Origin = (SocketAddr, SocketAddr);

/// What is there after a connect.
enum Reached {
    Text(Upstream),
    /// It is among those that are shared.
    Frames,
    /// Somebody else has connected meanwhile, or could not.
    Unknown,
}

/// All connections of one worker to backends.
#[derive(Debug)]
pub(crate) struct Upstreams {
    clock: Clock,
    by_address: RefCell<HashMap<PoolKey, Rc<AddressPool>>>,
    names: Names,
    /// Where backends may be (SPEC 10).
    policy: Policy,
    tls: Tls,
    /// How long a backend may leave unacknowledged what it was sent: as long as it may take
    /// nothing of a body. Otherwise the kernel goes on for a quarter of an hour.
    unacknowledged_max: Duration,
}

/// What connections have in common that can stand for each other: the address, and whom the other
/// side has to be where there is TLS. Never the route (SPEC 12).
type PoolKey = (SocketAddr, Option<BackendHost>);

impl Upstreams {
    /// `patience` is how long a backend may take nothing of a body.
    pub(crate) fn new(clock: Clock, policy: Policy, tls: Tls, patience: Duration) -> Self {
        let (by_address, names) = (RefCell::default(), Names::new(clock));
        let unacknowledged_max = patience.max(UNACKNOWLEDGED_MIN);
        Self { clock, by_address, names, policy, tls, unacknowledged_max }
    }

    /// An endpoint of this worker.
    pub(crate) fn local(&self, state: Arc<EndpointState>, url: &BackendUrl) -> LocalEndpoint {
        let scheme = url.scheme();
        let tls = scheme.is_tls().then(|| url.host().clone());
        let place = match url.host() {
            BackendHost::Ip(ip) => Place::At(self.pool((SocketAddr::new(*ip, url.port()), tls))),
            BackendHost::Name(name) => {
                Place::Named { name: name.clone(), port: url.port(), tls, next: Cell::new(0) }
            }
        };
        let chosen = Cell::new(Speech::Frames);
        LocalEndpoint { state, place, scheme, chosen, authority: url.authority().into() }
    }

    /// An idle connection to the endpoint, if there is one that the backend has not closed.
    pub(crate) fn idle(&self, endpoint: &LocalEndpoint) -> Option<Upstream> {
        self.kept(endpoint, AddressPool::take)
    }

    /// A connection to the endpoint that has room for one more request.
    pub(crate) fn shared(&self, endpoint: &LocalEndpoint) -> Option<Sharing> {
        self.kept(endpoint, |pool| pool.shared.pick())
    }

    fn kept<T>(
        &self,
        endpoint: &LocalEndpoint,
        take: impl Fn(&Rc<AddressPool>) -> Option<T>,
    ) -> Option<T> {
        match &endpoint.place {
            Place::At(pool) => take(pool),
            Place::Named { name, port, tls, next } => {
                let addresses = self.names.known(name)?;
                let first = next.get();
                (0..addresses.len()).find_map(|step| {
                    let ip = *addresses.get((first + step) % addresses.len())?;
                    let key = (SocketAddr::new(ip, *port), tls.clone());
                    let pool = self.by_address.borrow().get(&key).cloned();
                    take(&pool?)
                })
            }
        }
    }

    /// Opens a connection to the endpoint for requests in text.
    pub(crate) async fn connect(&self, endpoint: &LocalEndpoint) -> Result<Upstream, ConnectError> {
        match self.reach(endpoint, (Offer::Text, Speech::Text), None).await? {
            Reached::Text(upstream) => Ok(upstream),
            // Nothing else was offered.
            Reached::Frames | Reached::Unknown => Err(TlsFailed::NotTls.into()),
        }
    }

    /// Opens a connection to the endpoint for requests that are put as `expected`, and lets the
    /// backend choose if `may_choose`. With `origin` the backend is told who it is for, and it is for
    /// nobody else.
    pub(crate) async fn connect_for(
        &self,
        endpoint: &LocalEndpoint,
        (expected, may_choose): (Speech, bool),
        origin: Option<Origin>,
    ) -> Result<Connected, ConnectError> {
        let offer = match expected {
            _ if may_choose => Offer::Either,
            Speech::Text => Offer::Text,
            Speech::Frames => Offer::Frames,
        };
        let reached = self.reach(endpoint, (offer, expected), origin).await?;
        let speech = match &reached {
            Reached::Text(_) => Speech::Text,
            Reached::Frames => Speech::Frames,
            Reached::Unknown => return Ok(Connected::Unknown),
        };
        if may_choose {
            endpoint.chosen.set(speech);
        }
        match reached {
            Reached::Text(upstream) if expected == Speech::Text => {
                Ok(Connected::AsExpected(upstream))
            }
            Reached::Text(upstream) => {
                upstream.give_back(self.clock.mono());
                Ok(Connected::Kept)
            }
            Reached::Frames | Reached::Unknown => Ok(Connected::Kept),
        }
    }

    async fn reach(
        &self,
        endpoint: &LocalEndpoint,
        how: (Offer, Speech),
        origin: Option<Origin>,
    ) -> Result<Reached, ConnectError> {
        match &endpoint.place {
            Place::At(pool) => self.open(pool, how, origin).await,
            Place::Named { name, port, tls, next } => {
                let addresses = self.names.resolve(name).await;
                let first = next.replace(next.get().wrapping_add(1));
                let mut last = ConnectError::NoAddress;
                for step in 0..addresses.len().min(ADDRESSES_TRIED_MAX) {
                    let ip: Option<&IpAddr> = addresses.get((first + step) % addresses.len());
                    let Some(ip) = ip else { break };
                    let pool = self.pool((SocketAddr::new(*ip, *port), tls.clone()));
                    match self.open(&pool, how, origin).await {
                        Ok(reached) => return Ok(reached),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    async fn open(
        &self,
        pool: &Rc<AddressPool>,
        (offer, expected): (Offer, Speech),
        origin: Option<Origin>,
    ) -> Result<Reached, ConnectError> {
        let opening = match offer {
            Offer::Text => None,
            // Of many that come at once one connects, and the others use what it gets.
            Offer::Frames => match pool.shared.turn().await {
                Turn::There => return Ok(Reached::Frames),
                Turn::Ours(opening) => Some(opening),
            },
            Offer::Either if expected == Speech::Frames => match pool.shared.turn_or_wait().await {
                Turn::There => return Ok(Reached::Unknown),
                Turn::Ours(opening) => Some(opening),
            },
            Offer::Either => None,
        };
        let denied = |denied| io::Error::new(io::ErrorKind::PermissionDenied, denied);
        self.policy.permits(pool.address).map_err(denied)?;
        let mut tcp = TcpStream::connect(pool.address).await?;
        tcp.set_nodelay(true)?;
        runtime::net::keep_alive(&tcp)?;
        runtime::net::give_up_after(&tcp, Some(self.unacknowledged_max))?;
        if let Some((source, destination)) = origin {
            let mut header = Vec::new();
            proxyproto::encode_v2(source, destination, &mut header);
            tcp.write_all(&header).await?;
        }
        let (stream, speech) = match (&pool.tls, offer) {
            (None, Offer::Text | Offer::Either) => (Stream::Plain(tcp), Speech::Text),
            (None, Offer::Frames) => (Stream::Plain(tcp), Speech::Frames),
            // In a box: a handshake is large and seldom.
            (Some(host), _) => {
                let tls = Box::pin(self.tls.connect(tcp, host, offer)).await?;
                let is_h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
                // A server may know no ALPN; gRPC's then speak HTTP/2 all the same.
                let speech =
                    if is_h2 || offer == Offer::Frames { Speech::Frames } else { Speech::Text };
                (Stream::Tls(Box::new(TlsStream::Client(*tls))), speech)
            }
        };
        match speech {
            Speech::Text => {
                let pool = origin.is_none().then(|| Rc::clone(pool));
                Ok(Reached::Text(Upstream { stream, reused: false, pool }))
            }
            Speech::Frames => {
                Box::pin(pool.shared.add(stream, self.clock)).await?;
                drop(opening);
                Ok(Reached::Frames)
            }
        }
    }

    /// Closes what is idle for too long or was closed by the backend, and forgets addresses
    /// without connections.
    pub(crate) fn sweep(&self, now: Instant) {
        self.by_address.borrow_mut().retain(|_, pool| {
            pool.shared.sweep(now, IDLE_AGE_MAX);
            pool.idle
                .borrow_mut()
                .retain(|(stream, since)| now.since(*since) < IDLE_AGE_MAX && is_quiet(stream));
            !pool.idle.borrow().is_empty() || !pool.shared.is_empty() || Rc::strong_count(pool) > 1
        });
        self.names.sweep(now);
    }

    fn pool(&self, key: PoolKey) -> Rc<AddressPool> {
        let mut pools = self.by_address.borrow_mut();
        let (address, tls) = key.clone();
        let new = || {
            let (idle, shared) = (RefCell::default(), SharedConnections::default());
            Rc::new(AddressPool { address, tls, idle, shared })
        };
        Rc::clone(pools.entry(key).or_insert_with(new))
    }
}

impl AddressPool {
    /// The connection used last: its peer is the least likely to have closed it, and the rest
    /// can age.
    fn take(self: &Rc<Self>) -> Option<Upstream> {
        loop {
            let (stream, _) = self.idle.borrow_mut().pop()?;
            if is_quiet(&stream) {
                let pool = Some(Rc::clone(self));
                return Some(Upstream { stream, reused: true, pool });
            }
        }
    }
}

impl LocalEndpoint {
    /// How a request is put to it, and whether the backend may choose otherwise. `http2` is the
    /// route's option, `alone` whether the request needs a connection of its own.
    pub(crate) fn speech(&self, http2: Option<bool>, alone: bool) -> (Speech, bool) {
        match self.scheme {
            Scheme::Http | Scheme::Ws | Scheme::Wss => (Speech::Text, false),
            Scheme::H2c | Scheme::Grpc | Scheme::Grpcs => (Speech::Frames, false),
            Scheme::Https if alone || http2 == Some(false) => (Speech::Text, false),
            Scheme::Https => (self.chosen.get(), true),
        }
    }

    /// Whether it has chosen text where frames were `planned` and it might choose.
    pub(crate) fn chose_text(&self, planned: (Speech, bool)) -> bool {
        planned.1 && self.chosen.get() == Speech::Text
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.scheme.is_tls()
    }
}

impl Upstream {
    /// A request's stream.
    pub(crate) fn of_stream(stream: Stream) -> Self {
        // Whatever became of earlier requests says nothing about a stream of its own.
        Self { stream, reused: false, pool: None }
    }

    /// Keeps the connection for a later request.
    pub(crate) fn give_back(self, now: Instant) {
        let Some(pool) = self.pool else { return };
        let mut idle = pool.idle.borrow_mut();
        if idle.len() < IDLE_MAX {
            idle.push((self.stream, now));
        }
    }
}

/// Whether nothing came on an idle connection: neither its end nor bytes nobody asked for. Costs
/// no system call unless something did come.
fn is_quiet(stream: &Stream) -> bool {
    let Some(stream) = stream.tcp() else { return false };
    let mut cx = Context::from_waker(Waker::noop());
    match stream.poll_read_ready(&mut cx) {
        Poll::Pending => true,
        Poll::Ready(Err(_)) => false,
        Poll::Ready(Ok(())) => matches!(
            stream.try_read(&mut [0]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock
        ),
    }
}
