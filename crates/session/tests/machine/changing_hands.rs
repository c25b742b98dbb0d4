//! Keys that change hands: from the dead, by a handover, to a successor. Whoever loses one keeps
//! the rest.

use model::{BackendUrl, Reply, Request, RouteId, StagedRoute, Target};
use proxyd_session::Input;

use crate::world::{Disk, World, header, refused, seconds, spec, v1, v2};

/// The domains that each live route answers for.
fn domains(world: &World) -> Vec<(u64, String)> {
    let entries = world.registry.table().entries();
    let shown = entries.map(|entry| {
        let domains: Vec<String> = entry.spec.domains.iter().map(ToString::to_string).collect();
        (entry.route.0, domains.join(","))
    });
    shown.collect()
}

fn refuse(world: &mut World, route: u64) {
    let endpoint = world.registry.table().endpoint_of(RouteId(route)).unwrap();
    world.input(Input::Refused(endpoint));
}

#[test]
fn only_the_keys_asked_for_are_taken_from_the_dead() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example,b.example", "/", "http://b:1"));
    let green = world.registered(2, "green", "g1");
    world.ask(2, &green, Request::RouteAdd(spec("a.example", "/", "http://g:1")));
    let owned = refused("route r2: a.example/ is owned by service blue");
    assert_eq!(world.ask(2, &green, Request::ConfigApply), owned);
    refuse(&mut world, 1);
    assert_eq!(world.ask(2, &green, Request::ConfigApply), owned, "somebody vouches for it");
    world.lose(1);
    assert_eq!(world.ask(2, &green, Request::ConfigApply), owned, "away is not dead");
    refuse(&mut world, 1);
    assert_eq!(world.ask(2, &green, Request::ConfigApply), Reply::Ok);
    assert_eq!(domains(&world), [(1, "b.example".to_owned()), (2, "a.example".to_owned())]);
    world.connect(3);
    assert_eq!(world.ask(3, &blue, Request::Reconnect), Reply::Ok);
    world.restart();
    assert_eq!(domains(&world), [(1, "b.example".to_owned()), (2, "a.example".to_owned())]);
}

#[test]
fn whoever_came_back_is_not_dead() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    let green = world.registered(2, "green", "g1");
    world.ask(2, &green, Request::RouteAdd(spec("a.example", "/", "http://g:1")));
    world.lose(1);
    refuse(&mut world, 1);
    world.connect(3);
    assert_eq!(world.ask(3, &blue, Request::Reconnect), Reply::Ok);
    world.lose(3);
    let owned = refused("route r2: a.example/ is owned by service blue");
    assert_eq!(world.ask(2, &green, Request::ConfigApply), owned);
}

#[test]
fn taking_over_waits_for_what_the_owner_has_under_way() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    let green = world.registered(2, "green", "g1");
    world.ask(2, &green, Request::RouteAdd(spec("a.example", "/", "http://g:1")));
    world.lose(1);
    refuse(&mut world, 1);
    world.disk = Disk::Waits;
    world.outputs.clear();
    world.input(Input::Connected(model::ConnId(9), proxyd_session::Peer::Operator));
    world.send(9, Some(&blue), Request::DrainStart(seconds(10)));
    world.send(2, Some(&green), Request::ConfigApply);
    assert!(world.answers(2).is_empty() && world.answers(9).is_empty());
    let seq = world.outputs.iter().find_map(|output| match output {
        proxyd_session::Output::Persist(batch) => Some(batch.seq),
        _ => None,
    });
    world.disk = Disk::Works;
    world.input(Input::Persisted(seq.unwrap(), Ok(())));
    assert!(matches!(world.answer(9), Reply::DrainStarted(_)));
    assert_eq!(world.answer(2), Reply::Ok);
    assert_eq!(world.served(), [(2, "http://g:1".to_owned())]);
}

#[test]
fn a_handover_takes_what_was_set_and_staged_for_the_route_along() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    let route = world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    let own = Target::Route(route);
    world.ask(1, &blue, Request::HeadersSet(own, header("X-A", "1")));
    world.ask(1, &blue, Request::ConfigApply);
    world.ask(1, &blue, Request::HeadersSet(own, header("X-A", "2")));
    world.ask(1, &blue, Request::HeadersSet(Target::All, header("X-B", "1")));
    let Reply::HandoverOk(token) = world.ask(1, &blue, Request::HandoverOffer(route)) else {
        panic!("offered");
    };
    let green = world.registered(2, "green", "g1");
    let backend = BackendUrl::parse("http://g:1").unwrap();
    let accept = Request::HandoverAccept { token, backend };
    assert_eq!(world.ask(2, &green, accept.clone()), Reply::RouteAdded(RouteId(2)));
    let used = refused("token is unknown or expired");
    assert_eq!(world.ask(2, &green, accept), used, "once");
    assert_eq!(world.ask(2, &green, Request::ConfigApply), Reply::Ok);
    assert_eq!(world.served(), [(2, "http://g:1".to_owned())]);
    let image = world.registry.image();
    let left = image.sessions.iter().find(|stored| stored.row.session == blue).unwrap();
    assert!(left.settings.headers.is_empty(), "of a route that is gone");
    assert_eq!(left.draft.settings.headers.len(), 1, "ALL's is still staged");
    assert_eq!(image, world.image, "and the disk knows");
    assert_eq!(world.ask(1, &blue, Request::ConfigApply), Reply::Ok);
}

#[test]
fn a_service_keeps_a_route_that_it_offered_to_itself() {
    let mut world = World::new();
    let one = world.registered(1, "blue", "b1");
    let route = world.serve(1, &one, spec("a.example", "/", "http://b:1"));
    let Reply::HandoverOk(token) = world.ask(1, &one, Request::HandoverOffer(route)) else {
        panic!("offered");
    };
    let two = world.registered(2, "blue", "b2");
    let backend = BackendUrl::parse("http://b:2").unwrap();
    let accept = Request::HandoverAccept { token, backend };
    let own = refused("the route is this service's own already");
    assert_eq!(world.ask(2, &two, accept), own);
}

#[test]
fn a_v1_route_takes_its_keys_from_what_the_session_had() {
    let mut world = World::new();
    world.connect(1);
    let id = world.register(1, v1("api", "host"));
    let route = |domains: &str, backend: &str| Request::RouteV1(spec(domains, "/", backend));
    world.ask(1, &id, route("a.example,b.example", "http://x:1"));
    world.ask(1, &id, route("b.example,c.example", "http://x:2"));
    let shared = [(1, "a.example".to_owned()), (2, "b.example,c.example".to_owned())];
    assert_eq!(domains(&world), shared);
    world.ask(1, &id, route("a.example", "http://x:3"));
    assert_eq!(world.served()[0], (1, "http://x:3".to_owned()), "the same key, the same route");
    world.ask(1, &id, route("a.example,b.example,c.example", "http://x:4"));
    assert_eq!(domains(&world), [(3, "a.example,b.example,c.example".to_owned())]);
    let generation = world.registry.table().generation();
    world.ask(1, &id, route("a.example,b.example,c.example", "http://x:4"));
    assert_eq!(world.registry.table().generation(), generation, "nothing new, nothing published");
}

#[test]
fn a_v1_restart_replaces_key_by_key_and_the_rest_leaves() {
    let mut world = World::new();
    world.connect(1);
    let old = world.register(1, v1("api", "host"));
    world.ask(1, &old, Request::RouteV1(spec("a.example,b.example", "/", "http://x:1")));
    world.lose(1);
    world.connect(2);
    let new = world.register(2, v1("api", "host"));
    world.ask(2, &new, Request::RouteV1(spec("a.example", "/", "http://x:2")));
    assert_eq!(domains(&world), [(1, "b.example".to_owned()), (2, "a.example".to_owned())]);
    world.wait(seconds(59));
    assert_eq!(domains(&world).len(), 2);
    world.wait(seconds(1));
    assert_eq!(domains(&world), [(2, "a.example".to_owned())]);
}

#[test]
fn a_successor_of_a_successor_inherits_all() {
    let mut world = World::new();
    let first = world.registered(1, "blue", "b1");
    world.serve(1, &first, spec("a.example", "/", "http://b:1"));
    world.connect(2);
    world.register(2, v2("blue", "b1"));
    world.wait(seconds(200));
    world.connect(3);
    let third = world.register(3, v2("blue", "b1"));
    world.wait(seconds(200));
    assert_eq!(world.served().len(), 1, "the grace counts from the last REGISTER");
    assert_eq!(world.ask(3, &third, Request::ConfigApply), Reply::Ok);
    assert_eq!(world.served().len(), 1, "an empty apply swaps nothing");
    world.serve(3, &third, spec("b.example", "/", "http://b:2"));
    assert_eq!(domains(&world), [(2, "b.example".to_owned())]);
    assert_eq!(world.registry.image().sessions.len(), 1);
}

#[test]
fn two_services_with_one_key_on_disk_are_one_after_a_restart() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    let green = world.registered(2, "green", "g1");
    world.serve(2, &green, spec("b.example", "/", "http://g:1"));
    let stored = world.image.sessions.iter_mut().find(|s| s.row.session == green).unwrap();
    stored.routes[0].1 = spec("a.example", "/", "http://g:1");
    world.restart();
    assert_eq!(world.served(), [(1, "http://b:1".to_owned())]);
    let told = "Not restored: route r2, its key is owned by service blue".to_owned();
    assert!(world.notes().contains(&told), "{:?}", world.notes());
}

#[test]
fn what_is_staged_comes_back_after_a_restart() {
    let mut world = World::new();
    let blue = world.registered(1, "blue", "b1");
    let route = world.serve(1, &blue, spec("a.example", "/", "http://b:1"));
    world.ask(1, &blue, Request::RouteRemove(route));
    world.ask(1, &blue, Request::RouteAdd(spec("b.example", "/", "http://b:1")));
    world.restart();
    world.connect(2);
    assert_eq!(world.ask(2, &blue, Request::Reconnect), Reply::Ok);
    let image = world.registry.image();
    let draft = &image.sessions[0].draft;
    assert_eq!(draft.routes.get(&route), Some(&StagedRoute::Removed));
    assert_eq!(world.ask(2, &blue, Request::ConfigApply), Reply::Ok);
    assert_eq!(domains(&world), [(2, "b.example".to_owned())]);
}
