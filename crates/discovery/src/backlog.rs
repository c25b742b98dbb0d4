//! What happened by itself and is not on the disk yet, the end of heartbeats for one.

use std::collections::BTreeSet;
use std::time::Duration;

use catalog::Record;
use model::Instant;

/// After the first failure, and how long at most after many.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// So many may wait before anybody looks which of them are still needed.
const LOOKED_AT: usize = 64;

/// Records that wait for the disk, in order. Of those about one thing the last one counts, so that
/// there are never many more than things to remember, however long the disk fails.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    records: Vec<Record>,
    /// How many were left when somebody looked last.
    left: usize,
    failures: u32,
    retry: Option<Instant>,
}

impl Backlog {
    pub(crate) fn add(&mut self, mut records: Vec<Record>) {
        self.records.append(&mut records);
        if self.records.len() > 2 * self.left + LOOKED_AT {
            self.forget_what_is_superseded();
        }
    }

    fn forget_what_is_superseded(&mut self) {
        let mut seen = BTreeSet::new();
        let mut is_last: Vec<_> =
            self.records.iter().rev().map(|record| seen.insert(record.about())).collect();
        self.records.retain(|_| is_last.pop().unwrap_or(true));
        self.left = self.records.len();
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    /// When to try it, if nobody else has a reason to.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        (!self.is_empty()).then(|| self.retry.unwrap_or(now))
    }

    /// Whether it is time to.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due(now).is_some_and(|due| due <= now)
    }

    /// All of it is on the disk.
    pub(crate) fn saved(&mut self) {
        *self = Self::default();
    }

    /// None of it is.
    pub(crate) fn failed(&mut self, now: Instant) {
        let (first, longest) = WAIT;
        let wait = first.saturating_mul(1 << self.failures.min(6)).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.retry = Some(now.after(wait));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_about_each_is_kept_in_order() {
        let mut backlog = Backlog::default();
        for n in 0..1000 {
            let name = format!("s{}", n % 3);
            backlog.add(vec![Record::PutName(name.into(), n), Record::RemoveName("old".into())]);
            assert!(backlog.records().len() <= 2 * 4 + LOOKED_AT + 2);
        }
        backlog.forget_what_is_superseded();
        let put = |n: u64| Record::PutName(format!("s{}", n % 3).into(), n);
        let last = [put(997), put(998), put(999), Record::RemoveName("old".into())];
        assert_eq!(backlog.records(), last);
    }

    #[test]
    fn it_is_tried_less_and_less_often() {
        let mut backlog = Backlog::default();
        let now = Instant::from_nanos(5);
        assert_eq!(backlog.due(now), None);
        backlog.add(vec![Record::RemoveName("a".into())]);
        assert_eq!(backlog.due(now), Some(now));
        let mut waits = Vec::new();
        for _ in 0..9 {
            backlog.failed(now);
            waits.extend(backlog.due(now).map(|at| at.since(now).as_secs()));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        backlog.saved();
        assert_eq!(backlog.due(now), None);
    }
}
