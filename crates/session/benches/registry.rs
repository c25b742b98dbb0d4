//! How long the machine takes for one command, by how much it holds.
//!
//! The registry is one task: at 50 000 PINGs per second each may take 20 microseconds, decoding
//! included, so more than 2 here would worry us. An apply of one route, staging included, must not
//! notice how many routes its session has: more than 100 microseconds would.

use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use model::{
    BackendUrl, ConnId, HeaderRule, HostPattern, Image, InstanceName, Instant, Line, Now,
    Registration, Reply, Request, RouteId, RoutePath, RouteSpec, ServiceName, SessionId, Target,
    UnixMillis,
};
use proxyd_session::{Config, Effects, Input, Output, Peer, Registry};

const SIZES: [u64; 3] = [10, 10_000, 100_000];

/// A registry with one session, and a disk that answers at once.
struct World {
    registry: Registry,
    session: SessionId,
    next: u64,
}

const NOW: Now = Now { mono: Instant::from_nanos(1), wall: UnixMillis(1_734_532_800_000) };
const CONN: ConnId = ConnId(1);

impl World {
    /// With this many routes, live.
    fn new(routes: u64) -> Self {
        let config = Config {
            session_expiry: Duration::from_secs(60),
            v1_route_grace: Duration::from_secs(60),
            route_grace: Duration::from_secs(300),
            staged_expiry: Duration::from_secs(1800),
            sessions_max: 20_000,
            routes_max: 1_000_000,
            routes_per_session_max: 1_000_000,
            sessions_per_peer_max: 10_000,
            effects: Effects::ALL,
        };
        let registry = Registry::new(config, [0; 32], Image::default(), NOW);
        let session = SessionId::parse("none").expect("a name");
        let mut world = Self { registry, session, next: routes };
        world.registry.handle(Input::Connected(CONN, Peer::Local), NOW);
        let register = Request::Register(Registration::V2 {
            service: ServiceName::parse("shop").expect("a name"),
            instance: InstanceName::parse("one").expect("a name"),
            maintenance_port: 9001,
            metadata: None,
        });
        if let Reply::Registered(id) = world.ask(register) {
            world.session = id;
        }
        for from in (0..routes).step_by(100) {
            let to = routes.min(from + 100);
            world.ask(Request::RouteAddBulk((from..to).map(spec).collect()));
        }
        world.ask(Request::ConfigApply);
        assert_eq!(world.registry.table().len() as u64, routes);
        world
    }

    fn ask(&mut self, request: Request) -> Reply {
        let line = Line { session: Some(self.session.clone()), txn: None, request };
        self.registry.handle(Input::Line(CONN, line), NOW);
        let mut reply = None;
        while let Some(output) = self.registry.poll_output() {
            match output {
                Output::Persist(batch) => {
                    self.registry.handle(Input::Persisted(batch.seq, Ok(())), NOW);
                }
                Output::Answer(_, answer) => reply = Some(answer.reply),
                _ => {}
            }
        }
        reply.expect("every command is answered")
    }

    fn one_more(&mut self) {
        self.next += 1;
        self.ask(Request::RouteAdd(spec(self.next)));
        assert_eq!(self.ask(Request::ConfigApply), Reply::Ok);
    }

    fn one_changed(&mut self) {
        self.next += 1;
        let rule = HeaderRule::parse("X-Version", &self.next.to_string()).expect("a header");
        self.ask(Request::HeadersSet(Target::Route(RouteId(1)), rule));
        assert_eq!(self.ask(Request::ConfigApply), Reply::Ok);
    }
}

fn spec(at: u64) -> RouteSpec {
    RouteSpec {
        domains: vec![HostPattern::parse(&format!("h{at}.example.com")).expect("a host")],
        path: RoutePath::parse("/").expect("a path"),
        backend: BackendUrl::parse(&format!("http://b{}:8080", at % 100)).expect("a URL"),
        priority: 0,
    }
}

fn commands(c: &mut Criterion) {
    let mut group = c.benchmark_group("registry");
    group.sample_size(30);
    for size in SIZES {
        let mut world = World::new(size);
        group.bench_function(BenchmarkId::new("ping", size), |b| {
            b.iter(|| world.ask(Request::Ping));
        });
        group.bench_function(BenchmarkId::new("apply one more", size), |b| {
            b.iter(|| world.one_more());
        });
        group.bench_function(BenchmarkId::new("apply one changed", size), |b| {
            b.iter(|| world.one_changed());
        });
    }
    // The hostile case: everything at once, all of it new.
    group.sample_size(10);
    group.bench_function("install 10000 in one apply", |b| {
        b.iter_batched(|| (), |()| World::new(10_000), BatchSize::PerIteration);
    });
}

criterion_group!(benches, commands);
criterion_main!(benches);
