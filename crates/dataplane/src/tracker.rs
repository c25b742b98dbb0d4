//! What is kept about a connection that carries many requests: how many there are, since when there
//! are none, and how its client treats them.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::Instant;

use crate::worker::Worker;

/// How long a connection that is told to end has for it while nothing is in flight.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(1);
/// Requests that are worked on, those included whose stream the client has closed already: twice
/// as many as may be open, since giving one up takes a moment.
const OPEN_MAX: u32 = 256;
/// Requests that a client may give up before half of all it ever sent must have been answered.
const GIVEN_UP_MAX: u32 = 256;

/// What is known about the requests of one connection.
#[derive(Debug)]
pub(crate) struct Tracker {
    open: Cell<u32>,
    begun: Cell<u32>,
    /// Requests whose client did not wait for the answer.
    given_up: Cell<u32>,
    /// When the last one ended.
    quiet_since: Cell<Instant>,
    /// Answers that are written, and that the client does not have yet.
    unheard: Cell<u32>,
}

impl Tracker {
    pub(crate) fn new(now: Instant) -> Self {
        let (open, begun, given_up) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let (quiet_since, unheard) = (Cell::new(now), Cell::new(0));
        Self { open, begun, given_up, quiet_since, unheard }
    }

    /// Whether the client does not have all that it was answered.
    pub(crate) fn is_unheard(&self) -> bool {
        self.unheard.get() > 0
    }

    /// Since when nothing is in flight.
    pub(crate) fn quiet_since(&self) -> Option<Instant> {
        (self.open.get() == 0).then(|| self.quiet_since.get())
    }

    /// Whether the client lets us work and does not wait for what comes of it (rapid reset,
    /// CVE-2023-44487).
    pub(crate) fn is_abused(&self) -> bool {
        let given_up = self.given_up.get();
        let mostly = given_up > GIVEN_UP_MAX && given_up > self.begun.get() / 2;
        mostly || self.open.get() > OPEN_MAX
    }
}

/// One request, for as long as it is worked on.
pub(crate) struct Serving {
    tracker: Rc<Tracker>,
    worker: Rc<Worker>,
    answered: Cell<bool>,
}

impl Serving {
    pub(crate) fn begin(tracker: &Rc<Tracker>, worker: &Rc<Worker>) -> Self {
        tracker.open.set(tracker.open.get() + 1);
        tracker.begun.set(tracker.begun.get().saturating_add(1));
        let (tracker, worker) = (Rc::clone(tracker), Rc::clone(worker));
        Self { tracker, worker, answered: Cell::new(false) }
    }

    /// Whether the client was there for the answer.
    pub(crate) fn answered(&self, answered: bool) {
        self.answered.set(answered);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let tracker = &self.tracker;
        tracker.open.set(tracker.open.get() - 1);
        if tracker.open.get() == 0 {
            tracker.quiet_since.set(self.worker.clock.mono());
        }
        if !self.answered.get() {
            tracker.given_up.set(tracker.given_up.get() + 1);
        }
    }
}

/// An answer, for as long as it is on its way.
pub(crate) struct Unheard(Rc<Tracker>);

impl Unheard {
    pub(crate) fn begin(tracker: &Rc<Tracker>) -> Self {
        tracker.unheard.set(tracker.unheard.get() + 1);
        Self(Rc::clone(tracker))
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        self.0.unheard.set(self.0.unheard.get() - 1);
    }
}

/// Counts a connection whose frames may still wait to be written when its requests have ended.
pub(crate) struct Messaging<'w>(&'w Worker);

impl<'w> Messaging<'w> {
    pub(crate) fn begin(worker: &'w Worker) -> Self {
        worker.shared.messaging.fetch_add(1, Ordering::Relaxed);
        Self(worker)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.shared.messaging.load(Ordering::Relaxed)
    }
}

impl Drop for Messaging<'_> {
    fn drop(&mut self) {
        self.0.shared.messaging.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_up_most_requests_is_abusive() {
        let tracker = Tracker::new(Instant::default());
        for (begun, given_up, expected) in [
            (0, 0, false),
            (GIVEN_UP_MAX, GIVEN_UP_MAX, false),
            (GIVEN_UP_MAX + 1, GIVEN_UP_MAX + 1, true),
            (2 * (GIVEN_UP_MAX + 1), GIVEN_UP_MAX + 1, false),
            (10_000, 5000, false),
            (10_000, 5001, true),
        ] {
            tracker.open.set(0);
            tracker.begun.set(begun);
            tracker.given_up.set(given_up);
            assert_eq!(tracker.is_abused(), expected, "{given_up} of {begun}");
        }
        let tracker = Tracker::new(Instant::default());
        for (open, expected) in [(OPEN_MAX, false), (OPEN_MAX + 1, true)] {
            tracker.open.set(open);
            assert_eq!(tracker.is_abused(), expected, "{open} at a time");
        }
    }
}
