//! What the data plane is told, and in which order.

use std::sync::Arc;

use model::{
    EventKind, Guard, MaintenanceTarget, Push, Reply, Request, RouteId, Target, TargetItem,
};
use proxyd_session::{Config, Input, Mode, Output, Query};
use routing::EndpointId;

use crate::world::{World, config, header, refused, seconds, spec};

/// Outputs by their kind, presence and drains in words.
fn story(world: &World) -> Vec<String> {
    let ids = |endpoints: &[EndpointId]| {
        endpoints.iter().map(|endpoint| endpoint.0.to_string()).collect::<Vec<_>>().join(",")
    };
    let word = |output: &Output| match output {
        Output::Answer(..) => "answer".to_owned(),
        Output::Push(_, push) => format!("push {}", if *push == Push::Shutdown { "x" } else { "" }),
        Output::Speaks(..) => "speaks".to_owned(),
        Output::Close(conn) => format!("close {}", conn.0),
        Output::Persist(batch) => format!("persist{}", if batch.urgent { "!" } else { "" }),
        Output::Publish(_) => "publish".to_owned(),
        Output::Presence(endpoints, true) => format!("back {}", ids(endpoints)),
        Output::Presence(endpoints, false) => format!("lost {}", ids(endpoints)),
        Output::Failing(routes) => format!("failing {}", routes.len()),
        Output::Drain(endpoints, Some(_)) => format!("drain {}", ids(endpoints)),
        Output::Drain(endpoints, None) => format!("full {}", ids(endpoints)),
        Output::Maintenance(modes) => format!("maintenance {}", modes.len()),
        Output::Watch(_, Some(_)) => "watch".to_owned(),
        Output::Watch(_, None) => "unwatch".to_owned(),
        Output::Query(..) => "query".to_owned(),
        // Told at any time: the catalog has no part in this order.
        Output::Member(..) | Output::Checked(..) | Output::Note(_) => "note".to_owned(),
    };
    world.outputs.iter().map(word).filter(|word| word != "note").collect()
}

fn endpoint(world: &World, route: u64) -> EndpointId {
    world.registry.table().endpoint_of(RouteId(route)).unwrap()
}

#[test]
fn the_disk_comes_before_the_table_and_the_table_before_the_answer() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.ask(1, &blue, Request::RouteAdd(spec("a.example", "/", "http://b:1")));
    world.ask(1, &blue, Request::ConfigApply);
    assert_eq!(story(&world), ["persist!", "publish", "answer"]);
    world.ask(1, &blue, Request::HeadersSet(Target::All, header("X-A", "1")));
    assert_eq!(story(&world), ["persist", "answer"], "staging is written behind");
    world.ask(1, &blue, Request::ClientShutdown);
    assert_eq!(story(&world), ["persist!", "publish", "answer", "close 1"]);
}

#[test]
fn presence_follows_the_connection() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    world.serve(1, &blue, spec("b.example", "/", "http://b:1"));
    world.serve(1, &blue, spec("a.example", "/", "http://b:2"));
    let (one, two) = (endpoint(&world, 1).0, endpoint(&world, 3).0);
    assert_eq!(endpoint(&world, 2).0, one, "one backend, one endpoint");
    world.outputs.clear();
    world.lose(1);
    assert_eq!(story(&world), [format!("lost {one},{two}")]);
    world.connect(2);
    world.ask(2, &blue, Request::Reconnect);
    assert_eq!(
        story(&world),
        [format!("back {one},{two}"), "speaks".to_owned(), "answer".to_owned()]
    );
}

#[test]
fn a_takeover_is_no_loss() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    world.connect(2);
    world.ask(2, &blue, Request::Reconnect);
    assert_eq!(story(&world), ["close 1", "speaks", "answer"]);
    world.outputs.clear();
    world.lose(1);
    assert!(story(&world).is_empty(), "the old connection means nothing");
    assert_eq!(world.ask(2, &blue, Request::Ping), Reply::Pong);
}

#[test]
fn after_a_restart_everybody_is_away() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    world.ask(1, &blue, Request::DrainStart(seconds(60)));
    let target = MaintenanceTarget { text: "ALL".into(), items: Vec::new() };
    world.ask(1, &blue, Request::MaintEnter { target, page: None });
    world.outputs.clear();
    world.restart();
    let at = endpoint(&world, 1).0;
    let told = ["publish".to_owned(), "maintenance 1".to_owned(), format!("lost {at}")];
    assert_eq!(story(&world), [&told[..], &[format!("drain {at}")]].concat());
    world.wait(seconds(299));
    world.connect(2);
    assert_eq!(world.ask(2, &blue, Request::Reconnect), Reply::Ok, "the outage was ours");
}

#[test]
fn a_drain_is_told_of_every_endpoint_there_is_and_will_be() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    world.ask(1, &blue, Request::DrainStart(seconds(60)));
    let one = endpoint(&world, 1).0;
    assert_eq!(story(&world), ["persist!".to_owned(), format!("drain {one}"), "answer".to_owned()]);
    world.serve(1, &blue, spec("a.example", "/", "http://b:2"));
    let two = endpoint(&world, 2).0;
    assert!(story(&world).contains(&format!("drain {two}")), "{:?}", story(&world));
    world.ask(1, &blue, Request::DrainCancel);
    assert!(story(&world).contains(&format!("full {one},{two}")));
}

#[test]
fn an_instance_that_registers_anew_does_not_drain() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    world.ask(1, &blue, Request::DrainStart(seconds(60)));
    let one = endpoint(&world, 1).0;
    world.connect(2);
    let anew = world.register(2, crate::world::v2("blue", "b1"));
    assert!(story(&world).contains(&format!("full {one}")), "{:?}", story(&world));
    assert_eq!(world.ask(2, &anew, Request::DrainStatus), refused("no drain in progress"));
}

#[test]
fn the_exit_permit_comes_when_every_endpoint_is_quiet() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.ask(1, &blue, Request::Subscribe(Some(EventKind::Drained)));
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    world.serve(1, &blue, spec("a.example", "/", "http://b:2"));
    let (one, two) = (endpoint(&world, 1), endpoint(&world, 2));
    world.ask(1, &blue, Request::DrainStart(seconds(60)));
    world.outputs.clear();
    world.input(Input::Drained(one));
    world.wait(seconds(60));
    world.input(Input::Drained(one));
    assert!(world.pushes(1).is_empty(), "too early, then not all");
    world.input(Input::Drained(two));
    world.input(Input::Drained(two));
    assert_eq!(world.pushes(1).len(), 1, "once");
}

#[test]
fn maintenance_names_the_page_of_each_route() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example", "/", "https://b:1/base"));
    let target = MaintenanceTarget { text: "ALL".into(), items: Vec::new() };
    world.ask(1, &blue, Request::MaintEnter { target: target.clone(), page: None });
    let modes = |world: &World| -> Vec<(u64, String)> {
        let modes = world.outputs.iter().filter_map(|output| match output {
            Output::Maintenance(modes) => Some(modes.clone()),
            _ => None,
        });
        let shown = |mode: Mode| match mode {
            Mode::Serves => "serves".to_owned(),
            Mode::Maintenance { page } => page.map_or("built-in".to_owned(), |p| p.to_string()),
        };
        modes.flatten().map(|(route, mode)| (route.0, shown(mode))).collect()
    };
    assert_eq!(modes(&world), [(1, "https://b:9001".to_owned())]);
    assert_eq!(story(&world)[1..3], ["maintenance 1", "publish"], "before it takes effect");
    world.serve(1, &blue, spec("b.example", "/", "http://c:1"));
    assert_eq!(modes(&world), [(2, "http://c:9001".to_owned())], "routes of later too");
    let one = MaintenanceTarget { text: "r1".into(), items: vec![TargetItem::Route(RouteId(1))] };
    world.ask(1, &blue, Request::MaintExit(one));
    assert_eq!(modes(&world), [(1, "serves".to_owned())]);
    world.serve(1, &blue, spec("c.example", "/", "http://c:1"));
    assert_eq!(modes(&world), [], "the order has become a list");
    world.ask(1, &blue, Request::MaintExit(target));
    assert_eq!(modes(&world), [(2, "serves".to_owned())]);
}

#[test]
fn a_guard_is_watched_until_the_try_is_over() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.ask(1, &blue, Request::Subscribe(None));
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    world.ask(1, &blue, Request::RouteAdd(spec("b.example", "/", "http://b:1")));
    let guard = Some(Guard::ErrorsBelow(5.0));
    world.ask(1, &blue, Request::ConfigTry { duration: seconds(30), guard });
    let watch = world.outputs.iter().find_map(|output| match output {
        Output::Watch(watch, Some((routes, _))) => Some((*watch, routes.clone())),
        _ => None,
    });
    let (watch, routes) = watch.unwrap();
    assert_eq!(routes, [RouteId(2)], "what the try touched");
    world.outputs.clear();
    world.input(Input::Tripped(watch, "errors<5%".into()));
    assert_eq!(world.served().len(), 1, "it went back");
    let reverted = model::Event::ConfigReverted { reason: "errors<5%".into(), routes };
    assert_eq!(world.pushes(1), [Push::Event(reverted)]);
    assert!(story(&world).contains(&"unwatch".to_owned()));
    world.outputs.clear();
    world.input(Input::Tripped(watch, "errors<5%".into()));
    assert!(world.outputs.is_empty(), "it is over");
}

#[test]
fn keys_of_a_try_stay_until_it_is_over() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    let green = world.registered(2, "green", "g1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    world.ask(1, &blue, Request::RouteRemove(RouteId(1)));
    world.ask(1, &blue, Request::ConfigTry { duration: seconds(30), guard: None });
    assert!(world.served().is_empty());
    world.ask(2, &green, Request::RouteAdd(spec("a.example", "/", "http://g:1")));
    let owned = refused("route r2: a.example/ is owned by service blue");
    assert_eq!(world.ask(2, &green, Request::ConfigApply), owned);
    world.restart();
    world.connect(3);
    world.connect(4);
    assert_eq!(world.ask(3, &green, Request::Reconnect), Reply::Ok);
    assert_eq!(world.ask(3, &green, Request::ConfigApply), owned, "also after a restart");
    world.wait(seconds(30));
    assert_eq!(world.served(), [(1, "http://b:1".to_owned())], "it went back by itself");
}

#[test]
fn what_did_not_change_is_not_put_again() {
    let mut world =
        World::with(Config { routes_per_session_max: 500, routes_max: 500, ..config() });
    let blue = world.registered(1, "blue", "b1");
    let many = (0..300).map(|at| spec(&format!("h{at}.example"), "/", "http://b:1")).collect();
    world.ask(1, &blue, Request::RouteAddBulk(many));
    world.ask(1, &blue, Request::ConfigApply);
    let before = Arc::clone(world.registry.table());
    world.serve(1, &blue, spec("one.more", "/", "http://b:1"));
    let records = world.outputs.iter().find_map(|output| match output {
        Output::Persist(batch) => Some(batch.records.len()),
        _ => None,
    });
    assert!(records.unwrap() <= 6, "{records:?} records for one route");
    let same = |route: u64, with: &routing::Table| {
        Arc::ptr_eq(before.get(RouteId(route)).unwrap(), with.get(RouteId(route)).unwrap())
    };
    assert!((1..=300).all(|route| same(route, world.registry.table())));
    world.ask(1, &blue, Request::HeadersSet(Target::Route(RouteId(7)), header("X-A", "1")));
    world.ask(1, &blue, Request::ConfigApply);
    let put: Vec<u64> = (1..=300).filter(|route| !same(*route, world.registry.table())).collect();
    assert_eq!(put, [7]);
    let configs =
        |route: u64| Arc::clone(&world.registry.table().get(RouteId(route)).unwrap().config);
    assert!(Arc::ptr_eq(&configs(1), &configs(300)), "routes without settings share one");
}

#[test]
fn a_question_is_asked_once_and_answered_in_time() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.outputs.clear();
    let test = Request::BackendTest(model::BackendUrl::parse("http://b:1").unwrap());
    world.send(1, Some(&blue), test);
    let query = world.outputs.iter().find_map(|output| match output {
        Output::Query(id, Query::BackendTest(_, path)) => Some((*id, path.clone())),
        _ => None,
    });
    let (id, path) = query.unwrap();
    assert_eq!(&*path, "/");
    world.wait(seconds(4));
    let late = refused("timeout: no answer from the data plane within 4 s");
    assert_eq!(world.answer(1), late);
    world.outputs.clear();
    world.input(Input::Answered(id, Reply::CircuitOk));
    assert!(world.outputs.is_empty(), "too late");
}
