//! The configuration as it is used: every value checked, every default filled in.
//!
//! Flag over environment over file over default (SPEC 9). What is wrong is shown with file, line,
//! column and key, or with the flag or variable that says it; the process then ends with 78. Texts
//! are read in `crates/config`.

mod acme;
mod admin;
mod clients;
mod credentials;
mod dialects;
mod folders;
mod listeners;
mod show;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::config::raw::Raw;
use ::config::{ReadError, Source, variable_of};
use certs::{LoadError, PairPaths};
use control::{Address, Credentials, Protection, check_exposure};
use door::Secret;
use ipnet::IpNet;
use probe::Tls;
use session::{Credential, Grants};

/// Between two checks of an endpoint that is well (SPEC 4).
const CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// Less would be an attack on the backend.
const CHECK_INTERVAL_MIN: Duration = Duration::from_millis(100);

pub use self::acme::AcmeConfig;
pub use self::admin::AdminConfig;
pub(crate) use clients::{ClientCertificates, RegistryTls};
pub(crate) use credentials::Shown;
pub use dialects::DialectsConfig;
pub(crate) use dialects::{JsonRpcConfig, ServiceApiConfig};
pub(crate) use folders::folder_of;
pub use show::show;

/// Everything `proxyd run` needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was read from.
    pub file: Option<PathBuf>,
    /// The data plane.
    pub http: dataplane::Config,
    /// TLS towards clients.
    pub https: Option<HttpsConfig>,
    /// Certificates from authorities.
    pub acme: Option<AcmeConfig>,
    /// Where the registry listens.
    pub registry_listen: Vec<SocketAddr>,
    /// The registry's Unix socket.
    pub registry_socket: Option<PathBuf>,
    /// What clients must send as their first line, and where it stands.
    pub token: Option<(PathBuf, Secret)>,
    /// Further ones who may talk to the registry, and what each may do.
    pub credentials: Vec<Shown>,
    /// TLS on the registry's port.
    pub registry_tls: Option<RegistryTls>,
    /// Whether the registry may listen off loopback without a token.
    pub insecure: bool,
    /// How long things last in the registry, and how many there may be.
    pub session: session::Config,
    /// How long things last in the catalog, and how many there may be.
    pub catalog: catalog::Config,
    /// How else the catalog is fed and read.
    pub dialects: DialectsConfig,
    /// The database.
    pub store: PathBuf,
    /// The operators' socket.
    pub admin_socket: PathBuf,
    /// HTTP for operators and their tools.
    pub admin: Option<AdminConfig>,
    /// How long a TERM waits for what is in flight.
    pub shutdown_grace: Duration,
    /// Files of certificates that backends' may be signed by, besides whom the system trusts.
    pub backend_ca: Vec<PathBuf>,
    /// Networks that backends may be in although they are link-local, or a cloud's metadata.
    pub backend_allow: Vec<IpNet>,
    /// How often endpoints are checked that nobody speaks for. Whether they are at all is the
    /// catalog's.
    pub check_interval: Duration,
}

/// TLS towards clients.
#[derive(Clone, Debug)]
pub struct HttpsConfig {
    /// Where.
    pub listen: Vec<SocketAddr>,
    /// Files of certificates and their keys.
    pub certificates: Vec<PairPaths>,
    /// Whether requests in clear text for a host that has a certificate are sent there.
    pub redirect: bool,
    /// Whether HTTP/3 is spoken on the same ports.
    pub http3: bool,
    /// Whether clients show certificates of their own.
    pub clients: Option<ClientCertificates>,
}

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// `--http`.
    pub http: Vec<SocketAddr>,
    /// `--registry`.
    pub registry: Vec<SocketAddr>,
    /// `--store`.
    pub store: Option<PathBuf>,
    /// `--admin-socket`.
    pub admin_socket: Option<PathBuf>,
    /// `--workers`.
    pub workers: Option<usize>,
}

/// Why a configuration cannot be used. Displays as what a person needs to mend it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No such file, or not readable.
    #[error("cannot read {}: {source}; --config or PROXYD_CONFIG can name another file", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong form.
    #[error(transparent)]
    Text(#[from] ReadError),
    /// A value that makes no sense, or leads to a file that does not.
    #[error("{}{key}: {message}", place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default())]
    Value {
        /// Who says it: the file with line and column, a variable or a flag.
        place: Option<String>,
        /// `registry.credentials[0].token_file`.
        key: String,
        /// What was wanted.
        message: String,
    },
}

impl ConfigError {
    fn placed(self, place: impl FnOnce(&str) -> String) -> Self {
        match self {
            Self::Value { key, message, .. } => {
                Self::Value { place: Some(place(&key)), key, message }
            }
            Self::Read { .. } | Self::Text(_) => self,
        }
    }
}

impl Flags {
    /// The flag that stands for a key and is given.
    fn name_of(&self, key: &str) -> Option<&'static str> {
        match key {
            "http.listen" if !self.http.is_empty() => Some("--http"),
            "registry.listen" if !self.registry.is_empty() => Some("--registry"),
            "store.path" => self.store.is_some().then_some("--store"),
            "admin.socket" => self.admin_socket.is_some().then_some("--admin-socket"),
            "workers" => self.workers.is_some().then_some("--workers"),
            _ => None,
        }
    }
}

/// What a configuration is read for: the further, the more of what it names has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// To be shown, on another machine perhaps.
    Show,
    /// To start with it.
    Run,
    /// To find everything that is wrong, what proxyd would start without included: the backends file
    /// and the keys of deployments, which may come to be good while it runs.
    Check,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], for a person.
    pub fn load(
        flags: &Flags,
        environment: &BTreeMap<String, String>,
        purpose: Purpose,
    ) -> Result<Self, ConfigError> {
        let file = flags.file.clone().or_else(|| find(environment));
        let (name, text) = match &file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| ConfigError::Read { file: path.clone(), source })?;
                (path.display().to_string(), text)
            }
            None => ("(defaults)".to_owned(), String::new()),
        };
        let source = Source { name: &name, text: &text };
        let mut raw = source.read()?;
        raw.override_by(environment)?;
        let place = |key: &str| {
            // Flags and variables name lists as a whole.
            let whole = key.split_once('[').map_or(key, |(list, _)| list);
            let variable = variable_of(whole).filter(|name| environment.contains_key(*name));
            let said = flags.name_of(whole).or(variable);
            said.map_or_else(|| source.place(key), str::to_owned)
        };
        let checked = Self::checked(raw, file, flags, environment, purpose);
        checked.map_err(|error| error.placed(place))
    }

    fn checked(
        raw: Raw,
        file: Option<PathBuf>,
        flags: &Flags,
        environment: &BTreeMap<String, String>,
        purpose: Purpose,
    ) -> Result<Self, ConfigError> {
        let mut config = Self { file, ..Self::from_raw(raw)? };
        if purpose >= Purpose::Check {
            config.dialects.look_into_files()?;
        }
        config.dialects.look_around(environment)?;
        config.override_by(flags);
        config.check()?;
        config.check_listeners()?;
        if purpose >= Purpose::Run {
            config.check_folders()?;
            config.check_pairs()?;
        }
        Ok(config)
    }

    /// Whether what clients are shown can be shown to them.
    fn check_pairs(&self) -> Result<(), ConfigError> {
        let https = self.https.iter().flat_map(|https| https.certificates.iter().enumerate());
        let https = https.map(|(at, pair)| (format!("https.certificates[{at}]"), pair));
        let registry = self.registry_tls.iter().map(|tls| ("registry.tls".to_owned(), &tls.files));
        let api = self.dialects.service_api.as_ref().and_then(|api| api.files.as_ref());
        let api = api.map(|files| ("service_api".to_owned(), files));
        let rpc = self.dialects.json_rpc.as_ref().and_then(|rpc| rpc.files.as_ref());
        let rpc = rpc.map(|files| ("json_rpc".to_owned(), files));
        for (key, pair) in https.chain(registry).chain(api).chain(rpc) {
            pair.check().map_err(|error| {
                let key = format!("{key}{}", one_of_the_two(pair, &error));
                value(&key, &error.to_string())
            })?;
        }
        Ok(())
    }

    fn from_raw(raw: Raw) -> Result<Self, ConfigError> {
        let any = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let workers = raw.workers.unwrap_or(cores);
        let listen = raw.http.listen.unwrap_or_else(|| vec![any(80)]);
        let mut http = dataplane::Config::new(listen, workers);
        http.trusted_proxies.extend(raw.http.trusted_proxies.into_iter().flatten());
        set(&mut http.proxy_protocol, raw.http.proxy_protocol);
        set(&mut http.connections_max, raw.http.connections_max);
        set(&mut http.connections_per_peer_max, raw.http.connections_per_peer_max);
        set(&mut http.header_timeout, raw.http.header_timeout);
        set(&mut http.idle_timeout, raw.http.idle_timeout);
        set(&mut http.connect_timeout, raw.http.connect_timeout);
        set(&mut http.body_timeout, raw.http.body_timeout);
        let mut session = default_session();
        let given = raw.registry;
        set(&mut session.session_expiry, given.session_expiry);
        set(&mut session.v1_route_grace, given.session_expiry);
        set(&mut session.staged_expiry, given.staged_expiry);
        set(&mut session.route_grace, given.route_grace);
        set(&mut session.sessions_max, given.sessions_max);
        set(&mut session.routes_max, given.routes_max);
        set(&mut session.routes_per_session_max, given.routes_per_session_max);
        set(&mut session.sessions_per_peer_max, given.sessions_per_peer_max);
        let shutdown_grace = raw.shutdown.grace.unwrap_or(Duration::from_secs(30));
        let store = raw.store.path.unwrap_or_else(|| PathBuf::from("proxyd.db"));
        let https = raw.https.map(|https| -> Result<_, ConfigError> {
            let demand = https.client_certificates;
            Ok(HttpsConfig {
                listen: https.listen.unwrap_or_else(|| vec![any(443)]),
                certificates: https
                    .certificates
                    .into_iter()
                    .flatten()
                    .map(|files| PairPaths { cert: files.cert, key: files.key })
                    .collect(),
                redirect: https.redirect.unwrap_or(true),
                http3: https.http3.unwrap_or(true),
                clients: ClientCertificates::of("https.client_ca", https.client_ca, demand)?,
            })
        });
        let (dialects, mut catalog) = DialectsConfig::from_raw(dialects::Sections {
            heartbeat: raw.heartbeat,
            dns: raw.dns,
            service_proxy: raw.service_proxy,
            service_api: raw.service_api,
            json_rpc: raw.json_rpc,
        })?;
        catalog.checks = raw.backends.check.unwrap_or(true);
        let check_interval = raw.backends.check_interval.unwrap_or(CHECK_INTERVAL);
        if check_interval < CHECK_INTERVAL_MIN {
            return Err(value("backends.check_interval", "want 100ms or more"));
        }
        let token = |file| credentials::token("registry.token_file", file);
        let token = given.token_file.map(token).transpose()?;
        Ok(Self {
            file: None,
            http,
            https: https.transpose()?,
            acme: raw.acme.map(AcmeConfig::from_raw).transpose()?,
            registry_listen: given.listen.unwrap_or_else(|| vec![local(81)]),
            registry_socket: given.socket,
            credentials: credentials::read(given.credentials.unwrap_or_default(), token.as_ref())?,
            token,
            registry_tls: given.tls.map(RegistryTls::from_raw).transpose()?,
            insecure: given.insecure.unwrap_or(false),
            session,
            catalog,
            dialects,
            admin_socket: raw.admin.socket.clone().unwrap_or_else(|| beside(&store)),
            admin: AdminConfig::from_raw(raw.admin)?,
            store,
            shutdown_grace,
            backend_ca: raw.backends.ca.unwrap_or_default(),
            backend_allow: raw.backends.allow.unwrap_or_default(),
            check_interval,
        })
    }

    fn override_by(&mut self, flags: &Flags) {
        if !flags.http.is_empty() {
            self.http.listen.clone_from(&flags.http);
        }
        if !flags.registry.is_empty() {
            self.registry_listen.clone_from(&flags.registry);
        }
        if let Some(store) = &flags.store {
            if self.admin_socket == beside(&self.store) {
                self.admin_socket = beside(store);
            }
            self.store.clone_from(store);
        }
        if let Some(socket) = &flags.admin_socket {
            self.admin_socket.clone_from(socket);
        }
        set(&mut self.http.workers, flags.workers);
    }

    /// Where the registry takes clients.
    pub fn registry_addresses(&self) -> Vec<Address> {
        let tcp = self.registry_listen.iter().copied().map(Address::Tcp);
        tcp.chain(self.registry_socket.iter().cloned().map(Address::Unix)).collect()
    }

    /// Who may talk to the registry.
    pub fn registry_credentials(&self) -> Credentials {
        let mut all = Credentials::default();
        if let Some((_, token)) = &self.token {
            let credential =
                Credential { name: credentials::TOKEN.into(), grants: Grants::default() };
            all.add_token(token.clone(), credential.into());
        }
        for Shown { credential, token, certificate } in &self.credentials {
            if let Some((_, token)) = token {
                all.add_token(token.clone(), credential.clone());
            }
            if let Some(name) = certificate {
                all.add_certificate(name, credential.clone());
            }
        }
        if self.registry_tls.as_ref().is_some_and(|tls| tls.clients.is_some()) {
            all.ask_certificates();
        }
        all
    }

    /// How backends are spoken to with TLS. Reads files.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], for a file that cannot be read or holds no certificate.
    pub fn backend_tls(&self) -> Result<Tls, ConfigError> {
        tls_trusting("backends.ca", &self.backend_ca)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if !self.backend_ca.is_empty() {
            self.backend_tls()?;
        }
        if let Some(clients) = self.https.as_ref().and_then(|https| https.clients.as_ref()) {
            clients.load()?;
        }
        if let Some(acme) = &self.acme {
            acme.check(self)?;
        }
        if !(1..=1024).contains(&self.http.workers) {
            return Err(value("workers", "want 1 to 1024"));
        }
        if self.http.listen.is_empty() {
            return Err(value("http.listen", "want at least one address"));
        }
        if self.http.proxy_protocol && self.http.trusted_proxies.is_empty() {
            return Err(value(
                "http.proxy_protocol",
                "want trusted_proxies, whose headers to read",
            ));
        }
        if self.http.connections_max == 0 {
            return Err(value("http.connections_max", "want at least 1"));
        }
        if self.http.connections_per_peer_max == 0 {
            return Err(value("http.connections_per_peer_max", "want at least 1"));
        }
        let asks = self.registry_tls.as_ref().and_then(|tls| tls.clients.as_ref());
        if let Some(clients) = asks {
            clients.load()?;
        }
        let api = self.dialects.service_api.as_ref().and_then(|api| api.clients.as_ref());
        let rpc = self.dialects.json_rpc.as_ref().and_then(|rpc| rpc.clients.as_ref());
        for clients in api.into_iter().chain(rpc) {
            clients.load()?;
        }
        let named = self.credentials.iter().position(|shown| shown.certificate.is_some());
        if let Some(at) = named.filter(|_| asks.is_none()) {
            let key = format!("registry.credentials[{at}].certificate");
            return Err(value(&key, "is wanted with registry.tls and its client_ca"));
        }
        let has_token = self.token.is_some() || self.credentials.iter().any(|c| c.token.is_some());
        let protection = match (has_token, asks, self.insecure) {
            (true, _, _) => Protection::Token,
            (false, Some(_), _) => Protection::Certificates,
            (false, None, true) => Protection::Insecure,
            (false, None, false) => Protection::None,
        };
        for address in self.registry_addresses() {
            check_exposure(&address, protection)
                .map_err(|error| value("registry.listen", &error.to_string()))?;
        }
        Ok(())
    }
}

/// SPEC 2.3 and 12; in one session a few more routes than its 100 000, so that who has that many
/// can still change one by adding before removing.
fn default_session() -> session::Config {
    session::Config {
        session_expiry: Duration::from_secs(60),
        v1_route_grace: Duration::from_secs(60),
        route_grace: Duration::from_secs(300),
        staged_expiry: Duration::from_secs(30 * 60),
        sessions_max: 20_000,
        routes_max: 200_000,
        routes_per_session_max: 110_000,
        sessions_per_peer_max: 10_000,
        effects: crate::EFFECTS,
    }
}

/// The operators' socket for a database.
fn beside(store: &Path) -> PathBuf {
    store.with_extension("sock")
}

/// `./proxyd.toml`, the user's, the system's: the first that exists.
fn find(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    if let Some(named) = environment.get("PROXYD_CONFIG") {
        return Some(PathBuf::from(named));
    }
    let places = [
        Some(PathBuf::from("proxyd.toml")),
        users_folder(environment).map(|folder| folder.join("proxyd/proxyd.toml")),
        Some(PathBuf::from("/etc/proxyd/proxyd.toml")),
    ];
    places.into_iter().flatten().find(|path| path.is_file())
}

/// Where a user's configuration is kept. The XDG Base Directory Specification has what is empty or
/// relative ignored.
fn users_folder(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let named = environment.get("XDG_CONFIG_HOME").map(PathBuf::from);
    named.filter(|folder| folder.is_absolute()).or_else(|| {
        let home = environment.get("HOME").filter(|home| !home.is_empty())?;
        Some(Path::new(home).join(".config"))
    })
}

/// `.cert` or `.key`, if it is only one that is no good.
fn one_of_the_two(pair: &PairPaths, error: &LoadError) -> &'static str {
    match error.path() {
        None => "",
        Some(path) if *path == pair.cert => ".cert",
        Some(_) => ".key",
    }
}

/// Trusts whom the system trusts and the certificates in these files. Reads files.
fn tls_trusting(key: &str, files: &[PathBuf]) -> Result<Tls, ConfigError> {
    if files.is_empty() {
        return Ok(Tls::new());
    }
    let mut pem = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let text = std::fs::read(file)
            .map_err(|error| value(&format!("{key}[{at}]"), &unreadable(file, &error)))?;
        pem.extend_from_slice(&text);
        pem.push(b'\n');
    }
    Tls::trusting(&pem).map_err(|bad| value(key, &bad.to_string()))
}

fn unreadable(file: &Path, error: &std::io::Error) -> String {
    format!("cannot read {}: {error}", file.display())
}

fn value(key: &str, message: &str) -> ConfigError {
    ConfigError::Value { place: None, key: key.to_owned(), message: message.to_owned() }
}

fn set<T>(into: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *into = given;
    }
}

fn read_token(key: &str, file: &Path) -> Result<Secret, ConfigError> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| value(key, &unreadable(file, &error)))?;
    Secret::new(text.trim()).ok_or_else(|| {
        let want = "want one line of 1 to 1024 bytes without pipes";
        value(key, &format!("{}: {want}", file.display()))
    })
}

/// A configuration of a test; errors name its file `F`.
#[cfg(test)]
fn load_text(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proxyd.toml");
    std::fs::write(&file, text).unwrap();
    let flags = Flags { file: Some(file.clone()), ..Flags::default() };
    Config::load(&flags, &BTreeMap::new(), Purpose::Run)
        .map_err(|error| error.to_string().replace(&file.display().to_string(), "F"))
}

/// What is said, and not where.
#[cfg(test)]
fn without_place(error: &str) -> &str {
    let (place, rest) = error.split_once(": ").unwrap_or_default();
    assert!(place.starts_with("F:"), "{error}");
    rest
}

/// What [`show`] says of a configuration, read again.
#[cfg(test)]
fn shown_again(config: &Config) -> Config {
    let shown = show(config);
    let again = Config::from_raw(Source { name: "shown", text: &shown }.read().unwrap()).unwrap();
    let again = Config { file: config.file.clone(), ..again };
    assert_eq!(show(&again), shown);
    again
}

#[cfg(test)]
mod tests {
    use super::load_text as load;
    use super::*;

    #[test]
    fn where_a_user_keeps_configuration() {
        #[rustfmt::skip]
        let table = [
            (&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")][..], Some("/x")),
            (&[("XDG_CONFIG_HOME", ""), ("HOME", "/h")],       Some("/h/.config")),
            (&[("XDG_CONFIG_HOME", "x"), ("HOME", "/h")],      Some("/h/.config")),
            (&[("HOME", "")],                                  None),
            (&[],                                              None),
        ];
        for (said, want) in table {
            let said = said.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            assert_eq!(users_folder(&said.collect()), want.map(PathBuf::from));
        }
    }

    #[test]
    fn certificates_are_looked_at_before_anybody_needs_them() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display().to_string();
        let made = certs::self_signed(&["a"], model::UnixMillis(0)).unwrap();
        let other = certs::self_signed(&["a"], model::UnixMillis(0)).unwrap();
        for (name, text) in [("c", &made.cert_pem), ("k", &made.key_pem), ("x", &other.key_pem)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        #[rustfmt::skip]
        let table = [
            ("certificates = [{ cert = \"@/c\", key = \"@/k\" }, { cert = \"@/no\", key = \"@/k\" }]",
             "F:2:59: https.certificates[1].cert: cannot read @/no: No such file"),
            ("certificates = [{ cert = \"@/c\", key = \"@/no\" }]",
             "F:2:41: https.certificates[0].key: cannot read @/no: No such file"),
            ("certificates = [{ cert = \"@/c\", key = \"@/x\" }]",
             "F:2:17: https.certificates[0]: @/c with @/x: "),
            ("[registry.tls]\ncert = \"@/c\"\nkey = \"@\"",
             "F:4:7: registry.tls.key: cannot read @: it must be a file"),
            ("[registry.tls]\ncert = \"@/c\"\nkey = \"@/x\"",
             "F:2:11: registry.tls: @/c with @/x: "),
            ("[registry]\ntls = { cert = \"@/c\", key = \"@/k\", client_ca = [\"@/no\"] }",
             "F:3:49: registry.tls.client_ca: cannot read @/no"),
            ("certificates = [{ cert = \"@/c\", key = \"@/k\" }]", ""),
        ];
        for (text, says) in table {
            let text = format!("[https]\n{text}\n");
            let error = load(&text.replace('@', &at)).err().unwrap_or_default();
            let error = error.replace(&at, "@");
            // The columns of what is written behind a path depend on how long it is.
            let (_, says) = says.split_once(": ").unwrap_or_default();
            let (place, said) = error.split_once(": ").unwrap_or_default();
            assert!(
                said.starts_with(says) && place.is_empty() == says.is_empty(),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn the_contract_is_read() {
        let config = load(
            "workers = 1\n[http]\nlisten = [\"127.0.0.1:0\"]\n[registry]\n\
             listen = [\"127.0.0.1:0\"]\nsession_expiry = \"61s\"\nstaged_expiry = \"31m\"\n\
             route_grace = \"6m\"\n[store]\npath = \"/x.db\"\n",
        )
        .unwrap();
        assert_eq!(config.http.workers, 1);
        assert_eq!(config.session.session_expiry, Duration::from_secs(61));
        assert_eq!(config.session.route_grace, Duration::from_secs(360));
        assert_eq!(config.admin_socket, Path::new("/x.sock"));
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        #[rustfmt::skip]
        let table = [
            ("workers = 0\n", "F:1:11: workers: want 1 to 1024"),
            ("[acme]\n", "F:1:2: acme.accept_terms: want true"),
            ("[acme]\naccept_terms = false\n", "F:2:16: acme.accept_terms: want true"),
            ("[acme]\naccept_terms = true\n", "F:1:2: acme: want a section [https]"),
            ("[https]\n[acme]\naccept_terms = true\nmail = \"x\"\n", "F:4:1: unknown field `mail`"),
            ("[https]\n[acme]\naccept_terms = true\nemail = \"nobody\"\n", "F:4:9: acme.email: want"),
            ("[https]\n[acme]\naccept_terms = true\ndirectories = []\n", "F:4:1: acme.directories: want 1 to 8"),
            ("[https]\n[acme]\naccept_terms = true\ndirectories = [\"http://a\"]\n", "F:4:1: acme.directories: want addresses"),
            ("[https]\n[acme]\naccept_terms = true\ndirectories = [\"https://a\", \"https://a\"]\n", "F:4:1: acme.directories: want each"),
            ("[https]\n[acme]\naccept_terms = true\nchallenges = [\"dns-01\"]\n", "F:4:1: acme.challenges: want"),
            ("[https]\n[acme]\naccept_terms = true\nchallenges = []\n", "F:4:1: acme.challenges: want"),
            ("[https]\n[acme]\naccept_terms = true\nca = [\"/dev/null\"]\n", "F:4:1: acme.ca: "),
            ("[backends]\ncheck_interval = \"99ms\"\n", "F:2:18: backends.check_interval: want 100ms or more"),
            ("[backends]\nca = [\"/gone.pem\"]\n", "F:2:7: backends.ca[0]: cannot read /gone.pem: No such file"),
            ("[registry]\ntoken_file = \"/gone\"\n", "F:2:14: registry.token_file: cannot read /gone: No such file"),
            ("[registry]\ntoken_file = \"/dev/null\"\n", "F:2:14: registry.token_file: /dev/null: want one line"),
            ("[http]\nproxy_protocol = true\n", "F:2:18: http.proxy_protocol: want trusted_proxies"),
            ("[http]\nlisten = []\n", "F:2:1: http.listen: want at least one address"),
            ("[http]\nconnections_max = 0\n", "F:2:19: http.connections_max: want at least 1"),
            ("[http]\nconnections_per_peer_max = 0\n", "F:2:28: http.connections_per_peer_max: want at least 1"),
            ("[registry]\nlisten = [\"0.0.0.0:81\"]\n", "F:2:1: registry.listen: the registry may not listen on 0.0.0.0:81"),
            ("[https]\n[acme]\naccept_terms = true\neab = { key_id = \"\", hmac_key_file = \"/dev/null\" }\n", "F:4:18: acme.eab.key_id: want"),
            ("[https]\n[acme]\naccept_terms = true\neab = { key_id = \"a\", hmac_key_file = \"/dev/null\" }\n", "F:4:39: acme.eab.hmac_key_file: want one line"),
            ("[https]\n[acme]\naccept_terms = true\neab = { key_id = \"a\", hmac_key_file = \"/gone\" }\n", "F:4:39: acme.eab.hmac_key_file: cannot read /gone"),
            ("[https]\n[acme]\naccept_terms = true\neab = { key_id = \"a\", hmac_key_file = \"/gone\", directory = \"https://b\" }\n", "F:4:60: acme.eab.directory: want one"),
        ];
        for (text, shown) in table {
            let error = load(text).unwrap_err();
            assert!(error.starts_with(shown), "{text}: {error}");
        }
        assert!(load("[registry]\nlisten = [\"0.0.0.0:81\"]\ninsecure = true\n").is_ok());
    }

    #[test]
    fn who_says_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("proxyd.toml");
        std::fs::write(&file, "workers = 0\n").unwrap();
        let shown = file.display();
        let environment = BTreeMap::from([("PROXYD_WORKERS".to_owned(), "1025".to_owned())]);
        let (nothing, bad) = (BTreeMap::new(), "want 1 to 1024");
        let flag = Flags { file: Some(file.clone()), workers: Some(0), ..Flags::default() };
        let flags = Flags { file: Some(file.clone()), ..Flags::default() };
        let gone = Flags { file: Some(folder.path().join("no")), ..Flags::default() };
        let folder = folder.path().display();
        for (flags, environment, says) in [
            (&flag, &environment, format!("--workers: workers: {bad}")),
            (&flags, &environment, format!("PROXYD_WORKERS: workers: {bad}")),
            (&flags, &nothing, format!("{shown}:1:11: workers: {bad}")),
            (
                &gone,
                &nothing,
                format!(
                    "cannot read {folder}/no: No such file or directory (os error 2); --config"
                ),
            ),
        ] {
            let error = Config::load(flags, environment, Purpose::Run).unwrap_err().to_string();
            assert!(error.starts_with(&says), "{error}");
        }
    }

    #[test]
    fn flag_over_environment_over_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("proxyd.toml");
        std::fs::write(&file, "workers = 1\n[store]\npath = \"file.db\"\n").unwrap();
        let environment = BTreeMap::from([
            ("PROXYD_WORKERS".to_owned(), "2".to_owned()),
            ("PROXYD_STORE_PATH".to_owned(), "env.db".to_owned()),
        ]);
        let mut flags = Flags { file: Some(file), ..Flags::default() };
        let config = Config::load(&flags, &environment, Purpose::Run).unwrap();
        assert_eq!((config.http.workers, config.store.as_path()), (2, Path::new("env.db")));
        flags.workers = Some(3);
        assert_eq!(Config::load(&flags, &environment, Purpose::Run).unwrap().http.workers, 3);
    }
}
