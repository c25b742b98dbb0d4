//! One request and its response, again and again on one connection.
//!
//! The head stays where it was read until a response has begun, so that a request whose
//! connection broke can be planned again for another endpoint (SPEC 4, "Retries"). A body is
//! kept only as far as it came together with the head; one that was streamed further is not
//! sent twice.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use http1::{Decoder, HeadSpace, Limits, Scan, Target, Verb, parse_request};
use model::{Instant, Scheme, normalize_authority, normalize_path};
use routing::{Decision, EndpointId, Head, Member, Pool, choose};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::answer::{Answer, Audience};
use crate::buffers::{Buffer, read_into_new};
use crate::forward::{self, Asked};
use crate::identity::{Client, RequestId};
use crate::pump::{Framing, Progress, Pump, PumpError};
use crate::receive::{Failure, Received, Receiver};
use crate::tunnel;
use crate::upstream::{ConnectError, LocalEndpoint, Upstream};
use crate::watch::{TimedOut, Watch};
use crate::worker::Worker;

/// How long a connection stays ready for its next request before it goes quiet.
const BURST_PAUSE: Duration = Duration::from_millis(250);
/// Connections of one worker that may be ready like that; further ones go quiet at once. Bounds
/// what many clients that come once each leave behind.
const PAUSING_MAX: usize = 256;
/// Endpoints tried for one request.
const ATTEMPTS_MAX: usize = 8;
/// How long a client that is told an error in the middle of its body may go on sending.
const LINGER: Duration = Duration::from_secs(1);

/// How a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Nothing to do for the moment.
    Quiet,
    /// It is over.
    Close,
}

/// Serves requests until the connection goes quiet or ends.
pub(crate) async fn burst(
    worker: &Rc<Worker>,
    stream: &mut TcpStream,
    client: Client,
    input: Buffer,
) -> After {
    let watch = Watch::new(worker.clock);
    let mut exchange = Exchange { worker, stream, client, watch, input };
    loop {
        if !matches!(exchange.one().await, Ok(Turn::Again)) {
            return After::Close;
        }
        if exchange.input.is_empty() {
            exchange.input = Buffer::none();
            let Some(_pausing) = Pausing::begin(worker) else { return After::Quiet };
            match exchange.watch.within(BURST_PAUSE, read_into_new(exchange.stream)).await {
                Ok(Ok(Some(input))) => exchange.input = input,
                Ok(Ok(None) | Err(_)) => return After::Close,
                Err(TimedOut) => return After::Quiet,
            }
        }
    }
}

struct Exchange<'c> {
    worker: &'c Rc<Worker>,
    stream: &'c mut TcpStream,
    client: Client,
    watch: Watch,
    /// What was read from the client and not used up.
    input: Buffer,
}

/// What follows an exchange.
enum Turn {
    Again,
    Close,
}

/// A request, made ready to be sent.
struct Plan {
    asked: Asked,
    pool: Arc<Pool>,
    member: usize,
    endpoint: Rc<LocalEndpoint>,
    body: Pump,
    /// Bytes of the input that are in `out` now: the head and what came of the body.
    used: usize,
    /// Whether more of the body was read since: it is not sent twice.
    streamed: bool,
    /// Whether all of the body was read and written. Only then is known where the next request
    /// of the client begins, and does the backend expect no more of this one.
    sent: bool,
}

/// What a look at the input says.
enum Look {
    /// The head is not all there.
    More,
    /// Answered here; the number says how much of the input it was, if the connection can go on.
    Ours(Answer, Asked, Option<usize>),
    /// To be sent.
    Send(Box<Plan>),
}

/// What became of one attempt.
enum Attempt {
    Received(Received),
    /// Nothing was passed on and nothing was processed: may be sent anywhere again.
    Untouched(Answer),
    /// Nothing was passed on: may be sent again if asking twice does no harm.
    Unanswered(Answer),
    /// Answer this, whatever else.
    Final(Answer),
    /// The connection to the client is of no further use.
    Broken,
}

impl Exchange<'_> {
    async fn one(&mut self) -> io::Result<Turn> {
        let id = RequestId::new(fastrand::u64(..), fastrand::u64(..));
        let mut tried: Vec<EndpointId> = Vec::new();
        let mut out = Buffer::take();
        let mut scan = Scan::new();
        let limit = self.worker.shared.config.header_timeout;
        let head_by = self.worker.clock.mono().after(limit);
        let mut plan = loop {
            match self.look(&mut scan, &id, &tried, &mut out) {
                Look::Send(plan) => break plan,
                Look::Ours(answer, asked, used) => {
                    return self.answer(answer, asked, used, &id).await;
                }
                Look::More => {
                    if let Some(turn) = self.read_more(&id, head_by).await? {
                        return Ok(turn);
                    }
                }
            }
        };
        let _in_flight = InFlight::new(self.worker);
        let mut fresh_only = false;
        let mut repeats = 0;
        loop {
            let attempt = self.attempt(&mut plan, &mut out, fresh_only).await;
            let again = match &attempt {
                Attempt::Untouched(_) => true,
                Attempt::Unanswered(_) => {
                    repeats += 1;
                    let harmless = plan.asked.verb.is_idempotent()
                        && repeats <= plan.member().config.options.retries;
                    let now = self.worker.clock.mono();
                    harmless && self.worker.budget.borrow_mut().try_retry(now)
                }
                Attempt::Received(_) | Attempt::Final(_) | Attempt::Broken => false,
            };
            // A kept connection that the backend had given up says nothing against the backend:
            // a fresh one to it is the next thing to try.
            let stale =
                matches!(&attempt, Attempt::Untouched(answer) if *answer == Answer::INCOMPLETE);
            let answer = match attempt {
                Attempt::Received(received) => return self.finish(*plan, received).await,
                Attempt::Broken => return Ok(Turn::Close),
                Attempt::Final(answer)
                | Attempt::Untouched(answer)
                | Attempt::Unanswered(answer) => answer,
            };
            let asked = plan.asked;
            if !again || tried.len() >= ATTEMPTS_MAX || plan.streamed {
                let used = plan.sent.then_some(plan.used);
                return self.answer(answer, asked, used, &id).await;
            }
            if fresh_only || !stale {
                tried.push(plan.member().endpoint);
            }
            fresh_only = true;
            out.clear();
            match self.look(&mut Scan::new(), &id, &tried, &mut out) {
                Look::Send(next) => plan = next,
                Look::Ours(_, _, used) => return self.answer(answer, asked, used, &id).await,
                Look::More => return Ok(Turn::Close),
            }
        }
    }

    /// Reads more of a head; a turn when there is none.
    async fn read_more(&mut self, id: &RequestId, by: Instant) -> io::Result<Option<Turn>> {
        self.input.reserve(4096);
        let limit = by.since(self.worker.clock.mono());
        match self.watch.within(limit, self.stream.read_buf(&mut *self.input)).await {
            Ok(Ok(0)) => Ok(Some(Turn::Close)),
            Ok(Ok(_)) => Ok(None),
            Ok(Err(error)) => Err(error),
            Err(TimedOut) => {
                let asked = Asked::NOBODY;
                self.answer(Answer::SLOW_REQUEST, asked, None, id).await.map(Some)
            }
        }
    }

    /// Reads the head at the start of the input, decides, and writes it anew into `out`.
    fn look(
        &self,
        scan: &mut Scan,
        id: &RequestId,
        tried: &[EndpointId],
        out: &mut Vec<u8>,
    ) -> Look {
        let mut space = HeadSpace::new();
        let head = match parse_request(&self.input, scan, &Limits::STANDARD, &mut space) {
            Ok(Some(head)) => head,
            Ok(None) => return Look::More,
            Err(error) => {
                tracing::debug!(client = %self.client.address, %error, "malformed request");
                return Look::Ours(Answer::bad_head(error.status()), Asked::NOBODY, None);
            }
        };
        let mut asked = Asked::of(&head);
        let mut body = Decoder::request(head.framing);
        let ours = |answer, mut asked: Asked, body: Decoder| {
            asked.html = forward::wants_html(&head);
            let used = (answer_keeps(&answer) && body.is_done()).then_some(head.len);
            Look::Ours(answer, asked, used)
        };
        if matches!(head.verb, Verb::Connect | Verb::Trace) {
            return ours(Answer::METHOD, asked, body);
        }
        let target = match head.form {
            Target::Asterisk => &b"/"[..],
            _ => head.path_and_query(),
        };
        let end = memchr::memchr(b'?', target).unwrap_or(target.len());
        let raw = target.get(..end).unwrap_or_default();
        let Ok(path) = normalize_path(raw) else { return ours(Answer::BAD_PATH, asked, body) };
        let host = match &head.host {
            Some(host) => match normalize_authority(host.raw) {
                Some(host) => Some(host),
                None => return ours(Answer::bad_head(400), Asked::NOBODY, body),
            },
            None => None,
        };
        let now = self.worker.clock.mono();
        let chosen = self.worker.with_table(|table| {
            let raw_path = std::str::from_utf8(raw).unwrap_or("/");
            let head = Head { host: host.as_deref(), raw_path, path: &path };
            let Some(pool) = table.find(head) else { return Err(Answer::NO_ROUTE) };
            let draw = self.worker.draw(pool);
            match choose(pool, &**self.worker, now, draw, tried) {
                Decision::NoRoute => Err(Answer::NO_ROUTE),
                Decision::Unavailable { retry_after, .. } => Err(Answer::unavailable(retry_after)),
                Decision::Send { pool, member } => Ok((Arc::clone(pool), member)),
            }
        });
        let (pool, member) = match chosen {
            Ok(chosen) => chosen,
            Err(answer) => return ours(answer, asked, body),
        };
        let Some(to) = pool.members.get(member) else {
            return ours(Answer::NO_ROUTE, asked, body);
        };
        let options = &to.config.options;
        if !matches!(to.backend.scheme(), Scheme::Http | Scheme::Ws) {
            return ours(Answer::TLS_BACKEND, asked, body);
        }
        if asked.websocket && !options.websocket {
            return ours(Answer::NO_WEBSOCKET, asked, body);
        }
        if let (Some(max), http1::Framing::Length(length)) = (options.max_body, head.framing)
            && length > max
        {
            return ours(Answer::TOO_LARGE, asked, body);
        }
        if tried.is_empty() {
            self.worker.budget.borrow_mut().request(now);
        }
        let endpoint = self.worker.endpoint(to);
        forward::request(&head, &path, (to, &endpoint), (&self.client, id), out);
        body = Decoder::request(head.framing);
        let mut body = Pump::new(body, Framing::Kept, options.max_body);
        let came = self.input.get(head.len..).unwrap_or_default();
        let used = match body.start(came, out) {
            Ok(used) => head.len + used,
            Err(PumpError::TooLarge) => return Look::Ours(Answer::TOO_LARGE, asked, None),
            Err(_) => return Look::Ours(Answer::BAD_BODY, asked, None),
        };
        asked.keep_alive &= !self.worker.is_draining();
        let sent = body.is_read();
        let streamed = false;
        Look::Send(Box::new(Plan { asked, member, endpoint, body, used, streamed, sent, pool }))
    }

    /// Sends a request and takes the response, as far as that goes.
    async fn attempt(&mut self, plan: &mut Plan, out: &mut Buffer, fresh_only: bool) -> Attempt {
        let worker = self.worker;
        let endpoint = Rc::clone(&plan.endpoint);
        let began = worker.clock.mono();
        let _busy = Busy::new(&endpoint);
        let idle = if fresh_only { None } else { worker.upstreams.idle(&endpoint) };
        let mut upstream = match idle {
            Some(upstream) => upstream,
            None => match self.connect(plan, began).await {
                Ok(upstream) => upstream,
                Err(answer) => return Attempt::Untouched(answer),
            },
        };
        let limit = worker.shared.config.body_timeout;
        match self.watch.within(limit, upstream.stream.write_all(out)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                // An answer that is there already says that the request was read.
                let silent = !matches!(upstream.stream.try_read(&mut [0]), Ok(1..));
                return failed_write(&error, upstream.reused && silent);
            }
            Err(TimedOut) => return Attempt::Final(Answer::TIMEOUT),
        }
        let config = Arc::clone(&plan.member().config);
        let reused = upstream.reused;
        let body_sent = Cell::new(plan.body.is_read());
        let (begun, answered) = (Cell::new(false), Cell::new(false));
        let mut receiver = Receiver {
            asked: plan.asked,
            rules: &config.headers,
            timeout: config.options.timeout,
            idle: limit,
            body_sent: &body_sent,
            endpoint: &endpoint,
            began,
            clock: worker.clock,
            begun: &begun,
            answered: &answered,
        };
        let received = if plan.body.is_read() {
            let (mut from, _) = upstream.stream.split();
            let (_, mut to) = self.stream.split();
            receiver.run(&mut self.watch, &mut from, &mut to).await
        } else {
            let mut after = Buffer::take();
            let (complete, moved) = (Cell::new(false), Cell::new(false));
            let (mut from, mut up) = upstream.stream.split();
            let (mut down, mut to) = self.stream.split();
            let mut patience = Watch::new(worker.clock);
            let body = &mut plan.body;
            // In a box: only requests whose body is still coming need it, and the task of every
            // busy connection would be as large.
            let both = Box::pin(async {
                let ways = (&mut down, &mut up);
                let send = send_body(body, &mut patience, limit, ways, &mut after, &moved);
                let mut send = pin!(send);
                let mut receive = pin!(receiver.run(&mut self.watch, &mut from, &mut to));
                poll_fn(|cx| {
                    if !body_sent.get() {
                        match send.as_mut().poll(cx) {
                            Poll::Ready(Ok(())) => {
                                complete.set(true);
                                body_sent.set(true);
                            }
                            // A backend may answer without reading to the end.
                            Poll::Ready(Err(SendError::Backend)) => body_sent.set(true),
                            Poll::Ready(Err(SendError::Client(answer))) => {
                                return Poll::Ready(Err(answer));
                            }
                            Poll::Pending => {}
                        }
                    }
                    receive.as_mut().poll(cx).map(Ok)
                })
                .await
            })
            .await;
            // What came after the body is the start of the next request.
            plan.streamed = moved.get();
            plan.sent = complete.get();
            if !after.is_empty() {
                plan.used = plan.used.min(self.input.len());
                self.input.extend_from_slice(&after);
            }
            match both {
                Ok(received) => received,
                Err(_) if answered.get() => return Attempt::Broken,
                Err(None) => return Attempt::Broken,
                Err(Some(answer)) => return Attempt::Final(answer),
            }
        };
        match received {
            Ok(mut received) => {
                received.upstream = Some(upstream);
                Attempt::Received(received)
            }
            Err(Failure::Client) => Attempt::Broken,
            Err(Failure::Midway) => {
                // To a client that takes the end of the connection for the end of the body, a
                // reset is the only way to say that this was not it.
                let _ = SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO));
                Attempt::Broken
            }
            // The backend's end came before any byte of an answer, on a connection it had
            // kept open for us: it never read the request.
            Err(Failure::Ended) if reused => Attempt::Untouched(Answer::INCOMPLETE),
            Err(Failure::Ended | Failure::Reset) => Attempt::Unanswered(Answer::INCOMPLETE),
            Err(Failure::Malformed) => Attempt::Final(Answer::MALFORMED),
            Err(Failure::TimedOut) => Attempt::Final(Answer::TIMEOUT),
        }
    }

    async fn connect(&mut self, plan: &Plan, now: Instant) -> Result<Upstream, Answer> {
        let worker = self.worker;
        let endpoint = &plan.endpoint;
        endpoint.state.begin_trial(now);
        let limit = worker.shared.config.connect_timeout;
        let connected = self.watch.within(limit, worker.upstreams.connect(endpoint)).await;
        let answer = match connected {
            Ok(Ok(upstream)) => {
                endpoint.state.connected();
                return Ok(upstream);
            }
            Ok(Err(ConnectError::Io(error))) if is_ours(&error) => {
                tracing::warn!(%error, "cannot connect to any backend");
                return Err(Answer::unavailable(Duration::from_secs(1)));
            }
            Ok(Err(error)) => {
                tracing::debug!(backend = %plan.member().backend, %error, "cannot connect");
                match error {
                    ConnectError::NoAddress | ConnectError::Io(_) => {
                        Answer::unavailable(Duration::from_secs(1))
                    }
                }
            }
            Err(TimedOut) => Answer::CONNECT_TIMEOUT,
        };
        if endpoint.state.connect_failed(worker.clock.mono()) {
            let notice = crate::plane::Notice::Refused(plan.member().endpoint);
            // A full queue only means that the registry hears of it at the next failure.
            let _ = worker.shared.notices.try_send(notice);
        }
        Err(answer)
    }

    /// After a response: keeps what can be used again.
    async fn finish(&mut self, plan: Plan, received: Received) -> io::Result<Turn> {
        let Some(mut upstream) = received.upstream else { return Ok(Turn::Close) };
        let used = plan.used.min(self.input.len());
        if received.tunnel {
            let _busy = Busy::new(&plan.endpoint);
            // Bytes that came glued to the handshake are the first of the tunnel.
            let glued = self.input.get(used..).unwrap_or_default();
            if !glued.is_empty() {
                upstream.stream.write_all(glued).await?;
            }
            self.input = Buffer::none();
            Box::pin(tunnel::join(self.stream, &mut upstream.stream)).await?;
            return Ok(Turn::Close);
        }
        let whole = plan.sent;
        if received.upstream_reusable && whole {
            upstream.give_back(self.worker.clock.mono());
        }
        if !received.client_reusable {
            return self.close_gently(!whole).await;
        }
        if !whole {
            return self.close_gently(true).await;
        }
        self.input.drain(..used);
        Ok(Turn::Again)
    }

    /// Answers here. `used` is how much of the input the request was; without it the connection
    /// ends, since nobody can tell where the next one begins.
    async fn answer(
        &mut self,
        answer: Answer,
        asked: Asked,
        used: Option<usize>,
        id: &RequestId,
    ) -> io::Result<Turn> {
        let close = used.is_none() || !asked.keep_alive || self.worker.is_draining();
        let to = Audience {
            html: asked.html,
            head_only: asked.verb == Verb::Head,
            old: asked.old,
            close,
        };
        let mut out = Buffer::take();
        answer.write(to, id, &mut out);
        let limit = self.worker.shared.config.body_timeout;
        match self.watch.within(limit, self.stream.write_all(&out)).await {
            Ok(written) => written?,
            Err(TimedOut) => return Ok(Turn::Close),
        }
        match used {
            Some(used) if !close => {
                let used = used.min(self.input.len());
                self.input.drain(..used);
                Ok(Turn::Again)
            }
            _ => self.close_gently(used.is_none()).await,
        }
    }

    /// Ends the connection so that the client gets what was written: closing while it still
    /// sends would make the kernel reset the connection and drop the answer (RFC 9112, 9.6).
    async fn close_gently(&mut self, still_sending: bool) -> io::Result<Turn> {
        self.stream.shutdown().await?;
        if still_sending {
            let stream = &mut *self.stream;
            let drained = async move { while let Ok(Some(_)) = read_into_new(stream).await {} };
            let _ = self.watch.within(LINGER, drained).await;
        }
        Ok(Turn::Close)
    }
}

impl Plan {
    fn member(&self) -> &Member {
        // Chosen from this very list.
        &self.pool.members[self.member]
    }
}

/// Whether the connection can go on after an answer of ours.
fn answer_keeps(answer: &Answer) -> bool {
    matches!(answer.status, 404 | 405 | 502 | 503 | 504)
}

/// Errors of a connect that say nothing against the backend: no descriptor, no port left here
/// (EMFILE, ENFILE, EADDRNOTAVAIL on Linux).
fn is_ours(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24 | 99))
}

/// Linux says EPIPE when the backend's end had come first, so nothing of the request was read;
/// a reset may come after it was.
fn failed_write(error: &io::Error, reused: bool) -> Attempt {
    if reused && error.kind() == io::ErrorKind::BrokenPipe {
        Attempt::Untouched(Answer::INCOMPLETE)
    } else {
        Attempt::Unanswered(Answer::INCOMPLETE)
    }
}

enum SendError {
    /// The client is at fault, or gone (then without an answer).
    Client(Option<Answer>),
    /// The backend takes no more.
    Backend,
}

/// Streams the rest of a request's body.
async fn send_body<R, W>(
    body: &mut Pump,
    watch: &mut Watch,
    limit: Duration,
    (from, to): (&mut R, &mut W),
    after: &mut Vec<u8>,
    has_moved: &Cell<bool>,
) -> Result<(), SendError>
where
    R: tokio::io::AsyncRead + Unpin,
    W: tokio::io::AsyncWrite + Unpin,
{
    loop {
        let moved = watch.within(limit, poll_fn(|cx| body.poll(cx, from, to, after))).await;
        // Whatever else: something was taken from the client, unless nothing came in time.
        has_moved.set(has_moved.get() || moved.is_ok());
        match moved {
            Ok(Ok(Progress::Moved)) => {}
            Ok(Ok(Progress::Done)) => return Ok(()),
            Ok(Err(PumpError::Write(_))) => return Err(SendError::Backend),
            Ok(Err(PumpError::Read(_))) => return Err(SendError::Client(None)),
            Ok(Err(PumpError::TooLarge)) => {
                return Err(SendError::Client(Some(Answer::TOO_LARGE)));
            }
            Ok(Err(PumpError::Body(_))) => return Err(SendError::Client(Some(Answer::BAD_BODY))),
            Err(TimedOut) if body.is_blocked() => {
                return Err(SendError::Client(Some(Answer::TIMEOUT)));
            }
            Err(TimedOut) => return Err(SendError::Client(Some(Answer::SLOW_REQUEST))),
        }
    }
}

/// Counts a connection that waits for its next request without being quiet.
struct Pausing<'w>(&'w Worker);

impl<'w> Pausing<'w> {
    fn begin(worker: &'w Worker) -> Option<Self> {
        let pausing = worker.pausing.get();
        if pausing >= PAUSING_MAX {
            return None;
        }
        worker.pausing.set(pausing + 1);
        Some(Self(worker))
    }
}

impl Drop for Pausing<'_> {
    fn drop(&mut self) {
        self.0.pausing.set(self.0.pausing.get() - 1);
    }
}

/// Counts a request for as long as it is worked on.
struct InFlight<'w>(&'w Worker);

impl<'w> InFlight<'w> {
    fn new(worker: &'w Worker) -> Self {
        worker.shared.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(worker)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a request at its endpoint for as long as it is there.
struct Busy<'e>(&'e LocalEndpoint);

impl<'e> Busy<'e> {
    fn new(endpoint: &'e LocalEndpoint) -> Self {
        endpoint.state.began();
        Self(endpoint)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.state.ended();
    }
}
