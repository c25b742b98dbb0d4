//! Lets connections in, counts them, and ends them when proxyd does.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certs::ServerConfig;
use discovery::Handle;
use runtime::{Clock, listen_alone};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::Settings;
use crate::config::Bounds;
use crate::connection::{Shared, serve};
use crate::dialog::Dialog;
use crate::hub::Hub;
use crate::peers::{Peers, Permit};
use crate::registry::Registry;
use crate::sources::{Reload, Sources};

/// After this silence a peer is asked whether it is there; half a minute later it is not.
const IDLE: Duration = Duration::from_secs(60);
/// Pause when the system has no descriptor for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that serves as soon as it is run.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
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
    let listener = TcpListener::from_std(listen_alone(settings.listen, IDLE)?)?;
    let address = listener.local_addr()?;
    let Settings { access, tls, hub, backends, environment, own, bounds, .. } = settings;
    let (sources, reload) = Sources::new(backends, environment, own, handle.clone());
    let dialog = Dialog {
        registry: Registry::new(handle, reload.clone()),
        hub: Hub::new(hub, clock),
        bounds,
    };
    let shared = Arc::new(Shared { dialog, access, end: CancellationToken::new() });
    Ok(Server { listener, address, tls, bounds, shared, sources, reload })
}

impl Server {
    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
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
        let mut tasks = JoinSet::new();
        let sources = end.clone().run_until_cancelled_owned(self.sources.run());
        let sources = AbortOnDropHandle::new(tokio::spawn(sources));
        let peers = Peers::default();
        let mut is_refusing = false;
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(ended) = tasks.join_next() => report(ended),
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => match peers.enter(peer.ip(), &self.bounds) {
                        Some(permit) => {
                            is_refusing = false;
                            // Hyper waits for ever for a peer that reads nothing.
                            let patience = Some(self.bounds.write_timeout);
                            drop(runtime::net::give_up_after(&stream, patience));
                            let (tls, shared) = (self.tls.clone(), Arc::clone(&self.shared));
                            tasks.spawn(connected(stream, permit, tls, shared));
                        }
                        None if std::mem::replace(&mut is_refusing, true) => {}
                        None => tracing::warn!(%peer, "too many JSON-RPC connections: refused"),
                    },
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept JSON-RPC connections");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(self.listener);
        end.cancel();
        let all_gone = async {
            while let Some(ended) = tasks.join_next().await {
                report(ended);
            }
        };
        drop(timeout(self.bounds.end_timeout, all_gone).await);
        tasks.shutdown().await;
        drop(sources.await);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a JSON-RPC connection failed");
    }
}

/// One connection, with its handshake of TLS first.
async fn connected(
    stream: TcpStream,
    permit: Permit,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Shared>,
) {
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
    drop(permit);
}
