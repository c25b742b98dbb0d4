//! Why a request is refused, as clients are told.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The code of every refusal that says all in its message.
pub(crate) const CODE: &str = "error";
/// The code of a subscription that cannot go on where it is asked to.
pub(crate) const CODE_MISSED: &str = "missed";

/// The `error` of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// `error`, or `missed` if events are not known any more: list again, then subscribe.
    pub code: String,
    /// For people.
    pub message: String,
    /// For programs, if there is more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

impl Fault {
    pub(crate) fn new(message: impl ToString) -> Self {
        Self { code: CODE.to_owned(), message: message.to_string(), details: None }
    }

    pub(crate) fn not_found(service: &str) -> Self {
        Self::new(format!("Service not found: {service}"))
    }
}
