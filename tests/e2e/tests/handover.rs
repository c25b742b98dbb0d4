//! A route goes from service to service and back, under load: always one owner, never none.
//!
//! `ROUNDS=1000` in the environment hands over that often; fewer is what the usual run does.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use proxyd_e2e::{Backend, Client, Proxy, Registry, wait_for};

const HOST: &str = "handover.example.com";
const OWNERS: [&str; 2] = ["blue", "green"];
/// Between two requests of a client: the load shares two cores with everything else.
const PAUSE: Duration = Duration::from_micros(300);

/// How far the handovers are. After `n` of them the owner is `OWNERS[n % 2]`.
#[derive(Debug, Default)]
struct Progress {
    /// Whose CONFIG_APPLY was sent.
    begun: AtomicUsize,
    /// Whose CONFIG_APPLY was answered.
    done: AtomicUsize,
    answers: AtomicUsize,
    stop: AtomicBool,
}

impl Progress {
    /// Asks once: the answer must come from somebody who was owner while it was asked for.
    fn ask(&self, client: &mut Client) -> Result<(), String> {
        let before = self.done.load(Ordering::SeqCst);
        let reply = client.get(HOST, "/").map_err(|error| error.to_string())?;
        let after = self.begun.load(Ordering::SeqCst);
        let owner = reply.field("x-backend").unwrap_or("nobody");
        if reply.status != 200 || !reply.text().starts_with(&format!("{owner}\n")) {
            return Err(format!("{} {}", reply.status, reply.text()));
        }
        if !(before..=after).any(|number| OWNERS[number % 2] == owner) {
            return Err(format!("{owner} answered between handovers {before} and {after}"));
        }
        self.answers.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Asks until told to stop and returns what went wrong.
    fn ask_all(&self, http: SocketAddr, keeps: bool) -> Vec<String> {
        let mut client = Client::new(http);
        let mut faults = Vec::new();
        while !self.stop.load(Ordering::SeqCst) {
            faults.extend(self.ask(&mut client).err());
            if !keeps {
                client = Client::new(http);
            }
            thread::sleep(PAUSE);
        }
        faults
    }
}

/// Both services, with their backends and their lines to the registry.
struct Services {
    backends: [Backend; 2],
    registries: [Registry; 2],
    /// The owner's.
    route: String,
}

impl Services {
    /// The first service has the route, the second has none.
    fn start(proxy: &Proxy) -> Self {
        let backends = OWNERS.map(Backend::start);
        let mut registries = OWNERS.map(|_| proxy.registry());
        registries[0].serve("blue", "blue.1", &[(HOST, "/", &backends[0].url())]);
        registries[1].serve("green", "green.1", &[]);
        Self { backends, registries, route: "r1".to_owned() }
    }

    /// Hands the route over for the time of this number, counted from one.
    fn hand_over(&mut self, number: usize, progress: &Progress) {
        let [blue, green] = &mut self.registries;
        let (from, to) = if number % 2 == 1 { (blue, green) } else { (green, blue) };
        let offer = from.ask(&format!("HANDOVER_OFFER|$sid|{}", self.route));
        let token = offer.strip_prefix("HANDOVER_OK|").unwrap_or_else(|| panic!("{offer}"));
        let url = self.backends[number % 2].url();
        let ok = to.ask(&format!("HANDOVER_ACCEPT|$sid|{token}|{url}"));
        let route = ok.strip_prefix("ROUTE_OK|").unwrap_or_else(|| panic!("{ok}"));
        assert_ne!(route, self.route, "SPEC 2.3: route ids are never used again");
        route.clone_into(&mut self.route);
        progress.begun.store(number, Ordering::SeqCst);
        to.expect("CONFIG_APPLY|$sid", "OK");
        progress.done.store(number, Ordering::SeqCst);
    }
}

#[test]
fn a_route_always_has_exactly_one_of_two_owners() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(100);
    let proxy = Proxy::start();
    let http = proxy.http();
    let mut services = Services::start(&proxy);
    let progress = Progress::default();
    let faults: Vec<String> = thread::scope(|scope| {
        let progress = &progress;
        let clients =
            [true, true, false].map(|keeps| scope.spawn(move || progress.ask_all(http, keeps)));
        let stop = Stop(&progress.stop);
        for number in 1..=rounds {
            services.hand_over(number, progress);
            let fresh = progress.ask(&mut Client::new(http));
            assert_eq!(fresh, Ok(()), "SPEC 2.4: after OK the new owner answers");
            // Some of the load falls between any two of them.
            let seen = progress.answers.load(Ordering::SeqCst);
            wait_for("load", || (progress.answers.load(Ordering::SeqCst) > seen).then_some(()));
        }
        drop(stop);
        clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect()
    });
    let answers = progress.answers.load(Ordering::SeqCst);
    let asked = services.backends.each_ref().map(Backend::requests);
    println!("{rounds} handovers, {answers} answers, {asked:?} by {OWNERS:?}");
    assert_eq!(faults, Vec::<String>::new(), "SPEC 2.4: no gap, no double owner");
    assert_eq!(asked.iter().sum::<usize>(), answers, "one owner was asked for every answer");
    let [blue, green] = &mut services.registries;
    let (owner, other) = if rounds % 2 == 1 { (green, blue) } else { (blue, green) };
    other.expect("ROUTE_LIST|$sid", "ROUTE_LIST_OK|[]");
    let list = owner.ask("ROUTE_LIST|$sid");
    assert!(list.contains(&format!(r#""route_id":"{}""#, services.route)), "{list}");
}

/// Says stop when it goes.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
