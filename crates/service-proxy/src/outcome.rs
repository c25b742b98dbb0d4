//! What became of tunnels.

use telemetry::Outcome;

/// What became of a connection to the TCP proxy, or to a virtual address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// A tunnel that both sides ended.
    Ended,
    /// A tunnel that broke, or was silent for too long.
    Broken,
    /// No endpoint of the service could be reached.
    Unreachable,
    /// There is no service of that name.
    Unknown,
    /// No name came, or not in time.
    Nameless,
}

impl Outcome for Became {
    const ALL: &'static [Self] =
        &[Self::Ended, Self::Broken, Self::Unreachable, Self::Unknown, Self::Nameless];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Broken => "broken",
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
            Self::Nameless => "nameless",
        }
    }
}
