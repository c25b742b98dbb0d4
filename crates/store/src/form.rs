//! How values are written down.
//!
//! Texts and JSON of our own, converted by hand: renaming a field in `model` changes no file. Every
//! form reads back through the parsers of `model`, so that a row that was tampered with is an
//! error and not a value that cannot exist.

mod facts;
mod order;
mod setting;
mod spec;

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use facts::FactsForm;
pub(crate) use order::{change_from_text, change_to_text, orders, session_texts, trial};
pub(crate) use setting::{Setting, edits_from, settings_of};
pub(crate) use spec::{SpecForm, read_spec};

/// A text that cannot be read back; names what it should have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} cannot be read back")]
pub(crate) struct Unreadable(pub(crate) &'static str);

pub(crate) fn to_json<T: Serialize>(form: &T) -> String {
    serde_json::to_string(form).expect("forms have string keys only and hold no failing values")
}

pub(crate) fn from_json<T: DeserializeOwned>(
    text: &str,
    what: &'static str,
) -> Result<T, Unreadable> {
    serde_json::from_str(text).map_err(|_| Unreadable(what))
}

/// At most 584 years, which the protocol's longest duration is far below.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
