//! Every bound, at it and one past it.

use model::{
    HeaderKey, MaintenanceTarget, Reply, Request, RouteId, RouteSpec, SessionId, Target, TargetItem,
};
use proxyd_session::{
    Config, HEADERS_PER_TARGET_MAX, Input, MAINTENANCE_ITEMS_MAX, OFFERS_PER_SESSION_MAX, Peer,
    STAGED_BYTES_MAX, WAITING_MAX, WATCHES_PER_CONNECTION_MAX,
};

use crate::world::{Disk, World, config, header, refused, spec, v1, v2};

fn wide() -> Config {
    Config { routes_max: 200, routes_per_session_max: 100, ..config() }
}

fn at(host: usize) -> RouteSpec {
    spec(&format!("h{host}.example"), "/", "http://b:1")
}

fn serve_many(world: &mut World, session: &SessionId, count: usize) {
    let specs = (0..count).map(at).collect();
    world.ask(1, session, Request::RouteAddBulk(specs));
    assert_eq!(world.ask(1, session, Request::ConfigApply), Reply::Ok);
}

#[test]
fn sessions() {
    let mut world = World::new();
    for at in 0..8 {
        world.registered(at, "api", &format!("i{at}"));
    }
    world.connect(8);
    world.outputs.clear();
    world.send(8, None, Request::Register(v2("api", "i8")));
    assert_eq!(world.answer(8), refused("too many sessions (max 8)"));
    world.connect(9);
    world.register(9, v2("api", "i3"));
}

#[test]
fn sessions_of_a_peer() {
    let mut world = World::with(Config { sessions_per_peer_max: 2, ..config() });
    let mut register = |conn: u64, from: &str, instance: &str| {
        world.input(Input::Connected(model::ConnId(conn), Peer::Tcp(from.parse().unwrap())));
        world.ask_of_all(conn, Request::Register(v2("api", instance)))
    };
    let too_many = refused("too many sessions from this address (max 2)");
    let is_in = |reply: &Reply| matches!(reply, Reply::Registered(_));
    assert!(is_in(&register(1, "2001:db8::1", "i1")));
    assert!(is_in(&register(2, "2001:db8::2", "i2")));
    assert_eq!(register(3, "2001:db8::3", "i3"), too_many, "the same network");
    assert!(is_in(&register(4, "2001:db8::4", "i2")), "one that takes the place of another");
    assert!(is_in(&register(5, "10.0.0.1", "i5")), "another address");
    for (conn, instance) in [(6, "i6"), (7, "i7"), (8, "i8")] {
        assert!(is_in(&register(conn, "127.0.0.1", instance)), "loopback is exempt");
    }
    // Lost ones count until they are gone.
    world.lose(1);
    let again = |world: &mut World, conn: u64| {
        let peer = Peer::Tcp("2001:db8::1".parse().unwrap());
        world.input(Input::Connected(model::ConnId(conn), peer));
        world.ask_of_all(conn, Request::Register(v2("api", "i9")))
    };
    assert_eq!(again(&mut world, 9), too_many);
    world.wait(world.config.session_expiry);
    assert!(is_in(&again(&mut world, 10)));
}

#[test]
fn a_registration_that_is_not_saved_leaves_its_place() {
    let mut world = World::with(Config { sessions_per_peer_max: 1, ..config() });
    let peer = Peer::Tcp("10.0.0.1".parse().unwrap());
    world.input(Input::Connected(model::ConnId(1), peer));
    world.disk = Disk::Full;
    let said = world.ask_of_all(1, Request::Register(v2("api", "i1")));
    assert_eq!(said, refused("not saved: disk full"));
    world.disk = Disk::Works;
    world.register(1, v2("api", "i1"));
}

#[test]
fn registrations_under_way_count() {
    let mut world = World::with(Config { sessions_max: 1, ..config() });
    world.connect(1);
    world.connect(2);
    world.disk = Disk::Waits;
    world.send(1, None, Request::Register(v2("api", "i1")));
    world.send(2, None, Request::Register(v2("api", "i2")));
    assert_eq!(world.answer(2), refused("too many sessions (max 1)"));
}

#[test]
fn routes_of_a_session() {
    let mut world = World::new();
    let id = world.registered(1, "blue", "b1");
    let bulk = |from: usize, to: usize| Request::RouteAddBulk((from..to).map(at).collect());
    let too_many = refused("too many routes in this session (max 6)");
    assert_eq!(world.ask(1, &id, bulk(0, 7)), too_many);
    assert!(matches!(world.ask(1, &id, bulk(0, 6)), Reply::RoutesAdded(ids) if ids.len() == 6));
    assert_eq!(world.ask(1, &id, Request::RouteAdd(at(6))), too_many, "staged ones count");
    assert!(matches!(world.ask(1, &id, Request::RouteAdd(at(3))), Reply::RouteAdded(_)), "known");
    assert_eq!(world.ask(1, &id, Request::ConfigApply), Reply::Ok);
    assert_eq!(world.ask(1, &id, Request::RouteAdd(at(6))), too_many);
    assert_eq!(world.ask(1, &id, Request::RouteV1(at(6))), too_many, "v1 as well");
    assert_eq!(world.ask(1, &id, Request::RouteV1(at(5))), Reply::RouteOk, "nothing new");
}

#[test]
fn routes_of_the_proxy() {
    let mut world = World::with(Config { routes_max: 2, ..config() });
    let blue = world.registered(1, "blue", "b1");
    let green = world.registered(2, "green", "g1");
    serve_many(&mut world, &blue, 2);
    assert!(matches!(world.ask(2, &green, Request::RouteAdd(at(2))), Reply::RouteAdded(_)));
    let too_many = refused("too many routes in the proxy (max 2)");
    assert_eq!(world.ask(2, &green, Request::ConfigValidate), too_many);
    assert_eq!(world.ask(2, &green, Request::ConfigApply), too_many);
    assert_eq!(world.ask(1, &blue, Request::ClientShutdown), Reply::ShutdownOk);
    assert_eq!(world.ask(2, &green, Request::ConfigApply), Reply::Ok);
}

#[test]
fn headers_of_a_target() {
    let mut world = World::new();
    let id = world.registered(1, "blue", "b1");
    let set = |name: usize| Request::HeadersSet(Target::All, header(&format!("X-{name}"), "1"));
    for name in 0..HEADERS_PER_TARGET_MAX {
        assert_eq!(world.ask(1, &id, set(name)), Reply::HeadersOk);
    }
    let too_many = refused("too many headers for this target (max 100)");
    assert_eq!(world.ask(1, &id, set(HEADERS_PER_TARGET_MAX)), too_many);
    assert_eq!(world.ask(1, &id, set(0)), Reply::HeadersOk, "one that is there");
    world.ask(1, &id, Request::ConfigApply);
    assert_eq!(world.ask(1, &id, set(HEADERS_PER_TARGET_MAX)), too_many, "active ones count");
    let at_once = Request::HeaderV1(header("X-new", "1"));
    assert_eq!(world.ask(1, &id, at_once), too_many);
    let remove = Request::HeadersRemove(Target::All, HeaderKey::parse("X-7").unwrap());
    assert_eq!(world.ask(1, &id, remove), Reply::HeadersOk);
    assert_eq!(world.ask(1, &id, set(HEADERS_PER_TARGET_MAX)), Reply::HeadersOk);
}

#[test]
fn staged_bytes() {
    let mut world = World::with(wide());
    let id = world.registered(1, "blue", "b1");
    serve_many(&mut world, &id, 50);
    let value = "v".repeat(8192);
    let mut staged = 0;
    let refusal = 'full: loop {
        for route in 1..=50 {
            for name in 0..HEADERS_PER_TARGET_MAX {
                let rule = header(&format!("X-{name}"), &value);
                let set = Request::HeadersSet(Target::Route(RouteId(route)), rule);
                match world.ask(1, &id, set) {
                    Reply::HeadersOk => staged += value.len(),
                    other => break 'full other,
                }
            }
        }
    };
    assert_eq!(refusal, refused("too much is staged (max 33554432 bytes a session)"));
    assert!(staged <= STAGED_BYTES_MAX && staged > STAGED_BYTES_MAX * 9 / 10, "{staged}");
    assert_eq!(world.ask(1, &id, Request::ConfigRollback), Reply::Ok);
    let set = Request::HeadersSet(Target::All, header("X-A", &value));
    assert_eq!(world.ask(1, &id, set), Reply::HeadersOk);
}

#[test]
fn things_in_maintenance() {
    let mut world = World::new();
    let id = world.registered(1, "blue", "b1");
    serve_many(&mut world, &id, 1);
    let enter = |count: usize| Request::MaintEnter {
        target: MaintenanceTarget {
            text: "many".into(),
            items: vec![TargetItem::Route(RouteId(1)); count],
        },
        page: None,
    };
    let too_many = refused("too many maintenance targets (max 4096)");
    assert_eq!(world.ask(1, &id, enter(MAINTENANCE_ITEMS_MAX + 1)), too_many);
    assert_eq!(world.ask(1, &id, enter(MAINTENANCE_ITEMS_MAX)), Reply::MaintenanceAccepted);
    assert_eq!(world.ask(1, &id, enter(1)), too_many, "one order more");
}

#[test]
fn offers_of_a_session() {
    let mut world = World::with(wide());
    let id = world.registered(1, "blue", "b1");
    serve_many(&mut world, &id, OFFERS_PER_SESSION_MAX + 1);
    let offer = |route: usize| Request::HandoverOffer(RouteId(route as u64));
    for route in 1..=OFFERS_PER_SESSION_MAX {
        assert!(matches!(world.ask(1, &id, offer(route)), Reply::HandoverOk(_)));
    }
    let too_many = refused("too many offers in this session (max 64)");
    assert_eq!(world.ask(1, &id, offer(OFFERS_PER_SESSION_MAX + 1)), too_many);
    assert!(matches!(world.ask(1, &id, offer(1)), Reply::HandoverOk(_)), "an offer anew");
}

/// An operator who wants the events of everybody.
#[test]
fn sessions_that_are_watched() {
    let max = WATCHES_PER_CONNECTION_MAX;
    let mut world = World::with(Config { sessions_max: max + 1, ..config() });
    // Not by way of the world: a sweep after each of so many inputs takes its time.
    let tell = |world: &mut World, input: Input| {
        world.outputs.clear();
        world.registry.handle(input, world.now);
        world.drain();
    };
    let ask = |world: &mut World, conn: u64, session: Option<&SessionId>, request: Request| {
        let line = model::Line { session: session.cloned(), txn: None, request };
        tell(world, Input::Line(model::ConnId(conn), line));
        world.answer(conn)
    };
    let operator = 5_000;
    tell(&mut world, Input::Connected(model::ConnId(operator), Peer::Operator));
    let subscribe = Request::Subscribe(Some(model::EventKind::Drained));
    let mut first = None;
    for at in 0..=max as u64 {
        tell(&mut world, Input::Connected(model::ConnId(at), Peer::Local));
        let register = Request::Register(v2("api", &format!("i{at}")));
        let Reply::Registered(id) = ask(&mut world, at, None, register) else { panic!("{at}") };
        let said = ask(&mut world, operator, Some(&id), subscribe.clone());
        let wanted = if at < max as u64 {
            Reply::SubscribeOk
        } else {
            refused("too many sessions watched (max 1024)")
        };
        assert_eq!(said, wanted, "{at}");
        first.get_or_insert(id);
    }
    let again = ask(&mut world, operator, first.as_ref(), subscribe);
    assert_eq!(again, Reply::SubscribeOk, "one that is watched");
    world.registry.check();
}

#[test]
fn commands_that_wait() {
    let mut world = World::new();
    let id = world.registered(1, "blue", "b1");
    world.ask(1, &id, Request::RouteAdd(at(0)));
    world.disk = Disk::Waits;
    world.outputs.clear();
    world.send(1, Some(&id), Request::ConfigApply);
    let operators = 100..100 + WAITING_MAX as u64 + 1;
    for conn in operators.clone() {
        world.input(Input::Connected(model::ConnId(conn), Peer::Operator));
        world.send(conn, Some(&id), Request::ConfigRollback);
    }
    let waiting = operators.clone().filter(|conn| world.answers(*conn).is_empty()).count();
    assert_eq!(waiting, WAITING_MAX);
    assert_eq!(world.answer(operators.end - 1), refused("busy: 64 commands wait already"));
}

#[test]
fn a_name_that_fits_no_identity() {
    let mut world = World::new();
    world.connect(1);
    world.outputs.clear();
    world.send(1, None, Request::Register(v1("api", &"h".repeat(252))));
    let refusal = refused("hostname with its port must be at most 255 bytes long");
    assert_eq!(world.answer(1), refusal);
    world.register(1, v1("api", &"h".repeat(250)));
}
