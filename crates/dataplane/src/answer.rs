//! Answers of our own: problem+json, or a small page for people (SPEC 6).

use http1::encode;
use resilience::Admission;

use crate::head::HeadOut;
use crate::identity::RequestId;

/// Something that is answered here and not by a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The type of RFC 9209, section 2.3, and what it says of our side.
    pub(crate) error: &'static str,
    /// For a person; names no address of ours.
    pub(crate) detail: &'static str,
    /// In seconds.
    pub(crate) retry_after: Option<u64>,
    /// The limit that was reached.
    limit: Option<Limit>,
    kind: Kind,
}

/// A rate limit as a client is told of it (draft-ietf-httpapi-ratelimit-headers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    quota: u32,
    remaining: u32,
    /// Seconds until there is room.
    reset: u64,
}

/// What is said besides the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Maintenance,
    /// To a certificate authority: the text it asks for and nothing else.
    Challenge,
    /// To a gRPC call: status 200, and the failure in fields of its own.
    Grpc,
}

/// When to come back to a service in maintenance.
pub(crate) const MAINTENANCE_RETRY_AFTER_SECONDS: u64 = 30;

impl Answer {
    const fn new(status: u16, error: &'static str, detail: &'static str) -> Self {
        Self { status, error, detail, retry_after: None, limit: None, kind: Kind::Plain }
    }

    pub(crate) const NO_ROUTE: Self =
        Self::new(404, "destination_not_found", "no service has registered this address");
    /// A challenge of a certificate authority is met.
    pub(crate) const CHALLENGE: Self = Self { kind: Kind::Challenge, ..Self::new(200, "", "") };
    /// To the same place with TLS; 308 keeps method and body (RFC 9110, section 15.4.9).
    pub(crate) const TO_TLS: Self =
        Self::new(308, "http_request_denied", "this is served with TLS");
    pub(crate) const MISDIRECTED: Self =
        Self::new(421, "http_request_denied", "this connection is for another host");
    pub(crate) const METHOD: Self =
        Self::new(405, "http_request_denied", "this method is not served here");
    pub(crate) const SLOW_REQUEST: Self =
        Self::new(408, "http_request_error", "the request took too long to arrive");
    pub(crate) const TOO_LARGE: Self =
        Self::new(413, "http_request_error", "the request body is larger than this route takes");
    pub(crate) const NO_WEBSOCKET: Self =
        Self::new(400, "http_request_denied", "this route takes no WebSocket handshakes");
    pub(crate) const BAD_PATH: Self =
        Self::new(400, "http_request_error", "the path can be read in more than one way");
    pub(crate) const BAD_BODY: Self =
        Self::new(400, "http_request_error", "the request body is malformed");
    pub(crate) const MALFORMED: Self =
        Self::new(502, "http_protocol_error", "the service's answer is malformed");
    pub(crate) const INCOMPLETE: Self =
        Self::new(502, "http_response_incomplete", "the service closed before it answered");
    pub(crate) const BACKEND_TLS: Self =
        Self::new(502, "tls_certificate_error", "the service could not show who it is");
    pub(crate) const TIMEOUT: Self =
        Self::new(504, "http_response_timeout", "the service took too long to answer");
    pub(crate) const CONNECT_TIMEOUT: Self =
        Self::new(504, "connection_timeout", "the service took too long to accept");

    /// No endpoint is usable.
    pub(crate) fn unavailable(retry_after: std::time::Duration) -> Self {
        Self {
            retry_after: Some(retry_after.as_secs().max(1)),
            ..Self::new(503, "destination_unavailable", "the service is away for the moment")
        }
    }

    /// Every endpoint has as much to do as it may.
    pub(crate) fn overloaded(retry_after: std::time::Duration) -> Self {
        Self {
            retry_after: Some(retry_after.as_secs().max(1)),
            ..Self::new(503, "connection_limit_reached", "the service has enough to do")
        }
    }

    /// A rate limit is reached.
    pub(crate) fn limited(admission: &Admission) -> Self {
        // Up: who comes back at this second is let in.
        let reset =
            admission.reset.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX).max(1);
        Self {
            retry_after: Some(reset),
            limit: Some(Limit { quota: admission.limit, remaining: admission.remaining, reset }),
            ..Self::new(429, "http_request_denied", "too many requests from this address")
        }
    }

    /// The route is in maintenance and has no page of its own.
    pub(crate) const MAINTENANCE: Self = Self {
        retry_after: Some(MAINTENANCE_RETRY_AFTER_SECONDS),
        kind: Kind::Maintenance,
        ..Self::new(503, "destination_unavailable", "the service is being worked on")
    };
    /// The same for a gRPC call.
    pub(crate) const GRPC_MAINTENANCE: Self =
        Self { status: 200, kind: Kind::Grpc, ..Self::MAINTENANCE };

    /// A head that could not be read.
    pub(crate) fn bad_head(status: u16) -> Self {
        Self::new(status, "http_request_error", "the request head is malformed or too large")
    }

    /// Writes the head; the body is returned.
    pub(crate) fn write<H: HeadOut>(
        self,
        to: Audience,
        (id, location): (&RequestId, &str),
        out: &mut H,
    ) -> String {
        if self.kind == Kind::Challenge {
            return Self::write_challenge(to, location, out);
        }
        if self.kind == Kind::Grpc || to.grpc {
            self.write_grpc(to, out);
            return String::new();
        }
        let reason = encode::reason(self.status);
        let body = if to.html { self.page(reason, id) } else { self.problem(reason, id) };
        out.status_line(self.status, reason.as_bytes());
        let kind: &[u8] =
            if to.html { b"text/html; charset=utf-8" } else { b"application/problem+json" };
        out.field(b"Content-Type", kind);
        out.number(b"Content-Length", body.len() as u64);
        out.field(b"Cache-Control", b"no-store");
        let status = format!("proxyd; error={}", self.error);
        out.field(b"Proxy-Status", status.as_bytes());
        out.field(b"X-Request-Id", id.as_bytes());
        if let Some(seconds) = self.retry_after {
            out.number(b"Retry-After", seconds);
        }
        if let Some(limit) = self.limit {
            let Limit { quota, remaining, reset } = limit;
            let left = format!("\"default\";r={remaining};t={reset}");
            out.field(b"RateLimit", left.as_bytes());
            let policy = format!("\"default\";q={quota}");
            out.field(b"RateLimit-Policy", policy.as_bytes());
        }
        if !location.is_empty() {
            out.field(b"Location", location.as_bytes());
        }
        if self.status == 405 {
            out.field(b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        }
        if to.close {
            out.of_this_hop(b"Connection", b"close");
        } else if to.old {
            out.of_this_hop(b"Connection", b"keep-alive");
        }
        out.end();
        if to.head_only { String::new() } else { body }
    }

    /// RFC 8555, section 8.3.
    fn write_challenge<H: HeadOut>(to: Audience, text: &str, out: &mut H) -> String {
        out.status_line(200, b"OK");
        out.field(b"Content-Type", b"application/octet-stream");
        out.number(b"Content-Length", text.len() as u64);
        if to.close {
            out.of_this_hop(b"Connection", b"close");
        } else if to.old {
            out.of_this_hop(b"Connection", b"keep-alive");
        }
        out.end();
        if to.head_only { String::new() } else { text.to_owned() }
    }

    /// Trailers-Only, as the gRPC protocol calls it.
    fn write_grpc<H: HeadOut>(self, to: Audience, out: &mut H) {
        out.status_line(200, b"OK");
        out.field(b"Content-Type", b"application/grpc");
        out.of_this_hop(b"Content-Length", b"0");
        out.number(b"grpc-status", grpc_status(self));
        out.field(b"grpc-message", self.detail.as_bytes());
        if to.close {
            out.of_this_hop(b"Connection", b"close");
        }
        out.end();
    }

    fn problem(self, title: &str, id: &RequestId) -> String {
        format!(
            "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{},\"detail\":\"{}\",\"request_id\":\"{}\"}}\n",
            self.status,
            self.detail,
            String::from_utf8_lossy(id.as_bytes())
        )
    }

    fn page(self, title: &str, id: &RequestId) -> String {
        let (heading, text) = match self.kind {
            Kind::Maintenance => (
                "We will be right back".to_owned(),
                "This service is being worked on. Nothing is lost; this page looks again by itself."
                    .to_owned(),
            ),
            Kind::Plain | Kind::Challenge | Kind::Grpc => {
                (format!("{} {title}", self.status), format!("{}.", sentence(self.detail)))
            }
        };
        // Without a script, so that any policy for scripts lets it work.
        let refresh = match (self.kind, self.retry_after) {
            (Kind::Maintenance, Some(seconds)) => {
                format!("<meta http-equiv=refresh content={seconds}>")
            }
            _ => String::new(),
        };
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8>\
             <meta name=viewport content=\"width=device-width\">{refresh}<title>{heading}</title>\
             <style>*{{box-sizing:border-box}}body{{font:1.05rem/1.6 system-ui,sans-serif;margin:0;\
             min-height:100vh;display:grid;place-items:center;color:#1f2933;background:#f5f7fa}}\
             main{{max-width:34rem;margin:1.5rem;padding:2.5rem 2.75rem;background:#fff;\
             border-radius:14px;box-shadow:0 1px 3px #0002,0 12px 32px #0001}}\
             h1{{font-size:1.6rem;line-height:1.25;margin:0 0 .6rem}}p{{margin:0 0 1.4rem}}\
             small{{color:#7b8794}}@media(prefers-color-scheme:dark){{body{{color:#e4e7eb;\
             background:#12161c}}main{{background:#1c232d;box-shadow:none}}}}</style>\
             <main><h1>{heading}</h1><p>{text}</p><small>request {id}</small></main>\n",
            id = String::from_utf8_lossy(id.as_bytes())
        )
    }
}

/// The code of a gRPC call's end (the gRPC project's list of them and of the codes that clients
/// make of HTTP's). Only what provably did not reach the service is UNAVAILABLE, which clients
/// take for leave to try again.
fn grpc_status(answer: Answer) -> u64 {
    match answer.status {
        400 | 408 | 413 | 431 => 13,
        404 | 405 | 501 => 12,
        429 => 8,
        504 if answer.error == Answer::TIMEOUT.error => 4,
        _ => 14,
    }
}

/// With a capital letter.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// To whom an answer goes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Audience {
    /// Whether it would rather read a page.
    pub(crate) html: bool,
    /// Whether it is a gRPC call.
    pub(crate) grpc: bool,
    /// Whether it asked for the head alone.
    pub(crate) head_only: bool,
    /// Whether it speaks HTTP/1.0 and wants to keep the connection.
    pub(crate) old: bool,
    /// Whether the connection ends with this.
    pub(crate) close: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_the_body_and_head_has_none() {
        let id = RequestId::new(1, 2);
        for html in [false, true] {
            let mut head = Vec::new();
            let to = Audience { html, ..Audience::default() };
            let body = Answer::NO_ROUTE.write(to, (&id, ""), &mut head);
            let head = String::from_utf8(head).unwrap();
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
            let mut head_only = Vec::new();
            let to = Audience { html, head_only: true, ..Audience::default() };
            let none = Answer::NO_ROUTE.write(to, (&id, ""), &mut head_only);
            assert_eq!((head_only, &*none), (head.into_bytes(), ""));
        }
    }

    #[test]
    fn come_back_later() {
        let mut out = Vec::new();
        let answer = Answer::unavailable(std::time::Duration::from_millis(200));
        let _ = answer.write(
            Audience { close: true, ..Audience::default() },
            (&RequestId::new(0, 0), ""),
            &mut out,
        );
        let out = String::from_utf8(out).unwrap();
        assert!(out.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{out}");
        assert!(out.contains("Retry-After: 1\r\n") && out.contains("Connection: close\r\n"));
        assert!(out.contains("Proxy-Status: proxyd; error=destination_unavailable\r\n"));
    }
}
