//! From the bytes of a request head to what is done about it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http1::{
    Decoder, HeadError, HeadSpace, Limits, MessageSpace, RequestHead, Scan, Target, Verb, Version,
    parse_request,
};
use model::{Instant, NormalPath, Scheme, normalize_authority, normalize_path};
use routing::choose;
use routing::{
    Choice, Decision, EndpointHealth, EndpointId, Head, Live, Member, Pool, Unavailable,
};

use crate::answer::Answer;
use crate::coding;
use crate::exchange::Exchange;
use crate::forward::{self, Asked};
use crate::head::Message;
use crate::identity::{self, RequestId};
use crate::page::PagePlan;
use crate::pump::{Framing, Pump, PumpError};
use crate::sticky::{self, Cookie};
use crate::ticket::Ticket;
use crate::upstream::{Origin, Speech};
use crate::worker::{Entered, Sight};

/// A request, made ready to be sent.
pub(crate) struct Plan {
    pub(crate) asked: Asked,
    pub(crate) pool: Arc<Pool>,
    member: usize,
    pub(crate) ticket: Ticket,
    /// How it is put to the backend, and whether that may choose otherwise.
    pub(crate) speech: (Speech, bool),
    /// Whom the backend is told it is for.
    pub(crate) origin: Option<Origin>,
    /// The head, for a backend that is spoken to in frames.
    pub(crate) message: Option<Box<Message>>,
    pub(crate) body: Pump,
    /// The cookie that keeps the client where it is now, if it has none.
    pub(crate) cookie: Option<Box<str>>,
    /// Bytes of the input that are in `out` now: the head and what came of the body.
    pub(crate) used: usize,
    /// Bytes of the head alone.
    pub(crate) head_len: usize,
    /// Whether more of the body was read since: it is not sent twice.
    pub(crate) streamed: bool,
    /// Whether all of the body was read and written. Only then is known where the next request
    /// of the client begins, and does the backend expect no more of this one.
    pub(crate) sent: bool,
    pub(crate) entered: Entered,
}

impl Plan {
    pub(crate) fn member(&self) -> &Member {
        // Chosen from this very list.
        &self.pool.members[self.member]
    }
}

/// What a look at the input says.
pub(crate) enum Look {
    /// The head is not all there.
    More,
    /// Answered here. In a box like the others: whoever waits for a backend holds room for it.
    Ours(Box<Ours>),
    /// To be sent.
    Send(Box<Plan>),
    /// To be answered with a maintenance page.
    Page(Box<PagePlan>),
    /// To be looked at again when something changes, for at most this long; then answered.
    Park(Duration, Box<Ours>),
}

/// A request that is answered here.
pub(crate) struct Ours {
    pub(crate) answer: Answer,
    pub(crate) asked: Asked,
    /// How much of the input it was, if the connection can go on.
    pub(crate) used: Option<usize>,
    /// Whose it would have been.
    pub(crate) pool: Option<Arc<Pool>>,
    /// Where to go instead, or what to say to a certificate authority.
    pub(crate) extra: Option<Box<str>>,
}

/// What is told of a request again and again.
struct Facts<'h> {
    head: &'h RequestHead<'h>,
    path: NormalPath<'h>,
    asked: Asked,
    host: Option<&'h str>,
    raw_path: &'h str,
}

impl Ours {
    fn of(head: &RequestHead<'_>, mut asked: Asked, answer: Answer) -> Self {
        asked.html = forward::wants_html(head);
        let whole = Decoder::request(head.framing).is_done();
        let used = (keeps_connection(&answer) && whole).then_some(head.len);
        Self { answer, asked, used, pool: None, extra: None }
    }
}

/// A request that is answered before anybody asks whose it is.
fn early(head: &RequestHead<'_>, asked: Asked, answer: Answer) -> Look {
    Look::Ours(Box::new(Ours::of(head, asked, answer)))
}

impl Facts<'_> {
    fn ours(&self, answer: Answer, pool: Option<Arc<Pool>>) -> Ours {
        Ours { pool, ..Ours::of(self.head, self.asked, answer) }
    }

    fn refuse(&self, answer: Answer, pool: Option<Arc<Pool>>) -> Look {
        Look::Ours(Box::new(self.ours(answer, pool)))
    }
}

impl Exchange<'_> {
    /// Reads the head, decides, and writes it anew: into `out`, as the start of what the backend
    /// is sent, if that is text.
    pub(crate) fn look(
        &self,
        scan: &mut Scan,
        (id, now): (&RequestId, Instant),
        tried: &[EndpointId],
        out: &mut Vec<u8>,
    ) -> Look {
        if let Some(asking) = &self.asking {
            let mut space = MessageSpace::new();
            return match asking.head(&mut space) {
                Ok(head) => self.consider(&head, (id, now), tried, out),
                Err(error) => self.malformed(error),
            };
        }
        let mut space = HeadSpace::new();
        let host_by_target = self.worker.shared.config.by_name;
        let limits = Limits { host_by_target, ..Limits::STANDARD };
        match parse_request(&self.input, scan, &limits, &mut space) {
            Ok(Some(head)) => self.consider(&head, (id, now), tried, out),
            Ok(None) => Look::More,
            Err(error) => self.malformed(error),
        }
    }

    fn malformed(&self, error: HeadError) -> Look {
        tracing::debug!(client = %self.client.address, %error, "malformed request");
        nobody(Answer::bad_head(error.status()))
    }

    fn consider(
        &self,
        head: &RequestHead<'_>,
        which: (&RequestId, Instant),
        tried: &[EndpointId],
        out: &mut Vec<u8>,
    ) -> Look {
        let asked = Asked::of(head);
        let target = match head.form {
            Target::Asterisk | Target::Absolute { path_and_query: b"*", .. } => &b"/"[..],
            _ => head.path_and_query(),
        };
        let end = memchr::memchr(b'?', target).unwrap_or(target.len());
        let raw = target.get(..end).unwrap_or_default();
        if matches!(head.verb, Verb::Connect | Verb::Trace) {
            return early(head, asked, Answer::METHOD);
        }
        let Ok(path) = normalize_path(raw) else { return early(head, asked, Answer::BAD_PATH) };
        let by_name = self.worker.shared.config.by_name;
        let path = if by_name { path.by_name() } else { path };
        let host = match &head.host {
            Some(host) => match normalize_authority(host.raw) {
                Some(host) => Some(host),
                None => return nobody(Answer::bad_head(400)),
            },
            None => None,
        };
        let raw_path = std::str::from_utf8(raw).unwrap_or("/");
        let facts = Facts { head, path, asked, host: host.as_deref(), raw_path };
        if let Some(look) = self.challenge(&facts).or_else(|| self.elsewhere(&facts)) {
            return look;
        }
        self.decide(&facts, which, tried, out)
    }

    /// A certificate authority's question about a name, in clear text (RFC 8555, section 8.3).
    /// Those that a backend has set for itself go to the backend.
    fn challenge(&self, facts: &Facts<'_>) -> Option<Look> {
        let challenges = self.worker.shared.config.challenges.as_ref()?;
        if self.client.covered.is_some() || !is_challenge(&facts.path.forwarded) {
            return None;
        }
        let text = challenges.http(facts.host?, &facts.path.forwarded)?;
        let ours = Ours { extra: Some(text), ..facts.ours(Answer::CHALLENGE, None) };
        Some(Look::Ours(Box::new(ours)))
    }

    /// Requests that came by the wrong door: over a connection whose certificate is for somebody
    /// else (RFC 9110, section 15.5.20), or in clear text for a host that has a certificate.
    fn elsewhere(&self, facts: &Facts<'_>) -> Option<Look> {
        let host = facts.host?;
        if let Some(covered) = &self.client.covered {
            let misdirected = !covered.covers(host);
            return misdirected.then(|| facts.refuse(Answer::MISDIRECTED, None));
        }
        let https = self.worker.shared.config.https.as_ref().filter(|https| https.redirect)?;
        if self.client.trusted
            || is_challenge(&facts.path.forwarded)
            || !https.resolver.certificates().serves(host)
        {
            return None;
        }
        let port = self.worker.shared.https_port.load(Ordering::Relaxed);
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        let target = forward::resolved(facts.head, &facts.path);
        let mut ours = facts.ours(Answer::TO_TLS, None);
        ours.extra = Some(format!("https://{host}{port}{target}").into());
        Some(Look::Ours(Box::new(ours)))
    }

    /// The client's address as far as it is known, and the one it came to.
    fn origin(&self, facts: &Facts<'_>) -> Origin {
        let trusted = |ip| self.worker.is_trusted(ip);
        let asker = identity::asker(self.client, facts.head.fields(), trusted);
        let peer = self.client.peer;
        // Whoever stands behind another proxy, nobody knows the port of.
        let source = if asker == self.client.address { peer } else { SocketAddr::new(asker, 0) };
        let local =
            self.client.local.or_else(|| self.stream.tcp().and_then(|tcp| tcp.local_addr().ok()));
        let local =
            local.unwrap_or_else(|| SocketAddr::new(any_like(asker), self.client.port_number));
        (source, SocketAddr::new(local.ip().to_canonical(), local.port()))
    }

    /// Where the client could have asked by HTTP/3: at the port of the host it asked for, which may
    /// be another one than ours.
    fn http3_port(&self, head: &RequestHead<'_>) -> Option<u16> {
        self.client.covered.as_ref()?;
        self.worker.shared.config.https.as_ref()?.quic.as_ref()?;
        let port = head.host.as_ref()?.port.unwrap_or(443);
        (head.version != Version::Http3).then_some(port)
    }

    fn decide(
        &self,
        facts: &Facts<'_>,
        (id, now): (&RequestId, Instant),
        tried: &[EndpointId],
        out: &mut Vec<u8>,
    ) -> Look {
        let worker = self.worker;
        let head = Head { host: facts.host, raw_path: facts.raw_path, path: &facts.path };
        let Some((pool, entered)) = worker.find(|table| table.find(head).cloned()) else {
            return facts.refuse(Answer::NO_ROUTE, None);
        };
        let is_first = self.is_new.replace(false);
        let trusted = |ip| worker.is_trusted(ip);
        let asker = identity::asker(self.client, facts.head.fields(), trusted);
        if is_first
            && let Some(quota) = worker.shared.limits.admit(asker, &pool, now)
            && !quota.allowed
        {
            return facts.refuse(Answer::limited(&quota), Some(pool));
        }
        let sticky = pool.config.options.sticky.as_deref();
        let cookie = sticky.and_then(|name| sticky::find(facts.head.fields(), name));
        let sight = Sight { worker, through_maintenance: is_challenge(&facts.path.forwarded) };
        let draw = worker.draw(&pool, asker);
        let park = pool.config.options.park;
        // One that waits does not knock at every door again whenever something changes.
        if self.parked.get() && !park.is_zero() && is_out(&pool, sight, now) {
            let ours = facts.ours(Answer::unavailable(PARKED_RETRY_AFTER), Some(pool));
            return Look::Park(park, Box::new(ours));
        }
        match self.choose(&pool, sight, (now, draw), tried, cookie) {
            Chosen::Send(member, ticket) => {
                let chosen = (pool, member, ticket, entered);
                self.send(facts, chosen, cookie, (id, is_first.then_some(now)), out)
            }
            Chosen::Page(member) => {
                let request = (facts.head, &facts.path);
                self.page_plan(request, facts.asked, (&pool, member), id, entered)
            }
            Chosen::Unavailable(answer) => {
                let waits = !park.is_zero() && is_expected_back(&pool, sight, now);
                let ours = Box::new(facts.ours(answer, Some(pool)));
                if waits { Look::Park(park, ours) } else { Look::Ours(ours) }
            }
        }
    }

    fn choose(
        &self,
        pool: &Arc<Pool>,
        sight: Sight<'_>,
        (now, draw): (Instant, u64),
        tried: &[EndpointId],
        cookie: Option<Cookie>,
    ) -> Chosen {
        let sticky = cookie.map(Cookie::sticky);
        // Endpoints that others filled, drained or probed between the look and the ticket.
        let mut passed = Vec::new();
        loop {
            let tried = if passed.is_empty() { tried } else { &passed };
            match choose(pool, &sight, &Choice { now, draw, tried, sticky }) {
                Decision::NoRoute => return Chosen::Unavailable(Answer::NO_ROUTE),
                Decision::Unavailable { retry_after, reason, .. } => {
                    return Chosen::Unavailable(match reason {
                        Unavailable::Full => Answer::overloaded(retry_after),
                        Unavailable::Gone | Unavailable::Open => Answer::unavailable(retry_after),
                    });
                }
                Decision::Maintenance { member, .. } => return Chosen::Page(member),
                Decision::Send { pool, member } => {
                    let Some(to) = pool.members.get(member) else {
                        return Chosen::Unavailable(Answer::NO_ROUTE);
                    };
                    if let Some(ticket) = Ticket::take(self.worker, to) {
                        return Chosen::Send(member, ticket);
                    }
                    let endpoint = to.endpoint;
                    if passed.is_empty() {
                        passed = tried.to_vec();
                    }
                    passed.push(endpoint);
                }
            }
        }
    }

    fn send(
        &self,
        facts: &Facts<'_>,
        (pool, member, ticket, entered): (Arc<Pool>, usize, Ticket, Entered),
        cookie: Option<Cookie>,
        (id, new_at): (&RequestId, Option<Instant>),
        out: &mut Vec<u8>,
    ) -> Look {
        let mut asked = facts.asked;
        let Some(to) = pool.members.get(member) else {
            return facts.refuse(Answer::NO_ROUTE, None);
        };
        let options = &to.config.options;
        let head = facts.head;
        let endpoint = &ticket.route.endpoint;
        let alone = asked.websocket || options.proxy_protocol;
        let speech = endpoint.speech(options.http2, alone);
        let in_frames = speech.0 == Speech::Frames;
        // A connection that many share is nobody's.
        let origin = (options.proxy_protocol && !in_frames).then(|| self.origin(facts));
        let refused = if asked.websocket && (!options.websocket || in_frames) {
            Some(Answer::NO_WEBSOCKET)
        } else {
            match (options.max_body, head.framing) {
                (Some(max), http1::Framing::Length(length)) if length > max => {
                    Some(Answer::TOO_LARGE)
                }
                _ => None,
            }
        };
        if let Some(answer) = refused {
            return facts.refuse(answer, Some(pool));
        }
        if let Some(now) = new_at {
            self.worker.budget.borrow_mut().request(now);
        }
        let message = if in_frames {
            let mut message = Box::<Message>::default();
            let (to, from) = ((to, &**endpoint), (self.client, id));
            forward::request(head, &facts.path, to, from, &mut *message);
            Some(message)
        } else {
            let (to, from) = ((to, &**endpoint), (self.client, id));
            asked.accept = forward::request(head, &facts.path, to, from, out);
            None
        };
        let framing = match (head.framing, in_frames) {
            (http1::Framing::None | http1::Framing::Length(_), _)
            | (http1::Framing::Chunked, false) => Framing::Kept,
            (http1::Framing::UntilEnd, false) => Framing::Chunked,
            (http1::Framing::Chunked | http1::Framing::UntilEnd, true) => Framing::Bare,
        };
        let decoder = match &self.asking {
            Some(asking) if !asking.ended => Decoder::request_in_frames(head.framing),
            Some(_) | None => Decoder::request(head.framing),
        };
        let mut body = Pump::new(decoder, framing, options.max_body);
        let came = self.input.get(head.len..).unwrap_or_default();
        let used = match body.start(came, out) {
            Ok(used) => head.len + used,
            Err(error) => {
                let answer = match error {
                    PumpError::TooLarge => Answer::TOO_LARGE,
                    _ => Answer::BAD_BODY,
                };
                let (pool, used, extra) = (Some(pool), None, None);
                return Look::Ours(Box::new(Ours { answer, asked, used, pool, extra }));
            }
        };
        asked.keep_alive &= !self.worker.is_draining();
        asked.http3_port = self.http3_port(head).filter(|_| options.http3);
        asked.coding = options.compression.then(|| coding::wanted(head));
        let sticky = pool.config.options.sticky.as_deref();
        let cookie = sticky
            .filter(|_| cookie.is_none_or(|cookie| cookie.token != to.token))
            .map(|name| sticky::set(name, to.token));
        let (sent, head_len) = (body.is_read(), head.len);
        Look::Send(Box::new(Plan {
            asked,
            member,
            ticket,
            speech,
            origin,
            message,
            body,
            cookie,
            used,
            head_len,
            streamed: false,
            sent,
            pool,
            entered,
        }))
    }
}

/// What became of the choice.
enum Chosen {
    Send(usize, Ticket),
    Page(usize),
    Unavailable(Answer),
}

fn nobody(answer: Answer) -> Look {
    let ours = Ours { answer, asked: Asked::NOBODY, used: None, pool: None, extra: None };
    Look::Ours(Box::new(ours))
}

/// The address of nobody, of the same family.
fn any_like(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Whether it is never spoken to in HTTP/1.1.
pub(crate) fn speaks_http2_only(scheme: Scheme) -> bool {
    matches!(scheme, Scheme::H2c | Scheme::Grpc | Scheme::Grpcs)
}

/// Whether the connection can go on after an answer of ours.
fn keeps_connection(answer: &Answer) -> bool {
    *answer == Answer::CHALLENGE
        || matches!(answer.status, 308 | 404 | 405 | 421 | 429 | 502 | 503 | 504)
}

/// What a client is told whose backend did not come back in time.
const PARKED_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Whoever fetches these proves that the domain is ours; maintenance must not hinder it (SPEC 4).
fn is_challenge(path: &str) -> bool {
    path.starts_with("/.well-known/acme-challenge/")
}

/// Whether every endpoint there was is only away for the moment: in reconnect grace, handed over
/// or announced to restart (SPEC 4, "Parking"). Of a process that ends, clients may hear a moment
/// before the registry does: one that refused just now is away too.
fn is_expected_back(pool: &Pool, sight: Sight<'_>, now: Instant) -> bool {
    pool.members.iter().all(|member| {
        let away = sight.worker.route(member).endpoint.state.is_away();
        away || is_out_now(sight.member(member, now).health)
    })
}

/// Whether no endpoint is worth a try.
fn is_out(pool: &Pool, sight: Sight<'_>, now: Instant) -> bool {
    pool.members.iter().all(|member| is_out_now(sight.member(member, now).health))
}

fn is_out_now(health: EndpointHealth) -> bool {
    matches!(health, EndpointHealth::Gone | EndpointHealth::Ejected)
}
