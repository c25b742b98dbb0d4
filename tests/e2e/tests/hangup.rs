//! Clients that go away while their backend is silent (SPEC 4: never client aborts).

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use proxyd_e2e::{Act, Actor, Caller, PATIENCE, Proxy, Session, wait_for};

const HOST: &str = "a.example.com";

/// A backend that never answers `/hang`, and says so when it is asked.
fn hanging() -> (Actor, mpsc::Receiver<()>) {
    let (sender, asked) = mpsc::channel();
    let actor = Actor::start(move |request| {
        if request.path() == "/hang" {
            let _ = sender.send(());
            std::thread::sleep(PATIENCE);
        }
        Act::say(200, "fine")
    });
    (actor, asked)
}

fn serve(proxy: &Proxy, actor: &Actor, lines: &[&str]) -> Session {
    let mut session = Session::register(proxy, "a", "a.1");
    let route = session.stage(HOST, "/", &actor.url());
    for line in lines {
        let said = session.ask(&line.replace("$r", &route));
        assert!(said.ends_with("_OK"), "{line}: {said}");
    }
    session.expect("CONFIG_APPLY|$sid", "OK");
    session
}

fn hang(proxy: &Proxy) -> TcpStream {
    let mut client = TcpStream::connect(proxy.http()).unwrap();
    let request = format!("GET /hang HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
    client
}

#[test]
fn who_is_gone_takes_nobodys_place() {
    let proxy = Proxy::start();
    let (actor, asked) = hanging();
    let off = "HEALTH_SET|$sid|$r|off|30s|5s";
    let _session = serve(&proxy, &actor, &[off, "OPTIONS_SET|$sid|$r|max_in_flight|1"]);
    let client = hang(&proxy);
    asked.recv_timeout(PATIENCE).unwrap();
    assert_eq!(Caller::once(proxy.http(), HOST, "/").status, 503, "full");
    drop(client);
    let free = || (Caller::once(proxy.http(), HOST, "/").status == 200).then_some(());
    wait_for("the place of the client that is gone", free);
}

#[test]
fn probes_of_a_breaker_come_back_from_clients_that_are_gone() {
    let proxy = Proxy::start();
    let (actor, asked) = hanging();
    let off = "HEALTH_SET|$sid|$r|off|30s|5s";
    let breaker = "CIRCUIT_BREAKER_SET|$sid|$r|1|200ms|1";
    let timeout = "OPTIONS_SET|$sid|$r|timeout|300ms";
    let mut session = serve(&proxy, &actor, &[off, breaker, timeout]);
    // One time-out opens it.
    assert_eq!(Caller::once(proxy.http(), HOST, "/hang").status, 504);
    asked.recv_timeout(PATIENCE).unwrap();
    session.expect("OPTIONS_SET|$sid|ALL|retries|0", "OPTIONS_OK");
    let probe = wait_for("the breaker to half open", || {
        let client = hang(&proxy);
        asked.recv_timeout(Duration::from_millis(100)).ok().map(|()| client)
    });
    drop(probe);
    let free = || (Caller::once(proxy.http(), HOST, "/").status == 200).then_some(());
    wait_for("the probe of the client that is gone", free);
}

/// A pipelined request is no abort, and nor is a client that closes once it has its answer.
#[test]
fn who_only_sends_more_gets_every_answer() {
    let proxy = Proxy::start();
    let (actor, _asked) = hanging();
    let _session = serve(&proxy, &actor, &["HEALTH_SET|$sid|$r|off|30s|5s"]);
    let mut client = TcpStream::connect(proxy.http()).unwrap();
    let one = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    client.write_all(one.repeat(3).as_bytes()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
    while String::from_utf8_lossy(&got).matches("fine").count() < 3 {
        let n = client.read(&mut buffer).unwrap();
        assert_ne!(n, 0, "{}", got.escape_ascii());
        got.extend_from_slice(&buffer[..n]);
    }
    client.shutdown(Shutdown::Both).unwrap();
}
