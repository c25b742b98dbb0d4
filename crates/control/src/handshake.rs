//! Connections that shake hands: each for a while, so many at once, and nobody waits for another.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use certs::{ClientName, Fault, HANDSHAKE_RECORD, ServerConfig};
use session::{Peer, PeerKey};
use tokio::net::TcpStream;
use tokio::task::{Id, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::bounds::{HANDSHAKE_TIMEOUT, HANDSHAKES_MAX, HANDSHAKES_PER_PEER_MAX};
use crate::socket::Stream;

/// Connections whose handshake is under way.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    running: JoinSet<io::Result<Shaken>>,
    peers: HashMap<Id, Peer>,
    by_peer: BTreeMap<PeerKey, usize>,
}

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct Shaken {
    pub(crate) stream: TlsStream<TcpStream>,
    /// Who the client has shown to be.
    pub(crate) certificate: Option<ClientName>,
}

impl Handshakes {
    /// Begins one, or says which bound keeps it out: with TLS nobody can be told.
    pub(crate) fn begin(
        &mut self,
        stream: TcpStream,
        peer: &Peer,
        tls: &Arc<ServerConfig>,
    ) -> Result<(), &'static str> {
        let key = PeerKey::counted(peer);
        let from = key.and_then(|key| self.by_peer.get(&key)).copied().unwrap_or_default();
        if self.running.len() >= HANDSHAKES_MAX {
            return Err("too many handshakes");
        }
        if from >= HANDSHAKES_PER_PEER_MAX {
            return Err("too many handshakes from this address");
        }
        if let Some(key) = key {
            *self.by_peer.entry(key).or_default() += 1;
        }
        let shaking = shake(stream, TlsAcceptor::from(Arc::clone(tls)));
        let task = self.running.spawn(async move { timeout(HANDSHAKE_TIMEOUT, shaking).await? });
        self.peers.insert(task.id(), peer.clone());
        Ok(())
    }

    /// The next one that has ended, from where it came, and what it came to. `None` while none is under way. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<(Peer, io::Result<Shaken>)> {
        loop {
            let ended = self.running.join_next_with_id().await?;
            let (id, shaken) = match ended {
                Ok(ended) => ended,
                Err(error) => {
                    tracing::error!(%error, "a handshake failed");
                    (error.id(), Err(io::Error::other(error)))
                }
            };
            let Some(peer) = self.peers.remove(&id) else { continue };
            if let Some(key) = PeerKey::counted(&peer)
                && let Some(from) = self.by_peer.get_mut(&key)
            {
                *from -= 1;
                if *from == 0 {
                    self.by_peer.remove(&key);
                }
            }
            return Some((peer, shaken));
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
        Stream::Tcp(stream).dismiss(b"ERROR|this port speaks TLS\n");
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

    /// As many as there may be of one peer, and in all; who is through or gives up makes room.
    #[tokio::test]
    async fn bounds_are_kept_at_and_past() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (tls, mut all) = (tls(), Handshakes::default());
        let peer = |at: usize| Peer::Tcp(format!("10.0.0.{at}").parse().unwrap());
        let mut open = Vec::new();
        for at in 0..HANDSHAKES_MAX {
            let (near, far) = pair(&listener).await;
            let from = peer(at / HANDSHAKES_PER_PEER_MAX);
            assert_eq!(all.begin(far, &from, &tls), Ok(()), "{at}");
            open.push(near);
            if at + 1 == HANDSHAKES_PER_PEER_MAX {
                let (_near, far) = pair(&listener).await;
                let said = all.begin(far, &peer(0), &tls);
                assert_eq!(said, Err("too many handshakes from this address"));
            }
        }
        let (_near, far) = pair(&listener).await;
        assert_eq!(all.begin(far, &Peer::Local, &tls), Err("too many handshakes"));
        open.pop();
        let (from, shaken) = all.next().await.unwrap();
        assert!(shaken.is_err() && matches!(from, Peer::Tcp(_)));
        let (_near, far) = pair(&listener).await;
        assert_eq!(all.begin(far, &Peer::Local, &tls), Ok(()));
        drop((open, _near));
        while all.next().await.is_some() {}
        assert!(all.peers.is_empty() && all.by_peer.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_one_is_broken_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut all = Handshakes::default();
        let (_near, far) = pair(&listener).await;
        let clock = Clock::system();
        let began = clock.mono();
        all.begin(far, &Peer::Local, &tls()).unwrap();
        let (_, shaken) = all.next().await.unwrap();
        assert_eq!(Fault::of(&shaken.unwrap_err()), Some(Fault::Slow));
        assert_eq!(clock.mono().since(began).as_secs(), HANDSHAKE_TIMEOUT.as_secs());
    }
}
