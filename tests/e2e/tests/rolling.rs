//! A rolling deploy loses nothing: two instances are replaced in turn, under load.
//!
//! `ROUNDS=50` in the environment replaces both that often, in two minutes: run that with
//! `cargo test`, which has no time limit. A few times is what the usual run does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use proxyd_e2e::{Client, Draw, Echo, Proxy, Registry, Release, Reply, WebSocket, wait_for};

const HOST: &str = "rolling.example.com";
/// Between two requests of a client: three kinds of load share two cores with two backends.
const PAUSE: Duration = Duration::from_millis(1);

/// What the clients saw.
#[derive(Debug, Default)]
struct Seen {
    stop: AtomicBool,
    round: AtomicUsize,
    /// Answers by version.
    answers: Mutex<BTreeMap<String, usize>>,
    fresh: AtomicUsize,
    messages: AtomicUsize,
    sockets: AtomicUsize,
    faults: Mutex<Vec<String>>,
}

impl Seen {
    /// Works until told to stop; what went wrong is noted.
    fn repeat(&self, kind: &str, mut work: impl FnMut() -> Result<(), String>) {
        while !self.stop.load(Ordering::SeqCst) {
            if let Err(fault) = work() {
                let round = self.round.load(Ordering::SeqCst);
                let fault = format!("round {round}, {kind}: {fault}");
                self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
            }
            thread::sleep(PAUSE);
        }
    }

    /// Counts an answer for its version.
    fn count(&self, reply: std::io::Result<Reply>) -> Result<(), String> {
        let reply = reply.map_err(|error| error.to_string())?;
        if reply.status / 100 != 2 {
            return Err(format!("{} {}", reply.status, reply.text()));
        }
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        *answers.entry(reply.text()).or_default() += 1;
        Ok(())
    }

    fn answers_of(&self, version: &str) -> usize {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(version).copied().unwrap_or_default()
    }

    fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Requests one after the other on one connection.
fn keep_asking(seen: &Seen, http: SocketAddr) {
    let mut client = Client::new(http);
    seen.repeat("kept connection", || seen.count(client.get(HOST, "/kept")));
}

/// Requests on a connection each.
fn come_anew(seen: &Seen, http: SocketAddr) {
    seen.repeat("new connection", || {
        seen.count(Client::new(http).get(HOST, "/new"))?;
        seen.fresh.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
}

/// Messages of every length class on one WebSocket connection, opened again when it was closed.
fn echo(seen: &Seen, http: SocketAddr, seed: u64) {
    let mut draw = Draw::new(seed);
    let mut open = None;
    seen.repeat("WebSocket", || {
        let mut socket = match open.take() {
            Some(socket) => socket,
            None => {
                let masks = Draw::new(draw.any());
                let socket = WebSocket::connect(http, HOST, "/echo", masks);
                seen.sockets.fetch_add(1, Ordering::SeqCst);
                socket.map_err(|error| error.to_string())?
            }
        };
        let length = match draw.below(16) {
            0 => 0x1_0000 + draw.below(1_000),
            1..8 => 126 + draw.below(2_000),
            _ => draw.below(126),
        };
        let message = draw.bytes(length as usize);
        if socket.echo(&message).map_err(|error| error.to_string())? == Echo::Whole {
            seen.messages.fetch_add(1, Ordering::SeqCst);
            open = Some(socket);
        }
        Ok(())
    });
}

/// An instance: what runs, and its line to the registry.
struct Instance {
    release: Release,
    registry: Registry,
}

impl Instance {
    /// Starts and registers one.
    fn deploy(proxy: &Proxy, version: &str) -> Self {
        let release = Release::start(version);
        let mut registry = proxy.registry();
        let ack = registry.ask(&format!("REGISTER|rolling|{version}|9|{{}}"));
        assert!(ack.starts_with("ACK|"), "{ack}");
        let ok = registry.ask(&format!("ROUTE_ADD|$sid|{HOST}|/|{}|0", release.url()));
        let route = ok.strip_prefix("ROUTE_OK|").unwrap_or_else(|| panic!("{ok}"));
        registry.expect(&format!("HEALTH_SET|$sid|{route}|/health|100ms|1s"), "HEALTH_OK");
        registry.expect("CONFIG_APPLY|$sid", "OK");
        Self { release, registry }
    }

    /// Drains it, waits for the permit to go, says goodbye and stops.
    fn retire(mut self) {
        let Self { release, registry } = &mut self;
        registry.expect("SUBSCRIBE|$sid|drained", "SUBSCRIBE_OK");
        let drain = registry.ask("DRAIN_START|$sid|1s");
        assert!(drain.starts_with("DRAIN_OK|"), "{drain}");
        release.drain();
        let event = registry.line();
        assert!(event.starts_with("EVENT|drained|{"), "{event}");
        release.permit();
        registry.expect("CLIENT_SHUTDOWN|$sid", "SHUTDOWN_OK");
        let (version, late) = (release.version(), release.late());
        assert_eq!(late, 0, "SPEC 4, drain: nothing more comes after the exit permit of {version}");
    }
}

/// Replaces an instance by a new version, once that has been asked.
fn replace(proxy: &Proxy, seen: &Seen, old: &mut Option<Instance>, version: &str) {
    if let Some(old) = old.take() {
        old.retire();
    }
    let new = Instance::deploy(proxy, version);
    wait_for("the new version to be asked", || (seen.answers_of(version) > 0).then_some(()));
    let early = new.release.early();
    assert_eq!(early, 0, "SPEC 4, health: {version} takes traffic after its first pass");
    *old = Some(new);
}

#[test]
fn a_rolling_deploy_loses_nothing() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(5);
    let seed = Draw::seed();
    println!("SEED={seed} ROUNDS={rounds}");
    let proxy = Proxy::start();
    let http = proxy.http();
    let mut instances = ["a", "b"].map(|name| Some(Instance::deploy(&proxy, &format!("{name}0"))));
    let seen = Seen::default();
    thread::scope(|scope| {
        let seen = &seen;
        for client in 0..2 {
            scope.spawn(move || keep_asking(seen, http));
            scope.spawn(move || echo(seen, http, seed.wrapping_add(client)));
        }
        scope.spawn(move || come_anew(seen, http));
        // Ends the clients, and with them the scope, when an assertion fails too.
        let _stop = Stop(&seen.stop);
        wait_for("both", || (seen.answers_of("a0") > 0 && seen.answers_of("b0") > 0).then_some(()));
        for round in 1..=rounds {
            seen.round.store(round, Ordering::SeqCst);
            for (instance, name) in instances.iter_mut().zip(["a", "b"]) {
                replace(&proxy, seen, instance, &format!("{name}{round}"));
            }
        }
    });
    let versions = seen.answers.lock().expect("no panic").len();
    let answers: usize = seen.answers.lock().expect("no panic").values().sum();
    println!(
        "{answers} answers of {versions} versions, {:?} of them on connections of their own; \
         {:?} messages on {:?} WebSocket connections",
        seen.fresh, seen.messages, seen.sockets
    );
    assert_eq!(seen.faults(), Vec::<String>::new(), "SPEC 11: rolling deploy under load");
    assert_eq!(versions, 2 * (rounds + 1), "every version was asked, and no other");
    let sockets = seen.sockets.load(Ordering::SeqCst);
    assert!(sockets >= 2 + 2 * rounds, "drains closed WebSocket connections: {sockets}");
}

/// Says stop when it goes.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
