//! Whatever there is to tell, the line fits, and says so when it does not tell all.

use model::{
    Answer, BackendUrl, CircuitReport, DiffReport, Event, ExplainCandidate, ExplainReport,
    Generation, HostPattern, MaintenanceEntry, MaintenanceReport, Push, Reply, RouteId,
    RouteListEntry, RouteListing, RoutePath, RouteStatus, ServiceName, UnixMillis,
};
use proxyd_wire::{ANSWER_BYTES_MAX, ANSWER_BYTES_MAX_V1, Dialect, encode_answer, encode_push};

const CUT: &str = "\"truncated\":true";

fn answer(reply: Reply, dialect: Dialect) -> String {
    let mut out = Vec::new();
    encode_answer(&Answer { txn: None, reply }, dialect, &mut out);
    let bytes_max = if dialect == Dialect::V1 { ANSWER_BYTES_MAX_V1 } else { ANSWER_BYTES_MAX };
    assert!(out.len() <= bytes_max, "{} bytes", out.len());
    String::from_utf8(out).unwrap()
}

fn ids(count: u64) -> Vec<RouteId> {
    (0..count).map(|n| RouteId(u64::MAX - n)).collect()
}

/// The answer is cut and not refused, to both versions.
fn is_cut(reply: &Reply) {
    for dialect in [Dialect::V1, Dialect::V2] {
        let line = answer(reply.clone(), dialect);
        assert!(!line.starts_with("ERROR") && line.contains(CUT), "{dialect:?} {line}");
    }
}

#[test]
fn what_has_no_compressed_form_is_cut() {
    let warnings = vec!["x|".repeat(5000); 90];
    is_cut(&Reply::Diff(DiffReport { warnings, ..DiffReport::default() }));
    let [routes_added, routes_removed, routes_modified] = [ids(999), ids(1000), ids(5000)];
    let diff =
        DiffReport { routes_added, routes_removed, routes_modified, ..DiffReport::default() };
    is_cut(&Reply::Diff(diff));
    let warnings = vec!["short".to_owned(); 101];
    is_cut(&Reply::Diff(DiffReport { warnings, ..DiffReport::default() }));
    let entry = |target: &str| MaintenanceEntry {
        target: target.into(),
        page: None,
        entered_at: UnixMillis(0),
    };
    let targets = vec![entry("a.b"); 101];
    is_cut(&Reply::MaintenanceStatus(MaintenanceReport { in_maintenance: ids(3), targets }));
    let targets = vec![entry(&"r1,".repeat(5000)); 99];
    is_cut(&Reply::MaintenanceStatus(MaintenanceReport { in_maintenance: ids(3000), targets }));
    let candidate = |path: &str| ExplainCandidate {
        route: RouteId(1),
        service: ServiceName::parse("a").unwrap(),
        domain: HostPattern::Any,
        path: path.into(),
        priority: 0,
        lost: "priority",
    };
    for candidates in [vec![candidate("/"); 101], vec![candidate(&"x".repeat(2000)); 99]] {
        is_cut(&Reply::Explain(Box::new(ExplainReport {
            route: None,
            outcome: "route",
            candidates,
            endpoints: vec![],
            generation: Generation(1),
        })));
    }
    is_cut(&Reply::CircuitStatus { all: true, reports: circuits(5000) });
}

fn circuits(count: u64) -> Vec<CircuitReport> {
    let one = |route| CircuitReport {
        route,
        state: "closed",
        failures: 0,
        last_failure: None,
        next_attempt: None,
        configured: false,
    };
    ids(count).into_iter().map(one).collect()
}

#[test]
fn what_fits_is_whole() {
    let line = answer(Reply::CircuitStatus { all: true, reports: circuits(400) }, Dialect::V2);
    assert!(line.starts_with("CIRCUIT_STATUS_OK|[") && !line.contains(CUT));
    let bulk = answer(Reply::RoutesAdded(ids(300)), Dialect::V2);
    assert!(bulk.starts_with("ROUTE_BULK_OK|[") && !bulk.contains(CUT));
    assert!(answer(Reply::RoutesAdded(ids(300)), Dialect::V1).contains(CUT));
}

#[test]
fn only_what_has_a_compressed_form_is_referred_to_it() {
    let line = answer(Reply::HandoverOk("x".repeat(70_000).into()), Dialect::V2);
    assert_eq!(line, "ERROR|response too large (70013 bytes)\n");
}

#[test]
fn a_page_fits_its_dialect_and_is_never_empty() {
    let entry = |domains: usize| RouteListEntry {
        route: RouteId(1),
        domains: (0..domains).map(|n| HostPattern::parse(&format!("a{n}.b")).unwrap()).collect(),
        path: RoutePath::parse("/").unwrap(),
        backend: BackendUrl::parse("http://a:1").unwrap(),
        priority: 0,
        status: RouteStatus::Active,
        staged: None,
    };
    let page = |entries, dialect| {
        answer(Reply::RouteList(RouteListing { entries, paged: true, compressed: false }), dialect)
    };
    let short = page(vec![entry(1); 50], Dialect::V1);
    assert!(short.starts_with("ROUTE_LIST_OK|[{") && short.len() > 800, "{short}");
    assert!(page(vec![entry(250)], Dialect::V1).ends_with("use compressed\n"));
}

#[test]
fn pushes_are_bounded() {
    let event = |event| {
        let mut out = Vec::new();
        encode_push(&Push::Event(event), &mut out);
        assert!(out.len() <= ANSWER_BYTES_MAX, "{} bytes", out.len());
        String::from_utf8(out).unwrap()
    };
    for count in [1000, 1001, 100_000] {
        let reverted =
            event(Event::ConfigReverted { reason: "timeout".into(), routes: ids(count) });
        let changed = event(Event::MaintenanceChanged { routes: ids(count), active: true });
        for line in [reverted, changed] {
            assert_eq!(line.contains(CUT), count > 1000, "{count}");
            assert_eq!(line.matches("\"r1").count(), 1000);
        }
    }
    let long = event(Event::GlobalConfigChanged { reason: "\u{1}|".repeat(50_000).into() });
    assert!(long.ends_with("\"}\n"));
}
