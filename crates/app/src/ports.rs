//! The addresses really bound, for those who asked for port 0 (SPEC 9).

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use control::Address;
use serde::Serialize;

/// Where everything listens.
#[derive(Clone, Debug, Default)]
pub struct Bound {
    /// Clients.
    pub http: Vec<SocketAddr>,
    /// Clients with TLS.
    pub https: Vec<SocketAddr>,
    /// Backends.
    pub registry: Vec<Address>,
    /// Operators.
    pub admin: Vec<Address>,
    /// Operators and their tools, by HTTP.
    pub admin_http: Option<SocketAddr>,
    /// Programs that send heartbeats.
    pub heartbeat: Option<SocketAddr>,
    /// Who asks for names, over UDP and TCP.
    pub dns: Option<SocketAddr>,
    /// Tunnels to services.
    pub service_proxy_tcp: Option<SocketAddr>,
    /// HTTP to services.
    pub service_proxy_http: Option<SocketAddr>,
    /// The service API.
    pub service_api: Option<SocketAddr>,
    /// JSON-RPC.
    pub json_rpc: Option<SocketAddr>,
}

/// As the file has it: one key per section.
#[derive(Serialize)]
struct PortsFile {
    http: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    https: Vec<String>,
    registry: Vec<String>,
    admin: Vec<String>,
    /// The section has two listeners: this is the one that is not always there.
    #[serde(rename = "admin.http", skip_serializing_if = "Vec::is_empty")]
    admin_http: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    heartbeat: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dns: Vec<String>,
    #[serde(rename = "service_proxy.tcp", skip_serializing_if = "Vec::is_empty")]
    service_proxy_tcp: Vec<String>,
    #[serde(rename = "service_proxy.http", skip_serializing_if = "Vec::is_empty")]
    service_proxy_http: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    service_api: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    json_rpc: Vec<String>,
}

fn listed<T: ToString>(addresses: &[T]) -> Option<String> {
    let texts: Vec<_> = addresses.iter().map(T::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

impl Bound {
    /// Writes the file whole or not at all: who sees it can read it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        let texts = |addresses: &[Address]| addresses.iter().map(Address::to_string).collect();
        let one = |address: Option<SocketAddr>| address.iter().map(SocketAddr::to_string).collect();
        let content = PortsFile {
            http: self.http.iter().map(SocketAddr::to_string).collect(),
            https: self.https.iter().map(SocketAddr::to_string).collect(),
            registry: texts(&self.registry),
            admin: texts(&self.admin),
            admin_http: one(self.admin_http),
            heartbeat: one(self.heartbeat),
            dns: one(self.dns),
            service_proxy_tcp: one(self.service_proxy_tcp),
            service_proxy_http: one(self.service_proxy_http),
            service_api: one(self.service_api),
            json_rpc: one(self.json_rpc),
        };
        let mut beside = file.as_os_str().to_owned();
        beside.push(".new");
        std::fs::write(&beside, serde_json::to_vec(&content)?)?;
        std::fs::rename(&beside, file)
    }

    /// Tells the log where somebody listens; what is off is not named.
    pub(crate) fn tell(&self) {
        let one = |address: Option<SocketAddr>| address.map(tracing::field::display);
        tracing::info!(
            http = listed(&self.http),
            https = listed(&self.https),
            registry = listed(&self.registry),
            admin = listed(&self.admin),
            admin.http = one(self.admin_http),
            heartbeat = one(self.heartbeat),
            dns = one(self.dns),
            service_proxy.tcp = one(self.service_proxy_tcp),
            service_proxy.http = one(self.service_proxy_http),
            service_api = one(self.service_api),
            json_rpc = one(self.json_rpc),
            "serving"
        );
    }

    /// Where the proxy itself is controlled: no backend may be there.
    pub(crate) fn control(&self) -> Vec<SocketAddr> {
        let tcp = |address: &Address| match address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        };
        let lines = self.registry.iter().chain(&self.admin).filter_map(tcp);
        lines.chain(self.admin_http).collect()
    }

    /// Where traffic comes in: a backend there would be ourselves.
    pub(crate) fn traffic(&self) -> Vec<SocketAddr> {
        let edge = self.http.iter().chain(&self.https).copied();
        edge.chain(crate::dialects::addresses(self)).collect()
    }

    /// The first TCP address of the registry.
    pub(crate) fn registry_tcp(&self) -> Option<SocketAddr> {
        self.registry.iter().find_map(|address| match address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        })
    }
}
