//! What the catalog is told: who is there, where, and how well.

use std::time::Duration;

use model::{ConnId, Event, Request, RouteId};
use proxyd_session::{Input, Output};

use crate::world::{World, spec};

/// What was told since this was asked last, the newest word about each instance.
fn told(world: &mut World) -> Vec<String> {
    let word = |output: &Output| match output {
        Output::Member(service, instance, Some(member)) => {
            let backends: Vec<_> = member.backends.iter().map(ToString::to_string).collect();
            let presence = match (member.is_connected, member.is_draining) {
                (true, false) => "here",
                (false, false) => "away",
                (true, true) => "draining",
                (false, true) => "draining, away",
            };
            Some(format!("{service}/{instance} {presence} {}", backends.join(",")))
        }
        Output::Member(service, instance, None) => Some(format!("{service}/{instance} gone")),
        Output::Checked(service, instance, backend, healthy, reason) => {
            Some(format!("{service}/{instance} {backend} {healthy} {reason}"))
        }
        _ => None,
    };
    let words: Vec<_> = world.outputs.iter().filter_map(word).collect();
    world.outputs.clear();
    words
}

#[test]
fn from_its_registration_to_its_end() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    assert_eq!(told(&mut world), ["blue/b1 here "]);
    world.serve(1, &blue, spec("a.example", "/", "http://b:2"));
    assert_eq!(told(&mut world), ["blue/b1 here http://b:2"]);
    world.serve(1, &blue, spec("b.example", "/", "http://b:1"));
    assert_eq!(told(&mut world), ["blue/b1 here http://b:1,http://b:2"]);

    let reason = "status_500".into();
    let ill = Event::BackendHealthChanged { route: RouteId(2), healthy: false, reason };
    world.input(Input::Happened(ill));
    assert_eq!(told(&mut world), ["blue/b1 http://b:1 false status_500"]);

    world.input(Input::Lost(ConnId(1)));
    assert_eq!(told(&mut world), ["blue/b1 away http://b:1,http://b:2"]);
    world.restart();
    let remembered = "blue/b1 http://b:1 false failed its checks before the restart";
    assert_eq!(told(&mut world), ["blue/b1 away http://b:1,http://b:2", remembered]);

    // The next life of the instance inherits the routes until it applies its own.
    let again = world.registered(2, "blue", "b1");
    assert_eq!(told(&mut world).last().unwrap(), "blue/b1 here http://b:1,http://b:2");
    world.serve(2, &again, spec("a.example", "/", "http://b:3"));
    assert_eq!(told(&mut world).last().unwrap(), "blue/b1 here http://b:3");
    world.ask(2, &again, Request::ClientShutdown);
    assert_eq!(told(&mut world).last().unwrap(), "blue/b1 gone");
}

#[test]
fn what_is_as_before_is_not_told() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:2"));
    told(&mut world);
    world.serve(1, &blue, spec("b.example", "/", "http://b:2"));
    assert_eq!(told(&mut world), Vec::<String>::new(), "the same backend");
}

#[test]
fn a_session_without_routes_ends_with_its_grace() {
    let mut world = World::new();
    world.registered(1, "blue", "b1");
    world.input(Input::Lost(ConnId(1)));
    assert_eq!(told(&mut world), ["blue/b1 here ", "blue/b1 away "]);
    world.wait(Duration::from_secs(600));
    assert_eq!(told(&mut world), ["blue/b1 gone"]);
}

#[test]
fn who_drains_is_told_until_it_is_back() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:2"));
    told(&mut world);
    let drain = |duration| Request::DrainStart(Duration::from_secs(duration));
    world.ask(1, &blue, drain(5));
    assert_eq!(told(&mut world), ["blue/b1 draining http://b:2"]);
    world.wait(Duration::from_secs(60));
    assert_eq!(told(&mut world), Vec::<String>::new(), "it is over, and nothing new is wanted");
    world.ask(1, &blue, Request::DrainCancel);
    assert_eq!(told(&mut world), ["blue/b1 here http://b:2"]);
    world.ask(1, &blue, drain(5));
    world.restart();
    assert_eq!(told(&mut world).last().unwrap(), "blue/b1 draining, away http://b:2");
    world.registered(2, "blue", "b1");
    assert_eq!(told(&mut world).last().unwrap(), "blue/b1 here http://b:2", "the next life");
}
