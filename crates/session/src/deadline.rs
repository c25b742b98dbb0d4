//! What is due, and when: one deadline for each purpose of each session and connection.

use std::collections::{BTreeMap, BTreeSet};

use model::{ConnId, Generation, Instant};

use crate::state::Sid;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// An away session can no longer be reconnected to.
    Expiry(Sid),
    /// The routes of an away, lapsed or replaced session leave.
    Routes(Sid),
    /// Staged changes are about to expire: tell.
    StagedWarning(Sid),
    /// Staged changes expire.
    Staged(Sid),
    /// A try is over.
    Try(Sid),
    /// A drain is over: whether the instance may exit is to be looked at.
    Drained(Sid),
    /// A session that used to ping has been silent.
    Silence(Sid),
    /// A connection has had no session for long.
    Idle(ConnId),
    /// A command must be answered.
    Answer(ConnId),
    /// Maintenance counts as live, whatever still runs.
    Live(Generation),
    /// The oldest offers of a handover end.
    Offers,
    /// The oldest keys without routes are forgotten.
    Tombstones,
}

/// All deadlines, in the order of their time.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    at: BTreeMap<Due, Instant>,
    order: BTreeSet<(Instant, Due)>,
}

impl Deadlines {
    /// Sets or moves a deadline.
    pub(crate) fn set(&mut self, due: Due, at: Instant) {
        if let Some(before) = self.at.insert(due, at) {
            self.order.remove(&(before, due));
        }
        self.order.insert((at, due));
    }

    /// Takes a deadline away, if there is one.
    pub(crate) fn clear(&mut self, due: Due) {
        if let Some(before) = self.at.remove(&due) {
            self.order.remove(&(before, due));
        }
    }

    /// When a purpose is due.
    pub(crate) fn get(&self, due: Due) -> Option<Instant> {
        self.at.get(&due).copied()
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes the earliest deadline that is not after `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Due> {
        let (at, due) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.clear(due);
        Some(due)
    }

    /// Both indexes hold the same.
    pub(crate) fn check(&self) {
        assert_eq!(self.at.len(), self.order.len(), "deadlines are indexed twice");
        for (due, at) in &self.at {
            assert!(self.order.contains(&(*at, *due)), "{due:?} is not in order");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_has_one_deadline_and_the_earliest_comes_first() {
        let mut deadlines = Deadlines::default();
        let at = Instant::from_nanos;
        deadlines.set(Due::Expiry(Sid(1)), at(30));
        deadlines.set(Due::Expiry(Sid(1)), at(10));
        deadlines.set(Due::Routes(Sid(1)), at(20));
        deadlines.set(Due::Staged(Sid(2)), at(5));
        deadlines.clear(Due::Staged(Sid(2)));
        deadlines.check();
        assert_eq!(deadlines.next(), Some(at(10)));
        assert_eq!(deadlines.pop(at(9)), None);
        assert_eq!(deadlines.pop(at(10)), Some(Due::Expiry(Sid(1))));
        assert_eq!(deadlines.pop(at(30)), Some(Due::Routes(Sid(1))));
        assert_eq!(deadlines.pop(at(u64::MAX)), None);
        deadlines.check();
    }
}
