//! One attempt to have a request answered by its endpoint.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use model::Instant;
use resilience::{Floor, Outcome};
use runtime::Clock;

use crate::answer::Answer;
use crate::buffers::Buffer;
use crate::exchange::Exchange;
use crate::head::{Ending, Message};
use crate::plan::Plan;
use crate::plane::Notice;
use crate::pump::{Progress, Pump, PumpError};
use crate::receive::{Failure, Manner, Received, Receiver};
use crate::stream::{Half, Shared, Stream};
use crate::upstream::{ConnectError, Connected, Upstream};
use crate::watch::{TimedOut, Watch};

/// Connects that one request makes or waits for until it has a stream: as many as a backend may
/// have connections, and some that fail.
const CONNECTS_AWAITED_MAX: usize = 20;

/// What became of one attempt.
pub(crate) enum Attempt {
    Received(Received),
    /// Nothing was passed on and nothing was processed: may be sent anywhere again.
    Untouched(Answer),
    /// The backend speaks otherwise than was planned: to be planned anew, for this very backend.
    Otherwise,
    /// Nothing was passed on: may be sent again if asking twice does no harm.
    Unanswered(Answer),
    /// Answer this, whatever else.
    Final(Answer),
    /// The connection to the client is of no further use.
    Broken,
}

impl Exchange<'_> {
    /// Sends a request and takes the response, as far as that goes. `began` is now.
    pub(crate) async fn attempt(
        &mut self,
        plan: &mut Plan,
        out: &mut Buffer,
        fresh_only: bool,
        began: Instant,
    ) -> Attempt {
        let worker = self.worker;
        let endpoint = Rc::clone(&plan.ticket.route.endpoint);
        let obtained = match plan.message.take() {
            None => self.text_connection(plan, fresh_only, began).await,
            // In a box: connections in text need not be as large.
            Some(message) => Box::pin(self.stream_for(plan, message, out.is_empty(), began)).await,
        };
        let mut upstream = match obtained {
            Ok(upstream) => upstream,
            Err(attempt) => return attempt,
        };
        let limit = worker.shared.config.body_timeout;
        match self.watch.within(limit, upstream.stream.send(out)).await {
            // What waits for the answer holds no buffer; what is sent again is written anew.
            Ok(Ok(())) => *out = Buffer::none(),
            Ok(Err(_)) if upstream.stream.was_refused() => {
                return Attempt::Untouched(Answer::INCOMPLETE);
            }
            Ok(Err(error)) => {
                // An answer that is there already says that the request was read.
                let silent = !upstream.stream.has_said_something();
                let attempt = failed_write(&error, upstream.reused && silent);
                if matches!(attempt, Attempt::Unanswered(_)) {
                    plan.ticket.settle(Outcome::Failed);
                }
                return attempt;
            }
            Err(TimedOut) => {
                plan.ticket.settle(Outcome::Failed);
                return Attempt::Final(Answer::TIMEOUT);
            }
        }
        if plan.body.is_read() && upstream.stream.end_message(plan.body.trailers()).is_err() {
            tracing::debug!("a backend did not want all of a request");
        }
        let config = Arc::clone(&plan.member().config);
        let reused = upstream.reused;
        let body_sent = Cell::new(plan.body.is_read());
        let (begun, moved) = (Cell::new(false), Cell::new(0));
        let mut receiver = Receiver {
            asked: plan.asked,
            manner: Manner::Service { rules: &config.headers, cookie: plan.cookie.as_deref() },
            timeout: config.options.timeout,
            idle: limit,
            body_sent: &body_sent,
            endpoint: &endpoint,
            ticket: Some((&mut plan.ticket, config.options.failure)),
            began,
            clock: worker.clock,
            begun: &begun,
            request_moves: &moved,
            encoders: &worker.encoders,
            draining: &worker.shared.draining,
            tally: &self.tally,
        };
        // A stream that is given up says so at any time; a connection only by its end, which may be
        // that of what the client has to say.
        let in_frames = self.stream.is_message();
        let received = if plan.body.is_read() {
            let (backend, client) =
                (Shared::new(&mut upstream.stream), Shared::new(&mut *self.stream));
            let (mut from, mut to) = (Half::new(&backend), Half::new(&client));
            let mut receive = pin!(receiver.run(&mut self.watch, &mut from, &mut to));
            let mut watching = true;
            let received = poll_fn(|cx| {
                if let Poll::Ready(received) = receive.as_mut().poll(cx) {
                    return Poll::Ready(Some(received));
                }
                watching &= in_frames || self.tally.status.get() == 0;
                if watching {
                    match poll_client(Half::new(&client), cx) {
                        Poll::Ready(Client::Gone) => return Poll::Ready(None),
                        Poll::Ready(Client::Sends) => watching = false,
                        Poll::Pending => {}
                    }
                }
                Poll::Pending
            });
            let Some(received) = received.await else { return Attempt::Broken };
            received
        } else {
            let mut after = Buffer::take();
            let complete = Cell::new(false);
            let (backend, client) =
                (Shared::new(&mut upstream.stream), Shared::new(&mut *self.stream));
            let (mut from, mut up) = (Half::new(&backend), Half::new(&backend));
            let (mut down, mut to) = (Half::new(&client), Half::new(&client));
            let mut patience = Watch::new(worker.clock);
            let (body, asked) = (&mut plan.body, plan.asked);
            // A stream may be refused at any time.
            if reused || up.with(|up| up.is_message()) || asked.verb.is_idempotent() {
                body.keep_for_replay();
            }
            // In a box: only requests whose body is still coming need it, and the task of every
            // busy connection would be as large.
            let both = Box::pin(async {
                let ways = (&mut down, &mut up);
                let marks = (&moved, &begun);
                let clock = (!asked.grpc).then_some(worker.clock);
                let send = send_body(body, &mut patience, limit, ways, &mut after, marks, clock);
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
                    if let Poll::Ready(received) = receive.as_mut().poll(cx) {
                        return Poll::Ready(Ok(received));
                    }
                    let is_gone = in_frames && poll_client(Half::new(&client), cx).is_ready();
                    if is_gone { Poll::Ready(Err(None)) } else { Poll::Pending }
                })
                .await
            })
            .await;
            // What came after the body is the start of the next request.
            plan.sent = complete.get();
            plan.used = plan.used.min(self.input.len());
            match plan.body.take_replay() {
                // It stands where it would have stood had it come together with the head.
                Some(replay) if both.as_ref().is_ok_and(Result::is_err) => {
                    self.input.truncate(plan.used);
                    self.input.extend_from_slice(&replay);
                    plan.used += replay.len();
                }
                _ => plan.streamed = moved.get() > 0,
            }
            self.input.extend_from_slice(&after);
            match both {
                Ok(received) => received,
                Err(_) if self.tally.status.get() > 0 => return Attempt::Broken,
                Err(None) => return Attempt::Broken,
                Err(Some(answer)) => {
                    // A backend that stops reading is as bad as one that does not answer.
                    if answer == Answer::TIMEOUT {
                        plan.ticket.settle(Outcome::Failed);
                    }
                    return Attempt::Final(answer);
                }
            }
        };
        match received {
            Ok(mut received) => {
                received.upstream = Some(upstream);
                Attempt::Received(received)
            }
            Err(Failure::Client | Failure::Midway) => {
                self.stream.abort();
                Attempt::Broken
            }
            // The backend's end came before any byte of an answer, on a connection it had
            // kept open for us: it never read the request.
            Err(Failure::Refused) => Attempt::Untouched(Answer::INCOMPLETE),
            Err(Failure::Ended) if reused => Attempt::Untouched(Answer::INCOMPLETE),
            Err(failure) => {
                plan.ticket.settle(Outcome::Failed);
                match failure {
                    Failure::Malformed => Attempt::Final(Answer::MALFORMED),
                    Failure::TimedOut => Attempt::Final(Answer::TIMEOUT),
                    _ => Attempt::Unanswered(Answer::INCOMPLETE),
                }
            }
        }
    }

    /// A connection for a request in text.
    async fn text_connection(
        &mut self,
        plan: &mut Plan,
        fresh_only: bool,
        now: Instant,
    ) -> Result<Upstream, Attempt> {
        let upstreams = &self.worker.upstreams;
        let idle = if fresh_only || plan.origin.is_some() {
            None
        } else {
            upstreams.idle(&plan.ticket.route.endpoint)
        };
        match idle {
            Some(upstream) => Ok(upstream),
            None => match Box::pin(self.connect(plan, now)).await {
                Ok(Connected::AsExpected(upstream)) => Ok(upstream),
                Ok(Connected::Kept | Connected::Unknown) => Err(Attempt::Otherwise),
                Err(answer) => Err(Attempt::Untouched(answer)),
            },
        }
    }

    /// A stream for a request in frames, its head sent. `no_body_yet` is whether nothing of its
    /// body waits to be sent.
    async fn stream_for(
        &mut self,
        plan: &mut Plan,
        message: Box<Message>,
        no_body_yet: bool,
        now: Instant,
    ) -> Result<Upstream, Attempt> {
        let endpoint = Rc::clone(&plan.ticket.route.endpoint);
        let upstreams = &self.worker.upstreams;
        let mut sharing = upstreams.shared(&endpoint);
        // Of many that come at once one connects, the others wait and look again.
        for _ in 0..CONNECTS_AWAITED_MAX {
            if sharing.is_some() || endpoint.chose_text(plan.speech) {
                break;
            }
            self.connect(plan, now).await.map_err(Attempt::Untouched)?;
            sharing = upstreams.shared(&endpoint);
        }
        // It chose to speak in text, or has closed again.
        let sharing = sharing.ok_or(Attempt::Otherwise)?;
        let ended = no_body_yet && plan.body.is_read() && plan.body.trailers().is_empty();
        let ending = match ended {
            true => Ending::Now,
            false => Ending::of_body(&message, !plan.body.has_end_to_come()),
        };
        let request = message.into_request(endpoint.is_tls());
        let request = request.ok_or(Attempt::Final(Answer::bad_head(400)))?;
        match sharing.send(request, ending) {
            Ok(stream) => Ok(Upstream::of_stream(Stream::H2(Box::new(stream)))),
            Err(error) => {
                tracing::debug!(%error, "a connection to a backend takes no more requests");
                Err(Attempt::Otherwise)
            }
        }
    }

    async fn connect(&mut self, plan: &mut Plan, now: Instant) -> Result<Connected, Answer> {
        let worker = self.worker;
        let endpoint = Rc::clone(&plan.ticket.route.endpoint);
        endpoint.state.begin_trial(now);
        let limit = worker.shared.config.connect_timeout;
        let connect = worker.upstreams.connect_for(&endpoint, plan.speech, plan.origin);
        let connected = self.watch.within(limit, connect).await;
        let (answer, reason) = match connected {
            Ok(Ok(Connected::Unknown)) => return Ok(Connected::Unknown),
            Ok(Ok(connected)) => {
                if let Some(route) = endpoint.state.connected() {
                    worker.shared.tell(Notice::Health(route, true, "connected"));
                }
                return Ok(connected);
            }
            Ok(Err(ConnectError::Io(error))) if is_ours(&error) => {
                tracing::warn!(%error, "cannot connect to any backend");
                return Err(Answer::unavailable(Duration::from_secs(1)));
            }
            Ok(Err(error)) => {
                tracing::debug!(backend = %plan.member().backend, %error, "cannot connect");
                let answer = match error {
                    ConnectError::Tls(_) => Answer::BACKEND_TLS,
                    ConnectError::Frames(_) => Answer::MALFORMED,
                    ConnectError::NoAddress | ConnectError::Io(_) => {
                        Answer::unavailable(Duration::from_secs(1))
                    }
                };
                (answer, error.reason())
            }
            Err(TimedOut) => (Answer::CONNECT_TIMEOUT, "connection_timeout"),
        };
        plan.ticket.settle(Outcome::Failed);
        let route = plan.member().route;
        let failed = endpoint.state.connect_failed(route, worker.clock.mono());
        if failed.is_first {
            worker.shared.tell(Notice::Health(route, false, reason));
        }
        if failed.is_gone {
            worker.shared.tell(Notice::Refused(plan.member().endpoint));
        }
        Err(answer)
    }
}

/// What a client does that waits for its answer.
enum Client {
    /// It has closed, or at least said that it sends no more. Nobody can tell these apart before
    /// something is sent to it; nginx and Envoy take both for an abort, and so does this: what an
    /// endpoint does for somebody who is gone takes the place of what it could do for others.
    Gone,
    /// It sends its next request already.
    Sends,
}

fn poll_client(client: Half<'_, '_>, cx: &mut Context<'_>) -> Poll<Client> {
    client.poll_peek(cx).map(|peeked| match peeked {
        Ok(0) | Err(_) => Client::Gone,
        Ok(_) => Client::Sends,
    })
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

/// Streams the rest of a request's body. With a clock its client may not be too slow; in a gRPC
/// call it may be, since that is a conversation.
async fn send_body(
    body: &mut Pump,
    watch: &mut Watch,
    limit: Duration,
    (from, to): (&mut Half<'_, '_>, &mut Half<'_, '_>),
    after: &mut Vec<u8>,
    (moves, response_begun): (&Cell<u32>, &Cell<bool>),
    clock: Option<Clock>,
) -> Result<(), SendError> {
    let mut floor = Floor::default();
    loop {
        // Time that the backend takes is not the client's.
        let since = clock.filter(|_| !body.is_blocked()).map(|clock| clock.mono());
        let moved = watch.within(limit, poll_fn(|cx| body.poll(cx, from, to, after))).await;
        // Whatever else: something was taken from the client, unless nothing came in time.
        moves.set(moves.get().saturating_add(u32::from(moved.is_ok())));
        if let (Some(clock), Some(since)) = (clock, since)
            && !response_begun.get()
            && floor.is_too_slow(clock.mono().since(since), body.payload_bytes())
        {
            return Err(SendError::Client(Some(Answer::SLOW_REQUEST)));
        }
        match moved {
            Ok(Ok(Progress::Moved)) => {}
            Ok(Ok(Progress::Done)) => return Ok(()),
            Ok(Err(PumpError::Write(_))) => return Err(SendError::Backend),
            Ok(Err(PumpError::Read(error))) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(SendError::Client(Some(Answer::BAD_BODY)));
            }
            Ok(Err(PumpError::Read(_))) => return Err(SendError::Client(None)),
            Ok(Err(PumpError::TooLarge)) => {
                return Err(SendError::Client(Some(Answer::TOO_LARGE)));
            }
            Ok(Err(PumpError::Body(_) | PumpError::Coding(_))) => {
                return Err(SendError::Client(Some(Answer::BAD_BODY)));
            }
            Err(TimedOut) if body.is_blocked() => {
                return Err(SendError::Client(Some(Answer::TIMEOUT)));
            }
            // A conversation both ways: while one side talks the other may listen. When both are
            // silent, the response runs out of time.
            Err(TimedOut) if response_begun.get() => {}
            Err(TimedOut) => return Err(SendError::Client(Some(Answer::SLOW_REQUEST))),
        }
    }
}
