//! A whole proxy: started, served, drained.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use admin::Admin;
use control::{Handle, Limits, Listener, RegistryTask, Socket};
use dataplane::{Plane, StartError};
use discovery::Feed;
use model::Image;
use probe::Policy;
use runtime::{Clock, Signal, Signals};
use session::Registry;
use store::{HistoryBounds, OpenError, Store};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::admin::Gathered;
use crate::certificates::{CertificateError, Served};
use crate::config::{Config, ConfigError, folder_of};
use crate::dialects::{Common, Dialects};
use crate::dialects_counted::Counted;
use crate::issuing::Issuing;
use crate::kept;
use crate::operators::Operators;
use crate::ports::Bound;
use crate::registry_tls::RegistryServed;
use crate::wiring::{self, Hands};

/// How long clients of the registry may take to leave once they were told.
const REGISTRY_GRACE: Duration = Duration::from_secs(1);

/// Why the proxy did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database.
    #[error("store.path: {}{}", .0, way_in(.0))]
    Store(#[from] OpenError),
    /// What the store remembers of the catalog.
    #[error("the catalog cannot be read: {0}")]
    Catalog(store::AskError),
    /// The data plane.
    #[error(transparent)]
    Plane(dataplane::StartError),
    /// The certificates.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// An address is taken, or not ours.
    #[error("{key}: cannot listen on {address}{over}: {source}; {}", way_out(source))]
    Listen {
        /// The key that names it.
        key: &'static str,
        /// Where.
        address: control::Address,
        /// What for, where there is more than one thing.
        over: &'static str,
        /// Why.
        source: io::Error,
    },
    /// DNS.
    #[error("dns.listen: {0}")]
    Dns(dns::BindError),
    /// Deployments.
    #[error("service_api.deploy_hosts: {0}")]
    Deploy(deploy::BadSettings),
    /// Virtual addresses.
    #[error("service_proxy.assign_addresses: {0}")]
    Addresses(service_proxy::AddressError),
    /// The ports file.
    #[error("cannot write the ports file: {0}")]
    Ports(io::Error),
    /// Something else the system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A second signal came, or requests were still in flight at the end of the grace.
    #[error("ended before requests in flight had finished")]
    CutShort,
    /// The demo's own service.
    #[error("{0}")]
    Demo(String),
}

/// Runs until TERM or INT, then lets what is in flight finish.
///
/// # Errors
///
/// [`RunError`], for a person.
pub fn run(config: Config, ports_file: Option<&Path>) -> Result<(), RunError> {
    let (store, image) = open(&config)?;
    let runtime = runtime()?;
    let (store, finished) = runtime.block_on(async {
        let app = App::start(config, store, image).await?;
        if let Some(file) = ports_file {
            app.bound().write(file).map_err(RunError::Ports)?;
        }
        app.serve().await
    })?;
    drop(runtime);
    store.close()?;
    if finished { Ok(()) } else { Err(RunError::CutShort) }
}

/// Opens the database and reads everything in it.
pub(crate) fn open(config: &Config) -> Result<(Store, Image), RunError> {
    Ok(Store::open(&config.store, HistoryBounds::USUAL)?)
}

/// The runtime of everything but the data plane.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// A running proxy.
#[derive(Debug)]
pub(crate) struct App {
    bound: Bound,
    plane: Plane,
    signals: Signals,
    /// Has files read again.
    reload: Vec<Arc<Notify>>,
    /// Has certificates ordered that could not be had before.
    hurry: Arc<Notify>,
    grace: Duration,
    /// New requests are welcome.
    ready: Arc<AtomicBool>,
    /// The last way to the registry but those of its connections.
    handle: Handle,
    registry: JoinHandle<Store>,
    /// Ends with the registry and with whoever else changes the catalog.
    cataloguing: JoinHandle<()>,
    dialects: Dialects,
    listener: JoinHandle<()>,
    stop_listening: oneshot::Sender<()>,
}

impl App {
    /// Starts everything. Traffic flows by what the store remembers before any backend has come
    /// back, and the clocks of grace start when the registry's sockets are there.
    pub(crate) async fn start(
        config: Config,
        store: Store,
        image: Image,
    ) -> Result<Self, RunError> {
        let signals = Signals::listen()?;
        let descriptors = runtime::limits::raise_descriptors();
        tracing::debug!(descriptors, "file descriptors");
        let clock = Clock::system();
        let mut bound = Bound::default();
        let key = |address: &control::Address| match address {
            control::Address::Tcp(_) => "registry.listen",
            control::Address::Unix(_) => "registry.socket",
        };
        let clients = bind(&config.registry_addresses(), key, &mut bound.registry)?;
        let operators = [control::Address::Unix(config.admin_socket.clone())];
        let operators = bind(&operators, |_| "admin.socket", &mut bound.admin)?;

        let admin = match &config.admin {
            Some(admin) => {
                let address = control::Address::Tcp(admin.listen);
                let fail =
                    |source| RunError::Listen { key: "admin.listen", address, over: "", source };
                Some(Admin::bind(admin.listen, &admin.hosts).map_err(fail)?)
            }
            None => None,
        };
        bound.admin_http = admin.as_ref().map(Admin::address);

        let seed = runtime::entropy::seed()?;
        let registry = Registry::new(config.session.clone(), seed, image, clock.now());
        let policy = Policy::new(bound.control()).allowing(config.backend_allow.clone());
        let (issuing, issued) = match &config.acme {
            Some(acme) => {
                let table = registry.table().clone();
                let (issuing, issued) = Issuing::load(acme, &store, clock, table).await?;
                (Some(issuing), Some(issued))
            }
            None => (None, None),
        };
        let served = match &config.https {
            Some(https) => Some((https, Served::load(https, &config.store, issued, clock).await?)),
            None => None,
        };
        let registry_served = match &config.registry_tls {
            Some(tls) => Some(RegistryServed::load(tls, "the registry", clock).await?),
            None => None,
        };
        let reset_key = match &served {
            Some((_, served)) if served.quic.is_some() => kept::reset_key(&config.store)?,
            Some(_) | None => Default::default(),
        };
        let https = served.as_ref().map(|(https, served)| dataplane::Https {
            listen: https.listen.clone(),
            tls: Arc::clone(&served.tls),
            quic: served.quic.clone(),
            reset_key,
            resolver: served.resolver.clone(),
            redirect: https.redirect,
        });
        let challenges = issuing.as_ref().map(|issuing| issuing.challenges.clone());
        let http =
            dataplane::Config { policy: policy.clone(), https, challenges, ..config.http.clone() };
        // Reads the system's certificates, once and before anybody waits for an answer.
        let tls = config.backend_tls()?;
        let table = registry.table().clone();
        let clear = http.listen.clone();
        let (mut plane, notices) = Plane::bind(http, tls.clone(), clock, table)
            .map_err(|error| not_started(error, &clear))?;
        bound.http = plane.bound().to_vec();
        bound.https = plane.bound_https().to_vec();
        let feed = Feed::default();
        let (catalog, cataloguing) = {
            let image = store.catalog().load().await.map_err(RunError::Catalog)?;
            let seed = runtime::entropy::seed()?;
            let known = config.catalog.clone();
            discovery::start(known, seed, image, store.catalog(), feed.clone(), clock)
        };
        let mut dialects = {
            let (catalog, policy, tls, feed) = (&catalog, &policy, &tls, &feed);
            let common = Common { catalog, feed, policy, tls, clock };
            Dialects::start(&config, &common, &mut bound).await?
        };
        policy.deny_listeners(bound.traffic());
        dialects.open();

        let tables = issuing.as_ref().map(Issuing::tables);
        let (reload, deployments) = (dialects.reload(), dialects.deployments());
        let shown = catalog.shown();
        let catalog = Arc::new(Operators::new(catalog, reload, deployments));
        let plane_hand = plane.publisher();
        let hands = Hands { plane: plane_hand, tables, clock, tls, policy, feed, catalog };
        let (tellers, told) = std::sync::mpsc::channel();
        let mut teller = None;
        let (mut task, handle) = RegistryTask::new(registry, store, clock, move |effect| {
            // Sent before the task runs for the first time.
            let teller = teller.get_or_insert_with(|| told.recv().ok());
            if let Some(teller) = teller {
                hands.perform(effect, teller);
            }
        });
        let _ = tellers.send(handle.teller());
        // Drains, maintenance and what was learned hold from the first request on.
        task.begin();
        plane.serve().map_err(RunError::Plane)?;
        let ready = Arc::new(AtomicBool::new(false));
        let credentials = Arc::new(config.registry_credentials());
        let mut listener = Listener::new(handle.clone(), clock, Limits::default(), credentials);
        let registry = Counted::new("registry", listener.guests(), listener.outcomes());
        let gathered = Gathered {
            plane: plane.publisher(),
            sessions: task.sessions(),
            certificates: served.as_ref().map(|(_, served)| served.certificates()),
            registry_certificates: registry_served.as_ref().map(RegistryServed::certificates),
            issued: issuing.as_ref().map(Issuing::counts),
            dialects: [registry].into_iter().chain(dialects.counted()).collect(),
            catalog: shown,
            token: config.admin.as_ref().and_then(|admin| Some(admin.token.as_ref()?.1.clone())),
            ready: Arc::clone(&ready),
        };
        if let Some(admin) = admin {
            tokio::spawn(admin.serve(Arc::new(gathered)));
        }
        tokio::spawn(wiring::tell(notices, handle.teller()));
        let reload = Arc::new(Notify::new());
        let hurry = Arc::new(Notify::new());
        if let Some((_, served)) = served {
            let issued = issuing.map(|issuing| issuing.start(served.files(), Arc::clone(&hurry)));
            tokio::spawn(served.watch(handle.teller(), Arc::clone(&reload), issued));
        }
        let registry = tokio::spawn(task.run());

        let reload_registry = Arc::new(Notify::new());
        let tls = registry_served.map(|served| {
            let tls = Arc::clone(&served.tls);
            tokio::spawn(served.watch(Arc::clone(&reload_registry)));
            tls
        });
        for socket in clients {
            match &tls {
                Some(tls) => listener.add_tls(socket, Arc::clone(tls)),
                None => listener.add(socket),
            }
        }
        operators.into_iter().for_each(|socket| listener.add_operators(socket));
        let (stop_listening, stopped) = oneshot::channel::<()>();
        let listener = tokio::spawn(listener.run(
            async move {
                let _ = stopped.await;
            },
            REGISTRY_GRACE,
        ));
        ready.store(true, Ordering::Relaxed);
        bound.tell();
        let grace = config.shutdown_grace;
        Ok(Self {
            bound,
            plane,
            signals,
            reload: [reload, reload_registry].into_iter().chain(dialects.certificates()).collect(),
            hurry,
            grace,
            ready,
            handle,
            registry,
            cataloguing,
            dialects,
            listener,
            stop_listening,
        })
    }

    /// Where everything listens.
    pub(crate) fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Serves until a signal says otherwise, then drains. Gives the store back to be closed, and
    /// whether every request had finished.
    pub(crate) async fn serve(mut self) -> Result<(Store, bool), RunError> {
        loop {
            match self.signals.next().await {
                Signal::Drain => break,
                Signal::Exit => return Err(RunError::CutShort),
                Signal::Reload => {
                    tracing::info!(
                        "reading certificates again; the configuration is read at the start only"
                    );
                    self.reload.iter().for_each(|reload| reload.notify_one());
                    self.hurry.notify_one();
                }
            }
        }
        self.ready.store(false, Ordering::Relaxed);
        tracing::info!(grace = ?self.grace, in_flight = self.plane.publisher().in_flight(), "draining");
        let drained = async {
            // Those who registered hear of it first (SPEC 8). They may take a moment to leave, and
            // clients are let in all the while: the time without a listener is to be short.
            let _ = self.stop_listening.send(());
            let _ = self.listener.await;
            let (finished, ()) = tokio::join!(self.plane.drain(self.grace), self.dialects.end());
            finished
        };
        let finished = tokio::select! {
            finished = drained => finished,
            () = second_signal(&mut self.signals) => return Err(RunError::CutShort),
        };
        drop(self.handle);
        let store = self.registry.await.map_err(io::Error::other)?;
        // It writes to the store, which is about to be closed.
        self.cataloguing.await.map_err(io::Error::other)?;
        tracing::info!(finished, "ended");
        Ok((store, finished))
    }
}

async fn second_signal(signals: &mut Signals) {
    while signals.next().await != Signal::Exit {}
}

/// `clear` are the addresses of clear text.
fn not_started(error: dataplane::StartError, clear: &[SocketAddr]) -> RunError {
    let (key, address, over, source) = match error {
        StartError::Bind { address, source } if clear.contains(&address) => {
            ("http.listen", address, "", source)
        }
        StartError::Bind { address, source } => ("https.listen", address, "", source),
        StartError::BindUdp { address, source } => {
            ("https.listen", address, " for HTTP/3 (UDP)", source)
        }
        error @ StartError::Worker(_) => return RunError::Plane(error),
    };
    RunError::Listen { key, address: control::Address::Tcp(address), over, source }
}

/// An address of a dialect that cannot be had.
pub(crate) fn not_listening(
    key: &'static str,
    address: SocketAddr,
) -> impl FnOnce(io::Error) -> RunError {
    move |source| {
        let address = control::Address::Tcp(address);
        RunError::Listen { key, address, over: "", source }
    }
}

/// What somebody can do who may not listen there.
fn way_out(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "end what listens there, or write another address",
        io::ErrorKind::AddrNotAvailable => "write an address of this machine",
        io::ErrorKind::NotFound => "make the folder that it is in, or write another path",
        io::ErrorKind::PermissionDenied => {
            "write a port or path that proxyd may have, or permit it this one (CAP_NET_BIND_SERVICE)"
        }
        _ => "write another address",
    }
}

/// What somebody can do whose store the system does not open; the others say it themselves.
fn way_in(error: &OpenError) -> String {
    match error {
        OpenError::Io { path, source } => {
            let folder = folder_of(path).display();
            match source.kind() {
                io::ErrorKind::NotFound => {
                    format!("; make the folder {folder}, or write another path")
                }
                io::ErrorKind::PermissionDenied => format!(
                    "; let the user that proxyd runs as write in {folder}, or write another path"
                ),
                _ => "; write another path".to_owned(),
            }
        }
        OpenError::InUse(_)
        | OpenError::Foreign(_)
        | OpenError::Newer { .. }
        | OpenError::Damaged { .. }
        | OpenError::Row { .. }
        | OpenError::Sqlite { .. }
        | OpenError::Thread(_) => String::new(),
    }
}

fn bind(
    addresses: &[control::Address],
    key: impl Fn(&control::Address) -> &'static str,
    bound: &mut Vec<control::Address>,
) -> Result<Vec<Socket>, RunError> {
    let mut sockets = Vec::new();
    for address in addresses {
        let (key, over) = (key(address), "");
        let fail = |source| RunError::Listen { key, address: address.clone(), over, source };
        let socket = Socket::bind(address).map_err(fail)?;
        bound.push(socket.address().map_err(fail)?);
        sockets.push(socket);
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever reads it knows which key it is and what to do.
    #[test]
    fn an_address_that_cannot_be_had() {
        let clear: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let tls: SocketAddr = "127.0.0.1:443".parse().unwrap();
        let taken = || io::Error::from(io::ErrorKind::AddrInUse);
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        #[rustfmt::skip]
        let table = [
            (StartError::Bind { address: clear, source: taken() },
             "http.listen: cannot listen on 127.0.0.1:80: address in use; end what listens there"),
            (StartError::Bind { address: tls, source: denied() },
             "https.listen: cannot listen on 127.0.0.1:443: permission denied; write a port or path"),
            (StartError::BindUdp { address: tls, source: taken() },
             "https.listen: cannot listen on 127.0.0.1:443 for HTTP/3 (UDP): address in use; end"),
        ];
        for (error, says) in table {
            let text = not_started(error, &[clear]).to_string();
            assert!(text.starts_with(says), "{text}");
        }
    }

    #[test]
    fn a_store_that_cannot_be_had() {
        let io =
            |kind: io::ErrorKind| OpenError::Io { path: "/x/p.db".into(), source: kind.into() };
        #[rustfmt::skip]
        let table = [
            (io(io::ErrorKind::NotFound),           "store.path: cannot open /x/p.db: entity not found; make the folder /x, or write another path"),
            (io(io::ErrorKind::PermissionDenied),   "store.path: cannot open /x/p.db: permission denied; let the user that proxyd runs as write in /x, or write another path"),
            (OpenError::InUse("/x/p.db".into()),    "store.path: /x/p.db is in use by another proxyd: stop that one, or set another [store] path"),
        ];
        for (error, says) in table {
            assert_eq!(RunError::from(error).to_string(), says);
        }
        let opened = Store::open(Path::new("/nowhere/p.db"), HistoryBounds::USUAL);
        let said = RunError::from(opened.unwrap_err()).to_string();
        assert!(said.ends_with("; make the folder /nowhere, or write another path"), "{said}");
    }

    #[tokio::test]
    async fn a_taken_address_of_the_registry() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = control::Address::Tcp(other.local_addr().unwrap());
        let says = format!("registry.listen: cannot listen on {address}: ");
        let error = bind(&[address], |_| "registry.listen", &mut Vec::new()).unwrap_err();
        assert!(error.to_string().starts_with(&says), "{error}");
    }
}
