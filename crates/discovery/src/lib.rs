//! The catalog at work: one task owns it, every dialect asks and changes it through a [`Handle`].
//!
//! A change is carried out on a copy, saved, and only then shown: what was answered is on the
//! disk, and what cannot be saved never happened. What happens by itself, the end of heartbeats or
//! what a [`Feed`] says, is shown at once and saved soon, before any later change. Reading takes no
//! turn: [`Handle::view`] is the catalog as it is. [`Checks`] asks the endpoints that nobody speaks
//! for. Whoever wants to know what happens gets [`Changes`], which hold nothing for a reader that is
//! slow: one that falls too far behind is told so.

mod backlog;
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
