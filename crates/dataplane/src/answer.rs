//! Answers of our own: problem+json, or a small page for people (SPEC 6).

use http1::encode;

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
}

impl Answer {
    const fn new(status: u16, error: &'static str, detail: &'static str) -> Self {
        Self { status, error, detail, retry_after: None }
    }

    pub(crate) const NO_ROUTE: Self =
        Self::new(404, "destination_not_found", "no service has registered this address");
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
    pub(crate) const TLS_BACKEND: Self =
        Self::new(502, "proxy_configuration_error", "the service's scheme is not supported yet");
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

    /// A head that could not be read.
    pub(crate) fn bad_head(status: u16) -> Self {
        Self::new(status, "http_request_error", "the request head is malformed or too large")
    }

    /// Writes head and body.
    pub(crate) fn write(self, to: Audience, id: &RequestId, out: &mut Vec<u8>) {
        let reason = encode::reason(self.status);
        let body = if to.html { self.page(reason, id) } else { self.problem(reason, id) };
        encode::status_line(out, self.status, reason.as_bytes());
        let kind: &[u8] =
            if to.html { b"text/html; charset=utf-8" } else { b"application/problem+json" };
        encode::field(out, b"Content-Type", kind);
        encode::field_number(out, b"Content-Length", body.len() as u64);
        encode::field(out, b"Cache-Control", b"no-store");
        let status = format!("proxyd; error={}", self.error);
        encode::field(out, b"Proxy-Status", status.as_bytes());
        encode::field(out, b"X-Request-Id", id.as_bytes());
        if let Some(seconds) = self.retry_after {
            encode::field_number(out, b"Retry-After", seconds);
        }
        if self.status == 405 {
            encode::field(out, b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        }
        if to.close {
            encode::field(out, b"Connection", b"close");
        } else if to.old {
            encode::field(out, b"Connection", b"keep-alive");
        }
        encode::blank_line(out);
        if !to.head_only {
            out.extend_from_slice(body.as_bytes());
        }
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
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8>\
             <meta name=viewport content=\"width=device-width\"><title>{status} {title}</title>\
             <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;\
             padding:0 1rem;color:#222;background:#fff}}small{{color:#666}}\
             @media(prefers-color-scheme:dark){{body{{color:#ddd;background:#111}}}}</style>\
             <h1>{status} {title}</h1><p>{detail}.</p><small>request {id}</small>\n",
            status = self.status,
            detail = self.detail,
            id = String::from_utf8_lossy(id.as_bytes())
        )
    }
}

/// To whom an answer goes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Audience {
    /// Whether it would rather read a page.
    pub(crate) html: bool,
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
            let mut whole = Vec::new();
            Answer::NO_ROUTE.write(Audience { html, ..Audience::default() }, &id, &mut whole);
            let whole = String::from_utf8(whole).unwrap();
            let (head, body) = whole.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
            let mut head_only = Vec::new();
            let to = Audience { html, head_only: true, ..Audience::default() };
            Answer::NO_ROUTE.write(to, &id, &mut head_only);
            assert_eq!(head_only, format!("{head}\r\n\r\n").into_bytes());
        }
    }

    #[test]
    fn come_back_later() {
        let mut out = Vec::new();
        let answer = Answer::unavailable(std::time::Duration::from_millis(200));
        answer.write(
            Audience { close: true, ..Audience::default() },
            &RequestId::new(0, 0),
            &mut out,
        );
        let out = String::from_utf8(out).unwrap();
        assert!(out.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{out}");
        assert!(out.contains("Retry-After: 1\r\n") && out.contains("Connection: close\r\n"));
        assert!(out.contains("Proxy-Status: proxyd; error=destination_unavailable\r\n"));
    }
}
