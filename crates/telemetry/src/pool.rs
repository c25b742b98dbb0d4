//! How many histograms there may be.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The histograms that routes may still make, all routes of the process together.
///
/// A histogram is 3.4 KiB, and a route needs one for every worker that served it. Where none is
/// left, a route counts on without, and its percentiles answer the mean. A route that is dropped
/// gives its histograms back, and routes that had to go without take them with their next request.
#[derive(Debug)]
pub struct HistogramPool {
    left: AtomicUsize,
}

impl HistogramPool {
    /// What a process is given unless somebody knows better: 66 MiB if all are in use.
    pub const DEFAULT_LIMIT: usize = 20_000;

    /// For so many histograms at a time.
    pub const fn new(limit: usize) -> Self {
        Self { left: AtomicUsize::new(limit) }
    }

    /// How many may still be made.
    pub fn left(&self) -> usize {
        self.left.load(Relaxed)
    }

    /// Whether one more may be made. Only reads where none may, so that routes that go without
    /// do not fight for the cache line.
    pub(crate) fn take(&self) -> bool {
        self.left() > 0 && self.left.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_ok()
    }

    /// These are gone.
    pub(crate) fn give_back(&self, count: usize) {
        self.left.fetch_add(count, Relaxed);
    }
}

impl Default for HistogramPool {
    fn default() -> Self {
        Self::new(Self::DEFAULT_LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_it_has() {
        let pool = HistogramPool::new(2);
        assert_eq!([pool.take(), pool.take(), pool.take()], [true, true, false]);
        pool.give_back(1);
        assert_eq!((pool.left(), pool.take(), pool.take()), (1, true, false));
    }
}
