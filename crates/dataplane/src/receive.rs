//! The response's way: from the backend's head to the last byte at the client.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use compression::Encoder;
use http1::{
    BodyFraming, Decoder, HeadError, HeadSpace, Limits, MessageSpace, ResponseHead, Scan, Verb,
    Version, message_response, parse_response,
};
use model::{FailureClass, HeaderRule, Instant};
use resilience::Floor;
use runtime::Clock;
use tokio::io::AsyncWriteExt;

use crate::buffers::{Buffer, read_into};
use crate::coding::{self, Dressing, Place};
use crate::forward::{self, Asked, Delivery};
use crate::h2_stream::Arrived;
use crate::head::{Ending, Message};
use crate::pump::{Framing, Progress, Pump, PumpError};
use crate::stream::Half;
use crate::tally::Tally;
use crate::ticket::{Ticket, outcome_of};
use crate::upstream::{LocalEndpoint, Upstream};
use crate::watch::{TimedOut, Watch};

/// Fields that most responses get from us.
const FIELDS_OF_OURS: usize = 2;
/// Interim responses before a final one.
const INTERIM_MAX: usize = 16;

/// Why there is no complete response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The backend's end came, nothing was passed on.
    Ended,
    /// The connection to the backend broke, nothing was passed on.
    Reset,
    /// What the backend sent is no response, nothing was passed on.
    Malformed,
    /// The backend never looked at the request, as it says itself.
    Refused,
    /// The backend did not answer in time, nothing was passed on.
    TimedOut,
    /// The backend failed after the client had got the beginning.
    Midway,
    /// The client is gone.
    Client,
}

/// A response that went through.
#[derive(Debug)]
pub(crate) struct Received {
    /// As the client was told.
    pub(crate) status: u16,
    /// Whether the backend's connection can carry another request.
    pub(crate) upstream_reusable: bool,
    /// Whether the client's connection can.
    pub(crate) client_reusable: bool,
    /// Whether both go on as a tunnel.
    pub(crate) tunnel: bool,
    /// The connection it came on; put here by whoever owns it.
    pub(crate) upstream: Option<Upstream>,
}

/// Takes one response.
#[derive(Debug)]
pub(crate) struct Receiver<'a> {
    pub(crate) asked: Asked,
    pub(crate) manner: Manner<'a>,
    /// To the response head, once the request is sent.
    pub(crate) timeout: Duration,
    /// Between two pieces of a body.
    pub(crate) idle: Duration,
    pub(crate) body_sent: &'a Cell<bool>,
    pub(crate) endpoint: &'a LocalEndpoint,
    /// Told how the request went once the response head is here.
    pub(crate) ticket: Option<(&'a mut Ticket, FailureClass)>,
    pub(crate) began: Instant,
    pub(crate) clock: Clock,
    /// Whether the client has got something.
    pub(crate) begun: &'a Cell<bool>,
    /// Grows with each piece of the request's body.
    pub(crate) request_moves: &'a Cell<u32>,
    /// Responses that this worker compresses.
    pub(crate) encoders: &'a Rc<Cell<usize>>,
    /// Whether responses should be the last of their connections.
    pub(crate) draining: &'a AtomicBool,
    /// Its status is set when the client has got the beginning of the final response.
    pub(crate) tally: &'a Tally,
}

/// How a response is passed on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner<'a> {
    /// As the route's own answer.
    Service {
        /// The route's settings.
        rules: &'a [HeaderRule],
        /// A cookie to set.
        cookie: Option<&'a str>,
    },
    /// As the page of a service in maintenance.
    MaintenancePage,
    /// As something that such a page refers to.
    MaintenanceAsset,
}

/// What a look at the bytes from the backend says.
enum Look {
    More,
    /// An interim response that took so many bytes of the input.
    Interim(usize, Head),
    Final(Box<Final>),
    Malformed,
}

/// A head for the client.
enum Head {
    /// It is in `out`.
    Text,
    Message(Box<Message>),
}

/// A response whose head is here. The beginning of its body is in `out`.
struct Final {
    head: Head,
    body: Pump,
    received: Received,
}

impl Receiver<'_> {
    pub(crate) async fn run(
        &mut self,
        watch: &mut Watch,
        from: &mut Half<'_, '_>,
        to: &mut Half<'_, '_>,
    ) -> Result<Received, Failure> {
        // Whoever waits for a slow backend holds none.
        let mut input = Buffer::none();
        let mut out = Buffer::none();
        let mut scan = Scan::new();
        let mut interims = 0;
        let mut deadline = None;
        let is_message = from.with(|from| from.is_message());
        let mut response = loop {
            let look = if is_message {
                let arrived = self.arrived(watch, *from, &mut deadline).await?;
                out = Buffer::take();
                self.look_at_message(&arrived, &mut out)
            } else {
                if out.capacity() == 0 && !input.is_empty() {
                    out = Buffer::take();
                }
                self.look_at_text(&input, &mut scan, &mut out)
            };
            match look {
                Look::Final(response) => break response,
                Look::Malformed => return Err(Failure::Malformed),
                Look::Interim(len, head) => {
                    interims += 1;
                    if interims > INTERIM_MAX {
                        return Err(Failure::Malformed);
                    }
                    input.drain(..len);
                    match head {
                        Head::Text => self.write(watch, to, &out).await?,
                        Head::Message(message) => {
                            self.begun.set(true);
                            to.with(|to| to.send_interim(*message)).map_err(|_| Failure::Client)?;
                            let flushed = watch.within(self.idle, to.flush()).await;
                            flushed
                                .map_err(|TimedOut| Failure::Client)?
                                .map_err(|_| Failure::Client)?;
                        }
                    }
                    out.clear();
                }
                Look::More => {
                    let heard = interims > 0;
                    self.read(watch, from, &mut input, heard, &mut deadline).await?;
                }
            }
        };
        // Stays in its box: whoever waits for a backend holds no room for it.
        let Final { head, body, received } = &mut *response;
        let now = self.clock.mono();
        let micros = now.since(self.began).as_micros();
        self.endpoint.state.answered(u32::try_from(micros).unwrap_or(u32::MAX), now);
        drop(input);
        let status = received.status;
        if let Some((ticket, failure)) = &mut self.ticket {
            ticket.settle(outcome_of(status, *failure));
        }
        self.tally.status.set(status);
        let head_bytes = (out.len() as u64).saturating_sub(body.sent_bytes());
        self.tally.sent.set(out.len() as u64);
        let mut whole = body.is_read();
        if let Head::Message(message) = std::mem::replace(head, Head::Text) {
            self.begun.set(true);
            let ended = whole && out.is_empty() && body.trailers().is_empty() && !received.tunnel;
            let ending = match ended {
                true => Ending::Now,
                false => Ending::of_body(&message, !body.has_end_to_come()),
            };
            to.with(|to| to.send_head(*message, ending)).map_err(|_| Failure::Client)?;
        }
        self.write(watch, to, &out).await?;
        drop(out);
        let (mut beyond, mut floor) = (Vec::new(), Floor::default());
        if whole && !received.tunnel {
            body.end(*to).map_err(|_| Failure::Client)?;
        }
        if whole && self.asked.message {
            let flushed = watch.within(self.idle, to.flush()).await;
            flushed.map_err(|TimedOut| Failure::Client)?.map_err(|_| Failure::Client)?;
        }
        while !whole {
            let heard_before = self.request_moves.get();
            // Time that the backend takes is not the client's.
            let since = body.is_blocked().then(|| self.clock.mono());
            let step = poll_fn(|cx| body.poll(cx, from, to, &mut beyond));
            let moved = watch.within(self.idle, step).await;
            self.tally.sent.set(head_bytes.saturating_add(body.sent_bytes()));
            if let Some(since) = since
                && floor.is_too_slow(self.clock.mono().since(since), body.sent_bytes())
            {
                return Err(Failure::Client);
            }
            match moved {
                Ok(Ok(Progress::Done)) => whole = true,
                Ok(Ok(Progress::Moved)) => {}
                Err(TimedOut) if !body.is_blocked() && self.request_moves.get() != heard_before => {
                }
                Ok(Err(PumpError::Write(_))) => return Err(Failure::Client),
                Err(TimedOut) if body.is_blocked() => return Err(Failure::Client),
                Ok(Err(
                    PumpError::Read(_)
                    | PumpError::Body(_)
                    | PumpError::TooLarge
                    | PumpError::Coding(_),
                ))
                | Err(TimedOut) => {
                    self.tally.broke.set(true);
                    return Err(Failure::Midway);
                }
            }
        }
        received.upstream_reusable &= beyond.is_empty();
        Ok(response.received)
    }

    /// Reads more of the response head. `heard` is whether an interim response came before;
    /// `deadline` is for the whole head, from when the request was sent.
    async fn read(
        &self,
        watch: &mut Watch,
        from: &mut Half<'_, '_>,
        input: &mut Buffer,
        heard: bool,
        deadline: &mut Option<Instant>,
    ) -> Result<(), Failure> {
        loop {
            let (sent_before, until) = self.patience(deadline);
            match watch.until(until, read_into(from, input)).await {
                Ok(Ok(0)) if input.is_empty() && !heard => return Err(Failure::Ended),
                Ok(Ok(0)) => return Err(self.failed(Failure::Malformed)),
                Ok(Ok(_)) => return Ok(()),
                // Linux says EPIPE of a reset when the backend's end had come before it (SPEC 4).
                Ok(Err(error))
                    if error.kind() == io::ErrorKind::BrokenPipe && input.is_empty() && !heard =>
                {
                    return Err(Failure::Ended);
                }
                Ok(Err(_)) => return Err(self.failed(Failure::Reset)),
                // While the request is still being sent its own limit holds, and afterwards
                // the backend has its whole time.
                Err(TimedOut) if !sent_before => {}
                Err(TimedOut) => return Err(self.failed(Failure::TimedOut)),
            }
        }
    }

    /// Waits for the next head on a stream.
    async fn arrived(
        &self,
        watch: &mut Watch,
        from: Half<'_, '_>,
        deadline: &mut Option<Instant>,
    ) -> Result<Arrived, Failure> {
        loop {
            let (sent_before, until) = self.patience(deadline);
            let head = poll_fn(|cx| from.with(|from| from.poll_head(cx)));
            match watch.until(until, head).await {
                Ok(Ok(arrived)) => return Ok(arrived),
                Ok(Err(_)) if !self.begun.get() && from.with(|from| from.was_refused()) => {
                    return Err(Failure::Refused);
                }
                Ok(Err(_)) => return Err(self.failed(Failure::Reset)),
                Err(TimedOut) if !sent_before => {}
                Err(TimedOut) => return Err(self.failed(Failure::TimedOut)),
            }
        }
    }

    /// Whether the request is sent, and until when to wait for an answer.
    fn patience(&self, deadline: &mut Option<Instant>) -> (bool, Instant) {
        let from_now_on = || self.clock.mono().after(self.timeout);
        if !self.body_sent.get() {
            return (false, from_now_on());
        }
        (true, *deadline.get_or_insert_with(from_now_on))
    }

    /// An interim response that went out does not hinder an answer of ours, only a retry.
    fn failed(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Reset if self.begun.get() => Failure::Malformed,
            other => other,
        }
    }

    async fn write(
        &self,
        watch: &mut Watch,
        to: &mut Half<'_, '_>,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.begun.set(true);
        let written: Result<io::Result<()>, TimedOut> =
            watch.within(self.idle, send(to, bytes)).await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(TimedOut) => Err(Failure::Client),
        }
    }

    /// Whether the response is compressed on its way.
    fn dress(&self, head: &ResponseHead<'_>, tunnel: bool) -> (Dressing, Option<(Encoder, Place)>) {
        // HTTP/1.0 has no chunks to send a body of unknown length in.
        let Some(wanted) = self.asked.coding.filter(|_| !tunnel && !self.asked.old) else {
            return (Dressing::AsItIs, None);
        };
        let dressing = coding::dressing(wanted, head, self.asked.verb == Verb::Head);
        let Dressing::Coded(coding) = dressing else { return (dressing, None) };
        let encoder = Place::take(self.encoders).zip(Encoder::new(coding).ok());
        match encoder {
            Some((place, encoder)) => (dressing, Some((encoder, place))),
            None => (Dressing::Varies, None),
        }
    }

    fn look_at_text(&self, input: &[u8], scan: &mut Scan, out: &mut Vec<u8>) -> Look {
        if input.is_empty() {
            return Look::More;
        }
        let mut space = HeadSpace::new();
        match parse_response(input, self.asked.verb, scan, &Limits::STANDARD, &mut space) {
            Ok(Some(head)) => {
                let came = input.get(head.len..).unwrap_or_default();
                self.look(&head, Decoder::response(head.framing), came, out)
            }
            Ok(None) => Look::More,
            Err(error) => malformed(error),
        }
    }

    fn look_at_message(&self, arrived: &Arrived, out: &mut Vec<u8>) -> Look {
        let mut space = MessageSpace::new();
        let Arrived { head, ended } = arrived;
        let start = (Version::Http2, head.status.as_u16(), *ended);
        let fields = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let verb = self.asked.verb;
        match message_response(start, fields, verb, &Limits::STANDARD, &mut space) {
            Ok(head) => {
                let decoder = match ended {
                    true => Decoder::response(head.framing),
                    false => Decoder::response_in_frames(head.framing),
                };
                self.look(&head, decoder, b"", out)
            }
            Err(error) => malformed(error),
        }
    }

    /// `came` is what came of the body.
    fn look(
        &self,
        head: &ResponseHead<'_>,
        decoder: Decoder,
        came: &[u8],
        out: &mut Vec<u8>,
    ) -> Look {
        if head.is_interim() {
            let head_out = if self.asked.message {
                let mut message = Message::with_room(head.fields().len());
                forward::interim(head, &mut message);
                Head::Message(Box::new(message))
            } else {
                if !self.asked.old {
                    forward::interim(head, out);
                }
                Head::Text
            };
            return Look::Interim(head.len, head_out);
        }
        if matches!(self.manner, Manner::MaintenancePage) && !is_page(head) {
            return Look::Malformed;
        }
        let tunnel = head.is_upgrade();
        let agreed = || {
            let accept = self.asked.accept.filter(|_| head.upgrade_websocket);
            accept.is_some_and(|accept| accept.is_in(head))
        };
        if tunnel && !agreed() {
            return Look::Malformed;
        }
        // To whom a success is the open tunnel (RFC 8441, 5), nothing else may look like one.
        if self.asked.websocket && self.asked.message && matches!(head.status, 200..=299) {
            return Look::Malformed;
        }
        let (framing, chunked) = match (head.framing, self.asked.old) {
            (BodyFraming::Chunked | BodyFraming::UntilClose, _) if self.asked.message => {
                (Framing::Bare, false)
            }
            (BodyFraming::Chunked, false) => (Framing::Kept, true),
            (BodyFraming::Chunked, true) => (Framing::Bare, false),
            (BodyFraming::UntilClose, false) => (Framing::Chunked, true),
            (BodyFraming::UntilClose, true) => (Framing::Bare, false),
            (BodyFraming::None | BodyFraming::Length(_), _) => (Framing::Kept, false),
        };
        // A drain may have begun since the request came.
        let goes_on = self.asked.keep_alive && !self.draining.load(Ordering::Relaxed);
        let keep_alive = goes_on && framing != Framing::Bare;
        let (dressing, encoder) = self.dress(head, tunnel);
        let chunked = chunked || (encoder.is_some() && !self.asked.message);
        let delivery = Delivery { keep_alive, chunked, dressing };
        let head_out = if self.asked.message {
            let mut message = Message::with_room(head.fields().len() + FIELDS_OF_OURS);
            forward::response(head, &self.manner, self.asked, delivery, &mut message);
            Head::Message(Box::new(message))
        } else {
            forward::response(head, &self.manner, self.asked, delivery, out);
            Head::Text
        };
        let status = forward::status_of(head, &self.manner);
        if tunnel {
            // The backend's first frame may come glued to its 101.
            out.extend_from_slice(came);
            let body = Pump::new(Decoder::response(BodyFraming::None), Framing::Kept, None);
            let received = Received::tunnel(status);
            return Look::Final(Box::new(Final { head: head_out, body, received }));
        }
        let until_close = head.framing == BodyFraming::UntilClose;
        let mut body = match encoder {
            Some(coding) if self.asked.message => Pump::coded(decoder, Framing::Bare, coding),
            Some(coding) => Pump::coded(decoder, Framing::Chunked, coding),
            None => Pump::new(decoder, framing, None),
        };
        let Ok(used) = body.start(came, out) else {
            out.clear();
            return Look::Malformed;
        };
        let received = Received {
            status,
            upstream_reusable: head.keep_alive && !until_close && used == came.len(),
            client_reusable: keep_alive,
            tunnel: false,
            upstream: None,
        };
        Look::Final(Box::new(Final { head: head_out, body, received }))
    }
}

fn malformed(error: HeadError) -> Look {
    tracing::debug!(%error, "malformed response");
    Look::Malformed
}

async fn send(to: &mut Half<'_, '_>, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

/// Whether this can be shown as a page: it has a body, and does not lead elsewhere.
fn is_page(head: &ResponseHead<'_>) -> bool {
    matches!(head.status, 200..=203 | 400..)
}

impl Received {
    fn tunnel(status: u16) -> Self {
        Self {
            status,
            upstream_reusable: false,
            client_reusable: false,
            tunnel: true,
            upstream: None,
        }
    }
}
