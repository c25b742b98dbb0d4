//! A service as clients know it, and as the catalog knows it.
//!
//! The keys of clients in use come first and in their order; ours come after and may be ignored.
//! Where the catalog knows less than they want, they get what is harmless: a command that is
//! empty, a version without a letter.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use catalog::{Execution, Facts, Health, Location, Protocol, Reachable, Service, State, View};
use model::{BackendHost, BackendUrl, InstanceName, Scheme, ServiceName, UnixMillis};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Everything about one service. All keys but `name` may be left out by whoever registers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceEntry {
    /// Its name.
    pub name: String,
    /// Its version; empty if it is not known.
    #[serde(default)]
    pub version: String,
    /// How it is run; an empty command if that is not known.
    #[serde(default = "not_known", with = "ExecutionForm")]
    pub execution: Execution,
    /// Which machine it runs on.
    #[serde(default, with = "LocationForm")]
    pub location: Location,
    /// Where it is reached, by address. The best come first, of these the nearest.
    #[serde(default)]
    pub endpoints: Vec<EndpointEntry>,
    /// What it needs.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// What it does.
    #[serde(default, serialize_with = "state_out", deserialize_with = "state_in")]
    pub state: State,
    /// What was found when its endpoints were checked last.
    #[serde(default)]
    pub last_health_check: Option<HealthCheck>,
    /// RFC 3339. Not read when it registers.
    #[serde(default)]
    pub registered_at: String,
    /// RFC 3339. Not read when it registers.
    #[serde(default)]
    pub last_state_change: String,
    /// The instance that stands for it where only one can be shown, and the one that is meant when
    /// it registers. Left out, it is the name of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Who says all this: `session`, `api`, `heartbeat` and so on. Not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Every instance, by name. Not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<InstanceEntry>,
    /// Where it is reached, by host name. Not among `endpoints`: clients in use take addresses
    /// there and nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named_endpoints: Vec<EndpointEntry>,
}

/// Where a service is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointEntry {
    /// Its name in the instance; left out, it is its address.
    #[serde(default)]
    pub name: String,
    /// `address:port` or `host:port`.
    pub address: String,
    /// How it is spoken to.
    #[serde(default)]
    pub protocol: ProtocolName,
    /// Whatever is said about it.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// The instance it belongs to. Not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// `Local`, `LAN` or `WireGuard`, if it is reached without a router. Not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// What was found when it was checked last. Not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
}

/// How an endpoint is spoken to: a word, or `{"custom": "x"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolName {
    /// HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// gRPC.
    Grpc,
    /// Bytes.
    #[default]
    Tcp,
    /// WebSocket.
    Websocket,
    /// Anything else.
    Custom(String),
}

/// What was found when endpoints were checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Whether all of them are well.
    pub healthy: bool,
    /// Why, in a few words.
    pub message: String,
    /// RFC 3339.
    pub checked_at: String,
    /// Not measured: always 0.
    pub duration_ms: u64,
}

/// One of several instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceEntry {
    /// Its name.
    pub instance: String,
    /// Who says that it exists.
    pub source: String,
    /// What it does.
    #[serde(serialize_with = "state_out", deserialize_with = "state_in")]
    pub state: State,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Execution", tag = "type", rename_all = "snake_case")]
enum ExecutionForm {
    ManagedProcess {
        #[serde(default)]
        pid: Option<u32>,
        command: Box<str>,
        #[serde(default)]
        args: Vec<Box<str>>,
    },
    DockerContainer {
        #[serde(default)]
        container_id: Option<Box<str>>,
        image: Box<str>,
        name: Box<str>,
    },
    SystemdService {
        unit_name: Box<str>,
    },
    SystemdPortable {
        image_name: Box<str>,
        unit_name: Box<str>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Location", tag = "type", rename_all = "snake_case")]
enum LocationForm {
    Local,
    Remote { host: Box<str>, ssh_user: Box<str>, ssh_port: u16 },
}

/// What clients in use can read and nobody can run.
fn not_known() -> Execution {
    Execution::ManagedProcess { pid: None, command: "".into(), args: Vec::new() }
}

fn state_out<S: Serializer>(state: &State, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(state.as_str())
}

fn state_in<'de, D: Deserializer<'de>>(from: D) -> Result<State, D::Error> {
    let text = String::deserialize(from)?;
    State::parse(&text).ok_or_else(|| {
        let known = State::ALL.map(State::as_str).join(", ");
        serde::de::Error::custom(format!("unknown state, expected one of {known}"))
    })
}

/// Why an entry cannot be registered. Names the key and what is wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// No name.
    #[error("{0} {1}")]
    Name(&'static str, model::IdError),
    /// Not where anything could be.
    #[error("address of endpoint {0} must be address:port or host:port")]
    Address(String),
    /// A word that is no protocol.
    #[error("protocol of endpoint {0} must be 1 to 32 letters, digits or .+-")]
    Protocol(String),
}

impl ServiceEntry {
    /// An entry of which nothing more is known.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: String::new(),
            execution: not_known(),
            location: Location::Local,
            endpoints: Vec::new(),
            depends_on: Vec::new(),
            state: State::Registered,
            last_health_check: None,
            registered_at: String::new(),
            last_state_change: String::new(),
            instance: None,
            source: None,
            description: None,
            instances: Vec::new(),
            named_endpoints: Vec::new(),
        }
    }

    /// The same, reached there as well.
    #[must_use]
    pub fn with_endpoint(mut self, name: &str, address: &str, protocol: ProtocolName) -> Self {
        self.endpoints.push(EndpointEntry {
            name: name.to_owned(),
            address: address.to_owned(),
            protocol,
            metadata: BTreeMap::new(),
            instance: None,
            network: None,
            healthy: None,
        });
        self
    }

    /// A service as it is shown to one who asks from `asker`.
    pub(crate) fn of(service: &Service, view: &View, asker: Option<IpAddr>) -> Option<Self> {
        let first = service.first()?;
        let facts = &first.facts;
        let (mut endpoints, mut named_endpoints) = (Vec::new(), Vec::new());
        for (entry, is_named) in endpoints_of(service, view, asker) {
            if is_named { &mut named_endpoints } else { &mut endpoints }.push(entry);
        }
        let instances = service.instances.iter().map(|instance| InstanceEntry {
            instance: instance.identity.instance.to_string(),
            source: instance.source.as_str().to_owned(),
            state: instance.state,
        });
        let text = |text: &Option<Box<str>>| text.as_ref().map(ToString::to_string);
        Some(Self {
            name: service.name.to_string(),
            version: text(&facts.version).unwrap_or_default(),
            execution: facts.execution.clone().unwrap_or_else(not_known),
            location: facts.location.clone(),
            endpoints,
            depends_on: facts.depends_on.iter().map(ToString::to_string).collect(),
            state: first.state,
            last_health_check: health(service),
            registered_at: first.registered_at.to_string(),
            last_state_change: first.state_since.to_string(),
            instance: Some(first.identity.instance.to_string()),
            source: Some(first.source.as_str().to_owned()),
            description: text(&facts.description),
            instances: instances.collect(),
            named_endpoints,
        })
    }

    /// What it is about.
    pub(crate) fn identity(&self) -> Result<catalog::Identity, EntryError> {
        identity(&self.name, self.instance.as_deref())
    }

    /// What it says, for the catalog.
    pub(crate) fn facts(&self) -> Result<Facts, EntryError> {
        let endpoints = self.endpoints.iter().chain(&self.named_endpoints);
        let service = |name: &String| {
            ServiceName::parse(name).map_err(|why| EntryError::Name("depends_on", why))
        };
        let text = |text: &str| (!text.is_empty()).then(|| text.into());
        Ok(Facts {
            endpoints: endpoints.map(EndpointEntry::endpoint).collect::<Result<_, _>>()?,
            version: text(&self.version),
            description: self.description.as_deref().map(Into::into),
            depends_on: self.depends_on.iter().map(service).collect::<Result<_, _>>()?,
            execution: (self.execution != not_known()).then(|| self.execution.clone()),
            location: self.location.clone(),
            ..Facts::default()
        })
    }
}

/// A service and its instance, which is called like the service if nothing else is said.
pub(crate) fn identity(
    name: &str,
    instance: Option<&str>,
) -> Result<catalog::Identity, EntryError> {
    let service = ServiceName::parse(name).map_err(|why| EntryError::Name("name", why))?;
    let instance = InstanceName::parse(instance.unwrap_or(name))
        .map_err(|why| EntryError::Name("instance", why))?;
    Ok(catalog::Identity { service, instance })
}

/// Every endpoint, the best first, and whether it is at a name and not at an address.
pub(crate) fn endpoints_of(
    service: &Service,
    view: &View,
    asker: Option<IpAddr>,
) -> Vec<(EndpointEntry, bool)> {
    let all = match asker {
        Some(asker) => service.endpoints_near(asker, view.topology()),
        None => service.endpoints(),
    };
    all.iter().map(|found| EndpointEntry::of(found, view)).collect()
}

/// All its checks in one: how things stand, and when that was found.
fn health(service: &Service) -> Option<HealthCheck> {
    let each = || {
        let all = service.instances.iter().flat_map(|instance| &instance.checks);
        all.map(|(_, check)| check).filter(|check| check.found.health != Health::Unknown)
    };
    let ill = each().find(|check| check.found.health == Health::Ill);
    let newest = each().max_by_key(|check| check.at);
    let told = ill.or(newest)?;
    Some(HealthCheck {
        healthy: ill.is_none(),
        message: told.found.reason.to_string(),
        checked_at: newest.map_or(UnixMillis(0), |check| check.at).to_string(),
        duration_ms: u64::try_from(told.found.took.as_millis()).unwrap_or(u64::MAX),
    })
}

impl EndpointEntry {
    fn of(found: &Reachable<'_>, view: &View) -> (Self, bool) {
        let Reachable { instance, endpoint } = found;
        let (address, is_named) = match &endpoint.host {
            BackendHost::Ip(ip) => (SocketAddr::new(*ip, endpoint.port).to_string(), false),
            BackendHost::Name(name) if name.eq_ignore_ascii_case("localhost") => {
                (format!("127.0.0.1:{}", endpoint.port), false)
            }
            BackendHost::Name(name) => (format!("{name}:{}", endpoint.port), true),
        };
        let entry = Self {
            name: endpoint.name.to_string(),
            address,
            protocol: ProtocolName::of(&endpoint.protocol),
            metadata: endpoint
                .metadata
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect(),
            instance: Some(instance.identity.instance.to_string()),
            network: view.kind_of(endpoint).map(|kind| kind.as_str().to_owned()),
            healthy: instance.check_of(endpoint).and_then(|check| check.found.health.is_well()),
        };
        (entry, is_named)
    }

    fn endpoint(&self) -> Result<catalog::Endpoint, EntryError> {
        let name = if self.name.is_empty() { &self.address } else { &self.name };
        let wrong = || EntryError::Address(name.clone());
        let (host, port) = match self.address.parse::<SocketAddr>() {
            Ok(address) => (BackendHost::Ip(address.ip()), address.port()),
            Err(_) => {
                let (host, port) = self.address.rsplit_once(':').ok_or_else(wrong)?;
                let url = BackendUrl::parse(&format!("http://{host}")).map_err(|_| wrong())?;
                if url.authority() != host.to_ascii_lowercase() {
                    return Err(wrong());
                }
                (url.host().clone(), port.parse().map_err(|_| wrong())?)
            }
        };
        let protocol =
            self.protocol.protocol().ok_or_else(|| EntryError::Protocol(name.clone()))?;
        let metadata =
            self.metadata.iter().map(|(key, value)| ((&**key).into(), (&**value).into()));
        Ok(catalog::Endpoint {
            metadata: metadata.collect(),
            ..catalog::Endpoint::new(name, host, port, protocol)
        })
    }
}

impl ProtocolName {
    fn of(protocol: &Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::Tcp,
            Protocol::Url(Scheme::Http) => Self::Http,
            Protocol::Url(Scheme::Https) => Self::Https,
            Protocol::Url(Scheme::Grpc) => Self::Grpc,
            Protocol::Url(Scheme::Ws) => Self::Websocket,
            Protocol::Url(Scheme::H2c | Scheme::Wss | Scheme::Grpcs) | Protocol::Other(_) => {
                Self::Custom(protocol.as_str().to_owned())
            }
        }
    }

    fn protocol(&self) -> Option<Protocol> {
        Some(match self {
            Self::Http => Protocol::Url(Scheme::Http),
            Self::Https => Protocol::Url(Scheme::Https),
            Self::Grpc => Protocol::Url(Scheme::Grpc),
            Self::Tcp => Protocol::Tcp,
            Self::Websocket => Protocol::Url(Scheme::Ws),
            Self::Custom(name) => return Protocol::parse(name),
        })
    }
}

#[cfg(test)]
mod tests {
    use catalog::{Catalog, Config, Identity, Interface, NetworkKind, Source, Topology};
    use model::Now;
    use proptest::prelude::*;

    use super::*;

    const NOON: UnixMillis = UnixMillis(1_700_000_000_000);

    fn now() -> Now {
        Now { wall: NOON, ..Now::default() }
    }

    fn shown(catalog: &Catalog, name: &str, asker: Option<&str>) -> ServiceEntry {
        let asker = asker.map(|asker| asker.parse().unwrap());
        let view = catalog.view();
        ServiceEntry::of(view.service(name).unwrap(), view, asker).unwrap()
    }

    fn registered(json: &str) -> Catalog {
        let entry: ServiceEntry = serde_json::from_str(json).unwrap();
        let mut catalog = Catalog::new(Config::default(), [7; 32]);
        let (identity, facts) = (entry.identity().unwrap(), entry.facts().unwrap());
        catalog.put(&identity, Source::Api, facts, now()).unwrap();
        catalog
    }

    /// Byte for byte, the keys of clients in use first (COMPATIBILITY 4).
    #[test]
    fn golden() {
        let said = concat!(
            r#"{"name":"web","version":"1.2.0","execution":{"type":"managed_process","pid":7,"#,
            r#""command":"/bin/web","args":["-v"]},"location":{"type":"remote","host":"h","#,
            r#""ssh_user":"u","ssh_port":22},"endpoints":[{"name":"http","#,
            r#""address":"10.0.0.5:8080","protocol":"http","metadata":{"zone":"a"}},"#,
            r#"{"name":"chat","address":"[::1]:81","protocol":{"custom":"wss"},"metadata":{}}],"#,
            r#""depends_on":["db"],"state":"registered","last_health_check":null,"#,
            r#""registered_at":"","last_state_change":""}"#,
        );
        let mut catalog = registered(said);
        let head = said.trim_end_matches('}').replace(
            r#""registered_at":"","last_state_change":"""#,
            r#""registered_at":"2023-11-14T22:13:20Z","last_state_change":"2023-11-14T22:13:20Z""#,
        );
        let head = head
            .replace(r#""metadata":{"zone":"a"}"#, r#""metadata":{"zone":"a"},"instance":"web""#);
        let head =
            head.replace(r#""metadata":{}"#, r#""metadata":{},"instance":"web","network":"Local""#);
        let tail = concat!(
            r#","instance":"web","source":"api","#,
            r#""instances":[{"instance":"web","source":"api","state":"registered"}]}"#
        );
        let text = serde_json::to_string(&shown(&catalog, "web", None)).unwrap();
        assert_eq!(text, head + tail);
        catalog.check(
            &Identity::alone("web").unwrap(),
            "http",
            catalog::Finding::new(catalog::Health::Ill, "refused"),
            now(),
        );
        let text = serde_json::to_string(&shown(&catalog, "web", None)).unwrap();
        let check = concat!(
            r#""last_health_check":{"healthy":false,"message":"refused","#,
            r#""checked_at":"2023-11-14T22:13:20Z","duration_ms":0}"#
        );
        assert!(text.contains(check), "{text}");
    }

    #[test]
    fn every_way_of_running_is_known() {
        let table = [
            r#"{"type":"docker_container","container_id":null,"image":"i","name":"n"}"#,
            r#"{"type":"systemd_service","unit_name":"u"}"#,
            r#"{"type":"systemd_portable","image_name":"i","unit_name":"u"}"#,
            r#"{"type":"managed_process","pid":null,"command":"","args":[]}"#,
        ];
        for execution in table {
            let catalog = registered(&format!(r#"{{"name":"web","execution":{execution}}}"#));
            let text = serde_json::to_string(&shown(&catalog, "web", None)).unwrap();
            assert!(text.contains(&format!(r#""execution":{execution}"#)), "{text}");
        }
    }

    #[test]
    fn names_stand_apart_from_addresses() {
        let catalog = registered(
            r#"{"name":"web","endpoints":[{"address":"db.internal:5432"},{"address":"localhost:80"},
                {"address":"10.0.0.1:80"}]}"#,
        );
        let entry = shown(&catalog, "web", None);
        let addresses = |of: &[EndpointEntry]| -> Vec<String> {
            of.iter().map(|endpoint| endpoint.address.clone()).collect()
        };
        assert_eq!(addresses(&entry.endpoints), ["127.0.0.1:80", "10.0.0.1:80"]);
        assert_eq!(addresses(&entry.named_endpoints), ["db.internal:5432"]);
        assert_eq!(entry.facts().unwrap().endpoints.len(), 3, "and come back");
    }

    #[test]
    fn the_nearest_comes_first() {
        let mut catalog = registered(
            r#"{"name":"web","endpoints":[{"address":"8.8.8.8:1"},{"address":"10.42.0.7:1"},
                {"address":"192.168.1.7:1"},{"address":"127.0.0.1:1"}]}"#,
        );
        let interface = |name: &str, kind, net: &str| Interface {
            name: name.into(),
            kind,
            addresses: vec![net.parse().unwrap()],
        };
        let topology = Topology::new(vec![
            interface("lo", NetworkKind::Local, "127.0.0.1/8"),
            interface("eth0", NetworkKind::Lan, "192.168.1.5/24"),
            interface("wg0", NetworkKind::WireGuard, "10.42.0.1/16"),
        ]);
        catalog.set_topology(topology, now());
        #[rustfmt::skip]
        let table = [
            ("127.0.0.1",   [("127.0.0.1:1", Some("Local")), ("192.168.1.7:1", Some("LAN")), ("10.42.0.7:1", Some("WireGuard")), ("8.8.8.8:1", None)]),
            ("192.168.1.9", [("192.168.1.7:1", Some("LAN")), ("10.42.0.7:1", Some("WireGuard")), ("8.8.8.8:1", None), ("127.0.0.1:1", Some("Local"))]),
            ("10.42.0.9",   [("10.42.0.7:1", Some("WireGuard")), ("192.168.1.7:1", Some("LAN")), ("8.8.8.8:1", None), ("127.0.0.1:1", Some("Local"))]),
        ];
        for (asker, want) in table {
            let entry = shown(&catalog, "web", Some(asker));
            let got: Vec<_> =
                entry.endpoints.iter().map(|e| (&*e.address, e.network.as_deref())).collect();
            assert_eq!(got, want, "{asker}");
        }
    }

    #[test]
    fn what_cannot_be_registered() {
        #[rustfmt::skip]
        let table = [
            (r#"{"name":"a b"}"#, "name must hold no spaces, pipes or control characters"),
            (r#"{"name":"a","instance":""}"#, "instance must not be empty"),
            (r#"{"name":"a","depends_on":[""]}"#, "depends_on must not be empty"),
            (r#"{"name":"a","endpoints":[{"name":"e","address":"10.0.0.1"}]}"#, "address of endpoint e must be address:port or host:port"),
            (r#"{"name":"a","endpoints":[{"name":"e","address":"h:99999"}]}"#, "address of endpoint e must be address:port or host:port"),
            (r#"{"name":"a","endpoints":[{"name":"e","address":"u@h:1"}]}"#, "address of endpoint e must be address:port or host:port"),
            (r#"{"name":"a","endpoints":[{"name":"e","address":"h/x:1"}]}"#, "address of endpoint e must be address:port or host:port"),
            (r#"{"name":"a","endpoints":[{"name":"e","address":"h:1","protocol":{"custom":"a b"}}]}"#, "protocol of endpoint e must be 1 to 32 letters, digits or .+-"),
        ];
        for (json, says) in table {
            let entry: ServiceEntry = serde_json::from_str(json).unwrap();
            let error = entry.identity().map(drop).and_then(|()| entry.facts().map(drop));
            assert_eq!(error.unwrap_err().to_string(), says, "{json}");
        }
        let state = serde_json::from_str::<ServiceEntry>(r#"{"name":"a","state":"up"}"#);
        assert!(state.unwrap_err().to_string().starts_with("unknown state, expected one of"));
    }

    proptest! {
        /// Whatever is said is refused with a reason or comes back as it was said.
        #[test]
        fn what_is_registered_is_shown(
            name in "[a-z |]{0,3}",
            address in "(\\[?[0-9a-f.:]{1,12}\\]?|[a-z.@/]{1,8})(:[0-9]{0,6})?",
            custom in ".{0,5}",
        ) {
            let said = ServiceEntry::new(&name)
                .with_endpoint("e", &address, ProtocolName::Custom(custom));
            let (Ok(identity), Ok(facts)) = (said.identity(), said.facts()) else { return Ok(()) };
            let mut catalog = Catalog::new(Config::default(), [7; 32]);
            if catalog.put(&identity, Source::Api, facts.clone(), now()).is_ok() {
                let view = catalog.view();
                let shown = ServiceEntry::of(view.service(&name).unwrap(), view, None).unwrap();
                prop_assert_eq!(shown.identity().unwrap(), identity);
                prop_assert_eq!(shown.facts().unwrap(), facts);
            }
        }
    }
}
