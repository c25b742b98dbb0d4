//! What the running proxy cannot do is never acknowledged.

use model::{
    Balance, BreakerSpec, FailureClass, Guard, HealthProbe, HealthSpec, LimitSpec,
    MaintenanceTarget, OptionKey, OptionValue, Refusal, Reply, Request, RouteId, Target,
};
use proxyd_session::{Config, Effects};

use crate::world::{World, config, refused, seconds, spec};

const NONE: Effects = Effects {
    health: false,
    ratelimit: false,
    circuit: false,
    drain: false,
    maintenance: false,
    stats: false,
    backend_test: false,
    guards: false,
    pool_options: false,
    tls_backends: false,
    http2_backends: false,
};

fn requests() -> Vec<Request> {
    let all = Target::All;
    let route = RouteId(1);
    let probe = HealthProbe::Tcp;
    let (interval, timeout) = (seconds(30), seconds(5));
    let health = HealthSpec { probe, interval, timeout };
    let limit = LimitSpec { requests: 1, window: seconds(1) };
    let breaker = BreakerSpec { threshold: 1, timeout, half_open_requests: 1 };
    let target = MaintenanceTarget { text: "ALL".into(), items: Vec::new() };
    let option = |key, value| Request::OptionsSet(all, key, value);
    let seconds = |count| OptionValue::Duration(seconds(count));
    vec![
        Request::HealthSet(route, health),
        Request::RatelimitSet(all, limit),
        Request::CircuitBreakerSet(all, breaker),
        Request::CircuitBreakerStatus(all),
        Request::CircuitBreakerReset(all),
        option(OptionKey::Failure, OptionValue::Failure(FailureClass::Any5xx)),
        Request::DrainStart(interval),
        Request::DrainStatus,
        Request::DrainCancel,
        Request::MaintEnter { target: target.clone(), page: None },
        Request::MaintExit(target),
        Request::MaintStatus,
        Request::StatsGet { target: all, compressed: false },
        Request::BackendTest(model::BackendUrl::parse("http://b:1").unwrap()),
        Request::ConfigTry { duration: interval, guard: Some(Guard::P99Below(timeout)) },
        option(OptionKey::Sticky, OptionValue::Sticky(None)),
        option(OptionKey::SlowStart, seconds(1)),
        option(OptionKey::Park, seconds(1)),
        option(OptionKey::MaxInFlight, OptionValue::Number(1)),
        option(OptionKey::Balance, OptionValue::Balance(Balance::Hash)),
        Request::OptionV1(OptionKey::Park, seconds(1)),
        Request::RouteAdd(spec("b.example", "/", "https://b:1")),
        Request::RouteAddBulk(vec![spec("b.example", "/", "h2c://b:1")]),
        Request::RouteV1(spec("b.example", "/", "wss://b:1")),
    ]
}

#[test]
fn without_effects_they_are_refused() {
    let mut world = World::with(Config { effects: NONE, ..config() });
    let id = world.registered(1, "blue", "b1");
    world.serve(1, &id, spec("a.example", "/", "http://b:1"));
    world.connect(2);
    for request in requests() {
        let name = format!("{request:?}");
        let refusal = Reply::Refused(Refusal::NOT_SUPPORTED_YET);
        assert_eq!(world.ask(1, &id, request.clone()), refusal, "{name}");
        assert_eq!(world.ask(2, &id, request), refused("no session"), "{name}: the session first");
    }
    assert_eq!(world.registry.image().sessions[0].draft, Default::default());
}

#[test]
fn with_effects_none_is_refused_for_that() {
    let mut world = World::new();
    let id = world.registered(1, "blue", "b1");
    world.serve(1, &id, spec("a.example", "/", "http://b:1"));
    for request in requests() {
        world.outputs.clear();
        world.send(1, Some(&id), request.clone());
        world.wait(seconds(4));
        let refusal = Reply::Refused(Refusal::NOT_SUPPORTED_YET);
        assert_ne!(world.answer(1), refusal, "{request:?}");
        world.ask(1, &id, Request::ConfigRollback);
    }
}

#[test]
fn what_is_remembered_or_means_nothing_is_accepted() {
    let mut world = World::with(Config { effects: NONE, ..config() });
    let id = world.registered(1, "blue", "b1");
    let seconds = OptionValue::Duration(seconds(1));
    for (key, value) in [
        (OptionKey::Timeout, seconds.clone()),
        (OptionKey::HealthCheckInterval, seconds),
        (OptionKey::Http2, OptionValue::Bool(true)),
        (OptionKey::Balance, OptionValue::Balance(Balance::RoundRobin)),
    ] {
        let set = Request::OptionsSet(Target::All, key, value);
        assert_eq!(world.ask(1, &id, set), Reply::OptionsOk, "{}", key.as_str());
    }
    let plain = Request::ConfigTry { duration: std::time::Duration::from_secs(1), guard: None };
    assert_eq!(world.ask(1, &id, plain), Reply::Ok);
}
