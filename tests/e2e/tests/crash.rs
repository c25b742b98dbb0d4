//! kill -9 at any moment: what was answered `OK` is there, and never half of an apply.
//!
//! `KILLS=200` in the environment kills that often; a few times is what the usual run does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use proxyd_e2e::{Backend, PATIENCE, Proxy, Registry, get, wait_for};
use serde_json::Value;

/// Services that apply at the same time, so that their applies share transactions of the store.
const SERVICES: usize = 2;

/// What a stream of applies got through.
#[derive(Debug, Default)]
struct Progress {
    /// The last one sent.
    sent: AtomicUsize,
    /// The last one answered `OK`.
    kept: AtomicUsize,
}

/// A service with one route on each of two hosts, which always change together.
struct Service {
    hosts: [String; 2],
    routes: [String; 2],
    session: String,
    progress: Progress,
}

impl Service {
    /// Registers the service of this number, the ones before it being there.
    fn start(number: usize, registry: &mut Registry, backend: &str) -> Self {
        let hosts = ["left", "right"].map(|side| format!("{side}.service{number}.example.com"));
        let url = format!("{backend}/g0");
        let routes = [(&*hosts[0], "/", &*url), (&*hosts[1], "/", &*url)];
        registry.serve(&format!("service{number}"), "one", &routes);
        let routes = [1, 2].map(|route| format!("r{}", 2 * number + route));
        let session = registry.session.clone();
        Self { hosts, routes, session, progress: Progress::default() }
    }

    /// The last apply answered `OK`, and the last one sent.
    fn reached(&self) -> (usize, usize) {
        let Progress { sent, kept } = &self.progress;
        (kept.load(Ordering::SeqCst), sent.load(Ordering::SeqCst))
    }

    /// Changes both routes together, again and again, until the connection ends.
    fn apply_until_killed(&self, registry: &mut Registry, backend: &str) {
        loop {
            let next = self.progress.sent.load(Ordering::SeqCst) + 1;
            let updates = self
                .routes
                .each_ref()
                .map(|route| format!("ROUTE_UPDATE|$sid|{route}|backend_url|{backend}/g{next}\n"));
            self.progress.sent.store(next, Ordering::SeqCst);
            if !registry.try_send(&format!("{}CONFIG_APPLY|$sid", updates.concat())) {
                return;
            }
            for wanted in ["ROUTE_OK", "ROUTE_OK", "OK"] {
                let Some(said) = registry.try_line() else { return };
                assert_eq!(said, wanted);
            }
            self.progress.kept.store(next, Ordering::SeqCst);
        }
    }

    /// Comes back after a kill. Whatever is there is whole, is no older than what was answered,
    /// and is the same by every way of asking.
    fn check(&self, proxy: &Proxy) -> Registry {
        let (kept, sent) = self.reached();
        let serving = || self.hosts.each_ref().map(|host| served(proxy.http(), host));
        let now = serving();
        assert_eq!(now[0], now[1], "half an apply");
        assert!((kept..=sent).contains(&now[0]), "{now:?}, kept {kept}, sent {sent}");
        let mut registry = proxy.registry();
        registry.session.clone_from(&self.session);
        registry.expect("RECONNECT|$sid", "OK");
        assert_eq!(listed(&mut registry), now);
        registry.expect("CONFIG_ROLLBACK|$sid", "OK");
        assert_eq!(serving(), now);
        self.progress.kept.store(now[0], Ordering::SeqCst);
        registry
    }
}

/// Which apply a host is served by: the backend repeats the path that it was asked for.
fn served(http: SocketAddr, host: &str) -> usize {
    let mut stream = TcpStream::connect(http).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("open");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    generation(text.split_once("GET ").map_or("", |(_, asked)| asked)).expect(&text)
}

/// The number after `/g`.
fn generation(text: &str) -> Option<usize> {
    let (_, number) = text.split_once("/g")?;
    let end = number.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(number.len());
    number[..end].parse().ok()
}

/// The applies that two live routes are of.
fn listed(registry: &mut Registry) -> Vec<usize> {
    let said = registry.ask("ROUTE_LIST|$sid");
    let list = said.strip_prefix("ROUTE_LIST_OK|").expect(&said);
    let routes: Vec<Value> = serde_json::from_str(list).expect("an array");
    let of = |route: &Value| generation(route["backend"].as_str().unwrap_or_default());
    routes.iter().map(|route| of(route).expect("of an apply")).collect()
}

#[test]
fn what_was_answered_is_there_and_nothing_is_half() {
    let kills = std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(10);
    let backend = Backend::start("counted");
    let mut proxy = Proxy::start();
    let mut registries: Vec<Registry> = (0..SERVICES).map(|_| proxy.registry()).collect();
    let services: Vec<Service> = registries
        .iter_mut()
        .enumerate()
        .map(|(number, registry)| Service::start(number, registry, &backend.url()))
        .collect();
    let mut ahead = 0;
    for kill in 0_u64..kills {
        let before: Vec<usize> = services.iter().map(|service| service.reached().0).collect();
        thread::scope(|scope| {
            for (service, registry) in services.iter().zip(&mut registries) {
                let backend = backend.url();
                scope.spawn(move || service.apply_until_killed(registry, &backend));
            }
            for (service, before) in services.iter().zip(&before) {
                wait_for("an apply", || (service.reached().0 > *before).then_some(()));
            }
            // Anywhere in the course of an apply: steps that no period of it divides.
            thread::sleep(Duration::from_micros(1_000 + kill * 7_919 % 30_000));
            proxy.kill();
        });
        let kept: Vec<usize> = services.iter().map(|service| service.reached().0).collect();
        proxy.kill_and_move();
        registries = services.iter().map(|service| service.check(&proxy)).collect();
        let there = services.iter().map(|service| service.reached().0);
        ahead += there.zip(kept).filter(|(there, kept)| there > kept).count();
    }
    let applies: usize = services.iter().map(|service| service.reached().0).sum();
    println!("{kills} kills, {applies} applies, {ahead} on disk but unanswered when it was killed");
}

#[test]
fn traffic_flows_before_anybody_is_back_and_sessions_are_as_they_were() {
    let backend = Backend::start("steady");
    let mut proxy = Proxy::start();
    let mut registry = proxy.registry();
    registry.serve("steady", "one", &[("steady.example.com", "/", &backend.url())]);
    registry.expect("SUBSCRIBE|$sid|config_reverted", "SUBSCRIBE_OK");
    let draft = registry
        .ask(&format!("ROUTE_ADD|$sid|draft.example.com|/|{}|0", backend.url()))
        .replace("ROUTE_OK|", "");
    // Drafts and subscriptions are written behind, within 50 ms.
    thread::sleep(Duration::from_millis(200));
    let session = registry.session.clone();
    proxy.kill_and_restart();

    assert_eq!(get(&proxy, "steady.example.com", "/").status, 200, "nobody has come back");
    assert_eq!(get(&proxy, "draft.example.com", "/").status, 404);
    let mut registry = proxy.registry();
    registry.session = session;
    registry.expect("RECONNECT|$sid", "OK");
    let list = registry.ask("ROUTE_LIST|$sid");
    assert!(list.contains(&format!(r#""route_id":"{draft}""#)), "{list}");
    assert!(list.contains(r#""status":"staged""#), "{list}");
    registry.expect("CONFIG_TRY|$sid|1s", "OK");
    assert_eq!(get(&proxy, "draft.example.com", "/").status, 200);
    let event = registry.line();
    assert!(event.starts_with("EVENT|config_reverted|"), "{event}");
    assert_eq!(get(&proxy, "draft.example.com", "/").status, 404);
}

#[test]
fn route_ids_are_never_used_again() {
    let mut proxy = Proxy::start();
    let mut highest = 0;
    for round in 0..3 {
        let mut registry = proxy.registry();
        assert!(registry.ask(&format!("REGISTER|ids|{round}|0|")).starts_with("ACK|"));
        for index in 0..20 {
            let said =
                registry.ask(&format!("ROUTE_ADD|$sid|h{index}.example.com|/|http://127.0.0.1:1"));
            let id = said.strip_prefix("ROUTE_OK|r").and_then(|id| id.parse().ok());
            let id: u64 = id.expect(&said);
            assert!(id > highest, "r{id} after r{highest}");
            highest = id;
        }
        // Answered, and not yet written: nothing but the numbers may survive this.
        proxy.kill_and_move();
    }
}
