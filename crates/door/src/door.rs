//! Lets connections in, no more than there may be, and sees them out at the end.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Guests;

/// A silent peer is probed after this time.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// After a failure that would come again at once, such as a want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
        Self::new(runtime::listen_alone(address, KEEPALIVE)?, guests)
    }

    /// One that listens already, and does not block.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn new(listener: std::net::TcpListener, guests: Guests) -> io::Result<Self> {
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

    /// Who is inside.
    pub const fn guests(&self) -> &Guests {
        &self.guests
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
                Ok((stream, peer)) => {
                    let Some(guest) = self.guests.admit(peer) else { continue };
                    let attended = attend(stream, peer);
                    connections.spawn(async move {
                        attended.await;
                        drop(guest);
                    });
                }
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    let at = self.address().ok();
                    tracing::warn!(%error, ?at, "cannot accept connections; trying again");
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

/// Says a last word to somebody who came to the wrong door, and closes it.
pub async fn dismiss(mut stream: TcpStream, word: &[u8]) {
    // What was sent is taken, or closing would throw our word away.
    let _ = stream.try_read(&mut [0; 4096]);
    // Whoever does not listen does not have to.
    let _ = stream.write_all(word).await;
    let _ = stream.shutdown().await;
}

/// Whether an error of accepting is about the one connection that was to be accepted, so that the
/// next may do better at once. Anything else is ours, such as a want of descriptors, and would come
/// again and again.
pub fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted,
        NetworkUnreachable, PermissionDenied, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | Interrupted
            | NetworkUnreachable
            | HostUnreachable
            | PermissionDenied
            | TimedOut
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::AsyncReadExt;
    use tokio::sync::oneshot;

    use super::*;
    use crate::Bounds;

    #[test]
    fn a_want_of_descriptors_is_waited_out() {
        // errno of Linux, and whether to go on at once
        let table = [
            (24, false, "EMFILE"),
            (23, false, "ENFILE"),
            (12, false, "ENOMEM"),
            (105, false, "ENOBUFS"),
            (103, true, "ECONNABORTED"),
            (4, true, "EINTR"),
            (1, true, "EPERM, by a firewall"),
        ];
        for (errno, goes_on, what) in table {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(is_about_one_connection(&error), goes_on, "{what}");
        }
    }

    #[tokio::test]
    async fn who_comes_is_attended_to_until_the_end() {
        let any = "127.0.0.1:0".parse().unwrap();
        let bounds = Bounds { connections_max: 3, connections_per_peer_max: 2 };
        let door = Door::bind(any, Guests::new("guests", bounds)).unwrap();
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
