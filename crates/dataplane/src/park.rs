//! Requests that wait for their backend to come back (SPEC 4, "Parking").
//!
//! A bounded queue per worker, by count and by bytes; by time each route sets its own bound
//! (`park=5s`). A parked request holds what was read of it and nothing else.

use std::rc::Rc;
use std::time::Duration;

use model::Instant;

use crate::watch::Watch;
use crate::worker::Worker;

/// Requests parked at a time, per worker.
const PARKED_MAX: usize = 1024;
/// What they may hold, in bytes.
const PARKED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Looks in between, should a change come between the look and the wait.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A place in the queue.
#[derive(Debug)]
pub(crate) struct Parked {
    worker: Rc<Worker>,
    bytes: usize,
}

impl Parked {
    /// Takes a place for a request of that many bytes, if there is one.
    pub(crate) fn begin(worker: &Rc<Worker>, bytes: usize) -> Option<Self> {
        let (count, held) = worker.parked.get();
        if count >= PARKED_MAX || held + bytes > PARKED_BYTES_MAX {
            return None;
        }
        worker.parked.set((count + 1, held + bytes));
        Some(Self { worker: Rc::clone(worker), bytes })
    }

    /// Waits until where requests go may have changed, at most until then.
    pub(crate) async fn wait(worker: &Worker, watch: &mut Watch, until: Instant) {
        let limit = until.since(worker.clock.mono()).min(LOOK_EVERY);
        let _ = watch.within(limit, worker.shared.changed.notified()).await;
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        let (count, held) = self.worker.parked.get();
        self.worker.parked.set((count.saturating_sub(1), held.saturating_sub(self.bytes)));
    }
}
