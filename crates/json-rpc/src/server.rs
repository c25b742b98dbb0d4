//! Lets connections in, counts them, and ends them when proxyd does.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use certs::{Fault, HANDSHAKE_RECORD, ServerConfig};
use discovery::Handle;
use door::{Caller, Door, Guests, Refusals};
use runtime::Clock;
use telemetry::Outcomes;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::Settings;
use crate::config::Bounds;
use crate::connection::{Shared, serve};
use crate::dialog::Dialog;
use crate::hub::Hub;
use crate::outcome::Became;
use crate::refused::Refused;
use crate::registry::Registry;
use crate::sources::{Reload, Sources};

/// For somebody who does not know.
const SPEAKS_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Content-Length: 47\r\nConnection: close\r\n\r\nthis port speaks TLS, https:// and wss:// work\n";

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
    let Settings { access, insecure, tls, hub, backends, environment, own, bounds, .. } = settings;
    let (sources, reload) = Sources::new(backends, environment, own, handle.clone());
    let dialog = Dialog {
        registry: Registry::new(handle, reload.clone()),
        hub: Hub::new(hub, clock),
        bounds,
        outcomes: Outcomes::default(),
    };
    let (refusals, end) = (Refusals::new("JSON-RPC", clock), CancellationToken::new());
    let shared = Arc::new(Shared { dialog, access, insecure, refusals, end });
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
        let (end, refusals) = (self.shared.end.clone(), self.shared.refusals.clone());
        let sources = end.clone().run_until_cancelled_owned(self.sources.run());
        let sources = AbortOnDropHandle::new(tokio::spawn(sources));
        let (bounds, tls, shared) = (self.bounds, self.tls, self.shared);
        let attend = move |stream, peer: SocketAddr| {
            // Hyper waits for ever for a peer that reads nothing.
            drop(runtime::net::give_up_after(&stream, Some(bounds.write_timeout)));
            connected(stream, peer.ip().to_canonical(), tls.clone(), Arc::clone(&shared))
        };
        let leaving = tokio::select! {
            leaving = self.door.open(stop, attend) => leaving,
            never = refusals.keep_telling() => match never {},
        };
        end.cancel();
        leaving.leave(bounds.end_timeout).await;
        drop(sources.await);
    }
}

/// One connection, with its handshake of TLS first.
async fn connected(
    stream: TcpStream,
    address: IpAddr,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Shared>,
) {
    let Some(tls) = tls else {
        let caller = Caller { address, has_certificate: false };
        return serve(stream, caller, shared).await;
    };
    let shaken = timeout(shared.dialog.bounds.request_timeout, shake(stream, tls)).await;
    match shaken.unwrap_or_else(|late| Err(late.into())) {
        Ok(stream) => {
            // Whoever shows a certificate was found to have the right one, or would not be here.
            let has_certificate = stream.get_ref().1.peer_certificates().is_some();
            serve(stream, Caller { address, has_certificate }, shared).await;
        }
        Err(error) => {
            shared.dialog.outcomes.count(Became::NotOpened);
            match Fault::of(&error) {
                Some(fault) => {
                    shared.refusals.tell(&address, Refused::Handshake(fault), Some(&error));
                }
                None => tracing::debug!(%error, peer = %address, "a client did not shake hands"),
            }
        }
    }
}

async fn shake(stream: TcpStream, tls: Arc<ServerConfig>) -> io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    if stream.peek(&mut first).await? > 0 && first != [HANDSHAKE_RECORD] {
        // Who does not speak TLS is told.
        door::dismiss(stream, SPEAKS_TLS).await;
        return Err(Fault::ClearText.into());
    }
    TlsAcceptor::from(tls).accept(stream).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_for_those_without_tls_is_as_long_as_it_says() {
        let (_, body) = str::from_utf8(SPEAKS_TLS).unwrap().split_once("\r\n\r\n").unwrap();
        assert_eq!(body.len(), 47);
    }
}
