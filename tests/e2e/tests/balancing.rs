//! Where requests go (SPEC 4, "Balancing", "Retries", "Parking", and 12).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use proxyd_e2e::{Act, Actor, Caller, Proxy, Said, Session, Tuned, wait_for};

const HOST: &str = "pool.example.com";

/// Registers an instance with options.
fn serve(proxy: &Proxy, instance: &str, url: &str, options: &[(&str, &str)]) -> Session {
    let mut session = Session::register(proxy, "pool", instance);
    let route = session.stage(HOST, "/", url);
    for (option, value) in options {
        session.expect(&format!("OPTIONS_SET|$sid|{route}|{option}|{value}"), "OPTIONS_OK");
    }
    session.expect("CONFIG_APPLY|$sid", "OK");
    // While nobody knows whether an instance is well, it is no client's home.
    let explain = format!("EXPLAIN|$sid|GET|{HOST}|/");
    wait_for("it to be known", || (!session.ask(&explain).contains("unchecked")).then_some(()));
    session
}

fn names(proxy: &Proxy, count: usize, fields: &str) -> Vec<String> {
    let mut caller = Caller::connect(proxy.http()).expect("it listens");
    let one = |_| caller.get(HOST, "/", fields).expect("an answer").body;
    (0..count).map(one).collect()
}

/// SPEC 4: `sticky=cookie`.
#[test]
fn a_cookie_keeps_a_client_until_its_instance_dies() {
    let proxy = Proxy::start();
    let (a, b) = (Actor::named("a"), Actor::named("b"));
    let options = [("sticky", "cookie:seat")];
    let _a = serve(&proxy, "pool.a", &a.url(), &options);
    let _b = serve(&proxy, "pool.b", &b.url(), &options);
    let first = Caller::once(proxy.http(), HOST, "/");
    let set = first.field("set-cookie").expect("a cookie").to_owned();
    let (cookie, attributes) = set.split_once(';').expect("attributes");
    assert!(cookie.starts_with("seat="), "{set}");
    for attribute in ["Path=/", "HttpOnly", "SameSite=Lax"] {
        assert!(attributes.contains(attribute), "{set}");
    }
    let port = |actor: &Actor| actor.address().port().to_string();
    assert!(!set.contains(&port(&a)) && !set.contains(&port(&b)), "names no address: {set}");

    let fields = format!("Cookie: x=1; {cookie}; y=2\r\n");
    assert_eq!(names(&proxy, 50, &fields), vec![first.body.clone(); 50]);
    let mut caller = Caller::connect(proxy.http()).expect("it listens");
    let said = caller.get(HOST, "/", &fields).expect("an answer");
    assert_eq!(said.field("set-cookie"), None, "it has one");
    let mixed = names(&proxy, 50, "");
    assert!(mixed.contains(&"a".into()) && mixed.contains(&"b".into()), "others go where they may");

    let left = if first.body == "a" {
        drop(a);
        "b"
    } else {
        drop(b);
        "a"
    };
    let moved = caller.get(HOST, "/", &fields).expect("an answer");
    assert_eq!((moved.status, &*moved.body), (200, left));
    let set = moved.field("set-cookie").expect("a new cookie");
    assert!(set.starts_with("seat=") && !set.starts_with(cookie), "{set}");
}

/// SPEC 4: `balance=hash` keeps a client address where it is; here all have the same.
#[test]
fn a_hash_keeps_a_client_without_a_cookie() {
    let proxy = Proxy::start();
    let (a, b) = (Actor::named("a"), Actor::named("b"));
    let _a = serve(&proxy, "pool.a", &a.url(), &[("balance", "hash")]);
    let _b = serve(&proxy, "pool.b", &b.url(), &[("balance", "hash")]);
    let home = names(&proxy, 1, "").remove(0);
    for _ in 0..10 {
        assert_eq!(names(&proxy, 10, ""), vec![home.clone(); 10]);
    }
    let left = if home == "a" {
        drop(a);
        "b"
    } else {
        drop(b);
        "a"
    };
    assert_eq!(names(&proxy, 10, ""), [left; 10]);
}

/// SPEC 4: `balance=round_robin`; exact on one worker.
#[test]
fn round_robin_takes_turns() {
    let proxy = Tuned::start(1, "");
    let actors = [Actor::named("a"), Actor::named("b"), Actor::named("c")];
    let sessions: Vec<_> = actors
        .iter()
        .enumerate()
        .map(|(n, actor)| {
            let options = [("balance", "round_robin")];
            serve(&proxy, &format!("pool.{n}"), &actor.url(), &options)
        })
        .collect();
    let names = names(&proxy, 300, "").concat();
    let turns = names[..3].repeat(100);
    assert_eq!(names, turns);
    assert!(actors.iter().all(|actor| actor.requests() == 100), "{names}");
    drop(sessions);
}

/// SPEC 5: `max_in_flight`; SPEC 12: "global".
#[test]
fn no_more_than_it_takes_at_a_time() {
    let proxy = Tuned::start(4, "");
    let backend = Actor::start(|_| {
        thread::sleep(Duration::from_millis(50));
        Act::say(200, "done")
    });
    let _session = serve(&proxy, "pool.a", &backend.url(), &[("max_in_flight", "5")]);
    let (passed, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                let mut caller = Caller::connect(proxy.http()).expect("it listens");
                for _ in 0..25 {
                    let said = caller.get(HOST, "/", "").expect("an answer");
                    match said.status {
                        200 => passed.fetch_add(1, Ordering::SeqCst),
                        503 => {
                            assert!(said.field("retry-after").is_some(), "{}", said.head);
                            refused.fetch_add(1, Ordering::SeqCst)
                        }
                        other => panic!("{other}"),
                    };
                }
            });
        }
    });
    assert_eq!(backend.peak(), 5, "never more, and all of it used");
    assert_eq!(backend.requests(), passed.load(Ordering::SeqCst));
    assert!(refused.load(Ordering::SeqCst) > 0);
    assert_eq!(names(&proxy, 1, ""), ["done"], "and all of it given back");
}

/// Ends the only instance, and waits until the proxy knows.
fn end(proxy: &Proxy, instance: (Session, Actor)) {
    let mut watcher = Session::register(proxy, "watcher", "watcher.1");
    drop(instance);
    let explain = format!("EXPLAIN|$sid|GET|{HOST}|/");
    let is_up = r#""health":"up""#;
    wait_for("the loss", || (!watcher.ask(&explain).contains(is_up)).then_some(()));
}

/// A request that is on its way while the test does something else.
fn asking(http: SocketAddr) -> thread::JoinHandle<Said> {
    thread::spawn(move || Caller::once(http, HOST, "/"))
}

/// SPEC 4, "Parking": the only instance restarts, on the same address with RECONNECT or on
/// another one with REGISTER, and nobody gets an error.
#[test]
fn parked_requests_wait_for_a_restart() {
    for keeps_its_session in [true, false] {
        let proxy = Proxy::start();
        let backend = Actor::named("before");
        let address = backend.address().to_string();
        let session = serve(&proxy, "pool.a", &backend.url(), &[("park", "5s")]);
        assert_eq!(names(&proxy, 1, ""), ["before"]);
        let id = session.id().to_owned();
        end(&proxy, (session, backend));
        let waiting: Vec<_> = (0..10).map(|_| asking(proxy.http())).collect();
        thread::sleep(Duration::from_millis(500));
        assert!(waiting.iter().all(|one| !one.is_finished()), "they wait");
        let after = |_: &_| Act::say(200, "after");
        let _kept = if keeps_its_session {
            let backend = Actor::start_at(&address, after);
            let mut registry = proxy.registry();
            registry.expect(&format!("RECONNECT|{id}"), "OK");
            (backend, Some(registry), None)
        } else {
            let backend = Actor::start(after);
            let session = serve(&proxy, "pool.a", &backend.url(), &[("park", "5s")]);
            (backend, None, Some(session))
        };
        for one in waiting {
            let said = one.join().expect("an answer");
            assert_eq!((said.status, &*said.body), (200, "after"), "{keeps_its_session}");
        }
    }
}

/// SPEC 4, "Parking": bounded in time, off unless it is set.
#[test]
fn parking_ends() {
    for (park, least) in [("1s", 900), ("0", 0)] {
        let proxy = Proxy::start();
        let backend = Actor::named("a");
        let session = serve(&proxy, "pool.a", &backend.url(), &[("park", park)]);
        assert_eq!(names(&proxy, 1, ""), ["a"]);
        end(&proxy, (session, backend));
        #[expect(clippy::disallowed_methods, reason = "these tests run in real time")]
        let began = std::time::Instant::now();
        let said = Caller::once(proxy.http(), HOST, "/");
        assert!(matches!(said.status, 502 | 503), "{}", said.head);
        let took = began.elapsed();
        assert!((least..least + 1500).contains(&took.as_millis()), "{park}: {took:?}");
    }
}

/// A backend that resets so many connections once a request is there, and answers the others.
/// The count is shared by those of one pool.
fn resetting(arrived: &Arc<AtomicUsize>, resets: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let arrived = Arc::clone(arrived);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Closing with bytes unread resets.
            if !matches!(stream.peek(&mut [0]), Ok(1))
                || arrived.fetch_add(1, Ordering::SeqCst) < resets
            {
                continue;
            }
            let _ = stream.read(&mut [0; 4096]);
            let text = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
            let _ = stream.write_all(text);
        }
    });
    address
}

/// SPEC 4, "Retries": "idempotent methods only, one retry".
#[test]
fn only_what_may_be_repeated_is_and_once() {
    let proxy = Proxy::start();
    let table = [
        ("GET", 1, 200, 2),
        ("PUT", 1, 200, 2),
        ("DELETE", 1, 200, 2),
        ("GET", 9, 502, 2),
        ("POST", 1, 502, 1),
        ("PATCH", 1, 502, 1),
    ];
    for (n, (method, resets, status, arrivals)) in table.into_iter().enumerate() {
        let arrived = Arc::new(AtomicUsize::new(0));
        let host = format!("r{n}.example.com");
        // Three: there is one left to try even after two resets.
        let serve = |instance: &str| {
            let url = format!("http://{}", resetting(&arrived, resets));
            Session::serve(&proxy, &format!("retry{n}"), instance, (&host, &url))
        };
        let _sessions = ["i1", "i2", "i3"].map(serve);
        let mut caller = Caller::connect(proxy.http()).expect("it listens");
        let request = format!("{method} / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\nhi");
        caller.send(&request).expect("open");
        let said = caller.read().expect("an answer");
        let found = (said.status, arrived.load(Ordering::SeqCst));
        assert_eq!(found, (status, arrivals), "{method} {resets}");
    }
}

/// SPEC 4, "Retries": always when nothing was processed, here because nobody accepts.
#[test]
fn what_never_arrived_is_sent_elsewhere_whatever_it_is() {
    let proxy = Proxy::start();
    let backend = Actor::named("a");
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let gone = format!("http://{}", nobody.local_addr().expect("bound"));
    drop(nobody);
    let _a = serve(&proxy, "pool.a", &backend.url(), &[]);
    let _b = serve(&proxy, "pool.b", &gone, &[]);
    for _ in 0..50 {
        let mut caller = Caller::connect(proxy.http()).expect("it listens");
        let request = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\nhi");
        caller.send(&request).expect("open");
        assert_eq!(caller.read().expect("an answer").status, 200);
    }
    wait_for("all to arrive", || (backend.requests() == 50).then_some(()));
}
