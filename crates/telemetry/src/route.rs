//! The counters of one route.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::counter::Counter;
use crate::histogram::{self, Histogram};
use crate::pool::HistogramPool;
use crate::status::StatusCounts;
use crate::totals::Totals;

/// One request that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// As answered to the client; 0 if nothing was answered.
    pub status: u16,
    /// Whether it counts as an error.
    pub failed: bool,
    /// From the request's head to the end of the response.
    pub latency: Duration,
    /// To the client.
    pub bytes_sent: u64,
    /// From the client.
    pub bytes_received: u64,
}

/// The counters of one route, a stripe for every worker.
///
/// A stripe and its histogram are made when that worker serves the route first; until then a route
/// costs three words, and two for every worker.
#[derive(Debug)]
pub struct RouteStats {
    stripes: Box<[OnceLock<Box<Stripe>>]>,
    pool: Arc<HistogramPool>,
}

impl RouteStats {
    /// For so many workers, at least one, with histograms out of `pool`.
    pub fn new(workers: usize, pool: &Arc<HistogramPool>) -> Self {
        let stripes = (0..workers.max(1)).map(|_| OnceLock::new()).collect();
        Self { stripes, pool: Arc::clone(pool) }
    }

    /// Counts a request that `worker` served, from 0; a worker too many counts with the last.
    ///
    /// A stripe has one writer, which therefore needs no locked instruction: two threads must not
    /// record as the same worker at a time. If they do, counts are lost, and nothing worse.
    pub fn record(&self, worker: usize, sample: &Sample) {
        if let Some(stripe) = self.stripes.get(worker).or_else(|| self.stripes.last()) {
            stripe.get_or_init(Box::default).record(sample, &self.pool);
        }
    }

    /// The stripes added up. While workers count, the numbers may be apart by the requests of that
    /// moment.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.used().for_each(|stripe| stripe.add_to(&mut totals));
        totals
    }

    fn used(&self) -> impl Iterator<Item = &Stripe> {
        self.stripes.iter().filter_map(OnceLock::get).map(AsRef::as_ref)
    }
}

impl Drop for RouteStats {
    fn drop(&mut self) {
        let histograms = self.used().filter(|stripe| stripe.histogram().is_some()).count();
        self.pool.give_back(histograms);
    }
}

/// What one worker counted, on cache lines that no other worker writes.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe {
    requests: Counter,
    errors: Counter,
    latency_ticks: Counter,
    bytes_sent: Counter,
    bytes_received: Counter,
    latencies: OnceLock<Box<Histogram>>,
    statuses: StatusCounts,
}

impl Stripe {
    fn record(&self, sample: &Sample, pool: &HistogramPool) {
        let ticks = histogram::ticks(sample.latency);
        self.requests.add(1);
        self.errors.add(u64::from(sample.failed));
        self.latency_ticks.add(ticks);
        self.bytes_sent.add(sample.bytes_sent);
        self.bytes_received.add(sample.bytes_received);
        self.statuses.record(sample.status);
        if let Some(latencies) = self.histogram().or_else(|| self.make_histogram(pool)) {
            latencies.record(ticks);
        }
    }

    fn histogram(&self) -> Option<&Histogram> {
        self.latencies.get().map(AsRef::as_ref)
    }

    #[cold]
    fn make_histogram(&self, pool: &HistogramPool) -> Option<&Histogram> {
        if pool.take() && self.latencies.set(Box::default()).is_err() {
            pool.give_back(1);
        }
        self.histogram()
    }

    fn add_to(&self, totals: &mut Totals) {
        let latency = histogram::duration(self.latency_ticks.get());
        totals.requests += self.requests.get();
        totals.errors += self.errors.get();
        totals.latency_sum = totals.latency_sum.saturating_add(latency);
        totals.bytes_sent += self.bytes_sent.get();
        totals.bytes_received += self.bytes_received.get();
        self.statuses.add_to(&mut totals.status_codes);
        if let Some(latencies) = self.histogram() {
            totals.add_latencies(latencies.counts());
        }
    }
}

#[cfg(test)]
mod tests;
