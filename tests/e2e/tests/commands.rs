//! Every command on a real socket, with and without a transaction id, and the exact lines.

use proxyd_e2e::{Proxy, Registry};

/// Plays lines and answers. `$sid` is the session; `*` in an answer stands for anything.
fn play(registry: &mut Registry, transcript: &[(&str, &str)]) {
    for (line, wanted) in transcript {
        // Nothing is asked for the second line of an answer.
        let said = if line.is_empty() { registry.line() } else { registry.ask(line) };
        let said = match registry.session.as_str() {
            "" => said,
            session => said.replace(session, "$sid"),
        };
        assert!(is_like(&said, wanted), "{line}\n   said {said}\n wanted {wanted}");
    }
}

/// Whether a text is a pattern with something for each star.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn stars_stand_for_anything() {
    assert!(is_like("a=1,b=2.", "a=*,b=*.") && is_like("abc", "*") && is_like("abc", "abc"));
    assert!(!is_like("abcd", "abc") && !is_like("a=1", "a=*,b=*") && !is_like("b", "a*"));
}

#[test]
fn staging_and_publishing() {
    let proxy = Proxy::start();
    let mut registry = proxy.registry();
    play(
        &mut registry,
        &[
            (r#"REGISTER|orbat|orbat.1|3001|{"version":"1.2.3"}"#, "ACK|$sid"),
            ("ROUTE_ADD|$sid|a.example.com,b.example.com|/v2|http://127.0.0.1:1|10", "ROUTE_OK|r1"),
            ("ROUTE_ADD|$sid|t1|c.example.com|/|http://127.0.0.1:1|0", "ROUTE_OK|t1|r2"),
            (
                r#"ROUTE_ADD_BULK|$sid|[{"domains":["d.example.com"],"path":"/","backend_url":"http://127.0.0.1:1","priority":0}]"#,
                r#"ROUTE_BULK_OK|[{"route_id":"r3","status":"ok"}]"#,
            ),
            (
                r#"ROUTE_ADD_BULK|$sid|t1|[{"domains":["e.example.com"],"path":"/","backend_url":"http://127.0.0.1:1","priority":0}]"#,
                r#"ROUTE_BULK_OK|t1|[{"route_id":"r4","status":"ok"}]"#,
            ),
            ("ROUTE_UPDATE|$sid|r3|priority|5", "ROUTE_OK"),
            ("ROUTE_UPDATE|$sid|t1|r3|path|/x", "ROUTE_OK|t1"),
            ("ROUTE_REMOVE|$sid|r4", "ROUTE_OK"),
            ("ROUTE_REMOVE|$sid|t1|r2", "ROUTE_OK|t1"),
            (
                "ROUTE_LIST|$sid",
                r#"ROUTE_LIST_OK|[{"route_id":"r1","domains":["a.example.com","b.example.com"],"path":"/v2","backend":"http://127.0.0.1:1","priority":10,"status":"staged"},{"route_id":"r3","domains":["d.example.com"],"path":"/x","backend":"http://127.0.0.1:1","priority":5,"status":"staged"}]"#,
            ),
            (
                "ROUTE_LIST|$sid|from=r2",
                r#"ROUTE_LIST_OK|[{"route_id":"r3","domains":["d.example.com"],"path":"/x","backend":"http://127.0.0.1:1","priority":5,"status":"staged"}]"#,
            ),
            ("ROUTE_LIST|$sid|t1|from=r9", "ROUTE_LIST_OK|t1|[]"),
            ("ROUTE_LIST|$sid|compressed", "ROUTE_LIST_OK|H4sI*"),
            ("ROUTE_LIST|$sid|t1|compressed", "ROUTE_LIST_OK|t1|H4sI*"),
            ("CONFIG_VALIDATE|$sid", "OK"),
            ("CONFIG_VALIDATE|$sid|t1", "OK|t1"),
            (
                "CONFIG_DIFF|$sid",
                r#"DIFF_OK|{"routes":{"added":["r1","r3"],"removed":[],"modified":[]},"headers":{},"options":{}}"#,
            ),
            ("CONFIG_APPLY_PARTIAL|$sid|routes,headers", "OK"),
            ("CONFIG_APPLY_PARTIAL|$sid|t1|options", "OK|t1"),
            ("CONFIG_APPLY|$sid", "OK"),
            ("CONFIG_APPLY|$sid|t1", "OK|t1"),
            ("ROUTE_REMOVE|$sid|r3", "ROUTE_OK"),
            (
                "CONFIG_DIFF|$sid|t1",
                r#"DIFF_OK|t1|{"routes":{"added":[],"removed":["r3"],"modified":[]},"headers":{},"options":{}}"#,
            ),
            ("ROUTE_LIST|$sid|from=r3", r#"ROUTE_LIST_OK|[{*,"status":"pending_removal"}]"#),
            ("CONFIG_ROLLBACK|$sid", "OK"),
            ("CONFIG_ROLLBACK|$sid|t1", "OK|t1"),
            ("ROUTE_LIST|$sid|t1|from=r3", r#"ROUTE_LIST_OK|t1|[{*,"status":"active"}]"#),
        ],
    );
}

#[test]
fn settings() {
    let proxy = Proxy::start();
    let mut registry = proxy.registry();
    play(
        &mut registry,
        &[
            ("REGISTER|orbat|orbat.1|3001|", "ACK|$sid"),
            ("ROUTE_ADD|$sid|a.example.com|/|http://127.0.0.1:1|0", "ROUTE_OK|r1"),
            ("HEADERS_SET|$sid|ALL|X-A|1", "HEADERS_OK"),
            ("HEADERS_SET|$sid|t1|r1|req:X-B|2", "HEADERS_OK|t1"),
            ("HEADERS_REMOVE|$sid|ALL|X-A", "HEADERS_OK"),
            ("HEADERS_REMOVE|$sid|t1|r1|req:X-B", "HEADERS_OK|t1"),
            ("OPTIONS_SET|$sid|ALL|timeout|5s", "OPTIONS_OK"),
            ("OPTIONS_SET|$sid|t1|r1|weight|2", "OPTIONS_OK|t1"),
            ("OPTIONS_REMOVE|$sid|ALL|timeout", "OPTIONS_OK"),
            ("OPTIONS_REMOVE|$sid|t1|r1|weight", "OPTIONS_OK|t1"),
            ("OPTIONS_SET|$sid|ALL|sticky|cookie", "OPTIONS_OK"),
            ("HEALTH_SET|$sid|r1|/health|30s|5s", "HEALTH_OK"),
            ("HEALTH_SET|$sid|t1|r1|/health|30s|5s", "HEALTH_OK|t1"),
            ("RATELIMIT_SET|$sid|r1|100|1m", "RATELIMIT_OK"),
            ("RATELIMIT_SET|$sid|t1|ALL|100|1m", "RATELIMIT_OK|t1"),
            ("CIRCUIT_BREAKER_SET|$sid|ALL|5|30s|2", "CIRCUIT_OK"),
            ("CIRCUIT_BREAKER_SET|$sid|t1|r1|5|30s|2", "CIRCUIT_OK|t1"),
            ("CIRCUIT_BREAKER_STATUS|$sid|r1", "ERROR|route not found"),
            ("CONFIG_APPLY|$sid", "OK"),
            (
                "CIRCUIT_BREAKER_STATUS|$sid|r1",
                r#"CIRCUIT_STATUS_OK|{"state":"closed","failures":0,"last_failure":null,"next_attempt":null,*"configured":true*}"#,
            ),
            ("CIRCUIT_BREAKER_STATUS|$sid|t1|ALL", r#"CIRCUIT_STATUS_OK|t1|[{*}]"#),
            ("CIRCUIT_BREAKER_RESET|$sid|r1", "CIRCUIT_OK"),
            ("CIRCUIT_BREAKER_RESET|$sid|t1|ALL", "CIRCUIT_OK|t1"),
        ],
    );
}

#[test]
fn questions_drain_maintenance_and_events() {
    let proxy = Proxy::start();
    let mut registry = proxy.registry();
    play(
        &mut registry,
        &[
            (r#"REGISTER|orbat|orbat.1|3001|{"version":"1.2.3"}"#, "ACK|$sid"),
            ("PING|$sid", "PONG"),
            ("PING|$sid|t1", "PONG|t1"),
            (
                "SESSION_INFO|$sid",
                r#"SESSION_OK|{"session_id":"$sid","service_name":"orbat","instance_name":"orbat.1","connected_at":"*Z","uptime_seconds":*,"routes_active":0,"routes_staged":0,"last_apply":null,"metadata":{"version":"1.2.3"},"last_activity":"*Z","generation":*}"#,
            ),
            ("SESSION_INFO|$sid|t1", r#"SESSION_OK|t1|{"session_id":"$sid",*}"#),
            ("STATS_GET|$sid", "STATS_OK|[]"),
            ("STATS_GET|$sid|ALL|compressed", "STATS_OK|H4sI*"),
            ("STATS_GET|$sid|t1|ALL", "STATS_OK|t1|[]"),
            ("STATS_GET|$sid|r7", "ERROR|route not found"),
            (
                "BACKEND_TEST|$sid|http://127.0.0.1:1",
                r#"BACKEND_FAIL|{"reachable":false,"error":"connection refused"}"#,
            ),
            ("BACKEND_TEST|$sid|t1|http://127.0.0.1:1", "BACKEND_FAIL|t1|{*}"),
            ("BACKEND_TEST|$sid|::bad", "ERROR|*"),
            ("DRAIN_START|$sid|30s", "DRAIN_OK|*Z"),
            ("DRAIN_START|$sid|t1|30s", "DRAIN_OK|t1|*Z"),
            ("DRAIN_STATUS|$sid", r#"DRAIN_STATUS_OK|{"active":true,*}"#),
            ("DRAIN_STATUS|$sid|t1", r#"DRAIN_STATUS_OK|t1|{"active":true,*}"#),
            ("DRAIN_CANCEL|$sid", "DRAIN_OK"),
            ("DRAIN_CANCEL|$sid|t1", "ERROR|t1|no drain in progress"),
            ("MAINT_ENTER|$sid|ALL|http://127.0.0.1:2", "ACK"),
            ("", "MAINT_OK|ALL"),
            ("MAINT_ENTER|$sid|t1|ALL|http://127.0.0.1:2", "ACK|t1"),
            ("", "MAINT_OK|t1|ALL"),
            (
                "MAINT_STATUS|$sid",
                r#"MAINT_STATUS_OK|{"in_maintenance":[],"maintenance_backend":"http://127.0.0.1:2",*}"#,
            ),
            ("MAINT_EXIT|$sid|ALL", "ACK"),
            ("", "MAINT_OK|ALL"),
            ("MAINT_EXIT|$sid|t1|ALL", "ACK|t1"),
            ("", "MAINT_OK|t1|ALL"),
            ("MAINT_STATUS|$sid|t1", r#"MAINT_STATUS_OK|t1|{"in_maintenance":[],*}"#),
            ("SUBSCRIBE|$sid|backend_health_changed", "SUBSCRIBE_OK"),
            ("SUBSCRIBE|$sid|t1|all", "SUBSCRIBE_OK|t1"),
            ("UNSUBSCRIBE|$sid|backend_health_changed", "UNSUBSCRIBE_OK"),
            ("UNSUBSCRIBE|$sid|t1|all", "UNSUBSCRIBE_OK|t1"),
            ("SUBSCRIBE|$sid|weather", "ERROR|*"),
        ],
    );
}

#[test]
fn extensions() {
    let proxy = Proxy::start();
    let (mut blue, mut green) = (proxy.registry(), proxy.registry());
    let explained = r#"{"route_id":"r1","outcome":"route","generation":*,"candidates":[],"endpoints":[{"route_id":"r1","instance":"orbat.1","backend":"http://127.0.0.1:1",*}]}"#;
    play(
        &mut blue,
        &[
            ("REGISTER|orbat|orbat.1|3001|", "ACK|$sid"),
            ("ROUTE_ADD|$sid|a.example.com|/v2|http://127.0.0.1:1|0", "ROUTE_OK|r1"),
            ("CONFIG_CONFIRM|$sid", "ERROR|no try in progress"),
            ("CONFIG_TRY|$sid|30s|errors<5%", "OK"),
            ("CONFIG_TRY|$sid|t1|30s", "ERROR|t1|try in progress"),
            ("CONFIG_APPLY|$sid", "ERROR|try in progress"),
            ("CONFIG_CONFIRM|$sid|t1", "OK|t1"),
            ("CONFIG_TRY|$sid|t1|30s", "OK|t1"),
            ("CONFIG_CONFIRM|$sid", "OK"),
            ("EXPLAIN|$sid|GET|a.example.com|/v2/x", &format!("EXPLAIN_OK|{explained}")),
            ("EXPLAIN|$sid|t1|GET|a.example.com|/v2/x", &format!("EXPLAIN_OK|t1|{explained}")),
            ("HANDOVER_OFFER|$sid|t1|r1", "HANDOVER_OK|t1|*"),
        ],
    );
    let offer = blue.ask("HANDOVER_OFFER|$sid|r1");
    let token = offer.strip_prefix("HANDOVER_OK|").expect("a token");
    let accept = format!("HANDOVER_ACCEPT|$sid|{token}|http://127.0.0.1:2");
    play(
        &mut green,
        &[
            ("REGISTER|green|green.1|3001|", "ACK|$sid"),
            ("ROUTE_ADD|$sid|a.example.com|/v2|http://127.0.0.1:2|0", "ROUTE_OK|r2"),
            ("CONFIG_APPLY|$sid", "ERROR|route r2: a.example.com/v2 is owned by service orbat"),
            ("CONFIG_ROLLBACK|$sid", "OK"),
            (
                "HANDOVER_ACCEPT|$sid|t1|unknown|http://127.0.0.1:2",
                "ERROR|t1|token is unknown or expired",
            ),
            // A route of its own: ids are never used again.
            (&accept, "ROUTE_OK|r3"),
            ("CONFIG_APPLY|$sid", "OK"),
            ("ROUTE_LIST|$sid", r#"ROUTE_LIST_OK|[{"route_id":"r3",*,"status":"active"}]"#),
        ],
    );
    play(&mut blue, &[("ROUTE_LIST|$sid", "ROUTE_LIST_OK|[]")]);
}

#[test]
fn coming_and_going() {
    let proxy = Proxy::start();
    let mut first = proxy.registry();
    play(
        &mut first,
        &[
            ("PING|x", "ERROR|no session"),
            ("FOO|x", "ERROR|unknown command: FOO"),
            ("REGISTER|a|b|0|[1]", "ERROR|invalid metadata json"),
            ("REGISTER|a|b|0|{}", "ACK|$sid"),
            ("REGISTER|a|c|0|{}", "ERROR|already registered"),
            ("PING|other", "ERROR|Invalid session"),
            (
                "ROUTE_ADD|$sid",
                "ERROR|usage: ROUTE_ADD session_id [txn_id] domains path backend_url priority",
            ),
            ("ROUTE_REMOVE|$sid|t1|r9", "ERROR|t1|route not found"),
        ],
    );
    let mut second = proxy.registry();
    second.session.clone_from(&first.session);
    play(&mut second, &[("RECONNECT|$sid", "OK"), ("PING|$sid", "PONG")]);
    assert_eq!(first.line(), "", "the old connection is closed");
    play(&mut second, &[("CLIENT_SHUTDOWN|$sid|t1", "SHUTDOWN_OK|t1")]);
    assert_eq!(second.line(), "");
    let mut third = proxy.registry();
    third.session.clone_from(&first.session);
    play(&mut third, &[("RECONNECT|$sid", "REREGISTER"), ("REGISTER|a|b|0", "ACK|$sid")]);
    play(&mut third, &[("CLIENT_SHUTDOWN|$sid", "SHUTDOWN_OK")]);
}

#[test]
fn version_one() {
    let proxy = Proxy::start();
    let mut registry = proxy.registry();
    play(
        &mut registry,
        &[
            ("REGISTER|api|host|9000|9001", "ACK|$sid"),
            ("ROUTE|$sid|v1.example.com|/v1|http://127.0.0.1:1", "ROUTE_OK"),
            ("HEADER|$sid|X-A|1", "HEADER_OK"),
            ("OPTIONS|$sid|timeout|60s", "OPTIONS_OK"),
            ("VALIDATE|$sid", "OK"),
            ("VALIDATE|$sid|abc", "OK"),
            ("MAINT_ENTER|$sid", "MAINT_OK"),
            ("MAINT_EXIT|$sid", "MAINT_OK"),
            ("PING|$sid", "PONG"),
            ("ROUTE_LIST|$sid", r#"ROUTE_LIST_OK|[{"route_id":"r1",*,"status":"active"}]"#),
        ],
    );
    let mut again = proxy.registry();
    again.session.clone_from(&registry.session);
    play(&mut again, &[("RECONNECT|$sid", "OK"), ("SHUTDOWN|$sid", "GOODBYE")]);
    assert_eq!(again.line(), "");
}
