//! Clients that are not let in, and what the log tells of them.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use certs::Fault;
use quinn::ConnectionError;

use crate::plane::Shared;

/// Where the alerts of TLS begin among the error codes of QUIC (RFC 9001, section 4.8), and how
/// many there are.
const CRYPTO_ERRORS: std::ops::Range<u64> = 0x100..0x200;

/// What a client is refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(crate) enum Refused {
    /// There are `connections_max`.
    #[error("too many connections")]
    Full,
    /// There are `connections_per_peer_max` of its address.
    #[error("too many connections from one address")]
    Crowd,
    /// A trusted proxy that does not say whom it comes for.
    #[error("no valid header of the PROXY protocol")]
    Preamble,
    /// The handshake.
    #[error(transparent)]
    Handshake(Fault),
}

impl Refused {
    /// By the error of reading a header of the PROXY protocol; `None` for a proxy that just left,
    /// as one does that looks whether we are there.
    pub(crate) fn of_preamble(error: &io::Error) -> Option<Self> {
        use io::ErrorKind::{InvalidData, TimedOut};
        matches!(error.kind(), InvalidData | TimedOut).then_some(Self::Preamble)
    }

    /// By the error of a handshake over TCP; `None` for a client that just left.
    pub(crate) fn of_tls(error: &io::Error) -> Option<Self> {
        Fault::of(error).map(Self::Handshake)
    }

    /// By the error of a handshake over QUIC; `None` for a client that just left.
    pub(crate) fn of_quic(error: &ConnectionError) -> Option<Self> {
        let fault = match error {
            ConnectionError::TransportError(error) => match u64::from(error.code) {
                code if CRYPTO_ERRORS.contains(&code) => {
                    Fault::of_alert((code - CRYPTO_ERRORS.start).try_into().unwrap_or(0))
                }
                _ => Fault::Handshake,
            },
            // The client's own alert: it does not want us.
            ConnectionError::ConnectionClosed(close)
                if CRYPTO_ERRORS.contains(&u64::from(close.error_code)) =>
            {
                Fault::Handshake
            }
            ConnectionError::TimedOut => Fault::Slow,
            ConnectionError::ConnectionClosed(_)
            | ConnectionError::VersionMismatch
            | ConnectionError::ApplicationClosed(_)
            | ConnectionError::Reset
            | ConnectionError::LocallyClosed
            | ConnectionError::CidsExhausted => return None,
        };
        Some(Self::Handshake(fault))
    }
}

impl Shared {
    /// Tells that a client is not let in, if it is time to, and why exactly, as far as that is
    /// known. Without a reason nobody was refused.
    pub(crate) fn refuse(
        &self,
        peer: SocketAddr,
        reason: Option<Refused>,
        error: Option<&dyn Display>,
    ) {
        let error = error.map(tracing::field::display);
        if reason.is_some() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        match reason {
            Some(reason) if self.refusals.count(reason, self.clock.mono()) => {
                tracing::info!(%peer, error, "a client is refused: {reason}");
            }
            Some(reason) => tracing::debug!(%peer, error, "a client is refused: {reason}"),
            None => tracing::debug!(%peer, error, "a client left before it was let in"),
        }
    }

    /// Tells how many more there were. To be called every few seconds, by any worker.
    pub(crate) fn tell_refusals(&self) {
        for (reason, count) in self.refusals.due(self.clock.mono()) {
            tracing::info!(count, "more clients were refused: {reason}");
        }
    }
}

#[cfg(test)]
mod tests {
    use quinn::{ConnectionClose, TransportErrorCode, VarInt};

    use super::*;

    #[test]
    fn errors_of_quic_are_told_apart() {
        let ours = |code: TransportErrorCode| ConnectionError::TransportError(code.into());
        let theirs = |error_code: TransportErrorCode| {
            let reason = bytes::Bytes::new();
            ConnectionError::ConnectionClosed(ConnectionClose {
                error_code,
                frame_type: None,
                reason,
            })
        };
        let application = quinn::ApplicationClose {
            error_code: VarInt::from_u32(0x100),
            reason: bytes::Bytes::new(),
        };
        let crypto = TransportErrorCode::crypto;
        let table = [
            (ours(crypto(49)), Some(Fault::Name)),
            (ours(crypto(116)), Some(Fault::NoCertificate)),
            (ours(TransportErrorCode::PROTOCOL_VIOLATION), Some(Fault::Handshake)),
            (theirs(crypto(48)), Some(Fault::Handshake)),
            (theirs(TransportErrorCode::NO_ERROR), None),
            (ConnectionError::ApplicationClosed(application), None),
            (ConnectionError::TimedOut, Some(Fault::Slow)),
            (ConnectionError::Reset, None),
        ];
        for (error, fault) in table {
            assert_eq!(Refused::of_quic(&error), fault.map(Refused::Handshake), "{error}");
        }
    }
}
