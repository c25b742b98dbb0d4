//! What is said about an instance, as it is written down.

use catalog::{Endpoint, Execution, Facts, Location, Protocol};
use model::{BackendHost, ServiceName};
use serde::{Deserialize, Serialize};

use super::Unreadable;

/// [`Facts`]. What is not said is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FactsForm {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    endpoints: Vec<EndpointForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Box<str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    depends_on: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution: Option<ExecutionForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<RemoteForm>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointForm {
    name: Box<str>,
    host: String,
    port: u16,
    protocol: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    metadata: Vec<(Box<str>, Box<str>)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoteForm {
    host: Box<str>,
    user: Box<str>,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum ExecutionForm {
    Process { pid: Option<u32>, command: Box<str>, args: Vec<Box<str>> },
    Container { id: Option<Box<str>>, image: Box<str>, name: Box<str> },
    Unit { name: Box<str> },
    Portable { image: Box<str>, unit: Box<str> },
}

impl FactsForm {
    /// The form of `facts`, if it can be read back.
    pub(crate) fn checked(facts: &Facts) -> Result<Self, Unreadable> {
        let form = Self::new(facts);
        if form.clone().read()? == *facts { Ok(form) } else { Err(Unreadable("facts")) }
    }

    fn new(facts: &Facts) -> Self {
        let endpoint = |endpoint: &Endpoint| EndpointForm {
            name: endpoint.name.clone(),
            host: match &endpoint.host {
                BackendHost::Name(name) => name.to_string(),
                BackendHost::Ip(ip) => ip.to_string(),
            },
            port: endpoint.port,
            protocol: endpoint.protocol.as_str().to_owned(),
            metadata: endpoint.metadata.clone(),
        };
        Self {
            endpoints: facts.endpoints.iter().map(endpoint).collect(),
            version: facts.version.clone(),
            description: facts.description.clone(),
            namespace: facts.namespace.clone(),
            metadata: facts.metadata.clone(),
            depends_on: facts.depends_on.iter().map(ServiceName::to_string).collect(),
            execution: facts.execution.clone().map(ExecutionForm::from),
            remote: match facts.location.clone() {
                Location::Local => None,
                Location::Remote { host, ssh_user: user, ssh_port: port } => {
                    Some(RemoteForm { host, user, port })
                }
            },
        }
    }

    pub(crate) fn read(self) -> Result<Facts, Unreadable> {
        let endpoint = |form: EndpointForm| {
            Ok(Endpoint {
                host: BackendHost::parse(&form.host).map_err(|_| Unreadable("host"))?,
                protocol: Protocol::parse(&form.protocol).ok_or(Unreadable("protocol"))?,
                name: form.name,
                port: form.port,
                metadata: form.metadata,
            })
        };
        let service = |name: String| {
            ServiceName::parse(&name).map_err(|_| Unreadable("a service that it depends on"))
        };
        Ok(Facts {
            endpoints: self.endpoints.into_iter().map(endpoint).collect::<Result<_, _>>()?,
            version: self.version,
            description: self.description,
            namespace: self.namespace,
            metadata: self.metadata,
            depends_on: self.depends_on.into_iter().map(service).collect::<Result<_, _>>()?,
            execution: self.execution.map(Execution::from),
            location: match self.remote {
                None => Location::Local,
                Some(RemoteForm { host, user: ssh_user, port: ssh_port }) => {
                    Location::Remote { host, ssh_user, ssh_port }
                }
            },
            // Sessions drain, and have a store of their own.
            is_draining: false,
        })
    }
}

impl From<Execution> for ExecutionForm {
    fn from(execution: Execution) -> Self {
        match execution {
            Execution::ManagedProcess { pid, command, args } => {
                Self::Process { pid, command, args }
            }
            Execution::DockerContainer { container_id: id, image, name } => {
                Self::Container { id, image, name }
            }
            Execution::SystemdService { unit_name: name } => Self::Unit { name },
            Execution::SystemdPortable { image_name: image, unit_name: unit } => {
                Self::Portable { image, unit }
            }
        }
    }
}

impl From<ExecutionForm> for Execution {
    fn from(form: ExecutionForm) -> Self {
        match form {
            ExecutionForm::Process { pid, command, args } => {
                Self::ManagedProcess { pid, command, args }
            }
            ExecutionForm::Container { id: container_id, image, name } => {
                Self::DockerContainer { container_id, image, name }
            }
            ExecutionForm::Unit { name: unit_name } => Self::SystemdService { unit_name },
            ExecutionForm::Portable { image: image_name, unit: unit_name } => {
                Self::SystemdPortable { image_name, unit_name }
            }
        }
    }
}
