//! What happened by itself and is not on the disk yet, the end of heartbeats for one.

use std::collections::BTreeSet;
use std::time::Duration;

use catalog::{About, Record};
use model::Instant;

/// After the first failure, and how long at most after many.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// So many may wait before anybody looks which of them are still needed.
const LOOKED_AT: usize = 64;

/// Names that are kept while the disk fails; of those of long ago DNS will not know any more.
const NAMES_MAX: usize = 20_000;

/// Records that wait for the disk, in order. Of those about one thing the last one counts. So there
/// are never many more than there are entries on the disk, and names, however long it fails.
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
        let is_name = |record: &Record| matches!(record.about(), About::Name(_));
        let names = self.records.iter().filter(|record| is_name(record)).count();
        let mut excess = names.saturating_sub(NAMES_MAX);
        self.records.retain(|record| {
            let is_kept = excess == 0 || !is_name(record);
            excess -= usize::from(!is_kept);
            is_kept
        });
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
    use catalog::{Identity, Source};

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
    fn however_many_names_come_there_is_a_bound() {
        let mut backlog = Backlog::default();
        let removed = Record::Remove(Identity::alone("gone").unwrap(), Source::Heartbeat);
        backlog.add(vec![removed.clone()]);
        for n in 0..200_000 {
            backlog.add(vec![Record::PutName(format!("s{n}").into(), n)]);
            assert!(backlog.records().len() <= 2 * NAMES_MAX + LOOKED_AT + 3);
        }
        assert_eq!(backlog.records()[0], removed);
        assert_eq!(backlog.records().last(), Some(&Record::PutName("s199999".into(), 199_999)));
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
