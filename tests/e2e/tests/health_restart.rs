//! What health checks learned outlives the proxy (SPEC 2.5 and 4).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use proxyd_e2e::{Act, Actor, Caller, Proxy, Registry, Session, wait_for};

const HOST: &str = "learned.example.com";

/// A backend that answers everything, and whose health checks fail when it is told so.
fn backend(name: &'static str) -> (Actor, Arc<AtomicBool>) {
    let ill = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&ill);
    let fails = move || told.load(Ordering::SeqCst);
    let actor = Actor::start(move |asked| match asked.is_check() && fails() {
        true => Act::say(500, name),
        false => Act::say(200, name),
    });
    (actor, ill)
}

/// Registers an instance that is checked often.
fn serve(proxy: &Proxy, instance: &str, backend: &Actor) -> Session {
    let mut session = Session::register(proxy, "learned", instance);
    let route = session.add(HOST, "/", &backend.url());
    session.expect(&format!("HEALTH_SET|$sid|{route}|/health|200ms|100ms"), "HEALTH_OK");
    session.expect("SUBSCRIBE|$sid|backend_health_changed", "SUBSCRIBE_OK");
    session.expect("CONFIG_APPLY|$sid", "OK");
    session
}

/// A new connection for a session.
fn reconnect(proxy: &Proxy, session: &Session) -> Registry {
    let mut registry = proxy.registry();
    registry.session = session.id().to_owned();
    registry.expect("RECONNECT|$sid", "OK");
    registry
}

/// Who answers this many requests.
fn names(proxy: &Proxy, count: usize) -> Vec<String> {
    Caller::bodies(proxy.http(), HOST, count)
}

fn both(proxy: &Proxy) -> Option<()> {
    let names = names(proxy, 20);
    (names.iter().any(|name| name == "a") && names.iter().any(|name| name == "b")).then_some(())
}

#[test]
fn who_failed_before_a_kill_gets_nothing_after_it_until_it_is_well() {
    let mut proxy = Proxy::start();
    let ((a, a_is_ill), (b, _)) = (backend("a"), backend("b"));
    let mut one = serve(&proxy, "learned.a", &a);
    let other = serve(&proxy, "learned.b", &b);
    wait_for("both", || both(&proxy));
    a_is_ill.store(true, Ordering::SeqCst);
    let said = one.event();
    assert!(said.contains(r#""healthy":false"#), "{said}");
    // Written behind, within 50 ms.
    thread::sleep(Duration::from_millis(200));
    for start in ["first", "second"] {
        let before = a.requests();
        proxy.kill_and_restart();
        assert_eq!(names(&proxy, 100), ["b"; 100], "{start}");
        assert_eq!(a.requests(), before, "{start}");
    }
    let [mut back, _other] = [one, other].map(|session| reconnect(&proxy, &session));
    a_is_ill.store(false, Ordering::SeqCst);
    let said = back.line();
    assert!(said.contains(r#""healthy":true"#), "{said}");
    wait_for("both again", || both(&proxy));
}
