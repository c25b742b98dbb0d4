//! TERM: what is in flight finishes, and those who registered hear of it.

use std::io::Read;
use std::thread;
use std::time::Duration;

use proxyd_e2e::frames::{self, setting, window_update};
use proxyd_e2e::{Act, Actor, Backend, Caller, Frames, Outcome, Proxy, Session, get, wait_for};

#[test]
fn a_request_in_flight_finishes_and_sessions_are_told() {
    let backend = Backend::start_slow("slow", Duration::from_secs(1));
    let mut proxy = Proxy::start();
    let mut registry = proxy.registry();
    registry.serve("slow", "slow.1", &[("slow.example.com", "/", &backend.url())]);
    let status = thread::scope(|scope| {
        let client = scope.spawn(|| get(&proxy, "slow.example.com", "/").status);
        wait_for("the request", || (backend.requests() == 1).then_some(()));
        proxy.terminate();
        assert_eq!(registry.line(), "SHUTDOWN");
        client.join().expect("no panic")
    });
    assert_eq!(status, 200);
    assert_eq!(proxy.wait_code(), Some(0));
}

/// An answer in flight says that it was the last of its connection. A connection that waits for its
/// next request is kept for a moment, in which one may be on its way, and not for the whole grace.
#[test]
fn connections_in_text_end_with_their_next_answer_or_soon() {
    let (fast, slow) =
        (Backend::start("fast"), Backend::start_slow("slow", Duration::from_secs(4)));
    let mut proxy = Proxy::start();
    let mut registry = proxy.registry();
    let (fast_url, slow_url) = (fast.url(), slow.url());
    registry.serve(
        "web",
        "web.1",
        &[("fast.example.com", "/", &fast_url), ("slow.example.com", "/", &slow_url)],
    );
    let mut kept: Vec<_> = (0..2).map(|_| Caller::connect(proxy.http()).unwrap()).collect();
    for caller in &mut kept {
        let said = caller.get("fast.example.com", "/", "").unwrap();
        assert_eq!((said.status, said.field("connection")), (200, None));
    }
    let mut silent = Caller::connect(proxy.http()).unwrap();
    let mut in_flight = Caller::connect(proxy.http()).unwrap();
    let asking = thread::spawn(move || in_flight.get("slow.example.com", "/", ""));
    wait_for("the request", || (slow.requests() == 1).then_some(()));
    proxy.terminate();
    assert_eq!(registry.line(), "SHUTDOWN");
    // The registry hears of it a moment before.
    wait_for("the last answer", || {
        let said = kept[0].get("fast.example.com", "/", "").unwrap();
        assert_eq!(said.status, 200);
        (said.field("connection") == Some("close")).then_some(())
    });
    for caller in kept.iter_mut().chain([&mut silent]) {
        assert_eq!(caller.stream.read(&mut [0]).unwrap(), 0, "a good end");
    }
    assert!(!asking.is_finished(), "others are still served");
    let said = asking.join().unwrap().unwrap();
    assert_eq!((said.status, said.field("connection")), (200, Some("close")));
    assert_eq!(proxy.wait_code(), Some(0));
}

/// What was answered is still to arrive: a client of HTTP/2 that is slow to read has the rest of the
/// grace for it.
#[test]
fn a_slow_client_gets_the_last_frames() {
    // More than the kernel takes for a client that reads nothing; each fits into what waits of a
    // stream, so that nothing is in flight.
    const STREAMS: u32 = 120;
    const BYTES: usize = 30_000;
    let mut proxy = Proxy::start();
    let backend = Actor::start(|_| Act::say(200, &"x".repeat(BYTES)));
    let (_session, _) = Session::serve(&proxy, "web", "1", ("a.test", &backend.url()));
    let windows = [(setting::INITIAL_WINDOW_SIZE, 1 << 20)];
    let mut client = Frames::connect_with(proxy.http(), &windows).unwrap();
    let gets = (0..STREAMS).flat_map(|n| frames::get(2 * n + 1, "a.test", "/"));
    client.send(&window_update(0, 1 << 24)).unwrap();
    client.send(&gets.collect::<Vec<_>>()).unwrap();
    wait_for("the requests", || (backend.requests() == STREAMS as usize).then_some(()));
    proxy.terminate();
    // Two seconds until clients hear of it, and more than idle ones are kept.
    thread::sleep(Duration::from_secs(6));
    for n in 0..STREAMS {
        let Outcome::Answer(answer) = client.outcome(2 * n + 1).unwrap() else { panic!("cut") };
        assert_eq!(answer.body.len(), BYTES, "{n}");
    }
    drop(client);
    assert_eq!(proxy.wait_code(), Some(0));
}

#[test]
fn a_version_one_session_is_not_told_what_it_did_not_ask_for() {
    let mut proxy = Proxy::start();
    let mut registry = proxy.registry();
    assert!(registry.ask("REGISTER|api|host|9000|9001").starts_with("ACK|"));
    proxy.terminate();
    assert_eq!(registry.line(), "", "closed, and nothing before it");
    assert_eq!(proxy.wait_code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let backend = Backend::start_slow("stuck", Duration::from_secs(60));
    let mut proxy = Proxy::start();
    let mut registry = proxy.registry();
    registry.serve("stuck", "stuck.1", &[("stuck.example.com", "/", &backend.url())]);
    thread::scope(|scope| {
        let http = proxy.http();
        let client = scope.spawn(move || stuck(http));
        wait_for("the request", || (backend.requests() == 1).then_some(()));
        proxy.terminate();
        assert_eq!(registry.line(), "SHUTDOWN");
        proxy.terminate();
        let code = proxy.wait_code();
        assert!(code.is_some_and(|code| code != 0), "{code:?}");
        assert_eq!(client.join().expect("no panic"), "", "cut off");
    });
}

/// Asks for what never comes, until the connection ends.
fn stuck(http: std::net::SocketAddr) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(http).expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: stuck.example.com\r\n\r\n").expect("open");
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

/// SPEC 8: "TERM drains". Under a load that never pauses there is no moment without a request;
/// whoever was let in is answered all the same, and nobody waits for the whole grace.
#[test]
fn under_steady_load_every_request_that_was_let_in_is_answered() {
    let backend = Backend::start("busy");
    let mut proxy = Proxy::start_with("[shutdown]\ngrace = \"15s\"\n");
    let mut registry = proxy.registry();
    registry.serve("busy", "busy.1", &[("busy.example.com", "/", &backend.url())]);
    let http = proxy.http();
    let answered = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(|| hammer(http, &answered))).collect();
        let many = || answered.load(std::sync::atomic::Ordering::SeqCst) > 200;
        wait_for("load", || many().then_some(()));
        proxy.terminate();
        for client in clients {
            assert_eq!(client.join().expect("no panic"), Vec::<String>::new());
        }
    });
    assert_eq!(proxy.wait_code(), Some(0), "it ended before the grace did");
}

/// Asks without a pause, on kept connections and on new ones, until nobody lets it in. What went
/// wrong on the way.
fn hammer(http: std::net::SocketAddr, answered: &std::sync::atomic::AtomicUsize) -> Vec<String> {
    use std::io::{BufReader, Write};
    let mut wrong = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect(http) {
        let mut reader = BufReader::new(&stream);
        for number in 0.. {
            let request = b"GET / HTTP/1.1\r\nHost: busy.example.com\r\n\r\n";
            let head = match (&stream).write_all(request).and_then(|()| read_answer(&mut reader)) {
                Ok(head) => head,
                // It stood in the kernel's queue when the listener closed: nobody had let it in.
                Err(_) if number == 0 => break,
                Err(error) => {
                    wrong.push(error.to_string());
                    break;
                }
            };
            answered.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if !head.starts_with("HTTP/1.1 200") {
                wrong.push(head);
                break;
            }
            if head.contains("Connection: close") {
                break;
            }
        }
    }
    wrong
}

fn read_answer(reader: &mut impl std::io::BufRead) -> std::io::Result<String> {
    let head = proxyd_e2e::read_head(reader)?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let length = proxyd_e2e::field(&head, "content-length").and_then(|text| text.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok(head)
}
