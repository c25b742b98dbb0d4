//! The configuration as it is used: every value checked, every default filled in.
//!
//! Flag over environment over file over default (SPEC 9). What is wrong is shown with file, line,
//! column and the name that was probably meant; the process then ends with 78.

mod acme;
mod admin;
mod clients;
mod credentials;
mod nearest;
mod raw;
mod show;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use certs::PairPaths;
use control::{Address, Credentials, Exposed, Protection, Token, check_exposure};
use ipnet::IpNet;
use probe::Tls;
use raw::Raw;
use session::{Credential, Grants};

pub use self::acme::AcmeConfig;
pub use self::admin::AdminConfig;
pub(crate) use clients::{ClientCertificates, RegistryTls};
pub(crate) use credentials::Shown;
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
    pub token: Option<(PathBuf, Token)>,
    /// Further ones who may talk to the registry, and what each may do.
    pub credentials: Vec<Shown>,
    /// TLS on the registry's port.
    pub registry_tls: Option<RegistryTls>,
    /// Whether the registry may listen off loopback without a token.
    pub insecure: bool,
    /// How long things last in the registry, and how many there may be.
    pub session: session::Config,
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
    #[error("cannot read {file}: {source}")]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("{file}:{line}:{column}: {message}")]
    Parse {
        /// Which.
        file: String,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What is wrong and what was probably meant.
        message: String,
    },
    /// Asks for something that does not exist yet.
    #[error("{file}: {what} is not built yet; leave it out")]
    NotBuiltYet {
        /// Which file.
        file: String,
        /// The section or key.
        what: &'static str,
    },
    /// A value that makes no sense.
    #[error("{key}: {message}")]
    Value {
        /// `registry.session_expiry`.
        key: &'static str,
        /// What was wanted.
        message: String,
    },
    /// The registry would be open to strangers.
    #[error("registry.listen: {0}")]
    Open(#[from] Exposed),
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
        let mut raw = parse(&name, &text)?;
        raw.override_by(environment)
            .map_err(|key| ConfigError::Value { key, message: "cannot be read".to_owned() })?;
        let mut config = Self::from_raw(raw, &name)?;
        config.file = file;
        config.override_by(flags);
        config.check()?;
        config.check_pairs()?;
        Ok(config)
    }

    /// Whether what clients are shown can be shown to them.
    fn check_pairs(&self) -> Result<(), ConfigError> {
        for pair in self.https.iter().flat_map(|https| &https.certificates) {
            pair.check().map_err(|error| value("https.certificates", &error.to_string()))?;
        }
        Ok(())
    }

    fn from_raw(raw: Raw, name: &str) -> Result<Self, ConfigError> {
        if let Some(what) = raw.not_built_yet() {
            return Err(ConfigError::NotBuiltYet { file: name.to_owned(), what });
        }
        let any = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let workers = raw.workers.unwrap_or(cores);
        let listen = raw.http.listen.unwrap_or_else(|| vec![any(80)]);
        let mut http = dataplane::Config::new(listen, workers);
        let trusted = raw.http.trusted_proxies.into_iter().flatten();
        http.trusted_proxies.extend(trusted.map(|network| network.0.trunc()));
        set(&mut http.proxy_protocol, raw.http.proxy_protocol);
        set(&mut http.connections_max, raw.http.connections_max);
        set(&mut http.connections_per_peer_max, raw.http.connections_per_peer_max);
        duration("http.header_timeout", raw.http.header_timeout, &mut http.header_timeout)?;
        duration("http.idle_timeout", raw.http.idle_timeout, &mut http.idle_timeout)?;
        duration("http.connect_timeout", raw.http.connect_timeout, &mut http.connect_timeout)?;
        duration("http.body_timeout", raw.http.body_timeout, &mut http.body_timeout)?;
        let mut session = default_session();
        let given = raw.registry;
        if let Some(text) = &given.session_expiry {
            let expiry = Some(text.clone());
            duration("registry.session_expiry", expiry.clone(), &mut session.session_expiry)?;
            duration("registry.session_expiry", expiry, &mut session.v1_route_grace)?;
        }
        duration("registry.staged_expiry", given.staged_expiry, &mut session.staged_expiry)?;
        duration("registry.route_grace", given.route_grace, &mut session.route_grace)?;
        set(&mut session.sessions_max, given.sessions_max);
        set(&mut session.routes_max, given.routes_max);
        set(&mut session.routes_per_session_max, given.routes_per_session_max);
        set(&mut session.sessions_per_peer_max, given.sessions_per_peer_max);
        let mut shutdown_grace = Duration::from_secs(30);
        duration("shutdown.grace", raw.shutdown.grace, &mut shutdown_grace)?;
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
        let token = given
            .token_file
            .map(|file| credentials::token("registry.token_file", file))
            .transpose()?;
        Ok(Self {
            file: None,
            http,
            https: https.transpose()?,
            acme: raw.acme.map(AcmeConfig::from_raw).transpose()?,
            registry_listen: given.listen.unwrap_or_else(|| vec![local(81)]),
            registry_socket: given.socket,
            credentials: credentials::read(given.credentials.unwrap_or_default(), token.as_ref())?,
            token,
            registry_tls: given.tls.map(RegistryTls::of).transpose()?,
            insecure: given.insecure.unwrap_or(false),
            session,
            admin_socket: raw.admin.socket.clone().unwrap_or_else(|| beside(&store)),
            admin: AdminConfig::from_raw(raw.admin)?,
            store,
            shutdown_grace,
            backend_ca: raw.backends.ca.unwrap_or_default(),
            backend_allow: raw.backends.allow.into_iter().flatten().map(|n| n.0.trunc()).collect(),
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
        let named = self.credentials.iter().find(|shown| shown.certificate.is_some());
        if let Some(shown) = named.filter(|_| asks.is_none()) {
            let name = &shown.credential.name;
            let message = format!("{name}: certificate wants registry.tls with client_ca");
            return Err(value("registry.credentials", &message));
        }
        let has_token = self.token.is_some() || self.credentials.iter().any(|c| c.token.is_some());
        let protection = match (has_token, asks, self.insecure) {
            (true, _, _) => Protection::Token,
            (false, Some(_), _) => Protection::Certificates,
            (false, None, true) => Protection::Insecure,
            (false, None, false) => Protection::None,
        };
        for address in self.registry_addresses() {
            check_exposure(&address, protection)?;
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
    let user = environment
        .get("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| environment.get("HOME").map(|home| Path::new(home).join(".config")));
    let places = [
        Some(PathBuf::from("proxyd.toml")),
        user.map(|folder| folder.join("proxyd/proxyd.toml")),
        Some(PathBuf::from("/etc/proxyd/proxyd.toml")),
    ];
    places.into_iter().flatten().find(|path| path.is_file())
}

/// Whether a text reads as a configuration, the files it names left aside.
pub(crate) fn check_text(name: &str, text: &str) -> Result<(), ConfigError> {
    parse(name, text).map(drop)
}

fn parse(name: &str, text: &str) -> Result<Raw, ConfigError> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let message = nearest::with_hint(error.message());
        ConfigError::Parse { file: name.to_owned(), line, column, message }
    })
}

/// Trusts whom the system trusts and the certificates in these files. Reads files.
fn tls_trusting(key: &'static str, files: &[PathBuf]) -> Result<Tls, ConfigError> {
    if files.is_empty() {
        return Ok(Tls::new());
    }
    let mut pem = Vec::new();
    for file in files {
        let text = std::fs::read(file)
            .map_err(|source| ConfigError::Read { file: file.clone(), source })?;
        pem.extend_from_slice(&text);
        pem.push(b'\n');
    }
    Tls::trusting(&pem).map_err(|bad| value(key, &bad.to_string()))
}

fn value(key: &'static str, message: &str) -> ConfigError {
    ConfigError::Value { key, message: message.to_owned() }
}

fn set<T>(into: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *into = given;
    }
}

fn duration(
    key: &'static str,
    given: Option<String>,
    into: &mut Duration,
) -> Result<(), ConfigError> {
    let Some(text) = given else { return Ok(()) };
    let parsed = wire::duration::parse(&text);
    *into = parsed.map_err(|error| ConfigError::Value { key, message: error.to_string() })?;
    if into.is_zero() {
        return Err(value(key, "must be longer than zero"));
    }
    Ok(())
}

fn read_token(key: &'static str, file: &Path) -> Result<Token, ConfigError> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| ConfigError::Read { file: file.to_owned(), source })?;
    Token::new(text.trim())
        .ok_or_else(|| value(key, "want one line of 1 to 1024 bytes without pipes"))
}

/// A configuration of a test; errors name its file `F`.
#[cfg(test)]
fn load_text(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proxyd.toml");
    std::fs::write(&file, text).unwrap();
    let flags = Flags { file: Some(file.clone()), ..Flags::default() };
    Config::load(&flags, &BTreeMap::new())
        .map_err(|error| error.to_string().replace(&file.display().to_string(), "F"))
}

/// What [`show`] says of a configuration, read again.
#[cfg(test)]
fn shown_again(config: &Config) -> Config {
    let shown = show(config);
    let again = Config::from_raw(parse("shown", &shown).unwrap(), "shown").unwrap();
    let again = Config { file: config.file.clone(), ..again };
    assert_eq!(show(&again), shown);
    again
}

#[cfg(test)]
mod tests {
    use super::load_text as load;
    use super::*;

    #[test]
    fn certificates_are_looked_at_before_anybody_needs_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("proxyd.toml");
        let pair = "{ cert = \"/nope.pem\", key = \"/nope.key\" }";
        std::fs::write(&file, format!("[https]\ncertificates = [{pair}]\n")).unwrap();
        let flags = Flags { file: Some(file), ..Flags::default() };
        let error = Config::load(&flags, &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.starts_with("https.certificates: cannot read /nope.pem"), "{error}");
    }

    #[test]
    fn the_contract_is_read() {
        let config = load(
            "workers = 1\n[http]\nlisten = [\"127.0.0.1:0\"]\n[registry]\n\
             listen = [\"127.0.0.1:0\"]\nsession_expiry = \"61s\"\nstaged_expiry = \"31m\"\n\
             route_grace = \"6m\"\n[store]\npath = \"x/proxyd.db\"\n",
        )
        .unwrap();
        assert_eq!(config.http.workers, 1);
        assert_eq!(config.session.session_expiry, Duration::from_secs(61));
        assert_eq!(config.session.route_grace, Duration::from_secs(360));
        assert_eq!(config.admin_socket, Path::new("x/proxyd.sock"));
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        #[rustfmt::skip]
        let table = [
            ("workers = 1\n[http]\nlisen = []\n", "F:3:1: unknown field `lisen`, did you mean `listen`?"),
            ("[registri]\n", "F:1:2: unknown field `registri`, did you mean `registry`?"),
            ("[http]\nlisten = [\"x\"]\n", "F:2:11: "),
            ("[dns]\nlisten = \"127.0.0.1:5353\"\n", "F: [dns] is not built yet; leave it out"),
            ("[store]\netcd = []\n", "F: [store] etcd is not built yet; leave it out"),
            ("[registry]\nroute_grace = \"soon\"\n", "registry.route_grace: "),
            ("workers = 0\n", "workers: want 1 to 1024"),
            ("[acme]\n", "acme.accept_terms: want true"),
            ("[acme]\naccept_terms = false\n", "acme.accept_terms: want true"),
            ("[acme]\naccept_terms = true\n", "acme: want a section [https]"),
            ("[https]\n[acme]\naccept_terms = true\nmail = \"x\"\n", "F:4:1: unknown field `mail`"),
            ("[https]\n[acme]\naccept_terms = true\nemail = \"nobody\"\n", "acme.email: want"),
            ("[https]\n[acme]\naccept_terms = true\ndirectories = []\n", "acme.directories: want 1 to 8"),
            ("[https]\n[acme]\naccept_terms = true\ndirectories = [\"http://a\"]\n", "acme.directories: want addresses"),
            ("[https]\n[acme]\naccept_terms = true\ndirectories = [\"https://a\", \"https://a\"]\n", "acme.directories: want each"),
            ("[https]\n[acme]\naccept_terms = true\nchallenges = [\"dns-01\"]\n", "acme.challenges: want"),
            ("[https]\n[acme]\naccept_terms = true\nchallenges = []\n", "acme.challenges: want"),
            ("[https]\n[acme]\naccept_terms = true\nca = [\"/dev/null\"]\n", "acme.ca: "),
            ("[https]\n[acme]\naccept_terms = true\neab = { key_id = \"\", hmac_key_file = \"/dev/null\" }\n", "acme.eab: key_id: want"),
            ("[https]\n[acme]\naccept_terms = true\neab = { key_id = \"a\", hmac_key_file = \"/dev/null\" }\n", "acme.eab: hmac_key_file: want one line"),
            ("[https]\n[acme]\naccept_terms = true\neab = { key_id = \"a\", hmac_key_file = \"/gone\" }\n", "cannot read /gone"),
            ("[https]\n[acme]\naccept_terms = true\neab = { key_id = \"a\", hmac_key_file = \"/gone\", directory = \"https://b\" }\n", "acme.eab: directory: want one"),
            ("[http]\nlisten = []\n", "http.listen: want at least one address"),
            ("[http]\nconnections_max = 0\n", "http.connections_max: want at least 1"),
            ("[http]\nconnections_per_peer_max = 0\n", "http.connections_per_peer_max: want at least 1"),
            ("[registry]\nlisten = [\"0.0.0.0:81\"]\n", "registry.listen: the registry may not listen on 0.0.0.0:81"),
        ];
        for (text, shown) in table {
            let error = load(text).unwrap_err();
            assert!(error.starts_with(shown), "{text}: {error}");
        }
        assert!(load("[registry]\nlisten = [\"0.0.0.0:81\"]\ninsecure = true\n").is_ok());
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
        let config = Config::load(&flags, &environment).unwrap();
        assert_eq!((config.http.workers, config.store.as_path()), (2, Path::new("env.db")));
        flags.workers = Some(3);
        assert_eq!(Config::load(&flags, &environment).unwrap().http.workers, 3);
    }
}
