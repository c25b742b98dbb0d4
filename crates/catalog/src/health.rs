//! What checks of endpoints found.

use std::time::Duration;

use model::{BackendHost, UnixMillis};

use crate::Protocol;

/// Where an endpoint is and how it is spoken to: what a check is about. Endpoints of several names
/// may be at one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Address, or a name to be resolved.
    pub host: BackendHost,
    /// Its port.
    pub port: u16,
    /// How it is spoken to.
    pub protocol: Protocol,
}

/// Whether an endpoint is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answers.
    Well,
    /// It does not.
    Ill,
    /// That cannot be said, or not yet.
    Unknown,
}

impl Health {
    /// Of a check that passed, or did not.
    pub const fn of(passed: bool) -> Self {
        if passed { Self::Well } else { Self::Ill }
    }

    /// `None` where nothing can be said.
    pub const fn is_well(self) -> Option<bool> {
        match self {
            Self::Well => Some(true),
            Self::Ill => Some(false),
            Self::Unknown => None,
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether the endpoint is well.
    pub health: Health,
    /// Why, in a few words.
    pub reason: Box<str>,
    /// How long the check took; zero where that is not known.
    pub took: Duration,
}

impl Finding {
    /// One of which nobody measured how long it took.
    pub fn new(health: Health, reason: &str) -> Self {
        Self { health, reason: reason.into(), took: Duration::ZERO }
    }
}

/// What was found about an endpoint when it was checked last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub found: Finding,
    /// When.
    pub at: UnixMillis,
}

impl Check {
    /// Whether it says the same, at whatever time.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        (self.found.health, &self.found.reason) == (other.found.health, &other.found.reason)
    }
}
