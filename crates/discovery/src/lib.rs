//! The catalog at work: one task owns it, every dialect asks and changes it through a [`Handle`].
//!
//! A change is carried out on a copy, saved, and only then shown: what was answered is on the
//! disk, and what cannot be saved never happened. Reading takes no turn: [`Handle::view`] is the
//! catalog as it was saved last. [`Checks`] asks the endpoints that nobody speaks for. Whoever
//! wants to know what happens gets [`Changes`], which hold nothing for a reader that is slow: one
//! that falls too far behind is told so.

mod changes;
mod checks;
mod feed;
mod handle;
mod task;

pub use changes::{Changes, Missed};
pub use checks::Checks;
pub use feed::Feed;
pub use handle::{ChangeError, Handle};
pub use task::start;

#[cfg(test)]
mod tests;
