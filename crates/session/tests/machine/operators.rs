//! Operators: they name any session and own none; and routes that they pin.

use model::{
    ConnId, EventKind, Line, MaintenanceTarget, Push, Registration, Reply, Request, RouteId,
    SessionId, SessionListEntry, SessionListing, SessionState, Target,
};
use proxyd_session::{Input, Output, Peer, Query};

use crate::world::{World, refused, seconds, spec, v2};

fn operator(world: &mut World, conn: u64) {
    world.input(Input::Connected(ConnId(conn), Peer::Operator));
}

fn named(name: &str) -> SessionId {
    SessionId::parse(name).unwrap()
}

fn pinned(instance: &str) -> Registration {
    let Registration::V2 { service, instance, maintenance_port, .. } = v2("blue", instance) else {
        panic!("a v2 registration");
    };
    let metadata = Some(r#"{"pinned":true}"#.into());
    Registration::V2 { service, instance, maintenance_port, metadata }
}

#[test]
fn any_session_by_its_id_or_its_name() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b/1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    operator(&mut world, 9);
    assert_eq!(world.ask(9, &blue, Request::Ping), Reply::Pong);
    let by_name = world.ask(9, &named("blue/b/1"), Request::SessionInfo);
    assert!(matches!(by_name, Reply::Session(report) if report.routes_active == 1));
    let nobody = refused("session not found");
    for name in ["blue", "blue/b", "blue/", "/b/1", "green/b/1"] {
        assert_eq!(world.ask(9, &named(name), Request::Ping), nobody, "{name}");
    }
    world.connect(2);
    assert_eq!(world.ask(2, &named("blue/b/1"), Request::Ping), refused("no session"), "a client");
}

/// Names, states and connection times, as SESSIONS has them.
fn listed(world: &mut World) -> Vec<(String, SessionState, bool)> {
    match world.ask_of_all(9, Request::Sessions) {
        Reply::Sessions(SessionListing { count, entries }) => {
            assert_eq!(count, entries.len());
            let shown = |entry: SessionListEntry| {
                let name = format!("{}/{}", entry.service, entry.instance);
                (name, entry.state, entry.connected_at.is_some())
            };
            entries.into_iter().map(shown).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn operators_see_all_sessions_and_nobody_else_does() {
    let mut world = World::new();
    operator(&mut world, 9);
    assert_eq!(listed(&mut world), []);
    let green = world.registered(1, "green", "g1");
    world.serve(1, &green, spec("a.example", "/", "http://g:1"));
    world.registered(2, "blue", "b2");
    world.registered(3, "blue", "b1");
    world.lose(2);
    operator(&mut world, 8);
    world.register(8, pinned("b3"));
    world.lose(8);
    let row = |name: &str, state| (name.to_owned(), state, state == SessionState::Connected);
    let wanted = [
        row("blue/b1", SessionState::Connected),
        row("blue/b2", SessionState::Away),
        row("blue/b3", SessionState::Pinned),
        row("green/g1", SessionState::Connected),
    ];
    assert_eq!(listed(&mut world), wanted);
    for conn in [1, 3] {
        assert_eq!(world.ask_of_all(conn, Request::Sessions), refused("operators only"));
    }
    world.connect(5);
    assert_eq!(world.ask_of_all(5, Request::Sessions), refused("operators only"));
}

#[test]
fn a_list_of_sessions_tells_drains_maintenance_and_successors() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    operator(&mut world, 9);
    let first = |world: &mut World| match world.ask_of_all(9, Request::Sessions) {
        Reply::Sessions(mut listing) if listing.count == 1 => listing.entries.remove(0),
        other => panic!("{other:?}"),
    };
    let entry = first(&mut world);
    assert_eq!((entry.routes_active, entry.draining, entry.in_maintenance), (1, false, false));
    world.ask(9, &named("blue/b1"), Request::DrainStart(seconds(10)));
    let target = MaintenanceTarget { text: "ALL".into(), items: Vec::new() };
    world.ask(9, &named("blue/b1"), Request::MaintEnter { target, page: None });
    let entry = first(&mut world);
    assert_eq!((entry.draining, entry.in_maintenance), (true, true));
    let newer = world.registered(2, "blue", "b1");
    assert_eq!(first(&mut world).session, newer, "the one that the name means");
}

#[test]
fn a_long_list_of_sessions_is_cut() {
    let mut world = World::new();
    world.config.sessions_max = 300;
    world.restart();
    for number in 0..203 {
        world.registered(100 + number, "blue", &format!("b{number:03}"));
    }
    operator(&mut world, 9);
    let Reply::Sessions(listing) = world.ask_of_all(9, Request::Sessions) else { panic!("a list") };
    let last = listing.entries.last().map(|entry| entry.instance.to_string());
    assert_eq!((listing.count, listing.entries.len()), (203, 200));
    assert_eq!(last.as_deref(), Some("b199"));
}

#[test]
fn an_operator_asks_about_the_whole_proxy() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    operator(&mut world, 9);
    let asked = |world: &World| {
        let queries = world.outputs.iter().filter_map(|output| match output {
            Output::Query(_, query) => Some(query.clone()),
            _ => None,
        });
        queries.collect::<Vec<Query>>()
    };
    let explain =
        || Request::Explain { method: "GET".into(), host: "a.example".into(), path: "/".into() };
    let line =
        |session: Option<&str>, request| Line { session: session.map(named), txn: None, request };
    let stats = Request::StatsGet { target: Target::All, compressed: false };
    let table = [
        (None, explain()),
        (Some("blue/b1"), explain()),
        (Some("blue/b1"), stats),
        (Some("blue/b1"), Request::CircuitBreakerStatus(Target::All)),
        (Some("blue/b1"), Request::CircuitBreakerReset(Target::Route(RouteId(1)))),
    ];
    for (at, (session, request)) in table.into_iter().enumerate() {
        let conn = 20 + at as u64;
        operator(&mut world, conn);
        world.outputs.clear();
        world.input(Input::Line(ConnId(conn), line(session, request.clone())));
        assert_eq!(asked(&world).len(), 1, "{request:?}");
    }
    world.connect(5);
    for (conn, reason) in [(5, "no session"), (1, "Invalid session")] {
        assert_eq!(world.ask_of_all(conn, explain()), refused(reason));
    }
    assert_eq!(world.ask_of_all(9, Request::Ping), refused("no session"));
}

#[test]
fn an_operator_ends_a_session_and_stays() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    operator(&mut world, 9);
    assert_eq!(world.ask(9, &named("blue/b1"), Request::ClientShutdown), Reply::ShutdownOk);
    let closed: Vec<u64> = world
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::Close(conn) => Some(conn.0),
            _ => None,
        })
        .collect();
    assert_eq!((closed, world.served().len()), (vec![1], 0));
    world.wait(seconds(3600));
    assert_eq!(world.ask(9, &blue, Request::Ping), refused("session not found"), "never idle");
}

#[test]
fn a_lapsed_session_can_still_be_drained() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    world.lose(1);
    world.wait(seconds(100));
    operator(&mut world, 9);
    let started = world.ask(9, &named("blue/b1"), Request::DrainStart(seconds(10)));
    assert!(matches!(started, Reply::DrainStarted(_)), "{started:?}");
}

#[test]
fn an_operator_watches_and_subscribes_nobody() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    operator(&mut world, 9);
    let health = || Request::Subscribe(Some(EventKind::BackendHealthChanged));
    assert_eq!(world.ask(9, &named("blue/b1"), health()), Reply::SubscribeOk);
    let event = model::Event::BackendHealthChanged {
        route: RouteId(1),
        healthy: false,
        reason: "connection_timeout".into(),
    };
    world.outputs.clear();
    world.input(Input::Happened(event.clone()));
    assert_eq!((world.pushes(9), world.pushes(1)), (vec![Push::Event(event.clone())], vec![]));
    world.lose(9);
    world.outputs.clear();
    world.input(Input::Happened(event.clone()));
    let checked = |output: &Output| matches!(output, Output::Checked(..));
    assert!(world.outputs.iter().all(checked));
    operator(&mut world, 10);
    world.ask(10, &named("blue/b1"), Request::Subscribe(None));
    world.ask(10, &named("blue/b1"), Request::Unsubscribe(Some(EventKind::BackendHealthChanged)));
    world.outputs.clear();
    world.input(Input::Happened(event));
    assert!(world.pushes(10).is_empty());
}

#[test]
fn what_an_operator_changes_is_told_to_all_who_want_to_know() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    let green = world.registered(2, "green", "g1");
    world.ask(2, &green, Request::Subscribe(Some(EventKind::GlobalConfigChanged)));
    operator(&mut world, 9);
    let told = |world: &World| world.pushes(2).len();
    world.ask(9, &named("blue/b1"), Request::SessionInfo);
    assert_eq!(told(&world), 0, "looking changes nothing");
    world.ask(9, &named("blue/b1"), Request::DrainStart(seconds(10)));
    assert_eq!(told(&world), 1);
    world.ask(1, &blue, Request::DrainCancel);
    assert_eq!(told(&world), 0, "a service is no operator");
    world.ask(9, &named("blue/b1"), Request::ClientShutdown);
    let event = model::Event::GlobalConfigChanged { reason: "admin_update".into() };
    assert_eq!(world.pushes(2), [Push::Event(event)]);
}

#[test]
fn pinned_routes_last_until_they_are_removed() {
    let mut world = World::new();
    operator(&mut world, 9);
    let id = world.register(9, pinned("b1"));
    world.serve(9, &id, spec("a.example", "/", "http://b:1"));
    world.outputs.clear();
    world.lose(9);
    world.wait(seconds(30 * 24 * 3600));
    world.restart();
    world.wait(seconds(30 * 24 * 3600));
    assert_eq!(world.served().len(), 1);
    let lost = world.outputs.iter().any(|output| matches!(output, Output::Presence(..)));
    assert!(!lost, "somebody vouches for it");
    operator(&mut world, 10);
    assert_eq!(world.ask(10, &named("blue/b1"), Request::ClientShutdown), Reply::ShutdownOk);
    assert!(world.served().is_empty());
}

#[test]
fn a_new_pin_takes_the_place_of_the_old_one() {
    let mut world = World::new();
    operator(&mut world, 9);
    let old = world.register(9, pinned("b1"));
    world.serve(9, &old, spec("a.example", "/", "http://b:1"));
    world.lose(9);
    operator(&mut world, 10);
    let new = world.register(10, pinned("b1"));
    assert_eq!(world.served().len(), 1, "until the new one applies");
    world.serve(10, &new, spec("b.example", "/", "http://b:2"));
    assert_eq!(world.served(), [(2, "http://b:2".to_owned())]);
}

#[test]
fn nobody_pins_over_the_network() {
    let mut world = World::new();
    let peer = Peer::Tcp(std::net::Ipv4Addr::LOCALHOST.into());
    world.input(Input::Connected(ConnId(1), peer));
    let id = world.register(1, pinned("b1"));
    world.serve(1, &id, spec("a.example", "/", "http://b:1"));
    world.lose(1);
    world.wait(seconds(300));
    assert!(world.served().is_empty());
}
