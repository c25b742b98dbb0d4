//! Active health checks (SPEC 4, "Health", and 12: HEALTH_SET with `tcp` and `off`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use proxyd_e2e::{Act, Actor, Caller, Proxy, Session, wait_for};

const HOST: &str = "health.example.com";
/// A check that is not answered: it hangs longer than any timeout here.
const HANG: u16 = 0;

/// A backend whose health checks are answered with the status that it was last told.
struct Patient {
    health: Arc<AtomicU16>,
    actor: Actor,
}

impl Patient {
    fn start(name: &'static str, health: u16) -> Self {
        let health = Arc::new(AtomicU16::new(health));
        let told = Arc::clone(&health);
        let actor = Actor::start(move |asked| match told.load(Ordering::SeqCst) {
            _ if !asked.is_check() => Act::say(200, name),
            HANG => {
                thread::sleep(Duration::from_secs(1));
                Act::HangUp
            }
            status => Act::say(status, name),
        });
        Self { health, actor }
    }

    /// Tells it, and how many checks had come by then.
    fn tell(&self, health: u16) -> usize {
        self.health.store(health, Ordering::SeqCst);
        self.actor.checks()
    }
}

/// Registers an instance that is checked often, and hears of its health.
fn serve(proxy: &Proxy, instance: &str, backend: &Actor, check: &str) -> (Session, String) {
    let mut session = Session::register(proxy, "health", instance);
    let route = session.add(HOST, "/", &backend.url());
    session.expect(&format!("HEALTH_SET|$sid|{route}|{check}|200ms|100ms"), "HEALTH_OK");
    session.expect("SUBSCRIBE|$sid|backend_health_changed", "SUBSCRIBE_OK");
    session.expect("CONFIG_APPLY|$sid", "OK");
    (session, route)
}

/// Who answers.
fn names(proxy: &Proxy, count: usize) -> Vec<String> {
    Caller::bodies(proxy.http(), HOST, count)
}

fn both(proxy: &Proxy) -> Option<()> {
    let names = names(proxy, 20);
    (names.iter().any(|name| name == "a") && names.iter().any(|name| name == "b")).then_some(())
}

fn event(route: &str, healthy: bool) -> String {
    format!(r#"EVENT|backend_health_changed|{{"route_id":"{route}","healthy":{healthy},"reason":""#)
}

/// SPEC 4: "2 passes up, 3 fails down"; "Changes raise `backend_health_changed` with a reason".
#[test]
fn three_fails_take_it_out_and_two_passes_bring_it_back() {
    let proxy = Proxy::start();
    let (a, b) = (Patient::start("a", 200), Patient::start("b", 200));
    let (mut session, route) = serve(&proxy, "health.a", &a.actor, "/health");
    let (mut other, _) = serve(&proxy, "health.b", &b.actor, "/health");
    wait_for("both", || both(&proxy));
    for (fault, reason) in [(500, "bad_status"), (404, "bad_status"), (HANG, "timeout")] {
        let before = a.tell(fault);
        let said = session.event();
        let checks = a.actor.checks() - before;
        assert!(said.starts_with(&event(&route, false)), "{said}");
        assert!(said.contains(reason), "{said}");
        // One may have been on its way when it was told, and one may have come since.
        assert!((3..=5).contains(&checks), "{checks} checks with {fault}");
        assert_eq!(names(&proxy, 30), ["b"; 30], "{fault}");
        let before = a.tell(204);
        let said = session.event();
        let checks = a.actor.checks() - before;
        assert!(said.starts_with(&event(&route, true)), "{said}");
        assert!((2..=4).contains(&checks), "{checks} checks");
        wait_for("both again", || both(&proxy));
    }
    assert!(other.events().is_empty(), "about the session's own routes");
}

/// SPEC 4: "if every endpoint is bad, serve as if all were good".
#[test]
fn all_bad_is_as_all_good() {
    let proxy = Proxy::start();
    let (a, b) = (Patient::start("a", 200), Patient::start("b", 200));
    let (mut one, _) = serve(&proxy, "health.a", &a.actor, "/health");
    let (mut other, _) = serve(&proxy, "health.b", &b.actor, "/health");
    wait_for("both", || both(&proxy));
    a.tell(500);
    one.event();
    b.tell(500);
    other.event();
    wait_for("both, bad", || both(&proxy));
    assert_eq!(names(&proxy, 50).len(), 50, "nobody gets an error");
}

/// SPEC 4: "A new endpoint of an existing pool is probed at once and takes traffic after its
/// first pass".
#[test]
fn a_new_one_waits_for_its_first_pass() {
    for health in [HANG, 503] {
        let proxy = Proxy::start();
        let (a, b) = (Patient::start("a", 200), Patient::start("b", health));
        let _a = serve(&proxy, "health.a", &a.actor, "/health");
        assert_eq!(names(&proxy, 1), ["a"], "a new pool serves at once");
        wait_for("a to be known", || (a.actor.checks() > 1).then_some(()));
        let _b = serve(&proxy, "health.b", &b.actor, "/health");
        wait_for("some checks", || {
            assert_eq!(names(&proxy, 5), ["a"; 5]);
            (b.actor.checks() > 4).then_some(())
        });
        assert_eq!(b.actor.requests(), 0, "{health}");
        b.tell(200);
        wait_for("both", || both(&proxy));
    }
}

/// SPEC 4: "while no other endpoint is usable it serves ungated".
#[test]
fn a_new_one_serves_when_there_is_no_other() {
    let proxy = Proxy::start();
    let backend = Patient::start("a", HANG);
    let _a = serve(&proxy, "health.a", &backend.actor, "/health");
    assert_eq!(names(&proxy, 20), ["a"; 20]);
}

/// SPEC 12: "path `tcp` probes the connection only".
#[test]
fn tcp_is_content_with_a_connection() {
    let proxy = Proxy::start();
    let (a, b) = (Patient::start("a", 500), Patient::start("b", 500));
    let (mut one, route) = serve(&proxy, "health.a", &a.actor, "tcp");
    let _b = serve(&proxy, "health.b", &b.actor, "tcp");
    wait_for("both", || both(&proxy));
    assert_eq!(a.actor.checks() + b.actor.checks(), 0, "nothing is asked");
    drop(a);
    let said = one.event();
    assert!(said.starts_with(&event(&route, false)), "{said}");
    assert!(said.contains("refused"), "{said}");
    assert_eq!(names(&proxy, 20), ["b"; 20]);
}

/// SPEC 12: "HEALTH_SET with path `off`".
#[test]
fn off_asks_nothing() {
    let proxy = Proxy::start();
    let (a, b) = (Patient::start("a", 500), Patient::start("b", 200));
    let (mut one, _) = serve(&proxy, "health.a", &a.actor, "off");
    let _b = serve(&proxy, "health.b", &b.actor, "/health");
    wait_for("b to be checked", || (b.actor.checks() > 5).then_some(()));
    wait_for("both", || both(&proxy));
    assert_eq!(a.actor.checks(), 0);
    assert!(one.events().is_empty());
}
