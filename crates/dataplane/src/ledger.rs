//! Which generations requests in flight began under.
//!
//! Each worker keeps its own list and shows the others one number: the oldest generation of a
//! request that it is working on. A generation is live when no worker shows an older one; that is
//! what MAINT_OK waits for (SPEC 12).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use model::Generation;

/// What a worker without requests shows.
const NONE: u64 = u64::MAX;

/// What all workers show, each in its place.
#[derive(Debug)]
pub(crate) struct Oldest(Box<[Place]>);

#[derive(Debug)]
#[repr(align(128))]
struct Place(AtomicU64);

impl Oldest {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Place(AtomicU64::new(NONE))).collect())
    }

    /// The newest generation up to `published` that is live on every worker.
    pub(crate) fn live(&self, published: Generation) -> Generation {
        // After the publication and before the look at the places: see `Ledger::enter`.
        fence(Ordering::SeqCst);
        let oldest = self.0.iter().map(|place| place.0.load(Ordering::SeqCst)).min();
        Generation(oldest.unwrap_or(NONE).min(published.0))
    }
}

/// The list of one worker.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Generations with requests in flight and how many, oldest first.
    counts: RefCell<VecDeque<(Generation, u32)>>,
    shown: Arc<Oldest>,
    worker: usize,
}

impl Ledger {
    pub(crate) fn new(shown: Arc<Oldest>, worker: usize) -> Self {
        Self { counts: RefCell::default(), shown, worker }
    }

    /// A request begins under this generation. Tells whether the caller has to look again if a
    /// newer one was published meanwhile: it showed its generation only now, and whoever looked
    /// before saw nothing.
    pub(crate) fn enter(&self, generation: Generation) -> bool {
        let mut counts = self.counts.borrow_mut();
        if let Some((_, count)) = counts.iter_mut().rev().find(|(g, _)| *g == generation) {
            *count += 1;
            return false;
        }
        let place = counts.iter().rposition(|(g, _)| *g < generation).map_or(0, |at| at + 1);
        counts.insert(place, (generation, 1));
        if place > 0 {
            return false;
        }
        self.show(generation.0);
        fence(Ordering::SeqCst);
        true
    }

    pub(crate) fn leave(&self, generation: Generation) {
        let mut counts = self.counts.borrow_mut();
        let Some(place) = counts.iter().rposition(|(g, _)| *g == generation) else { return };
        let Some((_, count)) = counts.get_mut(place) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        counts.remove(place);
        if place == 0 {
            self.show(counts.front().map_or(NONE, |(generation, _)| generation.0));
        }
    }

    fn show(&self, generation: u64) {
        if let Some(place) = self.shown.0.get(self.worker) {
            place.0.store(generation, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u64) -> Generation {
        Generation(n)
    }

    #[test]
    fn the_oldest_of_all_workers_counts() {
        let shown = Arc::new(Oldest::new(2));
        let one = Ledger::new(Arc::clone(&shown), 0);
        let other = Ledger::new(Arc::clone(&shown), 1);
        assert_eq!(shown.live(at(9)), at(9), "nothing in flight");
        assert!(one.enter(at(3)), "the first has to look again");
        assert!(!one.enter(at(3)));
        assert!(!one.enter(at(5)), "an older one is shown already");
        assert!(other.enter(at(4)));
        assert_eq!(shown.live(at(9)), at(3));
        one.leave(at(3));
        assert_eq!(shown.live(at(9)), at(3), "one of two");
        one.leave(at(3));
        assert_eq!(shown.live(at(9)), at(4), "the other worker's");
        other.leave(at(4));
        assert_eq!(shown.live(at(9)), at(5));
        assert_eq!(shown.live(at(4)), at(4), "never newer than what is published");
        one.leave(at(5));
        assert_eq!(shown.live(at(9)), at(9));
    }

    #[test]
    fn an_older_one_that_comes_late_is_shown() {
        let shown = Arc::new(Oldest::new(1));
        let ledger = Ledger::new(Arc::clone(&shown), 0);
        ledger.enter(at(7));
        assert!(ledger.enter(at(6)));
        assert_eq!(shown.live(at(9)), at(6));
        ledger.leave(at(6));
        assert_eq!(shown.live(at(9)), at(7));
    }
}
