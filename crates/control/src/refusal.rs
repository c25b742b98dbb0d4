//! Clients that the registry refuses, and what the log tells of them.

use certs::Fault;
use door::Reason;
use session::Peer;
use telemetry::Outcomes;

use crate::outcome::Became;

/// What a client is refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(crate) enum Refused {
    /// Of connections or handshakes there are as many as there may be, in these words.
    #[error("{0}")]
    Bound(&'static str),
    /// A wrong token.
    #[error("authentication failed")]
    Token,
    /// It speaks TLS where nobody does.
    #[error("TLS where clear text is spoken")]
    NoTls,
    /// The handshake.
    #[error(transparent)]
    Handshake(Fault),
}

/// Tells of them.
pub(crate) type Refusals = door::Refusals<Refused>;

impl Reason for Refused {
    /// There may be no room for a service that is wanted.
    fn is_warning(self) -> bool {
        match self {
            Self::Bound(_) => true,
            Self::Token | Self::NoTls | Self::Handshake(_) => false,
        }
    }
}

/// Sees what becomes of one client and its commands.
#[derive(Debug)]
pub(crate) struct Witness {
    pub(crate) peer: Peer,
    pub(crate) refusals: Refusals,
    pub(crate) outcomes: Outcomes<Became>,
}

impl Witness {
    /// Tells what it is refused for.
    pub(crate) fn tell(&self, reason: Refused) {
        self.refusals.tell(&self.peer, reason, None);
    }
}
