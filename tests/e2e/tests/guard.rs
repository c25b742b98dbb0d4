//! CONFIG_TRY (SPEC 2.4 and 12): applied on trial, kept or taken back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use proxyd_e2e::{Act, Actor, Caller, Proxy, Session, wait_for};

const HOST: &str = "try.example.com";

/// Runs something while clients keep asking.
fn under_load<T>(proxy: &Proxy, work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut caller = Caller::connect(proxy.http()).expect("it listens");
                while !stop.load(Ordering::SeqCst) {
                    caller.get(HOST, "/", "").expect("an answer");
                }
            });
        }
        // A failed assertion must end the load too.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        stop.store(true, Ordering::SeqCst);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Stages another backend for a route and tries it.
fn try_it(session: &mut Session, route: &str, backend: &Actor, terms: &str) {
    session.expect("SUBSCRIBE|$sid|config_reverted", "SUBSCRIBE_OK");
    session.expect(&format!("ROUTE_UPDATE|$sid|{route}|backend_url|{}", backend.url()), "ROUTE_OK");
    session.expect(&format!("CONFIG_TRY|$sid|{terms}"), "OK");
}

fn who(proxy: &Proxy, host: &str) -> String {
    Caller::once(proxy.http(), host, "/").body
}

/// SPEC 2.4: reverts when the guard trips; "only this session's touched routes go back".
#[test]
fn too_many_errors_take_it_back() {
    let (proxy, old) = (Proxy::start(), Actor::named("old"));
    let bad = Actor::start(|_| Act::say(500, "bad"));
    let (mut session, route) = Session::serve(&proxy, "try", "try.1", (HOST, &old.url()));
    let other = Actor::named("other");
    under_load(&proxy, || {
        wait_for("load", || (old.requests() > 50).then_some(()));
        try_it(&mut session, &route, &bad, "30s|errors<5%");
        // Another session's apply between the try and its end.
        let (_other, _) = Session::serve(&proxy, "other", "o.1", ("o.example.com", &other.url()));
        let event = session.event();
        assert!(event.starts_with("EVENT|config_reverted|{"), "{event}");
        assert!(event.contains("errors<5%") && event.contains(&route), "{event}");
        assert!(bad.requests() > 0);
        assert_eq!(who(&proxy, HOST), "old");
        assert_eq!(who(&proxy, "o.example.com"), "other", "what another session applied stays");
        // Whoever is in flight to the bad one ends; nobody else goes there.
        let served = old.requests();
        wait_for("more load", || (old.requests() > served + 50).then_some(()));
        let asked = bad.requests();
        let served = old.requests();
        wait_for("more load", || (old.requests() > served + 50).then_some(()));
        assert_eq!(bad.requests(), asked);
    });
    // Nothing is on trial any more.
    session.expect("CONFIG_APPLY|$sid", "OK");
}

/// SPEC 2.4: the guard `p99<200ms`.
#[test]
fn too_slow_takes_it_back() {
    let (proxy, old) = (Proxy::start(), Actor::named("old"));
    let slow = Actor::start(|_| {
        thread::sleep(Duration::from_millis(80));
        Act::say(200, "slow")
    });
    let (mut session, route) = Session::serve(&proxy, "try", "try.1", (HOST, &old.url()));
    under_load(&proxy, || {
        try_it(&mut session, &route, &slow, "30s|p99<50ms");
        let event = session.event();
        assert!(event.starts_with("EVENT|config_reverted|{"), "{event}");
        assert!(event.contains("p99<50ms"), "{event}");
        assert_eq!(who(&proxy, HOST), "old");
    });
}

/// SPEC 2.4: kept by `CONFIG_CONFIRM`; SPEC 12: "another apply meanwhile is `ERROR|try in
/// progress`".
#[test]
fn a_confirmed_one_stays() {
    let (proxy, old, new) = (Proxy::start(), Actor::named("old"), Actor::named("new"));
    let (mut session, route) = Session::serve(&proxy, "try", "try.1", (HOST, &old.url()));
    under_load(&proxy, || {
        try_it(&mut session, &route, &new, "2s|errors<5%");
        session.expect("CONFIG_APPLY|$sid", "ERROR|try in progress");
        session.expect("CONFIG_CONFIRM|$sid", "OK");
        // Past the deadline it would have had.
        thread::sleep(Duration::from_millis(2500));
        assert_eq!(who(&proxy, HOST), "new");
    });
    assert!(session.events().is_empty());
    session.expect("CONFIG_APPLY|$sid", "OK");
}

/// SPEC 2.4: "reverts by itself unless `CONFIG_CONFIRM` arrives in time"; SPEC 12: "losing the
/// connection changes nothing: it reverts at its deadline".
#[test]
fn an_unconfirmed_one_goes_back_at_its_deadline() {
    for is_lost in [false, true] {
        let (proxy, old, new) = (Proxy::start(), Actor::named("old"), Actor::named("new"));
        let (mut session, route) = Session::serve(&proxy, "try", "try.1", (HOST, &old.url()));
        try_it(&mut session, &route, &new, "1s");
        assert_eq!(who(&proxy, HOST), "new");
        if is_lost {
            drop(session);
        } else {
            let event = session.event();
            assert!(event.starts_with(r#"EVENT|config_reverted|{"reason":"timeout""#), "{event}");
        }
        wait_for("the old one", || (who(&proxy, HOST) == "old").then_some(()));
    }
}
