//! Credentials: what is not granted is refused when it is staged or registered, by name (SPEC 10).

use std::sync::Arc;

use model::{
    BackendUrl, ConnId, HostPattern, MaintenanceTarget, MatchKind, OptionValue, Reply, Request,
    RouteId, RoutePath, RouteUpdate, SessionId, Target, TxnId,
};
use proxyd_session::{Credential, Grants, Input, Peer, ServicePattern};

use crate::world::{World, refused, seconds, spec, v1, v2};

/// Services `blue` and `blue-*`, `*.blue.example`, `/app`, 10/8.
fn blue() -> Grants {
    Grants {
        services: ["blue", "blue-*"].map(|text| ServicePattern::parse(text).unwrap()).to_vec(),
        domains: vec![HostPattern::parse("*.blue.example").unwrap()],
        paths: vec![RoutePath::parse("/app").unwrap()],
        networks: vec!["10.0.0.0/8".parse().unwrap()],
    }
}

fn credential(name: &str, grants: Grants) -> Arc<Credential> {
    Arc::new(Credential { name: name.into(), grants })
}

impl World {
    fn show(&mut self, conn: u64, name: &str, grants: Grants) {
        self.connect(conn);
        self.input(Input::Authenticated(ConnId(conn), credential(name, grants)));
    }

    /// A session of the blue team, with `r1` live.
    fn blue(&mut self, conn: u64) -> SessionId {
        self.show(conn, "blue-team", blue());
        let id = self.register(conn, v2("blue", "b1"));
        self.serve(conn, &id, good());
        id
    }
}

fn good() -> model::RouteSpec {
    spec("x.blue.example", "/app", "http://10.0.0.1:80")
}

fn url(text: &str) -> BackendUrl {
    BackendUrl::parse(text).unwrap()
}

fn enter(page: &str) -> Request {
    let target = MaintenanceTarget { text: "ALL".into(), items: Vec::new() };
    Request::MaintEnter { target, page: Some(url(page)) }
}

#[test]
fn a_service_that_is_not_granted_is_not_registered() {
    let mut world = World::new();
    world.show(1, "blue-team", blue());
    let no = refused("service green is not granted to credential blue-team");
    assert_eq!(world.ask_of_all(1, Request::Register(v2("green", "g1"))), no);
    assert_eq!(world.ask_of_all(1, Request::Register(v1("green", "host"))), no);
    world.register(1, v1("blue-2", "host"));
}

#[test]
fn what_is_not_granted_is_refused_by_object_and_reason() {
    let mut world = World::new();
    let id = world.blue(1);
    let domain = spec("x.blue.example,x.example", "/app", "http://10.0.0.1");
    let path = spec("x.blue.example", "/appendix", "http://10.0.0.1");
    let network = spec("x.blue.example", "/app/x", "http://11.0.0.1");
    let name = spec("x.blue.example", "/app/x", "http://db.internal");
    let r1 = |update| Request::RouteUpdate(RouteId(1), update);
    let domains = vec![HostPattern::parse("*").unwrap()];
    let raw = OptionValue::Match(MatchKind::Raw);
    #[rustfmt::skip]
    let table = [
        (Request::RouteAdd(domain.clone()),     "route: domain x.example is not granted"),
        (Request::RouteAdd(path.clone()),       "route: path /appendix is not granted"),
        (Request::RouteAdd(network.clone()),    "route: backend 11.0.0.1 is in no network granted"),
        (Request::RouteAdd(name),               "route: backend db.internal must be an address in a network granted"),
        (Request::RouteV1(domain.clone()),      "route: domain x.example is not granted"),
        (Request::RouteAddBulk(vec![good(), path]), "json_array[1]: path /appendix is not granted"),
        (r1(RouteUpdate::Domains(domains)),     "route r1: domain * is not granted"),
        (r1(RouteUpdate::Path(RoutePath::parse("/").unwrap())), "route r1: path / is not granted"),
        (r1(RouteUpdate::Backend(network.backend)), "route r1: backend 11.0.0.1 is in no network granted"),
        (enter("http://192.0.2.1/page"),        "page: backend 192.0.2.1 is in no network granted"),
        (Request::BackendTest(url("http://[::1]:81")), "test: backend ::1 is in no network granted"),
        (Request::BackendTest(url("http://localhost:81")), "test: backend localhost must be an address in a network granted"),
        (Request::Explain { method: "GET".into(), host: "x.example".into(), path: "/".into() }, "explain: domain x.example is not granted"),
        (Request::OptionsSet(Target::All, model::OptionKey::Match, raw.clone()), "options: option match=raw is not granted with paths"),
        (Request::OptionV1(model::OptionKey::Match, raw), "options: option match=raw is not granted with paths"),
    ];
    for (request, says) in table {
        let said = world.ask(1, &id, request.clone());
        assert_eq!(said, refused(&format!("{says} to credential blue-team")), "{request:?}");
    }
    // Nothing of it was staged.
    assert!(matches!(world.ask(1, &id, Request::ConfigDiff), Reply::Diff { .. }));
    let served = [(1, "http://10.0.0.1:80".to_owned())];
    assert_eq!(world.ask(1, &id, Request::ConfigApply), Reply::Ok);
    assert_eq!(world.served(), served);
}

#[test]
fn what_is_granted_goes_through() {
    let mut world = World::new();
    let id = world.blue(1);
    let ok = spec("y.blue.example", "/app/x", "http://10.9.9.9:80");
    assert!(matches!(world.ask(1, &id, Request::RouteAdd(ok.clone())), Reply::RouteAdded(_)));
    let update = RouteUpdate::Backend(url("http://10.2.2.2"));
    assert_eq!(world.ask(1, &id, Request::RouteUpdate(RouteId(1), update)), Reply::RouteOk);
    assert_eq!(world.ask(1, &id, Request::ConfigApply), Reply::Ok);
    assert_eq!(world.ask(1, &id, enter("http://10.3.3.3/page")), Reply::MaintenanceAccepted);
    // Who is granted everything, and who had to show nothing, may do anything.
    world.show(2, "admin", Grants::default());
    let admin = world.register(2, v2("green", "g1"));
    world.serve(2, &admin, spec("*", "/", "http://db.internal"));
    let free = world.registered(3, "red", "r1");
    world.serve(3, &free, spec("red.example", "/", "http://db.internal"));
}

#[test]
fn a_route_is_taken_over_by_who_is_granted_it() {
    let mut world = World::new();
    let green = world.registered(1, "green", "g1");
    let in_blue = world.serve(1, &green, good());
    let outside = world.serve(1, &green, spec("green.example", "/app", "http://10.0.0.1"));
    world.show(2, "blue-team", blue());
    let id = world.register(2, v2("blue", "b1"));
    let mut accept = |route, backend| {
        let Reply::HandoverOk(token) = world.ask(1, &green, Request::HandoverOffer(route)) else {
            panic!("an offer");
        };
        world.ask(2, &id, Request::HandoverAccept { token, backend: url(backend) })
    };
    let no = |what: &str| refused(&format!("route: {what} to credential blue-team"));
    let said = accept(outside, "http://10.0.0.2");
    assert_eq!(said, no("domain green.example is not granted"));
    let said = accept(in_blue, "http://11.0.0.2");
    assert_eq!(said, no("backend 11.0.0.2 is in no network granted"));
    assert!(matches!(accept(in_blue, "http://10.0.0.2"), Reply::RouteAdded(_)));
}

#[test]
fn only_the_credential_that_registered_may_reconnect() {
    let mut world = World::new();
    let id = world.blue(1);
    world.lose(1);
    for restarted in [false, true] {
        if restarted {
            world.restart();
        }
        world.connect(11);
        assert_eq!(world.ask(11, &id, Request::Reconnect), Reply::Reregister, "none");
        world.show(12, "red-team", blue());
        assert_eq!(world.ask(12, &id, Request::Reconnect), Reply::Reregister, "another");
        world.show(13, "admin", Grants::default());
        assert_eq!(world.ask(13, &id, Request::Reconnect), Reply::Reregister, "another");
        world.show(14, "blue-team", blue());
        assert_eq!(world.ask(14, &id, Request::Reconnect), Reply::Ok, "restarted {restarted}");
        for conn in 11..=14 {
            world.lose(conn);
        }
    }
    // A session of nobody's goes on with whoever may register its service.
    let free = world.registered(20, "green", "g1");
    world.lose(20);
    world.show(21, "blue-team", blue());
    assert_eq!(world.ask(21, &free, Request::Reconnect), Reply::Reregister);
    world.show(22, "admin", Grants::default());
    assert_eq!(world.ask(22, &free, Request::Reconnect), Reply::Ok);
}

/// The proxy may be started again with other grants while something is staged.
#[test]
fn what_is_staged_is_looked_at_again_when_it_is_applied() {
    let mut world = World::new();
    world.show(1, "blue-team", Grants::default());
    let id = world.register(1, v2("blue", "b1"));
    world.ask(1, &id, Request::RouteAdd(good()));
    world.ask(1, &id, Request::RouteAdd(spec("green.example", "/", "http://10.0.0.1")));
    world.restart();
    world.show(2, "blue-team", blue());
    assert_eq!(world.ask(2, &id, Request::Reconnect), Reply::Ok);
    let no = refused("route r2: domain green.example is not granted to credential blue-team");
    assert_eq!(world.ask(2, &id, Request::ConfigApply), no);
    let attempt = Request::ConfigTry { duration: seconds(30), guard: None };
    assert_eq!(world.ask(2, &id, attempt), no);
    assert_eq!(world.ask(2, &id, Request::RouteRemove(RouteId(2))), Reply::RouteOk);
    assert_eq!(world.ask(2, &id, Request::ConfigApply), Reply::Ok);
}

#[test]
fn operators_do_what_they_want_in_any_session() {
    let mut world = World::new();
    let id = world.blue(1);
    world.input(Input::Connected(ConnId(9), Peer::Operator));
    let anywhere = spec("green.example", "/", "http://11.0.0.1");
    assert!(matches!(world.ask(9, &id, Request::RouteAdd(anywhere)), Reply::RouteAdded(_)));
    assert_eq!(world.ask(9, &id, Request::ConfigApply), Reply::Ok);
}

/// With a transaction id, as every error.
#[test]
fn a_refusal_carries_the_transaction() {
    let mut world = World::new();
    let id = world.blue(1);
    world.outputs.clear();
    let request = Request::RouteAdd(spec("*", "/", "http://10.0.0.1"));
    let line = model::Line { session: Some(id), txn: TxnId::parse("t1"), request };
    world.input(Input::Line(ConnId(1), line));
    let answer = world.outputs.iter().find_map(|output| match output {
        proxyd_session::Output::Answer(_, answer) => Some(answer.clone()),
        _ => None,
    });
    assert_eq!(answer.unwrap().txn, TxnId::parse("t1"));
}
