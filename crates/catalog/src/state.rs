//! Whether a service runs, and which orders it can get.

use std::fmt;

/// What a service is doing, as the service API has it (COMPATIBILITY 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Known, and never started.
    #[default]
    Registered,
    /// On its way up.
    Starting,
    /// Up.
    Running,
    /// On its way down.
    Stopping,
    /// Down, in order.
    Stopped,
    /// Down, or no longer heard of.
    Failed,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Registered,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Stopped,
        Self::Failed,
    ];

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether one may follow the other.
    pub const fn leads_to(self, next: Self) -> bool {
        match next {
            Self::Registered => false,
            Self::Starting => matches!(self, Self::Registered | Self::Stopped | Self::Failed),
            Self::Running => matches!(self, Self::Starting),
            Self::Stopping => matches!(self, Self::Starting | Self::Running),
            Self::Stopped => matches!(self, Self::Stopping),
            Self::Failed => true,
        }
    }

    /// Whether requests may be sent to a service in this state.
    pub const fn takes_requests(self) -> bool {
        matches!(self, Self::Registered | Self::Starting | Self::Running)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A step that is not allowed. Worded as clients of the service API know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid state transition: {from:?} -> {to:?}")]
pub struct TransitionError {
    /// What it does.
    pub from: State,
    /// What it was to do.
    pub to: State,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps() {
        use State::{Failed, Registered, Running, Starting, Stopped, Stopping};
        #[rustfmt::skip]
        let allowed: &[(State, &[State])] = &[
            (Registered, &[Starting, Failed]),
            (Starting,   &[Running, Stopping, Failed]),
            (Running,    &[Stopping, Failed]),
            (Stopping,   &[Stopped, Failed]),
            (Stopped,    &[Starting, Failed]),
            (Failed,     &[Starting, Failed]),
        ];
        for (from, steps) in allowed {
            for to in State::ALL {
                assert_eq!(from.leads_to(to), steps.contains(&to), "{from} -> {to}");
            }
        }
        let error = TransitionError { from: Starting, to: Starting };
        assert_eq!(error.to_string(), "Invalid state transition: Starting -> Starting");
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(state));
        }
    }
}
