//! What a session would be asked, and how it would be answered, without a connection.

use model::{BackendUrl, HeaderRule, HealthProbe, HealthSpec, HostPattern, RoutePath};

use super::*;
use crate::{RouteWish, route};

/// Answers every command with success, route ids counting from 1.
fn finish(sync: &mut Sync) -> Vec<Request> {
    let mut asked = Vec::new();
    let mut last = 0;
    while sync.step != Step::Over {
        let round: Vec<Request> = std::iter::from_fn(|| sync.next_request()).collect();
        assert!(round.len() <= IN_FLIGHT_MAX);
        for request in &round {
            let said = match request {
                Request::RouteAddBulk(specs) => {
                    let ids = (last + 1..=last + specs.len())
                        .map(|id| format!("{{\"route_id\":\"r{id}\",\"status\":\"ok\"}}"));
                    let ids: Vec<String> = ids.collect();
                    last += specs.len();
                    format!("ROUTE_BULK_OK|[{}]", ids.join(","))
                }
                _ => "OK".to_owned(),
            };
            sync.answered(&Said::new(&said));
        }
        asked.extend(round);
    }
    asked
}

fn many(count: usize) -> Desired {
    let mut desired = Desired::default();
    for number in 0..count {
        let spec = route("a.example", &format!("/{number}"), "http://b:1").unwrap();
        let health = HealthSpec {
            probe: HealthProbe::Http(format!("/health/{number}").into()),
            interval: std::time::Duration::from_secs(30),
            timeout: std::time::Duration::from_secs(5),
        };
        desired.routes.insert(spec, RouteWish { health: Some(health), ..RouteWish::default() });
    }
    desired
}

/// Whatever its size, each command fits into a line, and a setting names its own route's id.
#[test]
fn many_routes_go_in_lines_that_fit() {
    let desired = Arc::new(many(1000));
    let mut sync = Sync::new(Arc::clone(&desired), Start::default(), Goal::Applied);
    let asked = finish(&mut sync);
    let live = sync.outcome().unwrap().unwrap();
    assert_eq!(live.routes.len(), 1000);
    let mut healths = 0;
    for request in &asked {
        let line = model::Line { session: None, txn: None, request: request.clone() };
        let mut bytes = Vec::new();
        wire::encode_line(&line, &mut bytes);
        assert!(bytes.len() < wire::LINE_BYTES_MAX - 300, "{} bytes", bytes.len());
        if let Request::HealthSet(id, health) = request {
            let (spec, _) = live.routes.iter().find(|(_, route)| route.id == *id).unwrap();
            assert_eq!(health.probe, HealthProbe::Http(format!("/health{}", spec.path).into()));
            healths += 1;
        }
    }
    assert_eq!(healths, 1000);
    assert!(matches!(asked[..], [.., Request::ConfigValidate, Request::ConfigApply]));

    let start = Start { live, ..Start::default() };
    let mut again = Sync::new(desired, start, Goal::Applied);
    assert_eq!(finish(&mut again), [], "nothing is left to do");
}

/// A path may hold what JSON escapes.
#[test]
fn the_estimate_is_not_low() {
    let ugly = RoutePath::parse(&format!("/{}", "\"|".repeat(1000))).unwrap();
    let spec = RouteSpec {
        domains: vec![HostPattern::parse(&"a.".repeat(100)).unwrap(), HostPattern::Any],
        path: ugly,
        backend: BackendUrl::parse("http://b:1/|").unwrap(),
        priority: i32::MIN,
    };
    let size = |specs: Vec<RouteSpec>| {
        let mut bytes = Vec::new();
        let request = Request::RouteAddBulk(specs);
        wire::encode_line(&model::Line { session: None, txn: None, request }, &mut bytes);
        bytes.len()
    };
    let one = size(vec![spec.clone()]);
    let two = size(vec![spec.clone(), spec.clone()]);
    assert!(two - one <= estimated_bytes(&spec), "{} > {}", two - one, estimated_bytes(&spec));
}

#[test]
fn one_refusal_undoes_it_all() {
    let mut desired = many(1);
    desired.all.set_header(HeaderRule::parse("X-A", "1").unwrap());
    let mut sync = Sync::new(Arc::new(desired), Start::default(), Goal::Applied);
    assert!(matches!(sync.next_request(), Some(Request::RouteAddBulk(_))));
    assert_eq!(sync.next_request(), None);
    sync.answered(&Said::new("ROUTE_BULK_OK|[{\"route_id\":\"r5\",\"status\":\"ok\"}]"));
    assert!(matches!(sync.next_request(), Some(Request::HeadersSet(Target::All, _))));
    assert!(matches!(sync.next_request(), Some(Request::HealthSet(RouteId(5), _))));
    sync.answered(&Said::new("ERROR|no"));
    assert_eq!(sync.next_request(), None, "one answer is still to come");
    assert_eq!(sync.outcome(), None);
    sync.answered(&Said::new("ERROR|nor this"));
    assert_eq!(sync.next_request(), Some(Request::ConfigRollback));
    sync.answered(&Said::new("OK"));
    assert_eq!(sync.next_request(), None);
    let refusal = Refusal { command: "HEADERS_SET", reason: "no".into() };
    assert_eq!(sync.outcome(), Some(Err(refusal)));
}

#[test]
fn an_answer_with_too_few_ids_is_a_refusal() {
    let mut sync = Sync::new(Arc::new(many(2)), Start::default(), Goal::Applied);
    assert!(sync.next_request().is_some());
    sync.answered(&Said::new("ROUTE_BULK_OK|[{\"route_id\":\"r5\",\"status\":\"ok\"}]"));
    assert_eq!(sync.next_request(), Some(Request::ConfigRollback));
}

#[test]
fn only_an_unanswered_apply_is_in_doubt() {
    let mut sync = Sync::new(Arc::new(many(1)), Start::default(), Goal::Applied);
    let mut doubts = Vec::new();
    for answer in ["ROUTE_BULK_OK|[{\"route_id\":\"r1\",\"status\":\"ok\"}]", "OK", "OK", "OK"] {
        assert!(sync.next_request().is_some());
        doubts.push(sync.is_in_doubt());
        sync.answered(&Said::new(answer));
    }
    assert_eq!(doubts, [false, false, false, true]);
    assert!(!sync.is_in_doubt());
}
