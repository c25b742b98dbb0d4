//! HTTP/2 from clients (RFC 9113): many requests at a time over one connection, each a stream and
//! a task of its own.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use http1::{H2Guard, H2Refused, Version};
use model::Instant;
use runtime::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::asking::Asking;
use crate::bounds::{
    CLIENT_SEND_BYTES_MAX, CLIENT_SMALL_FRAMES_COST_MAX, HEAD_BYTES_MAX, STREAM_WINDOW_BYTES,
    STREAMS_MAX, client_window_bytes,
};
use crate::buffers::Buffer;
use crate::exchange;
use crate::h2_stream::H2Stream;
use crate::identity::Client;
use crate::stream::Stream;
use crate::tracker::{LAST_WORDS, Messaging, Serving, Tracker};
use crate::worker::Worker;

/// What a client that knows we speak HTTP/2 sends first (section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Streams that a client may reset before we have looked at them (CVE-2023-44487), and that it
/// may make us reset by breaking rules (CVE-2025-8671), before the connection ends.
const UNSEEN_RESETS_MAX: usize = 32;
const ERROR_RESETS_MAX: usize = 1024;
/// Streams that we have reset and still know, and for how long: payload that is on its way to one
/// of them breaks no rule. Uploads that are answered early end like that.
const RESET_STREAMS_MAX: usize = 512;
const RESET_STREAM_AGE_MAX: Duration = Duration::from_secs(10);

/// Whoever was sent something so shortly before proxyd ends may still be reading it. Closing would
/// lose what the kernel holds, should the client send anything meanwhile.
const READING_MAX: Duration = Duration::from_secs(10);

/// Serves a connection to its end. `first` is what was read from it before.
pub(crate) async fn serve(worker: &Rc<Worker>, stream: Stream, first: Buffer, client: Client) {
    let open = Messaging::begin(worker);
    let config = &worker.shared.config;
    let (flooded, unanswered) = (Rc::new(Notify::new()), Rc::new(Cell::new(0)));
    let wrote = Rc::new(Cell::new(worker.clock.mono()));
    let guarded = Guarded {
        first,
        at: 0,
        stream,
        guard: Some(H2Guard::new()),
        clock: worker.clock,
        began: worker.clock.mono(),
        flooded: Rc::clone(&flooded),
        unanswered: Rc::clone(&unanswered),
        wrote: Rc::clone(&wrote),
    };
    let handshake = builder(client_window_bytes(open.count())).handshake::<_, Bytes>(guarded);
    let Ok(Ok(mut connection)) = tokio::time::timeout(config.header_timeout, handshake).await
    else {
        return;
    };
    let tracker = Rc::new(Tracker::new(worker.clock.mono()));
    let client = Rc::new(client);
    let mut stop = pin!(worker.shared.stop_accepting.notified());
    stop.as_mut().enable();
    // A connection that never asks gets the time of a head, an old one more.
    let mut patience = config.header_timeout;
    // Whether the client has until the end of a drain to say that it has everything: its answer to
    // the PING that comes with GOAWAY, after which the connection ends by itself.
    let mut is_reading = false;
    let mut ending = worker.is_draining();
    if ending {
        patience = LAST_WORDS;
        connection.graceful_shutdown();
    }
    let mut timer = pin!(worker.clock.timer(worker.clock.mono().after(patience)));
    loop {
        // Requests begin in here: as what a branch comes to, each would be moved again and again.
        let accepting = poll_fn(|cx| {
            loop {
                let Some(accepted) = ready!(connection.poll_accept(cx)) else {
                    return Poll::Ready(Ok(()));
                };
                let request = match accepted {
                    Ok(request) => request,
                    Err(error) => return Poll::Ready(Err(error)),
                };
                patience = if ending { LAST_WORDS } else { config.idle_timeout };
                is_reading = ending;
                if tracker.is_abused() {
                    tracing::debug!(client = %client.address, "a client gives up its requests");
                    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    continue;
                }
                let serving = Serving::begin(&tracker, worker);
                let (worker, client) = (Rc::clone(worker), Rc::clone(&client));
                // In a box: a task is moved when it begins and when it ends.
                tokio::task::spawn_local(Box::pin(answer(worker, client, request, serving)));
            }
        });
        tokio::select! {
            biased;
            ended = accepting => {
                if let Err(error) = ended {
                    tracing::debug!(client = %client.address, %error, "an HTTP/2 connection broke");
                }
                return;
            }
            () = flooded.notified() => {
                tracing::debug!(client = %client.address, "a client sends frames that say nothing");
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            }
            () = &mut stop, if !ending => {
                ending = true;
                is_reading = worker.clock.mono().since(wrote.get()) < READING_MAX;
                patience = LAST_WORDS;
                connection.graceful_shutdown();
                timer.set(worker.clock.timer(worker.clock.mono().after(LAST_WORDS)));
            }
            () = &mut timer => {
                let now = worker.clock.mono();
                let until = tracker.quiet_since().map(|since| since.after(patience));
                match until {
                    Some(until)
                        if until <= now
                            && worker.is_draining()
                            && (is_reading || unanswered.get() > 0) =>
                    {
                        timer.set(worker.clock.timer(now.after(LAST_WORDS)));
                    }
                    Some(until) if until <= now && ending => return,
                    Some(until) if until <= now => {
                        ending = true;
                        patience = LAST_WORDS;
                        connection.graceful_shutdown();
                        timer.set(worker.clock.timer(now.after(LAST_WORDS)));
                    }
                    Some(until) => timer.set(worker.clock.timer(until)),
                    None => timer.set(worker.clock.timer(now.after(patience))),
                }
            }
        }
    }
}

fn builder(window_bytes: u32) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(window_bytes)
        .data_frame_budget(CLIENT_SMALL_FRAMES_COST_MAX)
        .max_send_buffer_size(CLIENT_SEND_BYTES_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .max_pending_accept_reset_streams(UNSEEN_RESETS_MAX)
        .max_local_error_reset_streams(Some(ERROR_RESETS_MAX))
        .max_concurrent_reset_streams(RESET_STREAMS_MAX)
        .reset_stream_duration(RESET_STREAM_AGE_MAX)
        .enable_connect_protocol();
    builder
}

/// Answers one request. Takes it apart at once, so that what waits holds it but once.
fn answer(
    worker: Rc<Worker>,
    client: Rc<Client>,
    (request, respond): (Request<RecvStream>, SendResponse<Bytes>),
    serving: Serving,
) -> impl Future<Output = ()> {
    let (parts, body) = request.into_parts();
    let protocol = parts.extensions.get::<h2::ext::Protocol>();
    let websocket = protocol.is_some_and(|protocol| protocol.as_str() == "websocket");
    let asking = Asking::new(Version::Http2, parts, websocket, body.is_end_stream());
    let stream = Stream::H2(Box::new(H2Stream::of_client(body, respond)));
    async move {
        serving.answered(exchange::single(&worker, stream, &client, asking).await);
    }
}

/// A connection of which something was read already, and whose frames are counted.
struct Guarded {
    first: Buffer,
    at: usize,
    stream: Stream,
    /// None once it has refused: nothing is read any more.
    guard: Option<H2Guard>,
    clock: Clock,
    began: Instant,
    /// Told of that.
    flooded: Rc<Notify>,
    /// Requests whose answers are not all written.
    unanswered: Rc<Cell<usize>>,
    /// When something was written last.
    wrote: Rc<Cell<Instant>>,
}

impl Guarded {
    fn count(&self) {
        self.unanswered.set(self.guard.as_ref().map_or(0, H2Guard::unanswered));
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let left = self.first.get(self.at..).unwrap_or_default();
        if left.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let len = left.len().min(into.remaining());
        into.put_slice(left.get(..len).unwrap_or_default());
        self.at += len;
        if self.at == self.first.len() {
            self.first = Buffer::none();
            self.at = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.guard.is_none() {
            return Poll::Pending;
        }
        let before = into.filled().len();
        ready!(this.poll_bytes(cx, into))?;
        let came = into.filled().get(before..).unwrap_or_default();
        let age = this.clock.mono().since(this.began);
        match this.guard.as_mut().map(|guard| guard.take(came, age)) {
            Some(Ok(())) => {
                this.count();
                Poll::Ready(Ok(()))
            }
            Some(Err(H2Refused)) | None => {
                this.guard = None;
                this.flooded.notify_one();
                into.set_filled(before);
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.wrote.set(self.clock.mono());
        if let Some(guard) = &mut self.guard {
            guard.gave(bytes.get(..written).unwrap_or_default());
            self.count();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
