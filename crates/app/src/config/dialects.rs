//! `[heartbeat]`, `[dns]`, `[service_proxy]`, `[service_api]` and `[json_rpc]`: how else the catalog is
//! fed and read. Each is off unless its section is there.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ::config::raw::{self, Demand};
use catalog::Config as CatalogConfig;
use certs::PairPaths;
use dns::Zone;
use door::Access;
use ipnet::IpNet;
use json_rpc::{BackendsError, Entry};

use super::clients::ClientCertificates;
use super::{ConfigError, read_token, set, value};

/// What names of services end with, unless somebody says otherwise (SPEC 9).
const ZONE: &str = "proxyd.internal";

/// The dialects that are on.
#[derive(Clone, Debug, Default)]
pub struct DialectsConfig {
    /// The heartbeat port.
    pub heartbeat: Option<HeartbeatConfig>,
    /// Names of services.
    pub dns: Option<DnsConfig>,
    /// Services by name.
    pub service_proxy: Option<ServiceProxyConfig>,
    /// The catalog over TLS and WebSocket.
    pub service_api: Option<ServiceApiConfig>,
    /// The catalog over JSON-RPC.
    pub json_rpc: Option<JsonRpcConfig>,
}

/// The heartbeat port.
#[derive(Clone, Debug)]
pub struct HeartbeatConfig {
    /// Where.
    pub listen: SocketAddr,
    /// Whether everybody who reaches it may register.
    pub insecure: bool,
}

/// Names of services.
#[derive(Clone, Debug)]
pub struct DnsConfig {
    /// Where, over UDP and TCP.
    pub listen: SocketAddr,
    /// What names end with.
    pub zone: Zone,
    /// As it is written.
    zone_shown: String,
    /// Networks that may ask, besides this machine.
    pub clients: Vec<IpNet>,
    /// Questions of a client; `None` is any number.
    pub questions_per_second: Option<NonZeroU32>,
}

/// Services by name.
#[derive(Clone, Debug)]
pub struct ServiceProxyConfig {
    /// Where tunnels begin.
    pub tcp: Option<SocketAddr>,
    /// Where HTTP is spoken.
    pub http: Option<SocketAddr>,
    /// What names may end with.
    pub zone: String,
    /// Added to ports of the heartbeat port.
    pub port_offset: u16,
    /// For a connection to an endpoint.
    pub connect_timeout: Duration,
    /// For a silent tunnel.
    pub idle_timeout: Duration,
    /// Whether virtual addresses become real.
    pub assign_addresses: bool,
    /// Whether everybody who reaches it may use it.
    pub insecure: bool,
}

/// The catalog over TLS and WebSocket.
#[derive(Clone, Debug)]
pub struct ServiceApiConfig {
    /// Where.
    pub listen: SocketAddr,
    /// What clients are shown; without it a certificate of our own making.
    pub files: Option<PairPaths>,
    /// Whether they show certificates of their own.
    pub(crate) clients: Option<ClientCertificates>,
    /// What they must show otherwise.
    pub(crate) access: AccessConfig,
    /// Connections.
    pub connections_max: Option<usize>,
    /// Connections of a client address.
    pub connections_per_peer_max: Option<usize>,
    /// Where packages may go; `None`: nowhere.
    pub deploy: Option<DeployConfig>,
}

/// Where packages may go.
#[derive(Clone, Debug)]
pub struct DeployConfig {
    /// As it is used.
    pub settings: deploy::Settings,
    /// Hosts as they are written.
    shown: String,
}

/// The catalog over JSON-RPC.
#[derive(Clone, Debug)]
pub struct JsonRpcConfig {
    /// Where.
    pub listen: SocketAddr,
    /// The backends file, which need not be there.
    pub backends: Option<PathBuf>,
    /// What clients are shown; without it in clear text.
    pub files: Option<PairPaths>,
    /// Whether they show certificates of their own.
    pub(crate) clients: Option<ClientCertificates>,
    /// What they must show otherwise.
    pub(crate) access: AccessConfig,
    /// The namespace of the hub.
    pub hub: String,
    /// What proxyd registers itself as.
    pub own: Option<OwnConfig>,
    /// What the environment says.
    pub environment: Vec<Entry>,
}

/// What proxyd registers itself as.
#[derive(Clone, Debug)]
pub struct OwnConfig {
    /// As it is registered.
    pub entry: Entry,
    /// As it is written.
    shown: String,
}

/// Who may speak to a dialect over HTTP.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessConfig {
    /// What is asked of a request.
    pub(crate) access: Access,
    /// Where the token stands.
    token_file: Option<PathBuf>,
    /// Whether everybody who reaches it may connect.
    pub(crate) insecure: bool,
}

impl DialectsConfig {
    /// What the sections say, with what of it is the catalog's.
    pub(super) fn from_raw(raw: Sections) -> Result<(Self, CatalogConfig), ConfigError> {
        let mut catalog = CatalogConfig::default();
        let heartbeat = raw.heartbeat.map(|raw| heartbeat(raw, &mut catalog)).transpose()?;
        let service_api = raw.service_api.map(|raw| service_api(raw, &mut catalog)).transpose()?;
        let dns = raw.dns.map(dns_config).transpose()?;
        let zone = dns.as_ref().map_or(ZONE, |dns| &dns.zone_shown);
        let service_proxy = raw.service_proxy.map(|raw| service_proxy(raw, zone)).transpose()?;
        if heartbeat.is_none() && service_proxy.as_ref().is_some_and(|on| on.assign_addresses) {
            let want = "wants a section [heartbeat]: virtual addresses are given to names that register there";
            return Err(value("service_proxy.assign_addresses", want));
        }
        let json_rpc = raw.json_rpc.map(json_rpc_config).transpose()?;
        Ok((Self { heartbeat, dns, service_proxy, service_api, json_rpc }, catalog))
    }

    /// What the environment says of JSON-RPC: where the hub of seed 004 looks.
    pub(super) fn look_around(
        &mut self,
        environment: &BTreeMap<String, String>,
    ) -> Result<(), ConfigError> {
        let Some(rpc) = &mut self.json_rpc else { return Ok(()) };
        let said = environment.get(json_rpc::VARIABLE).map_or("", String::as_str);
        rpc.environment = json_rpc::parse_environment(said)
            .map_err(|error| value(json_rpc::VARIABLE, &error.to_string()))?;
        if rpc.backends.is_none() {
            let user = super::users_folder(environment);
            rpc.backends = user.map(|user| user.join("plexus/backends.toml"));
        }
        Ok(())
    }

    /// Whether the backends file that is configured is good, which need not be there, and the keys of
    /// deployments are there.
    pub(super) fn look_into_files(&self) -> Result<(), ConfigError> {
        let deploy = self.service_api.as_ref().and_then(|api| api.deploy.as_ref());
        let hosts = deploy.map_or(&[][..], |deploy| &deploy.settings.hosts);
        for (at, host) in hosts.iter().enumerate() {
            look_into_key(&host.key).map_err(|message| {
                value(&format!("service_api.deploy_hosts[{at}].key"), &message)
            })?;
        }
        let file = self.json_rpc.as_ref().and_then(|rpc| rpc.backends.as_deref());
        match file.map(json_rpc::read_backends) {
            None | Some(Ok(_) | Err(BackendsError::Missing(_))) => Ok(()),
            Some(Err(error)) => Err(value("json_rpc.backends", &error.to_string())),
        }
    }

    /// As it would be written.
    pub(super) fn show(&self, catalog: &CatalogConfig) -> String {
        let mut out = String::new();
        // Writing into a String cannot fail.
        if let Some(heartbeat) = &self.heartbeat {
            let (first, last) = catalog.addresses;
            let (low, high) = (catalog.ports.start(), catalog.ports.end());
            let max_age = wire::duration::print(catalog.heartbeat_max_age);
            let _ = write!(
                out,
                "\n[heartbeat]\nlisten = \"{}\"\nmax_age = \"{max_age}\"\nports = \"{low}-{high}\"\n\
                 addresses = \"{first}-{last}\"\ninsecure = {}\n",
                heartbeat.listen, heartbeat.insecure,
            );
        }
        if let Some(dns) = &self.dns {
            let clients: Vec<_> = dns.clients.iter().map(ToString::to_string).collect();
            let _ = write!(
                out,
                "\n[dns]\nlisten = \"{}\"\nzone = {:?}\nclients = {clients:?}\n\
                 questions_per_second = {}\n",
                dns.listen,
                dns.zone_shown,
                dns.questions_per_second.map_or(0, NonZeroU32::get),
            );
        }
        if let Some(proxy) = &self.service_proxy {
            out.push_str("\n[service_proxy]\n");
            for (key, address) in [("tcp", proxy.tcp), ("http", proxy.http)] {
                if let Some(address) = address {
                    let _ = writeln!(out, "{key} = \"{address}\"");
                }
            }
            let _ = write!(
                out,
                "zone = {:?}\nport_offset = {}\nconnect_timeout = \"{}\"\nidle_timeout = \"{}\"\n\
                 assign_addresses = {}\ninsecure = {}\n",
                proxy.zone,
                proxy.port_offset,
                wire::duration::print(proxy.connect_timeout),
                wire::duration::print(proxy.idle_timeout),
                proxy.assign_addresses,
                proxy.insecure,
            );
        }
        if let Some(api) = &self.service_api {
            let _ = write!(out, "\n[service_api]\nlisten = \"{}\"\n", api.listen);
            out.push_str(&show_tls(api.files.as_ref(), api.clients.as_ref()));
            let counts = [
                ("connections_max", api.connections_max),
                ("connections_per_peer_max", api.connections_per_peer_max),
            ];
            for (key, count) in counts {
                if let Some(count) = count {
                    let _ = writeln!(out, "{key} = {count}");
                }
            }
            let subnets: Vec<_> = catalog.subnets.iter().map(ToString::to_string).collect();
            let _ = writeln!(out, "subnets = {subnets:?}");
            out.push_str(&api.access.show());
            if let Some(deploy) = &api.deploy {
                let packages = deploy.settings.packages.display().to_string();
                let _ = write!(
                    out,
                    "deploy_packages = {packages:?}\ndeploy_keep = {}\n{}",
                    deploy.settings.keep, deploy.shown
                );
            }
        }
        if let Some(rpc) = &self.json_rpc {
            let _ = write!(out, "\n[json_rpc]\nlisten = \"{}\"\nhub = {:?}\n", rpc.listen, rpc.hub);
            if let Some(file) = &rpc.backends {
                let _ = writeln!(out, "backends = {:?}", file.display().to_string());
            }
            if let Some(own) = &rpc.own {
                let _ = writeln!(out, "self = {}", own.shown);
            }
            out.push_str(&show_tls(rpc.files.as_ref(), rpc.clients.as_ref()));
            out.push_str(&rpc.access.show());
        }
        out
    }
}

/// The sections as they are typed.
#[derive(Debug, Default)]
pub(super) struct Sections {
    pub(super) heartbeat: Option<raw::Heartbeat>,
    pub(super) dns: Option<raw::Dns>,
    pub(super) service_proxy: Option<raw::ServiceProxy>,
    pub(super) service_api: Option<raw::ServiceApi>,
    pub(super) json_rpc: Option<raw::JsonRpc>,
}

impl AccessConfig {
    fn of(
        section: &str,
        listen: SocketAddr,
        token_file: Option<PathBuf>,
        origins: Option<Vec<String>>,
        insecure: bool,
    ) -> Result<Self, ConfigError> {
        let key = format!("{section}.token_file");
        let token = token_file.as_deref().map(|file| read_token(&key, file)).transpose()?;
        if token.is_none() {
            closed(
                &format!("{section}.listen"),
                listen,
                insecure,
                "set token_file, write insecure = true",
            )?;
        }
        let origins: Vec<Box<str>> = origins.into_iter().flatten().map(Into::into).collect();
        if let Some(at) = origins.iter().position(|origin| !is_origin(origin)) {
            let want = "want a page's origin as browsers say it, without a path and without the \
                        usual port: \"https://ops.example.com\"";
            return Err(value(&format!("{section}.origins[{at}]"), want));
        }
        Ok(Self { access: Access { token, origins }, token_file, insecure })
    }

    fn show(&self) -> String {
        let mut out =
            format!("origins = {:?}\ninsecure = {}\n", self.access.origins, self.insecure);
        if let Some(file) = &self.token_file {
            let _ = writeln!(out, "token_file = {:?}", file.display().to_string());
        }
        out
    }
}

/// Whether ssh can log in with that file, as far as it can be seen from here.
fn look_into_key(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let unreadable = |error| super::unreadable(path, &error);
    // Whoever opens a pipe waits.
    let found = std::fs::metadata(path).map_err(unreadable)?;
    if !found.is_file() || found.len() == 0 {
        return Err(format!("{shown} is no private key"));
    }
    if found.mode() & 0o007 != 0 {
        return Err(format!(
            "{shown} is everybody's, and ssh takes no such key: chmod 600 {shown}"
        ));
    }
    std::fs::File::open(path).map_err(unreadable)?;
    Ok(())
}

/// What browsers send (RFC 6454, section 7): `scheme://host`, with a port if it is not the usual
/// one; `null` or `file://` from pages that are files.
fn is_origin(text: &str) -> bool {
    if matches!(text, "null" | "file://") {
        return true;
    }
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '?' | '#' | '@');
    text.split_once("://").is_some_and(|(scheme, authority)| {
        let scheme_fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        let usual = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => "/",
        };
        !scheme.is_empty()
            && scheme.bytes().all(scheme_fits)
            && !authority.is_empty()
            && !authority.contains(bad)
            && !authority.ends_with(usual)
    })
}

/// Whoever others can reach has to know them (SPEC 12).
fn closed(key: &str, listen: SocketAddr, insecure: bool, way_out: &str) -> Result<(), ConfigError> {
    if insecure || listen.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(value(
        key,
        &format!(
            "may not be {listen}, which others can reach: {way_out}, or listen on a loopback address"
        ),
    ))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn heartbeat(
    raw: raw::Heartbeat,
    catalog: &mut CatalogConfig,
) -> Result<HeartbeatConfig, ConfigError> {
    // Checked by its form alone: names end when their time is over, nobody has to look for them.
    let raw::Heartbeat { listen, check_interval: _, max_age, ports, addresses, insecure } = raw;
    let (listen, insecure) = (listen.unwrap_or_else(|| local(9000)), insecure.unwrap_or(false));
    let way_out = "nothing in a frame says who sends it, write insecure = true";
    closed("heartbeat.listen", listen, insecure, way_out)?;
    set(&mut catalog.heartbeat_max_age, max_age);
    if let Some(text) = ports {
        let (key, want) =
            ("heartbeat.ports", "want the first and the last port, as in \"9000-9999\"");
        let (low, high) = span::<u16>(key, &text, want)?;
        if low == 0 {
            return Err(value(key, want));
        }
        catalog.ports = low..=high;
    }
    if let Some(text) = addresses {
        let want = "want the first and the last address, as in \"10.0.0.100-10.0.0.254\"";
        catalog.addresses = span("heartbeat.addresses", &text, want)?;
    }
    Ok(HeartbeatConfig { listen, insecure })
}

/// The first and the last of a range.
fn span<T>(key: &str, text: &str, want: &str) -> Result<(T, T), ConfigError>
where
    T: FromStr + PartialOrd + Display,
{
    let parsed = text.split_once('-').and_then(|(first, last)| {
        Some((first.trim().parse::<T>().ok()?, last.trim().parse::<T>().ok()?))
    });
    match parsed {
        None => Err(value(key, want)),
        Some((first, last)) if first > last => {
            let mended = format!("{last}-{first}");
            Err(value(key, &format!("{first} comes after {last}: write {mended:?}")))
        }
        Some(range) => Ok(range),
    }
}

fn dns_config(raw: raw::Dns) -> Result<DnsConfig, ConfigError> {
    let usual = dns::Settings::default();
    let listen = raw.listen.unwrap_or(usual.listen);
    let clients = raw.clients.unwrap_or_default();
    if clients.is_empty() {
        closed("dns.listen", listen, false, "name the networks that may ask in clients")?;
    }
    let zone_shown = raw.zone.unwrap_or_else(|| ZONE.to_owned());
    let zone = Zone::parse(&zone_shown).map_err(|error| value("dns.zone", &error.to_string()))?;
    let questions_per_second = match raw.questions_per_second {
        Some(rate) => NonZeroU32::new(rate),
        None => usual.questions_per_second,
    };
    Ok(DnsConfig { listen, zone, zone_shown, clients, questions_per_second })
}

fn service_proxy(raw: raw::ServiceProxy, zone: &str) -> Result<ServiceProxyConfig, ConfigError> {
    let insecure = raw.insecure.unwrap_or(false);
    for (key, address) in [("service_proxy.tcp", raw.tcp), ("service_proxy.http", raw.http)] {
        if let Some(address) = address {
            let way_out = "everybody there could reach every service, write insecure = true";
            closed(key, address, insecure, way_out)?;
        }
    }
    let usual = service_proxy::TunnelSettings::default();
    let assign_addresses = raw.assign_addresses.unwrap_or(false);
    // Who names one of the two wants that one; who asks for nothing wants what there is.
    let (tcp, http) = match (raw.tcp, raw.http) {
        (None, None) if !assign_addresses => (Some(local(8080)), Some(local(8081))),
        named => named,
    };
    Ok(ServiceProxyConfig {
        tcp,
        http,
        zone: raw.zone.unwrap_or_else(|| zone.to_owned()),
        port_offset: raw.port_offset.unwrap_or_default(),
        connect_timeout: raw.connect_timeout.unwrap_or(usual.connect_timeout),
        idle_timeout: raw.idle_timeout.unwrap_or(usual.idle_timeout),
        assign_addresses,
        insecure,
    })
}

fn service_api(
    raw: raw::ServiceApi,
    catalog: &mut CatalogConfig,
) -> Result<ServiceApiConfig, ConfigError> {
    let listen = raw.listen.unwrap_or_else(|| local(9443));
    let files = pair("service_api", raw.cert, raw.key)?;
    let asked = raw.client_ca.is_some();
    let demand = asked.then_some(Demand::Optional);
    let clients = ClientCertificates::of("service_api.client_ca", raw.client_ca, demand)?;
    for (at, net) in raw.subnets.into_iter().flatten().enumerate() {
        catalog::check_subnet(net, &catalog.subnets)
            .map_err(|error| value(&format!("service_api.subnets[{at}]"), &error.to_string()))?;
        catalog.subnets.push(net);
    }
    let deploy = match (raw.deploy_hosts, raw.deploy_packages) {
        (Some(hosts), Some(packages)) => Some(deploy(hosts, packages, raw.deploy_keep)?),
        (None, None) => None,
        (Some(_), None) => {
            return Err(value("service_api.deploy_packages", "is wanted with deploy_hosts"));
        }
        (None, Some(_)) => {
            return Err(value("service_api.deploy_hosts", "are wanted with deploy_packages"));
        }
    };
    let insecure = raw.insecure.unwrap_or(false);
    // Who shows a certificate needs no token; who shows neither is refused by the server.
    let access =
        AccessConfig::of("service_api", listen, raw.token_file, raw.origins, insecure || asked)?;
    Ok(ServiceApiConfig {
        listen,
        files,
        clients,
        access: AccessConfig { insecure, ..access },
        connections_max: raw.connections_max,
        connections_per_peer_max: raw.connections_per_peer_max,
        deploy,
    })
}

/// `cert` and `key` of a section: both or none.
fn pair(
    section: &str,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<PairPaths>, ConfigError> {
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some(PairPaths { cert, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(value(&format!("{section}.key"), "is wanted with cert")),
        (None, Some(_)) => Err(value(&format!("{section}.cert"), "is wanted with key")),
    }
}

fn show_tls(files: Option<&PairPaths>, clients: Option<&ClientCertificates>) -> String {
    let mut out = String::new();
    if let Some(files) = files {
        let (cert, key) = (files.cert.display().to_string(), files.key.display().to_string());
        let _ = write!(out, "cert = {cert:?}\nkey = {key:?}\n");
    }
    if let Some(clients) = clients {
        let files = clients.ca.iter().map(|file| file.display().to_string());
        let _ = writeln!(out, "client_ca = {:?}", files.collect::<Vec<_>>());
    }
    out
}

fn deploy(
    hosts: Vec<raw::DeployHost>,
    packages: PathBuf,
    keep: Option<usize>,
) -> Result<DeployConfig, ConfigError> {
    let mut shown = String::new();
    let mut read = Vec::new();
    for (at, raw) in hosts.into_iter().enumerate() {
        let key = |name: &str| format!("service_api.deploy_hosts[{at}].{name}");
        let (port, root) = (raw.port.unwrap_or(22), raw.root.as_deref().unwrap_or("/opt"));
        // Writing into a String cannot fail.
        let _ = write!(
            shown,
            "\n[[service_api.deploy_hosts]]\nname = {:?}\naddress = {:?}\nport = {port}\n\
             user = {:?}\nkey = {:?}\nhost_key = {:?}\nroot = {root:?}\n",
            raw.name,
            raw.address,
            raw.user,
            raw.key.display().to_string(),
            raw.host_key,
        );
        let wrong = |name: &str, error: deploy::BadHost| value(&key(name), &error.to_string());
        read.push(deploy::Host {
            host_key: deploy::HostKey::read(&raw.host_key)
                .map_err(|error| wrong("host_key", error))?,
            root: deploy::Root::read(root).map_err(|error| wrong("root", error))?,
            name: raw.name,
            address: raw.address,
            port,
            user: raw.user,
            key: raw.key,
        });
    }
    let mut settings = deploy::Settings::new(read, packages);
    set(&mut settings.keep, keep);
    deploy::Deployer::new(settings.clone()).map_err(bad_settings)?;
    Ok(DeployConfig { settings, shown })
}

/// Which key it is.
fn bad_settings(error: deploy::BadSettings) -> ConfigError {
    use deploy::BadSettings;
    let message = error.to_string();
    match error {
        BadSettings::Host { at, setting, source, .. } => {
            value(&format!("service_api.deploy_hosts[{at}].{setting}"), &source.to_string())
        }
        BadSettings::Packages { .. } => value("service_api.deploy_packages", &message),
        BadSettings::Twice(_) | BadSettings::TooMany | BadSettings::Program(_) => {
            value("service_api.deploy_hosts", &message)
        }
    }
}

fn json_rpc_config(raw: raw::JsonRpc) -> Result<JsonRpcConfig, ConfigError> {
    let listen = raw.listen.unwrap_or_else(|| local(4445));
    let insecure = raw.insecure.unwrap_or(false);
    let files = pair("json_rpc", raw.cert, raw.key)?;
    let asked = raw.client_ca.is_some();
    if asked && files.is_none() {
        let want = "is wanted with client_ca: in clear text nobody shows a certificate";
        return Err(value("json_rpc.cert", want));
    }
    let demand = asked.then_some(Demand::Optional);
    let clients = ClientCertificates::of("json_rpc.client_ca", raw.client_ca, demand)?;
    // Who shows a certificate needs no token; who shows neither is refused by the server.
    let access =
        AccessConfig::of("json_rpc", listen, raw.token_file, raw.origins, insecure || asked)?;
    let own = raw.own.map(own).transpose()?;
    Ok(JsonRpcConfig {
        listen,
        backends: raw.backends,
        files,
        clients,
        access: AccessConfig { insecure, ..access },
        hub: raw.hub.unwrap_or_else(|| "registry-hub".to_owned()),
        own,
        environment: Vec::new(),
    })
}

fn own(raw: raw::Own) -> Result<OwnConfig, ConfigError> {
    let host = raw.host.as_deref().unwrap_or("127.0.0.1");
    let entry = Entry::new(&raw.name, host, raw.port.into(), raw.protocol.as_deref());
    let entry = entry.map_err(|error| value("json_rpc.self", &error.to_string()))?;
    let protocol = raw.protocol.as_deref().unwrap_or("ws");
    let (name, port) = (&raw.name, raw.port);
    let shown =
        format!("{{ name = {name:?}, host = {host:?}, port = {port}, protocol = {protocol:?} }}");
    Ok(OwnConfig { entry, shown })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;

    use crate::config::{Config, Flags, Purpose, load_text, shown_again, without_place};

    #[test]
    fn what_is_off_unless_it_is_there() {
        let config = load_text("").unwrap();
        assert!(config.dialects.heartbeat.is_none() && config.dialects.json_rpc.is_none());
        let text =
            "[heartbeat]\n[service_proxy]\ntcp = \"127.0.0.1:8088\"\n[service_api]\n[json_rpc]\n";
        let config = load_text(text).unwrap();
        shown_again(&config);
        assert_eq!(config.dialects.heartbeat.unwrap().listen.to_string(), "127.0.0.1:9000");
        assert_eq!(config.dialects.service_api.unwrap().listen.to_string(), "127.0.0.1:9443");
        assert_eq!(config.dialects.json_rpc.unwrap().listen.to_string(), "127.0.0.1:4445");
    }

    #[test]
    fn what_is_on_of_the_service_proxies() {
        let default = ["127.0.0.1:8080", "127.0.0.1:8081"];
        #[rustfmt::skip]
        let table = [
            ("",                           default),
            ("zone = \"test\"",            default),
            ("assign_addresses = false",   default),
            ("tcp = \"127.0.0.1:1\"",      ["127.0.0.1:1", ""]),
            ("http = \"127.0.0.1:1\"",     ["", "127.0.0.1:1"]),
            ("assign_addresses = true",    ["", ""]),
        ];
        for (keys, want) in table {
            let config = load_text(&format!("[heartbeat]\n[service_proxy]\n{keys}\n")).unwrap();
            let proxy = config.dialects.service_proxy.unwrap();
            let found =
                [proxy.tcp, proxy.http].map(|at| at.map_or(String::new(), |at| at.to_string()));
            assert_eq!(found, want, "{keys}");
        }
    }

    #[test]
    fn everything_that_can_be_said() {
        let text = "\
[heartbeat]
listen = \"127.0.0.1:9100\"
check_interval = \"30s\"
max_age = \"90s\"
ports = \"9200-9300\"
addresses = \"127.1.0.1-127.1.0.9\"
[dns]
listen = \"0.0.0.0:5353\"
zone = \"svc.test\"
clients = [\"10.0.0.0/8\"]
questions_per_second = 0
[service_proxy]
tcp = \"0.0.0.0:8088\"
http = \"127.0.0.1:8089\"
zone = \"test\"
port_offset = 2000
connect_timeout = \"1s\"
idle_timeout = \"5m\"
assign_addresses = true
insecure = true
[service_api]
listen = \"127.0.0.1:9443\"
origins = [\"https://ops.test\", \"http://ops.test:8080\", \"null\", \"file://\"]
connections_max = 10
subnets = [\"10.42.0.0/16\"]
deploy_packages = \"/\"
deploy_keep = 3
[[service_api.deploy_hosts]]
name = \"edge-1\"
address = \"10.0.0.7\"
user = \"deploy\"
key = \"/key\"
host_key = \"SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU\"
[json_rpc]
listen = \"127.0.0.1:4445\"
backends = \"b.toml\"
hub = \"hub\"
self = { name = \"proxyd\", port = 80 }
";
        let config = load_text(text).unwrap();
        shown_again(&config);
        assert_eq!(config.catalog.heartbeat_max_age.as_secs(), 90);
        assert_eq!(config.catalog.ports, 9200..=9300);
        assert_eq!(config.catalog.addresses.0.to_string(), "127.1.0.1");
        assert_eq!(config.catalog.subnets[0].to_string(), "10.42.0.0/16");
    }

    /// Whoever shows a certificate needs no token, so that `client_ca` is enough off loopback.
    #[test]
    fn json_rpc_with_tls() {
        let folder = tempfile::tempdir().unwrap();
        let made = certs::self_signed(&["localhost"], model::UnixMillis(0)).unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            format!("{:?}", path.display().to_string())
        };
        let (cert, key) = (file("cert.pem", &made.cert_pem), file("key.pem", &made.key_pem));
        let pair = format!("[json_rpc]\nlisten = \"0.0.0.0:4445\"\ncert = {cert}\nkey = {key}\n");
        let error = load_text(&pair).unwrap_err();
        assert!(without_place(&error).starts_with("json_rpc.listen: may not be 0.0.0.0:4445"));
        let config = load_text(&format!("{pair}client_ca = [{cert}]\n")).unwrap();
        let (read, shown) = (&config.dialects.json_rpc, &shown_again(&config).dialects.json_rpc);
        let (read, shown) = (read.as_ref().unwrap(), shown.as_ref().unwrap());
        assert!(read.files.is_some() && read.clients.is_some() && !read.access.insecure);
        assert_eq!((&read.files, &read.clients), (&shown.files, &shown.clients));
    }

    /// proxyd starts without what is wrong there, and takes it when it is mended.
    #[test]
    fn a_backends_file_is_looked_into() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display().to_string();
        let (file, backends) = (folder.path().join("proxyd.toml"), folder.path().join("b.toml"));
        std::fs::write(&file, format!("[json_rpc]\nbackends = {backends:?}\n")).unwrap();
        let flags = Flags { file: Some(file), ..Flags::default() };
        let look = || {
            let looked_at = Config::load(&flags, &BTreeMap::new(), Purpose::Check);
            looked_at.err().map_or(String::new(), |error| error.to_string().replace(&at, "@"))
        };
        assert_eq!(look(), "", "it need not be there");
        std::fs::write(&backends, "[[backend]]\nname = \"a\"\nhost = \"h\"\nport = 0\n").unwrap();
        let said = look();
        assert!(
            said.starts_with("@/proxyd.toml:2:12: json_rpc.backends: @/b.toml:4:8: "),
            "{said}"
        );
        assert!(Config::load(&flags, &BTreeMap::new(), Purpose::Run).is_ok());
        std::fs::write(&backends, "[[backend]]\nname = \"a\"\nhost = \"h\"\nport = 1\n").unwrap();
        assert_eq!(look(), "");
    }

    #[test]
    fn keys_of_deployments_are_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display().to_string();
        let (file, key) = (folder.path().join("proxyd.toml"), folder.path().join("key"));
        let text = format!(
            "[service_api]\ndeploy_packages = {at:?}\n[[service_api.deploy_hosts]]\nname = \"a\"\n\
             address = \"b\"\nuser = \"c\"\nkey = {key:?}\n\
             host_key = \"SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU\"\n"
        );
        std::fs::write(&file, text).unwrap();
        let flags = Flags { file: Some(file), ..Flags::default() };
        let look = || {
            let looked_at = Config::load(&flags, &BTreeMap::new(), Purpose::Check);
            looked_at.err().map_or(String::new(), |error| error.to_string().replace(&at, "@"))
        };
        let place = "@/proxyd.toml:7:7: service_api.deploy_hosts[0].key: ";
        let put = |text: &str, mode| {
            std::fs::write(&key, text).unwrap();
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        assert!(look().starts_with(&format!("{place}cannot read @/key: No such file")));
        put("", 0o600);
        assert_eq!(look(), format!("{place}@/key is no private key"));
        put("key", 0o644);
        let says = "@/key is everybody's, and ssh takes no such key: chmod 600 @/key";
        assert_eq!(look(), format!("{place}{says}"));
        put("key", 0o600);
        assert_eq!(look(), "");
    }

    #[test]
    fn mistakes() {
        #[rustfmt::skip]
        let table = [
            ("[heartbeat]\nlisten = \"0.0.0.0:9000\"\n",     "heartbeat.listen: may not be 0.0.0.0:9000, which others can reach"),
            ("[dns]\nlisten = \"0.0.0.0:5300\"\n",           "dns.listen: may not be 0.0.0.0:5300, which others can reach: name the networks that may ask in clients, or listen on a loopback address"),
            ("[heartbeat]\nports = \"9\"\n",                 "heartbeat.ports: want the first and the last port"),
            ("[heartbeat]\nports = \"0-8\"\n",               "heartbeat.ports: want the first and the last port"),
            ("[heartbeat]\nports = \"9-8\"\n",               "heartbeat.ports: 9 comes after 8: write \"8-9\""),
            ("[heartbeat]\naddresses = \"10.0.0.9-10.0.0.1\"\n", "heartbeat.addresses: 10.0.0.9 comes after 10.0.0.1: write \"10.0.0.1-10.0.0.9\""),
            ("[heartbeat]\naddresses = \"10.0.0.1\"\n",      "heartbeat.addresses: want the first and the last address"),
            ("[dns]\nlisten = \"0.0.0.0:53\"\n",            "dns.listen: may not be 0.0.0.0:53"),
            ("[dns]\nzone = \"\"\n",                          "dns.zone: a zone is a domain name"),
            ("[service_proxy]\nassign_addresses = true\n",  "service_proxy.assign_addresses: wants a section [heartbeat]: virtual addresses are given to names that register there"),
            ("[service_api]\norigins = [\"https://a\", \"ops.example.com\"]\n", "service_api.origins[1]: want a page's origin as browsers say it, without a path and without the usual port: \"https://ops.example.com\""),
            ("[json_rpc]\norigins = [\"https://a/\"]\n",     "json_rpc.origins[0]: want a page's origin as browsers say it"),
            ("[json_rpc]\norigins = [\"https://a:443\"]\n", "json_rpc.origins[0]: want a page's origin as browsers say it"),
            ("[json_rpc]\norigins = [\"://a\"]\n",           "json_rpc.origins[0]: want a page's origin as browsers say it"),
            ("[json_rpc]\norigins = [\"*\"]\n",              "json_rpc.origins[0]: want a page's origin as browsers say it"),
            ("[service_api]\ndeploy_packages = \"/gone\"\n[[service_api.deploy_hosts]]\nname = \"a\"\naddress = \"b\"\nuser = \"c\"\nkey = \"/k\"\nhost_key = \"SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU\"\n",
             "service_api.deploy_packages: /gone: No such file or directory"),
            ("[service_api]\ndeploy_packages = \"/\"\n[[service_api.deploy_hosts]]\nname = \"a\"\naddress = \"b\"\nuser = \"c\"\nkey = \"k\"\nhost_key = \"SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU\"\n",
             "service_api.deploy_hosts[0].key: must be an absolute path"),
            ("[service_proxy]\ntcp = \"0.0.0.0:1\"\n",       "service_proxy.tcp: may not be 0.0.0.0:1"),
            ("[service_api]\ncert = \"a\"\n",                "service_api.key: is wanted with cert"),
            ("[service_api]\nsubnets = [\"fd00::/8\"]\n",    "service_api.subnets[0]: want a network of IPv4"),
            ("[service_api]\nsubnets = [\"10.42.0.1/16\"]\n", "service_api.subnets[0]: 10.42.0.1/16 is not the address of its network: write 10.42.0.0/16"),
            ("[service_api]\nsubnets = [\"10.42.0.0/30\", \"10.42.0.0/29\"]\n", "service_api.subnets[1]: 10.42.0.0/29 overlaps 10.42.0.0/30"),
            ("[service_api]\nsubnets = [\"10.0.0.0/8\"]\n",    "service_api.subnets[0]: 10.0.0.0/8 is larger than 65536 addresses"),
            ("[service_api]\nsubnets = [\"10.0.0.0/31\"]\n",   "service_api.subnets[0]: 10.0.0.0/31 has no address to hand out"),
            ("[service_api]\ndeploy_packages = \"/a\"\n",      "service_api.deploy_hosts: are wanted with deploy_packages"),
            ("[service_api]\nlisten = \"0.0.0.0:1\"\n",      "service_api.listen: may not be 0.0.0.0:1"),
            ("[json_rpc]\nlisten = \"0.0.0.0:1\"\n",         "json_rpc.listen: may not be 0.0.0.0:1"),
            ("[json_rpc]\ntoken_file = \"/gone\"\n",         "json_rpc.token_file: cannot read /gone"),
            ("[json_rpc]\ncert = \"a\"\n",                   "json_rpc.key: is wanted with cert"),
            ("[json_rpc]\nkey = \"a\"\n",                    "json_rpc.cert: is wanted with key"),
            ("[json_rpc]\nclient_ca = [\"a\"]\n",            "json_rpc.cert: is wanted with client_ca: in clear text nobody shows a certificate"),
            ("[json_rpc]\ncert = \"/gone\"\nkey = \"/gone\"\n", "json_rpc.cert: cannot read /gone"),
            ("[json_rpc]\ncert = \"a\"\nkey = \"a\"\nclient_ca = [\"/gone\"]\n", "json_rpc.client_ca: cannot read /gone"),
            ("[service_api]\nclient_ca = [\"/gone\"]\n",     "service_api.client_ca: cannot read /gone"),
            ("[json_rpc]\nself = { name = \"a b\", port = 1 }\n", "json_rpc.self: name must hold no spaces"),
        ];
        for (text, says) in table {
            let error = load_text(text).unwrap_err();
            assert!(without_place(&error).starts_with(says), "{text}: {error}");
        }
    }
}
