//! Statistics of routes (SPEC 4, "Stats", and 2.2): every request counts once, and exactly.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use proxyd_e2e::{Act, Actor, Caller, Proxy, Session, wait_for};
use serde_json::Value;

const HOST: &str = "stats.example.com";

/// Answers with the status that its path names.
fn obedient() -> Actor {
    Actor::start(|asked| {
        let status = asked.path().trim_start_matches('/').parse().unwrap_or(200);
        Act::say(status, "done")
    })
}

/// Asks over one connection; returns the bytes of all heads and bodies that came, and how many
/// were sent.
fn ask(proxy: &Proxy, statuses: &[u16]) -> (usize, usize) {
    let mut caller = Caller::connect(proxy.http()).expect("it listens");
    let (mut came, mut sent) = (0, 0);
    for status in statuses {
        let request = format!("GET /{status} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        caller.send(&request).expect("open");
        let said = caller.read().expect("an answer");
        assert_eq!(said.status, *status, "{}", said.head);
        came += said.head.len() + 4 + said.body.len();
        sent += request.len();
    }
    (came, sent)
}

/// The numbers of one object, by key.
fn number(stats: &Value, key: &str) -> u64 {
    stats[key].as_u64().unwrap_or_else(|| panic!("{key} of {stats}"))
}

/// Asks until all of so many requests are counted: the last is, just after its client was answered.
fn stats(session: &mut Session, line: &str, requests: u64) -> Value {
    wait_for("the last to be counted", || {
        let stats = session.json(line, "STATS_OK");
        let first = if stats.is_array() { &stats[0] } else { &stats };
        (number(first, "requests") >= requests).then(|| stats.clone())
    })
}

/// SPEC 4: "Stats per route: the seed's keys"; counters always.
#[test]
fn a_known_sequence_is_counted_exactly() {
    let (proxy, backend) = (Proxy::start(), obedient());
    let (mut session, route) = Session::serve(&proxy, "stats", "stats.1", (HOST, &backend.url()));
    let statuses = [200, 200, 404, 500, 201, 503, 200, 301];
    let (came, sent) = ask(&proxy, &statuses);
    let stats = stats(&mut session, &format!("STATS_GET|$sid|{route}"), statuses.len() as u64);
    assert_eq!(stats["route_id"], route.as_str());
    assert_eq!(number(&stats, "requests"), statuses.len() as u64, "{stats}");
    assert_eq!(number(&stats, "errors"), 2, "500 and 503: {stats}");
    let codes = stats["status_codes"].as_object().expect("an object");
    for (code, count) in [("200", 3), ("201", 1), ("301", 1), ("404", 1), ("500", 1), ("503", 1)] {
        assert_eq!(codes.get(code).and_then(Value::as_u64), Some(count), "{code} of {stats}");
    }
    assert_eq!(codes.values().filter_map(Value::as_u64).sum::<u64>(), 8, "{stats}");
    assert_eq!(number(&stats, "bytes_sent"), came as u64, "heads and bodies: {stats}");
    assert_eq!(number(&stats, "bytes_received"), sent as u64, "heads: {stats}");
}

/// SPEC 2.2: "`STATS_GET` for `ALL` or no route answers a JSON array"; a route that nobody asked
/// counts nothing.
#[test]
fn all_is_an_array_and_nobody_asked_is_zero() {
    let (proxy, backend) = (Proxy::start(), obedient());
    let mut session = Session::register(&proxy, "stats", "stats.1");
    let asked = session.stage(HOST, "/", &backend.url());
    let silent = session.stage("silent.example.com", "/", &backend.url());
    session.expect("CONFIG_APPLY|$sid", "OK");
    ask(&proxy, &[200, 202]);
    for line in ["STATS_GET|$sid", "STATS_GET|$sid|ALL"] {
        let all = stats(&mut session, line, 2);
        let all = all.as_array().expect("an array");
        let found: Vec<_> = all
            .iter()
            .map(|one| (one["route_id"].as_str(), number(one, "requests"), number(one, "errors")))
            .collect();
        assert_eq!(found, [(Some(&*asked), 2, 0), (Some(&*silent), 0, 0)], "{line}");
        for key in ["bytes_sent", "bytes_received"] {
            assert_eq!(number(&all[1], key), 0, "{key}");
        }
    }
}

/// SPEC 2.1: what is asked for compressed is the same, as gzip in base64.
#[test]
fn compressed_reads_back() {
    let (proxy, backend) = (Proxy::start(), obedient());
    let (mut session, _) = Session::serve(&proxy, "stats", "stats.1", (HOST, &backend.url()));
    ask(&proxy, &[200, 500, 404]);
    let plain = stats(&mut session, "STATS_GET|$sid|ALL", 3);
    let said = session.ask("STATS_GET|$sid|ALL|compressed");
    let packed = said.strip_prefix("STATS_OK|").expect("an answer");
    let mut unpack = Command::new("sh")
        .args(["-c", "base64 -d | gunzip"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut to = unpack.stdin.take().expect("piped");
    to.write_all(packed.as_bytes()).expect("it reads");
    drop(to);
    let mut text = String::new();
    unpack.stdout.take().expect("piped").read_to_string(&mut text).expect("it writes");
    assert!(unpack.wait().expect("it ends").success());
    let unpacked: Value = serde_json::from_str(&text).expect("JSON");
    let stable = |all: &Value| (number(&all[0], "requests"), number(&all[0], "bytes_sent"));
    assert_eq!(stable(&unpacked), stable(&plain));
    assert_eq!(unpacked[0]["status_codes"], plain[0]["status_codes"]);
}
