//! Circuit breakers (SPEC 4, "Circuit breaker", and 12).

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use proxyd_e2e::{Act, Actor, Caller, PATIENCE, Proxy, Session, wait_for};

const HOST: &str = "circuit.example.com";

/// A backend whose answers are the status it was last told, after some time.
struct Told {
    status: Arc<AtomicU16>,
    actor: Actor,
}

impl Told {
    fn start(status: u16, delay: Duration) -> Self {
        let status = Arc::new(AtomicU16::new(status));
        let told = Arc::clone(&status);
        let actor = Actor::start(move |_| {
            thread::sleep(delay);
            Act::say(told.load(Ordering::SeqCst), "told")
        });
        Self { status, actor }
    }

    fn tell(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}

/// A route with a breaker, or `ALL` of them.
fn serve(proxy: &Proxy, backend: &Actor, rule: &str) -> (Session, String) {
    let mut session = Session::register(proxy, "circuit", "circuit.1");
    let route = session.stage(HOST, "/", &backend.url());
    session.expect(&format!("CIRCUIT_BREAKER_SET|$sid|{route}|{rule}"), "CIRCUIT_OK");
    session.expect("SUBSCRIBE|$sid|circuit_state_changed", "SUBSCRIBE_OK");
    session.expect("CONFIG_APPLY|$sid", "OK");
    (session, route)
}

fn statuses(proxy: &Proxy, count: usize) -> Vec<u16> {
    (0..count).map(|_| Caller::once(proxy.http(), HOST, "/").status).collect()
}

fn state(session: &mut Session, route: &str) -> String {
    let status = session.json(&format!("CIRCUIT_BREAKER_STATUS|$sid|{route}"), "CIRCUIT_STATUS_OK");
    status["state"].as_str().expect("a state").to_owned()
}

fn event(route: &str, state: &str) -> String {
    format!(r#"EVENT|circuit_state_changed|{{"route_id":"{route}","state":"{state}"}}"#)
}

/// SPEC 4: consecutive failures open it; "Open: ... else 503 with Retry-After".
#[test]
fn five_failures_in_a_row_open_it() {
    let (proxy, backend) = (Proxy::start(), Told::start(503, Duration::ZERO));
    let (mut session, route) = serve(&proxy, &backend.actor, "5|30s|3");
    assert_eq!(statuses(&proxy, 4), [503; 4]);
    // One that passes breaks the row.
    backend.tell(200);
    assert_eq!(statuses(&proxy, 1), [200]);
    backend.tell(503);
    assert_eq!(statuses(&proxy, 4), [503; 4]);
    assert_eq!(state(&mut session, &route), "closed");
    assert_eq!(statuses(&proxy, 1), [503]);
    let arrived = backend.actor.requests();
    assert_eq!(arrived, 10);
    let said = Caller::once(proxy.http(), HOST, "/");
    assert_eq!(said.status, 503);
    let after: u64 = said.field("retry-after").expect("Retry-After").parse().expect("seconds");
    assert!((1..=30).contains(&after), "{after}");
    assert_eq!(statuses(&proxy, 20), [503; 20]);
    assert_eq!(backend.actor.requests(), arrived, "the backend is left alone");

    let line = format!("CIRCUIT_BREAKER_STATUS|$sid|{route}");
    let status = session.json(&line, "CIRCUIT_STATUS_OK");
    assert_eq!(status["state"], "open", "{status}");
    assert_eq!(status["failures"], 5, "{status}");
    for key in ["last_failure", "next_attempt"] {
        assert!(status[key].as_str().is_some_and(|at| at.ends_with('Z')), "{key} of {status}");
    }
    let all = session.json("CIRCUIT_BREAKER_STATUS|$sid|ALL", "CIRCUIT_STATUS_OK");
    assert_eq!(all.as_array().map(Vec::len), Some(1), "{all}");
    assert_eq!(all[0]["state"], "open", "{all}");

    backend.tell(200);
    session.expect(&format!("CIRCUIT_BREAKER_RESET|$sid|{route}"), "CIRCUIT_OK");
    assert_eq!(statuses(&proxy, 1), [200], "at once");
    assert_eq!(state(&mut session, &route), "closed");
    assert_eq!(session.event(), event(&route, "open"));
    assert_eq!(session.event(), event(&route, "closed"));
}

/// SPEC 4: "Open: fail over to another endpoint".
#[test]
fn an_open_one_fails_over() {
    let (proxy, backend) = (Proxy::start(), Told::start(503, Duration::ZERO));
    let sister = Actor::named("sister");
    let (mut session, route) = serve(&proxy, &backend.actor, "5|30s|3");
    let (_other, _) = Session::serve(&proxy, "circuit", "circuit.2", (HOST, &sister.url()));
    wait_for("the breaker to open", || {
        statuses(&proxy, 5);
        (state(&mut session, &route) == "open").then_some(())
    });
    let arrived = backend.actor.requests();
    assert_eq!(arrived, 5);
    assert_eq!(statuses(&proxy, 50), [200; 50]);
    assert_eq!(backend.actor.requests(), arrived);
}

/// Many clients at once, each on its own connection, one request each.
fn crowd(proxy: &Proxy, clients: usize) -> (usize, usize) {
    let (passed, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| match Caller::once(proxy.http(), HOST, "/").status {
                200 => passed.fetch_add(1, Ordering::SeqCst),
                503 => refused.fetch_add(1, Ordering::SeqCst),
                other => panic!("{other}"),
            });
        }
    });
    (passed.into_inner(), refused.into_inner())
}

/// SPEC 4: "Half-open: exactly N probes in flight; all must pass"; SPEC 12: "half-open probes are
/// exact across threads".
#[test]
fn exactly_three_probes_get_through_a_thousand() {
    let (proxy, backend) = (Proxy::start(), Told::start(503, Duration::ZERO));
    // Slow only when it passes: the probes stay on their way while everybody else comes.
    let status = Arc::clone(&backend.status);
    let slow = Actor::start(move |_| {
        let status = status.load(Ordering::SeqCst);
        if status == 200 {
            thread::sleep(Duration::from_secs(5));
        }
        Act::say(status, "told")
    });
    let (mut session, route) = serve(&proxy, &slow, "5|1s|3");
    statuses(&proxy, 5);
    assert_eq!(state(&mut session, &route), "open");
    backend.tell(200);
    thread::sleep(Duration::from_millis(1100));
    let before = slow.requests();
    let (passed, refused) = crowd(&proxy, 1000);
    assert_eq!((passed, refused), (3, 997));
    assert_eq!(slow.requests() - before, 3, "arrivals at the backend");
    assert_eq!(slow.peak(), 3);
    assert_eq!(state(&mut session, &route), "closed");
    for name in ["open", "half_open", "closed"] {
        assert_eq!(session.event(), event(&route, name));
    }
}

/// SPEC 4: "all must pass".
#[test]
fn a_probe_that_fails_opens_it_again() {
    let (proxy, backend) = (Proxy::start(), Told::start(503, Duration::ZERO));
    let (mut session, route) = serve(&proxy, &backend.actor, "5|1s|3");
    statuses(&proxy, 5);
    thread::sleep(Duration::from_millis(1100));
    backend.tell(200);
    assert_eq!(statuses(&proxy, 2), [200; 2]);
    assert_eq!(state(&mut session, &route), "half_open");
    backend.tell(503);
    assert_eq!(statuses(&proxy, 1), [503]);
    assert_eq!(state(&mut session, &route), "open");
    let arrived = backend.actor.requests();
    assert_eq!(statuses(&proxy, 5), [503; 5]);
    assert_eq!(backend.actor.requests(), arrived, "the backend is left alone again");
    for name in ["open", "half_open", "open"] {
        assert_eq!(session.event(), event(&route, name));
    }
}

/// SPEC 4: failures are 502, 503 and 504; "`failure=5xx` adds the rest. Never 4xx".
#[test]
fn what_counts() {
    let proxy = Proxy::start();
    let table = [
        ("gateway", 404, "closed"),
        ("gateway", 429, "closed"),
        ("gateway", 500, "closed"),
        ("gateway", 502, "open"),
        ("gateway", 504, "open"),
        ("5xx", 404, "closed"),
        ("5xx", 500, "open"),
    ];
    for (n, (failure, status, expected)) in table.into_iter().enumerate() {
        let backend = Told::start(status, Duration::ZERO);
        let host = format!("c{n}.example.com");
        let mut session = Session::register(&proxy, "counts", &format!("counts.{n}"));
        let route = session.stage(&host, "/", &backend.actor.url());
        session.expect(&format!("CIRCUIT_BREAKER_SET|$sid|{route}|5|30s|3"), "CIRCUIT_OK");
        session.expect(&format!("OPTIONS_SET|$sid|{route}|failure|{failure}"), "OPTIONS_OK");
        session.expect("CONFIG_APPLY|$sid", "OK");
        for _ in 0..8 {
            Caller::once(proxy.http(), &host, "/");
        }
        assert_eq!(state(&mut session, &route), expected, "{failure} {status}");
    }
}

/// A backend that never answers what comes before it is told a status.
fn silent() -> Told {
    let status = Arc::new(AtomicU16::new(0));
    let told = Arc::clone(&status);
    let actor = Actor::start(move |_| match told.load(Ordering::SeqCst) {
        0 => {
            thread::sleep(PATIENCE);
            Act::HangUp
        }
        status => Act::say(status, "told"),
    });
    Told { status, actor }
}

/// Asks and goes away as soon as the request is at the backend.
fn give_up(proxy: &Proxy, backend: &Actor, times: usize) {
    for _ in 0..times {
        let before = backend.requests();
        let mut caller = Caller::connect(proxy.http()).expect("it listens");
        caller.send(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).expect("open");
        wait_for("it to arrive", || (backend.requests() > before).then_some(()));
    }
}

/// SPEC 4: never client aborts.
#[test]
fn clients_that_go_away_do_not_count() {
    let (proxy, backend) = (Proxy::start(), silent());
    let (mut session, route) = serve(&proxy, &backend.actor, "5|30s|3");
    give_up(&proxy, &backend.actor, 10);
    backend.tell(200);
    assert_eq!(statuses(&proxy, 1), [200]);
    assert_eq!(state(&mut session, &route), "closed");
    assert!(session.events().is_empty());
}

/// SPEC 2.5: what was learned "survives every apply that does not change that identity".
#[test]
fn an_apply_closes_nothing() {
    let (proxy, backend) = (Proxy::start(), Told::start(503, Duration::ZERO));
    let (mut session, route) = serve(&proxy, &backend.actor, "5|60s|3");
    statuses(&proxy, 5);
    for n in 0..3 {
        session.stage(&format!("n{n}.example.com"), "/", &backend.actor.url());
        session.expect("HEADERS_SET|$sid|ALL|X-Version|2", "HEADERS_OK");
        session.expect("CONFIG_APPLY|$sid", "OK");
        assert_eq!(statuses(&proxy, 2), [503; 2]);
        assert_eq!(state(&mut session, &route), "open");
    }
    assert_eq!(backend.actor.requests(), 5);
}

/// SPEC 4: "timeouts before response headers" are failures, and so are resets.
#[test]
fn silence_and_hanging_up_count() {
    for (delay, status) in [(2000, 504), (0, 502)] {
        let proxy = Proxy::start();
        let backend = Actor::start(move |_| {
            thread::sleep(Duration::from_millis(delay));
            Act::HangUp
        });
        let mut session = Session::register(&proxy, "circuit", "circuit.1");
        let route = session.stage(HOST, "/", &backend.url());
        session.expect("OPTIONS_SET|$sid|ALL|timeout|200ms", "OPTIONS_OK");
        session.expect("OPTIONS_SET|$sid|ALL|retries|0", "OPTIONS_OK");
        session.expect("CIRCUIT_BREAKER_SET|$sid|ALL|3|30s|1", "CIRCUIT_OK");
        session.expect("CONFIG_APPLY|$sid", "OK");
        assert_eq!(statuses(&proxy, 5), [status, status, status, 503, 503]);
        assert_eq!(backend.requests(), 3);
        assert_eq!(state(&mut session, &route), "open");
    }
}
