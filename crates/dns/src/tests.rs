//! What is answered, by question.

use std::net::IpAddr;
use std::time::Duration;

use catalog::{Catalog, Config, Endpoint, Facts, Identity, Protocol, Source, View};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use model::{BackendHost, InstanceName, Now, ServiceName};
use proptest::prelude::*;

use crate::answer::{Answer, Question, answer};
use crate::{Transport, Zone, respond};

fn zone() -> Zone {
    let mut zone = Zone::parse("proxyd.internal").unwrap();
    zone = zone.with_ttl(Duration::from_secs(5), Duration::from_secs(3));
    zone.addresses = vec![[127, 0, 0, 1].into()];
    zone
}

fn identity(service: &str, instance: &str) -> Identity {
    Identity {
        service: ServiceName::parse(service).unwrap(),
        instance: InstanceName::parse(instance).unwrap(),
    }
}

fn at(host: &str, port: u16, protocol: &str) -> Endpoint {
    let name = format!("{host}:{port}");
    let host = host.parse().map_or_else(|_| BackendHost::Name(host.into()), BackendHost::Ip);
    Endpoint::new(&name, host, port, Protocol::parse(protocol).unwrap())
}

/// One service of each kind.
fn view() -> View {
    let mut catalog = Catalog::new(Config::default(), [7; 32]);
    let now = Now::default();
    let long = "x".repeat(64);
    #[rustfmt::skip]
    let services = [
        ("web",     "1",     vec![at("10.1.0.1", 80, "http")]),
        ("Shop",    "One",   vec![at("10.2.0.1", 80, "http"), at("10.2.0.1", 443, "https")]),
        ("Shop",    "two",   vec![at("fd00::2", 80, "http")]),
        ("multi",   "m",     vec![at("10.3.0.1", 1, "tcp"), at("10.3.0.2", 2, "http"), at("fd00::3", 3, "http")]),
        ("v1.api",  "a.b",   vec![at("10.4.0.1", 8080, "http")]),
        ("named",   "n",     vec![at("db.example.com", 5432, "tcp")]),
        ("mixed",   "n",     vec![at("db.example.com", 5432, "tcp"), at("10.5.0.1", 5432, "tcp")]),
        ("local",   "l",     vec![at("localhost", 9, "tcp")]),
        ("empty",   "e",     vec![]),
        ("ill",     "bad",   vec![at("10.6.0.1", 1, "tcp")]),
        ("ill",     "good",  vec![at("10.6.0.2", 1, "tcp")]),
        ("allbad",  "b",     vec![at("10.7.0.1", 1, "tcp")]),
        ("twins",   "A",     vec![at("10.8.0.1", 1, "tcp")]),
        ("twins",   "a",     vec![at("10.8.0.2", 1, "tcp")]),
        ("odd",     &long,   vec![at("10.9.0.1", 1, "tcp")]),
        ("gone",    "g",     vec![at("10.10.0.1", 1, "tcp")]),
        ("gone.to", "g",     vec![at("10.10.0.1", 1, "tcp")]),
        ("was.in.Eu", "g",   vec![at("10.10.0.1", 1, "tcp")]),
    ];
    for (service, instance, endpoints) in services {
        let facts = Facts { endpoints, ..Facts::default() };
        catalog.put(&identity(service, instance), Source::Manual, facts, now).unwrap();
    }
    let said = Facts {
        endpoints: vec![Endpoint {
            metadata: vec![("zone".into(), "eu".into()), ("long".into(), "x".repeat(300).into())],
            ..at("10.11.0.1", 1, "http")
        }],
        version: Some("1.2.3".into()),
        metadata: Some("{\"a\":1}".into()),
        ..Facts::default()
    };
    catalog.put(&identity("told", "t"), Source::Manual, said, now).unwrap();
    let peer = IpAddr::from([192, 168, 1, 7]);
    catalog.register_heartbeat(&Identity::alone("beat").unwrap(), peer, now).unwrap();
    for (host, is_connected) in [("10.12.0.1", false), ("10.12.0.2", true)] {
        let facts = Facts { endpoints: vec![at(host, 1, "tcp")], ..Facts::default() };
        catalog.put_session(&identity("away", host), Some((facts, is_connected)), now);
    }
    catalog.check(
        &identity("ill", "bad"),
        "10.6.0.1:1",
        catalog::Finding::new(catalog::Health::Ill, "refused"),
        now,
    );
    catalog.check(
        &identity("allbad", "b"),
        "10.7.0.1:1",
        catalog::Finding::new(catalog::Health::Ill, "refused"),
        now,
    );
    for service in ["gone", "gone.to", "was.in.Eu"] {
        catalog.remove(&identity(service, "g"), Source::Manual, now);
    }
    catalog.view().clone()
}

fn shown(record: &Record) -> String {
    let data = match &record.data {
        RData::A(a) => a.0.to_string(),
        RData::AAAA(aaaa) => aaaa.0.to_string(),
        RData::SRV(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, srv.target),
        RData::TXT(txt) => {
            let texts = txt.txt_data.iter().map(|text| String::from_utf8_lossy(text).into_owned());
            texts.collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    };
    format!("{} {data}", record.record_type())
}

fn ask(view: &View, name: &str, kind: RecordType, draw: u16) -> Answer {
    let name = Name::from_ascii(name).unwrap();
    answer(&zone(), view, Question { name: &name, kind, draw })
}

#[test]
fn answers() {
    use RecordType as T;
    let view = view();
    let web = "SRV 0 1 80 1.web.proxyd.internal.";
    #[rustfmt::skip]
    let table: &[(&str, T, &[&str])] = &[
        // Addresses.
        ("web.proxyd.internal.",              T::A,     &["A 10.1.0.1"]),
        ("WEB.Proxyd.INTERNAL.",              T::A,     &["A 10.1.0.1"]),
        ("web.",                              T::A,     &["A 10.1.0.1"]),
        ("1.web.proxyd.internal.",            T::A,     &["A 10.1.0.1"]),
        ("10-1-0-1.web.proxyd.internal.",     T::A,     &["A 10.1.0.1"]),
        ("shop.proxyd.internal.",             T::A,     &["A 10.2.0.1"]),
        ("shop.proxyd.internal.",             T::AAAA,  &["AAAA fd00::2"]),
        ("oNE.shop.proxyd.internal.",         T::A,     &["A 10.2.0.1"]),
        ("fd00--2.shop.proxyd.internal.",     T::AAAA,  &["AAAA fd00::2"]),
        ("v1.api.proxyd.internal.",           T::A,     &["A 10.4.0.1"]),
        ("a.b.v1.api.proxyd.internal.",       T::A,     &["A 10.4.0.1"]),
        ("local.proxyd.internal.",            T::A,     &["A 127.0.0.1"]),
        ("named.proxyd.internal.",            T::A,     &["CNAME db.example.com."]),
        ("named.proxyd.internal.",            T::AAAA,  &["CNAME db.example.com."]),
        ("named.proxyd.internal.",            T::CNAME, &["CNAME db.example.com."]),
        ("mixed.proxyd.internal.",            T::A,     &["A 10.5.0.1"]),
        ("beat.proxyd.internal.",             T::A,     &["A 10.0.0.100"]),
        ("beat.beat.proxyd.internal.",        T::A,     &["A 10.0.0.100"]),
        // Health.
        ("ill.proxyd.internal.",              T::A,     &["A 10.6.0.2"]),
        ("bad.ill.proxyd.internal.",          T::A,     &["A 10.6.0.1"]),
        ("allbad.proxyd.internal.",           T::A,     &["A 10.7.0.1"]),
        ("away.proxyd.internal.",             T::A,     &["A 10.12.0.2"]),
        ("away.proxyd.internal.",             T::SRV,   &["SRV 0 1 1 10.12.0.2.away.proxyd.internal.", "SRV 10 1 1 10.12.0.1.away.proxyd.internal."]),
        // Ports, and where they are.
        ("web.proxyd.internal.",              T::SRV,   &[web]),
        ("1.web.proxyd.internal.",            T::SRV,   &[web]),
        ("_web._tcp.proxyd.internal.",        T::SRV,   &[web]),
        ("_WEB._TCP.proxyd.internal.",        T::SRV,   &[web]),
        ("_http._tcp.web.proxyd.internal.",   T::SRV,   &[web]),
        ("_http._tcp.1.web.proxyd.internal.", T::SRV,   &[web]),
        ("_https._tcp.shop.proxyd.internal.", T::SRV,   &["SRV 0 1 443 One.Shop.proxyd.internal."]),
        ("_v1.api._tcp.proxyd.internal.",     T::SRV,   &["SRV 0 1 8080 a.b.v1.api.proxyd.internal."]),
        ("multi.proxyd.internal.",            T::SRV,   &["SRV 0 1 1 10-3-0-1.multi.proxyd.internal.", "SRV 0 1 2 10-3-0-2.multi.proxyd.internal.", "SRV 0 1 3 fd00--3.multi.proxyd.internal."]),
        ("twins.proxyd.internal.",            T::SRV,   &["SRV 0 1 1 10-8-0-1.twins.proxyd.internal.", "SRV 0 1 1 10-8-0-2.twins.proxyd.internal."]),
        ("odd.proxyd.internal.",              T::SRV,   &["SRV 0 1 1 10-9-0-1.odd.proxyd.internal."]),
        ("named.proxyd.internal.",            T::SRV,   &["SRV 0 1 5432 db.example.com."]),
        ("beat.proxyd.internal.",             T::SRV,   &["SRV 0 1 9000 beat.beat.proxyd.internal."]),
        // What is said.
        ("told.proxyd.internal.",             T::TXT,   &["TXT instance=t health=good version=1.2.3 protocol=http zone=eu metadata={\"a\":1}"]),
        ("bad.ill.proxyd.internal.",          T::TXT,   &["TXT instance=bad health=bad protocol=tcp"]),
        ("empty.proxyd.internal.",            T::TXT,   &["TXT instance=e health=bad"]),
        // Who is where.
        ("1.0.1.10.in-addr.arpa.",            T::PTR,   &["PTR 1.web.proxyd.internal."]),
        ("100.0.0.10.in-addr.arpa.",          T::PTR,   &["PTR beat.beat.proxyd.internal."]),
        ("1.0.9.10.in-addr.arpa.",            T::PTR,   &["PTR odd.proxyd.internal."]),
        ("2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", T::PTR, &["PTR two.Shop.proxyd.internal."]),
        // The zone, and anything.
        ("proxyd.internal.",                  T::NS,    &["NS ns.proxyd.internal."]),
        ("ns.proxyd.internal.",               T::A,     &["A 127.0.0.1"]),
        ("web.proxyd.internal.",              T::ANY,   &["HINFO RFC8482 "]),
    ];
    for (name, kind, want) in table {
        let answer = ask(&view, name, *kind, 0);
        let got: Vec<_> = answer.answers.iter().map(shown).collect();
        assert_eq!(got, *want, "{name} {kind}");
        assert!(answer.is_authoritative && answer.authority.is_empty(), "{name} {kind}");
        assert!(answer.answers.iter().all(|record| record.ttl == 5), "{name} {kind}");
    }
}

#[test]
fn nothing_is_said_in_three_ways() {
    use RecordType as T;
    let view = view();
    let (nothing, unknown, outside) = (Some(false), Some(true), None);
    #[rustfmt::skip]
    let table = [
        // There, and nothing of that kind.
        ("web.proxyd.internal.",             T::AAAA,  nothing),
        ("web.proxyd.internal.",             T::MX,    nothing),
        ("empty.proxyd.internal.",           T::A,     nothing),
        ("empty.proxyd.internal.",           T::SRV,   nothing),
        ("proxyd.internal.",                 T::A,     nothing),
        ("ns.proxyd.internal.",              T::AAAA,  nothing),
        ("_web._tcp.proxyd.internal.",       T::A,     nothing),
        ("_web._udp.proxyd.internal.",       T::SRV,   nothing),
        ("_grpc._tcp.web.proxyd.internal.",  T::SRV,   nothing),
        ("1.0.1.10.in-addr.arpa.",           T::A,     nothing),
        // Below or above what is there: denying it would deny that, too.
        ("_tcp.proxyd.internal.",            T::A,     nothing),
        ("_tcp.web.proxyd.internal.",        T::A,     nothing),
        ("api.proxyd.internal.",             T::A,     nothing),
        ("b.v1.api.proxyd.internal.",        T::A,     nothing),
        ("2.web.proxyd.internal.",           T::A,     nothing),
        // Was there.
        ("gone.proxyd.internal.",            T::A,     nothing),
        ("GONE.proxyd.internal.",            T::A,     nothing),
        ("gone.",                            T::A,     nothing),
        ("g.gone.proxyd.internal.",          T::A,     nothing),
        ("_gone._tcp.proxyd.internal.",      T::SRV,   nothing),
        ("gone.to.proxyd.internal.",         T::A,     nothing),
        // Above what was there: who hears that it is not there asks for nothing below it (RFC 8020).
        ("to.proxyd.internal.",              T::A,     nothing),
        ("in.eu.proxyd.internal.",           T::A,     nothing),
        ("EU.proxyd.internal.",              T::A,     nothing),
        // Never known.
        ("never.proxyd.internal.",           T::A,     unknown),
        ("never.proxyd.internal.",           T::ANY,   unknown),
        ("a.never.proxyd.internal.",         T::A,     unknown),
        ("_never._tcp.proxyd.internal.",     T::SRV,   unknown),
        ("_http._tcp.never.proxyd.internal.", T::SRV,  unknown),
        ("_web.proxyd.internal.",            T::SRV,   unknown),
        ("u.proxyd.internal.",               T::A,     unknown),
        // Not ours.
        ("never.",                           T::A,     outside),
        ("com.",                             T::NS,    outside),
        ("api.",                             T::A,     outside),
        ("ns.",                              T::A,     outside),
        ("_tcp.",                            T::A,     outside),
        ("example.com.",                     T::A,     outside),
        ("internal.",                        T::A,     outside),
        ("web.internal.",                    T::A,     outside),
        ("webproxyd.internal.",              T::A,     outside),
        (".",                                T::NS,    outside),
        ("9.9.9.9.in-addr.arpa.",            T::PTR,   outside),
        ("1.10.in-addr.arpa.",               T::PTR,   outside),
        ("web.proxyd.internal.",             T::AXFR,  outside),
        ("proxyd.internal.",                 T::IXFR,  outside),
    ];
    for (name, kind, want) in table {
        let answer = ask(&view, name, kind, 0);
        assert!(answer.answers.is_empty(), "{name} {kind}: {:?}", answer.answers);
        let code = match want {
            None => ResponseCode::Refused,
            Some(true) => ResponseCode::NXDomain,
            Some(false) => ResponseCode::NoError,
        };
        assert_eq!(answer.code, code, "{name} {kind}");
        assert_eq!(answer.is_authoritative, want.is_some(), "{name} {kind}");
        let soa = answer.authority.iter().any(|record| {
            let RData::SOA(soa) = &record.data else { return false };
            (soa.minimum, record.ttl, record.name.to_string()) == (3, 3, "proxyd.internal.".into())
        });
        assert_eq!(soa, want.is_some(), "{name} {kind}");
    }
}

#[test]
fn every_target_leads_to_its_address() {
    let view = view();
    for service in view.services() {
        let name = format!("{}.proxyd.internal.", service.name);
        let answer = ask(&view, &name, RecordType::SRV, 0);
        for record in &answer.answers {
            let RData::SRV(srv) = &record.data else { panic!("{record}") };
            if !srv.target.to_string().ends_with("proxyd.internal.") {
                continue;
            }
            let glue = answer.additional.iter().filter(|record| record.name == srv.target);
            let mut glue: Vec<_> = glue.map(shown).collect();
            let resolved = [RecordType::A, RecordType::AAAA].into_iter().flat_map(|kind| {
                ask(&view, &srv.target.to_string(), kind, 0)
                    .answers
                    .iter()
                    .map(shown)
                    .collect::<Vec<_>>()
            });
            let mut resolved: Vec<_> = resolved.collect();
            glue.sort();
            resolved.sort();
            assert_eq!(glue, resolved, "{}", srv.target);
            assert_eq!(glue.len(), 1, "{}", srv.target);
        }
    }
}

/// Only these services.
fn of(services: &[(&str, &str, &[Endpoint])]) -> Catalog {
    let mut catalog = Catalog::new(Config::default(), [7; 32]);
    for (service, instance, endpoints) in services {
        let facts = Facts { endpoints: endpoints.to_vec(), ..Facts::default() };
        let name = identity(service, instance);
        catalog.put(&name, Source::Manual, facts, Now::default()).unwrap();
    }
    catalog
}

fn told(view: &View, name: &str, kind: RecordType) -> Vec<String> {
    let answer = ask(view, name, kind, 0);
    let owned = |record: &Record| format!("{} {}", record.name, shown(record));
    answer.answers.iter().map(owned).collect()
}

#[test]
fn the_server_has_a_name_that_leads_to_it() {
    for (service, server) in [
        ("web", "ns.proxyd.internal."),
        ("NS", "proxyd.internal."),
        ("a.ns", "ns.proxyd.internal."),
    ] {
        let mut catalog = of(&[(service, "1", &[at("10.0.0.9", 1, "tcp")])]);
        for server in [server, "ns.proxyd.internal."] {
            let view = catalog.view();
            let answer = ask(view, "proxyd.internal.", RecordType::NS, 0);
            assert_eq!(
                answer.answers.iter().map(shown).collect::<Vec<_>>(),
                [format!("NS {server}")]
            );
            let glue: Vec<_> =
                answer.additional.iter().map(|r| (r.name.to_string(), shown(r))).collect();
            assert_eq!(glue, [(server.to_owned(), "A 127.0.0.1".to_owned())], "{service}");
            assert_eq!(told(view, server, RecordType::A), [format!("{server} A 127.0.0.1")]);
            let soa = ask(view, "proxyd.internal.", RecordType::SOA, 0);
            let RData::SOA(soa) = &soa.answers[0].data else { panic!("{soa:?}") };
            assert_eq!(soa.mname.to_string(), server);
            // When it is gone the name is free again.
            catalog.remove(&identity(service, "1"), Source::Manual, Now::default());
        }
    }
    let catalog = of(&[("ns", "1", &[at("10.0.0.9", 1, "tcp")])]);
    let taken = told(catalog.view(), "ns.proxyd.internal.", RecordType::A);
    assert_eq!(taken, ["ns.proxyd.internal. A 10.0.0.9"]);
}

#[test]
fn aliases_are_followed_as_far_as_they_are_ours() {
    let named = |host: &str| vec![at(host, 80, "http")];
    let deep: Vec<_> = (0..20).map(|n| (format!("d{n}"), named(&format!("d{}", n + 1)))).collect();
    let mut services = vec![
        ("web", "1", vec![at("10.1.0.1", 80, "http"), at("fd00::1", 80, "http")]),
        ("cn", "c", named("web.proxyd.internal")),
        ("short", "s", named("WEB")),
        ("two", "t", named("cn.proxyd.internal.")),
        ("inst", "i", named("1.web.proxyd.internal")),
        ("own", "o", named("own.proxyd.internal")),
        ("bare", "b", named("bare")),
        ("a", "a", named("b.proxyd.internal")),
        ("b", "b", named("a.proxyd.internal")),
        ("away", "a", named("db.example.com")),
        ("never", "n", named("nobody.proxyd.internal")),
        ("empty", "e", vec![]),
        ("hollow", "h", named("empty")),
        ("other", "o", named("elsewhere")),
    ];
    services.extend(deep.iter().map(|(name, to)| (name.as_str(), "i", to.clone())));
    let services: Vec<_> = services.iter().map(|(s, i, at)| (*s, *i, at.as_slice())).collect();
    let catalog = of(&services);
    use RecordType as T;
    let (none, soa, denied) = (false, true, true);
    #[rustfmt::skip]
    let table: &[(&str, T, &[&str], bool, bool)] = &[
        ("cn",      T::A,     &["cn CNAME web", "web A 10.1.0.1"],                    none, !denied),
        ("cn",      T::AAAA,  &["cn CNAME web", "web AAAA fd00::1"],                  none, !denied),
        ("cn",      T::CNAME, &["cn CNAME web"],                                      none, !denied),
        ("c.cn",    T::A,     &["c.cn CNAME web", "web A 10.1.0.1"],                  none, !denied),
        ("short",   T::A,     &["short CNAME WEB", "WEB A 10.1.0.1"],                 none, !denied),
        ("two",     T::A,     &["two CNAME cn", "cn CNAME web", "web A 10.1.0.1"],    none, !denied),
        ("inst",    T::A,     &["inst CNAME 1.web", "1.web A 10.1.0.1"],              none, !denied),
        ("own",     T::A,     &[],                                                    soa,  !denied),
        ("OWN",     T::CNAME, &[],                                                    soa,  !denied),
        ("bare",    T::A,     &[],                                                    soa,  !denied),
        ("a",       T::A,     &["a CNAME b"],                                         soa,  !denied),
        ("b",       T::A,     &["b CNAME a"],                                         soa,  !denied),
        ("away",    T::A,     &["away CNAME db.example.com."],                        none, !denied),
        ("never",   T::A,     &["never CNAME nobody"],                                soa,  denied),
        ("hollow",  T::A,     &["hollow CNAME empty"],                                soa,  !denied),
        ("other",   T::A,     &["other CNAME elsewhere."],                            none, !denied),
        ("other",   T::SRV,   &["other SRV 0 1 80 elsewhere."],                       none, !denied),
        ("short",   T::SRV,   &["short SRV 0 1 80 WEB"],                              none, !denied),
    ];
    for (name, kind, want, soa, denied) in table {
        let asked = format!("{name}.proxyd.internal.");
        let got: Vec<_> = told(catalog.view(), &asked, *kind)
            .iter()
            .map(|record| record.replace(".proxyd.internal.", ""))
            .collect();
        assert_eq!(got, *want, "{name} {kind}");
        let answer = ask(catalog.view(), &asked, *kind, 0);
        assert_eq!(!answer.authority.is_empty(), *soa, "{name} {kind}");
        assert_eq!(answer.code == ResponseCode::NXDomain, *denied, "{name} {kind}");
    }
    let deep = told(catalog.view(), "d0.proxyd.internal.", RecordType::A);
    assert_eq!(deep.len(), crate::bounds::ALIASES_MAX);
}

#[test]
fn case_means_nothing_to_names_either() {
    let catalog = of(&[
        ("Case", "1", &[at("10.0.0.1", 1, "tcp")]),
        ("case", "1", &[at("10.0.0.2", 1, "tcp")]),
        ("web", "I", &[at("10.0.0.3", 1, "tcp")]),
        ("web", "i", &[at("10.0.0.4", 1, "tcp")]),
    ]);
    #[rustfmt::skip]
    let table = [
        ("case", "10.0.0.2"), ("Case", "10.0.0.2"), ("CASE", "10.0.0.2"),
        ("I.web", "10.0.0.4"), ("i.web", "10.0.0.4"), ("i.WEB", "10.0.0.4"),
    ];
    for (name, want) in table {
        let name = format!("{name}.proxyd.internal.");
        assert_eq!(told(catalog.view(), &name, RecordType::A), [format!("{name} A {want}")]);
    }
}

#[test]
fn addresses_are_told_in_one_form() {
    let catalog = of(&[("mapped", "m", &[at("::ffff:10.1.2.3", 1, "tcp")])]);
    let view = catalog.view();
    let name = "mapped.proxyd.internal.";
    assert_eq!(told(view, name, RecordType::A), ["mapped.proxyd.internal. A 10.1.2.3"]);
    assert!(told(view, name, RecordType::AAAA).is_empty());
    let back = ask(view, "3.2.1.10.in-addr.arpa.", RecordType::PTR, 0);
    assert_eq!(
        back.answers.iter().map(shown).collect::<Vec<_>>(),
        ["PTR m.mapped.proxyd.internal."]
    );
}

#[test]
fn nobody_speaks_for_us_in_texts() {
    let metadata = ["health", "HEALTH", "instance", "version", "protocol", "namespace", "metadata"];
    let metadata = metadata.map(|key| (key.into(), "spoof".into()));
    let said = [("zone".into(), "eu".into())].into_iter().chain(metadata).collect();
    let catalog = of(&[("web", "1", &[Endpoint { metadata: said, ..at("10.0.0.1", 1, "tcp") }])]);
    let told = told(catalog.view(), "web.proxyd.internal.", RecordType::TXT);
    assert_eq!(told, ["web.proxyd.internal. TXT instance=1 health=good protocol=tcp zone=eu"]);
}

/// A service of many instances.
fn crowd(instances: usize) -> View {
    let mut catalog = Catalog::new(Config::default(), [7; 32]);
    for n in 0..instances {
        let host = format!("10.0.{}.{}", n / 250, n % 250 + 1);
        let facts = Facts { endpoints: vec![at(&host, 80, "http")], ..Facts::default() };
        let name = identity("crowd", &format!("i{n:04}"));
        catalog.put(&name, Source::Manual, facts, Now::default()).unwrap();
    }
    catalog.view().clone()
}

#[test]
fn so_many_records_and_they_take_turns() {
    let view = crowd(200);
    let first = |draw| {
        let answer = ask(&view, "crowd.proxyd.internal.", RecordType::A, draw);
        assert_eq!(answer.answers.len(), crate::bounds::RECORDS_MAX);
        shown(&answer.answers[0])
    };
    assert_eq!([first(0), first(1), first(201)], ["A 10.0.0.1", "A 10.0.0.2", "A 10.0.0.2"]);
}

fn message(name: &str, kind: RecordType, payload: Option<u16>) -> Message {
    let mut message = Message::new(77, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    if let Some(payload) = payload {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
    }
    message
}

fn responded(view: &View, bytes: &[u8], transport: Transport) -> Option<(Vec<u8>, Message)> {
    let mut out = Vec::new();
    respond(&zone(), view, bytes, transport, &mut out)
        .then(|| (out.clone(), Message::from_vec(&out).unwrap()))
}

/// As many as fit, each of them whole.
#[test]
fn all_that_is_said_of_many_fits_over_tcp() {
    let mut catalog = Catalog::new(Config::default(), [7; 32]);
    for n in 0..70 {
        let pair = |key: usize| (format!("k{key:02}").into(), "v".repeat(28).into());
        let mut endpoint = at("10.0.0.1", 1, "tcp");
        endpoint.metadata = (0..30).map(pair).collect();
        let facts = Facts { endpoints: vec![endpoint], ..Facts::default() };
        let identity = identity("crowd", &format!("{n:02}"));
        catalog.put(&identity, Source::Manual, facts, Now::default()).unwrap();
    }
    let question = message("crowd.proxyd.internal.", RecordType::TXT, None).to_vec().unwrap();
    let (bytes, answer) = responded(catalog.view(), &question, Transport::Tcp).unwrap();
    assert!(bytes.len() > 60_000 && !answer.metadata.truncation, "{}", bytes.len());
    let whole: Vec<_> = answer.answers.iter().map(|record| shown(record).len()).collect();
    assert!(whole.len() > 55 && whole.iter().all(|len| *len == whole[0]), "{whole:?}");
    let (bytes, answer) = responded(catalog.view(), &question, Transport::Udp).unwrap();
    assert!(bytes.len() <= 512 && answer.metadata.truncation);
}

/// One name by heartbeats and by another source: who is believed says where it is.
#[test]
fn a_name_of_two_sources_is_where_the_first_one_says() {
    let mut catalog = Catalog::new(Config::default(), [7; 32]);
    let now = Now::default();
    let both = Identity::alone("both").unwrap();
    let addresses = |catalog: &Catalog| {
        let answer = ask(catalog.view(), "both.proxyd.internal.", RecordType::A, 0);
        answer.answers.iter().map(shown).collect::<Vec<_>>()
    };
    let facts = |host| Facts { endpoints: vec![at(host, 80, "http")], ..Facts::default() };
    catalog.register_heartbeat(&both, IpAddr::from([192, 168, 1, 7]), now).unwrap();
    catalog.put(&both, Source::Manual, facts("10.1.0.1"), now).unwrap();
    assert_eq!(addresses(&catalog), ["A 10.0.0.100"], "heartbeats come before what is written");
    catalog.put(&both, Source::Api, facts("10.1.0.2"), now).unwrap();
    assert_eq!(addresses(&catalog), ["A 10.1.0.2"]);
    catalog.remove(&both, Source::Api, now);
    assert_eq!(addresses(&catalog), ["A 10.0.0.100"]);
    // Another instance that can be relied on as much: all are where they are.
    let other = identity("both", "other");
    catalog.put(&other, Source::Api, facts("10.1.0.3"), now).unwrap();
    let real = ["A 10.1.0.3", "A 192.168.1.7"];
    let mut found = addresses(&catalog);
    found.sort();
    assert_eq!(found, real);
    catalog.check(
        &other,
        "10.1.0.3:80",
        catalog::Finding::new(catalog::Health::Ill, "refused"),
        now,
    );
    assert_eq!(addresses(&catalog), ["A 10.0.0.100"]);
}

#[test]
fn nothing_larger_than_asked() {
    let view = crowd(200);
    let name = "crowd.proxyd.internal.";
    #[rustfmt::skip]
    let table = [
        (Transport::Udp, None,        RecordType::A,   512,    true),
        (Transport::Udp, Some(512),   RecordType::A,   512,    true),
        (Transport::Udp, Some(100),   RecordType::A,   512,    true),
        (Transport::Udp, Some(1232),  RecordType::A,   1232,   false),
        (Transport::Udp, Some(65535), RecordType::SRV, 1232,   true),
        (Transport::Tcp, None,        RecordType::SRV, 65_535, false),
        (Transport::UdpTooOften, None, RecordType::A,  40,     true),
    ];
    for (transport, payload, kind, most, is_truncated) in table {
        let question = message(name, kind, payload);
        let (bytes, answer) = responded(&view, &question.to_vec().unwrap(), transport).unwrap();
        assert!(bytes.len() <= most, "{transport:?} {payload:?}: {}", bytes.len());
        assert_eq!(answer.metadata.truncation, is_truncated, "{transport:?} {payload:?}");
        assert_eq!(answer.answers.is_empty(), is_truncated, "{transport:?} {payload:?}");
        assert_eq!(answer.edns.as_ref().map(Edns::max_payload), payload.map(|_| 1232));
        assert!(answer.metadata.authoritative && answer.metadata.recursion_desired);
        assert_eq!(answer.metadata.id, 77);
    }
}

#[test]
fn the_case_of_the_question_comes_back() {
    let name = "wEb.PrOxYd.InTeRnAl.";
    let question = message(name, RecordType::A, None).to_vec().unwrap();
    let (_, answer) = responded(&view(), &question, Transport::Udp).unwrap();
    assert_eq!(answer.queries[0].name().to_string(), name);
    assert_eq!(answer.answers[0].name.to_string(), name);
}

#[test]
fn what_is_no_question_of_ours() {
    let view = view();
    let good = message("web.proxyd.internal.", RecordType::A, Some(1232));
    let with = |change: &dyn Fn(&mut Message)| {
        let mut message = good.clone();
        change(&mut message);
        message.to_vec().unwrap()
    };
    let cut = |bytes: usize| good.to_vec().unwrap()[..bytes].to_vec();
    let count = |at: usize| {
        let mut bytes = good.to_vec().unwrap();
        bytes[at] = 0xFF;
        bytes
    };
    let chaos = with(&|message| {
        message.queries[0].set_query_class(DNSClass::CH);
    });
    let newer = with(&|message| {
        let mut edns = Edns::new();
        edns.set_version(1);
        message.set_edns(edns);
    });
    #[rustfmt::skip]
    let table = [
        ("good",       good.to_vec().unwrap(),                                           Some(ResponseCode::NoError)),
        ("an answer",  with(&|message| message.metadata.message_type = MessageType::Response), None),
        ("update",     with(&|message| message.metadata.op_code = OpCode::Update),       Some(ResponseCode::NotImp)),
        ("notify",     with(&|message| message.metadata.op_code = OpCode::Notify),       Some(ResponseCode::NotImp)),
        ("no question", with(&|message| message.queries.clear()),                        Some(ResponseCode::FormErr)),
        ("two",        with(&|message| message.queries.extend(good.queries.clone())),    Some(ResponseCode::FormErr)),
        ("half",       cut(20),                                                          Some(ResponseCode::FormErr)),
        ("no header",  cut(11),                                                          None),
        ("empty",      cut(0),                                                           None),
        ("65 thousand questions", count(4),                                              Some(ResponseCode::FormErr)),
        ("65 thousand additional", count(10),                                            Some(ResponseCode::FormErr)),
        ("chaos",      chaos,                                                            Some(ResponseCode::Refused)),
        ("EDNS 1",     newer,                                                            Some(ResponseCode::BADVERS)),
    ];
    for (what, bytes, want) in table {
        let answer = responded(&view, &bytes, Transport::Udp);
        // By number: BADVERS shares its own with another one.
        let code = answer.map(|(_, answer)| u16::from(answer.metadata.response_code));
        assert_eq!(code, want.map(u16::from), "{what}");
    }
}

proptest! {
    /// No bytes panic, and what goes out is a response, within bounds, to what came in.
    #[test]
    fn any_bytes(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
        is_header_good in any::<bool>(),
        transport in prop_oneof![Just(Transport::Udp), Just(Transport::UdpTooOften), Just(Transport::Tcp)],
    ) {
        if is_header_good && bytes.len() >= 12 {
            bytes[2..12].copy_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        }
        answered(&bytes, transport)?;
    }

    /// No name and no type does.
    #[test]
    fn any_question(
        labels in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 1..20),
                "(web|shop|One|v1|api|_tcp|_udp|_web|_http|_|10-1-0-1|fd00--2|1|0|10|gone|in-addr|ip6|arpa|ns|\\+|-)"
                    .prop_map(String::into_bytes),
            ],
            0..8,
        ),
        is_in_zone in any::<bool>(),
        kind in prop_oneof![
            any::<u16>(), Just(1), Just(28), Just(33), Just(16), Just(12), Just(255), Just(41),
        ],
        class in prop_oneof![Just(1_u16), any::<u16>()],
    ) {
        let mut bytes = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let zone = ["proxyd", "internal"].map(|label| label.as_bytes().to_vec());
        for label in labels.iter().chain(zone.iter().filter(|_| is_in_zone)) {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(label);
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend(class.to_be_bytes());
        answered(&bytes, Transport::Udp)?;
    }
}

thread_local! {
    static VIEW: View = view();
}

fn answered(bytes: &[u8], transport: Transport) -> Result<(), TestCaseError> {
    let mut out = Vec::new();
    if VIEW.with(|view| respond(&zone(), view, bytes, transport, &mut out)) {
        prop_assert_eq!(&out[..2], &bytes[..2]);
        prop_assert!(out[2] & 0x80 != 0, "a response");
        prop_assert!(transport == Transport::Tcp || out.len() <= 1232);
        prop_assert!(Message::from_vec(&out).is_ok(), "{out:?}");
    }
    Ok(())
}
