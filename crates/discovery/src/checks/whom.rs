//! Which places are asked, and how.

use std::collections::{BTreeMap, BTreeSet};

use catalog::{Place, Protocol, View};
use model::{BackendHost, BackendUrl, Scheme, ServiceName};
use probe::{Check, Expect};

/// Words in names of protocols that nobody listens for on TCP.
const NOT_TCP: [&str; 6] = ["udp", "quic", "dtls", "h3", "http3", "wireguard"];

/// The places that are asked, and for whom. One place is asked once, however many services are
/// there.
#[derive(Debug, Default)]
pub(crate) struct Whom {
    places: BTreeMap<ServiceName, BTreeSet<Place>>,
    services: BTreeMap<Place, BTreeSet<ServiceName>>,
}

/// What is different after a look at a service.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Of these, somebody does not know yet how they are, or only knows how they were when they
    /// were asked for the last time.
    pub(crate) asked_for: BTreeSet<Place>,
    /// Nobody wants to know of these any more.
    pub(crate) gone: Vec<Place>,
}

impl Whom {
    /// Every service with places that are asked.
    pub(crate) fn services(&self) -> impl Iterator<Item = &ServiceName> {
        self.places.keys()
    }

    /// Who is at a place.
    pub(crate) fn at(&self, place: &Place) -> impl Iterator<Item = &ServiceName> {
        self.services.get(place).into_iter().flatten()
    }

    /// Looks at a service of which something may be different.
    pub(crate) fn look(&mut self, view: &View, name: &ServiceName) -> News {
        let mut news = News::default();
        let mut wanted = BTreeSet::new();
        let service = view.service(name.as_str());
        let instances = service.into_iter().flat_map(|service| &service.instances);
        for instance in instances.filter(|instance| instance.is_checked) {
            for endpoint in &instance.facts.endpoints {
                let place = endpoint.place();
                if instance.check_of(endpoint).is_none() {
                    news.asked_for.insert(place.clone());
                }
                wanted.insert(place);
            }
        }
        let before = self.places.remove(name).unwrap_or_default();
        for place in before.difference(&wanted) {
            if let Some(there) = self.services.get_mut(place) {
                there.remove(name);
                if there.is_empty() {
                    self.services.remove(place);
                    news.gone.push(place.clone());
                }
            }
        }
        for place in wanted.difference(&before) {
            // While another source was believed nobody asked, and what was found before is old.
            news.asked_for.insert(place.clone());
            self.services.entry(place.clone()).or_default().insert(name.clone());
        }
        if !wanted.is_empty() {
            self.places.insert(name.clone(), wanted);
        }
        news
    }
}

/// What is asked at a place (SPEC 4): `http`, `https` and `h2c` for an answer, everything else for
/// a connection.
///
/// # Errors
///
/// Why nothing can be.
pub(crate) fn question(view: &View, place: &Place) -> Result<(BackendUrl, Check), &'static str> {
    let http = Check::Http { path: "/".into(), expect: Expect::Below500 };
    let (scheme, check) = match &place.protocol {
        Protocol::Url(scheme @ (Scheme::Http | Scheme::Https | Scheme::H2c)) => (*scheme, http),
        Protocol::Url(Scheme::Ws | Scheme::Wss | Scheme::Grpc | Scheme::Grpcs) | Protocol::Tcp => {
            (Scheme::Http, Check::Tcp)
        }
        Protocol::Other(name)
            if name.split(['.', '+', '-']).any(|word| NOT_TCP.contains(&word)) =>
        {
            return Err("not checked: nothing listens on TCP");
        }
        Protocol::Other(_) => (Scheme::Http, Check::Tcp),
    };
    let host = match &place.host {
        // What connects there comes back to us, and from there to wherever the name leads.
        BackendHost::Ip(ip) if view.is_virtual(*ip) => {
            return Err("not checked: a virtual address of the heartbeat port");
        }
        BackendHost::Ip(std::net::IpAddr::V6(ip)) => format!("[{ip}]"),
        BackendHost::Ip(ip) => ip.to_string(),
        BackendHost::Name(name) => name.to_string(),
    };
    let url = BackendUrl::parse(&format!("{}://{host}:{}", scheme.as_str(), place.port));
    Ok((url.map_err(|_| "not checked: no host that can be connected to")?, check))
}

#[cfg(test)]
mod tests {
    use catalog::{Catalog, Config, Endpoint, Facts, Finding, Health, Identity, Source};
    use model::{InstanceName, Now};

    use super::*;

    fn place(host: &str, port: u16, protocol: &str) -> Place {
        let host = BackendHost::parse(host).unwrap();
        Place { host, port, protocol: Protocol::parse(protocol).unwrap() }
    }

    #[test]
    fn what_is_asked() {
        let mut catalog = Catalog::new(Config::default(), [1; 32]);
        let name = Identity::alone("x").unwrap();
        let peer = [127, 0, 0, 1].into();
        catalog.register_heartbeat(&name, peer, Now::default()).unwrap();
        #[rustfmt::skip]
        let table = [
            ("10.0.0.1",   "http",     Ok("http://10.0.0.1:7 Http")),
            ("web.test",   "https",    Ok("https://web.test:7 Http")),
            ("fd00::1",    "h2c",      Ok("h2c://[fd00::1]:7 Http")),
            ("10.0.0.1",   "ws",       Ok("http://10.0.0.1:7 Tcp")),
            ("10.0.0.1",   "grpcs",    Ok("http://10.0.0.1:7 Tcp")),
            ("10.0.0.1",   "tcp",      Ok("http://10.0.0.1:7 Tcp")),
            ("10.0.0.1",   "amqp",     Ok("http://10.0.0.1:7 Tcp")),
            ("10.0.0.1",   "udp",      Err("not checked: nothing listens on TCP")),
            ("10.0.0.1",   "dns+udp",  Err("not checked: nothing listens on TCP")),
            ("10.0.0.100", "tcp",      Err("not checked: a virtual address of the heartbeat port")),
        ];
        for (host, protocol, want) in table {
            let asked = question(catalog.view(), &place(host, 7, protocol));
            let asked = asked.map(|(url, check)| match check {
                Check::Tcp => format!("{url} Tcp"),
                Check::Http { .. } => format!("{url} Http"),
            });
            assert_eq!(asked.as_deref().map_err(|why| *why), want, "{protocol} at {host}");
        }
    }

    #[test]
    fn a_place_is_asked_while_somebody_is_there() {
        let config = Config { checks: true, ..Config::default() };
        let mut catalog = Catalog::new(config, [1; 32]);
        let mut whom = Whom::default();
        let named = |name: &str| ServiceName::parse(name).unwrap();
        let put = |catalog: &mut Catalog, service: &str, instance: &str, ports: &[u16]| {
            let instance = InstanceName::parse(instance).unwrap();
            let identity = Identity { service: named(service), instance };
            let endpoint = |port: &u16| {
                let Place { host, port, protocol } = place("127.0.0.1", *port, "tcp");
                Endpoint::new(&port.to_string(), host, port, protocol)
            };
            let endpoints = ports.iter().map(endpoint).collect();
            let facts = Facts { endpoints, ..Facts::default() };
            catalog.put(&identity, Source::Manual, facts, Now::default()).unwrap();
            identity
        };
        let at = |port| place("127.0.0.1", port, "tcp");
        put(&mut catalog, "a", "1", &[1, 2]);
        put(&mut catalog, "a", "2", &[2]);
        let b = put(&mut catalog, "b", "1", &[2]);
        let news = whom.look(catalog.view(), &named("a"));
        assert_eq!(news, News { asked_for: [at(1), at(2)].into(), gone: vec![] });
        let news = whom.look(catalog.view(), &named("b"));
        assert_eq!(news, News { asked_for: [at(2)].into(), gone: vec![] });
        let there: Vec<_> = whom.at(&at(2)).map(|service| service.as_str()).collect();
        assert_eq!(there, ["a", "b"]);

        let well = Finding::new(Health::Well, "connected");
        catalog.check_place(&named("a"), &at(2), &well, Now::default());
        put(&mut catalog, "a", "1", &[2, 3]);
        let news = whom.look(catalog.view(), &named("a"));
        assert_eq!(news, News { asked_for: [at(3)].into(), gone: vec![at(1)] });
        // Sessions are heard of in other ways.
        catalog.put_session(&b, Some((Facts::default(), true)), Now::default());
        assert_eq!(whom.look(catalog.view(), &named("b")), News::default());
        assert_eq!(whom.look(catalog.view(), &named("nobody")), News::default());
        // When the session ends, what was found before it came says nothing.
        put(&mut catalog, "c", "1", &[4]);
        let news = News { asked_for: [at(4)].into(), gone: vec![] };
        assert_eq!(whom.look(catalog.view(), &named("c")), news);
        catalog.check_place(&named("c"), &at(4), &well, Now::default());
        assert_eq!(whom.look(catalog.view(), &named("c")), News::default());
        let instance = InstanceName::parse("1").unwrap();
        let c = Identity { service: named("c"), instance };
        catalog.put_session(&c, Some((Facts::default(), true)), Now::default());
        let gone = News { asked_for: [].into(), gone: vec![at(4)] };
        assert_eq!(whom.look(catalog.view(), &named("c")), gone);
        catalog.put_session(&c, None, Now::default());
        assert_eq!(whom.look(catalog.view(), &named("c")), news);
        catalog.remove(&c, Source::Manual, Now::default());
        assert_eq!(whom.look(catalog.view(), &named("c")), gone);
        for instance in ["1", "2"] {
            let instance = InstanceName::parse(instance).unwrap();
            let identity = Identity { service: named("a"), instance };
            catalog.remove(&identity, Source::Manual, Now::default());
        }
        let news = whom.look(catalog.view(), &named("a"));
        assert_eq!(news, News { asked_for: [].into(), gone: vec![at(2), at(3)] });
        assert_eq!((whom.services().count(), whom.services.len()), (0, 0), "nothing is kept");
    }
}
