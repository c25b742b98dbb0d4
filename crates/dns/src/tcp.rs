//! Questions over connections: each with its length in front, one after the other (RFC 7766).

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use catalog::View;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::bounds::{
    CONNECTIONS_MAX, CONNECTIONS_PER_PEER_MAX, QUESTION_BYTES_MAX, TCP_IDLE, TCP_STEP,
};
use crate::pace::Client;
use crate::server::{Shared, admits};
use crate::{Transport, respond};

/// No connection can be accepted: the process is out of descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until `ended` is closed, and waits for the answers that are being written.
pub(crate) async fn run<V>(
    listener: TcpListener,
    shared: Arc<Shared<V>>,
    mut ended: watch::Receiver<()>,
) where
    V: Fn() -> Arc<View> + Send + Sync + 'static,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let peers = Peers::default();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = ended.changed() => break,
            _ = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // Who finds no place is told so by the end of the connection.
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let Some(seat) = peers.enter(peer.ip()).filter(|_| shared.serves(peer.ip())) else {
            continue;
        };
        let (shared, mut ended) = (shared.clone(), ended.clone());
        connections.spawn(async move {
            let _held = (place, seat);
            // Whatever ends a connection concerns who asked, and nobody here.
            let _ = converse(stream, peer.ip(), &shared, &mut ended).await;
        });
    }
    while connections.join_next().await.is_some() {}
}

async fn converse<V>(
    stream: TcpStream,
    peer: IpAddr,
    shared: &Shared<V>,
    ended: &mut watch::Receiver<()>,
) -> io::Result<()>
where
    V: Fn() -> Arc<View>,
{
    let mut stream = BufReader::with_capacity(512, stream);
    let mut question = Vec::new();
    let (mut answer, mut framed) = (Vec::new(), Vec::new());
    loop {
        let bytes = tokio::select! {
            _ = ended.changed() => return Ok(()),
            bytes = timeout(TCP_IDLE, stream.read_u16()) => usize::from(bytes??),
        };
        if bytes > QUESTION_BYTES_MAX || !admits(shared.tcp_pace.as_ref(), peer) {
            return Ok(());
        }
        question.resize(bytes, 0);
        timeout(TCP_STEP, stream.read_exact(&mut question)).await??;
        let view = (shared.view)();
        if !respond(&shared.zone, &view, &question, Transport::Tcp, &mut answer) {
            return Ok(());
        }
        drop(view);
        let Ok(length) = u16::try_from(answer.len()) else { return Ok(()) };
        framed.clear();
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(&answer);
        timeout(TCP_STEP, stream.get_mut().write_all(&framed)).await??;
    }
}

/// Connections by peer.
#[derive(Clone, Debug, Default)]
struct Peers(Arc<Mutex<BTreeMap<Client, usize>>>);

/// One connection of a peer, as long as it is kept.
#[derive(Debug)]
struct Seat {
    peers: Peers,
    client: Option<Client>,
}

impl Peers {
    /// `None` if the peer has as many as one may have.
    fn enter(&self, peer: IpAddr) -> Option<Seat> {
        let client = Client::counted(peer);
        if let Some(client) = client {
            let mut counts = self.0.lock().ok()?;
            let count = counts.entry(client).or_default();
            if *count >= CONNECTIONS_PER_PEER_MAX {
                return None;
            }
            *count += 1;
        }
        Some(Seat { peers: self.clone(), client })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(client) = self.client
            && let Ok(mut counts) = self.peers.0.lock()
            && let Some(count) = counts.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                counts.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_so_many_connections() {
        let peers = Peers::default();
        let enter = |last: u8| peers.enter([10, 0, 0, last].into());
        let mut held: Vec<_> = (0..CONNECTIONS_PER_PEER_MAX).map(|_| enter(1).unwrap()).collect();
        assert!(enter(1).is_none() && enter(2).is_some(), "one past it, and somebody else");
        held.pop();
        assert!(enter(1).is_some());
        held.clear();
        assert!(peers.0.lock().unwrap().is_empty(), "where nothing is counted there is no entry");
        let local = peers.enter([127, 0, 0, 1].into());
        assert!(local.is_some() && peers.0.lock().unwrap().is_empty());
    }
}
