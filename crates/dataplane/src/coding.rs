//! Which responses are compressed on their way (SPEC 5, `compression`).

use std::cell::Cell;
use std::rc::Rc;

use compression::{Coding, Facts, Verdict, negotiate, verdict, weaken};
use http1::{Field, Known, RequestHead, ResponseHead};

use crate::head::HeadOut;

/// Fields of more lines than this are not looked at any further: nobody sends that many.
const LINES_MAX: usize = 8;
/// Responses of one worker that are compressed at a time: an encoder holds more than a megabyte.
/// Further ones pass as they are.
const ENCODERS_MAX: usize = 64;

/// What a client wants, of a route that compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted(Option<Coding>);

/// What is done about one response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dressing {
    /// Nothing.
    AsItIs,
    /// Others would have got it compressed: caches have to know.
    Varies,
    /// It is compressed.
    Coded(Coding),
}

/// What a request asks for.
pub(crate) fn wanted(head: &RequestHead<'_>) -> Wanted {
    let lines = head.fields().filter(|field| field.known == Known::AcceptEncoding);
    Wanted(negotiate(lines.map(|field| field.value)))
}

/// What is to be done about a response.
pub(crate) fn dressing(wanted: Wanted, head: &ResponseHead<'_>, is_head: bool) -> Dressing {
    let value = |known: Known| head.fields().find(|f| f.known == known).map(|f| f.value);
    let lines = |known: Known| -> Vec<&[u8]> {
        let fields = head.fields().filter(|field| field.known == known);
        fields.map(|field| field.value).take(LINES_MAX).collect()
    };
    let (content_encoding, cache_control) =
        (lines(Known::ContentEncoding), lines(Known::CacheControl));
    let facts = Facts {
        status: head.status,
        is_head,
        content_type: value(Known::ContentType),
        content_encoding: &content_encoding,
        content_length: head.content_length,
        cache_control: &cache_control,
        has_content_range: value(Known::ContentRange).is_some(),
    };
    match (verdict(&facts), wanted.0) {
        (Verdict::Worth, Some(coding)) => Dressing::Coded(coding),
        (Verdict::Worth, None) => Dressing::Varies,
        _ => Dressing::AsItIs,
    }
}

impl Dressing {
    /// Writes a field of the backend's as it has to be now.
    pub(crate) fn field<H: HeadOut>(self, field: &Field<'_>, out: &mut H) {
        const OF_OTHER_BYTES: [&[u8]; 5] =
            [b"accept-ranges", b"content-digest", b"digest", b"content-md5", b"repr-digest"];
        if !matches!(self, Self::Coded(_)) {
            return out.field(field.name, field.value);
        }
        let is = |name: &[u8]| field.name.eq_ignore_ascii_case(name);
        if field.known == Known::ContentLength || OF_OTHER_BYTES.iter().any(|name| is(name)) {
            return;
        }
        match is(b"etag").then(|| weaken(field.value)).flatten() {
            Some(weak) => out.field(field.name, &weak),
            None => out.field(field.name, field.value),
        }
    }

    /// Writes the fields that come with it.
    pub(crate) fn fields<H: HeadOut>(self, out: &mut H) {
        if let Self::Coded(coding) = self {
            out.field(b"Content-Encoding", coding.as_str().as_bytes());
        }
        if self != Self::AsItIs {
            out.field(b"Vary", b"Accept-Encoding");
        }
    }
}

/// A place among the responses that one worker compresses at a time.
#[derive(Debug)]
pub(crate) struct Place(Rc<Cell<usize>>);

impl Place {
    pub(crate) fn take(taken: &Rc<Cell<usize>>) -> Option<Self> {
        if taken.get() >= ENCODERS_MAX {
            return None;
        }
        taken.set(taken.get() + 1);
        Some(Self(Rc::clone(taken)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
