//! Heads on their way: what a backend is told of a request, and a client of a response (SPEC 5).

use http1::{
    BodyFraming, Field, Framing, Known, RequestHead, ResponseHead, Target, Verb, Version, encode,
};
use model::{HeaderAction, HeaderRule, HeaderSide, NormalPath};
use routing::Member;

use crate::answer::MAINTENANCE_RETRY_AFTER_SECONDS;
use crate::buffers::Buffer;
use crate::coding::{Dressing, Wanted};
use crate::head::HeadOut;
use crate::identity::{Client, RequestId};
use crate::receive::Manner;
use crate::upstream::LocalEndpoint;
use crate::websocket::{self, Accept};

/// What has to be remembered of a request once its head is out of sight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) verb: Verb,
    /// HTTP/1.0: no chunks, no interim responses, keep-alive only when said.
    pub(crate) old: bool,
    /// HTTP/2 or HTTP/3: a stream of its own, and no framing in its body.
    pub(crate) message: bool,
    /// A gRPC call: it reads no status but its own.
    pub(crate) grpc: bool,
    /// The port at which it could ask by HTTP/3.
    pub(crate) http3_port: Option<u16>,
    pub(crate) keep_alive: bool,
    pub(crate) websocket: bool,
    /// How the key of its WebSocket handshake is to be answered.
    pub(crate) accept: Option<Accept>,
    /// Whether errors are better shown as a page.
    pub(crate) html: bool,
    /// How the response may be compressed, if its route does that.
    pub(crate) coding: Option<Wanted>,
}

impl Asked {
    /// Of a request whose head could not be read.
    pub(crate) const NOBODY: Self = Self {
        verb: Verb::Other,
        old: false,
        message: false,
        grpc: false,
        http3_port: None,
        keep_alive: false,
        websocket: false,
        accept: None,
        html: false,
        coding: None,
    };

    pub(crate) fn of(head: &RequestHead<'_>) -> Self {
        Self {
            verb: head.verb,
            old: head.version == Version::Http10,
            message: is_message(head),
            grpc: is_message(head) && is_grpc(head),
            http3_port: None,
            keep_alive: head.keep_alive,
            websocket: head.upgrade_websocket,
            accept: None,
            html: false,
            coding: None,
        }
    }
}

/// Whether a person sits at the other end: `Accept` asks for HTML.
pub(crate) fn wants_html(head: &RequestHead<'_>) -> bool {
    head.fields().any(|field| {
        field.name.eq_ignore_ascii_case(b"accept")
            && memchr::memmem::find(field.value, b"text/html").is_some()
    })
}

/// Whether it is a gRPC call: it reads no status but its own.
pub(crate) fn is_grpc(head: &RequestHead<'_>) -> bool {
    head.fields().any(|field| {
        let kind = field.value.strip_prefix(b"application/grpc");
        field.known == Known::ContentType
            && kind.is_some_and(|kind| matches!(kind.first(), None | Some(b'+' | b';')))
    })
}

/// Writes the head of a request for its backend. Returns how the key is to be answered that is in
/// it, if it is a WebSocket handshake.
pub(crate) fn request<H: HeadOut>(
    head: &RequestHead<'_>,
    path: &NormalPath<'_>,
    to: (&Member, &LocalEndpoint),
    from: (&Client, &RequestId),
    out: &mut H,
) -> Option<Accept> {
    let ((member, endpoint), (client, id)) = (to, from);
    let options = &member.config.options;
    let rules = &*member.config.headers;
    let as_sent = head.path_and_query();
    match rewritten(as_sent, path, member) {
        Some(target) => out.request_line(head.method, &target),
        None => out.request_line(head.method, as_sent),
    }
    let mut seen = Seen::default();
    // A target with a host in it counts, whatever else was sent (RFC 9112, 3.2.2).
    if options.preserve_host
        && (is_message(head) || matches!(head.form, Target::Absolute { .. }))
        && let Some(host) = &head.host
    {
        seen.host = true;
        out.host(b"Host", host.raw);
    }
    let mut forwarded_for_lines =
        head.end_to_end().filter(|field| field.known == Known::XForwardedFor).count();
    for field in head.end_to_end() {
        let keep = match field.known {
            Known::Host => {
                if options.preserve_host && !seen.host {
                    seen.host = true;
                    out.host(field.name, field.value);
                }
                false
            }
            Known::Traceparent => {
                seen.traceparent = true;
                true
            }
            Known::XForwardedFor => {
                forwarded_for_lines -= 1;
                if client.trusted {
                    seen.forwarded_for = true;
                    // The lines are one list: whoever sent it comes at its very end.
                    if forwarded_for_lines == 0 {
                        let list = [field.value, b", ", client.text.as_bytes()].concat();
                        out.field(b"X-Forwarded-For", &list);
                    } else {
                        out.field(b"X-Forwarded-For", field.value);
                    }
                }
                false
            }
            Known::XForwardedHost => {
                seen.forwarded_host = client.trusted;
                client.trusted
            }
            Known::XForwardedProto => {
                seen.forwarded_proto = client.trusted;
                client.trusted
            }
            Known::XRealIp => {
                seen.real_ip = client.trusted;
                client.trusted
            }
            Known::XRequestId => {
                seen.request_id = client.trusted;
                client.trusted
            }
            Known::XForwardedPort | Known::Forwarded => client.trusted,
            // Many balancers pass it on from whoever sends it; one that shows a certificate of
            // its own knows what it means.
            Known::XForwardedClientCert => client.trusted && client.certificate().is_some(),
            _ => true,
        };
        // A handshake in frames has a key of ours.
        let keep = keep
            && !(is_message(head)
                && head.upgrade_websocket
                && field.name.eq_ignore_ascii_case(websocket::KEY));
        if keep && !is_replaced(rules, HeaderSide::Request, &field) {
            out.field(field.name, field.value);
        }
    }
    if !seen.host {
        out.host(b"Host", endpoint.authority.as_bytes());
    }
    if matches!(head.framing, Framing::Chunked | Framing::UntilEnd) {
        out.of_this_hop(b"Transfer-Encoding", b"chunked");
    }
    let accept = match (is_message(head), head.upgrade_websocket) {
        (true, true) => Some(websocket_handshake(out)),
        (false, true) => key_of(head).map(Accept::of),
        (_, false) => None,
    };
    if is_message(head) && !head.upgrade_websocket && head.te_trailers {
        out.of_this_hop(b"Connection", b"TE");
    }
    add_identity(head, &seen, (client, id), rules, out);
    write_rules(rules, HeaderSide::Request, out);
    out.end();
    accept
}

/// The key of a handshake in text, if there is exactly one.
fn key_of<'h>(head: &RequestHead<'h>) -> Option<&'h [u8]> {
    let mut keys = head.fields().filter(|field| field.name.eq_ignore_ascii_case(websocket::KEY));
    let key = keys.next()?;
    keys.next().is_none().then_some(key.value)
}

/// Whether a head came in frames.
pub(crate) fn is_message(head: &RequestHead<'_>) -> bool {
    head.version >= Version::Http2
}

/// What a handshake needs in HTTP/1.1 and not in HTTP/2 (RFC 8441, section 5). The answer to the key
/// is for us alone.
fn websocket_handshake<H: HeadOut>(out: &mut H) -> Accept {
    let key = websocket::key();
    out.of_this_hop(b"Connection", b"Upgrade");
    out.of_this_hop(b"Upgrade", b"websocket");
    out.field(b"Sec-WebSocket-Key", key.as_bytes());
    Accept::of(key.as_bytes())
}

/// Writes the head of a request for the server of a maintenance page: whatever was asked for, the
/// page is fetched, so nothing of a body, a range or a condition is passed on.
pub(crate) fn page_request(
    head: &RequestHead<'_>,
    target: &[u8],
    to: &LocalEndpoint,
    (client, id): (&Client, &RequestId),
    out: &mut Vec<u8>,
) {
    const WANTED: [&[u8]; 5] =
        [b"accept", b"accept-language", b"accept-encoding", b"user-agent", b"cookie"];
    let method: &[u8] = if head.verb == Verb::Head { b"HEAD" } else { b"GET" };
    encode::request_line(out, method, target);
    encode::field(out, b"Host", to.authority.as_bytes());
    for field in head.end_to_end() {
        if WANTED.iter().any(|name| name.eq_ignore_ascii_case(field.name)) {
            encode::field(out, field.name, field.value);
        }
    }
    if client.trusted {
        encode::field(out, b"X-Forwarded-For", client.text.as_bytes());
    } else {
        out.extend_from_slice(&client.lines);
    }
    if let Some(host) = &head.host {
        encode::field(out, b"X-Forwarded-Host", host.raw);
    }
    encode::field(out, b"X-Request-Id", id.as_bytes());
    // A page server sees a request now and then: no connection waits for the next one.
    encode::field(out, b"Connection", b"close");
    encode::blank_line(out);
}

/// The path without dot segments, and the query.
pub(crate) fn resolved(head: &RequestHead<'_>, path: &NormalPath<'_>) -> String {
    let target = head.path_and_query();
    let query = memchr::memchr(b'?', target).map_or(&b""[..], |at| &target[at..]);
    format!("{}{}", path.forwarded, String::from_utf8_lossy(query))
}

/// Which fields a request brought that we would add otherwise.
#[derive(Debug, Default)]
struct Seen {
    host: bool,
    traceparent: bool,
    forwarded_for: bool,
    forwarded_host: bool,
    forwarded_proto: bool,
    real_ip: bool,
    request_id: bool,
}

fn add_identity<H: HeadOut>(
    head: &RequestHead<'_>,
    seen: &Seen,
    (client, id): (&Client, &RequestId),
    rules: &[HeaderRule],
    out: &mut H,
) {
    // A setting may replace or strip any of them.
    let add = |out: &mut H, name: &[u8], value: &[u8]| {
        let field = Field { name, value, known: Known::Other };
        if !is_replaced(rules, HeaderSide::Request, &field) {
            out.field(name, value);
        }
    };
    if rules.iter().any(|rule| rule.side == HeaderSide::Request) || client.trusted {
        if !seen.forwarded_for {
            add(out, b"X-Forwarded-For", client.text.as_bytes());
        }
        if !seen.forwarded_proto {
            add(out, b"X-Forwarded-Proto", client.protocol().as_bytes());
        }
        if !seen.real_ip {
            add(out, b"X-Real-IP", client.text.as_bytes());
        }
        if !client.trusted {
            add(out, b"X-Forwarded-Port", client.port.as_bytes());
        }
        if let Some(shown) = client.certificate() {
            add(out, b"X-Forwarded-Client-Cert", shown.as_bytes());
        }
    } else {
        out.lines(&client.lines);
    }
    if !seen.forwarded_host
        && let Some(host) = &head.host
    {
        add(out, b"X-Forwarded-Host", host.raw);
    }
    if !seen.request_id {
        add(out, b"X-Request-Id", id.as_bytes());
    }
    if !seen.traceparent {
        add(out, b"traceparent", &id.traceparent());
    }
}

/// The target for the backend if it is not the one that was sent: dot segments resolved, a
/// prefix taken off, the backend's base path put before it.
fn rewritten(as_sent: &[u8], path: &NormalPath<'_>, member: &Member) -> Option<Buffer> {
    let (base, strip) = (member.backend.base(), member.config.options.strip_prefix.as_deref());
    if as_sent == b"*" {
        return None;
    }
    let query = memchr::memchr(b'?', as_sent).map_or(&b""[..], |at| &as_sent[at..]);
    let same = path.forwarded.len() + query.len() == as_sent.len()
        && as_sent.starts_with(path.forwarded.as_bytes());
    if base.is_empty() && strip.is_none() && same {
        return None;
    }
    let mut target = Buffer::take();
    target.extend_from_slice(base.as_bytes());
    let left = strip.map_or(&*path.forwarded, |prefix| path.without(prefix));
    if !left.starts_with('/') {
        target.push(b'/');
    }
    target.extend_from_slice(left.as_bytes());
    target.extend_from_slice(query);
    Some(target)
}

/// How the connection to the client goes on, and how it is told where the body ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub(crate) keep_alive: bool,
    pub(crate) chunked: bool,
    pub(crate) dressing: Dressing,
}

/// Writes the head of a response for its client.
pub(crate) fn response<H: HeadOut>(
    head: &ResponseHead<'_>,
    manner: &Manner<'_>,
    asked: Asked,
    delivery: Delivery,
    out: &mut H,
) {
    let dressing = delivery.dressing;
    let rules = match manner {
        Manner::Service { rules, .. } => rules,
        Manner::MaintenancePage | Manner::MaintenanceAsset => &[][..],
    };
    match manner {
        Manner::MaintenancePage => {
            out.status_line(503, encode::reason(503).as_bytes());
            page_fields(head, out);
        }
        Manner::MaintenanceAsset => {
            out.status_line(head.status, reason(head));
            page_fields(head, out);
        }
        Manner::Service { cookie, .. } => {
            // On a stream nothing is switched: the handshake is answered, and no key (RFC 8441, 5).
            let is_tunnel = H::IS_MESSAGE && head.is_upgrade();
            let status = if is_tunnel { 200 } else { head.status };
            out.status_line(status, reason(head));
            for field in head.end_to_end() {
                if is_tunnel && field.name.eq_ignore_ascii_case(websocket::ACCEPT) {
                    continue;
                }
                if asked.http3_port.is_some() && field.name.eq_ignore_ascii_case(b"alt-svc") {
                    continue;
                }
                if !is_replaced(rules, HeaderSide::Response, &field) {
                    dressing.field(&field, out);
                }
            }
            dressing.fields(out);
            if let Some(port) = asked.http3_port {
                alternative(port, out);
            }
            if let Some(cookie) = cookie {
                out.field(b"Set-Cookie", cookie.as_bytes());
            }
        }
    }
    if head.framing == BodyFraming::Length(0) && head.content_length.is_none() {
        // On a stream its end says so.
        out.of_this_hop(b"Content-Length", b"0");
    }
    if delivery.chunked {
        out.of_this_hop(b"Transfer-Encoding", b"chunked");
    }
    if head.is_upgrade() {
        // Its Connection field says `upgrade`.
    } else if !delivery.keep_alive {
        out.of_this_hop(b"Connection", b"close");
    } else if asked.old {
        out.of_this_hop(b"Connection", b"keep-alive");
    }
    write_rules(rules, HeaderSide::Response, out);
    out.end();
}

/// Where HTTP/3 is spoken (RFC 7838, 3; RFC 9114, 3.1.1), to be remembered for an hour.
fn alternative<H: HeadOut>(port: u16, out: &mut H) {
    if port == 443 {
        return out.field(b"Alt-Svc", b"h3=\":443\"; ma=3600");
    }
    let value = format!("h3=\":{port}\"; ma=3600");
    out.field(b"Alt-Svc", value.as_bytes());
}

/// The phrase beside the status; frames have none.
fn reason<'h>(head: &ResponseHead<'h>) -> &'h [u8] {
    if head.version >= Version::Http2 {
        encode::reason(head.status).as_bytes()
    } else {
        head.reason
    }
}

/// The status that the client of a response is told.
pub(crate) fn status_of(head: &ResponseHead<'_>, manner: &Manner<'_>) -> u16 {
    match manner {
        Manner::Service { .. } | Manner::MaintenanceAsset => head.status,
        Manner::MaintenancePage => 503,
    }
}

/// What comes from a page server must not be remembered: it stands at the service's own address.
fn page_fields<H: HeadOut>(head: &ResponseHead<'_>, out: &mut H) {
    const OURS: [&[u8]; 6] =
        [b"cache-control", b"retry-after", b"etag", b"last-modified", b"expires", b"age"];
    for field in head.end_to_end() {
        if !OURS.iter().any(|name| name.eq_ignore_ascii_case(field.name)) {
            out.field(field.name, field.value);
        }
    }
    out.field(b"Cache-Control", b"no-store");
    out.number(b"Retry-After", MAINTENANCE_RETRY_AFTER_SECONDS);
}

/// Writes an interim response.
pub(crate) fn interim<H: HeadOut>(head: &ResponseHead<'_>, out: &mut H) {
    out.status_line(head.status, reason(head));
    for field in head.end_to_end() {
        out.field(field.name, field.value);
    }
    out.end();
}

/// Whether a setting replaces or strips what was sent under this name.
fn is_replaced(rules: &[HeaderRule], side: HeaderSide, field: &Field<'_>) -> bool {
    rules.iter().any(|rule| {
        rule.side == side
            && rule.action != HeaderAction::Append
            && rule.name.as_bytes().eq_ignore_ascii_case(field.name)
    })
}

fn write_rules<H: HeadOut>(rules: &[HeaderRule], side: HeaderSide, out: &mut H) {
    for rule in rules.iter().filter(|rule| rule.side == side) {
        if rule.action != HeaderAction::Strip {
            out.field(rule.name.as_bytes(), rule.value.as_bytes());
        }
    }
}
