//! The documents' own examples, byte for byte, and every line of SPEC 2.2's table.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{
    Answer, BackendReport, BackendUrl, CircuitReport, DiffReport, DrainReport, Event, HostPattern,
    InstanceName, Line, MaintenanceEntry, MaintenanceReport, Push, Refusal, Registration, Reply,
    Request, RouteId, RouteListEntry, RouteListing, RoutePath, RouteStatus, ServiceName, SessionId,
    SessionListEntry, SessionListing, SessionReport, SessionState, StatsReport, Target, TxnId,
    UnixMillis,
};

use crate::{ANSWER_BYTES_MAX, Dialect, decode, encode_answer, encode_push};

fn shown(reply: Reply) -> String {
    shown_as(reply, None, Dialect::V2)
}

fn shown_as(reply: Reply, txn: Option<&str>, dialect: Dialect) -> String {
    let txn = txn.map(|txn| TxnId::parse(txn).unwrap());
    let mut out = Vec::new();
    encode_answer(&Answer { txn, reply }, dialect, &mut out);
    let line = String::from_utf8(out).unwrap();
    assert_eq!(line.matches('\n').count(), 1, "one line: {line:?}");
    line.strip_suffix('\n').unwrap().to_owned()
}

fn at(text: &str) -> UnixMillis {
    // The examples lie on two days; everything else is arithmetic.
    let (date, time) = text.split_once('T').unwrap();
    let day = match date {
        "2024-12-20" => 1_734_652_800,
        "2025-03-20" => 1_742_428_800,
        other => panic!("{other}"),
    };
    let parts: Vec<u64> =
        time.trim_end_matches('Z').split(':').map(|n| n.parse().unwrap()).collect();
    UnixMillis((day + parts[0] * 3600 + parts[1] * 60 + parts[2]) * 1000)
}

fn entry(
    id: u64,
    domain: &str,
    path: &str,
    backend: &str,
    priority: i32,
    status: RouteStatus,
) -> RouteListEntry {
    RouteListEntry {
        route: RouteId(id),
        domains: vec![HostPattern::parse(domain).unwrap()],
        path: RoutePath::parse(path).unwrap(),
        backend: BackendUrl::parse(backend).unwrap(),
        priority,
        status,
        staged: None,
    }
}

#[test]
fn plain_answers() {
    let session = SessionId::parse("api-v2-9000-1734532800").unwrap();
    #[rustfmt::skip]
    let table = [
        (Reply::Registered(session), "ACK|api-v2-9000-1734532800"),
        (Reply::RouteOk, "ROUTE_OK"), (Reply::HeaderOk, "HEADER_OK"), (Reply::OptionsOk, "OPTIONS_OK"),
        (Reply::Ok, "OK"), (Reply::Goodbye, "GOODBYE"), (Reply::AuthOk, "AUTH_OK"),
        (Reply::RouteAdded(RouteId(7)), "ROUTE_OK|r7"),
        (Reply::RoutesAdded(vec![RouteId(1), RouteId(2)]),
         r#"ROUTE_BULK_OK|[{"route_id":"r1","status":"ok"},{"route_id":"r2","status":"ok"}]"#),
        (Reply::HeadersOk, "HEADERS_OK"), (Reply::HealthOk, "HEALTH_OK"),
        (Reply::RatelimitOk, "RATELIMIT_OK"), (Reply::CircuitOk, "CIRCUIT_OK"), (Reply::Pong, "PONG"),
        (Reply::DrainStarted(at("2024-12-20T11:35:00Z")), "DRAIN_OK|2024-12-20T11:35:00Z"),
        (Reply::DrainCancelled, "DRAIN_OK"), (Reply::MaintenanceAccepted, "ACK"),
        (Reply::MaintenanceLive, "MAINT_OK"), (Reply::SubscribeOk, "SUBSCRIBE_OK"),
        (Reply::UnsubscribeOk, "UNSUBSCRIBE_OK"), (Reply::ShutdownOk, "SHUTDOWN_OK"),
        (Reply::Reregister, "REREGISTER"), (Reply::HandoverOk("abc".into()), "HANDOVER_OK|abc"),
        (Reply::Refused(Refusal::ROUTE_NOT_FOUND), "ERROR|route not found"),
        (Reply::Refused(Refusal::new("a|b\nc")), "ERROR|a b c"),
    ];
    for (reply, line) in table {
        let (verb, rest) = line.split_once('|').map_or((line, None), |(v, r)| (v, Some(r)));
        let echoed = rest.map_or(format!("{verb}|t-1"), |rest| format!("{verb}|t-1|{rest}"));
        assert_eq!(shown_as(reply.clone(), Some("t-1"), Dialect::V2), echoed);
        assert_eq!(shown(reply), line);
    }
}

#[test]
fn answers_with_json() {
    let stats = StatsReport {
        route: RouteId(1),
        requests: 12453,
        errors: 23,
        latency_mean: Duration::from_millis(45),
        latency_p95: Duration::from_millis(120),
        latency_p99: Duration::from_millis(250),
        bytes_sent: 5_242_880,
        bytes_received: 1_048_576,
        status_codes: BTreeMap::from([(200, 12400), (404, 30), (500, 23)]),
    };
    let stats_json = r#"{"route_id":"r1","requests":12453,"errors":23,"avg_latency_ms":45,"p95_latency_ms":120,"p99_latency_ms":250,"bytes_sent":5242880,"bytes_received":1048576,"status_codes":{"200":12400,"404":30,"500":23}}"#;
    let circuit = CircuitReport {
        route: RouteId(1),
        state: "open",
        failures: 15,
        last_failure: Some(at("2024-12-20T11:20:00Z")),
        next_attempt: Some(at("2024-12-20T11:20:30Z")),
        configured: true,
    };
    let circuit_json = r#"{"state":"open","failures":15,"last_failure":"2024-12-20T11:20:00Z","next_attempt":"2024-12-20T11:20:30Z","route_id":"r1","configured":true}"#;
    let listing = RouteListing {
        entries: vec![
            entry(1, "orbat.chilla55.de", "/", "http://orbat:3000", 0, RouteStatus::Active),
            entry(2, "api.chilla55.de", "/v2", "http://api:9000", 10, RouteStatus::Staged),
        ],
        paged: false,
        compressed: false,
    };
    let diff = DiffReport {
        routes_added: vec![RouteId(3)],
        routes_removed: vec![RouteId(1)],
        routes_modified: vec![RouteId(2)],
        headers_added: 2,
        headers_removed: 1,
        options_modified: 3,
        ..DiffReport::default()
    };
    let session = SessionReport {
        session: SessionId::parse("orbat-3000-1734532800").unwrap(),
        service: ServiceName::parse("orbat").unwrap(),
        instance: InstanceName::parse("orbat.1.abc123").unwrap(),
        connected_at: at("2024-12-20T10:30:00Z"),
        uptime: Duration::from_secs(3600),
        routes_active: 3,
        routes_staged: 1,
        last_apply: Some(at("2024-12-20T11:15:00Z")),
        metadata: Some(r#"{"version":"1.2.3"}"#.into()),
        last_activity: at("2024-12-20T11:30:00Z"),
        generation: None,
    };
    let drain = DrainReport {
        active: true,
        started_at: at("2024-12-20T11:30:00Z"),
        duration: Duration::from_secs(120),
        elapsed: Duration::from_secs(45),
        remaining: Duration::from_secs(75),
        traffic_percent: 62,
    };
    let maintenance = MaintenanceReport {
        in_maintenance: vec![RouteId(2), RouteId(3)],
        targets: vec![MaintenanceEntry {
            target: "r2,r3".into(),
            page: Some(BackendUrl::parse("http://orbat:3001").unwrap()),
            entered_at: at("2024-12-20T11:30:00Z"),
        }],
    };
    #[rustfmt::skip]
    let table = [
        (Reply::RouteList(listing), r#"ROUTE_LIST_OK|[{"route_id":"r1","domains":["orbat.chilla55.de"],"path":"/","backend":"http://orbat:3000","priority":0,"status":"active"},{"route_id":"r2","domains":["api.chilla55.de"],"path":"/v2","backend":"http://api:9000","priority":10,"status":"staged"}]"#.to_owned()),
        (Reply::Diff(diff), r#"DIFF_OK|{"routes":{"added":["r3"],"removed":["r1"],"modified":["r2"]},"headers":{"added":2,"removed":1},"options":{"modified":3}}"#.to_owned()),
        (Reply::Diff(DiffReport::default()), r#"DIFF_OK|{"routes":{"added":[],"removed":[],"modified":[]},"headers":{},"options":{}}"#.to_owned()),
        (Reply::Stats { all: false, reports: vec![stats.clone()], compressed: false }, format!("STATS_OK|{stats_json}")),
        (Reply::Stats { all: true, reports: vec![stats], compressed: false }, format!("STATS_OK|[{stats_json}]")),
        (Reply::Session(session), r#"SESSION_OK|{"session_id":"orbat-3000-1734532800","service_name":"orbat","instance_name":"orbat.1.abc123","connected_at":"2024-12-20T10:30:00Z","uptime_seconds":3600,"routes_active":3,"routes_staged":1,"last_apply":"2024-12-20T11:15:00Z","metadata":{"version":"1.2.3"},"last_activity":"2024-12-20T11:30:00Z","generation":null}"#.to_owned()),
        (Reply::DrainStatus(drain), r#"DRAIN_STATUS_OK|{"active":true,"started_at":"2024-12-20T11:30:00Z","duration_seconds":120,"elapsed_seconds":45,"remaining_seconds":75,"traffic_percent":62}"#.to_owned()),
        (Reply::MaintenanceStatus(maintenance), r#"MAINT_STATUS_OK|{"in_maintenance":["r2","r3"],"maintenance_backend":"http://orbat:3001","entered_at":"2024-12-20T11:30:00Z","targets":[{"target":"r2,r3","maintenance_backend":"http://orbat:3001","entered_at":"2024-12-20T11:30:00Z"}]}"#.to_owned()),
        (Reply::MaintenanceStatus(MaintenanceReport::default()), r#"MAINT_STATUS_OK|{"in_maintenance":[],"maintenance_backend":null,"entered_at":null,"targets":[]}"#.to_owned()),
        (Reply::Backend(BackendReport::Reachable { response_time: Duration::from_millis(45), status_code: 200, tls_valid: true }), r#"BACKEND_OK|{"reachable":true,"response_time_ms":45,"status_code":200,"tls_valid":true}"#.to_owned()),
        (Reply::Backend(BackendReport::Unreachable { error: "connection refused".to_owned() }), r#"BACKEND_FAIL|{"reachable":false,"error":"connection refused"}"#.to_owned()),
        (Reply::CircuitStatus { all: false, reports: vec![circuit.clone()] }, format!("CIRCUIT_STATUS_OK|{circuit_json}")),
        (Reply::CircuitStatus { all: true, reports: vec![circuit] }, format!("CIRCUIT_STATUS_OK|[{circuit_json}]")),
    ];
    for (reply, line) in table {
        assert_eq!(shown(reply), line);
    }
}

#[test]
fn lists_of_sessions() {
    let entry = |instance: &str, state, connected_at| SessionListEntry {
        session: SessionId::parse("orbat-3000-1734532800").unwrap(),
        service: ServiceName::parse("orbat").unwrap(),
        instance: InstanceName::parse(instance).unwrap(),
        state,
        routes_active: 3,
        connected_at,
        draining: true,
        in_maintenance: false,
    };
    let since = Some(at("2024-12-20T10:30:00Z"));
    let entries = vec![entry("a", SessionState::Connected, since)];
    #[rustfmt::skip]
    let table = [
        (SessionListing::default(), "SESSIONS_OK|[]"),
        (SessionListing { count: 1, entries: entries.clone() }, r#"SESSIONS_OK|[{"session_id":"orbat-3000-1734532800","service_name":"orbat","instance_name":"a","state":"connected","routes_active":3,"connected_at":"2024-12-20T10:30:00Z","draining":true,"in_maintenance":false}]"#),
        (SessionListing { count: 7, entries }, r#"SESSIONS_OK|{"count":7,"sessions":[{"session_id":"orbat-3000-1734532800","service_name":"orbat","instance_name":"a","state":"connected","routes_active":3,"connected_at":"2024-12-20T10:30:00Z","draining":true,"in_maintenance":false}],"truncated":true}"#),
        (SessionListing { count: 1, entries: vec![entry("b", SessionState::Pinned, None)] }, r#"SESSIONS_OK|[{"session_id":"orbat-3000-1734532800","service_name":"orbat","instance_name":"b","state":"pinned","routes_active":3,"connected_at":null,"draining":true,"in_maintenance":false}]"#),
    ];
    for (listing, line) in table {
        assert_eq!(shown(Reply::Sessions(listing)), line);
    }
    // Names as long as they may be: as many as fit.
    let entries = vec![entry(&"x".repeat(255), SessionState::Away, since); 200];
    let line = shown(Reply::Sessions(SessionListing { count: 200, entries }));
    assert!(line.len() < ANSWER_BYTES_MAX && line.len() > ANSWER_BYTES_MAX / 2);
    assert!(
        line.starts_with(r#"SESSIONS_OK|{"count":200,"#) && line.ends_with(r#""truncated":true}"#)
    );
}

#[test]
fn the_catalog_for_operators() {
    let request = Request::Catalog { what: "put".into(), with: r#"{"name":"a|b"}"#.into() };
    let line = Line { session: None, txn: None, request };
    assert_eq!(decode(r#"CATALOG|put|{"name":"a|b"}"#, Dialect::Fresh), Ok(line));
    for line in ["CATALOG", "CATALOG|services"] {
        let refused = decode(line, Dialect::Fresh).unwrap_err();
        assert_eq!(refused.reason.as_str(), "usage: CATALOG what json", "{line}");
    }
    let reply = Reply::Catalog(r#"{"name":"a|b"}"#.into());
    assert_eq!(shown(reply), r#"CATALOG_OK|{"name":"a\u007cb"}"#);
}

#[test]
fn questions_without_a_session() {
    let session = |line: &str, dialect| decode(line, dialect).unwrap().session;
    for (line, txn) in [("SESSIONS", None), ("SESSIONS|", None), ("SESSIONS|t|", Some("t"))] {
        let wanted =
            Line { session: None, txn: txn.and_then(TxnId::parse), request: Request::Sessions };
        assert_eq!(decode(line, Dialect::Fresh), Ok(wanted), "{line}");
    }
    for line in ["SESSIONS|a|b", "SESSIONS|a b"] {
        let refused = decode(line, Dialect::Fresh).unwrap_err();
        assert_eq!(refused.reason.as_str(), "usage: SESSIONS [txn_id]", "{line}");
    }
    for line in ["EXPLAIN||GET|a.b|/", "EXPLAIN|*|GET|a.b|/", "EXPLAIN||t|GET|a.b|/"] {
        assert_eq!(session(line, Dialect::Fresh), None, "{line}");
    }
    assert!(decode("PING|", Dialect::Fresh).is_err(), "any other is about a session");
}

#[test]
fn events() {
    let shown = |push: Push| {
        let mut out = Vec::new();
        encode_push(&push, &mut out);
        String::from_utf8(out).unwrap()
    };
    let event = |event| shown(Push::Event(event));
    let expiry = at("2025-03-20T00:00:00Z");
    #[rustfmt::skip]
    let table = [
        (event(Event::CertRenewed { domain: "chilla55.de".into(), expiry }), r#"EVENT|cert_renewed|{"domain":"chilla55.de","expiry":"2025-03-20T00:00:00Z"}"#),
        (event(Event::GlobalConfigChanged { reason: "admin_update".into() }), r#"EVENT|global_config_changed|{"reason":"admin_update"}"#),
        (event(Event::BackendHealthChanged { route: RouteId(1), healthy: false, reason: "connection_timeout".into() }), r#"EVENT|backend_health_changed|{"route_id":"r1","healthy":false,"reason":"connection_timeout"}"#),
        (event(Event::GlobalConfigChanged { reason: "a|b".into() }), r#"EVENT|global_config_changed|{"reason":"a\u007cb"}"#),
        (shown(Push::Shutdown), "SHUTDOWN"),
        (shown(Push::MaintenanceLive { txn: None, target: "r2,r3".into() }), "MAINT_OK|r2,r3"),
        (shown(Push::MaintenanceLive { txn: TxnId::parse("t"), target: "ALL".into() }), "MAINT_OK|t|ALL"),
    ];
    for (line, wanted) in table {
        assert_eq!(line, format!("{wanted}\n"));
    }
}

#[test]
fn what_does_not_fit_is_an_error_and_never_a_cut_line() {
    let entries = |n: u64| -> Vec<RouteListEntry> {
        (1..=n).map(|id| entry(id, "a.test", "/", "http://a:1", 0, RouteStatus::Active)).collect()
    };
    let list = |n, paged, compressed| {
        shown(Reply::RouteList(RouteListing { entries: entries(n), paged, compressed }))
    };
    let error = list(2000, false, false);
    assert!(error.starts_with("ERROR|response too large ("), "{error}");
    assert!(error.ends_with(" bytes), use compressed"), "{error}");
    assert!(list(2000, false, true).starts_with("ROUTE_LIST_OK|H4sI"));
    let page = list(2000, true, false);
    assert!(page.len() < 65_536 && page.len() > 65_000 && page.ends_with("}]"), "{}", page.len());
    // The bound and one past it: the line feed counts.
    let padded = |extra: usize| {
        let text = "x".repeat(65_536 - "HANDOVER_OK|\n".len() + extra);
        shown(Reply::HandoverOk(text.into()))
    };
    assert!(padded(0).starts_with("HANDOVER_OK|"));
    assert!(padded(1).starts_with("ERROR|response too large (65537 bytes)"));
    let reason = Reply::Refused(Refusal::new("ä".repeat(4000)));
    let short = shown_as(reason, None, Dialect::V1);
    assert!(short.len() < 1024 && short.len() > 1020, "{}", short.len());
}

/// A transaction id, or none, and what was asked.
fn read(line: &str) -> (Option<String>, Request) {
    let line = decode(line, Dialect::V2).unwrap_or_else(|e| panic!("{line}: {e:?}"));
    (line.txn.map(|txn| txn.to_string()), line.request)
}

#[test]
fn optional_tails() {
    let txn = |text: &str| Some(text.to_owned());
    let list =
        |from: Option<u64>, compressed| Request::RouteList { from: from.map(RouteId), compressed };
    let stats = |target, compressed| Request::StatsGet { target, compressed };
    let one = Target::Route(RouteId(1));
    #[rustfmt::skip]
    let table = [
        ("ROUTE_LIST|s", (None, list(None, false))),
        ("ROUTE_LIST|s|compressed", (None, list(None, true))),
        ("ROUTE_LIST|s|from=r9", (None, list(Some(9), false))),
        ("ROUTE_LIST|s|t", (txn("t"), list(None, false))),
        ("ROUTE_LIST|s|t|compressed", (txn("t"), list(None, true))),
        ("ROUTE_LIST|s|", (None, list(None, false))),
        ("STATS_GET|s", (None, stats(Target::All, false))),
        ("STATS_GET|s|ALL", (None, stats(Target::All, false))),
        ("STATS_GET|s|r1", (None, stats(one, false))),
        ("STATS_GET|s|compressed", (None, stats(Target::All, true))),
        ("STATS_GET|s|r1|compressed", (None, stats(one, true))),
        ("STATS_GET|s|t|r1", (txn("t"), stats(one, false))),
        ("STATS_GET|s|t|r1|compressed", (txn("t"), stats(one, true))),
        ("PING|s|t", (txn("t"), Request::Ping)),
        ("PING|s|", (None, Request::Ping)),
        ("PING|s|t|", (txn("t"), Request::Ping)),
    ];
    for (line, wanted) in table {
        assert_eq!(read(line), wanted, "{line}");
    }
    let maintenance = |line: &str| match read(line) {
        (txn, Request::MaintEnter { target, page }) => {
            (txn, target.text.to_string(), page.map(|page| page.to_string()))
        }
        other => panic!("{line}: {other:?}"),
    };
    #[rustfmt::skip]
    let table = [
        ("MAINT_ENTER|s|ALL", (None, "ALL", None)),
        ("MAINT_ENTER|s|ALL|", (None, "ALL", None)),
        ("MAINT_ENTER|s|r2,r3|http://orbat:3001", (None, "r2,r3", Some("http://orbat:3001"))),
        ("MAINT_ENTER|s|t|r2", (txn("t"), "r2", None)),
        ("MAINT_ENTER|s|t|/v1|http://a:1", (txn("t"), "/v1", Some("http://a:1"))),
        ("MAINT_ENTER|s|admin.example.com|", (None, "admin.example.com", None)),
    ];
    for (line, (txn, target, page)) in table {
        assert_eq!(maintenance(line), (txn, target.to_owned(), page.map(str::to_owned)), "{line}");
    }
    let trial = |line: &str| match read(line) {
        (txn, Request::ConfigTry { duration, guard }) => (txn, duration.as_secs(), guard.is_some()),
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(trial("CONFIG_TRY|s|30s"), (None, 30, false));
    assert_eq!(trial("CONFIG_TRY|s|30s|errors<5%"), (None, 30, true));
    assert_eq!(trial("CONFIG_TRY|s|t|30s"), (txn("t"), 30, false));
    assert_eq!(trial("CONFIG_TRY|s|t|30s|p99<200ms"), (txn("t"), 30, true));
    let priority = |line: &str| match read(line) {
        (txn, Request::RouteAdd(spec)) => (txn, spec.priority),
        other => panic!("{line}: {other:?}"),
    };
    for line in [
        "ROUTE_ADD|s|a.b|/|http://a:1",
        "ROUTE_ADD|s|a.b|/|http://a:1|",
        "ROUTE_ADD|s|a.b|/|http://a:1|0",
    ] {
        assert_eq!(priority(line), (None, 0), "{line}");
    }
    assert_eq!(priority("ROUTE_ADD|s|t|a.b|/|http://a:1|-7"), (txn("t"), -7));
    assert_eq!(priority("ROUTE_ADD|s|t|a.b|/|http://a:1|"), (txn("t"), 0));
    let bulk = r#"[{"domains":["a|b.c"],"path":"/","backend_url":"http://a:1"}]"#;
    assert_eq!(
        decode(&format!("ROUTE_ADD_BULK|s|t|{bulk}"), Dialect::V2).unwrap_err().txn,
        TxnId::parse("t")
    );
    let bulk = bulk.replace("a|b.c", "a.b");
    assert!(
        matches!(read(&format!("ROUTE_ADD_BULK|s|{bulk}")), (None, Request::RouteAddBulk(specs)) if specs.len() == 1)
    );
    assert!(matches!(
        read(&format!("ROUTE_ADD_BULK|s|t|{bulk}")),
        (Some(_), Request::RouteAddBulk(_))
    ));
}

#[test]
fn who_registers() {
    let registration = |line: &str| match decode(line, Dialect::Fresh).map(|line| line.request) {
        Ok(Request::Register(registration)) => registration,
        other => panic!("{line}: {other:?}"),
    };
    assert!(matches!(
        registration("REGISTER|api-service|api-v2|9000|9001"),
        Registration::V1 { service_port: 9000, maintenance_port: 9001, .. }
    ));
    for metadata in ["", "|", "|null", "|{}", r#"|{"a":"b|c"}"#] {
        let line = format!("REGISTER|acc|inst-1|3001{metadata}");
        let Registration::V2 { metadata: kept, .. } = registration(&line) else { panic!("{line}") };
        assert_eq!(kept.is_some(), metadata.starts_with("|{"), "{line}");
    }
    for bad in ["[]", "1.5", "text", "{", "\"x\"", "true"] {
        let error = decode(&format!("REGISTER|acc|inst-1|3001|{bad}"), Dialect::Fresh).unwrap_err();
        assert_eq!(error.reason.as_str(), "invalid metadata json", "{bad}");
    }
}

#[test]
fn v1_reads_maintenance_in_its_own_way() {
    for line in ["MAINT_ENTER|s", "MAINT_ENTER|s|", "MAINT_EXIT|s"] {
        assert!(decode(line, Dialect::V1).is_ok(), "{line}");
        assert!(decode("MAINT_ENTER|s", Dialect::V2).is_err());
    }
    assert!(decode("MAINT_ENTER|s|ALL|http://a:1", Dialect::V1).is_err());
}

#[test]
fn refused_lines() {
    let bulk = r#"[{"domains":["a"],"path":"/","backend_url":"http://a"},{"domains":[],"path":"/","backend_url":"http://a"}]"#;
    let bulk = format!("ROUTE_ADD_BULK|s|{bulk}");
    #[rustfmt::skip]
    let table = [
        ("FOO", "unknown command: FOO"),
        ("ping|s", "unknown command: ping"),
        ("PING", "usage: PING session_id [txn_id]"),
        ("PING|s|a b", "usage: PING session_id [txn_id]"),
        ("PING|s|t|u", "usage: PING session_id [txn_id]"),
        ("ROUTE_ADD|s|a.b|/", "usage: ROUTE_ADD session_id [txn_id] domains path backend_url priority"),
        ("ROUTE_ADD|s|a.b|/|http://a:1|0|x|y", "usage: ROUTE_ADD session_id [txn_id] domains path backend_url priority"),
        ("REGISTER|a|b", "usage: REGISTER service_name instance_name maintenance_port [metadata]"),
        ("ROUTE|s|a.b|/|http://a:1|0", "usage: ROUTE session_id domains path backend_url"),
        ("ROUTE_ADD|s||/|http://a:1|0", "no domains specified"),
        ("ROUTE_ADD|s|a.b||http://a:1|0", "path cannot be empty"),
        ("ROUTE_ADD|s|a.b|x|http://a:1|0", "path must begin with /"),
        ("ROUTE_ADD|s|a.b|/|a:1|0", "invalid backend URL format: want scheme://host[:port][/path]"),
        ("ROUTE_ADD|s|a.b|/|http://a:1|high", "priority must be a whole number"),
        ("ROUTE_UPDATE|s|r1|color|red", "unknown field: want backend_url, priority, domains or path"),
        ("ROUTE_REMOVE|s|1", "route not found"),
        ("STATS_GET|s|x", "route not found"),
        ("HEADERS_SET|s|ALL|Host|x", "header_name must not be a hop-by-hop or framing header, Host or a pseudo header"),
        ("OPTIONS_SET|s|ALL|timeout|soon", "timeout must be a duration such as 500ms, 30s, 5m or 1h30m, or whole seconds"),
        ("DRAIN_START|s|0", "duration must be longer than zero"),
        ("ROUTE_ADD_BULK|s|{}", "invalid json"),
        (&*bulk, "json_array[1]: no domains specified"),
        ("CONFIG_APPLY_PARTIAL|s|routes,all", "scope must be some of routes, headers, options, health, ratelimit, circuit"),
        ("MAINT_ENTER|s|what ever|", "target must be ALL, route ids, paths or domains"),
        ("PING||", "Invalid session"),
    ];
    for (line, reason) in table {
        assert_eq!(decode(line, Dialect::V2).unwrap_err().reason.as_str(), reason, "{line}");
    }
    let echoed = decode("DRAIN_START|s|t1|soon", Dialect::V2).unwrap_err();
    assert_eq!(echoed.txn, TxnId::parse("t1"));
    assert_eq!(
        decode("DRAIN_START|s|30", Dialect::V2).unwrap().request,
        Request::DrainStart(Duration::from_secs(30))
    );
    assert_eq!(decode("ACK", Dialect::V2).unwrap().request, Request::Ack);
    assert_eq!(decode("VALIDATE|s|abc123", Dialect::V2).unwrap().request, Request::ValidateV1);
}
