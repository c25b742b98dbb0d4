//! A route's counters, told what happened by one thread and by several.

use std::collections::BTreeMap;
use std::thread;

use proptest::prelude::*;

use super::*;

fn pool(limit: usize) -> Arc<HistogramPool> {
    Arc::new(HistogramPool::new(limit))
}

fn ok(millis: u64) -> Sample {
    let latency = Duration::from_millis(millis);
    Sample { status: 200, failed: false, latency, bytes_sent: 1_000, bytes_received: 100 }
}

fn about(found: Duration, millis: u64) -> bool {
    let exact = millis as f64 / 1e3;
    (found.as_secs_f64() - exact).abs() <= 0.04 * exact
}

#[test]
fn a_route_that_never_serves_costs_little() {
    for workers in [1, 2] {
        let bytes = size_of::<RouteStats>() + workers * size_of::<OnceLock<Box<Stripe>>>();
        assert!(bytes <= 64, "{bytes} for {workers}");
    }
    assert!(size_of::<Stripe>() <= 192, "{}", size_of::<Stripe>());

    let pool = pool(5);
    let stats = RouteStats::new(2, &pool);
    assert_eq!(stats.totals(), Totals::default());
    assert_eq!((stats.used().count(), pool.left()), (0, 5));
}

#[test]
fn counts_what_it_is_told() {
    let stats = RouteStats::new(2, &pool(5));
    stats.record(0, &ok(10));
    stats.record(1, &ok(20));
    stats.record(1, &Sample { status: 502, failed: true, ..ok(60) });
    stats.record(0, &Sample { status: 0, failed: true, bytes_sent: 0, ..ok(110) });

    let totals = stats.totals();
    assert_eq!((totals.requests, totals.errors), (4, 2));
    assert_eq!((totals.bytes_sent, totals.bytes_received), (3_000, 400));
    assert_eq!(totals.latency_mean(), Duration::from_millis(50));
    assert_eq!(totals.status_codes, BTreeMap::from([(200, 2), (502, 1)]));
    assert!(about(totals.percentile(0.5), 20), "{:?}", totals.percentile(0.5));
    assert!(about(totals.percentile(0.99), 110), "{:?}", totals.percentile(0.99));
}

#[test]
fn any_worker_counts() {
    for (workers, worker) in [(0, 0), (0, 7), (2, 2), (2, usize::MAX)] {
        let stats = RouteStats::new(workers, &pool(5));
        stats.record(worker, &ok(10));
        assert_eq!(stats.totals().requests, 1, "{worker} of {workers}");
    }
}

#[test]
fn without_a_histogram_it_counts_on() {
    let pool = pool(1);
    let first = RouteStats::new(1, &pool);
    let second = RouteStats::new(1, &pool);
    for millis in [10, 10, 10, 90] {
        first.record(0, &ok(millis));
        second.record(0, &ok(millis));
    }
    assert_eq!(pool.left(), 0);
    assert!(about(first.totals().percentile(0.5), 10));
    assert_eq!(second.totals().requests, 4);
    assert_eq!(second.totals().percentile(0.5), Duration::from_millis(30), "the mean");

    let earlier = second.totals();
    drop(first);
    assert_eq!(pool.left(), 1, "given back");
    second.record(0, &ok(70));
    assert_eq!(pool.left(), 0, "and taken");
    assert!(about(second.totals().since(&earlier).percentile(0.5), 70));
    drop(second);
    assert_eq!(pool.left(), 1);
}

#[test]
fn writers_on_their_own_stripes_lose_nothing() {
    const EACH: u64 = 20_000;
    let stats = RouteStats::new(4, &pool(4));
    thread::scope(|scope| {
        for worker in 0..4 {
            let stats = &stats;
            scope.spawn(move || (0..EACH).for_each(|n| stats.record(worker, &ok(1 + n % 50))));
        }
        let mut seen = 0;
        while seen < 4 * EACH {
            let now = stats.totals().requests;
            assert!(now >= seen, "went back from {seen} to {now}");
            seen = now;
            thread::yield_now();
        }
    });
    let totals = stats.totals();
    assert_eq!(totals.requests, 4 * EACH);
    assert_eq!(totals.status_codes, BTreeMap::from([(200, 4 * EACH)]));
    assert_eq!(totals.bytes_sent, 4_000 * EACH);
    assert_eq!(totals.latencies.iter().sum::<u64>(), 4 * EACH);
}

fn any_sample() -> impl Strategy<Value = Sample> {
    // Few enough statuses that none has to share a place: which one shares depends on the stripe.
    let status = prop::sample::select(vec![0, 101, 200, 204, 301, 304, 404, 429, 500, 502, 503]);
    let latency = (1..60_000_000_u64).prop_map(Duration::from_micros);
    (status, any::<bool>(), latency, 0..1_u64 << 40, 0..1_u64 << 40).prop_map(
        |(status, failed, latency, bytes_sent, bytes_received)| Sample {
            status,
            failed,
            latency,
            bytes_sent,
            bytes_received,
        },
    )
}

proptest! {
    /// Who served makes no difference, and neither does a look in between.
    #[test]
    fn stripes_add_up(samples in prop::collection::vec((0..3_usize, any_sample()), 0..60)) {
        let pool = pool(9);
        let (split, single) = (RouteStats::new(3, &pool), RouteStats::new(1, &pool));
        let half = samples.len() / 2;
        let mut earlier = Totals::default();
        for (n, (worker, sample)) in samples.iter().enumerate() {
            if n == half {
                earlier = split.totals();
            }
            split.record(*worker, sample);
            single.record(0, sample);
        }
        prop_assert_eq!(split.totals(), single.totals());

        let late = RouteStats::new(1, &pool);
        samples[half..].iter().for_each(|(_, sample)| late.record(0, sample));
        prop_assert_eq!(split.totals().since(&earlier), late.totals());
    }
}
