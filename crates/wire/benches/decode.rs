//! How long one line takes, to cut, to read, to answer.
//!
//! A registry reads tens of thousands of lines a second at most, and the bar is 50 000 PINGs on
//! one core: 20 microseconds for all that is done about each. What would worry us is a short line
//! above one microsecond, a hostile one that costs more per byte than an honest one, and a stream
//! in small pieces that costs more than a few times the same stream in one.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use model::{
    Answer, BackendUrl, HostPattern, Reply, RouteId, RouteListEntry, RouteListing, RoutePath,
    RouteStatus,
};
use proxyd_wire::{Dialect, Framer, LINE_BYTES_MAX, decode, encode_answer};

const SESSION: &str = "api-9001-1734532800-0123456789abcdefghijklmnop";

fn lines(c: &mut Criterion) {
    let route = r#"{"domains":["api.example.com"],"path":"/v1","backend_url":"http://api:9000"}"#;
    let fit = (LINE_BYTES_MAX - 100) / (route.len() + 1);
    let domains = "a.example,".repeat((LINE_BYTES_MAX - 100) / 10);
    let mut group = c.benchmark_group("decode");
    for (name, line) in [
        ("short", format!("PING|{SESSION}")),
        ("txn", format!("PING|{SESSION}|deploy-42")),
        ("duration", format!("DRAIN_START|{SESSION}|1h30m")),
        ("route", format!("ROUTE_ADD|{SESSION}|api.example.com|/v1|http://api:9000|10")),
        ("bulk", format!("ROUTE_ADD_BULK|{SESSION}|[{}]", vec![route; fit].join(","))),
        ("hostile_pipes", "|".repeat(LINE_BYTES_MAX - 1)),
        ("hostile_fields", format!("PING{}", "|x".repeat(LINE_BYTES_MAX / 2 - 4))),
        ("hostile_name", "A".repeat(LINE_BYTES_MAX - 1)),
        ("hostile_domains", format!("ROUTE_ADD|{SESSION}|{domains}|/|http://api:9000|0")),
        ("hostile_duration", format!("DRAIN_START|{SESSION}|{}", "1h".repeat(8000))),
        ("hostile_nesting", format!("REGISTER|a|b|1|{}", "{\"a\":".repeat(3000))),
    ] {
        assert!(line.len() < LINE_BYTES_MAX, "{name} would never come so far");
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &line, |b, line| {
            b.iter(|| decode(black_box(line), Dialect::V2));
        });
    }
    group.finish();
}

fn frames(c: &mut Criterion) {
    let pings = format!("PING|{SESSION}\n").repeat(1000);
    let mut group = c.benchmark_group("frame");
    for (name, stream, piece) in [
        ("pipelined", pings.clone().into_bytes(), 16_384),
        ("in_pieces", pings.into_bytes(), 7),
        ("one_byte_at_a_time", format!("{}\n", "x".repeat(16_000)).into_bytes(), 1),
        ("hostile_endless", vec![b'x'; 1 << 20], 16_384),
        ("hostile_empty", vec![b'\n'; 1 << 16], 16_384),
    ] {
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                let mut framer = Framer::new();
                let mut lines = 0;
                for piece in stream.chunks(piece) {
                    framer.push(black_box(piece));
                    lines += std::iter::from_fn(|| framer.next_line()).count();
                }
                lines
            });
        });
    }
    group.finish();
}

fn answers(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for (name, reply) in [
        ("short", Reply::Pong),
        ("list_of_300", listing(300, false)),
        ("list_of_10000_compressed", listing(10_000, true)),
        ("too_large", listing(10_000, false)),
    ] {
        let answer = Answer { txn: None, reply };
        group.bench_with_input(BenchmarkId::from_parameter(name), &answer, |b, answer| {
            b.iter(|| {
                let mut out = Vec::new();
                encode_answer(black_box(answer), Dialect::V2, &mut out);
                out
            });
        });
    }
    group.finish();
}

fn listing(routes: u64, compressed: bool) -> Reply {
    let entry = |number| RouteListEntry {
        route: RouteId(number),
        domains: vec![HostPattern::Any],
        path: RoutePath::parse(&format!("/service/{number}")).expect("a path"),
        backend: BackendUrl::parse("http://api.internal:9000").expect("a URL"),
        priority: 0,
        status: RouteStatus::Active,
        staged: None,
    };
    let entries = (1..=routes).map(entry).collect();
    Reply::RouteList(RouteListing { entries, paged: false, compressed })
}

criterion_group!(benches, lines, frames, answers);
criterion_main!(benches);
