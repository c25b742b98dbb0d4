//! A number that one thread writes and all may read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts without a locked instruction, because only one thread writes.
///
/// If two do, counts are lost and nothing worse happens.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// At 0, for arrays.
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// As far as it is visible here.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// By the one thread that writes.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// By the one thread that writes.
    pub(crate) fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }
}
