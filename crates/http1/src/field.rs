//! The fields of a head: where they are kept, and how they are walked.

use std::mem::MaybeUninit;

use crate::{Known, Limits};

/// The protocol version of a message (RFC 9110, 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// `HTTP/1.0`.
    Http10,
    /// `HTTP/1.1`.
    Http11,
    /// RFC 9113.
    Http2,
    /// RFC 9114.
    Http3,
}

/// Room for the fields of one head. Making one costs nothing; it lives on the stack beside
/// the head that borrows it, best in a function that does not wait.
#[derive(Debug)]
pub struct HeadSpace<'b> {
    pub(crate) headers: [MaybeUninit<httparse::Header<'b>>; Limits::FIELDS_MAX],
    pub(crate) known: [Known; Limits::FIELDS_MAX],
}

impl HeadSpace<'_> {
    /// Empty room.
    pub const fn new() -> Self {
        HeadSpace {
            headers: [MaybeUninit::uninit(); Limits::FIELDS_MAX],
            known: [Known::Other; Limits::FIELDS_MAX],
        }
    }
}

impl Default for HeadSpace<'_> {
    fn default() -> Self {
        HeadSpace::new()
    }
}

/// One field of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'b> {
    /// The name as sent: a token, never empty, in the sender's case.
    pub name: &'b [u8],
    /// The value without the white space around it. Bytes above 127 may occur.
    pub value: &'b [u8],
    /// The name, classified.
    pub known: Known,
}

/// The fields of a head in the order they came, nothing left out.
#[derive(Clone, Debug)]
pub struct Fields<'h> {
    headers: std::slice::Iter<'h, httparse::Header<'h>>,
    known: std::slice::Iter<'h, Known>,
}

impl<'h> Fields<'h> {
    pub(crate) fn new(headers: &'h [httparse::Header<'h>], known: &'h [Known]) -> Fields<'h> {
        debug_assert_eq!(headers.len(), known.len(), "each field is classified");
        Fields { headers: headers.iter(), known: known.iter() }
    }
}

impl<'h> Iterator for Fields<'h> {
    type Item = Field<'h>;

    fn next(&mut self) -> Option<Field<'h>> {
        let (header, known) = (self.headers.next()?, self.known.next()?);
        Some(Field { name: header.name.as_bytes(), value: header.value, known: *known })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.headers.size_hint()
    }
}

impl ExactSizeIterator for Fields<'_> {}

/// The fields that go on to the next hop, in the order they came (RFC 9110, 7.6.1).
///
/// Left out are `Connection` and what it nominates, `Keep-Alive`, `Proxy-Connection`,
/// `Proxy-Authenticate`, `Proxy-Authorization`, `Proxy`, `Transfer-Encoding` (the writer says
/// how it frames the body), `Upgrade`, `TE`, and `Content-Length` where no body can follow
/// (1xx, 204). For a WebSocket handshake `Connection: upgrade` and `Upgrade: websocket` stay
/// in place; for `TE: trailers` with `Connection: TE`, those two. `Trailer` and `Expect` are
/// end-to-end and stay.
///
/// A nomination counts only against a name we do not know ([`Known::Other`]). All others that
/// are left have a meaning of their own for the recipient or for us, so `Connection: Host` or
/// `Connection: Authorization, X-Forwarded-For` is an attempt to have a proxy remove what a
/// later hop relies on.
#[derive(Clone, Debug)]
pub struct EndToEnd<'h> {
    fields: Fields<'h>,
    /// What `Connection` nominates, if anything.
    nominated: Option<Nominated<'h>>,
    /// What to write in place of the first field of that name.
    connection: Option<&'static [u8]>,
    upgrade: Option<&'static [u8]>,
    te: Option<&'static [u8]>,
    keep_length: bool,
}

/// What of the hop-by-hop fields is said anew to the next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retain {
    Nothing,
    Websocket,
    TeTrailers,
}

impl<'h> EndToEnd<'h> {
    pub(crate) fn new(
        fields: Fields<'h>,
        nominates: bool,
        retain: Retain,
        keep_length: bool,
    ) -> EndToEnd<'h> {
        let nominated = nominates.then(|| Nominated::new(fields.clone()));
        let websocket = retain == Retain::Websocket;
        let te_trailers = retain == Retain::TeTrailers;
        let connection: Option<&[u8]> = match retain {
            Retain::Nothing => None,
            Retain::Websocket => Some(b"upgrade"),
            Retain::TeTrailers => Some(b"TE"),
        };
        let upgrade = websocket.then_some(&b"websocket"[..]);
        let te = te_trailers.then_some(&b"trailers"[..]);
        EndToEnd { fields, nominated, connection, upgrade, te, keep_length }
    }

    fn is_nominated(&self, name: &[u8]) -> bool {
        self.nominated
            .clone()
            .is_some_and(|mut names| names.any(|other| other.eq_ignore_ascii_case(name)))
    }
}

impl<'h> Iterator for EndToEnd<'h> {
    type Item = Field<'h>;

    fn next(&mut self) -> Option<Field<'h>> {
        loop {
            let field = self.fields.next()?;
            let value = match field.known {
                Known::Connection => self.connection.take(),
                Known::Upgrade => self.upgrade.take(),
                Known::Te => self.te.take(),
                Known::ContentLength if !self.keep_length => None,
                Known::Other if self.nominated.is_some() && self.is_nominated(field.name) => None,
                known if known.is_hop_by_hop() => None,
                _ => Some(field.value),
            };
            if let Some(value) = value {
                return Some(Field { value, ..field });
            }
        }
    }
}

/// The field names that `Connection` nominates, without `close`, `keep-alive`, `upgrade`
/// and `te`.
#[derive(Clone, Debug)]
pub struct Nominated<'h> {
    fields: Fields<'h>,
    rest: &'h [u8],
}

impl<'h> Nominated<'h> {
    pub(crate) fn new(fields: Fields<'h>) -> Nominated<'h> {
        Nominated { fields, rest: b"" }
    }
}

impl<'h> Iterator for Nominated<'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        loop {
            while let Some(element) = next_element(&mut self.rest) {
                if ConnectionOption::of(element) == ConnectionOption::Name {
                    return Some(element);
                }
            }
            let connection = self.fields.find(|field| field.known == Known::Connection)?;
            self.rest = connection.value;
        }
    }
}

/// One element of `Connection` (RFC 9110, 7.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionOption {
    Close,
    KeepAlive,
    Upgrade,
    Te,
    /// The name of a field that is for this hop alone.
    Name,
    /// Nothing between two commas.
    Empty,
}

impl ConnectionOption {
    pub(crate) fn of(element: &[u8]) -> ConnectionOption {
        let is = |name: &[u8]| element.eq_ignore_ascii_case(name);
        match element.len() {
            0 => ConnectionOption::Empty,
            2 if is(b"te") => ConnectionOption::Te,
            5 if is(b"close") => ConnectionOption::Close,
            7 if is(b"upgrade") => ConnectionOption::Upgrade,
            10 if is(b"keep-alive") => ConnectionOption::KeepAlive,
            _ => ConnectionOption::Name,
        }
    }
}

/// Takes the first element off a comma-separated list, without white space around it; `None`
/// when nothing is left (RFC 9110, 5.6.1).
pub(crate) fn next_element<'b>(list: &mut &'b [u8]) -> Option<&'b [u8]> {
    if list.is_empty() {
        return None;
    }
    let (element, rest) = match memchr::memchr(b',', list) {
        Some(at) => (&list[..at], &list[at + 1..]),
        None => (*list, &b""[..]),
    };
    *list = rest;
    Some(element.trim_ascii())
}

#[cfg(test)]
#[path = "field_tests.rs"]
mod tests;
