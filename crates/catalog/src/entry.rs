//! What one source says about one instance.

use std::fmt;

use model::{BackendHost, InstanceName, Scheme, ServiceName};

use crate::Place;

/// Most endpoints of one instance.
pub const ENDPOINTS_MAX: usize = 64;
/// Longest free text of an entry, metadata and descriptions each, in bytes.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;
/// Longest name of an endpoint, in bytes; a backend URL fits.
const ENDPOINT_NAME_BYTES_MAX: usize = 2048;
/// Longest name of a host or user that a service is run by, in bytes.
const LOCATION_BYTES_MAX: usize = 255;
/// Most services that one depends on.
const DEPENDS_MAX: usize = 64;

/// Service and instance: what an entry is about (SPEC 7).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The service.
    pub service: ServiceName,
    /// Its instance. A source that knows no instances gives the service's own name.
    pub instance: InstanceName,
}

impl Identity {
    /// The identity of a service that has one instance and no name for it.
    ///
    /// # Errors
    ///
    /// [`model::IdError`], if it is no name.
    pub fn alone(name: &str) -> Result<Self, model::IdError> {
        Ok(Self { service: ServiceName::parse(name)?, instance: InstanceName::parse(name)? })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.instance)
    }
}

/// Who says so. In the order of precedence (SPEC 7): of two that speak about one identity, the
/// earlier one is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A session of the line protocol.
    Session,
    /// The service API, over the wire.
    Api,
    /// The heartbeat port.
    Heartbeat,
    /// `registry.register`.
    Manual,
    /// The environment.
    Env,
    /// The backends file.
    File,
    /// proxyd itself.
    Auto,
}

impl Source {
    /// Every source, the one with the highest precedence first.
    pub const ALL: [Self; 7] = [
        Self::Session,
        Self::Api,
        Self::Heartbeat,
        Self::Manual,
        Self::Env,
        Self::File,
        Self::Auto,
    ];

    /// Its one name, everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Api => "api",
            Self::Heartbeat => "heartbeat",
            Self::Manual => "manual",
            Self::Env => "env",
            Self::File => "file",
            Self::Auto => "auto",
        }
    }

    /// The source of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == text)
    }

    /// Whether what it says must be remembered by the catalog. Sessions have a store of their own;
    /// files and the environment are read again.
    pub const fn is_stored(self) -> bool {
        matches!(self, Self::Api | Self::Heartbeat | Self::Manual)
    }

    /// Whether nobody says if its endpoints are well unless they are asked. For sessions the data
    /// plane speaks, heartbeats speak for themselves, and proxyd is there while it answers.
    pub const fn is_silent(self) -> bool {
        match self {
            Self::Api | Self::Manual | Self::Env | Self::File => true,
            Self::Session | Self::Heartbeat | Self::Auto => false,
        }
    }
}

/// How an endpoint is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Bytes.
    Tcp,
    /// What a backend URL says.
    Url(Scheme),
    /// What we have no word for: 1 to 32 of `[a-z0-9.+-]`.
    Other(Box<str>),
}

impl Protocol {
    /// Reads its name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.to_ascii_lowercase();
        if let Some(scheme) = Scheme::ALL.into_iter().find(|scheme| scheme.as_str() == name) {
            return Some(Self::Url(scheme));
        }
        let fits = (1..=32).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b".+-".contains(&b));
        match name.as_str() {
            "tcp" => Some(Self::Tcp),
            "websocket" => Some(Self::Url(Scheme::Ws)),
            _ => fits.then(|| Self::Other(name.into())),
        }
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tcp => "tcp",
            Self::Url(scheme) => scheme.as_str(),
            Self::Other(name) => name,
        }
    }
}

/// Where an instance can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Unique in the instance; a session's is the backend URL itself.
    pub name: Box<str>,
    /// Address, or a name to be resolved.
    pub host: BackendHost,
    /// Not 0.
    pub port: u16,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Whatever the source says about it, in its order.
    pub metadata: Vec<(Box<str>, Box<str>)>,
}

impl Endpoint {
    /// An endpoint of which nothing more is known.
    pub fn new(name: &str, host: BackendHost, port: u16, protocol: Protocol) -> Self {
        Self { name: name.into(), host, port, protocol, metadata: Vec::new() }
    }

    /// Where it is and how it is spoken to.
    pub fn place(&self) -> Place {
        let (host, protocol) = (self.host.clone(), self.protocol.clone());
        Place { host, port: self.port, protocol }
    }

    /// Whether it is there, and spoken to in that way.
    pub fn is_at(&self, place: &Place) -> bool {
        (&self.host, self.port, &self.protocol) == (&place.host, place.port, &place.protocol)
    }
}

/// How a service is run, as the service API has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Execution {
    /// A process.
    ManagedProcess {
        /// Its id, if it runs.
        pid: Option<u32>,
        /// The program.
        command: Box<str>,
        /// What it is given.
        args: Vec<Box<str>>,
    },
    /// A container.
    DockerContainer {
        /// Its id, if it runs.
        container_id: Option<Box<str>>,
        /// What it is made of.
        image: Box<str>,
        /// Its name.
        name: Box<str>,
    },
    /// A systemd unit.
    SystemdService {
        /// Its name.
        unit_name: Box<str>,
    },
    /// A portable service.
    SystemdPortable {
        /// Its image.
        image_name: Box<str>,
        /// Its unit.
        unit_name: Box<str>,
    },
}

impl Execution {
    /// Bytes of all texts in it.
    fn size(&self) -> usize {
        match self {
            Self::ManagedProcess { command, args, .. } => {
                command.len() + args.iter().map(|arg| arg.len() + 1).sum::<usize>()
            }
            Self::DockerContainer { container_id, image, name } => {
                container_id.as_ref().map_or(0, |id| id.len()) + image.len() + name.len()
            }
            Self::SystemdService { unit_name } => unit_name.len(),
            Self::SystemdPortable { image_name, unit_name } => image_name.len() + unit_name.len(),
        }
    }
}

/// Which machine a service runs on, as the service API has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Location {
    /// This one.
    #[default]
    Local,
    /// Another one.
    Remote {
        /// Its name or address.
        host: Box<str>,
        /// Who logs in there.
        ssh_user: Box<str>,
        /// Where sshd listens.
        ssh_port: u16,
    },
}

/// Everything a source says about an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Where it is; an instance without endpoints is known and cannot be reached.
    pub endpoints: Vec<Endpoint>,
    /// Its version.
    pub version: Option<Box<str>>,
    /// For people.
    pub description: Option<Box<str>>,
    /// The routing namespace of a hub.
    pub namespace: Option<Box<str>>,
    /// JSON text.
    pub metadata: Option<Box<str>>,
    /// What it needs.
    pub depends_on: Vec<ServiceName>,
    /// How it is run.
    pub execution: Option<Execution>,
    /// Which machine.
    pub location: Location,
    /// Whether it drains: it is about to leave, and wants nothing new.
    pub is_draining: bool,
}

/// Why facts are refused. Reads as a reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    /// Too many of something.
    #[error("at most {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        max: usize,
    },
    /// A text is too long.
    #[error("{what} must be at most {max} bytes long")]
    TooLong {
        /// Which.
        what: &'static str,
        /// How long it may be.
        max: usize,
    },
    /// Port 0.
    #[error("port must be 1 to 65535")]
    Port,
    /// Two endpoints share a name.
    #[error("two endpoints have the same name")]
    SameName,
}

impl Facts {
    /// Whether all of it is within bounds.
    ///
    /// # Errors
    ///
    /// [`FactsError`], naming the first thing that is not.
    pub fn check(&self) -> Result<(), FactsError> {
        let many = |what, max| FactsError::TooMany { what, max };
        if self.endpoints.len() > ENDPOINTS_MAX {
            return Err(many("endpoints", ENDPOINTS_MAX));
        }
        if self.depends_on.len() > DEPENDS_MAX {
            return Err(many("dependencies", DEPENDS_MAX));
        }
        let texts = [
            ("version", &self.version),
            ("description", &self.description),
            ("namespace", &self.namespace),
            ("metadata", &self.metadata),
        ];
        for (what, text) in texts {
            if text.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
                return Err(FactsError::TooLong { what, max: TEXT_BYTES_MAX });
            }
        }
        if let Location::Remote { host, ssh_user, .. } = &self.location
            && host.len().max(ssh_user.len()) > LOCATION_BYTES_MAX
        {
            return Err(FactsError::TooLong { what: "location", max: LOCATION_BYTES_MAX });
        }
        if self.execution.as_ref().map_or(0, Execution::size) > TEXT_BYTES_MAX {
            return Err(FactsError::TooLong { what: "execution", max: TEXT_BYTES_MAX });
        }
        for (at, endpoint) in self.endpoints.iter().enumerate() {
            if endpoint.name.len() > ENDPOINT_NAME_BYTES_MAX {
                let what = "the name of an endpoint";
                return Err(FactsError::TooLong { what, max: ENDPOINT_NAME_BYTES_MAX });
            }
            if endpoint.port == 0 {
                return Err(FactsError::Port);
            }
            let size = |(key, value): &(Box<str>, Box<str>)| key.len() + value.len();
            if endpoint.metadata.iter().map(size).sum::<usize>() > TEXT_BYTES_MAX {
                let what = "metadata of an endpoint";
                return Err(FactsError::TooLong { what, max: TEXT_BYTES_MAX });
            }
            if self.endpoints.iter().take(at).any(|other| other.name == endpoint.name) {
                return Err(FactsError::SameName);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_come_in_the_order_of_precedence() {
        assert!(Source::ALL.is_sorted());
        for source in Source::ALL {
            assert_eq!(Source::parse(source.as_str()), Some(source));
        }
        assert_eq!(Source::parse("runtime"), None);
    }

    #[test]
    fn protocols_are_read_by_name() {
        #[rustfmt::skip]
        let table = [
            ("tcp",       Some("tcp")),
            ("HTTP",      Some("http")),
            ("websocket", Some("ws")),
            ("wss",       Some("wss")),
            ("amqp0.9",   Some("amqp0.9")),
            ("",          None),
            ("a b",       None),
            ("ä",         None),
        ];
        for (text, name) in table {
            assert_eq!(Protocol::parse(text).as_ref().map(Protocol::as_str), name, "{text}");
        }
    }

    #[test]
    fn facts_are_bounded() {
        let endpoint = |name: &str, port| {
            Endpoint::new(name, BackendHost::Ip([127, 0, 0, 1].into()), port, Protocol::Tcp)
        };
        let with = |endpoints| Facts { endpoints, ..Facts::default() };
        let most = |count: usize| (0..count).map(|n| endpoint(&n.to_string(), 1)).collect();
        let long =
            |bytes: usize| Facts { metadata: Some("x".repeat(bytes).into()), ..with(vec![]) };
        let run = |bytes: usize| Facts {
            execution: Some(Execution::SystemdService { unit_name: "x".repeat(bytes).into() }),
            ..with(vec![])
        };
        #[rustfmt::skip]
        let table = [
            (with(vec![]),                                    None),
            (with(most(ENDPOINTS_MAX)),                       None),
            (with(most(ENDPOINTS_MAX + 1)),                   Some("at most 64 endpoints")),
            (with(vec![endpoint("a", 0)]),                    Some("port must be 1 to 65535")),
            (with(vec![endpoint("a", 1), endpoint("a", 2)]),  Some("two endpoints have the same name")),
            (with(vec![endpoint(&"n".repeat(2048), 1)]),      None),
            (with(vec![endpoint(&"n".repeat(2049), 1)]),      Some("the name of an endpoint must be at most 2048 bytes long")),
            (run(TEXT_BYTES_MAX),                             None),
            (run(TEXT_BYTES_MAX + 1),                         Some("execution must be at most 16384 bytes long")),
            (long(TEXT_BYTES_MAX),                            None),
            (long(TEXT_BYTES_MAX + 1),                        Some("metadata must be at most 16384 bytes long")),
        ];
        for (facts, error) in table {
            assert_eq!(facts.check().err().map(|error| error.to_string()).as_deref(), error);
        }
    }
}
