//! HTTP/2 to backends (RFC 9113): connections that carry many requests at a time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::Request;
use model::Instant;
use runtime::Clock;
use tokio::sync::Notify;

use crate::h2_stream::H2Stream;
use crate::head::Ending;
use crate::stream::Stream;

/// Connections to one address; beyond them requests wait for streams.
const CONNECTIONS_MAX: usize = 16;
/// Streams of one connection that are used, even if its backend would take more.
const STREAMS_MAX: usize = 128;
/// As towards clients: what a backend may send before its client takes it. The connection has
/// room for all its streams, or clients that do not read would hold up those that do.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * STREAMS_MAX as u32;
const SEND_BYTES_MAX: usize = 64 * 1024;
/// What frames that wait for their clients may cost that are smaller than 256 bytes, each what it
/// is smaller by. A backend that sends such messages fills its windows with them when clients are
/// slow, and must not lose all its streams over it.
const SMALL_FRAMES_COST_MAX: usize = 32 * CONNECTION_WINDOW_BYTES as usize;
const HEAD_BYTES_MAX: u32 = 64 * 1024;
const FRAME_BYTES_MAX: u32 = 64 * 1024;

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
    /// Requests it carries.
    streams: Cell<usize>,
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
    pub(crate) async fn add(&self, stream: Stream, clock: Clock) -> Result<(), h2::Error> {
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buffer_size(SEND_BYTES_MAX)
            .max_frame_size(FRAME_BYTES_MAX)
            .data_frame_budget(SMALL_FRAMES_COST_MAX)
            .max_header_list_size(HEAD_BYTES_MAX);
        let (send, driver) = builder.handshake(stream).await?;
        tokio::task::spawn_local(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "an HTTP/2 connection to a backend broke");
            }
        });
        let (streams, used) = (Cell::new(0), Cell::new(clock.mono()));
        self.open.borrow_mut().push(Rc::new(Connection { send, streams, used, clock }));
        Ok(())
    }

    /// Closes what nobody used for so long. What still carries requests ends after them.
    pub(crate) fn sweep(&self, now: Instant, age_max: Duration) {
        self.open.borrow_mut().retain(|connection| {
            let is_idle =
                connection.streams.get() == 0 && now.since(connection.used.get()) >= age_max;
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
        let most = self.send.current_max_send_streams().min(STREAMS_MAX);
        most.saturating_sub(self.streams.get())
    }
}

impl Sharing {
    fn new(connection: &Rc<Connection>) -> Self {
        connection.streams.set(connection.streams.get() + 1);
        Self(Rc::clone(connection))
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
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.used.set(self.0.clock.mono());
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.opening.set(false);
        self.0.opened.notify_waiters();
    }
}
