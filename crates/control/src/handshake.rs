//! Connections that shake hands: each for a while, so many at once, and nobody waits for another.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use certs::{ClientName, Fault, HANDSHAKE_RECORD, ServerConfig};
use door::{Bounds, Full, Guest, Guests};
use model::Refusal;
use session::Peer;
use tokio::net::TcpStream;
use tokio::task::{Id, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::bounds::{HANDSHAKE_TIMEOUT, HANDSHAKES_MAX, HANDSHAKES_PER_PEER_MAX};
use crate::socket::Stream;

/// Connections whose handshake is under way.
#[derive(Debug)]
pub(crate) struct Handshakes {
    running: JoinSet<io::Result<Shaken>>,
    /// Whose they are, each with its place among them.
    clients: HashMap<Id, (Client, Guest)>,
    places: Guests,
}

/// Somebody who was let in.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) peer: Peer,
    /// Its place among the connections.
    pub(crate) place: Guest,
}

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct Shaken {
    pub(crate) stream: TlsStream<TcpStream>,
    /// Who the client has shown to be.
    pub(crate) certificate: Option<ClientName>,
}

impl Default for Handshakes {
    fn default() -> Self {
        let bounds = Bounds {
            connections_max: HANDSHAKES_MAX,
            connections_per_peer_max: HANDSHAKES_PER_PEER_MAX,
        };
        let places = Guests::new("registry handshakes", bounds);
        Self { running: JoinSet::new(), clients: HashMap::new(), places }
    }
}

impl Handshakes {
    /// Begins one, or says whom which bound keeps out: with TLS nobody can be told.
    pub(crate) fn begin(
        &mut self,
        stream: TcpStream,
        client: Client,
        tls: &Arc<ServerConfig>,
    ) -> Result<(), (Peer, &'static str)> {
        let place = match self.places.enter_as(client.peer.counted()) {
            Ok(place) => place,
            Err(Full::All) => return Err((client.peer, "too many handshakes")),
            Err(Full::Peer) => return Err((client.peer, "too many handshakes from this address")),
        };
        let shaking = shake(stream, TlsAcceptor::from(Arc::clone(tls)));
        let task = self.running.spawn(async move { timeout(HANDSHAKE_TIMEOUT, shaking).await? });
        self.clients.insert(task.id(), (client, place));
        Ok(())
    }

    /// The next one that has ended, whose it is, and what it came to. `None` while none is under
    /// way. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<(Client, io::Result<Shaken>)> {
        loop {
            let ended = self.running.join_next_with_id().await?;
            let (id, shaken) = match ended {
                Ok(ended) => ended,
                Err(error) => {
                    tracing::error!(%error, "a handshake failed");
                    (error.id(), Err(io::Error::other(error)))
                }
            };
            if let Some((client, _)) = self.clients.remove(&id) {
                return Some((client, shaken));
            }
        }
    }

    /// Breaks all of them off.
    pub(crate) fn abort(&mut self) {
        *self = Self::default();
    }
}

async fn shake(stream: TcpStream, acceptor: TlsAcceptor) -> io::Result<Shaken> {
    let mut first = [0];
    if stream.peek(&mut first).await? > 0 && first != [HANDSHAKE_RECORD] {
        // Somebody who does not know; what its library would say of an alert helps nobody. What
        // was sent is taken, or closing would throw our word away.
        let _ = stream.try_read(&mut [0; 1024]);
        let told = format!("ERROR|{}\n", Refusal::WANTS_TLS.as_str());
        Stream::Tcp(stream).dismiss(told.as_bytes());
        return Err(Fault::ClearText.into());
    }
    let stream = acceptor.accept(stream).await?;
    let chain = stream.get_ref().1.peer_certificates();
    let certificate = chain.and_then(<[_]>::first).and_then(|der| ClientName::read(der));
    Ok(Shaken { stream, certificate })
}

#[cfg(test)]
mod tests {
    use runtime::{Clock, Snapshot};
    use tokio::net::TcpListener;

    use super::*;

    fn tls() -> Arc<ServerConfig> {
        let pair = certs::self_signed(&["localhost"], Clock::system().now().wall).unwrap().pair;
        let set = certs::Certificates::new(Vec::new()).with_fallback(Arc::new(pair));
        let resolver = certs::Resolver::new(Snapshot::new(Arc::new(set)));
        certs::ServerOptions::default().tcp(&resolver, Clock::system()).unwrap()
    }

    async fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    fn somebody(peer: Peer) -> Client {
        let bounds = Bounds { connections_max: 1, connections_per_peer_max: 1 };
        Client { peer, place: Guests::new("guests", bounds).enter_as(None).unwrap() }
    }

    /// As many as there may be of one peer, and in all; who is through or gives up makes room.
    #[tokio::test]
    async fn bounds_are_kept_at_and_past() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (tls, mut all) = (tls(), Handshakes::default());
        let peer = |at: usize| somebody(Peer::Tcp(format!("10.0.0.{at}").parse().unwrap()));
        let mut open = Vec::new();
        for at in 0..HANDSHAKES_MAX {
            let (near, far) = pair(&listener).await;
            let from = peer(at / HANDSHAKES_PER_PEER_MAX);
            assert!(all.begin(far, from, &tls).is_ok(), "{at}");
            open.push(near);
            if at + 1 == HANDSHAKES_PER_PEER_MAX {
                let (_near, far) = pair(&listener).await;
                let (_, said) = all.begin(far, peer(0), &tls).unwrap_err();
                assert_eq!(said, "too many handshakes from this address");
            }
        }
        let (_near, far) = pair(&listener).await;
        let said = all.begin(far, somebody(Peer::Local), &tls);
        assert_eq!(said, Err((Peer::Local, "too many handshakes")));
        open.pop();
        let (from, shaken) = all.next().await.unwrap();
        assert!(shaken.is_err() && matches!(from.peer, Peer::Tcp(_)));
        let (_near, far) = pair(&listener).await;
        assert_eq!(all.begin(far, somebody(Peer::Local), &tls), Ok(()));
        drop((open, _near));
        while all.next().await.is_some() {}
        assert_eq!((all.clients.len(), all.places.inside()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_one_is_broken_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut all = Handshakes::default();
        let (_near, far) = pair(&listener).await;
        let clock = Clock::system();
        let began = clock.mono();
        all.begin(far, somebody(Peer::Local), &tls()).unwrap();
        let (_, shaken) = all.next().await.unwrap();
        assert_eq!(Fault::of(&shaken.unwrap_err()), Some(Fault::Slow));
        assert_eq!(clock.mono().since(began).as_secs(), HANDSHAKE_TIMEOUT.as_secs());
    }
}
