//! TERM: what is in flight finishes, and those who registered hear of it.

use std::thread;
use std::time::Duration;

use proxyd_e2e::{Backend, Proxy, get, wait_for};

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
