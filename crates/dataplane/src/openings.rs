//! How many client connections each worker has open.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The counts, each on a cache line of its own and written by its worker alone.
#[derive(Debug)]
pub(crate) struct Openings(Box<[Place]>);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Place(AtomicUsize);

impl Openings {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Place::default()).collect())
    }

    /// Of one worker.
    pub(crate) fn get(&self, worker: usize) -> usize {
        self.0.get(worker).map_or(0, |place| place.0.load(Ordering::Relaxed))
    }

    /// By the worker itself.
    pub(crate) fn set(&self, worker: usize, open: usize) {
        if let Some(place) = self.0.get(worker) {
            place.0.store(open, Ordering::Relaxed);
        }
    }

    /// Of all workers together.
    pub(crate) fn sum(&self) -> usize {
        self.0.iter().map(|place| place.0.load(Ordering::Relaxed)).sum()
    }

    /// Of every worker.
    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.0.len()).map(|worker| self.get(worker)).collect()
    }
}
