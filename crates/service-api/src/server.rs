//! The listener: takes connections, each in a task of its own from its first byte on, so that
//! nobody waits for another.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use certs::ServerConfig;
use discovery::Handle;
use door::{Access, Bounds, Door, Guest, Guests, Refusals};
use runtime::Clock;
use telemetry::Outcomes;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::api::Api;
use crate::bounds::{
    CONNECTIONS_MAX, CONNECTIONS_PER_PEER_MAX, GOODBYE, HANDSHAKE_TIMEOUT, HANDSHAKES_MAX,
    HANDSHAKES_PER_PEER_MAX,
};
use crate::connection::Connection;
use crate::deploy::Deployer;
use crate::handshake::Gate;
use crate::outcome::Became;

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
    door: Door,
    address: SocketAddr,
    gate: Gate,
    handshakes: Guests,
    api: Arc<Api>,
}

impl Server {
    /// Binds. Connections wait until it is run.
    ///
    /// # Errors
    ///
    /// The kernel's: the address is taken, not ours, or reserved.
    pub fn bind(settings: Settings, handle: Handle, clock: Clock) -> io::Result<Self> {
        let Settings { tls, access, insecure, connections_max, connections_per_peer_max, .. } =
            settings;
        let bounds = Bounds { connections_max, connections_per_peer_max };
        let door = Door::bind(settings.address, Guests::new("service API connections", bounds))?;
        let address = door.address()?;
        let bounds = Bounds {
            connections_max: HANDSHAKES_MAX,
            connections_per_peer_max: HANDSHAKES_PER_PEER_MAX,
        };
        let handshakes = Guests::new("service API handshakes", bounds);
        let seed = runtime::entropy::seed()?;
        let epoch = seed.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let api = Arc::new(Api::new(handle, clock, epoch, settings.deployer));
        let refusals = Refusals::new("service API", clock);
        let gate = Gate { tls, access, insecure, refusals };
        Ok(Self { door, address, gate, handshakes, api })
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Who is connected.
    pub fn guests(&self) -> Guests {
        self.door.guests().clone()
    }

    /// What became of requests.
    pub fn outcomes(&self) -> Outcomes<Became> {
        self.api.outcomes.clone()
    }

    /// Serves until `stop` is there; then says goodbye to everybody, which takes some seconds at
    /// most.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (tell, stopped) = watch::channel(false);
        let Self { door, gate, handshakes, api, .. } = self;
        let refusals = gate.refusals.clone();
        let attend = move |stream, peer: SocketAddr| {
            let (gate, api, stopped) = (gate.clone(), Arc::clone(&api), stopped.clone());
            let handshake = handshakes.admit(peer);
            async move {
                if let Some(handshake) = handshake {
                    serve(stream, peer.ip().to_canonical(), gate, api, handshake, stopped).await;
                }
            }
        };
        let leaving = tokio::select! {
            leaving = door.open(stop, attend) => leaving,
            never = refusals.keep_telling() => match never {},
        };
        // Nobody may be there to hear it.
        let _ = tell.send(true);
        leaving.leave(GOODBYE).await;
    }
}

async fn serve(
    stream: TcpStream,
    peer: IpAddr,
    gate: Gate,
    api: Arc<Api>,
    handshake: Guest,
    mut stopped: watch::Receiver<bool>,
) {
    let opened = tokio::select! {
        opened = timeout(HANDSHAKE_TIMEOUT, gate.open(stream, peer)) => opened,
        _ = stopped.wait_for(|stopped| *stopped) => return,
    };
    drop(handshake);
    match opened {
        Ok(Ok(socket)) => Connection::new(socket, api, peer).run(stopped).await,
        Ok(Err(became)) => api.outcomes.count(became),
        Err(late) => {
            api.outcomes.count(Became::NotOpened);
            gate.failed(peer, &late.into());
        }
    }
}
