//! The configuration as it is typed: names are known and values have their form, nothing else is
//! checked, and no default is filled in (SPEC 9).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use serde::Deserialize;

use crate::forms;

/// A whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys and sections")]
pub struct Raw {
    /// Threads of the data plane.
    #[serde(default, deserialize_with = "forms::count")]
    pub workers: Option<usize>,
    /// Clear text from clients.
    #[serde(default)]
    pub http: Http,
    /// TLS towards clients.
    pub https: Option<Https>,
    /// Certificates from authorities.
    pub acme: Option<Acme>,
    /// The port of backends.
    #[serde(default)]
    pub registry: Registry,
    /// What is remembered.
    #[serde(default)]
    pub store: Store,
    /// Operators.
    #[serde(default)]
    pub admin: Admin,
    /// Connections to backends.
    #[serde(default)]
    pub backends: Backends,
    /// The end.
    #[serde(default)]
    pub shutdown: Shutdown,
    /// The catalog over TLS and WebSocket.
    pub service_api: Option<ServiceApi>,
    /// The catalog over JSON-RPC.
    pub json_rpc: Option<JsonRpc>,
    /// The heartbeat port.
    pub heartbeat: Option<Heartbeat>,
    /// Services by name.
    pub service_proxy: Option<ServiceProxy>,
    /// Names of services.
    pub dns: Option<Dns>,
}

/// The catalog over TLS and WebSocket.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section: write [service_api]")]
pub struct ServiceApi {
    /// Where.
    #[serde(default, deserialize_with = "forms::given")]
    pub listen: Option<SocketAddr>,
    /// PEM, the own certificate first.
    #[serde(default, deserialize_with = "forms::given")]
    pub cert: Option<PathBuf>,
    /// PEM.
    #[serde(default, deserialize_with = "forms::given")]
    pub key: Option<PathBuf>,
    /// Where the token stands.
    #[serde(default, deserialize_with = "forms::given")]
    pub token_file: Option<PathBuf>,
    /// Files of issuers of clients' certificates.
    #[serde(default, deserialize_with = "forms::list")]
    pub client_ca: Option<Vec<PathBuf>>,
    /// Pages that may connect.
    #[serde(default, deserialize_with = "forms::list")]
    pub origins: Option<Vec<String>>,
    /// Whether everybody who reaches it may connect.
    pub insecure: Option<bool>,
    /// Connections.
    #[serde(default, deserialize_with = "forms::count")]
    pub connections_max: Option<usize>,
    /// Connections of a client address.
    #[serde(default, deserialize_with = "forms::count")]
    pub connections_per_peer_max: Option<usize>,
    /// Networks that addresses are allocated in.
    #[serde(default, deserialize_with = "forms::list")]
    pub subnets: Option<Vec<Ipv4Net>>,
    /// The folder in which packages lie.
    #[serde(default, deserialize_with = "forms::given")]
    pub deploy_packages: Option<PathBuf>,
    /// Old versions that stay on a host.
    #[serde(default, deserialize_with = "forms::count")]
    pub deploy_keep: Option<usize>,
    /// Where packages may go.
    pub deploy_hosts: Option<Vec<DeployHost>>,
}

/// Where packages may go.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table: write [[service_api.deploy_hosts]]")]
pub struct DeployHost {
    /// How it is asked for.
    #[serde(deserialize_with = "forms::one")]
    pub name: String,
    /// A name or an address.
    #[serde(deserialize_with = "forms::one")]
    pub address: String,
    /// Where sshd listens.
    pub port: Option<u16>,
    /// Who logs in.
    #[serde(deserialize_with = "forms::one")]
    pub user: String,
    /// The private key to log in with.
    #[serde(deserialize_with = "forms::one")]
    pub key: PathBuf,
    /// The key the host must show.
    #[serde(deserialize_with = "forms::one")]
    pub host_key: String,
    /// Where versions go.
    #[serde(default, deserialize_with = "forms::given")]
    pub root: Option<String>,
}

/// The catalog over JSON-RPC.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section: write [json_rpc]")]
pub struct JsonRpc {
    /// Where.
    #[serde(default, deserialize_with = "forms::given")]
    pub listen: Option<SocketAddr>,
    /// The backends file.
    #[serde(default, deserialize_with = "forms::given")]
    pub backends: Option<PathBuf>,
    /// PEM, the own certificate first.
    #[serde(default, deserialize_with = "forms::given")]
    pub cert: Option<PathBuf>,
    /// PEM.
    #[serde(default, deserialize_with = "forms::given")]
    pub key: Option<PathBuf>,
    /// Files of issuers of clients' certificates.
    #[serde(default, deserialize_with = "forms::list")]
    pub client_ca: Option<Vec<PathBuf>>,
    /// Where the token stands.
    #[serde(default, deserialize_with = "forms::given")]
    pub token_file: Option<PathBuf>,
    /// Pages that may connect.
    #[serde(default, deserialize_with = "forms::list")]
    pub origins: Option<Vec<String>>,
    /// Whether everybody who reaches it may connect.
    pub insecure: Option<bool>,
    /// The namespace of the hub.
    #[serde(default, deserialize_with = "forms::given")]
    pub hub: Option<String>,
    /// What proxyd registers itself as.
    #[serde(rename = "self")]
    pub own: Option<Own>,
}

/// What proxyd registers itself as.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "{ name = \"NAME\", port = PORT }")]
pub struct Own {
    /// By this name.
    #[serde(deserialize_with = "forms::one")]
    pub name: String,
    /// At this host.
    #[serde(default, deserialize_with = "forms::given")]
    pub host: Option<String>,
    /// At this port.
    pub port: u16,
    /// Spoken to in this way.
    #[serde(default, deserialize_with = "forms::given")]
    pub protocol: Option<String>,
}

/// The heartbeat port.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section: write [heartbeat]")]
pub struct Heartbeat {
    /// Where.
    #[serde(default, deserialize_with = "forms::given")]
    pub listen: Option<SocketAddr>,
    /// How often upstream's server looks for names that are over. Here they end when they do.
    #[serde(default, deserialize_with = "forms::given")]
    pub check_interval: Option<Duration>,
    /// How long a name lives without a heartbeat.
    #[serde(default, deserialize_with = "forms::given")]
    pub max_age: Option<Duration>,
    /// First and last port that is handed out.
    #[serde(default, deserialize_with = "forms::given")]
    pub ports: Option<String>,
    /// First and last address that is handed out.
    #[serde(default, deserialize_with = "forms::given")]
    pub addresses: Option<String>,
    /// Whether everybody who reaches it may register.
    pub insecure: Option<bool>,
}

/// Names of services.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section: write [dns]")]
pub struct Dns {
    /// Where, over UDP and TCP.
    #[serde(default, deserialize_with = "forms::given")]
    pub listen: Option<SocketAddr>,
    /// What names end with.
    #[serde(default, deserialize_with = "forms::given")]
    pub zone: Option<String>,
    /// Networks that may ask, besides this machine.
    #[serde(default, deserialize_with = "forms::list")]
    pub clients: Option<Vec<IpNet>>,
    /// Questions of a client; 0 is any number.
    pub questions_per_second: Option<u32>,
}

/// Services by name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section: write [service_proxy]")]
pub struct ServiceProxy {
    /// Where tunnels begin.
    #[serde(default, deserialize_with = "forms::given")]
    pub tcp: Option<SocketAddr>,
    /// Where HTTP is spoken.
    #[serde(default, deserialize_with = "forms::given")]
    pub http: Option<SocketAddr>,
    /// What names may end with.
    #[serde(default, deserialize_with = "forms::given")]
    pub zone: Option<String>,
    /// Added to ports of the heartbeat port.
    pub port_offset: Option<u16>,
    /// For a connection to an endpoint.
    #[serde(default, deserialize_with = "forms::given")]
    pub connect_timeout: Option<Duration>,
    /// For a silent tunnel.
    #[serde(default, deserialize_with = "forms::given")]
    pub idle_timeout: Option<Duration>,
    /// Whether virtual addresses become real.
    pub assign_addresses: Option<bool>,
    /// Whether everybody who reaches it may use it.
    pub insecure: Option<bool>,
}

/// Whether a client may come without a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// It is refused in the handshake.
    #[default]
    Required,
    /// It may.
    Optional,
}

/// Clear text from clients.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section: write [http]")]
pub struct Http {
    /// Where.
    #[serde(default, deserialize_with = "forms::list")]
    pub listen: Option<Vec<SocketAddr>>,
    /// Peers whose forwarding fields are believed, cut to their prefixes.
    #[serde(default, deserialize_with = "forms::list")]
    pub trusted_proxies: Option<Vec<IpNet>>,
    /// Whether those begin with a header of the PROXY protocol.
    pub proxy_protocol: Option<bool>,
    /// Connections of a worker.
    #[serde(default, deserialize_with = "forms::count")]
    pub connections_max: Option<usize>,
    /// Connections of a client address.
    #[serde(default, deserialize_with = "forms::count")]
    pub connections_per_peer_max: Option<usize>,
    /// For a head, from its first byte.
    #[serde(default, deserialize_with = "forms::given")]
    pub header_timeout: Option<Duration>,
    /// Between two requests.
    #[serde(default, deserialize_with = "forms::given")]
    pub idle_timeout: Option<Duration>,
    /// For a connection to a backend.
    #[serde(default, deserialize_with = "forms::given")]
    pub connect_timeout: Option<Duration>,
    /// Between two pieces of a body.
    #[serde(default, deserialize_with = "forms::given")]
    pub body_timeout: Option<Duration>,
}

/// TLS towards clients.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section: write [https]")]
pub struct Https {
    /// Where.
    #[serde(default, deserialize_with = "forms::list")]
    pub listen: Option<Vec<SocketAddr>>,
    /// What is shown.
    pub certificates: Option<Vec<CertificateFiles>>,
    /// Whether clear text is sent there.
    pub redirect: Option<bool>,
    /// Whether HTTP/3 is spoken.
    pub http3: Option<bool>,
    /// Files of issuers of clients' certificates.
    #[serde(default, deserialize_with = "forms::list")]
    pub client_ca: Option<Vec<PathBuf>>,
    /// Whether one may come without.
    #[serde(default, deserialize_with = "forms::given")]
    pub client_certificates: Option<Demand>,
}

/// Certificates from authorities.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section: write [acme]")]
pub struct Acme {
    /// Whether the terms of service are agreed to.
    pub accept_terms: Option<bool>,
    /// Whom authorities may write to.
    #[serde(default, deserialize_with = "forms::given")]
    pub email: Option<String>,
    /// Addresses of authorities.
    #[serde(default, deserialize_with = "forms::list")]
    pub directories: Option<Vec<String>>,
    /// Files of issuers of authorities' own certificates.
    #[serde(default, deserialize_with = "forms::list")]
    pub ca: Option<Vec<PathBuf>>,
    /// How it is proved that names lead here.
    #[serde(default, deserialize_with = "forms::list")]
    pub challenges: Option<Vec<String>>,
    /// An account that was opened elsewhere.
    pub eab: Option<Eab>,
}

/// External account binding.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "{ key_id = \"ID\", hmac_key_file = \"FILE\" }")]
pub struct Eab {
    /// With whom.
    #[serde(default, deserialize_with = "forms::given")]
    pub directory: Option<String>,
    /// What the account is called there.
    #[serde(deserialize_with = "forms::one")]
    pub key_id: String,
    /// Where its secret stands.
    #[serde(deserialize_with = "forms::one")]
    pub hmac_key_file: PathBuf,
}

/// A certificate and its key.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "{ cert = \"FILE\", key = \"FILE\" }")]
pub struct CertificateFiles {
    /// PEM, the own certificate first.
    #[serde(deserialize_with = "forms::one")]
    pub cert: PathBuf,
    /// PEM.
    #[serde(deserialize_with = "forms::one")]
    pub key: PathBuf,
}

/// The port of backends.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section: write [registry]")]
pub struct Registry {
    /// Where.
    #[serde(default, deserialize_with = "forms::list")]
    pub listen: Option<Vec<SocketAddr>>,
    /// The Unix socket.
    #[serde(default, deserialize_with = "forms::given")]
    pub socket: Option<PathBuf>,
    /// Where the one token stands.
    #[serde(default, deserialize_with = "forms::given")]
    pub token_file: Option<PathBuf>,
    /// Whether everybody who reaches it may register.
    pub insecure: Option<bool>,
    /// TLS on the port.
    pub tls: Option<RegistryTls>,
    /// Who may do what.
    pub credentials: Option<Vec<Credential>>,
    /// How long a session waits for its client.
    #[serde(default, deserialize_with = "forms::given")]
    pub session_expiry: Option<Duration>,
    /// How long what is staged waits.
    #[serde(default, deserialize_with = "forms::given")]
    pub staged_expiry: Option<Duration>,
    /// How long routes wait after a restart.
    #[serde(default, deserialize_with = "forms::given")]
    pub route_grace: Option<Duration>,
    /// Sessions.
    #[serde(default, deserialize_with = "forms::count")]
    pub sessions_max: Option<usize>,
    /// Routes.
    #[serde(default, deserialize_with = "forms::count")]
    pub routes_max: Option<usize>,
    /// Routes of a session.
    #[serde(default, deserialize_with = "forms::count")]
    pub routes_per_session_max: Option<usize>,
    /// Sessions of a client address.
    #[serde(default, deserialize_with = "forms::count")]
    pub sessions_per_peer_max: Option<usize>,
}

/// TLS on the registry's port.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "{ cert = \"FILE\", key = \"FILE\" }")]
pub struct RegistryTls {
    /// PEM, the own certificate first.
    #[serde(deserialize_with = "forms::one")]
    pub cert: PathBuf,
    /// PEM.
    #[serde(deserialize_with = "forms::one")]
    pub key: PathBuf,
    /// Files of issuers of clients' certificates.
    #[serde(default, deserialize_with = "forms::list")]
    pub client_ca: Option<Vec<PathBuf>>,
    /// Whether one may come without.
    #[serde(default, deserialize_with = "forms::given")]
    pub client_certificates: Option<Demand>,
}

/// Who may talk to the registry, and what about.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table: write [[registry.credentials]]")]
pub struct Credential {
    /// Who it is.
    #[serde(deserialize_with = "forms::one")]
    pub name: String,
    /// Where the token stands.
    #[serde(default, deserialize_with = "forms::given")]
    pub token_file: Option<PathBuf>,
    /// A name in a client's certificate.
    #[serde(default, deserialize_with = "forms::given")]
    pub certificate: Option<String>,
    /// Names of services.
    #[serde(default, deserialize_with = "forms::list")]
    pub services: Option<Vec<String>>,
    /// Domains of routes.
    #[serde(default, deserialize_with = "forms::list")]
    pub domains: Option<Vec<String>>,
    /// Paths of routes.
    #[serde(default, deserialize_with = "forms::list")]
    pub paths: Option<Vec<String>>,
    /// Where backends may be, cut to prefixes.
    #[serde(default, deserialize_with = "forms::list")]
    pub networks: Option<Vec<IpNet>>,
}

/// What is remembered.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section: write [store]")]
pub struct Store {
    /// The database.
    #[serde(default, deserialize_with = "forms::given")]
    pub path: Option<PathBuf>,
    etcd: Option<toml::Value>,
}

/// Operators.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section: write [admin]")]
pub struct Admin {
    /// Their Unix socket.
    #[serde(default, deserialize_with = "forms::given")]
    pub socket: Option<PathBuf>,
    /// HTTP.
    #[serde(default, deserialize_with = "forms::given")]
    pub listen: Option<SocketAddr>,
    /// Where the token stands that HTTP wants.
    #[serde(default, deserialize_with = "forms::given")]
    pub token_file: Option<PathBuf>,
    /// Names that HTTP may be asked for.
    #[serde(default, deserialize_with = "forms::list")]
    pub hosts: Option<Vec<String>>,
}

/// Connections to backends.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section: write [backends]")]
pub struct Backends {
    /// Files of issuers of backends' certificates.
    #[serde(default, deserialize_with = "forms::list")]
    pub ca: Option<Vec<PathBuf>>,
    /// Networks they may be in although those are special, cut to prefixes.
    #[serde(default, deserialize_with = "forms::list")]
    pub allow: Option<Vec<IpNet>>,
    /// Whether those are checked that nobody speaks for.
    pub check: Option<bool>,
    /// How often.
    #[serde(default, deserialize_with = "forms::given")]
    pub check_interval: Option<Duration>,
}

/// The end.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section: write [shutdown]")]
pub struct Shutdown {
    /// How long it waits for what is in flight.
    #[serde(default, deserialize_with = "forms::given")]
    pub grace: Option<Duration>,
}

impl Raw {
    /// What is asked for and does not exist yet: its key, and its name in the file.
    pub(crate) fn not_built_yet(&self) -> Option<(&'static str, &'static str)> {
        let sections = [("store.etcd", "[store] etcd", self.store.etcd.is_some())];
        let asked = sections.into_iter().find(|(_, _, present)| *present);
        asked.map(|(key, name, _)| (key, name))
    }
}
