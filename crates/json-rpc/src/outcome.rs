//! What became of requests.

use telemetry::Outcome;

use crate::error::Error;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// A result, or a subscription.
    Result,
    /// Not JSON, too long, or no request.
    Malformed,
    /// No such method.
    UnknownMethod,
    /// Wrong parameters.
    InvalidParams,
    /// The catalog refuses.
    Refused,
    /// Not the caller's fault.
    Failed,
    /// Without the token, or from a page that may not connect.
    Denied,
    /// None at all: the handshake of TLS came to nothing.
    NotOpened,
}

impl Outcome for Became {
    const ALL: &'static [Self] = &[
        Self::Result,
        Self::Malformed,
        Self::UnknownMethod,
        Self::InvalidParams,
        Self::Refused,
        Self::Failed,
        Self::Denied,
        Self::NotOpened,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::Malformed => "malformed",
            Self::UnknownMethod => "unknown_method",
            Self::InvalidParams => "invalid_params",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Denied => "denied",
            Self::NotOpened => "not_opened",
        }
    }
}

/// By its code.
impl From<&Error> for Became {
    fn from(error: &Error) -> Self {
        match error.code {
            -32700 | -32600 => Self::Malformed,
            -32601 => Self::UnknownMethod,
            -32602 => Self::InvalidParams,
            -32603 => Self::Failed,
            _ => Self::Refused,
        }
    }
}
