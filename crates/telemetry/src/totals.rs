//! What was counted, as a value.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{RouteId, StatsReport};

use crate::histogram;

/// What one or several routes did, all workers together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Requests answered.
    pub requests: u64,
    /// Of these, failed.
    pub errors: u64,
    /// All latencies added up.
    pub latency_sum: Duration,
    /// To clients.
    pub bytes_sent: u64,
    /// From clients.
    pub bytes_received: u64,
    /// Answers by status. Rare ones may stand under the round one of their class: each worker of a
    /// route tells sixteen apart.
    pub status_codes: BTreeMap<u16, u64>,
    /// Counts by bucket of latency; empty where there are none.
    pub(crate) latencies: Vec<u64>,
}

impl Totals {
    /// The mean latency; 0 without requests.
    pub fn latency_mean(&self) -> Duration {
        let mean = self.latency_sum.as_nanos().checked_div(u128::from(self.requests));
        Duration::from_nanos(mean.and_then(|mean| u64::try_from(mean).ok()).unwrap_or(0))
    }

    /// The latency that the share `quantile` of all requests did not exceed: 0.99 is the 99th
    /// percentile. Within 4 % from 1 microsecond to 60 seconds; what took longer than 68 seconds
    /// counts as that. Requests without a histogram do not count, and if none had one the answer
    /// is the mean.
    pub fn percentile(&self, quantile: f64) -> Duration {
        histogram::percentile(&self.latencies, quantile).unwrap_or_else(|| self.latency_mean())
    }

    /// How many requests took no longer than `bound`, within what [`Totals::percentile`] is.
    /// Requests without a histogram count as the mean.
    pub fn within(&self, bound: Duration) -> u64 {
        let seen: u64 = self.latencies.iter().sum();
        let others =
            if self.latency_mean() <= bound { self.requests.saturating_sub(seen) } else { 0 };
        histogram::within(&self.latencies, bound) + others
    }

    /// Adds what others did.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.latency_sum = self.latency_sum.saturating_add(other.latency_sum);
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        for (status, count) in &other.status_codes {
            *self.status_codes.entry(*status).or_default() += count;
        }
        self.add_latencies(other.latencies.iter().copied());
    }

    pub(crate) fn add_latencies(&mut self, counts: impl ExactSizeIterator<Item = u64>) {
        if self.latencies.len() < counts.len() {
            self.latencies.resize(counts.len(), 0);
        }
        self.latencies.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }

    /// What happened between an earlier look at the same routes and this one. A number that was
    /// higher then is 0: the route was made anew in between.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            errors: self.errors.saturating_sub(earlier.errors),
            latency_sum: self.latency_sum.saturating_sub(earlier.latency_sum),
            bytes_sent: self.bytes_sent.saturating_sub(earlier.bytes_sent),
            bytes_received: self.bytes_received.saturating_sub(earlier.bytes_received),
            status_codes: statuses_since(&self.status_codes, &earlier.status_codes),
            latencies: latencies_since(&self.latencies, &earlier.latencies),
        }
    }

    /// As STATS shows it.
    pub fn report(&self, route: RouteId) -> StatsReport {
        StatsReport {
            route,
            requests: self.requests,
            errors: self.errors,
            latency_mean: self.latency_mean(),
            latency_p95: self.percentile(0.95),
            latency_p99: self.percentile(0.99),
            bytes_sent: self.bytes_sent,
            bytes_received: self.bytes_received,
            status_codes: self.status_codes.clone(),
        }
    }
}

fn statuses_since(now: &BTreeMap<u16, u64>, earlier: &BTreeMap<u16, u64>) -> BTreeMap<u16, u64> {
    let before = |status| earlier.get(status).copied().unwrap_or(0);
    let more = now.iter().map(|(status, count)| (*status, count.saturating_sub(before(status))));
    more.filter(|(_, count)| *count > 0).collect()
}

/// Empty if nothing was counted, as everywhere.
fn latencies_since(now: &[u64], earlier: &[u64]) -> Vec<u64> {
    let earlier = earlier.iter().copied().chain(std::iter::repeat(0));
    let more: Vec<u64> =
        now.iter().zip(earlier).map(|(count, before)| count.saturating_sub(before)).collect();
    if more.iter().all(|count| *count == 0) { Vec::new() } else { more }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(requests: u64, latencies: &[u64]) -> Totals {
        Totals {
            requests,
            errors: requests / 2,
            latency_sum: Duration::from_millis(10 * requests),
            bytes_sent: 100 * requests,
            bytes_received: 7 * requests,
            status_codes: BTreeMap::from([(200, requests - requests / 2), (502, requests / 2)]),
            latencies: latencies.to_vec(),
        }
    }

    #[test]
    fn nothing() {
        let nothing = Totals::default();
        assert_eq!(nothing.latency_mean(), Duration::ZERO);
        assert_eq!(nothing.percentile(0.99), Duration::ZERO);
        assert_eq!(nothing.since(&nothing), nothing);
    }

    #[test]
    fn adds_and_subtracts() {
        #[rustfmt::skip]
        let table = [
            // earlier               more                  together
            (totals(4, &[1, 3]),     totals(6, &[2, 4]),   totals(10, &[3, 7])),
            (totals(4, &[]),         totals(6, &[2, 4]),   totals(10, &[2, 4])),
            (totals(4, &[1, 3]),     totals(6, &[]),       totals(10, &[1, 3])),
            (totals(4, &[]),         totals(6, &[]),       totals(10, &[])),
        ];
        for (earlier, more, together) in table {
            let mut sum = earlier.clone();
            sum.add(&more);
            assert_eq!(sum, together);
            assert_eq!(sum.since(&earlier), more);
        }
    }

    #[test]
    fn never_below_nothing() {
        assert_eq!(totals(4, &[1, 3]).since(&totals(6, &[2, 4])), Totals::default());
    }

    #[test]
    fn without_a_histogram_the_mean_answers() {
        let report = totals(4, &[]).report(RouteId(3));
        assert_eq!(report.latency_mean, Duration::from_millis(10));
        assert_eq!(
            (report.latency_p95, report.latency_p99),
            (report.latency_mean, report.latency_mean)
        );
    }

    #[test]
    fn within_a_bound() {
        let histogram = histogram::Histogram::default();
        for millis in [1, 10, 10, 100] {
            histogram.record(histogram::ticks(Duration::from_millis(millis)));
        }
        let counts: Vec<u64> = histogram.counts().collect();
        // totals: a mean of 10 ms.
        #[rustfmt::skip]
        let table = [
            // requests  histogram   within 9 ms  10 ms  2 min
            (0,          &[][..],    [0,          0,     0]),
            (4,          &counts,    [1,          3,     4]),
            (6,          &counts,    [1,          5,     6]),
            (6,          &[],        [0,          6,     6]),
        ];
        for (requests, latencies, expected) in table {
            let totals = totals(requests, latencies);
            let found = [9, 10, 120_000].map(|ms| totals.within(Duration::from_millis(ms)));
            assert_eq!(found, expected, "{requests}");
        }
    }

    #[test]
    fn reports() {
        let totals = totals(4, &[0, 3, 0, 1]);
        let report = totals.report(RouteId(3));
        assert_eq!((report.route, report.requests, report.errors), (RouteId(3), 4, 2));
        assert_eq!((report.bytes_sent, report.bytes_received), (400, 28));
        assert_eq!(report.status_codes, BTreeMap::from([(200, 2), (502, 2)]));
        assert_eq!(
            (report.latency_p95, report.latency_p99),
            (totals.percentile(1.0), totals.percentile(1.0))
        );
    }
}
