//! How often which status was answered, in little space.

use std::collections::BTreeMap;

use crate::counter::Counter;

const CLASSES: usize = 5;
/// With the classes, sixteen words: two cache lines.
const OTHERS: usize = 16 - CLASSES;

/// A status above, its count below, in one word, so that no reader sees one without the other.
const COUNT_BITS: u32 = 48;

/// Counts by status: sixteen of them exactly.
///
/// 100, 200, 300, 400 and 500 have a place of their own. The first eleven others that occur get
/// one each; what comes after counts as the round one of its class, 418 as 400. So the counts
/// always add up, and always by class. What is no status, below 100 or above 599, is not counted.
#[derive(Debug)]
pub(crate) struct StatusCounts {
    rounds: [Counter; CLASSES],
    /// From the front; 0 is free.
    others: [Counter; OTHERS],
}

impl Default for StatusCounts {
    fn default() -> Self {
        Self {
            rounds: [const { Counter::new() }; CLASSES],
            others: [const { Counter::new() }; OTHERS],
        }
    }
}

impl StatusCounts {
    /// One more, by the one thread that writes.
    pub(crate) fn record(&self, status: u16) {
        let class = usize::from(status / 100);
        let Some(round) = class.checked_sub(1).and_then(|class| self.rounds.get(class)) else {
            return;
        };
        if status.is_multiple_of(100) || !self.record_other(status) {
            round.add(1);
        }
    }

    /// Whether it had or got a place.
    fn record_other(&self, status: u16) -> bool {
        for place in &self.others {
            let word = place.get();
            if word == 0 {
                place.set(u64::from(status) << COUNT_BITS | 1);
                return true;
            }
            if word >> COUNT_BITS == u64::from(status) {
                place.set(word + 1);
                return true;
            }
        }
        false
    }

    /// Adds what was counted here.
    pub(crate) fn add_to(&self, sums: &mut BTreeMap<u16, u64>) {
        let rounds = (100..).step_by(100).zip(self.rounds.iter().map(Counter::get));
        let others = self.others.iter().map(Counter::get);
        let others =
            others.map(|word| ((word >> COUNT_BITS) as u16, word & ((1 << COUNT_BITS) - 1)));
        for (status, count) in rounds.chain(others).filter(|(_, count)| *count > 0) {
            *sums.entry(status).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(statuses: impl IntoIterator<Item = u16>) -> Vec<(u16, u64)> {
        let counts = StatusCounts::default();
        statuses.into_iter().for_each(|status| counts.record(status));
        let mut sums = BTreeMap::new();
        counts.add_to(&mut sums);
        sums.into_iter().collect()
    }

    #[test]
    fn counts_by_status() {
        #[rustfmt::skip]
        let table = [
            // statuses                    counts                               why
            (vec![],                       vec![],                              "nothing"),
            (vec![200, 200, 404],          vec![(200, 2), (404, 1)],            "as they come"),
            (vec![101, 599, 599],          vec![(101, 1), (599, 2)],            "first and last class"),
            (vec![0, 99, 600, u16::MAX],   vec![],                              "no statuses"),
            (vec![100, 300, 400, 500],     vec![(100, 1), (300, 1), (400, 1), (500, 1)], "round ones"),
        ];
        for (statuses, expected, why) in table {
            assert_eq!(counted(statuses), expected, "{why}");
        }
    }

    #[test]
    fn those_without_a_place_count_as_their_class() {
        let eleven = 401..412;
        let late = [412, 412, 503, 204, 401, 400];
        let found = counted(eleven.clone().chain(late));
        let mut expected: Vec<(u16, u64)> = eleven.map(|status| (status, 1)).collect();
        expected[0].1 = 2;
        expected.extend([(200, 1), (400, 3), (500, 1)]);
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    proptest! {
        /// The sum and the classes are exact, whatever overflows.
        #[test]
        fn classes_are_exact(statuses in prop::collection::vec(100..600_u16, 0..200)) {
            let mut by_class = [0; 6];
            for (status, count) in counted(statuses.iter().copied()) {
                by_class[usize::from(status / 100)] += count;
            }
            for class in 1..6 {
                let exact = statuses.iter().filter(|status| **status / 100 == class).count() as u64;
                prop_assert_eq!(by_class[usize::from(class)], exact);
            }
        }
    }
}
