//! Why a handshake came to nothing, in as few words as a log needs.

use std::io;

use rustls::{AlertDescription, Error};

/// What a record of a TLS handshake begins with (RFC 8446, section 5.1), and no text does.
pub const HANDSHAKE_RECORD: u8 = 22;

/// What a client is refused for in its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    /// It does not speak TLS.
    #[error("clear text where TLS is spoken")]
    ClearText,
    /// There is no certificate for the host it wants.
    #[error("no certificate for the name it asks for")]
    Name,
    /// It has to show a certificate and does not.
    #[error("no client certificate")]
    NoCertificate,
    /// It shows one that nobody we believe has issued, or that does not hold.
    #[error("a client certificate that is not accepted")]
    Certificate,
    /// The rest: no version or suite in common, rules broken, or it does not accept ours.
    #[error("a TLS handshake that failed")]
    Handshake,
    /// It takes more time than it has.
    #[error("a TLS handshake that was too slow")]
    Slow,
}

impl Fault {
    /// Tells by the error of a handshake over TCP. `None` for a client that just left.
    pub fn of(error: &io::Error) -> Option<Self> {
        let inner = error.get_ref();
        if let Some(fault) = inner.and_then(|inner| inner.downcast_ref::<Self>()) {
            return Some(*fault);
        }
        match inner.and_then(|inner| inner.downcast_ref::<Error>()) {
            // The library's word for a resolver that has none.
            Some(Error::General(_)) => Some(Self::Name),
            Some(Error::NoCertificatesPresented) => Some(Self::NoCertificate),
            Some(Error::InvalidCertificate(_)) => Some(Self::Certificate),
            Some(_) => Some(Self::Handshake),
            None => (error.kind() == io::ErrorKind::TimedOut).then_some(Self::Slow),
        }
    }

    /// Tells by the alert that we ended a handshake with (RFC 8446, section 6.2): all that QUIC
    /// keeps of the error (RFC 9001, section 4.8).
    pub fn of_alert(alert: u8) -> Self {
        match AlertDescription::from(alert) {
            AlertDescription::AccessDenied => Self::Name,
            AlertDescription::CertificateRequired => Self::NoCertificate,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::DecryptError => Self::Certificate,
            _ => Self::Handshake,
        }
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::new(io::ErrorKind::InvalidData, fault)
    }
}

#[cfg(test)]
mod tests {
    use rustls::{CertificateError, PeerIncompatible};

    use super::*;

    #[test]
    fn errors_are_told_apart() {
        let of = |error: Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        #[rustfmt::skip]
        let table = [
            (Fault::ClearText.into(),                                        Some(Fault::ClearText)),
            (of(Error::General("no chain".to_owned())),                      Some(Fault::Name)),
            (of(Error::NoCertificatesPresented),                             Some(Fault::NoCertificate)),
            (of(unknown),                                                    Some(Fault::Certificate)),
            (of(Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon)), Some(Fault::Handshake)),
            (of(Error::AlertReceived(AlertDescription::UnknownCA)),          Some(Fault::Handshake)),
            (io::ErrorKind::TimedOut.into(),                                 Some(Fault::Slow)),
            (io::ErrorKind::UnexpectedEof.into(),                            None),
            (io::ErrorKind::ConnectionReset.into(),                          None),
            (io::Error::other("another"),                                    None),
        ];
        for (error, fault) in table {
            assert_eq!(Fault::of(&error), fault, "{error}");
        }
    }

    #[test]
    fn alerts_are_told_apart() {
        let table = [
            (49, Fault::Name),
            (116, Fault::NoCertificate),
            (48, Fault::Certificate),
            (42, Fault::Certificate),
            (40, Fault::Handshake),
            (120, Fault::Handshake),
        ];
        for (alert, fault) in table {
            assert_eq!(Fault::of_alert(alert), fault, "{alert}");
        }
    }
}
