//! Clients that are not let in, and what the log tells of them.

use certs::Fault;
use door::{Denied, Reason};

/// What a client is refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(crate) enum Refused {
    /// What it asks with.
    #[error(transparent)]
    Denied(Denied),
    /// The handshake.
    #[error(transparent)]
    Handshake(Fault),
}

impl Reason for Refused {}
