//! How often which status was answered, whatever was asked for.

use std::collections::BTreeMap;

use crate::status::StatusCounts;

/// Counts answers by status, in a stripe for every worker. By class they are exact.
#[derive(Debug)]
pub struct Answered(Box<[Stripe]>);

/// On cache lines that no other worker writes.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe(StatusCounts);

impl Answered {
    /// For so many workers, at least one.
    pub fn new(workers: usize) -> Self {
        Self((0..workers.max(1)).map(|_| Stripe::default()).collect())
    }

    /// Counts an answer of `worker`, from 0; a worker too many counts with the last. A stripe has
    /// one writer, as those of [`crate::RouteStats`].
    pub fn record(&self, worker: usize, status: u16) {
        if let Some(stripe) = self.0.get(worker).or_else(|| self.0.last()) {
            stripe.0.record(status);
        }
    }

    /// By status, all workers together.
    pub fn totals(&self) -> BTreeMap<u16, u64> {
        let mut totals = BTreeMap::new();
        self.0.iter().for_each(|stripe| stripe.0.add_to(&mut totals));
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_added_up() {
        let answered = Answered::new(2);
        for (worker, status) in [(0, 200), (1, 200), (1, 404), (7, 404)] {
            answered.record(worker, status);
        }
        assert_eq!(answered.totals(), BTreeMap::from([(200, 2), (404, 2)]));
    }
}
