//! The listener: takes connections, each in a task of its own from its first byte on, so that
//! nobody waits for another.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use certs::ServerConfig;
use discovery::{Access, Handle};
use runtime::Clock;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use crate::api::Api;
use crate::bounds::{
    ACCEPT_PAUSE, CONNECTIONS_MAX, CONNECTIONS_PER_PEER_MAX, GOODBYE, HANDSHAKE_TIMEOUT,
    HANDSHAKES_MAX, HANDSHAKES_PER_PEER_MAX, KEEPALIVE,
};
use crate::connection::Connection;
use crate::deploy::Deployer;
use crate::handshake::Gate;
use crate::places::{Place, Places};

/// What a listener is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens; port 0 for any that is free.
    pub address: SocketAddr,
    /// How it speaks TLS, and which clients must or may show certificates.
    pub tls: Arc<ServerConfig>,
    /// The token, and the pages that may connect.
    pub access: Access,
    /// Serves clients off loopback that show neither a token nor a certificate.
    pub insecure: bool,
    /// Connections at once.
    pub connections_max: usize,
    /// Of these, from one address; loopback is exempt.
    pub connections_per_peer_max: usize,
    /// Who carries out deployments; without anybody they are off.
    pub deployer: Option<Deployer>,
}

impl Settings {
    /// With the usual bounds, for clients on this machine alone.
    pub fn new(address: SocketAddr, tls: Arc<ServerConfig>) -> Self {
        Self {
            address,
            tls,
            access: Access::default(),
            insecure: false,
            connections_max: CONNECTIONS_MAX,
            connections_per_peer_max: CONNECTIONS_PER_PEER_MAX,
            deployer: None,
        }
    }
}

/// A listener that was bound.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    gate: Gate,
    connections: Places,
    handshakes: Places,
    api: Arc<Api>,
}

impl Server {
    /// Binds. Connections wait until it is run.
    ///
    /// # Errors
    ///
    /// The kernel's: the address is taken, not ours, or reserved.
    pub fn bind(settings: Settings, handle: Handle, clock: Clock) -> io::Result<Self> {
        let listener = runtime::listen_alone(settings.address, KEEPALIVE)?;
        let address = listener.local_addr()?;
        let Settings { tls, access, insecure, .. } = settings;
        let seed = runtime::entropy::seed()?;
        let epoch = seed.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            listener: TcpListener::from_std(listener)?,
            address,
            gate: Gate { tls, access, insecure },
            connections: Places::new(settings.connections_max, settings.connections_per_peer_max),
            handshakes: Places::new(HANDSHAKES_MAX, HANDSHAKES_PER_PEER_MAX),
            api: Arc::new(Api::new(handle, clock, epoch, settings.deployer)),
        })
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is there; then says goodbye to everybody, which takes some seconds at
    /// most.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (tell, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        let mut stop = pin!(stop);
        let mut is_refusing = false;
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(ended) = running.join_next() => log(ended),
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => match self.admit(peer) {
                        Ok(places) => {
                            is_refusing = false;
                            running.spawn(self.serve(stream, peer, places, stopped.clone()));
                        }
                        // Told once, until somebody is let in again.
                        Err(bound) => if !std::mem::replace(&mut is_refusing, true) {
                            tracing::warn!(%peer, "service API connections are refused: {bound}");
                        },
                    },
                    Err(error) if is_the_peers_fault(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept service API connections");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(self.listener);
        // Nobody may be there to hear it.
        let _ = tell.send(true);
        let gone = async {
            while let Some(ended) = running.join_next().await {
                log(ended);
            }
        };
        if timeout(GOODBYE, gone).await.is_err() {
            running.shutdown().await;
        }
    }

    fn admit(&self, peer: SocketAddr) -> Result<(Place, Place), &'static str> {
        Ok((self.connections.take(peer.ip())?, self.handshakes.take(peer.ip())?))
    }

    fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        (place, handshake): (Place, Place),
        mut stopped: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (gate, api, peer) =
            (self.gate.clone(), Arc::clone(&self.api), peer.ip().to_canonical());
        async move {
            let opened = tokio::select! {
                opened = timeout(HANDSHAKE_TIMEOUT, gate.open(stream, peer)) => opened,
                _ = stopped.wait_for(|stopped| *stopped) => return,
            };
            drop(handshake);
            match opened {
                Ok(Some(socket)) => Connection::new(socket, api, peer).run(stopped).await,
                Ok(None) => {}
                Err(_) => tracing::debug!(%peer, "a client did not shake hands in time"),
            }
            drop(place);
        }
    }
}

fn log(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a service API connection failed");
    }
}

/// The next one may do better at once. Anything else is ours, such as a want of descriptors, and
/// would come again and again.
fn is_the_peers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, PermissionDenied};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | PermissionDenied)
}
