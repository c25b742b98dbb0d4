//! What a service may be told to do, and the steps that it takes.

use catalog::{State, TransitionError};

/// The `action` of `service_action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Up.
    Start,
    /// Down.
    Stop,
    /// Down if it is up, then up.
    Restart,
    /// Read its settings again; it goes on doing what it does.
    Reload,
}

impl Order {
    /// Every order.
    pub const ALL: [Self; 4] = [Self::Start, Self::Stop, Self::Restart, Self::Reload];

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
        }
    }

    /// The order of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.as_str() == text)
    }

    /// The states that a service goes through, each of which may follow the one before.
    ///
    /// # Errors
    ///
    /// The first step, if it may not be taken: starting what starts already.
    pub fn steps(self, from: State) -> Result<&'static [State], TransitionError> {
        use State::{Failed, Registered, Running, Starting, Stopped, Stopping};
        let refused = |to| Err(TransitionError { from, to });
        match (self, from) {
            (Self::Reload, _) => Ok(&[]),
            (Self::Start | Self::Restart, Registered | Stopped | Failed) => {
                Ok(&[Starting, Running])
            }
            (Self::Start, Starting | Running | Stopping) => refused(Starting),
            (Self::Stop, Starting | Running) => Ok(&[Stopping, Stopped]),
            (Self::Stop, Registered | Stopping | Stopped | Failed) => refused(Stopping),
            (Self::Restart, Starting | Running) => Ok(&[Stopping, Stopped, Starting, Running]),
            (Self::Restart, Stopping) => Ok(&[Stopped, Starting, Running]),
        }
    }
}

/// The way from what a service does to what it says it does. Empty if it says nothing new.
///
/// # Errors
///
/// There is no way: nobody gets back to where it never was started.
pub(crate) fn way(from: State, to: State) -> Result<&'static [State], TransitionError> {
    use State::{Failed, Registered, Running, Starting, Stopped, Stopping};
    match to {
        // What an entry says that says nothing about it.
        Registered => Ok(&[]),
        _ if from == to => Ok(&[]),
        Failed => Ok(&[Failed]),
        Starting => match from {
            Registered | Stopped | Failed => Ok(&[Starting]),
            Stopping => Ok(&[Stopped, Starting]),
            Running => Ok(&[Stopping, Stopped, Starting]),
            Starting => Ok(&[]),
        },
        Running => match from {
            Starting => Ok(&[Running]),
            Registered | Stopped | Failed => Ok(&[Starting, Running]),
            Stopping => Ok(&[Stopped, Starting, Running]),
            Running => Ok(&[]),
        },
        Stopping => match from {
            Starting | Running => Ok(&[Stopping]),
            Registered | Stopped | Failed | Stopping => Err(TransitionError { from, to }),
        },
        Stopped => match from {
            Stopping => Ok(&[Stopped]),
            Starting | Running => Ok(&[Stopping, Stopped]),
            Registered | Failed | Stopped => Err(TransitionError { from, to }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_be_taken(from: State, steps: &[State]) {
        let mut at = from;
        for step in steps {
            assert!(at.leads_to(*step), "{from}: {at} -> {step}");
            at = *step;
        }
    }

    #[test]
    fn every_step_may_follow_the_one_before() {
        for from in State::ALL {
            for order in Order::ALL {
                let steps = order.steps(from);
                if let Ok(steps) = steps {
                    may_be_taken(from, steps);
                }
                if order == Order::Restart {
                    assert_eq!(steps.unwrap().last(), Some(&State::Running), "{from}");
                }
                assert_eq!(Order::parse(order.as_str()), Some(order));
            }
            for to in State::ALL {
                let Ok(steps) = way(from, to) else { continue };
                may_be_taken(from, steps);
                let end = steps.last().copied().unwrap_or(from);
                assert!(end == to || to == State::Registered, "{from} -> {to}");
            }
        }
    }

    #[test]
    fn what_may_not_be_is_said_as_clients_know_it() {
        #[rustfmt::skip]
        let table = [
            (Order::Start, State::Starting,   "Invalid state transition: Starting -> Starting"),
            (Order::Start, State::Running,    "Invalid state transition: Running -> Starting"),
            (Order::Stop,  State::Registered, "Invalid state transition: Registered -> Stopping"),
        ];
        for (order, from, says) in table {
            assert_eq!(order.steps(from).unwrap_err().to_string(), says);
        }
    }
}
