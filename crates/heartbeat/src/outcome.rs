//! What became of requests.

use telemetry::Outcome;
use wire::heartbeat::Answer;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// A heartbeat that counts.
    Beaten,
    /// A heartbeat of nobody who is registered.
    NotBeaten,
    /// A name was registered.
    Registered,
    /// A name is free again.
    Deregistered,
    /// A name was found.
    Found,
    /// It was not.
    NotFound,
    /// Not done.
    Failed,
    /// No request: nothing whole came in time.
    Unread,
}

impl Outcome for Became {
    const ALL: &'static [Self] = &[
        Self::Beaten,
        Self::NotBeaten,
        Self::Registered,
        Self::Deregistered,
        Self::Found,
        Self::NotFound,
        Self::Failed,
        Self::Unread,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Beaten => "heartbeat_ok",
            Self::NotBeaten => "heartbeat_failed",
            Self::Registered => "registered",
            Self::Deregistered => "deregistered",
            Self::Found => "found",
            Self::NotFound => "not_found",
            Self::Failed => "failed",
            Self::Unread => "unread",
        }
    }
}

impl From<&Answer> for Became {
    fn from(answer: &Answer) -> Self {
        match answer {
            Answer::Registered(..) => Self::Registered,
            Answer::Failed(_) => Self::Failed,
            Answer::Beaten => Self::Beaten,
            Answer::NotBeaten => Self::NotBeaten,
            Answer::Deregistered => Self::Deregistered,
            Answer::Found(..) => Self::Found,
            Answer::NotFound => Self::NotFound,
        }
    }
}
