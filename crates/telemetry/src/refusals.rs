//! What somebody is refused for again and again, told as often as a person reads it.
//!
//! The first refusal for a reason is to be told at once. What follows is counted, and told together
//! every [`TOLD_EVERY`]. A reason is a variant of an enum and never what a peer sent, so there are as
//! many entries as variants at most.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::Instant;

/// Between two times that one reason is told.
pub const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Refusals by reason, counted by all threads.
#[derive(Debug)]
pub struct Refusals<R>(Mutex<BTreeMap<R, Told>>);

/// A reason that was told lately.
#[derive(Debug)]
struct Told {
    at: Instant,
    /// Refusals since.
    more: u64,
}

impl<R> Default for Refusals<R> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<R: Copy + Ord> Refusals<R> {
    /// Counts one. Returns whether it is to be told by itself, now.
    pub fn count(&self, reason: R, now: Instant) -> bool {
        match self.lock().entry(reason) {
            Entry::Vacant(place) => {
                place.insert(Told { at: now, more: 0 });
                true
            }
            Entry::Occupied(told) => {
                let told = told.into_mut();
                told.more = told.more.saturating_add(1);
                false
            }
        }
    }

    /// How many more there were of each reason, where it is time to tell. To be called every few
    /// seconds: a reason is told by itself again only after a call that found nothing more of it.
    pub fn due(&self, now: Instant) -> Vec<(R, u64)> {
        let mut due = Vec::new();
        self.lock().retain(|reason, told| {
            if now.since(told.at) < TOLD_EVERY {
                return true;
            }
            let more = std::mem::replace(told, Told { at: now, more: 0 }).more;
            if more > 0 {
                due.push((*reason, more));
            }
            more > 0
        });
        due
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<R, Told>> {
        // Nothing in here can be left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At most one line for a reason in ten seconds, and every refusal is in one.
    #[test]
    fn the_first_is_told_at_once_and_the_rest_together() {
        // A letter is a refusal, told by itself if it comes back as a capital; `.` is a second, at
        // the end of which is asked what is due: `[a2]`.
        let table = [
            ("a", "A", "the first"),
            ("aaa", "Aaa", "the rest is counted"),
            ("ab", "AB", "each reason has its own line"),
            ("aaa..........a", "Aaa..........[a2]a", "told together after ten seconds"),
            (
                "aa..........a.........a.",
                "Aa..........[a1]a.........a.[a2]",
                "and ten seconds later",
            ),
            ("a..........a", "A..........A", "after a quiet time one by itself"),
            ("aa....................a", "Aa..........[a1]..........A", "or after a summary"),
            ("aab....b......", "AaB....b......[a1][b1]", "in the order of the reasons"),
        ];
        for (script, expected, why) in table {
            assert_eq!(run(script), expected, "{why}");
        }
    }

    fn run(script: &str) -> String {
        let (refusals, mut now, mut shown) =
            (Refusals::default(), Instant::default(), String::new());
        for step in script.chars() {
            if step == '.' {
                shown.push(step);
                now = now.after(Duration::from_secs(1));
                for (reason, more) in refusals.due(now) {
                    shown.push_str(&format!("[{reason}{more}]"));
                }
            } else {
                let told = refusals.count(step, now);
                shown.push(if told { step.to_ascii_uppercase() } else { step });
            }
        }
        shown
    }

    #[test]
    fn what_is_quiet_is_forgotten() {
        let (refusals, began) = (Refusals::default(), Instant::default());
        (0..5).for_each(|reason| assert!(refusals.count(reason, began)));
        assert_eq!(refusals.due(began.after(TOLD_EVERY)), []);
        assert!(refusals.lock().is_empty());
    }
}
