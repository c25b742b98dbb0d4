//! Where the head of a message is written: as text for HTTP/1.1, as fields for the streams of
//! HTTP/2 and HTTP/3. Who writes knows no version.

use std::io;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, uri};
use http1::encode;

/// Takes a head, line by line.
pub(crate) trait HeadOut {
    /// Whether it goes to a stream, which has no fields about its connection.
    const IS_MESSAGE: bool;

    fn request_line(&mut self, method: &[u8], target: &[u8]);
    fn status_line(&mut self, status: u16, reason: &[u8]);
    fn field(&mut self, name: &[u8], value: &[u8]);
    /// Whom a request is for; `name` is how a `Host` field is spelled.
    fn host(&mut self, name: &[u8], value: &[u8]);
    /// Whole field lines, each with its line end.
    fn lines(&mut self, lines: &[u8]);
    /// A field about the connection, and nothing on a stream.
    fn of_this_hop(&mut self, name: &[u8], value: &[u8]);
    fn end(&mut self);

    fn number(&mut self, name: &[u8], number: u64) {
        let mut digits = Vec::with_capacity(20);
        encode::decimal(&mut digits, number);
        self.field(name, &digits);
    }
}

impl HeadOut for Vec<u8> {
    const IS_MESSAGE: bool = false;

    fn request_line(&mut self, method: &[u8], target: &[u8]) {
        encode::request_line(self, method, target);
    }

    fn status_line(&mut self, status: u16, reason: &[u8]) {
        encode::status_line(self, status, reason);
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        encode::field(self, name, value);
    }

    fn host(&mut self, name: &[u8], value: &[u8]) {
        encode::field(self, name, value);
    }

    fn lines(&mut self, lines: &[u8]) {
        self.extend_from_slice(lines);
    }

    fn of_this_hop(&mut self, name: &[u8], value: &[u8]) {
        encode::field(self, name, value);
    }

    fn end(&mut self) {
        encode::blank_line(self);
    }

    fn number(&mut self, name: &[u8], number: u64) {
        encode::field_number(self, name, number);
    }
}

/// The head of a message for a stream.
#[derive(Debug)]
pub(crate) struct Message {
    method: Method,
    target: Vec<u8>,
    authority: Vec<u8>,
    status: StatusCode,
    fields: HeaderMap,
}

/// Room for the fields of most heads.
const FIELDS: usize = 24;

impl Default for Message {
    fn default() -> Self {
        Self::with_room(FIELDS)
    }
}

/// How a message ends whose head is sent on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With its head.
    Now,
    /// With the last of so many bytes.
    After(u64),
    /// When that is told, perhaps with trailers.
    Told,
}

impl Ending {
    /// Of a message with a body. `is_counted` is whether nothing can follow the payload.
    pub(crate) fn of_body(message: &Message, is_counted: bool) -> Self {
        match message.content_length().filter(|_| is_counted) {
            Some(length) if length > 0 => Self::After(length),
            Some(_) | None => Self::Told,
        }
    }

    /// Counts payload that is sent, and says whether it was the last.
    pub(crate) fn counts_down(&mut self, len: usize) -> bool {
        let Self::After(left) = self else { return false };
        *left = left.saturating_sub(len as u64);
        *left == 0
    }
}

impl HeadOut for Message {
    const IS_MESSAGE: bool = true;

    fn request_line(&mut self, method: &[u8], target: &[u8]) {
        // It was read as a token, and so it is one.
        self.method = Method::from_bytes(method).unwrap_or_default();
        self.target = target.to_vec();
    }

    fn status_line(&mut self, status: u16, _reason: &[u8]) {
        self.status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        else {
            debug_assert!(false, "what was read or set is a field");
            return;
        };
        if name != http::header::CONNECTION && name != http::header::UPGRADE {
            // A head has a hundred fields at most, far from what a map holds.
            let _ = self.fields.try_append(name, value);
        }
    }

    fn host(&mut self, _name: &[u8], value: &[u8]) {
        self.authority = value.to_vec();
    }

    fn lines(&mut self, lines: &[u8]) {
        for (name, value) in http1::trailer_fields(lines) {
            self.field(name, value);
        }
    }

    fn of_this_hop(&mut self, _name: &[u8], _value: &[u8]) {}

    fn end(&mut self) {}
}

impl Message {
    /// With room for so many fields; more make it grow.
    pub(crate) fn with_room(fields: usize) -> Self {
        let fields = HeaderMap::with_capacity(fields);
        let (method, status) = (Method::GET, StatusCode::OK);
        Self { method, target: Vec::new(), authority: Vec::new(), status, fields }
    }

    /// As a response.
    pub(crate) fn into_response(self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.fields;
        response
    }

    /// As a request; nothing if its target cannot be said in frames.
    pub(crate) fn into_request(self, https: bool) -> Option<Request<()>> {
        let mut parts = uri::Parts::default();
        parts.scheme = Some(if https { uri::Scheme::HTTPS } else { uri::Scheme::HTTP });
        parts.authority = Some(uri::Authority::from_maybe_shared(self.authority).ok()?);
        parts.path_and_query = Some(uri::PathAndQuery::from_maybe_shared(self.target).ok()?);
        let mut request = Request::new(());
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::from_parts(parts).ok()?;
        *request.headers_mut() = self.fields;
        Some(request)
    }

    /// How long the body is said to be.
    fn content_length(&self) -> Option<u64> {
        let value = self.fields.get(http::header::CONTENT_LENGTH)?;
        value.to_str().ok()?.parse().ok()
    }
}

/// The lines of a trailer section that came as fields.
pub(crate) fn trailer_lines(fields: &HeaderMap) -> io::Result<Vec<u8>> {
    let fields = fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    http1::trailer_lines(fields).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The fields of a trailer section in lines.
pub(crate) fn trailers(lines: &[u8]) -> HeaderMap {
    let mut message = Message::default();
    message.lines(lines);
    message.fields
}
