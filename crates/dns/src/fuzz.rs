//! What must hold for any bytes at all as a question.
//!
//! A fuzz target and a test over the committed corpus call this. A broken rule is a panic.

use std::net::IpAddr;

use catalog::{Catalog, Config, Endpoint, Facts, Identity, Protocol, Source, View};
use hickory_proto::op::Message;
use model::{BackendHost, InstanceName, Now, ServiceName};

use crate::bounds::UDP_BYTES_MAX;
use crate::{Transport, Zone, respond};

/// Answers `data` as each transport does.
///
/// What is answered is a response to what was asked, can be read, and is no larger than the transport
/// takes; over UDP nobody who is told to come by TCP gets more than he sent. The same question gets
/// the same answer.
///
/// # Panics
///
/// If one of these does not hold.
pub fn message(data: &[u8]) {
    thread_local! {
        static ASKED: (Zone, View) = (zone(), view());
    }
    ASKED.with(|(zone, view)| {
        for transport in [Transport::Udp, Transport::UdpTooOften, Transport::Tcp] {
            let (mut out, mut again) = (Vec::new(), Vec::new());
            let is_answered = respond(zone, view, data, transport, &mut out);
            assert_eq!(respond(zone, view, data, transport, &mut again), is_answered);
            if is_answered {
                assert_eq!(out, again, "the same question");
                answered(data, transport, &out);
            }
        }
    });
}

fn answered(data: &[u8], transport: Transport, out: &[u8]) {
    assert_eq!(data.get(..2), out.get(..2), "the number of the question");
    let answer = Message::from_vec(out).expect("an answer of ours can be read");
    assert_eq!(answer.metadata.message_type, hickory_proto::op::MessageType::Response);
    let most = match transport {
        Transport::Udp | Transport::UdpTooOften => usize::from(UDP_BYTES_MAX),
        Transport::Tcp => usize::from(u16::MAX),
    };
    assert!(out.len() <= most, "{} bytes over {transport:?}", out.len());
    if transport == Transport::UdpTooOften {
        assert!(out.len() <= data.len(), "{} bytes for {}", out.len(), data.len());
    }
}

fn zone() -> Zone {
    let mut zone = Zone::parse("proxyd.internal").expect("a good name");
    zone.addresses = vec![[127, 0, 0, 1].into()];
    zone
}

/// Host, port and protocol of each endpoint.
type Places = &'static [(&'static str, u16, &'static str)];

/// One service of each kind.
fn view() -> View {
    let mut catalog = Catalog::new(Config::default(), [7; 32]);
    let now = Now::default();
    let long = "x".repeat(200);
    #[rustfmt::skip]
    let services: [(&str, &str, Places); 7] = [
        ("web",    "1",   &[("10.1.0.1", 80, "http")]),
        ("Shop",   "One", &[("10.2.0.1", 80, "http"), ("fd00::2", 443, "https")]),
        ("v1.api", "a.b", &[("10.4.0.1", 8080, "http")]),
        ("named",  "n",   &[("db.example.com", 5432, "tcp")]),
        ("empty",  "e",   &[]),
        ("odd",    &long, &[("10.9.0.1", 1, "tcp")]),
        ("gone",   "g",   &[("10.10.0.1", 1, "tcp")]),
    ];
    let identity = |service: &str, instance: &str| Identity {
        service: ServiceName::parse(service).expect("a good name"),
        instance: InstanceName::parse(instance).expect("a good name"),
    };
    for (service, instance, endpoints) in services {
        let at = |(host, port, protocol): &(&str, u16, &str)| {
            let name = format!("{host}:{port}");
            let host = host.parse::<IpAddr>().map(BackendHost::Ip);
            let host = host.unwrap_or_else(|_| BackendHost::Name("db.example.com".into()));
            let protocol = Protocol::parse(protocol).expect("a good protocol");
            Endpoint::new(&name, host, *port, protocol)
        };
        let facts = Facts {
            endpoints: endpoints.iter().map(at).collect(),
            version: Some("1.2.3".into()),
            ..Facts::default()
        };
        let put = catalog.put(&identity(service, instance), Source::Manual, facts, now);
        put.expect("good facts");
    }
    // More than fits a datagram.
    for n in 0..100 {
        let at = BackendHost::Ip([10, 20, 0, n].into());
        let facts =
            Facts { endpoints: vec![Endpoint::new("e", at, 1, Protocol::Tcp)], ..Facts::default() };
        let put = catalog.put(&identity("many", &format!("m{n}")), Source::Manual, facts, now);
        put.expect("good facts");
    }
    let beat = Identity::alone("beat").expect("a good name");
    catalog.register_heartbeat(&beat, [192, 168, 1, 7].into(), now).expect("a free address");
    catalog.remove(&identity("gone", "g"), Source::Manual, now);
    catalog.view().clone()
}
