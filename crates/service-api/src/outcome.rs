//! What became of requests.

use telemetry::Outcome;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// Done, or told.
    Answered,
    /// Not done, or no request.
    Refused,
    /// No connection: without a token or a certificate, or of a page that may not connect.
    Denied,
    /// No connection: the handshake came to nothing.
    NotOpened,
    /// A connection that we ended, as of a client that was too slow.
    CutOff,
}

impl Outcome for Became {
    const ALL: &'static [Self] =
        &[Self::Answered, Self::Refused, Self::Denied, Self::NotOpened, Self::CutOff];

    fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Denied => "denied",
            Self::NotOpened => "not_opened",
            Self::CutOff => "cut_off",
        }
    }
}
