//! Maintenance (SPEC 4, "Maintenance", and 12): a page instead of the service, and nothing lost.

use std::thread;
use std::time::{Duration, Instant};

use proxyd_e2e::{Act, Actor, Caller, Proxy, Said, Session, wait_for};

const HOST: &str = "maint.example.com";

/// Serves a page with this status, its style sheet, and fields that must not get through.
fn pages(status: u16) -> Actor {
    Actor::start(move |asked| match asked.path() {
        "/style.css" => Act::Answer(200, "Content-Type: text/css\r\n", "css".into()),
        "/missing.png" => Act::say(404, "missing"),
        _ => {
            let fields = "Content-Type: text/html\r\nCache-Control: max-age=9\r\nETag: \"1\"\r\n";
            Act::Answer(status, fields, "the page".into())
        }
    })
}

fn ask(proxy: &Proxy, host: &str, path: &str, fields: &str) -> Said {
    let mut caller = Caller::connect(proxy.http()).expect("it listens");
    caller.get(host, path, fields).expect("an answer")
}

/// Enters or leaves maintenance and waits until that is live.
fn change(session: &mut Session, line: &str, target: &str) {
    session.expect(line, "ACK");
    assert_eq!(session.answer(), format!("MAINT_OK|{target}"));
}

/// What every page of maintenance has.
fn assert_page(said: &Said) {
    assert_eq!(said.status, 503, "{}", said.head);
    let after: u64 = said.field("retry-after").expect("Retry-After").parse().expect("seconds");
    assert!(after > 0);
    assert_eq!(said.field("cache-control"), Some("no-store"), "{}", said.head);
    assert_eq!(said.field("etag"), None, "{}", said.head);
}

/// SPEC 4: the page "comes from the given URL, is sent with status 503, Retry-After and no-store;
/// sub-resources of the page keep their status".
#[test]
fn the_page_comes_from_its_url() {
    for status in [200, 503] {
        let (proxy, backend, pages) = (Proxy::start(), Actor::named("service"), pages(status));
        let (mut session, route) = Session::serve(&proxy, "maint", "m.1", (HOST, &backend.url()));
        session.expect("SUBSCRIBE|$sid|maintenance_changed", "SUBSCRIBE_OK");
        change(&mut session, &format!("MAINT_ENTER|$sid|ALL|{}", pages.url()), "ALL");
        for path in ["/", "/shop?x=1"] {
            let said = ask(&proxy, HOST, path, "Accept: text/html\r\n");
            assert_page(&said);
            assert_eq!((&*said.body, said.field("content-type")), ("the page", Some("text/html")));
        }
        for (path, status, body) in [("/style.css", 200, "css"), ("/missing.png", 404, "missing")] {
            let said = ask(&proxy, HOST, path, "");
            assert_eq!((said.status, &*said.body), (status, body), "{path}");
        }
        assert_eq!(backend.requests(), 0);
        let told = session.event();
        let wanted = format!(r#"EVENT|maintenance_changed|{{"routes":["{route}"],"active":true"#);
        assert!(told.starts_with(&wanted), "{told}");
        change(&mut session, "MAINT_EXIT|$sid|ALL", "ALL");
        assert_eq!(ask(&proxy, HOST, "/", "").body, "service");
    }
}

/// SPEC 4: "else the built-in page".
#[test]
fn without_a_page_server_there_is_a_page_of_our_own() {
    let (proxy, backend) = (Proxy::start(), Actor::named("service"));
    let gone = Actor::named("gone").url();
    let (mut session, _) = Session::serve(&proxy, "maint", "m.1", (HOST, &backend.url()));
    change(&mut session, &format!("MAINT_ENTER|$sid|ALL|{gone}"), "ALL");
    let person = ask(&proxy, HOST, "/", "Accept: text/html,*/*\r\n");
    assert_page(&person);
    assert!(person.field("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    assert!(person.body.contains("<html"), "{}", person.body);
    let program = ask(&proxy, HOST, "/", "Accept: application/json\r\n");
    assert_page(&program);
    assert!(program.field("content-type").is_some_and(|kind| kind.contains("json")));
    for said in [person, program] {
        assert!(!said.body.contains("127.0.0.1"), "no internal address: {}", said.body);
    }
}

/// SPEC 4: "WebSocket handshakes 503", "ACME challenges always pass", "gRPC gets UNAVAILABLE".
#[test]
fn what_cannot_show_a_page() {
    let (proxy, backend, pages) = (Proxy::start(), Actor::named("service"), pages(200));
    let (mut session, _) = Session::serve(&proxy, "maint", "m.1", (HOST, &backend.url()));
    change(&mut session, &format!("MAINT_ENTER|$sid|ALL|{}", pages.url()), "ALL");
    let handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_page(&ask(&proxy, HOST, "/", handshake));
    let call = ask(&proxy, HOST, "/s/m", "Content-Type: application/grpc\r\nTE: trailers\r\n");
    assert_eq!((call.status, call.field("grpc-status")), (200, Some("14")), "{}", call.head);
    assert_eq!(backend.requests(), 0);
    let challenge = ask(&proxy, HOST, "/.well-known/acme-challenge/x", "");
    assert_eq!((challenge.status, &*challenge.body), (200, "service"));
    let near = ask(&proxy, HOST, "/.well-known/acme-challenges", "");
    assert_page(&near);
}

/// SPEC 4: "per session, route list, path or domain"; an unknown target is an ERROR before any ACK
/// (SPEC 2.2).
#[test]
fn targets() {
    let (proxy, backend, pages) = (Proxy::start(), Actor::named("service"), pages(200));
    let mut session = Session::register(&proxy, "maint", "m.1");
    let places = [(HOST, "/"), (HOST, "/api"), ("two.example.com", "/")];
    let routes = places.map(|(domain, path)| session.stage(domain, path, &backend.url()));
    session.expect("CONFIG_APPLY|$sid", "OK");
    let down = || places.map(|(domain, path)| ask(&proxy, domain, path, "").status == 503);
    for (target, expected) in [
        ("ALL".to_owned(), [true, true, true]),
        (routes[0].clone(), [true, false, false]),
        (format!("{},{}", routes[0], routes[2]), [true, false, true]),
        ("/api".to_owned(), [false, true, false]),
        ("two.example.com".to_owned(), [false, false, true]),
    ] {
        change(&mut session, &format!("MAINT_ENTER|$sid|{target}|{}", pages.url()), &target);
        assert_eq!(down(), expected, "{target}");
        change(&mut session, &format!("MAINT_EXIT|$sid|{target}"), &target);
        assert_eq!(down(), [false; 3], "{target}");
    }
    for target in ["r999", "/nowhere", "nobody.example.com"] {
        let said = session.ask(&format!("MAINT_ENTER|$sid|{target}|{}", pages.url()));
        assert!(said.starts_with("ERROR|"), "{target}: {said}");
    }
    assert_eq!(down(), [false; 3]);
}

/// SPEC 4: v1's page comes from the hostname and the maintenance port, and its one answer is
/// `MAINT_OK`; in version 2 an empty URL means the registered port (SPEC 12).
#[test]
fn the_registered_port_serves_the_page() {
    let (proxy, backend, pages) = (Proxy::start(), Actor::named("service"), pages(200));
    let port = pages.address().port();
    let mut old = proxy.registry();
    let ack = old.ask(&format!("REGISTER|old|127.0.0.1|{}|{port}", backend.address().port()));
    assert!(ack.starts_with("ACK|"), "{ack}");
    old.expect(&format!("ROUTE|$sid|{HOST}|/|{}", backend.url()), "ROUTE_OK");
    old.expect("MAINT_ENTER|$sid", "MAINT_OK");
    let said = ask(&proxy, HOST, "/", "");
    assert_page(&said);
    assert_eq!(said.body, "the page");
    old.expect("MAINT_EXIT|$sid", "MAINT_OK");
    assert_eq!(ask(&proxy, HOST, "/", "").body, "service");

    let mut new = proxy.registry();
    assert!(new.ask(&format!("REGISTER|new|new.1|{port}|{{}}")).starts_with("ACK|"));
    let domain = "new.example.com";
    assert!(new.ask(&format!("ROUTE_ADD|$sid|{domain}|/|{}|0", backend.url())).contains("OK"));
    new.expect("CONFIG_APPLY|$sid", "OK");
    for line in ["MAINT_ENTER|$sid|ALL|", "MAINT_ENTER|$sid|ALL"] {
        new.expect(line, "ACK");
        assert_eq!(new.line(), "MAINT_OK|ALL");
        let said = ask(&proxy, domain, "/", "");
        assert_page(&said);
        assert_eq!(said.body, "the page", "{line}");
    }
}

/// SPEC 12: "Maintenance takes that instance's endpoints out; the page shows only when no other is
/// left".
#[test]
fn the_other_instance_goes_on_serving() {
    let proxy = Proxy::start();
    let (a, b, pages) = (Actor::named("a"), Actor::named("b"), pages(200));
    let (mut one, _) = Session::serve(&proxy, "maint", "m.a", (HOST, &a.url()));
    let (mut other, _) = Session::serve(&proxy, "maint", "m.b", (HOST, &b.url()));
    let enter = format!("MAINT_ENTER|$sid|ALL|{}", pages.url());
    change(&mut one, &enter, "ALL");
    let before = a.requests();
    for _ in 0..50 {
        let said = ask(&proxy, HOST, "/", "");
        assert_eq!((said.status, &*said.body), (200, "b"));
    }
    assert_eq!(a.requests(), before);
    change(&mut other, &enter, "ALL");
    assert_page(&ask(&proxy, HOST, "/", ""));
    change(&mut one, "MAINT_EXIT|$sid|ALL", "ALL");
    assert_eq!(ask(&proxy, HOST, "/", "").body, "a");
}

/// SPEC 8: maintenance orders wait for the disk; SPEC 2.3: "a restart of proxyd loses nothing".
#[test]
fn it_survives_a_crash() {
    let (mut proxy, backend, pages) = (Proxy::start(), Actor::named("service"), pages(200));
    let (mut session, _) = Session::serve(&proxy, "maint", "m.1", (HOST, &backend.url()));
    change(&mut session, &format!("MAINT_ENTER|$sid|ALL|{}", pages.url()), "ALL");
    let id = session.id().to_owned();
    for _ in 0..2 {
        proxy.kill_and_restart();
        let said = ask(&proxy, HOST, "/", "");
        assert_page(&said);
        assert_eq!(said.body, "the page");
        assert_eq!(backend.requests(), 0, "not one gets through");
    }
    let mut registry = proxy.registry();
    registry.expect(&format!("RECONNECT|{id}"), "OK");
    registry.expect(&format!("MAINT_EXIT|{id}|ALL"), "ACK");
    assert_eq!(registry.line(), "MAINT_OK|ALL");
    assert_eq!(ask(&proxy, HOST, "/", "").body, "service");
}

/// SPEC 4: MAINT_OK comes "when it is live on every worker and requests that began before have
/// ended (at most 3 s)".
#[test]
#[expect(clippy::disallowed_methods, reason = "these tests run in real time")]
fn the_answer_waits_for_requests_that_began_before() {
    for (takes, least, most) in [(1500, 1000, 2500), (6000, 2500, 3900)] {
        let (proxy, pages) = (Proxy::start(), pages(200));
        let backend = Actor::start(move |_| {
            thread::sleep(Duration::from_millis(takes));
            Act::say(200, "slow")
        });
        let (mut session, _) = Session::serve(&proxy, "maint", "m.1", (HOST, &backend.url()));
        let mut slow = Caller::connect(proxy.http()).expect("it listens");
        slow.send(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).expect("open");
        wait_for("it to arrive", || (backend.requests() == 1).then_some(()));
        let began = Instant::now();
        session.expect(&format!("MAINT_ENTER|$sid|ALL|{}", pages.url()), "ACK");
        assert!(began.elapsed() < Duration::from_millis(900), "ACK at once");
        assert_page(&ask(&proxy, HOST, "/", ""));
        assert_eq!(session.answer(), "MAINT_OK|ALL");
        let took = began.elapsed().as_millis();
        assert!((least..most).contains(&took), "{took} ms for one of {takes} ms");
        let said = slow.read().expect("it finishes all the same");
        assert_eq!((said.status, &*said.body), (200, "slow"));
        println!("a request of {takes} ms: MAINT_OK after {took} ms");
    }
}
