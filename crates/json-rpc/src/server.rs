//! Lets connections in, counts them, and ends them when proxyd does.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use certs::ServerConfig;
use discovery::Handle;
use door::{Door, Guests};
use runtime::Clock;
use telemetry::Outcomes;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::Settings;
use crate::config::Bounds;
use crate::connection::{Shared, serve};
use crate::dialog::Dialog;
use crate::hub::Hub;
use crate::outcome::Became;
use crate::registry::Registry;
use crate::sources::{Reload, Sources};

/// A listener that serves as soon as it is run.
#[derive(Debug)]
pub struct Server {
    door: Door,
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    bounds: Bounds,
    shared: Arc<Shared>,
    sources: Sources,
    reload: Reload,
}

/// Listens. To be called in a runtime.
///
/// # Errors
///
/// The kernel's: the address is taken, not ours, or reserved.
pub fn bind(settings: Settings, handle: Handle, clock: Clock) -> io::Result<Server> {
    let inside = door::Bounds {
        connections_max: settings.bounds.connections_max,
        connections_per_peer_max: settings.bounds.connections_per_peer_max,
    };
    let door = Door::bind(settings.listen, Guests::new("JSON-RPC connections", inside))?;
    let address = door.address()?;
    let Settings { access, tls, hub, backends, environment, own, bounds, .. } = settings;
    let (sources, reload) = Sources::new(backends, environment, own, handle.clone());
    let dialog = Dialog {
        registry: Registry::new(handle, reload.clone()),
        hub: Hub::new(hub, clock),
        bounds,
        outcomes: Outcomes::default(),
    };
    let shared = Arc::new(Shared { dialog, access, end: CancellationToken::new() });
    Ok(Server { door, address, tls, bounds, shared, sources, reload })
}

impl Server {
    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who is connected.
    pub fn guests(&self) -> Guests {
        self.door.guests().clone()
    }

    /// What became of requests.
    pub fn outcomes(&self) -> Outcomes<Became> {
        self.shared.dialog.outcomes.clone()
    }

    /// What has the backends file read again.
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Serves until `stop` is over. What the sources say is in the catalog before the first
    /// connection is let in. At the end connections finish what they do, for a while.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        self.sources.begin().await;
        let end = self.shared.end.clone();
        let sources = end.clone().run_until_cancelled_owned(self.sources.run());
        let sources = AbortOnDropHandle::new(tokio::spawn(sources));
        let (bounds, tls, shared) = (self.bounds, self.tls, self.shared);
        let attend = move |stream, _| {
            // Hyper waits for ever for a peer that reads nothing.
            drop(runtime::net::give_up_after(&stream, Some(bounds.write_timeout)));
            connected(stream, tls.clone(), Arc::clone(&shared))
        };
        let leaving = self.door.open(stop, attend).await;
        end.cancel();
        leaving.leave(bounds.end_timeout).await;
        drop(sources.await);
    }
}

/// One connection, with its handshake of TLS first.
async fn connected(stream: TcpStream, tls: Option<Arc<ServerConfig>>, shared: Arc<Shared>) {
    match tls {
        None => serve(stream, shared).await,
        Some(tls) => {
            let shaking = TlsAcceptor::from(tls).accept(stream);
            match timeout(shared.dialog.bounds.request_timeout, shaking).await {
                Ok(Ok(stream)) => serve(stream, shared).await,
                Ok(Err(error)) => tracing::debug!(%error, "a JSON-RPC handshake failed"),
                Err(_) => tracing::debug!("a JSON-RPC connection did not shake hands in time"),
            }
        }
    }
}
