//! HTTP/2 to backends (RFC 9113): connections that carry many requests at a time.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Ping, PingPong};
use http::Request;
use model::Instant;
use runtime::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::bounds::{
    BACKEND_FRAME_BYTES_MAX, BACKEND_SEND_BYTES_MAX, BACKEND_SMALL_FRAMES_COST_MAX,
    BACKEND_WINDOW_BYTES, HEAD_BYTES_MAX, STREAM_WINDOW_BYTES, STREAMS_MAX,
};
use crate::h2_stream::H2Stream;
use crate::head::Ending;
use crate::pulse::{Next, Pulse};

/// Connections to one address; beyond them requests wait for streams.
const CONNECTIONS_MAX: usize = 16;

/// The connections to one address.
#[derive(Debug, Default)]
pub(crate) struct SharedConnections {
    open: RefCell<Vec<Rc<Connection>>>,
    /// Whether one is being opened.
    opening: Cell<bool>,
    /// It is there, or will not be.
    opened: Notify,
}

#[derive(Debug)]
struct Connection {
    send: SendRequest<Bytes>,
    /// Requests it carries, and whether somebody is there to answer them.
    pulse: Rc<Pulse>,
    /// When it carried one last.
    used: Cell<Instant>,
    clock: Clock,
}

/// A place for one request on a connection.
#[derive(Debug)]
pub(crate) struct Sharing(Rc<Connection>);

/// Whose turn it is to open a connection.
pub(crate) enum Turn<'s> {
    /// Somebody else did.
    There,
    Ours(Opening<'s>),
}

/// The right to open a connection.
pub(crate) struct Opening<'s>(&'s SharedConnections);

impl SharedConnections {
    /// The connection with the most room, if there is room or no more may be opened.
    pub(crate) fn pick(&self) -> Option<Sharing> {
        let mut open = self.open.borrow_mut();
        open.retain(|connection| connection.is_usable());
        let best = open.iter().max_by_key(|connection| connection.room())?;
        if best.room() == 0 && open.len() < CONNECTIONS_MAX {
            return None;
        }
        Some(Sharing::new(best))
    }

    /// Waits for whoever opens a connection at the moment.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        while self.opening.get() {
            self.opened.notified().await;
            if self.pick().is_some() {
                return Turn::There;
            }
        }
        self.opening.set(true);
        Turn::Ours(Opening(self))
    }

    /// The same where the backend may choose to speak otherwise: waits once at most, since whoever
    /// connected knows then what the others have to do.
    pub(crate) async fn turn_or_wait(&self) -> Turn<'_> {
        if self.opening.get() {
            self.opened.notified().await;
            return Turn::There;
        }
        self.opening.set(true);
        Turn::Ours(Opening(self))
    }

    /// Begins to speak on a new connection.
    pub(crate) async fn add<S>(&self, stream: S, clock: Clock) -> Result<(), h2::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(BACKEND_WINDOW_BYTES)
            .max_send_buffer_size(BACKEND_SEND_BYTES_MAX)
            .max_frame_size(BACKEND_FRAME_BYTES_MAX)
            .data_frame_budget(BACKEND_SMALL_FRAMES_COST_MAX)
            .max_header_list_size(HEAD_BYTES_MAX);
        let pulse = Rc::new(Pulse::new(clock.mono()));
        let heard = Heard { stream, pulse: Rc::clone(&pulse), clock };
        let (send, mut driver) = builder.handshake(heard).await?;
        let pings = driver.ping_pong();
        let feeling = Rc::clone(&pulse);
        tokio::task::spawn_local(async move {
            tokio::select! {
                // First, so that what has come counts, however late anybody looks.
                biased;
                ended = driver => if let Err(error) = ended {
                    tracing::debug!(%error, "an HTTP/2 connection to a backend broke");
                },
                // Its requests fail when the driver is dropped.
                () = until_dead(&feeling, pings, clock) => {
                    tracing::debug!("a backend does not answer on an HTTP/2 connection");
                }
            }
        });
        let used = Cell::new(clock.mono());
        self.open.borrow_mut().push(Rc::new(Connection { send, pulse, used, clock }));
        Ok(())
    }

    /// Closes what nobody used for so long. What still carries requests ends after them.
    pub(crate) fn sweep(&self, now: Instant, age_max: Duration) {
        self.open.borrow_mut().retain(|connection| {
            let is_idle =
                connection.pulse.streams() == 0 && now.since(connection.used.get()) >= age_max;
            connection.is_usable() && !is_idle
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }
}

impl Connection {
    /// Whether it is open and was not told to take no more requests (GOAWAY, section 6.8).
    fn is_usable(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        !matches!(self.send.clone().poll_ready(&mut cx), Poll::Ready(Err(_)))
    }

    /// How many more requests it can carry.
    fn room(&self) -> usize {
        // Even if its backend would take more.
        let most = self.send.current_max_send_streams().min(STREAMS_MAX as usize);
        most.saturating_sub(self.pulse.streams())
    }
}

impl Sharing {
    fn new(connection: &Rc<Connection>) -> Self {
        connection.pulse.begin(connection.clock.mono());
        Self(Rc::clone(connection))
    }

    /// Some of an answer came.
    pub(crate) fn answered(&self) {
        self.0.pulse.answered();
    }

    /// Begins a request.
    pub(crate) fn send(self, request: Request<()>, ending: Ending) -> Result<H2Stream, h2::Error> {
        let ended = ending == Ending::Now;
        let (response, body) = self.0.send.clone().send_request(request, ended)?;
        Ok(H2Stream::of_backend(self, response, body, ending))
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        self.0.pulse.end();
        self.0.used.set(self.0.clock.mono());
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.opening.set(false);
        self.0.opened.notify_waiters();
    }
}

/// Waits until nobody is at the other end. Costs nothing while no request waits.
async fn until_dead(pulse: &Pulse, mut pings: Option<PingPong>, clock: Clock) {
    loop {
        let now = clock.mono();
        match pulse.look(now) {
            Next::Rest => pulse.woken.notified().await,
            Next::Wait(until) => clock.timer(until).await,
            Next::Ping => {
                pulse.ask(now);
                let Some(pings) = &mut pings else { return std::future::pending().await };
                // The answer to the one before is to be taken first.
                let _ = pings.poll_pong(&mut Context::from_waker(Waker::noop()));
                if pings.send_ping(Ping::opaque()).is_err() {
                    // It was never answered, although other things came: alive in its own way.
                    pulse.hear(now);
                }
            }
            Next::Dead => return,
        }
    }
}

/// A connection that tells when something comes.
struct Heard<S> {
    stream: S,
    pulse: Rc<Pulse>,
    clock: Clock,
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        self.pulse.hear(self.clock.mono());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::task::LocalSet;

    use super::*;

    fn get() -> Request<()> {
        Request::get("http://a.test/").body(()).unwrap()
    }

    /// A connection to a server that takes one request and never answers it; then `goes_on` says
    /// whether it still reads.
    async fn connected(clock: Clock, goes_on: bool) -> SharedConnections {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        tokio::task::spawn_local(async move {
            let mut server = h2::server::handshake(theirs).await.unwrap();
            let _first = server.accept().await.unwrap().unwrap();
            if goes_on {
                let _second = server.accept().await;
            }
            std::future::pending::<()>().await;
        });
        let connections = SharedConnections::default();
        connections.add(ours, clock).await.unwrap();
        connections
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_is_gone_without_a_word_loses_its_requests() {
        let clock = Clock::system();
        let local = LocalSet::new();
        let served = local.run_until(async {
            let connections = connected(clock, false).await;
            // A connection that nobody uses may be as silent as it likes.
            tokio::time::sleep(Duration::from_secs(1000)).await;
            let asked = clock.mono();
            let mut stream = connections.pick().unwrap().send(get(), Ending::Now).unwrap();
            assert!(poll_fn(|cx| stream.poll_head(cx)).await.is_err());
            assert_eq!(clock.mono().since(asked).as_secs(), 15);
            assert!(connections.pick().is_none(), "nobody is put there any more");
        });
        served.await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_takes_its_time_has_it() {
        let clock = Clock::system();
        let local = LocalSet::new();
        let served = local.run_until(async {
            let connections = connected(clock, true).await;
            let mut stream = connections.pick().unwrap().send(get(), Ending::Now).unwrap();
            let head = poll_fn(|cx| stream.poll_head(cx));
            assert!(tokio::time::timeout(Duration::from_secs(3600), head).await.is_err());
            assert!(connections.pick().is_some());
        });
        served.await;
    }
}
