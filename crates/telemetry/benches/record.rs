//! What it costs a request to be counted.
//!
//! A request costs the data plane about 13 microseconds, so 100 nanoseconds would worry us. So
//! would two threads that are slower on one route than on two: a cache line would travel. That
//! both are slower than one alone only says that the cores share something.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use criterion::{Bencher, Criterion, criterion_group, criterion_main};
use proxyd_telemetry::{HistogramPool, RouteStats, Sample};

/// The `n`th request: different latencies, mostly fine.
fn sample(n: u64) -> Sample {
    let latency = Duration::from_nanos(200_000 + (n.wrapping_mul(0x9E37_79B9) & 0xF_FFFF));
    let status = if n.is_multiple_of(8) { 404 } else { 200 };
    Sample { status, failed: false, latency, bytes_sent: 1_024, bytes_received: 256 }
}

/// On the heap, as in the proxy: a stack is written all the time, and would slow its neighbours.
fn stats() -> Arc<RouteStats> {
    Arc::new(RouteStats::new(2, &Arc::new(HistogramPool::default())))
}

fn measure(bencher: &mut Bencher<'_>, stats: &RouteStats) {
    let mut n = 0;
    bencher.iter(|| {
        n += 1;
        stats.record(black_box(0), black_box(&sample(n)));
    });
}

/// Another worker counts without a pause.
fn measure_beside(bencher: &mut Bencher<'_>, stats: &RouteStats, others: &RouteStats) {
    let done = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0;
            while !done.load(Relaxed) {
                n += 1;
                others.record(black_box(1), black_box(&sample(n)));
            }
        });
        measure(bencher, stats);
        done.store(true, Relaxed);
    });
}

fn record(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record");
    group.bench_function("alone", |bencher| measure(bencher, &stats()));
    group.bench_function("two_threads", |bencher| {
        let stats = stats();
        measure_beside(bencher, &stats, &stats);
    });
    group.bench_function("two_threads_on_two_routes", |bencher| {
        measure_beside(bencher, &stats(), &stats());
    });
    group.bench_function("without_histogram", |bencher| {
        measure(bencher, &RouteStats::new(1, &Arc::new(HistogramPool::new(0))));
    });
    group.finish();
}

fn totals(criterion: &mut Criterion) {
    let stats = stats();
    (0..10_000).for_each(|n| stats.record((n % 2) as usize, &sample(n)));
    criterion.bench_function("totals", |bencher| bencher.iter(|| black_box(&stats).totals()));
}

criterion_group!(benches, record, totals);
criterion_main!(benches);
