//! Where backends may not be: on the link, at the cloud's metadata, and at ourselves (SPEC 10).

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use proxyd_e2e::{Backend, Caller, Proxy, Session, get};

const HOST: &str = "a.example.com";

/// The places that no backend may be at, and how BACKEND_TEST says so.
fn denied(proxy: &Proxy) -> Vec<(String, &'static str)> {
    let (registry, http) = (proxy.registry_address().port(), proxy.http().port());
    let control = "proxyd's own control port is not allowed for backends";
    let listener = "proxyd's own listener is not allowed for backends";
    let link = "link-local addresses are not allowed for backends";
    let unspecified = "the unspecified address is not allowed for backends";
    vec![
        (format!("http://127.0.0.1:{registry}"), control),
        (format!("http://[::ffff:127.0.0.1]:{registry}"), control),
        (format!("http://0.0.0.0:{registry}"), unspecified),
        (format!("http://[::]:{registry}"), unspecified),
        // A name is judged by where it leads when it is connected to.
        (format!("http://localhost:{registry}"), control),
        (format!("http://127.0.0.1:{http}"), listener),
        (format!("http://localhost:{http}"), listener),
        ("http://169.254.169.254".to_owned(), link),
        ("http://[::ffff:169.254.169.254]".to_owned(), link),
        ("http://[fe80::1]".to_owned(), link),
        (
            "http://100.100.100.200".to_owned(),
            "the cloud's metadata service is not allowed for backends",
        ),
    ]
}

#[test]
fn a_test_of_a_backend_goes_nowhere_it_may_not() {
    let proxy = Proxy::start();
    let mut session = Session::register(&proxy, "web", "web.1");
    for (url, reason) in denied(&proxy) {
        let said = session.ask(&format!("BACKEND_TEST|$sid|{url}"));
        assert!(said.starts_with("BACKEND_FAIL|") && said.contains(reason), "{url}: {said}");
    }
}

#[test]
fn requests_go_nowhere_they_may_not() {
    let proxy = Proxy::start();
    for (at, (url, _)) in denied(&proxy).into_iter().enumerate() {
        let host = format!("h{at}.example.com");
        let (_session, _) = Session::serve(&proxy, &format!("web{at}"), "1", (&host, &url));
        let said = Caller::once(proxy.http(), &host, "/");
        // An answer of ours, and none of whoever is there.
        assert!(matches!(said.status, 502 | 503), "{url}: {said:?}");
        assert!(said.field("proxy-status").is_some(), "{url}: {said:?}");
        assert!(!said.body.contains("169.254"), "{url}: {said:?}");
    }
}

#[test]
fn a_maintenance_page_is_fetched_from_nowhere_it_may_not() {
    let proxy = Proxy::start();
    let backend = Backend::start("web");
    let (mut session, _) = Session::serve(&proxy, "web", "web.1", (HOST, &backend.url()));
    for (url, _) in denied(&proxy) {
        assert_eq!(session.ask(&format!("MAINT_ENTER|$sid|ALL|{url}/")), "ACK", "{url}");
        assert_eq!(session.answer(), "MAINT_OK|ALL", "{url}");
        let said = get(&proxy, HOST, "/");
        assert_eq!(said.status, 503, "{url}");
        assert!(!said.text.contains("ERROR|"), "{url}: {}", said.text);
    }
    assert_eq!(backend.requests(), 0);
}

/// A check of a port of ours would find it well.
#[test]
fn a_health_check_goes_nowhere_it_may_not() {
    let proxy = Proxy::start();
    let mut session = Session::register(&proxy, "web", "web.1");
    session.expect("SUBSCRIBE|$sid|backend_health_changed", "SUBSCRIBE_OK");
    let url = format!("http://127.0.0.1:{}", proxy.registry_address().port());
    let route = session.add(HOST, "/", &url);
    session.expect(&format!("HEALTH_SET|$sid|{route}|tcp|1s|1s"), "HEALTH_OK");
    session.expect("CONFIG_APPLY|$sid", "OK");
    let event = session.event();
    assert!(event.starts_with("EVENT|backend_health_changed|"), "{event}");
    assert!(event.contains(r#""healthy":false,"reason":"destination_denied""#), "{event}");
}

/// What a backend says of another place is for the client to follow, and nobody else.
#[test]
fn redirects_are_passed_on_and_not_followed() {
    let proxy = Proxy::start();
    let there = format!("http://127.0.0.1:{}/x", proxy.registry_address().port());
    let answer = format!("HTTP/1.1 302 Found\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n");
    let server = Redirects::start(answer);
    let url = format!("http://{}", server.0);
    let (mut session, _) = Session::serve(&proxy, "web", "web.1", (HOST, &url));
    let said = Caller::once(proxy.http(), HOST, "/");
    assert_eq!((said.status, said.field("location")), (302, Some(&*there)));
    let tested = session.ask(&format!("BACKEND_TEST|$sid|{url}"));
    assert!(tested.starts_with("BACKEND_OK|") && tested.contains("302"), "{tested}");
    // A page server that redirects has no page.
    let page = format!("MAINT_ENTER|$sid|ALL|{url}/");
    assert_eq!(session.ask(&page), "ACK");
    assert_eq!(session.answer(), "MAINT_OK|ALL");
    let said = get(&proxy, HOST, "/");
    assert!(said.status == 503 && !said.text.contains("ERROR|"), "{}", said.text);
}

/// Answers everything in one way, a request a connection.
struct Redirects(std::net::SocketAddr);

impl Redirects {
    fn start(answer: String) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            use std::io::{Read as _, Write as _};
            for mut stream in listener.incoming().flatten() {
                let mut head = Vec::new();
                let mut bytes = [0; 4096];
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut bytes) {
                        Ok(count @ 1..) => head.extend_from_slice(&bytes[..count]),
                        Ok(0) | Err(_) => break,
                    }
                }
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self(address)
    }
}
