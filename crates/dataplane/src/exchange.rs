//! One request and its response, again and again on one connection.
//!
//! The head stays where it was read until a response has begun, so that a request whose
//! connection broke can be planned again for another endpoint (SPEC 4, "Retries"). So does a body,
//! up to a bound; one that was streamed further is not sent twice.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http1::{Scan, Verb};
use model::Instant;
use routing::EndpointId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::answer::{Answer, Audience};
use crate::asking::Asking;
use crate::attempt::Attempt;
use crate::buffers::{Buffer, read_into_new};
use crate::forward::Asked;
use crate::head::{Ending, Message};
use crate::identity::{Client, RequestId};
use crate::park::Parked;
use crate::plan::{Look, Ours, Plan};
use crate::receive::Received;
use crate::stream::Stream;
use crate::tally::Tally;
use crate::tunnel;
use crate::upstream::Speech;
use crate::watch::{TimedOut, Watch};
use crate::worker::Worker;

/// How long a connection stays ready for its next request before it goes quiet.
const BURST_PAUSE: Duration = Duration::from_millis(250);
/// Connections of one worker that may be ready like that; further ones go quiet at once. Bounds
/// what many clients that come once each leave behind.
const PAUSING_MAX: usize = 256;
/// Endpoints tried for one request.
const ATTEMPTS_MAX: usize = 8;
/// How often one request is planned anew because a backend speaks otherwise than it did.
const OTHERWISE_MAX: u32 = 4;
/// How often the same endpoint is asked again that says it never looked at the request, since a
/// connection that goes away says nothing about the next one.
const REFUSED_MAX: u32 = 4;
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
    stream: &mut Stream,
    client: &Client,
    input: Buffer,
) -> After {
    let watch = Watch::new(worker.clock);
    let (is_new, parked) = (Cell::new(true), Cell::new(false));
    let tally = Tally::default();
    let asking = None;
    let mut exchange =
        Exchange { worker, stream, client, watch, input, asking, is_new, parked, tally };
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

/// Serves the one request of a stream. Returns whether its client was there for the answer.
pub(crate) async fn single(
    worker: &Rc<Worker>,
    mut stream: Stream,
    client: &Client,
    mut asking: Box<Asking>,
) -> bool {
    let mut watch = Watch::taking_over(worker.clock);
    if !asking.ended {
        let is_worth_it = asking.is_hardly_with_body();
        let begun = poll_fn(|cx| match stream.poll_begun(cx) {
            Poll::Pending if is_worth_it => Poll::Pending,
            begun => Poll::Ready(begun),
        });
        match watch.within(worker.shared.config.header_timeout, begun).await {
            // Trailers need a body to follow, be it an empty one.
            Ok(Poll::Ready(Ok(ended))) => asking.ended = ended && stream.trailers().is_empty(),
            Ok(Poll::Ready(Err(_))) => return false,
            Ok(Poll::Pending) | Err(TimedOut) => {}
        }
    }
    let (is_new, parked) = (Cell::new(true), Cell::new(false));
    let tally = Tally::default();
    let (input, asking) = (Buffer::none(), Some(asking));
    let stream = &mut stream;
    let mut exchange =
        Exchange { worker, stream, client, watch, input, asking, is_new, parked, tally };
    let turn = exchange.one().await;
    let answered = turn.is_ok() && !exchange.is_given_up();
    exchange.watch.leave_over();
    answered
}

pub(crate) struct Exchange<'c> {
    pub(crate) worker: &'c Rc<Worker>,
    pub(crate) stream: &'c mut Stream,
    pub(crate) client: &'c Client,
    pub(crate) watch: Watch,
    /// What was read from the client and not used up. On a stream, of the body alone.
    pub(crate) input: Buffer,
    /// The head, on a stream.
    pub(crate) asking: Option<Box<Asking>>,
    /// Whether the request has not been counted against its limits yet.
    pub(crate) is_new: Cell<bool>,
    /// Whether it has waited for its backend.
    pub(crate) parked: Cell<bool>,
    pub(crate) tally: Tally,
}

/// What follows an exchange.
pub(crate) enum Turn {
    Again,
    Close,
}

/// What was tried for one request.
#[derive(Default)]
struct Tries {
    endpoints: Vec<EndpointId>,
    /// Kept connections turned out to be stale: no more of them.
    fresh_only: bool,
    /// How often it was sent again although it may have been read.
    repeats: u32,
    /// How often a backend spoke otherwise than was planned.
    otherwise: u32,
    /// How often a stream was refused.
    refused: u32,
    /// What became of the last try.
    failed: Option<Answer>,
    /// When parking ends.
    parked_until: Option<Instant>,
}

impl Exchange<'_> {
    async fn one(&mut self) -> io::Result<Turn> {
        self.is_new.set(true);
        self.parked.set(false);
        let id = RequestId::new(fastrand::u64(..), fastrand::u64(..));
        let turn = self.serve(&id).await;
        self.tally.record(self.worker);
        turn
    }

    async fn serve(&mut self, id: &RequestId) -> io::Result<Turn> {
        let mut out = Buffer::take();
        let mut scan = Scan::new();
        let mut now = self.worker.clock.mono();
        let head_by = now.after(self.worker.shared.config.header_timeout);
        let mut look = loop {
            match self.look(&mut scan, (id, now), &[], &mut out) {
                Look::More => {
                    if let Some(turn) = self.read_more(id, (now, head_by)).await? {
                        return Ok(turn);
                    }
                    now = self.worker.clock.mono();
                }
                look => break look,
            }
        };
        self.tally.begin(now);
        let _in_flight = InFlight::new(self.worker);
        let mut tries = Tries::default();
        loop {
            match look {
                Look::Send(plan) => {
                    let tried = self.try_once(plan, &mut out, &mut tries, (id, now)).await;
                    if let Some(turn) = tried {
                        return turn;
                    }
                }
                Look::Park(limit, ours) => {
                    let until = *tries.parked_until.get_or_insert_with(|| now.after(limit));
                    let place = Parked::begin(self.worker, self.input.len());
                    let Some(_place) = place.filter(|_| now < until) else {
                        return self.refuse(ours, tries.failed, id).await;
                    };
                    Parked::wait(self.worker, &mut self.watch, until).await;
                    tries.endpoints.clear();
                    self.parked.set(true);
                }
                Look::Page(page) => return Box::pin(self.page(*page, id)).await,
                Look::Ours(ours) => return self.refuse(ours, tries.failed, id).await,
                Look::More => return Ok(Turn::Close),
            }
            out = Buffer::take();
            now = self.worker.clock.mono();
            look = self.look(&mut Scan::new(), (id, now), &tries.endpoints, &mut out);
        }
    }

    /// Sends a request to one endpoint; no turn if it is to be sent once more.
    async fn try_once(
        &mut self,
        mut plan: Box<Plan>,
        out: &mut Buffer,
        tries: &mut Tries,
        (id, now): (&RequestId, Instant),
    ) -> Option<io::Result<Turn>> {
        self.tally.of(&plan.ticket.route);
        let attempt = self.attempt(&mut plan, out, tries.fresh_only, now).await;
        self.tally.received.set((plan.head_len as u64).saturating_add(plan.body.payload_bytes()));
        let again = match &attempt {
            Attempt::Untouched(_) => true,
            Attempt::Unanswered(_) => {
                tries.repeats += 1;
                let harmless = plan.asked.verb.is_idempotent()
                    && !plan.streamed
                    && tries.repeats <= plan.member().config.options.retries;
                let now = self.worker.clock.mono();
                harmless && self.worker.budget.borrow_mut().try_retry(now)
            }
            Attempt::Otherwise => {
                tries.otherwise += 1;
                if tries.otherwise <= OTHERWISE_MAX {
                    return None;
                }
                false
            }
            Attempt::Received(_) | Attempt::Final(_) | Attempt::Broken => false,
        };
        // A kept connection that the backend had given up says nothing against the backend:
        // a fresh one to it is the next thing to try.
        let stale = matches!(&attempt, Attempt::Untouched(answer) if *answer == Answer::INCOMPLETE);
        let answer = match attempt {
            Attempt::Received(received) => return Some(self.finish(plan, received).await),
            Attempt::Broken => return Some(Ok(Turn::Close)),
            Attempt::Otherwise => Answer::INCOMPLETE,
            Attempt::Final(answer) | Attempt::Untouched(answer) | Attempt::Unanswered(answer) => {
                answer
            }
        };
        if !again || tries.endpoints.len() >= ATTEMPTS_MAX || plan.streamed {
            let used = plan.sent.then_some(plan.used);
            return Some(self.answer(answer, plan.asked, used, id).await);
        }
        let refused = stale && plan.speech.0 == Speech::Frames;
        tries.refused += u32::from(refused);
        let same_again = !tries.fresh_only || (refused && tries.refused <= REFUSED_MAX);
        if !(stale && same_again) {
            tries.endpoints.push(plan.member().endpoint);
        }
        tries.fresh_only = true;
        tries.failed = Some(answer);
        None
    }

    /// Answers what is not sent to any endpoint; after a try with what became of that.
    async fn refuse(
        &mut self,
        ours: Box<Ours>,
        failed: Option<Answer>,
        id: &RequestId,
    ) -> io::Result<Turn> {
        let first = ours.pool.as_ref().and_then(|pool| pool.members.first());
        if let Some(member) = first.filter(|_| !self.tally.has_route()) {
            self.tally.of(&self.worker.route(member));
        }
        self.tally.received.set(ours.used.unwrap_or(0) as u64);
        let extra = ours.extra.as_deref().unwrap_or_default();
        let answer = failed.unwrap_or(ours.answer);
        self.answer_with(answer, ours.asked, ours.used, (id, extra)).await
    }

    /// Reads more of a head; a turn when there is none.
    async fn read_more(
        &mut self,
        id: &RequestId,
        (now, by): (Instant, Instant),
    ) -> io::Result<Option<Turn>> {
        self.input.reserve(4096);
        let limit = by.since(now);
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

    /// After a response: keeps what can be used again.
    async fn finish(&mut self, plan: Box<Plan>, received: Received) -> io::Result<Turn> {
        let Some(mut upstream) = received.upstream else { return Ok(Turn::Close) };
        let used = plan.used.min(self.input.len());
        let is_message = self.stream.is_message();
        if received.tunnel {
            self.tally.record(self.worker);
            // A tunnel counts at its endpoint, and no longer as a request of its generation.
            let Plan { ticket, entered, .. } = *plan;
            drop(entered);
            // Bytes that came glued to the handshake are the first of the tunnel.
            let glued = self.input.get(used..).unwrap_or_default();
            if !glued.is_empty() {
                upstream.stream.send(glued).await?;
            }
            self.input = Buffer::none();
            // A tunnel has no time limit, not even where one side reads nothing for a while.
            if let Some(tcp) = upstream.stream.tcp() {
                runtime::net::give_up_after(tcp, None)?;
            }
            let joined =
                Box::pin(tunnel::join(self.worker.clock, self.stream, &mut upstream.stream)).await;
            drop(ticket);
            return joined.map(|()| Turn::Close);
        }
        let whole = plan.sent;
        if received.upstream_reusable && whole {
            upstream.give_back(self.worker.clock.mono());
        }
        if is_message {
            return Ok(Turn::Close);
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
    pub(crate) async fn answer(
        &mut self,
        answer: Answer,
        asked: Asked,
        used: Option<usize>,
        id: &RequestId,
    ) -> io::Result<Turn> {
        self.answer_with(answer, asked, used, (id, "")).await
    }

    /// The same, leading elsewhere.
    async fn answer_with(
        &mut self,
        answer: Answer,
        asked: Asked,
        used: Option<usize>,
        (id, location): (&RequestId, &str),
    ) -> io::Result<Turn> {
        if self.stream.is_message() {
            return self.answer_message(answer, asked, (id, location)).await;
        }
        let close = used.is_none() || !asked.keep_alive || self.worker.is_draining();
        let to = Audience {
            html: asked.html,
            grpc: false,
            head_only: asked.verb == Verb::Head,
            old: asked.old,
            close,
        };
        let mut out = Buffer::take();
        let body = answer.write(to, (id, location), &mut *out);
        out.extend_from_slice(body.as_bytes());
        self.tally.answered(answer.status, out.len() as u64);
        let limit = self.worker.shared.config.body_timeout;
        match self.watch.within(limit, self.stream.send(&out)).await {
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

    /// The same, on a stream.
    async fn answer_message(
        &mut self,
        answer: Answer,
        asked: Asked,
        said: (&RequestId, &str),
    ) -> io::Result<Turn> {
        let to = Audience {
            html: asked.html,
            grpc: asked.grpc,
            head_only: asked.verb == Verb::Head,
            old: false,
            close: false,
        };
        let mut message = Message::default();
        let body = answer.write(to, said, &mut message);
        self.tally.answered(answer.status, body.len() as u64);
        let ending = if body.is_empty() { Ending::Now } else { Ending::After(body.len() as u64) };
        self.stream.send_head(message, ending)?;
        let limit = self.worker.shared.config.body_timeout;
        match self.watch.within(limit, self.stream.send(body.as_bytes())).await {
            Ok(written) => written?,
            Err(TimedOut) => self.stream.abort(),
        }
        if body.is_empty() {
            let _ = self.watch.within(limit, self.stream.flush()).await;
        }
        Ok(Turn::Close)
    }

    /// Whether the client of a stream did not wait for its answer.
    fn is_given_up(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        matches!(self.stream.poll_peek(&mut cx), Poll::Ready(Ok(0)))
    }

    /// Ends the connection so that the client gets what was written: closing while it still
    /// sends would make the kernel reset the connection and drop the answer (RFC 9112, 9.6).
    pub(crate) async fn close_gently(&mut self, still_sending: bool) -> io::Result<Turn> {
        if self.stream.is_message() {
            // Whoever drops it tells the client to send no more (RFC 9113, 8.1).
            return Ok(Turn::Close);
        }
        self.stream.shutdown().await?;
        if still_sending {
            let stream = &mut *self.stream;
            let drained = async move { while let Ok(Some(_)) = read_into_new(stream).await {} };
            let _ = self.watch.within(LINGER, drained).await;
        }
        Ok(Turn::Close)
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
