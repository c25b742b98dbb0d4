//! Reads the configuration: text to values of the right form (SPEC 9).
//!
//! [`Source::read`] gives [`raw::Raw`]: every name is known and every value has its form, no default is
//! filled in, and nothing is asked of the world. [`raw::Raw::override_by`] lays the environment over it.
//! Whoever finds later that a value makes no sense asks [`Source::place`] where it stands. What values
//! mean, which files they name and whether those are good is decided elsewhere.
//!
//! An error names the file, line, column and key, and says what was wanted, with the name that was
//! probably meant.

pub mod fuzz;
pub mod raw;

mod environment;
mod forms;
mod nearest;
mod place;
mod source;

pub use environment::variable_of;
pub use source::{ReadError, Source};
