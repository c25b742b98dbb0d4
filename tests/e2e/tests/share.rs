//! Drains (SPEC 4, "Drain", and 12): the share falls in a straight line, and nobody gets an error.
//!
//! `SECONDS=60` makes the drain of the first test so long; a few seconds do otherwise.
#![expect(clippy::disallowed_methods, reason = "these tests run in real time")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proxyd_e2e::{Act, Actor, Caller, Proxy, Session, wait_for};

const HOST: &str = "drain.example.com";
const CLIENTS: usize = 4;

/// One request: sent, answered, what came.
type Sample = (Instant, Instant, u16, String);

/// Asks on kept connections until told to stop.
fn load(proxy: &Proxy, stop: &AtomicBool) -> Vec<Sample> {
    let one = || {
        let mut caller = Caller::connect(proxy.http()).expect("it listens");
        let mut samples = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            let sent = Instant::now();
            let said = caller.get(HOST, "/", "").expect("an answer");
            samples.push((sent, Instant::now(), said.status, said.body));
        }
        samples
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(one)).collect();
        all.into_iter().flat_map(|one| one.join().expect("no panic")).collect()
    })
}

/// What may be left of a share after that long: whole percents, never more than there is.
fn percent_left(elapsed: Duration, total: Duration) -> u64 {
    (100 * total.saturating_sub(elapsed).as_nanos() / total.as_nanos()) as u64
}

/// SPEC 4: "the instance's weight falls linearly to zero"; SPEC 12: "candidates are thinned by a
/// draw". Each tenth is compared with the sum of what its requests should have been, between the
/// two ends of what is known of when each was decided.
#[test]
fn a_share_falls_in_a_straight_line() {
    let seconds = std::env::var("SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let total = Duration::from_secs(seconds);
    let proxy = Proxy::start();
    let (a, b, c) = (Actor::named("a"), Actor::named("b"), Actor::named("c"));
    let (mut session, _) = Session::serve(&proxy, "drain", "drain.a", (HOST, &a.url()));
    let _b = Session::serve(&proxy, "drain", "drain.b", (HOST, &b.url()));
    let _c = Session::serve(&proxy, "drain", "drain.c", (HOST, &c.url()));
    session.expect("SUBSCRIBE|$sid|drained", "SUBSCRIBE_OK");
    let stop = AtomicBool::new(false);
    let (samples, ordered, begun, percents) = thread::scope(|scope| {
        let clients = scope.spawn(|| load(&proxy, &stop));
        wait_for("load on a", || (a.requests() > 100).then_some(()));
        let ordered = Instant::now();
        let said = session.ask(&format!("DRAIN_START|$sid|{seconds}s"));
        let begun = Instant::now();
        assert!(said.starts_with("DRAIN_OK|"), "{said}");
        let mut percents = Vec::new();
        while begun.elapsed() < total {
            let before = Instant::now();
            let status = session.json("DRAIN_STATUS|$sid", "DRAIN_STATUS_OK");
            let percent = status["traffic_percent"].as_u64().expect("a number");
            percents.push((before, Instant::now(), percent));
            thread::sleep(total / 50);
        }
        assert!(session.event().starts_with("EVENT|drained|"));
        let after = session.json("DRAIN_STATUS|$sid", "DRAIN_STATUS_OK");
        assert_eq!((&after["active"], &after["traffic_percent"]), (&false.into(), &0.into()));
        let last = a.requests();
        let others = b.requests();
        wait_for("more load", || (b.requests() > others + 100).then_some(()));
        assert_eq!(a.requests(), last, "nothing more comes");
        stop.store(true, Ordering::SeqCst);
        (clients.join().expect("no panic"), ordered, begun, percents)
    });
    assert!(samples.iter().all(|(.., status, _)| *status == 200), "no error because of a drain");
    for (before, after, percent) in percents {
        let most = percent_left(before.saturating_duration_since(begun), total);
        let least = percent_left(after - ordered, total);
        assert!((least..=most).contains(&percent), "{least} <= {percent} <= {most}");
    }
    let mut tenths: BTreeMap<u32, Vec<&Sample>> = BTreeMap::new();
    for sample in samples.iter().filter(|(sent, ..)| *sent >= begun) {
        let tenth = (sample.0 - begun).as_secs_f64() * 10.0 / total.as_secs_f64();
        tenths.entry(tenth as u32).or_default().push(sample);
    }
    for (tenth, samples) in tenths.iter().filter(|(tenth, _)| **tenth < 10) {
        let share = |elapsed| percent_left(elapsed, total) as f64 / 300.0;
        let most: f64 = samples.iter().map(|(sent, ..)| share(*sent - begun)).sum();
        let least: f64 = samples.iter().map(|(_, answered, ..)| share(*answered - ordered)).sum();
        let variance: f64 = samples
            .iter()
            .map(|(sent, ..)| share(*sent - begun))
            .map(|share| share * (1.0 - share))
            .sum();
        let got = samples.iter().filter(|(.., name)| name == "a").count() as f64;
        let (allowed, n) = (5.0 * variance.sqrt(), samples.len() as f64);
        println!(
            "tenth {tenth}: {got} of {n}, {:.2} %, expected {:.2} to {:.2} %, off by {:.1} sigma",
            100.0 * got / n,
            100.0 * least / n,
            100.0 * most / n,
            (got - (least + most) / 2.0) / variance.sqrt()
        );
        assert!(got >= least - allowed - 1.0 && got <= most + allowed + 1.0, "tenth {tenth}");
    }
    assert_eq!(tenths.keys().filter(|tenth| **tenth < 10).count(), 10);
}

/// SPEC 4: "The last endpoint serves until the deadline, then 503 with Retry-After"; SPEC 12:
/// cancel restores.
#[test]
fn the_only_instance_serves_to_the_end() {
    let (proxy, backend) = (Proxy::start(), Actor::named("a"));
    let (mut session, _) = Session::serve(&proxy, "drain", "drain.a", (HOST, &backend.url()));
    let total = Duration::from_secs(2);
    let ordered = Instant::now();
    assert!(session.ask("DRAIN_START|$sid|2s").starts_with("DRAIN_OK|"));
    let begun = Instant::now();
    let mut served = 0;
    while begun.elapsed() < total + Duration::from_millis(500) {
        let sent = Instant::now();
        let said = Caller::once(proxy.http(), HOST, "/");
        if ordered.elapsed() < total {
            assert_eq!(said.status, 200, "before the deadline");
            served += 1;
        }
        if sent > begun + total {
            assert_eq!(said.status, 503, "after it");
            let after = said.field("retry-after").expect("Retry-After");
            assert!(after.parse::<u64>().is_ok_and(|seconds| seconds > 0), "{after}");
        }
    }
    assert!(served > 100, "{served}");
    session.expect("DRAIN_CANCEL|$sid", "DRAIN_OK");
    assert_eq!(Caller::once(proxy.http(), HOST, "/").status, 200);
}

/// SPEC 12: cancel gives the share back.
#[test]
fn a_cancelled_drain_leaves_no_trace() {
    let (proxy, a, b) = (Proxy::start(), Actor::named("a"), Actor::named("b"));
    let serve = |instance: &str, backend: &Actor| {
        let mut session = Session::register(&proxy, "drain", instance);
        session.stage(HOST, "/", &backend.url());
        session.expect("OPTIONS_SET|$sid|ALL|balance|round_robin", "OPTIONS_OK");
        session.expect("CONFIG_APPLY|$sid", "OK");
        // Turns begin anew when it becomes known that another instance is well.
        let explain = format!("EXPLAIN|$sid|GET|{HOST}|/");
        wait_for("it to be known", || (!session.ask(&explain).contains("unchecked")).then_some(()));
        session
    };
    let mut session = serve("drain.a", &a);
    let _b = serve("drain.b", &b);
    assert!(session.ask("DRAIN_START|$sid|500ms").starts_with("DRAIN_OK|"));
    wait_for("the end", || {
        let status = session.json("DRAIN_STATUS|$sid", "DRAIN_STATUS_OK");
        (status["active"] == false).then_some(())
    });
    let ask = |count| (0..count).for_each(|_| drop(Caller::once(proxy.http(), HOST, "/")));
    let before = a.requests();
    ask(50);
    assert_eq!(a.requests(), before);
    session.expect("DRAIN_CANCEL|$sid", "DRAIN_OK");
    ask(200);
    let share = a.requests() - before;
    assert!((98..=102).contains(&share), "{share} of 200 with half of the weight");
}

/// SPEC 4: "When in-flight requests and upgraded connections have ended, the backend itself ...
/// gets `EVENT|drained`".
#[test]
fn the_exit_permit_waits_for_requests_and_tunnels() {
    let proxy = Proxy::start();
    let a = Actor::start(|asked| {
        if asked.path() == "/tunnel" {
            return Act::Echo;
        }
        thread::sleep(Duration::from_millis(2500));
        Act::say(200, "a")
    });
    let b = Actor::named("b");
    let (mut session, _) = Session::serve(&proxy, "drain", "drain.a", (HOST, &a.url()));
    session.expect("SUBSCRIBE|$sid|drained", "SUBSCRIBE_OK");
    let mut tunnel = Caller::connect(proxy.http()).expect("it listens");
    let handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_eq!(tunnel.get(HOST, "/tunnel", handshake).expect("an answer").status, 101);
    let mut slow = Caller::connect(proxy.http()).expect("it listens");
    slow.send(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).expect("open");
    wait_for("both to arrive", || (a.requests() == 2).then_some(()));
    let (mut other, _) = Session::serve(&proxy, "drain", "drain.b", (HOST, &b.url()));
    other.expect("SUBSCRIBE|$sid|drained", "SUBSCRIBE_OK");
    assert!(session.ask("DRAIN_START|$sid|500ms").starts_with("DRAIN_OK|"));
    wait_for("the end", || {
        let status = session.json("DRAIN_STATUS|$sid", "DRAIN_STATUS_OK");
        (status["active"] == false).then_some(())
    });
    assert!(session.events().is_empty(), "a request and a tunnel are open");
    assert_eq!(slow.read().expect("an answer").body, "a");
    for _ in 0..10 {
        assert!(session.events().is_empty(), "a tunnel is open");
        tunnel.stream.write_all(b"ping").expect("open");
        let mut echo = [0; 4];
        tunnel.stream.read_exact(&mut echo).expect("open");
        assert_eq!(&echo, b"ping");
        thread::sleep(Duration::from_millis(20));
    }
    drop(tunnel);
    let event = session.event();
    assert!(event.starts_with(r#"EVENT|drained|{"at":""#), "{event}");
    assert!(other.events().is_empty(), "the backend itself, nobody else");
}

/// SPEC 12: "DRAIN_START while draining starts anew from the present percentage".
#[test]
fn a_second_order_begins_where_the_first_one_was() {
    let (proxy, backend) = (Proxy::start(), Actor::named("a"));
    let (mut session, _) = Session::serve(&proxy, "drain", "drain.a", (HOST, &backend.url()));
    assert!(session.ask("DRAIN_START|$sid|2s").starts_with("DRAIN_OK|"));
    let mut percent = || {
        let status = session.json("DRAIN_STATUS|$sid", "DRAIN_STATUS_OK");
        status["traffic_percent"].as_u64().expect("a number")
    };
    wait_for("half of it", || (percent() <= 50).then_some(()));
    let before = percent();
    assert!(session.ask("DRAIN_START|$sid|10m").starts_with("DRAIN_OK|"));
    let status = session.json("DRAIN_STATUS|$sid", "DRAIN_STATUS_OK");
    let after = status["traffic_percent"].as_u64().expect("a number");
    assert!(after <= before && after + 10 >= before, "{before} % before, {after} % after");
    assert_eq!(status["duration_seconds"], 600, "{status}");
}
