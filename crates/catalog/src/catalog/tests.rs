//! Rules of the catalog, and a naive model of it.

use std::collections::{BTreeMap, BTreeSet};

use model::{InstanceName, ServiceName};
use proptest::prelude::*;

use super::*;
use crate::Standing;

fn now(seconds: u64) -> Now {
    Now::default().after(Duration::from_secs(seconds))
}

fn identity(service: &str, instance: &str) -> Identity {
    Identity {
        service: ServiceName::parse(service).unwrap(),
        instance: InstanceName::parse(instance).unwrap(),
    }
}

fn facts(port: u16) -> Facts {
    let host = BackendHost::Ip([127, 0, 0, 1].into());
    Facts { endpoints: vec![Endpoint::new("main", host, port, Protocol::Tcp)], ..Facts::default() }
}

fn catalog() -> Catalog {
    Catalog::new(Config::default(), [1; 32])
}

fn checking() -> Catalog {
    Catalog::new(Config { checks: true, ..Config::default() }, [1; 32])
}

fn peer(last: u8) -> IpAddr {
    [127, 0, 0, last].into()
}

/// What happened after a change, in short.
fn told(catalog: &Catalog, seq: u64) -> Vec<String> {
    let short = |change: &Arc<crate::Change>| match &change.what {
        What::Registered(service, _) => format!("+{service}"),
        What::Updated(service, instance) => format!("~{service}/{instance}"),
        What::Endpoints(service, instance) => format!("@{service}/{instance}"),
        What::Deregistered(service, _) => format!("-{service}"),
        What::State { service, from, to, .. } => format!("{service}:{from}>{to}"),
        What::Health { service, health, .. } => format!("{service}:{health:?}"),
        What::Topology(_) => "topology".to_owned(),
    };
    catalog.view().changes_after(seq).unwrap().map(short).collect()
}

#[test]
fn the_source_with_the_highest_precedence_is_believed() {
    let dev = Identity::alone("dev").unwrap();
    let mut catalog = catalog();
    catalog.put(&dev, Source::File, facts(1), now(0)).unwrap();
    catalog.put(&dev, Source::Manual, facts(2), now(1)).unwrap();
    catalog.put(&dev, Source::Auto, facts(3), now(2)).unwrap();
    catalog.put_session(&dev, Some((facts(4), true)), now(3));
    let shown = catalog.view().instance(&dev).unwrap();
    assert_eq!(shown.sources, [Source::Session, Source::Manual, Source::File, Source::Auto]);
    assert_eq!(shown.facts.endpoints[0].port, 4);
    catalog.put_session(&dev, None, now(4));
    assert_eq!(catalog.view().instance(&dev).unwrap().facts.endpoints[0].port, 2);
    for source in [Source::Manual, Source::File, Source::Auto] {
        assert!(catalog.remove(&dev, source, now(5)));
        assert!(!catalog.remove(&dev, source, now(5)));
    }
    assert!(catalog.view().is_empty());
    assert!(catalog.view().has_departed("DEV") && !catalog.view().has_departed("other"));
    let want = [
        "+dev",
        "~dev/dev",
        "@dev/dev",
        "~dev/dev",
        "@dev/dev",
        "dev:registered>running",
        "~dev/dev",
        "@dev/dev",
        "dev:running>registered",
        "~dev/dev",
        "@dev/dev",
        "~dev/dev",
        "@dev/dev",
        "-dev",
    ];
    assert_eq!(told(&catalog, 0), want);
}

#[test]
fn a_name_lives_as_long_as_its_heartbeats() {
    let name = Identity::alone("test-service-3").unwrap();
    let other = Identity::alone("other").unwrap();
    let mut catalog = catalog();
    let given = catalog.register_heartbeat(&name, peer(1), now(0)).unwrap();
    assert_eq!((given.address, given.port), (Ipv4Addr::new(10, 0, 0, 100), 9000));
    let second = catalog.register_heartbeat(&other, peer(1), now(0)).unwrap();
    assert_eq!((second.address, second.port), (Ipv4Addr::new(10, 0, 0, 101), 9001));
    assert_eq!(catalog.register_heartbeat(&name, peer(1), now(1)), Ok(given), "a restart");
    let refused = catalog.register_heartbeat(&name, peer(2), now(2));
    assert_eq!(refused, Err(Refusal::Foreign(name.clone())));
    assert!(catalog.beat(&name, now(30)) && !catalog.beat(&identity("x", "x"), now(30)));
    assert_eq!(catalog.next_deadline(), Some(now(40).mono), "the heartbeat is to be shown");
    catalog.expire(now(40));
    assert_eq!(catalog.view().instance(&name).unwrap().last_seen, Some(now(30).wall));
    assert_eq!(catalog.next_deadline(), Some(now(60).mono));
    let last_seen = Some(now(0).wall);
    let expired = Expired { identity: other, given: Some(second), last_seen };
    assert_eq!(catalog.expire(now(60)), [expired]);
    assert_eq!(told(&catalog, 2), ["-other"]);
    assert_eq!(catalog.next_deadline(), Some(now(90).mono));
    let at: Vec<_> = catalog.view().at(given.address.into()).cloned().collect();
    assert_eq!(at, std::slice::from_ref(&name));
    catalog.expire(now(90));
    assert_eq!(catalog.view().at(given.address.into()).count(), 0);
    assert!(!catalog.view().is_virtual(given.address.into()));
    assert_eq!(catalog.register_heartbeat(&name, peer(2), now(91)).unwrap().port, 9000);
}

/// A list that somebody keeps stays as it is until there is something to tell.
#[test]
fn what_changes_nothing_shows_nothing() {
    let (name, api) = (identity("web", "web"), identity("api", "1"));
    let mut catalog = checking();
    catalog.register_heartbeat(&name, peer(1), now(0)).unwrap();
    catalog.put_session(&api, Some((facts(1), true)), now(0));
    catalog.put(&identity("db", "1"), Source::File, facts(2), now(0)).unwrap();
    let place = facts(2).endpoints[0].place();
    let db = ServiceName::parse("db").unwrap();
    let well =
        Finding { took: Duration::from_millis(7), ..Finding::new(Health::Well, "connected") };
    catalog.check_place(&db, &place, &well, now(0));
    let before = (catalog.view().seq(), catalog.view().version());
    let shown = |catalog: &Catalog| {
        let seen = |instance: &Arc<Instance>| instance.last_seen;
        ["web", "api", "db"]
            .map(|name| catalog.view().service(name).unwrap().first().and_then(seen))
    };
    let at = |seconds| Some(now(seconds).wall);
    assert_eq!(shown(&catalog), [at(0); 3]);
    for second in 1..10 {
        assert!(catalog.beat(&name, now(second)));
        catalog.put_session(&api, Some((facts(1), true)), now(second));
        catalog.check_place(&db, &place, &well, now(second));
        catalog.expire(now(second));
    }
    assert_eq!((catalog.view().seq(), catalog.view().version()), before);
    assert_eq!(shown(&catalog), [at(0); 3]);
    assert_eq!(catalog.next_deadline(), Some(now(11).mono));
    catalog.expire(now(11));
    assert_eq!((catalog.view().seq(), shown(&catalog)), (before.0, [at(9); 3]));
    assert!(catalog.view().version() > before.1);
    // Who says that it saw somebody sees it at once.
    catalog.touch(&name, now(12)).unwrap();
    assert_eq!(shown(&catalog), [at(12), at(9), at(9)]);
}

/// Nothing is known of what nobody speaks for until somebody has looked.
#[test]
fn what_nobody_speaks_for_is_checked() {
    let mut catalog = checking();
    let web = ServiceName::parse("web").unwrap();
    for (instance, source, port) in [
        ("a", Source::File, 1),
        ("b", Source::Manual, 2),
        ("c", Source::Api, 3),
        ("d", Source::Auto, 4),
    ] {
        catalog.put(&identity("web", instance), source, facts(port), now(0)).unwrap();
    }
    catalog.put_session(&identity("web", "e"), Some((facts(1), true)), now(0));
    let standing = |catalog: &Catalog| {
        let service = catalog.view().service("web").unwrap();
        let each = service.instances.iter().map(|instance| instance.standing());
        each.collect::<Vec<_>>()
    };
    use Standing::{Bad, Good, Unknown};
    assert_eq!(standing(&catalog), [Unknown, Unknown, Unknown, Good, Good]);
    let before = catalog.view().seq();
    let found = |catalog: &mut Catalog, port, health, reason| {
        let place = facts(port).endpoints[0].place();
        catalog.check_place(&web, &place, &Finding::new(health, reason), now(1));
    };
    // The session at the same place speaks for itself.
    found(&mut catalog, 1, Health::Ill, "connection refused");
    found(&mut catalog, 2, Health::Well, "connected");
    found(&mut catalog, 3, Health::Unknown, "not allowed");
    found(&mut catalog, 4, Health::Ill, "nobody asked");
    found(&mut catalog, 5, Health::Ill, "nobody is there");
    assert_eq!(standing(&catalog), [Bad, Good, Unknown, Good, Good]);
    assert_eq!(told(&catalog, before), ["web:Ill", "web:Well"]);
    let reason = |catalog: &Catalog, instance: &str| {
        let shown = catalog.view().instance(&identity("web", instance)).unwrap();
        shown.checks.first().map(|(_, check)| check.found.reason.to_string())
    };
    assert_eq!(reason(&catalog, "c").as_deref(), Some("not allowed"));
    found(&mut catalog, 2, Health::Unknown, "not allowed any more");
    assert_eq!(standing(&catalog), [Bad, Unknown, Unknown, Good, Good]);
    assert_eq!(told(&catalog, before + 2), ["web:Unknown"]);
    // Elsewhere it was not checked.
    catalog.put(&identity("web", "a"), Source::File, facts(9), now(2)).unwrap();
    assert_eq!(standing(&catalog), [Unknown, Unknown, Unknown, Good, Good]);
    // What one source has found elsewhere says nothing of where the next one is.
    catalog.put(&identity("web", "b"), Source::File, facts(7), now(2)).unwrap();
    found(&mut catalog, 2, Health::Ill, "gone");
    catalog.remove(&identity("web", "b"), Source::Manual, now(3));
    assert_eq!(standing(&catalog), [Unknown, Unknown, Unknown, Good, Good]);
}

/// Its routes answer all the while, and after a restart of ours nobody has come back yet.
#[test]
fn a_lost_session_runs_until_it_is_found_ill() {
    let mut catalog = catalog();
    let api = identity("api", "1");
    catalog.put_session(&api, Some((facts(1), false)), now(0));
    let state = |catalog: &Catalog| {
        let shown = catalog.view().instance(&api).unwrap();
        (shown.lease, shown.state, shown.standing())
    };
    assert_eq!(state(&catalog), (Lease::Connection(false), State::Running, Standing::Away));
    catalog.check(&api, "main", Finding::new(Health::Ill, "connection refused"), now(1));
    assert_eq!(state(&catalog), (Lease::Connection(false), State::Failed, Standing::Bad));
    catalog.put_session(&api, Some((facts(1), true)), now(2));
    assert_eq!(state(&catalog), (Lease::Connection(true), State::Running, Standing::Bad));
    catalog.check(&api, "main", Finding::new(Health::Well, "check_passed"), now(3));
    let want =
        ["+api", "api:running>failed", "api:Ill", "~api/1", "api:failed>running", "api:Well"];
    assert_eq!(told(&catalog, 0), want);
}

/// Whoever made the address real has to know that it is free again.
#[test]
fn an_address_that_goes_is_told_although_another_source_is_believed() {
    let name = Identity::alone("web").unwrap();
    let mut catalog = catalog();
    catalog.put_session(&name, Some((facts(4), true)), now(0));
    let before = catalog.view().seq();
    catalog.register_heartbeat(&name, peer(1), now(1)).unwrap();
    catalog.expire(now(61));
    assert_eq!(told(&catalog, before), ["~web/web", "~web/web"]);
    assert_eq!(catalog.view().instance(&name).unwrap().given, None);
}

#[test]
fn addresses_and_ports_run_out() {
    let last = Ipv4Addr::new(10, 0, 0, 100);
    let one_address = Config { addresses: (last, last), ..Config::default() };
    let one_port = Config { ports: 9000..=9000, ..Config::default() };
    let full = Config { entries_max: 1, ..Config::default() };
    for (config, want) in [
        (one_address, "no free address in 10.0.0.100-10.0.0.100"),
        (one_port, "no free port"),
        (full, "the catalog is full (1 entries)"),
    ] {
        let mut catalog = Catalog::new(config, [1; 32]);
        catalog.register_heartbeat(&identity("a", "a"), peer(1), now(0)).unwrap();
        let error = catalog.register_heartbeat(&identity("b", "b"), peer(1), now(0)).unwrap_err();
        assert_eq!(error.to_string(), want);
        catalog.remove(&identity("a", "a"), Source::Heartbeat, now(1));
        catalog.register_heartbeat(&identity("b", "b"), peer(1), now(2)).unwrap();
    }
}

#[test]
fn a_lost_session_is_shown_last() {
    let mut catalog = catalog();
    let table = [("a", false, 1), ("b", true, 2), ("c", true, 3)];
    for (instance, connected, port) in table {
        let said = Some((facts(port), connected));
        catalog.put_session(&identity("api", instance), said, now(0));
    }
    let ill = |reason: &str| Finding::new(Health::Ill, reason);
    catalog.check(&identity("api", "b"), "main", ill("connection refused"), now(1));
    catalog.check(&identity("api", "b"), "none", ill("not ours"), now(1));
    catalog.check(&identity("api", "b"), "main", ill("again"), now(2));
    let service = catalog.view().service("api").unwrap();
    let shown: Vec<_> = service
        .endpoints()
        .iter()
        .map(|found| (found.endpoint.port, found.instance.standing_of(found.endpoint)))
        .collect();
    assert_eq!(shown, [(3, Standing::Good), (1, Standing::Away), (2, Standing::Bad)]);
    assert_eq!(service.first().unwrap().identity.instance.as_str(), "c");
    assert_eq!(told(&catalog, 3), ["api:Ill"]);
    // What was found does not outlive the endpoint it was found about.
    let gone = Some((Facts::default(), true));
    catalog.put_session(&identity("api", "b"), gone, now(3));
    catalog.put_session(&identity("api", "b"), Some((facts(2), true)), now(3));
    assert_eq!(catalog.view().instance(&identity("api", "b")).unwrap().checks, []);
}

/// Whoever is about to leave comes after whoever may be back.
#[test]
fn who_drains_comes_after_all_that_are_well() {
    let mut catalog = catalog();
    let draining = |port| Facts { is_draining: true, ..facts(port) };
    catalog.put_session(&identity("web", "1"), Some((draining(1), true)), now(0));
    let shown = |catalog: &Catalog| {
        let service = catalog.view().service("web").unwrap();
        let first = service.first().unwrap();
        (first.identity.instance.to_string(), first.standing(), first.is_active())
    };
    assert_eq!(shown(&catalog), ("1".into(), Standing::Draining, false));
    catalog.put_session(&identity("web", "2"), Some((facts(2), false)), now(0));
    assert_eq!(shown(&catalog), ("2".into(), Standing::Away, true));
    catalog.check(&identity("web", "2"), "main", Finding::new(Health::Ill, "refused"), now(0));
    assert_eq!(shown(&catalog), ("1".into(), Standing::Draining, false));
    let before = catalog.view().seq();
    catalog.put_session(&identity("web", "1"), Some((facts(1), true)), now(1));
    assert_eq!(shown(&catalog), ("1".into(), Standing::Good, true));
    assert_eq!(told(&catalog, before), ["~web/1"]);
}

#[test]
fn what_a_live_source_says_cannot_be_changed_by_others() {
    let mut catalog = catalog();
    let (live, calm) = (identity("live", "1"), identity("calm", "1"));
    catalog.put_session(&live, Some((facts(1), true)), now(0));
    catalog.put(&calm, Source::Api, facts(1), now(0)).unwrap();
    let refused = catalog.set_state(&live, State::Stopping, now(1)).unwrap_err();
    assert_eq!(refused.to_string(), "live/1 belongs to a live session: change it there");
    assert_eq!(catalog.set_state(&calm, State::Starting, now(1)), Ok(State::Registered));
    let refused = catalog.set_state(&calm, State::Starting, now(1)).unwrap_err();
    assert_eq!(refused.to_string(), "Invalid state transition: Starting -> Starting");
    let refused = catalog.touch(&identity("x", "y"), now(1)).unwrap_err();
    assert_eq!(refused.to_string(), "x/y is not in the catalog");
    catalog.touch(&calm, now(7)).unwrap();
    assert_eq!(catalog.view().instance(&calm).unwrap().last_seen, Some(now(7).wall));
}

#[test]
fn a_file_says_everything_at_once() {
    let mut catalog = catalog();
    let one = |name: &str, port| (identity(name, name), facts(port));
    let read = |catalog: &mut Catalog, entries| catalog.put_all(Source::File, entries, now(1));
    assert_eq!(read(&mut catalog, vec![one("a", 1), one("b", 2), one("a", 9)]), Ok(2));
    assert_eq!(read(&mut catalog, vec![one("a", 1), one("b", 2)]), Ok(0));
    assert_eq!(read(&mut catalog, vec![one("b", 3), one("c", 4)]), Ok(3));
    let want = ["+a", "+b", "-a", "~b/b", "@b/b", "+c"];
    assert_eq!(told(&catalog, 0), want);
    // All of it or nothing, and who leaves makes room.
    let bad = Facts { endpoints: facts(0).endpoints, ..Facts::default() };
    let refused = read(&mut catalog, vec![one("d", 1), (identity("e", "e"), bad)]);
    assert_eq!(refused.unwrap_err().to_string(), "port must be 1 to 65535");
    assert_eq!(told(&catalog, 0), want);
    let mut full = Catalog::new(Config { entries_max: 1, ..Config::default() }, [1; 32]);
    assert_eq!(read(&mut full, vec![one("a", 1)]), Ok(1));
    assert_eq!(read(&mut full, vec![one("b", 1)]), Ok(2));
}

#[test]
fn names_in_any_case() {
    let mut catalog = catalog();
    for name in ["API", "api", "Web"] {
        catalog.put(&identity(name, "1"), Source::Manual, facts(1), now(0)).unwrap();
    }
    let named = |catalog: &Catalog, name: &str| {
        catalog.view().service_in_any_case(name).map(|service| service.name.to_string())
    };
    #[rustfmt::skip]
    let table = [("api", Some("api")), ("API", Some("api")), ("Api", Some("api")), ("WEB", Some("Web")), ("x", None)];
    for (name, want) in table {
        assert_eq!(named(&catalog, name).as_deref(), want, "{name}");
    }
    catalog.remove(&identity("api", "1"), Source::Manual, now(1));
    assert_eq!(named(&catalog, "api").as_deref(), Some("API"));
    assert!(!catalog.view().has_departed("api"));
    for name in ["A", "a"] {
        catalog.put(&identity("Web", name), Source::Manual, facts(1), now(0)).unwrap();
    }
    let web = catalog.view().service("Web").unwrap();
    let instance = |name| web.instance_in_any_case(name).map(|it| it.identity.instance.to_string());
    let found = ["A", "a", "1", "b"].map(instance);
    assert_eq!(found, [Some("a"), Some("a"), Some("1"), None].map(|it| it.map(str::to_owned)));
    catalog.remove(&identity("API", "1"), Source::Manual, now(1));
    assert!(named(&catalog, "Api").is_none() && catalog.view().has_departed("api"));
}

#[test]
fn names_that_were_known_stay_known() {
    let (mut catalog, mut image) = (catalog(), Image::default());
    catalog.put(&identity("API", "1"), Source::Manual, facts(1), now(0)).unwrap();
    catalog.put(&identity("left", "1"), Source::Manual, facts(1), now(0)).unwrap();
    catalog.put_session(&identity("Blue", "1"), Some((facts(1), true)), now(0));
    catalog.put(&identity("file", "1"), Source::File, facts(1), now(0)).unwrap();
    catalog.remove(&identity("left", "1"), Source::Manual, now(1));
    catalog.take_records().iter().for_each(|record| image.apply(record));
    let mut restored = Catalog::new(Config::default(), [2; 32]);
    restored.restore(image.clone(), now(2));
    let has_departed = |catalog: &Catalog| {
        ["api", "left", "BLUE", "file", "never"].map(|name| catalog.view().has_departed(name))
    };
    assert_eq!(has_departed(&restored), [false, true, true, true, false]);
    // What comes back is there, and needs no writing.
    restored.put_session(&identity("Blue", "1"), Some((facts(1), false)), now(3));
    assert_eq!(has_departed(&restored), [false, true, false, true, false]);
    restored.put_session(&identity("Blue", "2"), Some((facts(1), true)), now(3));
    assert_eq!(restored.take_records(), []);
    for instance in ["1", "2"] {
        restored.put_session(&identity("Blue", instance), None, now(4));
    }
    assert_eq!(has_departed(&restored), [false, true, true, true, false]);
    let last = image.names.iter().map(|(_, number)| *number).max().unwrap();
    assert_eq!(restored.take_records(), [Record::PutName("blue".into(), last + 1)]);
}

/// What it does is one thing, and what was said about it later another.
#[test]
fn since_when_it_does_what_it_does_is_remembered() {
    use State::{Failed, Running, Starting, Stopped, Stopping};
    let (mut catalog, mut image) = (catalog(), Image::default());
    let web = identity("web", "1");
    catalog.put(&web, Source::Api, facts(1), now(1)).unwrap();
    let steps = [None, Some(Starting), Some(Running), Some(Stopping), Some(Stopped), Some(Failed)];
    for (step, at) in steps.into_iter().zip((10..).step_by(10)) {
        if let Some(to) = step {
            catalog.set_state(&web, to, now(at)).unwrap();
        }
        catalog.put(&web, Source::Api, facts(2), now(at + 1)).unwrap();
        catalog.touch(&web, now(at + 2)).unwrap();
        catalog.take_records().iter().for_each(|record| image.apply(record));
        let mut restored = Catalog::new(Config::default(), [2; 32]);
        restored.restore(image.clone(), now(at + 3));
        let does = |catalog: &Catalog| {
            let shown = catalog.view().instance(&web).unwrap();
            (shown.state, shown.state_since, shown.updated_at)
        };
        let since = if step.is_none() { 1 } else { at };
        let want = (step.unwrap_or_default(), now(since).wall, now(at + 1).wall);
        assert_eq!((does(&catalog), does(&restored)), (want, want));
    }
}

#[test]
fn what_is_above_a_name() {
    let mut catalog = catalog();
    let names = ["a.b.C", "x.b.c", "A.b.c", "plain"];
    for name in names {
        catalog.put(&identity(name, "1"), Source::Manual, facts(1), now(0)).unwrap();
        catalog.put(&identity(name, "2"), Source::Manual, facts(1), now(0)).unwrap();
    }
    #[rustfmt::skip]
    let table = [("b.c", true), ("C", true), ("a.b.c", false), ("b", false), ("plain", false), ("", false)];
    for (name, want) in table {
        assert_eq!(catalog.view().is_above_a_name(name), want, "{name}");
    }
    // It stays so when they leave, as long as they are remembered, and after a restart.
    let mut image = Image::default();
    for name in names {
        catalog.remove(&identity(name, "1"), Source::Manual, now(1));
        catalog.remove(&identity(name, "2"), Source::Manual, now(1));
    }
    catalog.take_records().iter().for_each(|record| image.apply(record));
    let mut restored = Catalog::new(Config::default(), [2; 32]);
    restored.restore(image, now(2));
    for (name, want) in table {
        assert_eq!(catalog.view().is_above_a_name(name), want, "{name}");
        assert_eq!(restored.view().is_above_a_name(name), want, "{name}");
    }
}

#[test]
fn late_readers_begin_anew() {
    let mut catalog = catalog();
    let a = identity("a", "a");
    assert_eq!(catalog.view().changes_after(0).map(Iterator::count), Some(0));
    assert!(catalog.view().changes_after(1).is_none(), "not yet");
    for n in 0..=crate::CHANGES_MAX as u64 {
        if n % 2 == 0 {
            catalog.put(&a, Source::Manual, facts(1), now(n)).unwrap();
        } else {
            catalog.remove(&a, Source::Manual, now(n));
        }
    }
    let seq = catalog.view().seq();
    assert_eq!(seq, crate::CHANGES_MAX as u64 + 1);
    assert!(catalog.view().changes_after(0).is_none(), "forgotten");
    let kept: Vec<_> = catalog.view().changes_after(1).unwrap().map(|change| change.seq).collect();
    assert_eq!((kept.first(), kept.last()), (Some(&2), Some(&seq)));
}

#[test]
fn the_networks_of_this_machine_are_news_once() {
    let mut catalog = catalog();
    let net = crate::Interface {
        name: "wg0".into(),
        kind: crate::NetworkKind::WireGuard,
        addresses: vec!["10.42.0.1/16".parse().unwrap()],
    };
    assert!(catalog.set_topology(Topology::new(vec![net.clone()]), now(0)));
    assert!(!catalog.set_topology(Topology::new(vec![net]), now(1)));
    assert_eq!(told(&catalog, 0), ["topology"]);
}

#[test]
fn allocations_are_by_service_and_remembered() {
    let subnets = ["10.1.0.0/30", "10.2.0.0/30"].map(|net| net.parse().unwrap()).to_vec();
    let config = Config { subnets, ..Config::default() };
    let mut catalog = Catalog::new(config.clone(), [1; 32]);
    let got: Vec<_> =
        ["a", "b", "a", "c"].map(|name| catalog.allocate(name).map_err(|e| e.to_string())).into();
    let ip = |text: &str| Ok(text.parse().unwrap());
    let full = Err("no free address in 10.1.0.0/30, 10.2.0.0/30".to_owned());
    assert_eq!(got, [ip("10.1.0.2"), ip("10.2.0.2"), ip("10.1.0.2"), full]);
    assert_eq!(catalog.release("b"), Some("10.2.0.2".parse().unwrap()));
    assert_eq!(catalog.release("b"), None);
    let mut image = Image::default();
    catalog.take_records().iter().for_each(|record| image.apply(record));
    let narrower = Config { subnets: config.subnets[1..].to_vec(), ..config };
    let mut restored = Catalog::new(narrower, [2; 32]);
    restored.restore(image, now(0));
    assert_eq!(restored.take_records(), [Record::RemoveAllocation("a".into())]);
    assert_eq!(
        super::Catalog::new(Config::default(), [1; 32]).allocate("a"),
        Err(Refusal::NoSubnets)
    );
}

#[test]
fn an_address_is_never_given_twice() {
    let nets = ["10.0.0.96/29", "10.0.0.96/28"].map(|net| net.parse().unwrap());
    let config = Config { subnets: nets.to_vec(), ..Config::default() };
    let mut catalog = Catalog::new(config.clone(), [1; 32]);
    let beat = |catalog: &mut Catalog, name| {
        let given = catalog.register_heartbeat(&Identity::alone(name).unwrap(), peer(1), now(0));
        given.unwrap().address.to_string()
    };
    let allocate = |catalog: &mut Catalog, name| catalog.allocate(name).unwrap().to_string();
    assert_eq!(beat(&mut catalog, "beat-1"), "10.0.0.100");
    let got = ["a", "b", "c", "d"].map(|name| allocate(&mut catalog, name));
    assert_eq!(got, ["10.0.0.98", "10.0.0.99", "10.0.0.101", "10.0.0.102"]);
    assert_eq!(allocate(&mut catalog, "e"), "10.0.0.103", "of the wider one");
    assert_eq!(beat(&mut catalog, "beat-2"), "10.0.0.104");

    let mut image = Image::default();
    catalog.take_records().iter().for_each(|record| image.apply(record));
    image.allocations.push(("thief".into(), "10.0.0.100".parse().unwrap()));
    let mut restored = Catalog::new(config, [2; 32]);
    restored.restore(image, now(0));
    assert_eq!(restored.take_records(), [Record::RemoveAllocation("thief".into())]);
}

#[test]
fn ids_are_uuids_and_outlive_us() {
    let ids = |seed| {
        let mut catalog = Catalog::new(Config::default(), [seed; 32]);
        let web = identity("web", "1");
        catalog.put_session(&web, Some((facts(1), true)), now(0));
        let session = catalog.view().instance(&web).unwrap().id.clone();
        catalog.put_session(&web, None, now(0));
        catalog.register_heartbeat(&web, peer(1), now(0)).unwrap();
        let heartbeat = catalog.view().instance(&web).unwrap().id.clone();
        catalog.remove(&web, Source::Heartbeat, now(0));
        let mut id_by = |source| {
            catalog.put(&web, source, facts(1), now(0)).unwrap();
            let id = catalog.view().instance(&web).unwrap().id.clone();
            catalog.remove(&web, source, now(0));
            id
        };
        let named = [session, id_by(Source::File), id_by(Source::Env), id_by(Source::Auto)];
        (named, [heartbeat, id_by(Source::Api), id_by(Source::Manual)])
    };
    let ((named, random), (named_again, random_again)) = (ids(1), ids(2));
    assert_eq!(named, named_again, "nobody remembers them");
    let all: BTreeSet<_> = named.iter().chain(&random).chain(&random_again).collect();
    assert_eq!(all.len(), 10);
    for (ids, version) in [(&named[..], b'5'), (&random[..], b'4')] {
        for id in ids {
            let form = (id.len(), id.as_bytes()[14], id.matches('-').count());
            assert_eq!(form, (36, version, 4), "{id}");
            assert!(b"89ab".contains(&id.as_bytes()[19]), "{id}");
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize, usize, u16),
    Session(usize, Option<(u16, bool)>),
    Beat(usize, u8),
    Remove(usize, usize),
    Check(usize, bool),
    CheckPlace(usize, u16, bool),
    Alive(usize),
    Seen(usize),
    Allocate(u8),
    Release(u8),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0_usize..4;
    let pinned = prop_oneof![Just(1_usize), Just(3), Just(5), Just(6)];
    let step = prop_oneof![
        (who.clone(), pinned, 1_u16..4).prop_map(|(w, s, p)| Step::Put(w, s, p)),
        (who.clone(), proptest::option::of((1_u16..4, any::<bool>())))
            .prop_map(|(w, said)| Step::Session(w, said)),
        (who.clone(), 1_u8..3).prop_map(|(w, p)| Step::Beat(w, p)),
        (who.clone(), 0_usize..7).prop_map(|(w, s)| Step::Remove(w, s)),
        (who.clone(), any::<bool>()).prop_map(|(w, h)| Step::Check(w, h)),
        (who.clone(), 1_u16..4, any::<bool>()).prop_map(|(w, p, h)| Step::CheckPlace(w, p, h)),
        who.clone().prop_map(Step::Alive),
        who.prop_map(Step::Seen),
        (0_u8..5).prop_map(Step::Allocate),
        (0_u8..5).prop_map(Step::Release),
        (0_u64..40).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..40)
}

/// What each source said last: the port, until when, and whether a connection is there.
type Naive = BTreeMap<(Identity, Source), (u16, u64, bool)>;
/// What was found last about the endpoint `main`, and where that was.
type Found = BTreeMap<Identity, (u16, bool)>;

/// The first that says something about an identity, and what.
fn first_of(naive: &Naive, of: &Identity) -> Option<(Source, u16, bool)> {
    let mut all = naive.iter().filter(|((identity, _), _)| identity == of);
    all.next().map(|((_, source), (port, _, connected))| (*source, *port, *connected))
}

fn standing_by(first: (Source, u16, bool), found: Option<&(u16, bool)>) -> Standing {
    let (source, port, connected) = first;
    let found = found.filter(|(at, _)| *at == port && source != Source::Heartbeat);
    match (source, found) {
        (_, Some((_, false))) => Standing::Bad,
        (Source::Session, _) if !connected => Standing::Away,
        (Source::Session | Source::Heartbeat | Source::Auto, _) | (_, Some((_, true))) => {
            Standing::Good
        }
        (_, None) => Standing::Unknown,
    }
}

/// What has a number when it changes.
fn numbered(catalog: &Catalog) -> impl PartialEq + std::fmt::Debug + use<> {
    let instances = catalog.view().services().flat_map(|service| &service.instances);
    let each = instances.map(|i| {
        let health = |(name, check): &(Box<str>, Check)| (name.clone(), check.found.health);
        let known = i.checks.iter().map(health).filter(|(_, health)| *health != Health::Unknown);
        let said = (i.facts.clone(), i.source, i.given, i.lease, i.state);
        (i.identity.clone(), said, known.collect::<Vec<_>>())
    });
    each.collect::<Vec<_>>()
}

/// Everything about everybody.
fn all_of(catalog: &Catalog) -> Vec<Instance> {
    let instances = catalog.view().services().flat_map(|service| &service.instances);
    instances.map(|instance| Instance::clone(instance)).collect()
}

proptest! {
    /// Whatever was said in whatever order: shown is, for each identity, what its first source
    /// said last, and how it was found there; changes lead from nothing to what is shown, and there
    /// is one exactly when there is something new; what is remembered leads there again.
    #[test]
    fn shows_what_a_naive_list_shows(steps in steps()) {
        let all = [identity("a", "1"), identity("a", "2"), identity("b", "1"), identity("c", "1")];
        // Room for two, and five want an address.
        let subnets = ["10.1.0.0/30", "10.2.0.0/30"].map(|net| net.parse().unwrap()).to_vec();
        let config = Config { checks: true, subnets, ..Config::default() };
        let mut catalog = Catalog::new(config.clone(), [1; 32]);
        let pool = ["10.1.0.2", "10.2.0.2"].map(|text| text.parse::<Ipv4Addr>().unwrap());
        let mut allocated: BTreeMap<String, Ipv4Addr> = BTreeMap::new();
        let (mut naive, mut found) = (Naive::new(), Found::new());
        let mut image = Image::default();
        let mut at = 0;
        for step in steps {
            let was = (numbered(&catalog), catalog.view().seq());
            let looked = (all_of(&catalog), catalog.view().version(), allocated.clone());
            match step {
                Step::Put(who, source, port) => {
                    let source = Source::ALL[source];
                    catalog.put(&all[who], source, facts(port), now(at)).unwrap();
                    naive.insert((all[who].clone(), source), (port, u64::MAX, true));
                }
                Step::Session(who, said) => {
                    let key = (all[who].clone(), Source::Session);
                    let facts = said.map(|(port, connected)| (facts(port), connected));
                    catalog.put_session(&all[who], facts, now(at));
                    match said {
                        Some((port, here)) => drop(naive.insert(key, (port, u64::MAX, here))),
                        None => drop(naive.remove(&key)),
                    }
                }
                Step::Beat(who, from) => {
                    let key = (all[who].clone(), Source::Heartbeat);
                    let given = catalog.register_heartbeat(&all[who], peer(from), now(at));
                    if let Ok(given) = given {
                        naive.insert(key, (given.port, at + 60, true));
                    } else {
                        prop_assert!(naive.contains_key(&key));
                    }
                }
                Step::Remove(who, source) => {
                    let source = Source::ALL[source];
                    let did = catalog.remove(&all[who], source, now(at));
                    prop_assert_eq!(did, naive.remove(&(all[who].clone(), source)).is_some());
                }
                Step::Check(who, passed) => {
                    let finding = Finding::new(Health::of(passed), "checked");
                    catalog.check(&all[who], "main", finding, now(at));
                    let mut spoken = naive.clone();
                    spoken.retain(|(_, source), _| *source != Source::Heartbeat);
                    if let Some((_, port, _)) = first_of(&spoken, &all[who]) {
                        found.insert(all[who].clone(), (port, passed));
                    }
                }
                Step::CheckPlace(who, port, passed) => {
                    let finding = Finding::new(Health::of(passed), "checked");
                    let place = facts(port).endpoints[0].place();
                    catalog.check_place(&all[who].service, &place, &finding, now(at));
                    for of in all.iter().filter(|of| of.service == all[who].service) {
                        let first = first_of(&naive, of);
                        if first.is_some_and(|(source, at, _)| source.is_silent() && at == port) {
                            found.insert(of.clone(), (port, passed));
                        }
                    }
                }
                Step::Alive(who) => {
                    let key = (all[who].clone(), Source::Heartbeat);
                    let held = naive.get_mut(&key);
                    prop_assert_eq!(catalog.beat(&all[who], now(at)), held.is_some());
                    if let Some((_, until, _)) = held {
                        *until = at + 60;
                    }
                }
                Step::Seen(who) => {
                    let touched = catalog.touch(&all[who], now(at));
                    prop_assert_eq!(touched.is_ok(), first_of(&naive, &all[who]).is_some());
                    if touched.is_ok() {
                        let shown = catalog.view().instance(&all[who]).unwrap();
                        prop_assert_eq!(shown.last_seen, Some(now(at).wall));
                    }
                }
                Step::Allocate(name) => {
                    let name = format!("s{name}");
                    let free = pool.iter().find(|ip| !allocated.values().any(|held| held == *ip));
                    let want = allocated.get(&name).or(free).copied();
                    prop_assert_eq!(catalog.allocate(&name).ok(), want);
                    allocated.extend(want.map(|ip| (name, ip)));
                }
                Step::Release(name) => {
                    let name = format!("s{name}");
                    prop_assert_eq!(catalog.release(&name), allocated.remove(&name));
                }
                Step::Wait(seconds) => {
                    at += seconds;
                    catalog.expire(now(at));
                    naive.retain(|_, (_, until, _)| *until > at);
                }
            }
            catalog.take_records().iter().for_each(|record| image.apply(record));
            found.retain(|of, (port, _)| {
                let says = |((who, source), (at, ..)): (&(Identity, Source), &(u16, u64, bool))| {
                    who == of && *source != Source::Heartbeat && at == port
                };
                naive.iter().any(says)
            });

            let want: BTreeMap<_, _> = all
                .iter()
                .filter_map(|of| {
                    let first = first_of(&naive, of)?;
                    let (source, port, _) = first;
                    Some((of.clone(), (source, port, standing_by(first, found.get(of)))))
                })
                .collect();
            let shown: BTreeMap<_, _> = catalog
                .view()
                .services()
                .flat_map(|service| &service.instances)
                .map(|i| (i.identity.clone(), (i.source, i.facts.endpoints[0].port, i.standing())))
                .collect();
            prop_assert_eq!(&shown, &want);
            prop_assert_eq!(was.0 != numbered(&catalog), was.1 != catalog.view().seq());
            let allocations: BTreeMap<_, _> =
                catalog.view().allocations().map(|(name, ip)| (name.to_owned(), ip)).collect();
            prop_assert_eq!(&allocations, &allocated);
            let looks_new = looked.0 != all_of(&catalog) || looked.2 != allocations;
            prop_assert_eq!(looks_new, looked.1 != catalog.view().version());
            let mut known = BTreeSet::new();
            for change in catalog.view().changes_after(0).unwrap() {
                match &change.what {
                    What::Registered(service, _) => prop_assert!(known.insert(service.clone())),
                    What::Deregistered(service, _) => prop_assert!(known.remove(service)),
                    other => prop_assert!(other.service().is_some_and(|s| known.contains(s))),
                }
            }
            let services: BTreeSet<_> = want.keys().map(|who| who.service.clone()).collect();
            prop_assert_eq!(known, services);
            // The end of a name is waited for, and so is what is to be shown soon.
            let ends = naive.values().map(|(_, until, _)| *until).filter(|until| *until < u64::MAX);
            let ends = ends.min().map(|until| now(until).mono);
            let (next, soon) = (catalog.next_deadline(), now(at + 10).mono);
            let is_soon = |next| next <= soon && ends.is_none_or(|ends| next <= ends);
            prop_assert!(next == ends || next.is_some_and(is_soon));
        }
        let mut restored = Catalog::new(config, [9; 32]);
        restored.restore(image.clone(), now(at));
        prop_assert_eq!(restored.take_records(), []);
        let allocations = restored.view().allocations().map(|(name, ip)| (name.to_owned(), ip));
        prop_assert_eq!(allocations.collect::<BTreeMap<_, _>>(), allocated);
        for entry in image.entries {
            let shown = restored.view().instance(&entry.identity).unwrap();
            prop_assert!(shown.sources.contains(&entry.source));
            let before = catalog.view().instance(&entry.identity).unwrap();
            prop_assert_eq!(shown.given, before.given);
            if before.source == entry.source {
                prop_assert_eq!(shown.state_since, before.state_since);
            }
        }
    }
}
