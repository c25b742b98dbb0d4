//! Heads on their way: what a backend is told of a request, and a client of a response (SPEC 5).

use http1::{Field, Framing, Known, RequestHead, ResponseHead, Verb, Version, encode};
use model::{HeaderAction, HeaderRule, HeaderSide, NormalPath};
use routing::Member;

use crate::answer::MAINTENANCE_RETRY_AFTER_SECONDS;
use crate::buffers::Buffer;
use crate::coding::{Dressing, Wanted};
use crate::identity::{Client, RequestId};
use crate::receive::Manner;
use crate::upstream::LocalEndpoint;

/// What has to be remembered of a request once its head is out of sight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) verb: Verb,
    /// HTTP/1.0: no chunks, no interim responses, keep-alive only when said.
    pub(crate) old: bool,
    pub(crate) keep_alive: bool,
    pub(crate) websocket: bool,
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
        keep_alive: false,
        websocket: false,
        html: false,
        coding: None,
    };

    pub(crate) fn of(head: &RequestHead<'_>) -> Self {
        Self {
            verb: head.verb,
            old: head.version == Version::Http10,
            keep_alive: head.keep_alive,
            websocket: head.upgrade_websocket,
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
        field.known == Known::ContentType && field.value.starts_with(b"application/grpc")
    })
}

/// Writes the head of a request for its backend.
pub(crate) fn request(
    head: &RequestHead<'_>,
    path: &NormalPath<'_>,
    to: (&Member, &LocalEndpoint),
    from: (&Client<'_>, &RequestId),
    out: &mut Vec<u8>,
) {
    let ((member, endpoint), (client, id)) = (to, from);
    let options = &member.config.options;
    let rules = &*member.config.headers;
    let as_sent = head.path_and_query();
    match rewritten(as_sent, path, member) {
        Some(target) => encode::request_line(out, head.method, &target),
        None => encode::request_line(out, head.method, as_sent),
    }
    let mut seen = Seen::default();
    let mut forwarded_for_lines =
        head.end_to_end().filter(|field| field.known == Known::XForwardedFor).count();
    for field in head.end_to_end() {
        let keep = match field.known {
            Known::Host => {
                seen.host = options.preserve_host;
                options.preserve_host
            }
            Known::Traceparent => {
                seen.traceparent = true;
                true
            }
            Known::XForwardedFor => {
                forwarded_for_lines -= 1;
                if client.trusted {
                    seen.forwarded_for = true;
                    out.extend_from_slice(b"X-Forwarded-For: ");
                    out.extend_from_slice(field.value);
                    // The lines are one list: whoever sent it comes at its very end.
                    if forwarded_for_lines == 0 {
                        out.extend_from_slice(b", ");
                        out.extend_from_slice(client.text.as_bytes());
                    }
                    out.extend_from_slice(b"\r\n");
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
        if keep && !is_replaced(rules, HeaderSide::Request, &field) {
            encode::field(out, field.name, field.value);
        }
    }
    if !seen.host {
        encode::field(out, b"Host", endpoint.authority.as_bytes());
    }
    if head.framing == Framing::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    add_identity(head, &seen, (client, id), rules, out);
    write_rules(rules, HeaderSide::Request, out);
    encode::blank_line(out);
}

/// Writes the head of a request for the server of a maintenance page: whatever was asked for, the
/// page is fetched, so nothing of a body, a range or a condition is passed on.
pub(crate) fn page_request(
    head: &RequestHead<'_>,
    target: &[u8],
    to: &LocalEndpoint,
    (client, id): (&Client<'_>, &RequestId),
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

fn add_identity(
    head: &RequestHead<'_>,
    seen: &Seen,
    (client, id): (&Client<'_>, &RequestId),
    rules: &[HeaderRule],
    out: &mut Vec<u8>,
) {
    // A setting may replace or strip any of them.
    let add = |out: &mut Vec<u8>, name: &[u8], value: &[u8]| {
        let field = Field { name, value, known: Known::Other };
        if !is_replaced(rules, HeaderSide::Request, &field) {
            encode::field(out, name, value);
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
        out.extend_from_slice(&client.lines);
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
    let left = strip.map_or(&*path.forwarded, |prefix| stripped(&path.forwarded, prefix));
    if !left.starts_with('/') {
        target.push(b'/');
    }
    target.extend_from_slice(left.as_bytes());
    target.extend_from_slice(query);
    Some(target)
}

/// `path` without `prefix`, if that ends where a segment does.
fn stripped<'p>(path: &'p str, prefix: &str) -> &'p str {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    match path.strip_prefix(prefix) {
        Some(left) if left.is_empty() || left.starts_with('/') => left,
        Some(_) | None => path,
    }
}

/// How the connection to the client goes on, and how it is told where the body ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub(crate) keep_alive: bool,
    pub(crate) chunked: bool,
    pub(crate) dressing: Dressing,
}

/// Writes the head of a response for its client.
pub(crate) fn response(
    head: &ResponseHead<'_>,
    manner: &Manner<'_>,
    asked: Asked,
    delivery: Delivery,
    out: &mut Vec<u8>,
) {
    let dressing = delivery.dressing;
    let rules = match manner {
        Manner::Service { rules, .. } => rules,
        Manner::MaintenancePage | Manner::MaintenanceAsset => &[][..],
    };
    match manner {
        Manner::MaintenancePage => {
            encode::status_line(out, 503, encode::reason(503).as_bytes());
            page_fields(head, out);
        }
        Manner::MaintenanceAsset => {
            encode::status_line(out, head.status, head.reason);
            page_fields(head, out);
        }
        Manner::Service { cookie, .. } => {
            encode::status_line(out, head.status, head.reason);
            for field in head.end_to_end() {
                if !is_replaced(rules, HeaderSide::Response, &field) {
                    dressing.field(&field, out);
                }
            }
            dressing.fields(out);
            if let Some(cookie) = cookie {
                encode::field(out, b"Set-Cookie", cookie.as_bytes());
            }
        }
    }
    if delivery.chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if head.is_upgrade() {
        // Its Connection field says `upgrade`.
    } else if !delivery.keep_alive {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if asked.old {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    write_rules(rules, HeaderSide::Response, out);
    encode::blank_line(out);
}

/// The status that the client of a response is told.
pub(crate) fn status_of(head: &ResponseHead<'_>, manner: &Manner<'_>) -> u16 {
    match manner {
        Manner::Service { .. } | Manner::MaintenanceAsset => head.status,
        Manner::MaintenancePage => 503,
    }
}

/// What comes from a page server must not be remembered: it stands at the service's own address.
fn page_fields(head: &ResponseHead<'_>, out: &mut Vec<u8>) {
    const OURS: [&[u8]; 6] =
        [b"cache-control", b"retry-after", b"etag", b"last-modified", b"expires", b"age"];
    for field in head.end_to_end() {
        if !OURS.iter().any(|name| name.eq_ignore_ascii_case(field.name)) {
            encode::field(out, field.name, field.value);
        }
    }
    encode::field(out, b"Cache-Control", b"no-store");
    encode::field_number(out, b"Retry-After", MAINTENANCE_RETRY_AFTER_SECONDS);
}

/// Writes an interim response.
pub(crate) fn interim(head: &ResponseHead<'_>, out: &mut Vec<u8>) {
    encode::status_line(out, head.status, head.reason);
    for field in head.end_to_end() {
        encode::field(out, field.name, field.value);
    }
    encode::blank_line(out);
}

/// Whether a setting replaces or strips what was sent under this name.
fn is_replaced(rules: &[HeaderRule], side: HeaderSide, field: &Field<'_>) -> bool {
    rules.iter().any(|rule| {
        rule.side == side
            && rule.action != HeaderAction::Append
            && rule.name.as_bytes().eq_ignore_ascii_case(field.name)
    })
}

fn write_rules(rules: &[HeaderRule], side: HeaderSide, out: &mut Vec<u8>) {
    for rule in rules.iter().filter(|rule| rule.side == side) {
        if rule.action != HeaderAction::Strip {
            encode::field(out, rule.name.as_bytes(), rule.value.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_at_segments() {
        let table = [
            ("/api/x", "/api", "/x"),
            ("/api", "/api", ""),
            ("/api/", "/api/", "/"),
            ("/apix", "/api", "/apix"),
            ("/x", "/", "/x"),
        ];
        for (path, prefix, left) in table {
            assert_eq!(stripped(path, prefix), left, "{path} {prefix}");
        }
    }
}
