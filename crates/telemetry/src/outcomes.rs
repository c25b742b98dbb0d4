//! What became of requests, for protocols that have nothing as fine as routes.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What can become of a request of one protocol: an enum, whose variants are few.
pub trait Outcome: Copy + PartialEq + 'static {
    /// Every one, the most frequent first.
    const ALL: &'static [Self];

    /// As a label says it.
    fn as_str(self) -> &'static str;
}

/// Counts requests by outcome. Clones count together; counting is one addition, and no lock.
pub struct Outcomes<O>(Arc<[AtomicU64]>, PhantomData<fn(O)>);

impl<O: Outcome> Outcomes<O> {
    /// One more.
    pub fn count(&self, outcome: O) {
        let at = O::ALL.iter().position(|other| *other == outcome);
        if let Some(counter) = at.and_then(|at| self.0.get(at)) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// How many there were of each, in the order of [`Outcome::ALL`].
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.0.iter().map(|counter| counter.load(Relaxed));
        O::ALL.iter().map(|outcome| outcome.as_str()).zip(counts)
    }
}

impl<O: Outcome> Default for Outcomes<O> {
    fn default() -> Self {
        Self(O::ALL.iter().map(|_| AtomicU64::default()).collect(), PhantomData)
    }
}

impl<O> Clone for Outcomes<O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0), PhantomData)
    }
}

impl<O> fmt::Debug for Outcomes<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Outcomes").field(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq)]
    enum Tried {
        Good,
        Bad,
    }

    impl Outcome for Tried {
        const ALL: &'static [Self] = &[Self::Good, Self::Bad];

        fn as_str(self) -> &'static str {
            match self {
                Self::Good => "good",
                Self::Bad => "bad",
            }
        }
    }

    #[test]
    fn clones_count_together() {
        let outcomes = Outcomes::default();
        outcomes.count(Tried::Good);
        outcomes.clone().count(Tried::Good);
        outcomes.count(Tried::Bad);
        assert_eq!(outcomes.each().collect::<Vec<_>>(), [("good", 2), ("bad", 1)]);
    }
}
