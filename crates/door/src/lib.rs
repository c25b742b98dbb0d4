//! Who comes in, by which way ever, and who does not.
//!
//! [`Guests`] counts what there is of one kind, in all and of one peer, and [`Pace`] how fast it
//! comes. [`Door`] is a listener that lets connections in by them and sees them out at the end.
//! [`Secret`] is what somebody has to know, and [`Access`] what a request over HTTP has to show.
//! [`Refusals`] tells in the log of those who are not let in.
//!
//! What is said on a connection is no matter of this crate.

mod access;
mod door;
mod guests;
mod pace;
mod refusals;
mod secret;

pub use access::{Access, Caller, Denied, bearer};
pub use door::{Door, Leaving, dismiss, is_about_one_connection};
pub use guests::{Bounds, Full, Guest, Guests};
pub use pace::{Mono, Pace, Rate};
pub use refusals::{Reason, Refusals};
pub use secret::{SECRET_BYTES_MAX, Secret};
