//! What the name in a question means.
//!
//! ```text
//!   zone                      the zone itself
//!   ns.zone                   its server, unless a service has the name
//!   SERVICE.zone              a service; its name may hold dots
//!   SERVICE.                  the same, if it holds none
//!   INSTANCE.SERVICE.zone     one of its instances
//!   10-0-0-1.SERVICE.zone     one of its addresses, colons written as dashes too
//!   _SERVICE._tcp.zone        its ports
//!   _PROTOCOL._tcp.NAME.zone  those of its ports, or of its instance's, that speak the protocol
//!   1.0.0.10.in-addr.arpa     who is at an address, real or virtual
//! ```
//!
//! Of several readings the one with the longest name of a service holds.

use std::net::IpAddr;
use std::slice;
use std::sync::Arc;

use catalog::{Identity, Instance, Service, View};
use hickory_proto::rr::Name;
use ipnet::IpNet;

use crate::Zone;
use crate::records::host_of;
use crate::zone::SERVER;

/// What a name means.
#[derive(Debug)]
pub(crate) enum Subject<'a> {
    /// The zone.
    Apex,
    /// The zone's server.
    Server,
    /// A service, or one instance of it.
    Instances(&'a Service, &'a [Arc<Instance>]),
    /// Ports only, of one protocol if there is one.
    Ports(&'a Service, &'a [Arc<Instance>], Option<Box<str>>),
    /// An address that a service has.
    Address(IpAddr),
    /// Who is at an address.
    Holders(Vec<&'a Identity>),
    /// There is nothing, and it must not be denied: something is or was there, or is below.
    Nothing,
    /// Never known.
    Unknown,
    /// Not ours.
    Outside,
}

impl Subject<'_> {
    /// What `name` means now.
    pub(crate) fn of<'a>(name: &Name, zone: &Zone, view: &'a View) -> Subject<'a> {
        let labels = name.iter().len();
        if !zone.name.zone_of(name) {
            return if labels == 1 { bare(name, view) } else { holders(name, view) };
        }
        let own = labels.saturating_sub(zone.name.iter().len());
        if own == 0 {
            return Subject::Apex;
        }
        let labels: Result<Vec<_>, _> = name.iter().take(own).map(str::from_utf8).collect();
        labels.map_or(Subject::Unknown, |labels| in_zone(&labels.join("."), view))
    }
}

/// The name of a service without the zone. What has no service, now or earlier, may be anybody's:
/// `com` for one.
fn bare<'a>(name: &Name, view: &'a View) -> Subject<'a> {
    let label = name.iter().next().and_then(|label| str::from_utf8(label).ok());
    let Some(label) = label else { return Subject::Outside };
    match view.service_in_any_case(label) {
        Some(service) => Subject::Instances(service, &service.instances),
        None if view.has_departed(label) => Subject::Nothing,
        None => Subject::Outside,
    }
}

/// A name in the zone, given without the zone's.
pub(crate) fn in_zone<'a>(text: &str, view: &'a View) -> Subject<'a> {
    match named(text, view) {
        Subject::Unknown | Subject::Nothing if text.eq_ignore_ascii_case(SERVER) => Subject::Server,
        found @ (Subject::Unknown | Subject::Nothing) => ports(text, view).unwrap_or(found),
        found => found,
    }
}

/// A service, an instance, or an address.
fn named<'a>(text: &str, view: &'a View) -> Subject<'a> {
    if let Some(service) = view.service_in_any_case(text) {
        return Subject::Instances(service, &service.instances);
    }
    let mut is_known = view.has_departed(text) || view.is_above_a_name(text);
    for (head, tail) in splits(text) {
        let Some(service) = view.service_in_any_case(tail) else {
            is_known |= view.has_departed(tail);
            continue;
        };
        is_known = true;
        if let Some(instance) = service.instance_in_any_case(head) {
            return Subject::Instances(service, slice::from_ref(instance));
        }
        if let Some(address) = address_of(head).filter(|address| has(service, *address)) {
            return Subject::Address(address);
        }
    }
    if is_known { Subject::Nothing } else { Subject::Unknown }
}

/// The forms of RFC 2782; `None` if the name is none of them.
fn ports<'a>(text: &str, view: &'a View) -> Option<Subject<'a>> {
    let labels: Vec<_> = text.split('.').collect();
    let is = |label: &str, name: &str| label.eq_ignore_ascii_case(name);
    let at = labels.iter().position(|label| is(label, "_tcp") || is(label, "_udp"))?;
    let is_tcp = labels.get(at).is_some_and(|label| is(label, "_tcp"));
    let before = labels.get(..at)?.join(".");
    let after = labels.get(at + 1..)?.join(".");
    let before = match before.strip_prefix('_') {
        Some(before) => before,
        // `_tcp` alone has names below it.
        None if before.is_empty() && after.is_empty() => return Some(Subject::Nothing),
        None => return None,
    };
    let of = if after.is_empty() { before } else { &after };
    Some(match named(of, view) {
        Subject::Instances(service, instances) if is_tcp => {
            let protocol = (!after.is_empty()).then(|| before.into());
            Subject::Ports(service, instances, protocol)
        }
        Subject::Unknown => Subject::Unknown,
        _ => Subject::Nothing,
    })
}

/// Who is at the address of a reverse name. Who else knows addresses, we do not know: an address
/// that nobody has here is not denied.
fn holders<'a>(name: &Name, view: &'a View) -> Subject<'a> {
    let address = match name.parse_arpa_name() {
        Ok(IpNet::V4(net)) if net.prefix_len() == 32 => IpAddr::V4(net.addr()),
        Ok(IpNet::V6(net)) if net.prefix_len() == 128 => IpAddr::V6(net.addr()),
        Ok(_) | Err(_) => return Subject::Outside,
    };
    let holders: Vec<_> = view.at(address).take(crate::bounds::RECORDS_MAX).collect();
    if holders.is_empty() { Subject::Outside } else { Subject::Holders(holders) }
}

/// An address as one label.
pub(crate) fn label_of(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}

/// The address that a label means.
fn address_of(label: &str) -> Option<IpAddr> {
    let v4 = || label.replace('-', ".").parse().ok().map(IpAddr::V4);
    v4().or_else(|| label.replace('-', ":").parse().ok().map(IpAddr::V6))
}

fn has(service: &Service, address: IpAddr) -> bool {
    service.instances.iter().any(|instance| {
        let mut endpoints = instance.facts.endpoints.iter();
        endpoints.any(|endpoint| host_of(service, instance, endpoint).ip() == Some(address))
    })
}

/// Before and after each dot, the shortest head first.
fn splits(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.match_indices('.')
        .filter_map(|(at, dot)| Some((text.get(..at)?, text.get(at + dot.len()..)?)))
}
