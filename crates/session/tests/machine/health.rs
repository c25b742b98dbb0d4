//! What health checks learned is remembered, by one live route of each failing endpoint.

use model::{Event, Record, Reply, Request, RouteId, RouteUpdate};
use proxyd_session::{Input, Output};

use crate::world::{Disk, World, spec};

/// A check changes its mind.
fn turn(world: &mut World, route: u64, healthy: bool) {
    let reason = "status_500".into();
    let event = Event::BackendHealthChanged { route: RouteId(route), healthy, reason };
    world.input(Input::Happened(event));
}

fn batch(output: &Output) -> Option<&model::Batch> {
    match output {
        Output::Persist(batch) => Some(batch),
        _ => None,
    }
}

/// What was handed to the disk, and that nobody waits for it.
fn marks(world: &World) -> Vec<(u64, bool)> {
    let batches = world.outputs.iter().filter_map(batch);
    let records = batches.flat_map(|batch| batch.records.iter().map(move |record| (record, batch)));
    let marks = records.filter_map(|(record, batch)| match record {
        Record::PutHealth(route, healthy) => {
            assert!(!batch.urgent, "nobody waits for it");
            Some((route.0, *healthy))
        }
        _ => None,
    });
    marks.collect()
}

/// What the next start tells the data plane.
fn told(world: &mut World) -> Vec<Vec<u64>> {
    world.outputs.clear();
    world.restart();
    world.registry.check();
    let told = world.outputs.iter().filter_map(|output| match output {
        Output::Failing(routes) => Some(routes.iter().map(|route| route.0).collect()),
        _ => None,
    });
    told.collect()
}

fn remembered(world: &World) -> Vec<u64> {
    assert_eq!(world.image.failing, world.registry.image().failing);
    world.image.failing.iter().map(|route| route.0).collect()
}

/// Two routes to one backend, and one to another.
fn world() -> (World, model::SessionId) {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    world.serve(1, &blue, spec("b.example", "/", "http://b:1"));
    world.serve(1, &blue, spec("c.example", "/", "http://b:2"));
    (world, blue)
}

#[test]
fn only_what_is_new_is_written() {
    let (mut world, _) = world();
    #[rustfmt::skip]
    let table = [
        (1, true,  vec![],           vec![],     "nothing else was thought of it"),
        (2, false, vec![(2, false)], vec![2],    "it fails"),
        (2, false, vec![],           vec![2],    "as it did"),
        (1, false, vec![],           vec![2],    "the same backend by another route"),
        (3, false, vec![(3, false)], vec![2, 3], "another backend"),
        (1, true,  vec![(2, true)],  vec![3],    "well, whichever route says so"),
        (9, false, vec![],           vec![3],    "a route that nobody has"),
    ];
    for (route, healthy, written, failing, why) in table {
        world.outputs.clear();
        turn(&mut world, route, healthy);
        assert_eq!((marks(&world), remembered(&world)), (written, failing), "{why}");
    }
}

#[test]
fn a_start_tells_who_failed_once_the_table_is_there() {
    let (mut world, _) = world();
    assert!(told(&mut world).is_empty(), "nobody failed");
    turn(&mut world, 1, false);
    turn(&mut world, 3, false);
    assert_eq!(told(&mut world), [[1, 3]]);
    let at = |wanted: fn(&Output) -> bool| world.outputs.iter().position(wanted).unwrap();
    let published = at(|output| matches!(output, Output::Publish(_)));
    assert!(at(|output| matches!(output, Output::Failing(_))) > published);
    turn(&mut world, 1, true);
    assert_eq!(told(&mut world), [[3]], "what was restored can get well");
}

#[test]
fn a_route_that_goes_hands_the_mark_on() {
    let (mut world, blue) = world();
    turn(&mut world, 1, false);
    for (route, rest) in [(1, vec![2]), (2, vec![])] {
        world.ask(1, &blue, Request::RouteRemove(RouteId(route)));
        assert_eq!(world.ask(1, &blue, Request::ConfigApply), Reply::Ok);
        assert_eq!(remembered(&world), rest);
    }
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    assert_eq!(remembered(&world), [], "nothing is known of a backend that is back");
}

#[test]
fn an_apply_keeps_what_was_learned_and_another_backend_begins_anew() {
    let (mut world, blue) = world();
    turn(&mut world, 3, false);
    let update = |update| Request::RouteUpdate(RouteId(3), update);
    for (change, rest) in [
        (RouteUpdate::Priority(7), vec![3]),
        (RouteUpdate::Backend(spec("x", "/", "http://b:3").backend), vec![]),
    ] {
        world.ask(1, &blue, update(change));
        assert_eq!(world.ask(1, &blue, Request::ConfigApply), Reply::Ok);
        assert_eq!(remembered(&world), rest);
    }
}

/// It is written down after the change that makes it wrong.
#[test]
fn bad_news_of_a_backend_that_is_being_left_is_forgotten() {
    let (mut world, blue) = world();
    let backend = spec("x", "/", "http://b:3").backend;
    world.ask(1, &blue, Request::RouteUpdate(RouteId(3), RouteUpdate::Backend(backend)));
    world.disk = Disk::Waits;
    world.outputs.clear();
    world.send(1, Some(&blue), Request::ConfigApply);
    turn(&mut world, 3, false);
    let batches: Vec<_> = world.outputs.iter().filter_map(batch).cloned().collect();
    world.disk = Disk::Works;
    batches.iter().flat_map(|batch| &batch.records).for_each(|record| world.image.apply(record));
    for batch in batches {
        world.input(Input::Persisted(batch.seq, Ok(())));
    }
    assert_eq!(remembered(&world), []);
}

#[test]
fn an_instance_that_registers_again_is_known_to_fail() {
    let (mut world, _) = world();
    turn(&mut world, 1, false);
    let again = world.registered(2, "blue", "b1");
    assert_eq!(remembered(&world), [1], "the old routes serve");
    let route = world.serve(2, &again, spec("a.example", "/", "http://b:1"));
    assert_eq!(remembered(&world), [route.0]);
    assert_eq!(told(&mut world), [[route.0]]);
    world.connect(3);
    assert_eq!(world.ask(3, &again, Request::Reconnect), Reply::Ok);
    assert_eq!(world.ask(3, &again, Request::ClientShutdown), Reply::ShutdownOk);
    assert_eq!(remembered(&world), []);
}

/// A kill between a change and the marks that it moved.
#[test]
fn one_mark_is_enough() {
    let (mut world, _) = world();
    for route in [1, 2] {
        world.image.apply(&Record::PutHealth(RouteId(route), false));
    }
    assert_eq!(told(&mut world), [[1]]);
    assert_eq!(remembered(&world), [1]);
}
