//! HTTP/1.1 as a machine: bytes to heads and body pieces and back, strictly; and the heads of
//! HTTP/2 and HTTP/3, held to the same rules.
//!
//! Both sides of the proxy speak through this crate: a client's request is parsed, written
//! anew for the backend, the backend's response is parsed and written anew for the client.
//! It opens no socket, reads no clock, and allocates nothing per message where the caller
//! brings buffers it uses again.
//!
//! What it stands for is that two parsers in a row never disagree about where a message ends.
//! A head that a lenient reader could understand in two ways is refused, not repaired; the
//! tables beside the code list what that means, byte for byte.
//!
//! # Driving it
//!
//! ```
//! use proxyd_http1::{Decoder, HeadSpace, Limits, Scan, Step, encode, parse_request};
//!
//! let mut input: &[u8] = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
//! let mut out = Vec::new();
//!
//! // One `Scan` per head: it remembers how far earlier calls have looked.
//! let (mut scan, mut space) = (Scan::new(), HeadSpace::new());
//! let head = parse_request(input, &mut scan, &Limits::STANDARD, &mut space)?;
//! let head = head.expect("the whole head is there; `None` means: read more, call again");
//!
//! encode::request_line(&mut out, head.method, head.path_and_query());
//! for field in head.end_to_end() {
//!     encode::field(&mut out, field.name, field.value);
//! }
//! encode::blank_line(&mut out);
//! assert_eq!(out, b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
//!
//! let mut body = Decoder::request(head.framing);
//! input = &input[head.len..];
//! assert_eq!(body.decode(input)?, Step::Payload(2));
//! assert_eq!(body.decode(&input[2..])?, Step::Done);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod encode;
pub mod fuzz;

mod body;
mod chunked;
mod error;
mod facts;
mod field;
mod h2_guard;
mod h3_guard;
mod h3_section;
mod known;
mod limits;
mod message;
mod request;
mod response;
mod scan;
mod target;
mod trailers;
mod verb;

pub use body::{BodyError, Decoder, Pass, Step};
pub use error::HeadError;
pub use field::{EndToEnd, Field, Fields, HeadSpace, Nominated, Version};
pub use h2_guard::{
    H2_IDLE_FRAMES_MAX, H2_IDLE_FRAMES_PER_MESSAGE_FRAME, H2_IDLE_FRAMES_PER_SECOND, H2Guard,
    H2Refused,
};
pub use h3_guard::{
    H3_FRAME_BYTES_MAX, H3_FRAMES_MAX, H3_FRAMES_PER_REQUEST, H3Guard, H3Refused, H3StreamKind,
};
pub use known::Known;
pub use limits::Limits;
pub use message::{
    MessageField, MessageSpace, RequestStart, message_request, message_response, trailer_fields,
    trailer_lines,
};
pub use request::{Framing, RequestHead, parse_request};
pub use response::{BodyFraming, ResponseHead, parse_response};
pub use scan::Scan;
pub use target::{Authority, Target};
pub use verb::Verb;
