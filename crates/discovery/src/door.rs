//! Lets connections of a dialect in, no more than there may be, and sees them out at the end.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use resilience::ClientKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// A silent peer is probed after this time.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// After a failure that would come again at once, such as a want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At once.
    pub connections_max: usize,
    /// Of these, from one address that is not loopback.
    pub connections_per_peer_max: usize,
}

/// Counts connections against their bounds. Clones count together: several doors may share it.
#[derive(Clone, Debug)]
pub struct Guests(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    bounds: Bounds,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    all: usize,
    /// Of those that are not on this machine; nobody without a connection.
    by_peer: BTreeMap<ClientKey, usize>,
}

/// One connection that was let in; dropped when it is over.
#[derive(Debug)]
pub struct Guest {
    counts: Arc<Counts>,
    key: Option<ClientKey>,
}

impl Guests {
    /// Nobody is inside.
    pub fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Counts { bounds, inside: Mutex::default() }))
    }

    /// Lets one more in, unless there are as many as there may be.
    pub fn enter(&self, peer: IpAddr) -> Option<Guest> {
        let peer = peer.to_canonical();
        let key = (!peer.is_loopback()).then(|| ClientKey::of(peer));
        let bounds = self.0.bounds;
        let mut inside = self.0.lock();
        if inside.all >= bounds.connections_max {
            return None;
        }
        if let Some(key) = key {
            let from = inside.by_peer.get(&key).copied().unwrap_or_default();
            if from >= bounds.connections_per_peer_max {
                return None;
            }
            inside.by_peer.insert(key, from + 1);
        }
        inside.all += 1;
        drop(inside);
        Some(Guest { counts: Arc::clone(&self.0), key })
    }
}

impl Counts {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inside> {
        // Nothing in here can be left half done by a panic.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut inside = self.counts.lock();
        inside.all = inside.all.saturating_sub(1);
        if let Some(key) = self.key
            && let Some(from) = inside.by_peer.get_mut(&key)
        {
            *from = from.saturating_sub(1);
            if *from == 0 {
                inside.by_peer.remove(&key);
            }
        }
    }
}

/// A listening socket. Whoever connects waits until [`Door::serve`].
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    guests: Guests,
}

impl Door {
    /// Listens; port 0 is any free one.
    ///
    /// # Errors
    ///
    /// The kernel's: the address is taken, not ours, or reserved.
    pub fn bind(address: SocketAddr, guests: Guests) -> io::Result<Self> {
        let listener = runtime::listen_alone(address, KEEPALIVE)?;
        Ok(Self { listener: TcpListener::from_std(listener)?, guests })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Attends to everybody who comes, each in a task of its own, until `stop`. Then nobody else
    /// is let in, and who is still there after `grace` is cut off.
    pub async fn serve<F>(
        self,
        stop: impl Future<Output = ()>,
        grace: Duration,
        attend: impl Fn(TcpStream, SocketAddr) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        self.open(stop, attend).await.leave(grace).await;
    }

    /// The same up to `stop`; gives who is still inside.
    pub async fn open<F>(
        self,
        stop: impl Future<Output = ()>,
        attend: impl Fn(TcpStream, SocketAddr) -> F,
    ) -> Leaving
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut connections = JoinSet::new();
        // Somebody was kept out and nobody has been let in since: that is told once.
        let mut is_refusing = false;
        tokio::pin!(stop);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection failed");
                    }
                    continue;
                }
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match self.guests.enter(peer.ip()) {
                    Some(guest) => {
                        is_refusing = false;
                        let attended = attend(stream, peer);
                        connections.spawn(async move {
                            attended.await;
                            drop(guest);
                        });
                    }
                    None if !std::mem::replace(&mut is_refusing, true) => {
                        tracing::warn!(%peer, at = ?self.address().ok(), "too many connections");
                    }
                    None => {}
                },
                Err(error) if is_the_peers_fault(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        Leaving(connections)
    }
}

/// Who is still inside a door that is closed. Dropping it cuts them off.
#[derive(Debug)]
pub struct Leaving(JoinSet<()>);

impl Leaving {
    /// Cuts off who is still there after `grace`, and returns when all are gone.
    pub async fn leave(mut self, grace: Duration) {
        let _ = timeout(grace, async { while self.0.join_next().await.is_some() {} }).await;
        self.0.shutdown().await;
    }
}

/// The next one may do better at once.
fn is_the_peers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, PermissionDenied};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | PermissionDenied)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    use super::*;

    const BOUNDS: Bounds = Bounds { connections_max: 3, connections_per_peer_max: 2 };

    #[test]
    fn as_many_as_allowed_and_one_more() {
        let guests = Guests::new(BOUNDS);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = guests.enter(ip("192.0.2.1")).unwrap();
        let second = guests.enter(ip("::ffff:192.0.2.1")).unwrap();
        assert!(guests.enter(ip("192.0.2.1")).is_none());
        let other = guests.enter(ip("192.0.2.2")).unwrap();
        assert!(guests.enter(ip("127.0.0.1")).is_none(), "all are counted together");
        drop((first, other));
        let local = [guests.enter(ip("127.0.0.1")), guests.enter(ip("::1"))];
        assert!(local.iter().all(Option::is_some));
        drop((second, local));
        let inside = guests.0.lock();
        assert_eq!((inside.all, inside.by_peer.len()), (0, 0), "nothing is kept");
    }

    #[tokio::test]
    async fn who_comes_is_attended_to_until_the_end() {
        let any = "127.0.0.1:0".parse().unwrap();
        let door = Door::bind(any, Guests::new(BOUNDS)).unwrap();
        let address = door.address().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let attended = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&attended);
        let served = tokio::spawn(door.serve(
            async move { drop(stopped.await) },
            Duration::from_secs(30),
            move |mut stream, _| {
                count.fetch_add(1, Ordering::Relaxed);
                async move {
                    let mut byte = [0];
                    if stream.read(&mut byte).await.is_ok_and(|n| n == 1) {
                        assert_ne!(byte, *b"!", "on purpose");
                        stream.write_all(&byte).await.unwrap();
                    }
                }
            },
        ));
        let mut streams = Vec::new();
        for _ in 0..3 {
            streams.push(TcpStream::connect(address).await.unwrap());
        }
        let mut late = TcpStream::connect(address).await.unwrap();
        assert_eq!(late.read(&mut [0]).await.unwrap_or(0), 0, "one too many");
        // A connection that fails takes nothing along, and its place is free.
        let mut failing = streams.pop().unwrap();
        failing.write_all(b"!").await.unwrap();
        assert_eq!(failing.read(&mut [0]).await.unwrap_or(0), 0);
        while attended.load(Ordering::Relaxed) < 4 {
            streams.push(TcpStream::connect(address).await.unwrap());
            tokio::task::yield_now().await;
        }
        stop.send(()).unwrap();
        let mut first = streams.swap_remove(0);
        first.write_all(b"x").await.unwrap();
        let mut byte = [0];
        first.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"x", "who is inside ends in peace");
        drop((first, streams));
        served.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
