//! Services as hub clients know them: one backend per service (SPEC 12), all instances inside it.

use catalog::{Endpoint, Instance, Service};
use model::BackendHost;
use serde::{Serialize, Serializer};

/// The fields of the hub's own registry in its order, then ours. What is not known is left out.
#[derive(Debug, Serialize)]
pub(crate) struct Backend<'a> {
    id: &'a str,
    name: &'a str,
    host: Host<'a>,
    port: u16,
    protocol: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    source: &'static str,
    is_active: bool,
    registered_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<u64>,
    created_at: u64,
    updated_at: u64,
    instances: Vec<Shown<'a>>,
}

/// One of the instances.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    instance: &'a str,
    host: Host<'a>,
    port: u16,
    protocol: &'a str,
    source: &'static str,
    is_active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<u64>,
}

/// A name or an address; empty if there is none.
#[derive(Debug)]
struct Host<'a>(Option<&'a BackendHost>);

impl Serialize for Host<'_> {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(BackendHost::Name(name)) => into.serialize_str(name),
            Some(BackendHost::Ip(address)) => into.collect_str(address),
            None => into.serialize_str(""),
        }
    }
}

/// A service as a backend.
pub(crate) fn backend(service: &Service) -> Option<Backend<'_>> {
    let first = service.first()?;
    let facts = &first.facts;
    let (host, port, protocol) = place(first);
    Some(Backend {
        id: &first.id,
        name: service.name.as_str(),
        host,
        port,
        protocol,
        description: facts.description.as_deref(),
        namespace: facts.namespace.as_deref(),
        version: facts.version.as_deref(),
        metadata: facts.metadata.as_deref(),
        source: first.source.as_str(),
        is_active: first.is_active(),
        registered_at: first.registered_at.seconds(),
        last_seen: first.last_seen.map(|at| at.seconds()),
        created_at: first.registered_at.seconds(),
        updated_at: first.updated_at.seconds(),
        instances: service.instances.iter().map(|instance| shown(instance)).collect(),
    })
}

fn shown(instance: &Instance) -> Shown<'_> {
    let (host, port, protocol) = place(instance);
    Shown {
        instance: instance.identity.instance.as_str(),
        host,
        port,
        protocol,
        source: instance.source.as_str(),
        is_active: instance.is_active(),
        last_seen: instance.last_seen.map(|at| at.seconds()),
    }
}

/// Where an instance is: at its best endpoint. One without is nowhere: no host, port 0; it is not
/// active.
fn place(instance: &Instance) -> (Host<'_>, u16, &str) {
    let best = |endpoint: &&Endpoint| instance.standing_of(endpoint);
    match instance.facts.endpoints.iter().min_by_key(best) {
        Some(at) => (Host(Some(&at.host)), at.port, at.protocol.as_str()),
        None => (Host(None), 0, "ws"),
    }
}
