//! Rate limits (SPEC 4, "Rate limit", and 12): never more than N in any window, whoever counts.
#![expect(clippy::disallowed_methods, reason = "these tests run in real time")]

use std::thread;
use std::time::{Duration, Instant};

use proxyd_e2e::{Actor, Caller, Proxy, Said, Session, Tuned};

const HOST: &str = "limited.example.com";

/// When a request was sent, when its answer was there, and that.
type Sample = (Instant, Instant, u16);

/// Registers a limited route.
fn serve(proxy: &Proxy, instance: &str, backend: &Actor, rule: &str) -> Session {
    let mut session = Session::register(proxy, "limited", instance);
    let route = session.stage(HOST, "/", &backend.url());
    session.expect(&format!("RATELIMIT_SET|$sid|{route}|{rule}"), "RATELIMIT_OK");
    session.expect("CONFIG_APPLY|$sid", "OK");
    session
}

/// Asks as fast as it goes on so many connections.
fn hammer(proxy: &Proxy, connections: usize, time: Duration, pause: Duration) -> Vec<Sample> {
    let http = proxy.http();
    let until = Instant::now() + time;
    let one = move || {
        let mut samples = Vec::new();
        let mut caller = Caller::connect(http).expect("it listens");
        while Instant::now() < until {
            let sent = Instant::now();
            let said = caller.get(HOST, "/", "").expect("an answer");
            samples.push((sent, Instant::now(), said.status));
            thread::sleep(pause);
        }
        samples
    };
    let all: Vec<_> = (0..connections).map(|_| thread::spawn(one)).collect();
    all.into_iter().flat_map(|one| one.join().expect("no panic")).collect()
}

/// The most requests that were certainly let in within one window: sent and answered in it.
fn most_within(samples: &[Sample], window: Duration) -> usize {
    let mut passed: Vec<_> = samples.iter().filter(|(.., status)| *status == 200).collect();
    passed.sort_unstable();
    let within = |at: usize| {
        let (from, ..) = passed[at];
        let until = *from + window;
        let later = passed[at..].iter().take_while(|(sent, ..)| *sent < until);
        later.filter(|(_, answered, _)| *answered < until).count()
    };
    (0..passed.len()).map(within).max().unwrap_or(0)
}

fn passed(samples: &[Sample]) -> usize {
    samples.iter().filter(|(.., status)| *status == 200).count()
}

/// SPEC 4: "at most N in any window, exactly"; SPEC 12: the bucket is one for all workers.
#[test]
fn never_more_than_n_in_any_window() {
    let backend = Actor::named("b");
    for workers in 1..=4 {
        for (limit, window) in [(10, 400), (100, 1000)] {
            let proxy = Tuned::start(workers, "");
            let _session = serve(&proxy, "limited.1", &backend, &format!("{limit}|{window}ms"));
            let window = Duration::from_millis(window);
            let time = window * 4;
            let samples = hammer(&proxy, 8, time, Duration::from_millis(1));
            let (most, all) = (most_within(&samples, window), passed(&samples));
            println!(
                "{workers} workers, {limit} in {window:?}: {all} of {} passed, at most {most} in a window",
                samples.len()
            );
            assert!(most <= limit, "{most} in {window:?} with {workers} workers");
            // "possibly 1/64 fewer for large N", and the last window may have just begun.
            assert!(all * 64 >= limit * 3 * 63, "{all} of 3 windows with {workers} workers");
            assert!(samples.iter().all(|(.., status)| matches!(status, 200 | 429)));
        }
    }
}

/// Asks until it is refused; how often it was not.
fn until_refused(proxy: &Proxy, fields: &str, hosts: &[&str]) -> (usize, Said) {
    let mut caller = Caller::connect(proxy.http()).expect("it listens");
    for (count, host) in hosts.iter().cycle().take(1000).enumerate() {
        let said = caller.get(host, "/", fields).expect("an answer");
        if said.status == 429 {
            return (count, said);
        }
        assert_eq!(said.status, 200);
    }
    panic!("never refused");
}

/// SPEC 4: "429 with Retry-After and RateLimit headers".
#[test]
fn a_refusal_says_when_to_come_back() {
    let (proxy, backend) = (Proxy::start(), Actor::named("b"));
    let _session = serve(&proxy, "limited.1", &backend, "7|30s");
    let (count, said) = until_refused(&proxy, "", &[HOST]);
    assert_eq!((count, backend.requests()), (7, 7));
    let after: u64 = said.field("retry-after").expect("Retry-After").parse().expect("seconds");
    assert!((29..=31).contains(&after), "{}", said.head);
    assert_eq!(said.field("ratelimit"), Some(&*format!("\"default\";r=0;t={after}")));
    let policy = said.field("ratelimit-policy").expect("RateLimit-Policy");
    assert!(policy.starts_with("\"default\";q=7"), "{policy}");
}

/// SPEC 4: "`ALL` is one bucket per client over all routes of the session"; SPEC 12: "a route's
/// limit applies in addition to `ALL`'s".
#[test]
fn one_bucket_for_all_routes() {
    let (proxy, backend) = (Proxy::start(), Actor::named("b"));
    let mut session = Session::register(&proxy, "limited", "limited.1");
    let one = session.stage(HOST, "/", &backend.url());
    session.stage("second.example.com", "/", &backend.url());
    session.expect("RATELIMIT_SET|$sid|ALL|10|30s", "RATELIMIT_OK");
    session.expect(&format!("RATELIMIT_SET|$sid|{one}|3|30s"), "RATELIMIT_OK");
    session.expect("CONFIG_APPLY|$sid", "OK");
    assert_eq!(until_refused(&proxy, "", &[HOST]).0, 3, "its own");
    assert_eq!(until_refused(&proxy, "", &["second.example.com"]).0, 7, "what is left of all");
}

/// SPEC 4: per client and route, however many instances serve it.
#[test]
fn two_instances_share_a_bucket() {
    let (proxy, a, b) = (Proxy::start(), Actor::named("a"), Actor::named("b"));
    let _a = serve(&proxy, "limited.1", &a, "20|30s");
    let _b = serve(&proxy, "limited.2", &b, "20|30s");
    assert_eq!(until_refused(&proxy, "", &[HOST]).0, 20);
    assert_eq!(a.requests() + b.requests(), 20);
    assert!(a.requests() > 0 && b.requests() > 0);
}

/// SPEC 4: "per client IP", "IPv6 by /64"; behind a trusted proxy the client is whom it names.
#[test]
fn clients_behind_a_trusted_proxy_are_told_apart() {
    let backend = Actor::named("b");
    let proxy = Tuned::start(2, r#"trusted_proxies = ["127.0.0.1"]"#);
    let _session = serve(&proxy, "limited.1", &backend, "5|60s");
    let (full, none) = (5, 0);
    for (client, left) in [
        ("198.51.100.1", full),
        ("198.51.100.2", full),
        ("198.51.100.1", none),
        ("2001:db8:0:1::1", full),
        ("2001:db8:0:1::2", none),
        ("2001:db8:0:1:ffff::1", none),
        ("2001:db8:0:2::1", full),
        ("203.0.113.9, 198.51.100.3", full),
        ("203.0.113.10, 198.51.100.3", none),
    ] {
        let fields = format!("X-Forwarded-For: {client}\r\n");
        assert_eq!(until_refused(&proxy, &fields, &[HOST]).0, left, "{client}");
    }
}

/// From a peer that is not trusted the field says nothing.
#[test]
fn nobody_else_names_his_client() {
    let (proxy, backend) = (Proxy::start(), Actor::named("b"));
    let _session = serve(&proxy, "limited.1", &backend, "5|60s");
    assert_eq!(until_refused(&proxy, "X-Forwarded-For: 198.51.100.1\r\n", &[HOST]).0, 5);
    assert_eq!(until_refused(&proxy, "X-Forwarded-For: 198.51.100.2\r\n", &[HOST]).0, 0);
}

/// SPEC 12: "Off switches: RATELIMIT_SET with 0 requests".
#[test]
fn zero_switches_it_off() {
    let (proxy, backend) = (Proxy::start(), Actor::named("b"));
    let mut session = Session::register(&proxy, "limited", "limited.1");
    let route = session.stage(HOST, "/", &backend.url());
    for (requests, expected) in [(3, 3), (0, 100)] {
        session.expect(&format!("RATELIMIT_SET|$sid|{route}|{requests}|30s"), "RATELIMIT_OK");
        session.expect("CONFIG_APPLY|$sid", "OK");
        let mut caller = Caller::connect(proxy.http()).expect("it listens");
        let ask = |_: &usize| caller.get(HOST, "/", "").is_ok_and(|said| said.status == 200);
        assert_eq!((0..100).filter(ask).count(), expected, "{requests}");
    }
}

/// SPEC 2.5: what was learned "survives every apply that does not change that identity".
#[test]
fn an_apply_empties_no_bucket() {
    let (proxy, backend) = (Proxy::start(), Actor::named("b"));
    let mut session = serve(&proxy, "limited.1", &backend, "5|60s");
    assert_eq!(until_refused(&proxy, "", &[HOST]).0, 5);
    for n in 0..3 {
        session.stage(&format!("n{n}.example.com"), "/", &backend.url());
        session.expect("HEADERS_SET|$sid|ALL|X-Version|2", "HEADERS_OK");
        session.expect("CONFIG_APPLY|$sid", "OK");
        assert_eq!(until_refused(&proxy, "", &[HOST]).0, 0);
    }
}
