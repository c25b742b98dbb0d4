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
use probe::{Policy, Tls, TlsFailed};
use runtime::Clock;
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::endpoint::EndpointState;
use crate::names::Names;
use crate::stream::Stream;

/// Idle connections kept per worker and address.
const IDLE_MAX: usize = 512;
/// How long an idle connection is kept; backends close theirs after 5 s to 75 s.
const IDLE_AGE_MAX: Duration = Duration::from_secs(60);
/// Addresses of one name that are tried for one request.
const ADDRESSES_TRIED_MAX: usize = 3;

/// One endpoint as one worker uses it.
#[derive(Debug)]
pub(crate) struct LocalEndpoint {
    pub(crate) state: Arc<EndpointState>,
    place: Place,
    /// `host[:port]`, for a Host field.
    pub(crate) authority: Box<str>,
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
}

/// A connection to a backend.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) stream: Stream,
    /// Whether it has carried a request before.
    pub(crate) reused: bool,
    pool: Rc<AddressPool>,
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
}

impl ConnectError {
    /// In a word, for events.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NoAddress => "name_not_resolved",
            Self::Tls(_) => "tls_failed",
            Self::Io(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => "connection_refused",
                io::ErrorKind::PermissionDenied => "destination_denied",
                io::ErrorKind::TimedOut => "connection_timeout",
                _ => "connection_failed",
            },
        }
    }
}

/// All connections of one worker to backends.
#[derive(Debug)]
pub(crate) struct Upstreams {
    by_address: RefCell<HashMap<PoolKey, Rc<AddressPool>>>,
    names: Names,
    /// Where backends may be (SPEC 10).
    policy: Policy,
    tls: Tls,
}

/// What connections have in common that can stand for each other: the address, and whom the other
/// side has to be where there is TLS. Never the route (SPEC 12).
type PoolKey = (SocketAddr, Option<BackendHost>);

impl Upstreams {
    pub(crate) fn new(clock: Clock, policy: Policy, tls: Tls) -> Self {
        Self { by_address: RefCell::default(), names: Names::new(clock), policy, tls }
    }

    /// An endpoint of this worker.
    pub(crate) fn local(&self, state: Arc<EndpointState>, url: &BackendUrl) -> LocalEndpoint {
        let tls = matches!(url.scheme(), Scheme::Https | Scheme::Wss).then(|| url.host().clone());
        let place = match url.host() {
            BackendHost::Ip(ip) => Place::At(self.pool((SocketAddr::new(*ip, url.port()), tls))),
            BackendHost::Name(name) => {
                Place::Named { name: name.clone(), port: url.port(), tls, next: Cell::new(0) }
            }
        };
        LocalEndpoint { state, place, authority: url.authority().into() }
    }

    /// An idle connection to the endpoint, if there is one that the backend has not closed.
    pub(crate) fn idle(&self, endpoint: &LocalEndpoint) -> Option<Upstream> {
        match &endpoint.place {
            Place::At(pool) => pool.take(),
            Place::Named { name, port, tls, next } => {
                let addresses = self.names.known(name)?;
                let first = next.get();
                (0..addresses.len()).find_map(|step| {
                    let ip = *addresses.get((first + step) % addresses.len())?;
                    let key = (SocketAddr::new(ip, *port), tls.clone());
                    let pool = self.by_address.borrow().get(&key).cloned();
                    pool?.take()
                })
            }
        }
    }

    /// Opens a connection to the endpoint.
    pub(crate) async fn connect(&self, endpoint: &LocalEndpoint) -> Result<Upstream, ConnectError> {
        match &endpoint.place {
            Place::At(pool) => self.open(pool).await,
            Place::Named { name, port, tls, next } => {
                let addresses = self.names.resolve(name).await;
                let first = next.replace(next.get().wrapping_add(1));
                let mut last = ConnectError::NoAddress;
                for step in 0..addresses.len().min(ADDRESSES_TRIED_MAX) {
                    let ip: Option<&IpAddr> = addresses.get((first + step) % addresses.len());
                    let Some(ip) = ip else { break };
                    let pool = self.pool((SocketAddr::new(*ip, *port), tls.clone()));
                    match self.open(&pool).await {
                        Ok(upstream) => return Ok(upstream),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    async fn open(&self, pool: &Rc<AddressPool>) -> Result<Upstream, ConnectError> {
        let denied = |denied| io::Error::new(io::ErrorKind::PermissionDenied, denied);
        self.policy.permits(pool.address).map_err(denied)?;
        let tcp = TcpStream::connect(pool.address).await?;
        tcp.set_nodelay(true)?;
        runtime::net::keep_alive(&tcp)?;
        let stream = match &pool.tls {
            None => Stream::Plain(tcp),
            // In a box: a handshake is large and seldom.
            Some(host) => {
                let tls = Box::pin(self.tls.connect(tcp, host)).await?;
                Stream::Tls(Box::new(TlsStream::Client(*tls)))
            }
        };
        Ok(Upstream { stream, reused: false, pool: Rc::clone(pool) })
    }

    /// Closes what is idle for too long or was closed by the backend, and forgets addresses
    /// without connections.
    pub(crate) fn sweep(&self, now: Instant) {
        self.by_address.borrow_mut().retain(|_, pool| {
            pool.idle
                .borrow_mut()
                .retain(|(stream, since)| now.since(*since) < IDLE_AGE_MAX && is_quiet(stream));
            !pool.idle.borrow().is_empty() || Rc::strong_count(pool) > 1
        });
        self.names.sweep(now);
    }

    fn pool(&self, key: PoolKey) -> Rc<AddressPool> {
        let mut pools = self.by_address.borrow_mut();
        let (address, tls) = key.clone();
        let new = || Rc::new(AddressPool { address, tls, idle: RefCell::new(Vec::new()) });
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
                return Some(Upstream { stream, reused: true, pool: Rc::clone(self) });
            }
        }
    }
}

impl Upstream {
    /// Keeps the connection for a later request.
    pub(crate) fn give_back(self, now: Instant) {
        let mut idle = self.pool.idle.borrow_mut();
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
