//! The configuration as it is typed: TOML, nothing checked but names and types (SPEC 9).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;

use super::clients::{Demand, RawRegistryTls};
use super::credentials::RawCredential;

/// A whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) workers: Option<usize>,
    #[serde(default)]
    pub(super) http: Http,
    #[serde(default)]
    pub(super) registry: Registry,
    #[serde(default)]
    pub(super) store: Store,
    #[serde(default)]
    pub(super) admin: Admin,
    #[serde(default)]
    pub(super) shutdown: Shutdown,
    #[serde(default)]
    pub(super) backends: Backends,
    pub(super) https: Option<Https>,
    pub(super) acme: Option<Acme>,
    // Sections of later work: known by name, refused when present.
    service_api: Option<toml::Value>,
    json_rpc: Option<toml::Value>,
    heartbeat: Option<toml::Value>,
    dns: Option<toml::Value>,
    service_proxy: Option<toml::Value>,
}

/// `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Network(pub(super) IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let network = text.parse::<IpNet>();
        let network = network.or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(Self).map_err(|_| "want an address or a network like 10.0.0.0/8".to_owned())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Http {
    pub(super) listen: Option<Vec<SocketAddr>>,
    pub(super) trusted_proxies: Option<Vec<Network>>,
    pub(super) proxy_protocol: Option<bool>,
    pub(super) connections_max: Option<usize>,
    pub(super) connections_per_peer_max: Option<usize>,
    pub(super) header_timeout: Option<String>,
    pub(super) idle_timeout: Option<String>,
    pub(super) connect_timeout: Option<String>,
    pub(super) body_timeout: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Https {
    pub(super) listen: Option<Vec<SocketAddr>>,
    pub(super) certificates: Option<Vec<CertificateFiles>>,
    pub(super) redirect: Option<bool>,
    pub(super) http3: Option<bool>,
    pub(super) client_ca: Option<Vec<PathBuf>>,
    pub(super) client_certificates: Option<Demand>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Acme {
    pub(super) accept_terms: Option<bool>,
    pub(super) email: Option<String>,
    pub(super) directories: Option<Vec<String>>,
    pub(super) ca: Option<Vec<PathBuf>>,
    pub(super) challenges: Option<Vec<String>>,
    pub(super) eab: Option<Eab>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Eab {
    pub(super) directory: Option<String>,
    pub(super) key_id: String,
    pub(super) hmac_key_file: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateFiles {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Registry {
    pub(super) listen: Option<Vec<SocketAddr>>,
    pub(super) socket: Option<PathBuf>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) insecure: Option<bool>,
    pub(super) tls: Option<RawRegistryTls>,
    pub(super) credentials: Option<Vec<RawCredential>>,
    pub(super) session_expiry: Option<String>,
    pub(super) staged_expiry: Option<String>,
    pub(super) route_grace: Option<String>,
    pub(super) sessions_max: Option<usize>,
    pub(super) routes_max: Option<usize>,
    pub(super) routes_per_session_max: Option<usize>,
    pub(super) sessions_per_peer_max: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Store {
    pub(super) path: Option<PathBuf>,
    pub(super) etcd: Option<toml::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    pub(super) socket: Option<PathBuf>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) hosts: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Backends {
    pub(super) ca: Option<Vec<PathBuf>>,
    pub(super) allow: Option<Vec<Network>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shutdown {
    pub(super) grace: Option<String>,
}

impl Raw {
    /// What is asked for and does not exist yet: its name in the file.
    pub(super) fn not_built_yet(&self) -> Option<&'static str> {
        let sections = [
            ("[service_api]", self.service_api.is_some()),
            ("[json_rpc]", self.json_rpc.is_some()),
            ("[heartbeat]", self.heartbeat.is_some()),
            ("[dns]", self.dns.is_some()),
            ("[service_proxy]", self.service_proxy.is_some()),
            ("[store] etcd", self.store.etcd.is_some()),
        ];
        sections.into_iter().find(|(_, present)| *present).map(|(name, _)| name)
    }

    /// What the environment says, over what the file says.
    ///
    /// Returns the variable that cannot be read.
    pub(super) fn override_by(
        &mut self,
        environment: &BTreeMap<String, String>,
    ) -> Result<(), &'static str> {
        fn read<T: std::str::FromStr>(
            environment: &BTreeMap<String, String>,
            name: &'static str,
            into: &mut Option<T>,
        ) -> Result<(), &'static str> {
            if let Some(text) = environment.get(name) {
                *into = Some(text.parse().map_err(|_| name)?);
            }
            Ok(())
        }
        fn list(
            environment: &BTreeMap<String, String>,
            name: &'static str,
            into: &mut Option<Vec<SocketAddr>>,
        ) -> Result<(), &'static str> {
            if let Some(text) = environment.get(name) {
                let parsed = text.split(',').map(|one| one.trim().parse());
                *into = Some(parsed.collect::<Result<_, _>>().map_err(|_| name)?);
            }
            Ok(())
        }
        read(environment, "PROXYD_WORKERS", &mut self.workers)?;
        list(environment, "PROXYD_HTTP_LISTEN", &mut self.http.listen)?;
        list(environment, "PROXYD_REGISTRY_LISTEN", &mut self.registry.listen)?;
        read(environment, "PROXYD_REGISTRY_SOCKET", &mut self.registry.socket)?;
        read(environment, "PROXYD_REGISTRY_TOKEN_FILE", &mut self.registry.token_file)?;
        read(environment, "PROXYD_STORE_PATH", &mut self.store.path)?;
        read(environment, "PROXYD_ADMIN_SOCKET", &mut self.admin.socket)?;
        read(environment, "PROXYD_ADMIN_LISTEN", &mut self.admin.listen)?;
        read(environment, "PROXYD_ADMIN_TOKEN_FILE", &mut self.admin.token_file)
    }
}
