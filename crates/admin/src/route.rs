//! What one route did, in as little as the text needs.

use std::time::Duration;

use model::RouteId;
use telemetry::Totals;

/// The upper ends of the buckets of latency, in milliseconds.
const BOUNDS_MILLIS: [u64; 13] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];
/// With the one that has no end.
const BUCKETS: usize = BOUNDS_MILLIS.len() + 1;

/// Classes of status, as the label says them.
pub(crate) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What one route did.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) id: String,
    pub(crate) by_class: [u64; CLASSES.len()],
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) latency_sum: Duration,
    /// How many took up to that many seconds, and longer than those before.
    pub(crate) latencies: [(f64, u64); BUCKETS],
}

impl Route {
    pub(crate) fn of(id: RouteId, totals: &Totals) -> Self {
        let mut by_class = [0; CLASSES.len()];
        for (status, count) in &totals.status_codes {
            let class = usize::from(status / 100).checked_sub(1);
            if let Some(sum) = class.and_then(|class| by_class.get_mut(class)) {
                *sum += count;
            }
        }
        let mut latencies = [(f64::INFINITY, 0); BUCKETS];
        let mut below = 0;
        for (bucket, millis) in latencies.iter_mut().zip(BOUNDS_MILLIS) {
            let bound = Duration::from_millis(millis);
            let within = totals.within(bound).max(below);
            *bucket = (bound.as_secs_f64(), within - below);
            below = within;
        }
        if let Some((_, longer)) = latencies.last_mut() {
            *longer = totals.requests.saturating_sub(below);
        }
        Self {
            id: id.to_string(),
            by_class,
            requests: totals.requests,
            errors: totals.errors,
            sent: totals.bytes_sent,
            received: totals.bytes_received,
            latency_sum: totals.latency_sum,
            latencies,
        }
    }
}
