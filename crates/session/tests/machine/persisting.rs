//! Nothing moves before the disk has it; nothing has moved when the disk refuses.

use crate::world::{Disk, World, refused, seconds, spec, v1, v2};
use model::{Reply, Request};
use proxyd_session::{Input, Output};

fn seqs(world: &World) -> Vec<u64> {
    let persists = world.outputs.iter().filter_map(|output| match output {
        Output::Persist(batch) if batch.urgent => Some(batch.seq),
        _ => None,
    });
    persists.collect()
}

#[test]
fn an_apply_waits_for_the_disk() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.ask(1, &blue, Request::RouteAdd(spec("a.example", "/", "http://b:1")));
    world.disk = Disk::Waits;
    world.outputs.clear();
    world.send(1, Some(&blue), Request::ConfigApply);
    assert_eq!((world.answers(1).len(), world.served().len()), (0, 0));
    let seq = seqs(&world)[0];
    world.input(Input::Persisted(seq, Ok(())));
    assert_eq!(world.answer(1), Reply::Ok);
    assert_eq!(world.served(), [(1, "http://b:1".to_owned())]);
}

#[test]
fn a_full_disk_changes_nothing() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.ask(1, &blue, Request::RouteAdd(spec("a.example", "/", "http://b:1")));
    world.disk = Disk::Full;
    assert_eq!(world.ask(1, &blue, Request::ConfigApply), refused("not saved: disk full"));
    assert!(world.served().is_empty());
    world.disk = Disk::Works;
    assert_eq!(world.ask(1, &blue, Request::ConfigApply), Reply::Ok, "it is still staged");
    assert_eq!(world.served().len(), 1);
    world.disk = Disk::Full;
    world.connect(2);
    world.outputs.clear();
    world.send(2, None, Request::Register(v2("green", "g1")));
    assert_eq!(world.answer(2), refused("not saved: disk full"));
    assert_eq!(world.ask(2, &blue, Request::Ping), refused("no session"));
    assert_eq!(world.ask(1, &blue, Request::ClientShutdown), refused("not saved: disk full"));
    assert_eq!(world.served().len(), 1);
}

#[test]
fn operations_take_effect_in_the_order_they_were_sent() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    let green = world.registered(2, "green", "g1");
    world.ask(1, &blue, Request::RouteAdd(spec("a.example", "/", "http://b:1")));
    world.ask(2, &green, Request::RouteAdd(spec("b.example", "/", "http://g:1")));
    world.disk = Disk::Waits;
    world.outputs.clear();
    world.send(1, Some(&blue), Request::ConfigApply);
    world.send(2, Some(&green), Request::ConfigApply);
    let seqs = seqs(&world);
    world.input(Input::Persisted(seqs[1], Ok(())));
    assert!(world.answers(2).is_empty() && world.served().is_empty(), "the first is not there yet");
    world.input(Input::Persisted(seqs[0], Err("disk full".to_owned())));
    assert_eq!(world.answer(1), refused("not saved: disk full"));
    assert_eq!(world.answer(2), Reply::Ok);
    assert_eq!(world.served(), [(2, "http://g:1".to_owned())]);
}

#[test]
fn a_key_on_its_way_to_the_disk_is_taken() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    let green = world.registered(2, "green", "g1");
    world.ask(1, &blue, Request::RouteAdd(spec("a.example", "/v2", "http://b:1")));
    world.ask(2, &green, Request::RouteAdd(spec("a.example", "/v2", "http://g:1")));
    world.disk = Disk::Waits;
    world.outputs.clear();
    world.send(1, Some(&blue), Request::ConfigApply);
    let first = seqs(&world)[0];
    let conflict = refused("route r2: a.example/v2 is owned by service blue");
    world.send(2, Some(&green), Request::ConfigApply);
    assert_eq!(world.answer(2), conflict);
    world.input(Input::Persisted(first, Err("disk full".to_owned())));
    world.disk = Disk::Works;
    assert_eq!(world.ask(2, &green, Request::ConfigApply), Reply::Ok, "free again");
    assert_eq!(
        world.ask(1, &blue, Request::ConfigApply),
        refused("route r1: a.example/v2 is owned by service green")
    );
}

#[test]
fn what_comes_for_a_busy_session_waits_for_it() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.ask(1, &blue, Request::RouteAdd(spec("a.example", "/", "http://b:1")));
    world.connect(2);
    world.disk = Disk::Waits;
    world.outputs.clear();
    world.send(1, Some(&blue), Request::ConfigApply);
    let first = seqs(&world)[0];
    world.send(2, Some(&blue), Request::Reconnect);
    assert!(world.answers(2).is_empty(), "the takeover waits");
    world.input(Input::Persisted(first, Ok(())));
    assert_eq!((world.answer(1), world.answer(2)), (Reply::Ok, Reply::Ok));
    assert!(
        world.outputs.iter().any(|output| matches!(output, Output::Close(conn) if conn.0 == 1))
    );
}

#[test]
fn two_registrations_of_one_identity_follow_each_other() {
    let mut world = World::new();
    world.connect(1);
    world.connect(2);
    world.disk = Disk::Waits;
    world.send(1, None, Request::Register(v1("api", "host")));
    world.send(2, None, Request::Register(v1("api", "host")));
    assert_eq!(seqs(&world).len(), 1);
    let first = seqs(&world)[0];
    world.input(Input::Persisted(first, Ok(())));
    let Reply::Registered(old) = world.answer(1) else { panic!("registered") };
    world.disk = Disk::Works;
    let second = seqs(&world)[1];
    world.input(Input::Persisted(second, Ok(())));
    assert!(matches!(world.answer(2), Reply::Registered(_)));
    assert_eq!(world.ask(1, &old, Request::Ping), refused("session not found"));
}

#[test]
fn a_disk_that_says_nothing_is_an_error_after_four_seconds() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.ask(1, &blue, Request::RouteAdd(spec("a.example", "/", "http://b:1")));
    world.disk = Disk::Waits;
    world.outputs.clear();
    world.send(1, Some(&blue), Request::ConfigApply);
    world.wait(seconds(4));
    let late = refused("timeout: not done within 4 s, it may still take effect");
    assert_eq!(world.answer(1), late);
    let seq = seqs(&world)[0];
    world.outputs.clear();
    world.input(Input::Persisted(seq, Ok(())));
    assert!(world.answers(1).is_empty(), "one answer is enough");
    assert_eq!(world.served().len(), 1);
}

#[test]
fn a_grace_that_ends_needs_no_disk() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    world.lose(1);
    world.disk = Disk::Full;
    world.wait(seconds(299));
    assert_eq!(world.served().len(), 1);
    world.wait(seconds(1));
    assert!(world.served().is_empty());
    assert!(world.notes().contains(&"Not saved: disk full".to_owned()));
}

#[test]
fn route_ids_survive_a_crash_unused_twice() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    let add = |at: u64| Request::RouteAdd(spec(&format!("d{at}.example"), "/", "http://b:1"));
    assert_eq!(world.ask(1, &blue, add(1)), Reply::RouteAdded(model::RouteId(1)));
    world.disk = Disk::Full;
    assert_eq!(world.ask(1, &blue, add(2)), Reply::RouteAdded(model::RouteId(2)), "written behind");
    world.disk = Disk::Works;
    world.restart();
    world.connect(2);
    assert_eq!(world.ask(2, &blue, Request::Reconnect), Reply::Ok);
    let Reply::RouteAdded(next) = world.ask(2, &blue, add(3)) else { panic!("added") };
    assert!(next > model::RouteId(2), "r2 was answered once: {next}");
}

#[test]
fn a_proxy_that_ends_in_good_order_loses_no_ids() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    let add = |at: u64| Request::RouteAdd(spec(&format!("d{at}.example"), "/", "http://b:1"));
    world.ask(1, &blue, add(1));
    world.input(Input::Shutdown);
    world.restart();
    world.connect(2);
    assert_eq!(world.ask(2, &blue, Request::Reconnect), Reply::Ok);
    assert_eq!(world.ask(2, &blue, add(2)), Reply::RouteAdded(model::RouteId(2)));
}
