//! What is counted of one request, for the statistics of its route.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use model::Instant;
use telemetry::Sample;

use crate::ticket::LocalRoute;
use crate::worker::Worker;

/// The request that is being worked on.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    route: RefCell<Option<Rc<LocalRoute>>>,
    began: Cell<Instant>,
    /// What the client was told; 0 is nothing yet.
    pub(crate) status: Cell<u16>,
    /// Whether it was counted.
    is_counted: Cell<bool>,
    /// Whether the response broke off.
    pub(crate) broke: Cell<bool>,
    /// Bytes to the client.
    pub(crate) sent: Cell<u64>,
    /// Bytes from the client.
    pub(crate) received: Cell<u64>,
}

impl Tally {
    /// A request's head is here.
    pub(crate) fn begin(&self, now: Instant) {
        self.route.take();
        self.began.set(now);
        self.status.set(0);
        self.is_counted.set(false);
        self.broke.set(false);
        self.sent.set(0);
        self.received.set(0);
    }

    /// It counts for this route.
    pub(crate) fn of(&self, route: &Rc<LocalRoute>) {
        self.route.replace(Some(Rc::clone(route)));
    }

    /// Whether it counts for a route already.
    pub(crate) fn has_route(&self) -> bool {
        self.route.borrow().is_some()
    }

    /// It was answered here.
    pub(crate) fn answered(&self, status: u16, bytes: u64) {
        self.status.set(status);
        self.is_counted.set(false);
        self.sent.set(bytes);
    }

    /// It is over. Counts once, and only what a client was told something about.
    pub(crate) fn record(&self, worker: &Worker) {
        let (route, status) = (self.route.take(), self.status.get());
        if status == 0 || self.is_counted.replace(true) {
            return;
        }
        worker.shared.answered.record(worker.number, status);
        let Some(route) = route else { return };
        let sample = Sample {
            status,
            failed: status >= 500 || self.broke.get(),
            latency: worker.clock.mono().since(self.began.get()),
            bytes_sent: self.sent.get(),
            bytes_received: self.received.get(),
        };
        route.state.stats.record(worker.number, &sample);
    }
}
