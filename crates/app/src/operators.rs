//! What operators ask about the catalog, and change in it: `CATALOG|what|json`.
//!
//! Answers are bounded: what does not fit one line of the protocol comes in pages, by name.

use std::net::Ipv4Addr;
use std::sync::Arc;

use catalog::{
    Catalog, Endpoint, Facts, Identity, Instance, Lease, Protocol, Service, Source, View,
};
use discovery::Handle;
use json_rpc::Reload;
use model::{BackendHost, Now, Refusal, Reply, Scheme};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::deployments::Deployments;

/// Bytes of a page, so that its answer fits a line (SPEC 2.1).
const PAGE_BYTES_MAX: usize = 48 * 1024;

/// Allocations in one page: with names as long as they may be, they fit.
const ALLOCATIONS_MAX: usize = 150;

/// Answers operators.
#[derive(Clone, Debug)]
pub(crate) struct Operators {
    catalog: Handle,
    /// Has the backends file read again, if there is one.
    reload: Option<Reload>,
    /// Brings packages to hosts, if there are any.
    deployments: Option<Arc<Deployments>>,
}

/// What may stand in a question.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct With {
    name: String,
    instance: Option<String>,
    /// The last name of the page before.
    after: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    protocol: Option<String>,
    description: Option<String>,
    namespace: Option<String>,
}

/// An answer, or why there is none.
type Said = Result<Value, Refusal>;

impl Operators {
    pub(crate) fn new(
        catalog: Handle,
        reload: Option<Reload>,
        deployments: Option<Arc<Deployments>>,
    ) -> Self {
        Self { catalog, reload, deployments }
    }

    /// Answers one question.
    pub(crate) async fn answer(&self, what: &str, with: &str) -> Reply {
        let said = match what {
            "deploy" | "deployment" => self.deploy(what, with).await,
            _ => self.ask(what, with).await,
        };
        match said {
            Ok(value) => Reply::Catalog(value.to_string().into()),
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    async fn deploy(&self, what: &str, with: &str) -> Said {
        let Some(deployments) = &self.deployments else {
            return Err(refused(deploy::Refused::Off));
        };
        match what {
            "deploy" => deployments.begin(with),
            _ => deployments.since(with).await,
        }
    }

    async fn ask(&self, what: &str, with: &str) -> Said {
        let with = serde_json::from_str::<With>(if with.is_empty() { "{}" } else { with })
            .map_err(|error| refused(format!("json: {error}")))?;
        let view = self.catalog.view();
        match what {
            "services" => Ok(services(&view, with.after.as_deref())),
            "endpoints" => Ok(endpoints(&view, with.after.as_deref())),
            "backends" => Ok(backends(&view, with.after.as_deref())),
            "service" => Named::find(&view, &with).map(|named| whole(&view, named)),
            "resolve" => Named::find(&view, &with).map(|named| resolved(&view, named)),
            "topology" => Ok(topology(&view)),
            "allocations" => Ok(allocations(&view, with.after.as_deref())),
            "reload" => match &self.reload {
                Some(reload) => {
                    let count = reload.ask().await.map_err(refused)?;
                    Ok(json!({ "count": count }))
                }
                None => Err(refused("[json_rpc] is off, and with it the backends file")),
            },
            "add" | "update" | "remove" | "ping" | "allocate" | "release" => {
                self.change(what, with).await
            }
            _ => Err(refused(
                "unknown question: want services, service, endpoints, backends, resolve, topology, \
                 allocations, add, update, remove, ping, reload, allocate, release, deploy or \
                 deployment",
            )),
        }
    }

    async fn change(&self, what: &str, with: With) -> Said {
        let what = what.to_owned();
        let changed =
            self.catalog.change(move |catalog, now| change(catalog, &what, &with, now)).await;
        changed.map_err(refused)?
    }
}

fn refused(reason: impl ToString) -> Refusal {
    Refusal::new(reason.to_string())
}

fn of_catalog(refusal: catalog::Refusal) -> Refusal {
    match &refusal {
        catalog::Refusal::Unknown(identity) => Refusal::not_in_catalog(identity),
        other => refused(other),
    }
}

fn change(catalog: &mut Catalog, what: &str, with: &With, now: Now) -> Said {
    let name = with.name.as_str();
    model::ServiceName::parse(name).map_err(|error| refused(format!("name {error}")))?;
    if what == "allocate" {
        let address = catalog.allocate(name).map_err(of_catalog)?;
        return Ok(json!({ "service": name, "address": address.to_string() }));
    }
    if what == "release" {
        let address = catalog.release(name);
        let address = address.ok_or_else(|| refused(format!("{name} has no address")))?;
        return Ok(json!({ "service": name, "address": address.to_string() }));
    }
    let (name, instance) = match &with.instance {
        Some(instance) => (name, instance.as_str()),
        // What is not there yet has the name that is given, whole.
        None if what == "add" => (name, name),
        None => meant(catalog.view(), name)?,
    };
    let identity = Identity {
        service: model::ServiceName::parse(name)
            .map_err(|error| refused(format!("name {error}")))?,
        instance: model::InstanceName::parse(instance)
            .map_err(|error| refused(format!("instance {error}")))?,
    };
    let held = catalog.view().instance(&identity).cloned();
    let is_ours = held.as_ref().is_some_and(|held| held.sources.contains(&Source::Manual));
    match what {
        "ping" => catalog.touch(&identity, now).map_err(of_catalog)?,
        "remove" if !catalog.remove(&identity, Source::Manual, now) => {
            return Err(not_ours(&identity, held.as_deref()));
        }
        "remove" => {}
        "add" if is_ours => {
            return Err(refused(format!("{identity} is there already: update it")));
        }
        "update" if !is_ours => return Err(not_ours(&identity, held.as_deref())),
        _ => {
            let before = held.as_deref().filter(|held| held.source == Source::Manual);
            let facts = facts(with, before.map(|held| &*held.facts)).map_err(refused)?;
            catalog.put(&identity, Source::Manual, facts, now).map_err(of_catalog)?;
        }
    }
    let shown = catalog.view().instance(&identity);
    Ok(shown.map_or(Value::Null, |shown| instance_json(catalog.view(), shown)))
}

/// Which instance is to be changed that is named in one word, as [`Named::find`] finds it; that of a
/// service alone has its name.
fn meant<'n>(view: &View, name: &'n str) -> Result<(&'n str, &'n str), Refusal> {
    if !name.contains('/') || view.service(name).is_some() {
        return Ok((name, name));
    }
    let is_there = |(service, instance): &(&str, &str)| {
        view.service(service).is_some_and(|service| service.instance(instance).is_some())
    };
    divided(name).find(is_there).ok_or_else(|| Refusal::not_in_catalog(name))
}

/// What `SERVICE/INSTANCE` may mean, as both may hold slashes.
fn divided(name: &str) -> impl Iterator<Item = (&str, &str)> {
    let slashes = name.match_indices('/');
    slashes.filter_map(|(at, slash)| Some((name.get(..at)?, name.get(at + slash.len()..)?)))
}

fn not_ours(identity: &Identity, held: Option<&Instance>) -> Refusal {
    match held {
        None => Refusal::not_in_catalog(identity),
        Some(held) => {
            refused(format!("{identity} was not added by hand, but by {}", way_out(held.source)))
        }
    }
}

/// Who says it, and what can be done about that.
const fn way_out(source: Source) -> &'static str {
    match source {
        Source::Session => "a session: change it there",
        Source::Api => "the service API: change it there",
        Source::Heartbeat => "heartbeats: end them",
        Source::Manual => "hand: change it",
        Source::Env => "the environment of proxyd: change that and restart",
        Source::File => "the backends file: change it there",
        Source::Auto => "proxyd itself: change [json_rpc] self in its configuration",
    }
}

/// What is given, and for the rest what was there.
fn facts(with: &With, before: Option<&Facts>) -> Result<Facts, String> {
    let mut facts = before.cloned().unwrap_or_default();
    let held = facts.endpoints.first();
    let host = match &with.host {
        Some(host) => BackendHost::parse(host).map_err(|_| "host must be a name or an address")?,
        None => held.map(|held| held.host.clone()).ok_or("host is wanted")?,
    };
    let port = with.port.or(held.map(|held| held.port)).ok_or("port is wanted")?;
    let protocol = match &with.protocol {
        Some(text) => Protocol::parse(text)
            .filter(|protocol| !matches!(protocol, Protocol::Other(_)))
            .ok_or("protocol must be one of http, https, h2c, ws, wss, grpc, grpcs, tcp")?,
        None => held.map_or(Protocol::Url(Scheme::Http), |held| held.protocol.clone()),
    };
    facts.endpoints = vec![Endpoint::new("main", host, port, protocol)];
    let keep = |new: &Option<String>, old: Option<Box<str>>| match new {
        Some(text) => (!text.is_empty()).then(|| text.as_str().into()),
        None => old,
    };
    facts.description = keep(&with.description, facts.description);
    facts.namespace = keep(&with.namespace, facts.namespace);
    Ok(facts)
}

/// A service that was asked for, or one instance of it.
#[derive(Clone, Copy, Debug)]
struct Named<'v> {
    service: &'v Service,
    instance: Option<&'v Instance>,
}

impl<'v> Named<'v> {
    /// What is named in two words, or in one: the service whose name it is, or else the instance of
    /// one that it is divided into.
    fn find(view: &'v View, with: &With) -> Result<Self, Refusal> {
        let name = &with.name;
        let service = view.service_in_any_case(name).map(|service| &**service);
        match (service, &with.instance) {
            (Some(service), None) => Ok(Self { service, instance: None }),
            (Some(service), Some(instance)) => Self::instance(service, instance)
                .ok_or_else(|| Refusal::not_in_catalog(format!("{}/{instance}", service.name))),
            (None, None) if name.contains('/') => divided(name)
                .find_map(|(service, instance)| {
                    Self::instance(view.service_in_any_case(service)?, instance)
                })
                .ok_or_else(|| Refusal::not_in_catalog(name)),
            (None, _) => Err(Refusal::not_in_catalog(format!("service {name}"))),
        }
    }

    fn instance(service: &'v Service, name: &str) -> Option<Self> {
        Some(Self { service, instance: Some(service.instance(name)?) })
    }

    fn holds(&self, instance: &Instance) -> bool {
        self.instance.is_none_or(|wanted| wanted.identity == instance.identity)
    }
}

/// As many as fit, and where the next page begins.
fn page<'v>(
    view: &'v View,
    after: Option<&str>,
    key: &str,
    shown: impl Fn(&'v Service) -> Value,
) -> Value {
    let mut size = 0;
    let mut entries = Vec::new();
    let later =
        view.services().filter(|service| after.is_none_or(|after| service.name.as_str() > after));
    for service in later {
        let entry = shown(service);
        size += entry.to_string().len() + 1;
        if size > PAGE_BYTES_MAX && !entries.is_empty() {
            let last = entries.last().and_then(|entry: &Value| entry.get("name")).cloned();
            return json!({ "count": view.len(), key: entries, "next": last });
        }
        entries.push(entry);
    }
    json!({ "count": view.len(), key: entries, "next": null })
}

fn services(view: &View, after: Option<&str>) -> Value {
    page(view, after, "services", |service| {
        let first = service.first();
        json!({
            "name": service.name.as_str(),
            "source": first.map(|first| first.source.as_str()),
            "state": first.map(|first| first.state.as_str()),
            "instances": service.instances.len(),
            "active": service.instances.iter().filter(|instance| instance.is_active()).count(),
            "virtual_address": service.virtual_address().map(place_of),
        })
    })
}

fn endpoints(view: &View, after: Option<&str>) -> Value {
    page(view, after, "services", |service| {
        let (endpoints, count) = endpoint_list(view, Named { service, instance: None });
        json!({ "name": service.name.as_str(), "endpoints": endpoints, "count": count })
    })
}

/// Every instance with who speaks of it, as many as fit. A page begins behind `service instance`,
/// names that hold no spaces.
fn backends(view: &View, after: Option<&str>) -> Value {
    let after = after.map(|after| after.split_once(' ').unwrap_or((after, "")));
    let all = view.services().flat_map(|service| &service.instances);
    let later = all.filter(|instance| {
        let Identity { service, instance } = &instance.identity;
        after.is_none_or(|after| (service.as_str(), instance.as_str()) > after)
    });
    let (mut entries, mut size, mut last) = (Vec::new(), 0, None);
    for instance in later {
        let entry = backend_json(view, instance);
        size += entry.to_string().len() + 1;
        if size > PAGE_BYTES_MAX && !entries.is_empty() {
            return json!({ "backends": entries, "next": last });
        }
        let Identity { service, instance } = &instance.identity;
        last = Some(format!("{service} {instance}"));
        entries.push(entry);
    }
    json!({ "backends": entries, "next": null })
}

/// An instance in short.
fn backend_json(view: &View, instance: &Instance) -> Value {
    let facts = &instance.facts;
    let endpoints = facts.endpoints.iter().map(|endpoint| endpoint_json(view, instance, endpoint));
    json!({
        "service": instance.identity.service.as_str(),
        "instance": instance.identity.instance.as_str(),
        "source": instance.source.as_str(),
        "sources": instance.sources.iter().map(|said| said.as_str()).collect::<Vec<_>>(),
        "state": instance.state.as_str(),
        "description": facts.description,
        "namespace": facts.namespace,
        "endpoints": endpoints.collect::<Vec<_>>(),
    })
}

/// The best ones, as many as fit, and how many there are.
fn endpoint_list(view: &View, named: Named<'_>) -> (Vec<Value>, usize) {
    let mut all = named.service.endpoints();
    all.retain(|found| named.holds(found.instance));
    let mut size = 0;
    let shown = all.iter().map(|found| endpoint_json(view, found.instance, found.endpoint));
    let fitting = shown.take_while(|entry| {
        size += entry.to_string().len() + 1;
        size < PAGE_BYTES_MAX / 2
    });
    (fitting.collect(), all.len())
}

fn resolved(view: &View, named: Named<'_>) -> Value {
    let Named { service, instance } = named;
    let (endpoints, count) = endpoint_list(view, named);
    let virtual_address = match instance {
        Some(instance) => service.virtual_address_of(instance),
        None => service.virtual_address(),
    };
    json!({
        "name": service.name.as_str(),
        "virtual_address": virtual_address.map(place_of),
        "endpoints": endpoints,
        "count": count,
    })
}

fn whole(view: &View, named: Named<'_>) -> Value {
    let service = named.service;
    let asked: Vec<_> = service.instances.iter().filter(|instance| named.holds(instance)).collect();
    let mut size = 0;
    let mut instances = Vec::new();
    for instance in &asked {
        let entry = instance_json(view, instance);
        size += entry.to_string().len() + 1;
        if size > PAGE_BYTES_MAX && !instances.is_empty() {
            break;
        }
        instances.push(entry);
    }
    let truncated = instances.len() < asked.len();
    json!({
        "name": service.name.as_str(),
        "count": asked.len(),
        "instances": instances,
        "truncated": truncated,
    })
}

fn instance_json(view: &View, instance: &Instance) -> Value {
    let facts = &instance.facts;
    let service = view.service(instance.identity.service.as_str());
    let metadata =
        facts.metadata.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let endpoints = facts.endpoints.iter().map(|endpoint| endpoint_json(view, instance, endpoint));
    json!({
        "service": instance.identity.service.as_str(),
        "instance": instance.identity.instance.as_str(),
        "id": instance.id,
        "source": instance.source.as_str(),
        "sources": instance.sources.iter().map(|source| source.as_str()).collect::<Vec<_>>(),
        "lease": match instance.lease {
            Lease::Connection(true) => "connected",
            Lease::Connection(false) => "away",
            Lease::Heartbeat => "heartbeat",
            Lease::Pinned => "pinned",
        },
        "state": instance.state.as_str(),
        "version": facts.version,
        "description": facts.description,
        "namespace": facts.namespace,
        "metadata": metadata,
        "virtual_address": service.and_then(|of| of.virtual_address_of(instance)).map(place_of),
        "registered_at": instance.registered_at.to_string(),
        "updated_at": instance.updated_at.to_string(),
        "last_seen": instance.last_seen.map(|at| at.to_string()),
        "endpoints": endpoints.collect::<Vec<_>>(),
    })
}

fn endpoint_json(view: &View, instance: &Instance, endpoint: &Endpoint) -> Value {
    let check = instance.check_of(endpoint);
    let host = match &endpoint.host {
        BackendHost::Name(name) => name.to_string(),
        BackendHost::Ip(ip) => ip.to_string(),
    };
    json!({
        "instance": instance.identity.instance.as_str(),
        "name": endpoint.name,
        "host": host,
        "port": endpoint.port,
        "protocol": endpoint.protocol.as_str(),
        "network": view.kind_of(endpoint).map(|kind| kind.as_str()),
        "standing": instance.standing_of(endpoint).as_str(),
        "healthy": check.and_then(|check| check.found.health.is_well()),
        "reason": check.map(|check| &check.found.reason),
        "checked_at": check.map(|check| check.at.to_string()),
    })
}

fn place_of(given: catalog::Given) -> String {
    format!("{}:{}", given.address, given.port)
}

fn topology(view: &View) -> Value {
    let shown = |interface: &catalog::Interface| {
        let addresses = interface.addresses.iter().map(ToString::to_string);
        json!({
            "name": interface.name,
            "network": interface.kind.as_str(),
            "addresses": addresses.collect::<Vec<_>>(),
        })
    };
    json!({ "interfaces": view.topology().interfaces().iter().map(shown).collect::<Vec<_>>() })
}

fn allocations(view: &View, after: Option<&str>) -> Value {
    let later =
        view.allocations().filter(|(service, _)| after.is_none_or(|after| *service > after));
    let shown = |(service, address): (&str, Ipv4Addr)| json!({ "service": service, "address": address.to_string() });
    let entries: Vec<_> = later.take(ALLOCATIONS_MAX + 1).map(shown).collect();
    let (page, more) = entries.split_at(entries.len().min(ALLOCATIONS_MAX));
    let last = page.last().and_then(|entry| entry.get("service")).filter(|_| !more.is_empty());
    json!({ "allocations": page, "next": last })
}

#[cfg(test)]
mod tests {
    use catalog::{Config, Image};
    use discovery::Feed;
    use runtime::Clock;
    use store::Store;

    use super::*;

    fn operators(feed: &Feed) -> Operators {
        let subnets = vec!["10.42.0.0/30".parse().unwrap()];
        let config = Config { subnets, ..Config::default() };
        let rows = Store::memory().catalog();
        let clock = Clock::system();
        let image = Image::default();
        let (handle, _) = discovery::start(config, [7; 32], image, rows, feed.clone(), clock);
        Operators::new(handle, None, None)
    }

    async fn ask(operators: &Operators, what: &str, with: &str) -> Said {
        match operators.answer(what, with).await {
            Reply::Catalog(json) => Ok(serde_json::from_str(&json).unwrap()),
            Reply::Refused(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_is_added_by_hand_is_changed_by_hand() {
        let feed = Feed::default();
        let operators = operators(&feed);
        let mut changes = operators.catalog.changes();
        feed.session(Identity::alone("live").unwrap(), Some((Facts::default(), true)));
        changes.next().await.unwrap();
        let own = |catalog: &mut Catalog, now| {
            let own = Identity::alone("self").unwrap();
            catalog.put(&own, Source::Auto, Facts::default(), now).unwrap();
        };
        operators.catalog.change(own).await.unwrap();
        #[rustfmt::skip]
        let table = [
            ("add",      r#"{"name":"dev","host":"10.0.0.9","port":4444,"protocol":"ws"}"#, ""),
            ("add",      r#"{"name":"dev","host":"10.0.0.9","port":4444}"#,                "dev/dev is there already: update it"),
            ("add",      r#"{"name":"web","port":1}"#,                                     "host is wanted"),
            ("add",      r#"{"name":"web","host":"h"}"#,                                   "port is wanted"),
            ("add",      r#"{"name":"web","host":"a b","port":1}"#,                        "host must be a name or an address"),
            ("add",      r#"{"name":"web","host":"h:80/x","port":1}"#,                     "host must be a name or an address"),
            ("add",      r#"{"name":"web","host":"h","port":0}"#,                          "port must be 1 to 65535"),
            ("add",      r#"{"name":"a b","host":"h","port":1}"#,                          "name must hold no spaces"),
            ("add",      r#"{"nam":"a"}"#,                                                 "json: unknown field `nam`"),
            ("update",   r#"{"name":"dev","port":5555}"#,                                  ""),
            ("update",   r#"{"name":"live","port":5555}"#,                                 "live/live was not added by hand, but by a session: change it there"),
            ("remove",   r#"{"name":"live"}"#,                                             "live/live was not added by hand, but by a session: change it there"),
            ("remove",   r#"{"name":"self"}"#,                                             "self/self was not added by hand, but by proxyd itself: change [json_rpc] self in its configuration"),
            ("remove",   r#"{"name":"none"}"#,                                             "none/none is not in the catalog"),
            ("ping",     r#"{"name":"dev"}"#,                                              ""),
            ("service",  r#"{"name":"DEV","instance":"dev"}"#,                             ""),
            ("service",  r#"{"name":"DEV","instance":"two"}"#,                             "dev/two is not in the catalog"),
            ("resolve",  r#"{"name":"dev","instance":"two"}"#,                             "dev/two is not in the catalog"),
            ("service",  r#"{"name":"none"}"#,                                             "service none is not in the catalog"),
            ("allocate", r#"{"name":"dev"}"#,                                              ""),
            ("allocate", r#"{"name":"web"}"#,                                              "no free address in 10.42.0.0/30"),
            ("release",  r#"{"name":"web"}"#,                                              "web has no address"),
            ("deploy",   r#"{"package":"web-1.tar.gz"}"#,                                  "deployment is off: no host is allowed (`deploy_hosts`)"),
            ("nonsense", "",                                                               "unknown question"),
        ];
        for (what, with, error) in table {
            let said = ask(&operators, what, with).await.err();
            let said = said.as_ref().map_or("", Refusal::as_str);
            assert!(
                said.starts_with(error) && said.is_empty() == error.is_empty(),
                "{what} {with}: {said}"
            );
        }
        let dev = ask(&operators, "resolve", r#"{"name":"DEV"}"#).await.unwrap();
        assert_eq!(dev["endpoints"][0]["port"], 5555);
        assert_eq!(dev["endpoints"][0]["protocol"], "ws");
        ask(&operators, "remove", r#"{"name":"dev"}"#).await.unwrap();
        let all = ask(&operators, "services", "").await.unwrap();
        assert_eq!((&all["count"], &all["services"][0]["name"]), (&json!(2), &json!("live")));
    }

    /// What lists print of instances, and names of services that hold slashes themselves.
    #[tokio::test]
    async fn an_instance_is_named_in_one_word_whose_slashes_may_be_of_the_service() {
        let operators = operators(&Feed::default());
        #[rustfmt::skip]
        let added = [
            // name       instance
            ("team/api",  None,        "team/api team/api"),
            ("team",      Some("api"), "team api"),
            ("team/api",  Some("b/1"), "team/api b/1"),
            ("web",       Some("w.1"), "web w.1"),
            ("a/b",       Some("c"),   "a/b c"),
            ("a",         Some("b"),   "a b"),
        ];
        for (name, instance, wanted) in added {
            let with = json!({ "name": name, "instance": instance, "host": "h", "port": 1 });
            let said = ask(&operators, "add", &with.to_string()).await.unwrap();
            assert_eq!(identity_of(&said), wanted, "{name} {instance:?}");
        }
        let none = "is not in the catalog";
        #[rustfmt::skip]
        let table = [
            // name                instance     is
            ("team/api",           None,        "team/api team/api".to_owned()),
            ("team/api/team/api",  None,        "team/api team/api".to_owned()),
            ("team/api/b/1",       None,        "team/api b/1".to_owned()),
            ("team",               Some("api"), "team api".to_owned()),
            ("web/w.1",            None,        "web w.1".to_owned()),
            ("web",                None,        format!("web/web {none}")),
            // A service of that very name is what is meant, also where it has no such instance.
            ("a/b",                None,        format!("a/b/a/b {none}")),
            ("a/b/c",              None,        "a/b c".to_owned()),
            ("web/w.2",            None,        format!("web/w.2 {none}")),
            ("none/w.1",           None,        format!("none/w.1 {none}")),
            ("/",                  None,        format!("/ {none}")),
            ("none",               None,        format!("none/none {none}")),
            ("web/w.1",            Some("w.1"), format!("web/w.1/w.1 {none}")),
        ];
        for (name, instance, wanted) in &table {
            let with = json!({ "name": name, "instance": instance }).to_string();
            for what in ["ping", "update"] {
                let said = match ask(&operators, what, &with).await {
                    Ok(said) => identity_of(&said),
                    Err(refusal) => refusal.as_str().to_owned(),
                };
                assert_eq!(said, *wanted, "{what} {name} {instance:?}");
            }
        }
        #[rustfmt::skip]
        let shown = [
            ("team/api",          Ok(2)),
            ("TEAM/API",          Ok(2)),
            ("team/api/team/api", Ok(1)),
            ("team/api/b/1",      Ok(1)),
            ("web/w.1",           Ok(1)),
            ("a/b/c",             Ok(1)),
            ("web/w.2",           Err(format!("web/w.2 {none}"))),
            ("none",              Err(format!("service none {none}"))),
        ];
        for (name, wanted) in shown {
            let with = json!({ "name": name }).to_string();
            for what in ["service", "resolve"] {
                let said = ask(&operators, what, &with).await;
                let said = said.map(|said| said["count"].as_u64().unwrap());
                assert_eq!(
                    said.map_err(|refusal| refusal.as_str().to_owned()),
                    wanted,
                    "{what} {name}"
                );
            }
        }
        // The other ones of similar names stay.
        for name in ["team/api", "team/api/b/1", "a/b/c", "web/w.1"] {
            ask(&operators, "remove", &json!({ "name": name }).to_string()).await.unwrap();
        }
        let left = ask(&operators, "backends", "").await.unwrap();
        let left: Vec<_> = left["backends"].as_array().unwrap().iter().map(identity_of).collect();
        assert_eq!(left, ["a b", "team api"]);
    }

    fn identity_of(said: &Value) -> String {
        format!("{} {}", said["service"].as_str().unwrap(), said["instance"].as_str().unwrap())
    }

    #[tokio::test]
    async fn backends_come_in_pages_of_instances() {
        let operators = operators(&Feed::default());
        let put = |catalog: &mut Catalog, now| {
            for n in 0..1000 {
                let mut name = Identity::alone("web").unwrap();
                name.instance = model::InstanceName::parse(&format!("web.{n:04}")).unwrap();
                catalog.put(&name, Source::Manual, Facts::default(), now).unwrap();
            }
            let file = Identity::alone("alone").unwrap();
            catalog.put(&file, Source::File, Facts::default(), now).unwrap();
        };
        operators.catalog.change(put).await.unwrap();
        let (mut all, mut after, mut pages) = (Vec::new(), Value::Null, 0);
        loop {
            let page = ask(&operators, "backends", &json!({ "after": after }).to_string()).await;
            let page = page.unwrap();
            assert!(page.to_string().len() < 60_000);
            all.extend(page["backends"].as_array().unwrap().iter().cloned());
            after = page["next"].clone();
            pages += 1;
            if after.is_null() {
                break;
            }
        }
        assert!(pages > 2);
        assert_eq!((all.len(), &all[0]["source"]), (1001, &json!("file")));
        let instances: Vec<_> = all[1..].iter().map(|one| one["instance"].as_str()).collect();
        assert!(instances.is_sorted() && instances[999] == Some("web.0999"));
    }

    #[tokio::test]
    async fn many_services_come_in_pages() {
        let operators = operators(&Feed::default());
        let put = |catalog: &mut Catalog, now| {
            for n in 0..2000 {
                let name = Identity::alone(&format!("service-{n:05}")).unwrap();
                catalog.put(&name, Source::Manual, Facts::default(), now).unwrap();
            }
        };
        operators.catalog.change(put).await.unwrap();
        let (mut names, mut after, mut pages) = (Vec::new(), Value::Null, 0);
        loop {
            let page = ask(&operators, "services", &json!({ "after": after }).to_string()).await;
            let page = page.unwrap();
            assert!(page.to_string().len() < 60_000);
            names.extend(page["services"].as_array().unwrap().iter().map(|s| s["name"].clone()));
            after = page["next"].clone();
            pages += 1;
            if after.is_null() {
                break;
            }
        }
        assert!(pages > 2);
        assert_eq!(names.len(), 2000);
        assert!(names.is_sorted_by(|a, b| a.as_str() < b.as_str()));
    }
}
