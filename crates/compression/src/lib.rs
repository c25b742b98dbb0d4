//! Content codings of responses: which one, whether at all, and the bytes.
//!
//! A backend answers in plain, the client says what it understands, and this crate makes the
//! one into the other while it passes. It opens no socket and waits for nothing: bytes in,
//! bytes out.
//!
//! # What the caller does to the head
//!
//! A coded response is another representation than the one the backend sent (RFC 9110, 8.4),
//! so its head must change with it:
//!
//! - drop `Content-Length`; the length is not known before the end (8.6).
//! - set `Content-Encoding` to [`Coding::as_str`] (8.4).
//! - weaken a strong `ETag` with [`weaken`]; it named other bytes (8.8.3.3).
//! - drop `Accept-Ranges`; ranges would be of other bytes (14.3).
//! - drop `Content-Digest`, `Digest` and `Content-MD5`, which are of other bytes, and keep
//!   `Repr-Digest` out for the same reason (RFC 9530, 2 and 3).
//! - add `Vary: Accept-Encoding` (12.5.5), and add it as well when [`verdict`] says
//!   [`Verdict::Worth`] and [`negotiate`] found no coding: a cache must not give this answer to
//!   clients that asked for another.
//!
//! # When to flush
//!
//! Write all that has been received, and flush when nothing more is there right now: then
//! nothing the backend has sent waits inside an encoder. While more is there already, leave
//! the flush out; it costs some bytes each time.
//!
//! ```
//! use proxyd_compression::{Coding, Encoder, negotiate};
//!
//! let lines: [&[u8]; 1] = [b"gzip, deflate, br;q=0.9"];
//! assert_eq!(negotiate(lines.into_iter()), Some(Coding::Gzip));
//!
//! let (mut encoder, mut out) = (Encoder::new(Coding::Gzip)?, Vec::new());
//! encoder.write(b"first ", &mut out)?;
//! encoder.flush(&mut out)?; // `out` may be sent, and holds all of it
//! encoder.write(b"second", &mut out)?;
//! encoder.finish(&mut out)?;
//! # Ok::<(), proxyd_compression::EncodeError>(())
//! ```

mod coding;
mod encoder;
mod etag;
mod worth;

pub use coding::{Coding, negotiate};
pub use encoder::{EncodeError, Encoder};
pub use etag::weaken;
pub use worth::{Facts, LENGTH_MIN, Verdict, verdict};
