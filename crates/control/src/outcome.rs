//! What became of commands, and of clients that were not let in.

use telemetry::Outcome;

/// What became of a command, or of a connection that gives none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// Done, or told.
    Answered,
    /// `ERROR`.
    Refused,
    /// `ERROR`, for want of the right token.
    Denied,
    /// No connection: the handshake came to nothing, or TLS is spoken where nobody does.
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
