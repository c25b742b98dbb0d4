//! A server of one's own, around a registry of one's own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use certs::{
    Certificates, ClientRoots, Clients, Pair, PairPaths, Resolver, ServerOptions, Watcher,
};
use door::{Access, Secret};
use runtime::{Clock, Snapshot};
use tokio::net::{ToSocketAddrs, lookup_host};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::error::{Error, read};
use crate::networks::Networks;
use crate::registry::{Opened, Registry};
use crate::server::{Server, Settings};

/// How a server speaks TLS, and to whom.
#[derive(Debug)]
pub struct TlsServerConfig {
    watcher: Watcher,
    certificates: Snapshot<Certificates>,
    clients: Clients,
    access: Access,
    insecure: bool,
}

impl TlsServerConfig {
    /// The certificate and its key, PEM, read again when the files change.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`], naming the file and what is wrong.
    pub async fn from_files(cert: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, Error> {
        let (cert, key) = (cert.as_ref().to_owned(), key.as_ref().to_owned());
        let loaded = Watcher::load(vec![PairPaths { cert, key }], Clock::system()).await;
        let (watcher, pairs) = loaded.map_err(|error| Error::Tls(error.to_string()))?;
        Ok(Self {
            watcher,
            certificates: Snapshot::new(Arc::new(set(&pairs))),
            clients: Clients::Anyone,
            access: Access::default(),
            insecure: false,
        })
    }

    /// Lets in only who shows a certificate of one of these issuers.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`].
    pub async fn requiring_client_certificates(
        mut self,
        issuers: impl AsRef<Path>,
    ) -> Result<Self, Error> {
        let roots = ClientRoots::parse(&read(issuers.as_ref()).await?);
        let roots = roots.map_err(|error| Error::Tls(error.to_string()))?;
        self.clients = Clients::MustShow(roots);
        Ok(self)
    }

    /// Lets in only who says `Authorization: Bearer TOKEN`.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`], if nobody could say it.
    pub fn with_token(mut self, token: &str) -> Result<Self, Error> {
        let want = "a token is 1 to 1024 bytes without control characters and pipes";
        self.access.token = Some(Secret::new(token).ok_or_else(|| Error::Tls(want.to_owned()))?);
        Ok(self)
    }

    /// Lets pages of this origin connect: `https://ops.example.com`.
    #[must_use]
    pub fn with_origin(mut self, origin: &str) -> Self {
        self.access.origins.push(origin.into());
        self
    }

    /// Lets anybody in who can reach the address. Without it, clients that are not on this machine
    /// need a token or a certificate.
    #[must_use]
    pub fn insecure(mut self) -> Self {
        self.insecure = true;
        self
    }
}

/// Shown whatever name a client asks for: many connect to an address.
fn set(pairs: &[Arc<Pair>]) -> Certificates {
    let set = Certificates::new(Vec::new());
    match pairs.first() {
        Some(pair) => set.with_fallback(Arc::clone(pair)),
        None => set,
    }
}

/// A server at work. It ends when it is dropped.
#[derive(Debug)]
pub struct WsServer {
    address: SocketAddr,
    registry: Registry,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl WsServer {
    /// Serves the registry at this address, and tells it in which networks this machine is.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the registry could not be opened, [`Error::Io`] if the address cannot be
    /// listened on, [`Error::Tls`].
    pub async fn new_tls(
        address: impl ToSocketAddrs,
        registry: impl Into<Opened>,
        tls: TlsServerConfig,
    ) -> Result<Self, Error> {
        let Opened(registry) = registry.into();
        let registry = registry?;
        let clock = registry.clock();
        let mut addresses = lookup_host(address).await?;
        let address = addresses.next().ok_or_else(|| {
            std::io::Error::new(std::io::ErrorKind::AddrNotAvailable, "no address to listen on")
        })?;
        let TlsServerConfig { watcher, certificates, clients, access, insecure } = tls;
        let options = ServerOptions { alpn: Vec::new(), clients };
        let config = options.tcp(&Resolver::new(certificates.clone()), clock);
        let config = config.map_err(|error| Error::Tls(error.to_string()))?;
        let settings = Settings { access, insecure, ..Settings::new(address, config) };
        let server = Server::bind(settings, registry.handle().clone(), clock)?;
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = registry.handle().clone();
        let running = tokio::spawn(async move {
            let following = async {
                match Networks::watch() {
                    Ok(networks) => networks.follow(handle, std::future::pending()).await,
                    Err(error) => tracing::warn!(%error, "networks are not watched"),
                }
                std::future::pending().await
            };
            // Ends when the sender does, told or not.
            let stop = async { drop(stopped.await) };
            tokio::select! {
                () = server.run(stop) => {}
                () = following => {}
                () = renew(watcher, certificates) => {}
            }
        });
        Ok(Self { address, registry, stop: Some(stop), running })
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What it serves.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Says goodbye to everybody, which takes some seconds at most.
    ///
    /// # Errors
    ///
    /// [`Error::Ended`], if it had failed before.
    pub async fn shutdown(mut self) -> Result<(), Error> {
        drop(self.stop.take());
        self.running.await.map_err(|error| Error::Ended(error.to_string()))
    }

    /// Serves until it fails, which it does not; for programs that do nothing else.
    ///
    /// # Errors
    ///
    /// [`Error::Ended`].
    pub async fn wait(self) -> Result<(), Error> {
        self.running.await.map_err(|error| Error::Ended(error.to_string()))
    }
}

/// Keeps the certificate as it is in the files.
async fn renew(mut watcher: Watcher, certificates: Snapshot<Certificates>) {
    loop {
        let reloaded = watcher.reloaded().await;
        certificates.store(Arc::new(set(&reloaded.pairs)));
        tracing::info!("certificate of the service API renewed");
    }
}
