//! The catalog as a routing table.
//!
//! A service answers for its name as a host, alone and in the zone, and below its name as the
//! first segment of the path, which its endpoints do not see. Names are in any case, so of services
//! whose names differ in it only there is one here: the one that the catalog finds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use catalog::{Protocol, Reachable, Source, View};
use model::{
    BackendHost, BackendUrl, Generation, HealthProbe, HealthSpec, HostPattern, InstanceName,
    RouteConfig, RouteId, RouteOptions, RoutePath, RouteSpec, Scheme, ServiceName, name_segment,
};
use routing::{Edit, Entry, Table};

use crate::dial::place;
use crate::resolve::without_zone;

/// Makes tables, each from the one before it.
#[derive(Debug)]
pub(crate) struct Routes {
    zone: Box<str>,
    port_offset: u16,
    table: Arc<Table>,
    generation: Generation,
    last_route: u64,
    /// The routes of each name, in lower case.
    by_label: BTreeMap<Box<str>, Vec<(RouteId, Wanted)>>,
    /// Names some of whose routes could not be had, for another name has the same host. Looked at
    /// again with everything that changes: the other one may have left.
    lost: BTreeSet<Box<str>>,
}

/// A route that there is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    service: ServiceName,
    instance: InstanceName,
    spec: RouteSpec,
    config: Arc<RouteConfig>,
}

impl Routes {
    pub(crate) fn new(zone: &str, port_offset: u16) -> Self {
        Self {
            zone: zone.to_ascii_lowercase().into(),
            port_offset,
            table: Arc::default(),
            generation: Generation::default(),
            last_route: 0,
            by_label: BTreeMap::new(),
            lost: BTreeSet::new(),
        }
    }

    /// The newest table.
    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Looks at everything. Gives whether there is a new table.
    pub(crate) fn begin(&mut self, view: &View) -> bool {
        let there = view.services().map(|service| label(service.name.as_str()));
        let labels = there.chain(self.by_label.keys().cloned()).collect();
        self.change(view, labels)
    }

    /// Looks at services of which something may be different. Gives whether there is a new table.
    pub(crate) fn look<'a>(
        &mut self,
        view: &View,
        services: impl Iterator<Item = &'a ServiceName>,
    ) -> bool {
        let mut labels = BTreeSet::new();
        for service in services {
            let label = label(service.as_str());
            // It may have, or no longer have, the host that another one answers for in the zone.
            labels.extend(without_zone(&label, &self.zone).map(Box::from));
            labels.insert(label);
        }
        self.change(view, labels)
    }

    fn change(&mut self, view: &View, mut labels: BTreeSet<Box<str>>) -> bool {
        let mut edits = Vec::new();
        let lost_before = std::mem::take(&mut self.lost);
        labels.extend(lost_before.iter().cloned());
        for label in &labels {
            let mut held = self.by_label.remove(label).unwrap_or_default();
            let mut routes = Vec::new();
            for wanted in self.wanted(view, label) {
                let same = held.iter().position(|(_, held)| *held == wanted);
                routes.push(match same {
                    Some(at) => held.swap_remove(at),
                    None => {
                        self.last_route += 1;
                        let route = RouteId(self.last_route);
                        edits.push(Edit::Put(wanted.entry(route, self.generation.next())));
                        (route, wanted)
                    }
                });
            }
            edits.extend(held.into_iter().map(|(route, _)| Edit::Remove(route)));
            if !routes.is_empty() {
                self.by_label.insert(label.clone(), routes);
            }
        }
        let (is_new, lost) = self.publish(edits);
        for label in labels.into_iter().filter(|_| !lost.is_empty()) {
            let Some(held) = self.by_label.get_mut(&label) else { continue };
            let before = held.len();
            held.retain(|(route, _)| !lost.contains(route));
            if held.len() < before {
                if !lost_before.contains(&label) {
                    tracing::warn!(service = %label, "another service has the same host");
                }
                self.lost.insert(label);
            }
        }
        is_new
    }

    /// Gives whether there is a new table, and the routes that it has no place for.
    fn publish(&mut self, mut edits: Vec<Edit>) -> (bool, BTreeSet<RouteId>) {
        let next = self.generation.next();
        let mut all_lost = BTreeSet::new();
        while !edits.is_empty() {
            match self.table.with(edits.clone(), next) {
                Ok(changed) => {
                    self.table = Arc::new(changed.table);
                    self.generation = next;
                    return (true, all_lost);
                }
                Err(conflicts) => {
                    // By the names alone there is none; if there is, the others shall not suffer.
                    let lost: BTreeSet<_> = conflicts.iter().map(|lost| lost.route).collect();
                    let before = edits.len();
                    edits.retain(|edit| !matches!(edit, Edit::Put(e) if lost.contains(&e.route)));
                    all_lost.extend(lost);
                    if edits.len() == before {
                        return (false, all_lost);
                    }
                }
            }
        }
        (false, all_lost)
    }

    /// The routes of a name: one for each way to ask and each endpoint that can be relied on as
    /// much as the best one.
    fn wanted(&self, view: &View, label: &str) -> Vec<Wanted> {
        let Some(service) = view.service_in_any_case(label) else { return Vec::new() };
        let in_zone = format!("{label}.{}", self.zone);
        let is_anothers = view.service_in_any_case(&in_zone).is_some();
        let hosts = [Some(label), (!is_anothers).then_some(in_zone.as_str())];
        let domains: Vec<HostPattern> = hosts
            .into_iter()
            .flatten()
            .filter_map(|host| HostPattern::parse(host).ok())
            .filter(|pattern| matches!(pattern, HostPattern::Exact(_)))
            .collect();
        let mut ways = Vec::new();
        if let (false, Ok(path)) = (domains.is_empty(), RoutePath::parse("/")) {
            ways.push((domains, path, None));
        }
        // The data plane compares the first segment in this spelling.
        let prefix = format!("/{}", name_segment(label.as_bytes()));
        if let (true, Ok(path)) = (is_segment(label), RoutePath::parse(&prefix)) {
            ways.push((vec![HostPattern::Any], path, Some(prefix.into())));
        }

        let endpoints = service.endpoints();
        let standing = |found: &Reachable<'_>| found.instance.standing_of(found.endpoint);
        let best = endpoints.first().map(standing);
        let alike = endpoints.iter().filter(|found| Some(standing(found)) == best);
        let backends: Vec<_> = alike.filter_map(|found| self.backend(found)).collect();
        let mut wanted = Vec::new();
        for (domains, path, strip) in ways {
            let config = Arc::new(config(strip));
            for (instance, backend) in &backends {
                let new = Wanted {
                    service: service.name.clone(),
                    instance: instance.clone(),
                    spec: RouteSpec {
                        domains: domains.clone(),
                        path: path.clone(),
                        backend: backend.clone(),
                        priority: 0,
                    },
                    config: Arc::clone(&config),
                };
                if !wanted.contains(&new) {
                    wanted.push(new);
                }
            }
        }
        wanted
    }

    /// The URL of an endpoint, if HTTP can be meant.
    fn backend(&self, found: &Reachable<'_>) -> Option<(InstanceName, BackendUrl)> {
        let scheme = match &found.endpoint.protocol {
            Protocol::Tcp => Scheme::Http,
            Protocol::Url(scheme) => *scheme,
            Protocol::Other(_) => return None,
        };
        let instance = found.instance.identity.instance.clone();
        // A session's endpoint is named by its URL, which may have a path.
        if found.instance.source == Source::Session
            && let Ok(url) = BackendUrl::parse(&found.endpoint.name)
        {
            return Some((instance, url));
        }
        let (host, port) = place(found, self.port_offset)?;
        let host = match host {
            BackendHost::Ip(std::net::IpAddr::V6(ip)) => format!("[{ip}]"),
            BackendHost::Ip(ip) => ip.to_string(),
            BackendHost::Name(name) => name.into(),
        };
        let url = BackendUrl::parse(&format!("{}://{host}:{port}", scheme.as_str())).ok()?;
        Some((instance, url))
    }
}

impl Wanted {
    fn entry(&self, route: RouteId, since: Generation) -> Entry {
        Entry {
            route,
            service: self.service.clone(),
            instance: self.instance.clone(),
            spec: self.spec.clone(),
            config: Arc::clone(&self.config),
            since,
        }
    }
}

/// Nothing is checked: whether an endpoint is well is known to the catalog, and what fails is
/// taken out by the way.
fn config(strip_prefix: Option<Box<str>>) -> RouteConfig {
    let second = Duration::from_secs(1);
    RouteConfig {
        options: RouteOptions { strip_prefix, ..RouteOptions::default() },
        health: Some(HealthSpec { probe: HealthProbe::Off, interval: second, timeout: second }),
        ..RouteConfig::default()
    }
}

fn label(name: &str) -> Box<str> {
    name.to_ascii_lowercase().into()
}

/// Whether a name can be told in a path, where a dot alone is a step.
fn is_segment(name: &str) -> bool {
    name != "." && name != ".."
}

#[cfg(test)]
mod tests {
    use catalog::{Catalog, Config, Endpoint, Facts, Identity};
    use model::{Now, normalize_path};
    use routing::Head;

    use super::*;

    fn put(catalog: &mut Catalog, service: &str, instance: &str, endpoints: &[(&str, u16)]) {
        let identity = Identity {
            service: ServiceName::parse(service).unwrap(),
            instance: InstanceName::parse(instance).unwrap(),
        };
        let host = BackendHost::Ip([127, 0, 0, 1].into());
        let endpoint = |(protocol, port): &(&str, u16)| {
            let protocol = Protocol::parse(protocol).unwrap();
            Endpoint::new(&port.to_string(), host.clone(), *port, protocol)
        };
        let facts =
            Facts { endpoints: endpoints.iter().map(endpoint).collect(), ..Facts::default() };
        catalog.put(&identity, Source::Manual, facts, Now::default()).unwrap();
    }

    /// Where a request goes: service, and backends in order.
    fn asked(routes: &Routes, host: &str, path: &str) -> String {
        let normal = normalize_path(path.as_bytes()).unwrap().by_name();
        let head = Head { host: Some(host), raw_path: path, path: &normal };
        let Some(pool) = routes.table().find(head) else { return String::new() };
        let mut backends: Vec<String> = pool
            .members
            .iter()
            .map(|member| routes.table().get(member.route).unwrap().spec.backend.to_string())
            .collect();
        backends.sort();
        format!("{} {}", pool.service, backends.join(" "))
    }

    #[test]
    fn services_by_host_and_by_path() {
        let mut catalog = Catalog::new(Config::default(), [1; 32]);
        put(&mut catalog, "Web", "a", &[("http", 1)]);
        put(&mut catalog, "Web", "b", &[("https", 2), ("amqp", 3)]);
        put(&mut catalog, "db", "db", &[("tcp", 4)]);
        put(&mut catalog, "x.internal", "i", &[("http", 5)]);
        put(&mut catalog, "x", "i", &[("http", 6)]);
        put(&mut catalog, "mq", "i", &[("amqp", 7)]);
        put(&mut catalog, "a/b", "i", &[("http", 8)]);
        put(&mut catalog, "Twin", "i", &[("http", 9)]);
        put(&mut catalog, "twin", "i", &[("http", 10)]);
        put(&mut catalog, ".", "i", &[("http", 11)]);
        let mut routes = Routes::new("Internal", 0);
        assert!(routes.begin(catalog.view()));
        let web = "Web http://127.0.0.1:1 https://127.0.0.1:2";
        #[rustfmt::skip]
        let table = [
            ("web",          "/any",     web),
            ("web.internal", "/",        web),
            ("localhost",    "/web/x",   web),
            ("localhost",    "/Web",     web),
            ("localhost",    "/webs",    ""),
            ("db",           "/",        "db http://127.0.0.1:4"),
            ("x",            "/",        "x http://127.0.0.1:6"),
            ("x.internal",   "/",        "x.internal http://127.0.0.1:5"),
            ("mq",           "/",        ""),
            ("localhost",    "/a/b",     ""),
            ("localhost",    "/A%2Fb/c", "a/b http://127.0.0.1:8"),
            ("localhost",    "/WE%62/x", web),
            ("localhost",    "/twin",    "twin http://127.0.0.1:10"),
            ("localhost",    "/TWIN",    "twin http://127.0.0.1:10"),
            ("twin",         "/",        "twin http://127.0.0.1:10"),
            ("localhost",    "/./x",     "x http://127.0.0.1:6"),
            ("nobody",       "/",        ""),
        ];
        for (host, path, want) in table {
            assert_eq!(asked(&routes, host, path), want, "{host}{path}");
        }
    }

    #[test]
    fn a_host_that_another_service_had_is_taken_when_that_leaves() {
        let mut catalog = Catalog::new(Config::default(), [1; 32]);
        // Two names of services, one name of a host.
        let names = ["b\u{fc}cher", "xn--bcher-kva"];
        put(&mut catalog, names[0], "i", &[("http", 1)]);
        put(&mut catalog, names[1], "i", &[("http", 2)]);
        let named = |name: &str| ServiceName::parse(name).unwrap();
        let mut routes = Routes::new("internal", 0);
        assert!(routes.look(catalog.view(), [&named(names[0])].into_iter()));
        routes.look(catalog.view(), [&named(names[1])].into_iter());
        let owner = |routes: &Routes| asked(routes, "xn--bcher-kva", "/");
        assert_eq!(owner(&routes), "b\u{fc}cher http://127.0.0.1:1");
        assert_eq!(routes.lost.len(), 1);
        assert!(!routes.look(catalog.view(), [&named("nobody")].into_iter()), "still taken");

        let first =
            Identity { service: named(names[0]), instance: InstanceName::parse("i").unwrap() };
        catalog.remove(&first, Source::Manual, Now::default());
        assert!(routes.look(catalog.view(), [&first.service].into_iter()));
        assert_eq!(owner(&routes), "xn--bcher-kva http://127.0.0.1:2");
        assert!(routes.lost.is_empty());
    }

    #[test]
    fn only_what_changed_is_touched() {
        let mut catalog = Catalog::new(Config::default(), [1; 32]);
        put(&mut catalog, "web", "a", &[("http", 1), ("http", 2)]);
        put(&mut catalog, "x", "i", &[("http", 6)]);
        let mut routes = Routes::new("internal", 0);
        assert!(routes.begin(catalog.view()));
        assert!(!routes.begin(catalog.view()), "nothing is new");
        let before = Arc::clone(routes.table());
        let named = |name: &str| ServiceName::parse(name).unwrap();

        let web = Identity { service: named("web"), instance: InstanceName::parse("a").unwrap() };
        catalog.check(
            &web,
            "1",
            catalog::Finding::new(catalog::Health::Ill, "down"),
            Now::default(),
        );
        assert!(routes.look(catalog.view(), [&named("web")].into_iter()));
        assert_eq!(asked(&routes, "web", "/"), "web http://127.0.0.1:2");
        assert_eq!(routes.table().changes(&before).count(), 2, "one by host, one by path");

        catalog.check(
            &web,
            "2",
            catalog::Finding::new(catalog::Health::Ill, "down"),
            Now::default(),
        );
        assert!(routes.look(catalog.view(), [&named("web")].into_iter()));
        let both = "web http://127.0.0.1:1 http://127.0.0.1:2";
        assert_eq!(asked(&routes, "web", "/"), both, "where nothing is well, all are tried");

        // A service that has the name another one goes by in the zone takes it over.
        put(&mut catalog, "x.internal", "i", &[("http", 5)]);
        assert!(routes.look(catalog.view(), [&named("x.internal")].into_iter()));
        assert_eq!(asked(&routes, "x.internal", "/"), "x.internal http://127.0.0.1:5");
        assert_eq!(asked(&routes, "x", "/"), "x http://127.0.0.1:6");

        for (service, instance) in [("x.internal", "i"), ("web", "a")] {
            let identity = Identity {
                service: named(service),
                instance: InstanceName::parse(instance).unwrap(),
            };
            catalog.remove(&identity, Source::Manual, Now::default());
            assert!(routes.look(catalog.view(), [&identity.service].into_iter()));
        }
        assert_eq!(asked(&routes, "x.internal", "/"), "x http://127.0.0.1:6");
        assert_eq!(asked(&routes, "web", "/"), "");
        assert_eq!(routes.table().len(), 2);
    }
}
