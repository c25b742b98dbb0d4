//! What happened in the catalog, as events tell it.

use catalog::{Change, Topology, View, What};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::deploy::Progress;
use crate::entry::{EndpointEntry, endpoints_of};
use crate::envelope::raw;
use crate::fault::Fault;
use crate::kind::EventKind;

#[derive(Serialize)]
struct About<'a> {
    service: &'a str,
    timestamp: String,
    instance: &'a str,
}

#[derive(Serialize)]
struct StateChanged<'a> {
    service: &'a str,
    old_state: &'static str,
    new_state: &'static str,
    timestamp: String,
    instance: &'a str,
}

#[derive(Serialize)]
struct Endpoints<'a> {
    service: &'a str,
    endpoints: Vec<EndpointEntry>,
    timestamp: String,
    instance: &'a str,
}

#[derive(Serialize)]
struct Health<'a> {
    service: &'a str,
    endpoint: &'a str,
    healthy: Option<bool>,
    message: &'a str,
    timestamp: String,
    instance: &'a str,
}

/// The networks of the machine.
#[derive(Serialize)]
pub(crate) struct Networks<'a> {
    pub(crate) interfaces: Vec<InterfaceForm<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct InterfaceForm<'a> {
    name: &'a str,
    kind: &'static str,
    addresses: Vec<String>,
}

#[derive(Serialize)]
struct Deploying<'a> {
    #[serde(flatten)]
    progress: &'a Progress,
    timestamp: String,
}

impl<'a> Networks<'a> {
    pub(crate) fn of(topology: &'a Topology) -> Self {
        let interfaces = topology.interfaces().iter().map(|interface| InterfaceForm {
            name: &interface.name,
            kind: interface.kind.as_str(),
            addresses: interface.addresses.iter().map(ToString::to_string).collect(),
        });
        Self { interfaces: interfaces.collect(), timestamp: None }
    }
}

/// Which kind of event a change is.
pub(crate) const fn kind_of(what: &What) -> EventKind {
    match what {
        What::Registered(..) => EventKind::ServiceRegistered,
        What::Updated(..) => EventKind::ServiceUpdated,
        What::Endpoints(..) => EventKind::EndpointUpdated,
        What::Deregistered(..) => EventKind::ServiceDeregistered,
        What::State { .. } => EventKind::ServiceStateChanged,
        What::Health { .. } => EventKind::HealthCheckResult,
        What::Topology(_) => EventKind::NetworkTopologyChanged,
    }
}

/// What the event says. Endpoints are those of the view, which may be newer than the change.
pub(crate) fn data(change: &Change, view: &View) -> Result<Box<RawValue>, Fault> {
    let timestamp = change.at.to_string();
    match &change.what {
        What::Registered(service, instance)
        | What::Updated(service, instance)
        | What::Deregistered(service, instance) => {
            let (service, instance) = (service.as_str(), instance.as_str());
            raw(&About { service, timestamp, instance })
        }
        What::Endpoints(service, instance) => {
            let found = view.service(service.as_str());
            let found = found.map(|found| endpoints_of(found, view, None)).unwrap_or_default();
            let endpoints = found.into_iter().map(|(endpoint, _)| endpoint).collect();
            let (service, instance) = (service.as_str(), instance.as_str());
            raw(&Endpoints { service, endpoints, timestamp, instance })
        }
        What::State { service, instance, from, to } => raw(&StateChanged {
            service: service.as_str(),
            old_state: from.as_str(),
            new_state: to.as_str(),
            timestamp,
            instance: instance.as_str(),
        }),
        What::Health { service, instance, endpoint, health, reason } => raw(&Health {
            service: service.as_str(),
            endpoint,
            healthy: health.is_well(),
            message: reason,
            timestamp,
            instance: instance.as_str(),
        }),
        What::Topology(topology) => {
            raw(&Networks { timestamp: Some(timestamp), ..Networks::of(topology) })
        }
    }
}

/// The same of a deployment.
pub(crate) fn progress(progress: &Progress, at: model::UnixMillis) -> Result<Box<RawValue>, Fault> {
    raw(&Deploying { progress, timestamp: at.to_string() })
}

#[cfg(test)]
mod tests {
    use catalog::{Interface, NetworkKind, State};
    use model::{InstanceName, ServiceName, UnixMillis};

    use super::*;
    use crate::envelope;

    /// Byte for byte (COMPATIBILITY 4), what is ours last.
    #[test]
    fn golden() {
        let service = || ServiceName::parse("web").unwrap();
        let instance = || InstanceName::parse("w1").unwrap();
        let eth0 = Interface {
            name: "eth0".into(),
            kind: NetworkKind::Lan,
            addresses: vec!["10.0.0.5/24".parse().unwrap()],
        };
        let (from, to) = (State::Starting, State::Running);
        #[rustfmt::skip]
        let table = [
            (What::Registered(service(), instance()),
             r#"{"type":"event","event":"service_registered","data":{"service":"web","timestamp":"2023-11-14T22:13:20Z","instance":"w1"},"seq":3}"#),
            (What::State { service: service(), instance: instance(), from, to },
             r#"{"type":"event","event":"service_state_changed","data":{"service":"web","old_state":"starting","new_state":"running","timestamp":"2023-11-14T22:13:20Z","instance":"w1"},"seq":3}"#),
            (What::Endpoints(service(), instance()),
             r#"{"type":"event","event":"endpoint_updated","data":{"service":"web","endpoints":[],"timestamp":"2023-11-14T22:13:20Z","instance":"w1"},"seq":3}"#),
            (What::Health { service: service(), instance: instance(), endpoint: "e".into(), health: catalog::Health::Well, reason: "200".into() },
             r#"{"type":"event","event":"health_check_result","data":{"service":"web","endpoint":"e","healthy":true,"message":"200","timestamp":"2023-11-14T22:13:20Z","instance":"w1"},"seq":3}"#),
            (What::Topology(Topology::new(vec![eth0])),
             r#"{"type":"event","event":"network_topology_changed","data":{"interfaces":[{"name":"eth0","kind":"LAN","addresses":["10.0.0.5/24"]}],"timestamp":"2023-11-14T22:13:20Z"},"seq":3}"#),
        ];
        for (what, want) in table {
            let change = Change { seq: 3, at: UnixMillis(1_700_000_000_000), what };
            let name = kind_of(&change.what).as_str();
            let data = data(&change, &View::default()).unwrap();
            assert_eq!(envelope::event(name, &data, Some(change.seq)), want);
        }
    }
}
