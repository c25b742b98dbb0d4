//! What is known about instances, as records.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use catalog::{Endpoint, Instance, Service, Standing, View};
use hickory_proto::rr::rdata::{A, AAAA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record};
use model::BackendHost;

use crate::Zone;
use crate::bounds::{ONE_TEXT_BYTES_MAX, RECORDS_MAX, TEXT_BYTES_MAX, TEXTS_MAX};
use crate::names::{Subject, in_zone, label_of};
use crate::zone::name_of;

/// Where an endpoint is, as DNS tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host<'a> {
    /// At an address.
    Ip(IpAddr),
    /// At a name that others resolve.
    Name(&'a str),
}

impl Host<'_> {
    pub(crate) fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(ip),
            Self::Name(_) => None,
        }
    }
}

/// Where an endpoint is: at the virtual address of its instance if the service is known by that,
/// otherwise where it says. `localhost` needs nobody to resolve it.
pub(crate) fn host_of<'a>(
    service: &Service,
    instance: &Instance,
    endpoint: &'a Endpoint,
) -> Host<'a> {
    match (service.virtual_address_of(instance), &endpoint.host) {
        (Some(given), _) => Host::Ip(IpAddr::V4(given.address)),
        (None, BackendHost::Ip(ip)) => Host::Ip(ip.to_canonical()),
        (None, BackendHost::Name(name)) if name.eq_ignore_ascii_case("localhost") => {
            Host::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST))
        }
        (None, BackendHost::Name(name)) => Host::Name(name),
    }
}

/// An endpoint that is told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen<'a> {
    pub(crate) instance: &'a Instance,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) host: Host<'a>,
    pub(crate) standing: Standing,
}

/// The endpoints that can be relied on, those that can be most first; those that drain only if there
/// are no others, and the bad ones only if there are none of these either. Which of those that are
/// alike comes first turns with `draw`.
pub(crate) fn choose<'a>(
    (service, instances): (&Service, &'a [Arc<Instance>]),
    draw: u16,
    fits: impl Fn(&Endpoint) -> bool,
) -> Vec<Chosen<'a>> {
    let first = usize::from(draw).checked_rem(instances.len()).unwrap_or_default();
    let (end, begin) = instances.split_at_checked(first).unwrap_or((instances, &[]));
    let mut chosen = Vec::new();
    use Standing::{Away, Bad, Draining, Good, Unknown};
    for standing in [Good, Unknown, Away, Draining, Bad] {
        if standing >= Draining && !chosen.is_empty() {
            break;
        }
        for instance in begin.iter().chain(end) {
            let all = instance.facts.endpoints.iter();
            let alike = all.filter(|e| instance.standing_of(e) == standing && fits(e));
            let room = RECORDS_MAX - chosen.len();
            chosen.extend(alike.take(room).map(|endpoint| {
                let host = host_of(service, instance, endpoint);
                Chosen { instance, endpoint, host, standing }
            }));
        }
    }
    chosen
}

/// The name of who asked, and how long the records about it may be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner<'a> {
    pub(crate) name: &'a Name,
    pub(crate) ttl: u32,
}

impl Owner<'_> {
    pub(crate) fn record(&self, data: RData) -> Record {
        Record::from_rdata(self.name.clone(), self.ttl, data)
    }

    pub(crate) fn address(&self, address: IpAddr) -> Record {
        self.record(match address {
            IpAddr::V4(v4) => RData::A(A(v4)),
            IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
        })
    }
}

/// Where a port is, under a name that leads to its address and to no other: that of its instance,
/// if that has only this one, or that of the address. `None` if DNS cannot carry it.
pub(crate) fn target(
    zone: &Zone,
    view: &View,
    service: &Service,
    chosen: &Chosen<'_>,
) -> Option<Name> {
    let Host::Ip(address) = chosen.host else { return alias(zone, view, chosen) };
    let mut endpoints = chosen.instance.facts.endpoints.iter();
    let alone =
        endpoints.all(|endpoint| host_of(service, chosen.instance, endpoint) == chosen.host);
    let of_instance = || {
        let instance = &chosen.instance.identity.instance;
        let text = format!("{instance}.{}", service.name);
        // A resolver may write it in another case.
        let alike = |other: &&Arc<Instance>| {
            other.identity.instance.as_str().eq_ignore_ascii_case(instance.as_str())
        };
        let leads_there = service.instances.iter().filter(alike).count() == 1
            && matches!(in_zone(&text, view), Subject::Instances(_, [only])
                if only.identity == chosen.instance.identity);
        if leads_there { zone.below(&text) } else { None }
    };
    let of_address = || zone.below(&format!("{}.{}", label_of(address), service.name));
    if alone { of_instance().or_else(of_address) } else { of_address() }
}

/// The name that an endpoint is at: one label is a service's, if there is one. `None` for an
/// address, and for what DNS cannot carry.
pub(crate) fn alias(zone: &Zone, view: &View, chosen: &Chosen<'_>) -> Option<Name> {
    let Host::Name(name) = chosen.host else { return None };
    let name = name.strip_suffix('.').unwrap_or(name);
    if !name.contains('.') && view.service_in_any_case(name).is_some() {
        return zone.below(name);
    }
    name_of(name.split('.'))
}

/// A port. The better it is, the sooner it is tried; those that are alike are tried alike.
pub(crate) fn port(chosen: &Chosen<'_>, target: Name) -> RData {
    let priority = match chosen.standing {
        Standing::Good => 0,
        Standing::Unknown => 5,
        Standing::Away => 10,
        Standing::Draining => 15,
        Standing::Bad => 20,
    };
    RData::SRV(SRV::new(priority, 1, chosen.endpoint.port, target))
}

/// Keys that are ours to say; RFC 6763, 6.4 has them in any case.
const OUR_KEYS: [&str; 6] = ["instance", "health", "version", "protocol", "namespace", "metadata"];

/// What an instance says about itself, as `key=value` (RFC 6763, 6). What does not fit is left
/// out. Gives how many bytes it is on the wire.
pub(crate) fn texts(instance: &Instance) -> (RData, usize) {
    let facts = &instance.facts;
    let mut protocols: Vec<_> = facts.endpoints.iter().map(|e| e.protocol.as_str()).collect();
    protocols.sort_unstable();
    protocols.dedup();
    let health = instance.standing().as_str();
    let said =
        |key: &str, value: &Option<Box<str>>| value.as_ref().map(|value| format!("{key}={value}"));
    let is_ours = |key: &str| OUR_KEYS.iter().any(|ours| ours.eq_ignore_ascii_case(key));
    let metadata = facts.endpoints.iter().flat_map(|endpoint| &endpoint.metadata);
    let metadata = metadata.filter(|(key, _)| !is_ours(key));
    let all = [format!("instance={}", instance.identity.instance), format!("health={health}")]
        .into_iter()
        .chain(said("version", &facts.version))
        .chain((!protocols.is_empty()).then(|| format!("protocol={}", protocols.join(","))))
        .chain(said("namespace", &facts.namespace))
        .chain(metadata.map(|(key, value)| format!("{key}={value}")))
        .chain(said("metadata", &facts.metadata));
    let mut bytes = 0;
    let mut texts: Vec<String> = Vec::new();
    for text in all {
        let fits = text.len() <= ONE_TEXT_BYTES_MAX && bytes + text.len() <= TEXT_BYTES_MAX;
        if fits && texts.len() < TEXTS_MAX && !texts.contains(&text) {
            bytes += text.len();
            texts.push(text);
        }
    }
    // Each begins with its length.
    let bytes = bytes + texts.len();
    (RData::TXT(TXT::new(texts)), bytes)
}
