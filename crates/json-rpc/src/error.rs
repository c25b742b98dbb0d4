//! Why there is no result: JSON-RPC's own codes, each with its reason in `data`.

use std::borrow::Cow;

use serde::Serialize;

/// An error object. The messages are those that the hub's clients know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Error {
    pub(crate) code: i32,
    pub(crate) message: Cow<'static, str>,
    /// For people: what is wrong, or what to do.
    pub(crate) data: String,
}

impl Error {
    /// Not JSON.
    pub(crate) fn parse(reason: impl Into<String>) -> Self {
        Self::new(-32700, "Parse error", reason)
    }

    /// JSON, and no request.
    pub(crate) fn request(reason: impl Into<String>) -> Self {
        Self::new(-32600, "Invalid request", reason)
    }

    /// No such method.
    pub(crate) fn method(reason: impl Into<String>) -> Self {
        Self::new(-32601, "Method not found", reason)
    }

    /// A parameter is missing or does not hold what it should.
    pub(crate) fn params(reason: impl Into<String>) -> Self {
        Self::new(-32602, "Invalid params", reason)
    }

    /// Not the caller's fault, or not in this way.
    pub(crate) fn internal(reason: impl Into<String>) -> Self {
        Self::new(-32603, "Internal error", reason)
    }

    /// The registry refuses; the message is the one that the hub gives.
    pub(crate) fn refused(message: String, reason: String) -> Self {
        Self { code: -32000, message: message.into(), data: reason }
    }

    /// A message of more than so many bytes.
    pub(crate) fn oversized(max: usize) -> Self {
        Self::new(-32007, "Request is too big", format!("at most {max} bytes"))
    }

    /// A batch of more than so many requests.
    pub(crate) fn batch(max: usize) -> Self {
        Self::new(-32010, "The batch request was too large", format!("at most {max} requests"))
    }

    /// Answers to a batch of more than so many bytes.
    pub(crate) fn answers(max: usize) -> Self {
        let reason = format!("at most {max} bytes: ask in smaller batches");
        Self::new(-32011, "The batch response was too large", reason)
    }

    fn new(code: i32, message: &'static str, reason: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: reason.into() }
    }
}
