//! What became of questions.

use hickory_proto::op::ResponseCode;
use telemetry::Outcome;

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// Answered, with records or without.
    NoError,
    /// There is no such name.
    NxDomain,
    /// Of a name that is not ours, or a transfer.
    Refused,
    /// Sent to TCP, as there were too many.
    TooOften,
    /// Not answered, as there were too many, or from where nobody may ask.
    Silenced,
    /// Something else than a question that we know, or none.
    Malformed,
}

impl Became {
    pub(crate) fn of(code: ResponseCode) -> Self {
        match code {
            ResponseCode::NoError => Self::NoError,
            ResponseCode::NXDomain => Self::NxDomain,
            ResponseCode::Refused => Self::Refused,
            // FORMERR, NOTIMP and BADVERS.
            _ => Self::Malformed,
        }
    }
}

impl Outcome for Became {
    const ALL: &'static [Self] = &[
        Self::NoError,
        Self::NxDomain,
        Self::Refused,
        Self::TooOften,
        Self::Silenced,
        Self::Malformed,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::NoError => "noerror",
            Self::NxDomain => "nxdomain",
            Self::Refused => "refused",
            Self::TooOften => "too_often",
            Self::Silenced => "silenced",
            Self::Malformed => "malformed",
        }
    }
}
