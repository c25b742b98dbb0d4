//! How long a decision and a change take, by the size of the table.
//!
//! A request costs the data plane about 13 microseconds, so a decision at 100 000 routes that
//! took more than one would worry us, and so would any growth beyond what cache misses explain.
//! A change must not notice the size of the table: more than 100 microseconds would worry us.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use model::{
    BackendUrl, Generation, HostPattern, InstanceName, Instant, RouteConfig, RouteId, RoutePath,
    RouteSpec, ServiceName, normalize_path,
};
use proxyd_routing::{
    Choice, Edit, EndpointHealth, EndpointView, Entry, Head, Live, Member, Table, decide,
};

struct Fine;

impl Live for Fine {
    fn member(&self, _: &Member, _: Instant) -> EndpointView {
        let health = EndpointHealth::Up;
        EndpointView { health, in_flight: 1, latency_micros: 500, share_percent: 100 }
    }
}

/// Puts one route there, to a backend of its own.
fn put(route: u64, host: &str, path: &str, config: &Arc<RouteConfig>) -> Edit {
    let backend = BackendUrl::parse(&format!("http://backend-{route}:8080")).expect("is valid");
    Edit::Put(Entry {
        route: RouteId(route),
        service: ServiceName::parse("shop").expect("is valid"),
        instance: InstanceName::parse("shop-1").expect("is valid"),
        spec: RouteSpec {
            domains: vec![HostPattern::parse(host).expect("is valid")],
            path: RoutePath::parse(path).expect("is valid"),
            backend,
            priority: 0,
        },
        config: Arc::clone(config),
        since: Generation(1),
    })
}

fn table(count: u64, place: impl Fn(u64) -> (String, String)) -> Table {
    let config = Arc::new(RouteConfig::default());
    let edits = (1..=count).map(|route| {
        let (host, path) = place(route);
        put(route, &host, &path, &config)
    });
    Table::default().with(edits.collect(), Generation(1)).expect("one service").table
}

fn hosts(count: u64) -> Table {
    table(count, |n| (format!("h{n}.example.com"), "/".to_owned()))
}

fn paths(count: u64) -> Table {
    table(count, |n| ("example.com".to_owned(), format!("/v{}/p{n}", n % 7)))
}

/// One host with keys at every depth there is, and suffixes of many lengths.
fn enemy() -> Table {
    table(600, |n| match n {
        0..=300 => ("deep.example".to_owned(), "/a".repeat(n as usize)),
        _ => (format!("**{}", ".a".repeat((n - 300) as usize % 120 + 1)), format!("/{n}")),
    })
}

type Asked = (Option<String>, String);

fn decisions(c: &mut Criterion) {
    let mut group = c.benchmark_group("decide");
    let many = |count: u64, place: &dyn Fn(u64) -> Asked| -> Vec<Asked> {
        // In an order that no cache foresees.
        (0..count).map(|n| place(n * 7919 % count + 1)).collect()
    };
    let by_host = |n: u64| (Some(format!("h{n}.example.com")), "/some/path".to_owned());
    let by_path = |n: u64| (Some("example.com".to_owned()), format!("/v{}/p{n}/more", n % 7));
    let one = |host: &str, path: &str| vec![(Some(host.to_owned()), path.to_owned())];
    let deep = "/a".repeat(200);
    let unknown = vec!["a"; 126].join(".");
    let cases = [
        ("one route", hosts(1), many(1, &by_host)),
        ("10 hosts", hosts(10), many(10, &by_host)),
        ("10000 hosts", hosts(10_000), many(10_000, &by_host)),
        ("100000 hosts", hosts(100_000), many(100_000, &by_host)),
        ("one of 100000 hosts", hosts(100_000), many(1, &by_host)),
        ("100000 paths", paths(100_000), many(100_000, &by_path)),
        ("hostile path, nothing like it", hosts(10_000), one("h1.example.com", &deep)),
        ("hostile path, keys at every depth", enemy(), one("deep.example", &deep)),
        ("hostile host, suffixes of every length", enemy(), one(&unknown, "/")),
    ];
    for (name, table, asked) in cases {
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            let mut turn = 0;
            b.iter(|| {
                turn = (turn + 1) % asked.len();
                let (host, raw_path) = &asked[turn];
                let path = normalize_path(raw_path.as_bytes()).expect("is valid");
                let head = Head { host: host.as_deref(), raw_path, path: &path };
                let decision = decide(
                    &table,
                    &Fine,
                    black_box(head),
                    &Choice { draw: 7, ..Choice::default() },
                );
                black_box(decision);
            });
        });
    }
    group.finish();
}

fn pools(c: &mut Criterion) {
    let mut group = c.benchmark_group("decide in a pool");
    for members in [1, 2, 10, 300] {
        let table = table(members, |_| ("example.com".to_owned(), "/".to_owned()));
        let path = normalize_path(b"/").expect("is valid");
        let head = Head { host: Some("example.com"), raw_path: "/", path: &path };
        group.bench_function(BenchmarkId::from_parameter(members), |b| {
            let mut draw = 0_u64;
            b.iter(|| {
                draw = draw.wrapping_add(0x9e37_79b9_7f4a_7c15);
                black_box(decide(&table, &Fine, head, &Choice { draw, ..Choice::default() }));
            });
        });
    }
    group.finish();
}

fn changes(c: &mut Criterion) {
    let mut group = c.benchmark_group("one change");
    let config = Arc::new(RouteConfig::default());
    for (name, table, host, path) in [
        ("10 hosts", hosts(10), "new.example.com", "/"),
        ("10000 hosts", hosts(10_000), "new.example.com", "/"),
        ("100000 hosts", hosts(100_000), "new.example.com", "/"),
        ("100000 paths", paths(100_000), "example.com", "/new"),
    ] {
        let edits = vec![put(150_000, host, path, &config)];
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| table.with(black_box(edits.clone()), Generation(2)));
        });
        // A change of what nobody has in a cache, each time another.
        let known = table.len() as u64;
        group.bench_function(BenchmarkId::new("remove", name), |b| {
            let mut route = 0;
            b.iter(|| {
                route = (route + 7919) % known;
                table.with(vec![Edit::Remove(RouteId(route + 1))], Generation(2))
            });
        });
    }
    group.finish();
    c.bench_function("100000 routes at once", |b| b.iter(|| hosts(100_000)));
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = decisions, pools, changes
}
criterion_main!(benches);
