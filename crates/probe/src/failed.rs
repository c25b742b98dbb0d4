//! Why a backend is not there.

use std::io;

use http1::HeadError;

use crate::policy::Denied;
use crate::tls::TlsFailed;

/// Why a check did not pass. The text is for people and repeats nothing the backend sent.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failed {
    /// The name has no address, or none was found in time.
    #[error("the name does not resolve")]
    NameNotResolved,
    /// It is where no backend may be.
    #[error("{0}")]
    Denied(#[from] Denied),
    /// Nobody listens there.
    #[error("connection refused")]
    ConnectionRefused,
    /// Nobody answered in time.
    #[error("connection timed out")]
    ConnectionTimeout,
    /// There is no way there.
    #[error("cannot connect: {0}")]
    ConnectionFailed(io::ErrorKind),
    /// No encrypted connection.
    #[error("TLS failed: {0}")]
    Tls(#[from] TlsFailed),
    /// Connected, but the response head did not come in time.
    #[error("no response in time")]
    Timeout,
    /// Connected, but the connection ended before the response head did.
    #[error("the connection ended before a whole response head came")]
    ConnectionClosed,
    /// What came is no response.
    #[error("malformed response: {0}")]
    MalformedResponse(#[from] HeadError),
    /// What came is a response, but to another request.
    #[error("malformed response: it {0}")]
    UnexpectedResponse(&'static str),
    /// A status that does not pass.
    #[error("status {0}")]
    BadStatus(u16),
}

impl Failed {
    /// One word for events and metrics; it never changes.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NameNotResolved => "name_not_resolved",
            Self::Denied(_) => "destination_denied",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTimeout => "connection_timeout",
            Self::ConnectionFailed(_) => "connection_failed",
            Self::Tls(_) => "tls_failed",
            Self::Timeout => "timeout",
            Self::ConnectionClosed => "connection_closed",
            Self::MalformedResponse(_) | Self::UnexpectedResponse(_) => "malformed_response",
            Self::BadStatus(_) => "bad_status",
        }
    }
}
