//! `[acme]`: certificates from authorities.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ::config::raw;
use acme::{Binding, Method};
use probe::Tls;

use super::{Config, ConfigError, tls_trusting, unreadable, value};

/// Let's Encrypt's (<https://letsencrypt.org/docs/acme-protocol-updates/>).
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Each one is asked when those before it fail.
const DIRECTORIES_MAX: usize = 8;
/// Longest id and longest key of an account that was opened elsewhere.
const KEY_BYTES_MAX: usize = 1024;
/// Longest address of mail (RFC 5321, section 4.5.3.1, after RFC 3696's erratum 1690).
const EMAIL_BYTES_MAX: usize = 254;

/// Certificates from authorities for every domain that is registered and in no file.
#[derive(Clone, Debug)]
pub struct AcmeConfig {
    /// Whom authorities may write to.
    pub email: Option<String>,
    /// Authorities by their directories, the first one to be asked first.
    pub directories: Vec<String>,
    /// Files of certificates that authorities' own may be signed by, besides whom the system
    /// trusts.
    pub ca: Vec<PathBuf>,
    /// How they see that names lead here, in the order they are tried.
    pub challenges: Vec<Method>,
    /// An account that was opened elsewhere, which ours is to belong to.
    pub eab: Option<Eab>,
}

/// External account binding.
#[derive(Clone, Debug)]
pub struct Eab {
    /// With whom.
    pub directory: String,
    /// What it is, and the secret for it.
    pub binding: Binding,
    /// Where the secret stands.
    pub hmac_key_file: PathBuf,
}

impl AcmeConfig {
    pub(super) fn from_raw(raw: raw::Acme) -> Result<Self, ConfigError> {
        if raw.accept_terms != Some(true) {
            return Err(value(
                "acme.accept_terms",
                "want true: whoever orders certificates agrees to the authority's terms of service",
            ));
        }
        let challenges = match raw.challenges {
            None => vec![Method::Http01, Method::TlsAlpn01],
            Some(texts) => texts.iter().map(|text| method(text)).collect::<Result<_, _>>()?,
        };
        let directories = raw.directories.unwrap_or_else(|| vec![LETS_ENCRYPT.to_owned()]);
        Ok(Self {
            eab: raw.eab.map(|eab| Eab::from_raw(eab, &directories)).transpose()?,
            email: raw.email,
            directories,
            ca: raw.ca.unwrap_or_default(),
            challenges,
        })
    }

    /// Accounts that ours are to belong to.
    pub(crate) fn bindings(&self) -> BTreeMap<Box<str>, Binding> {
        let each = self.eab.iter();
        each.map(|eab| (eab.directory.as_str().into(), eab.binding.clone())).collect()
    }

    /// Whom we believe to be an authority. Reads files.
    pub(crate) fn tls(&self) -> Result<Tls, ConfigError> {
        tls_trusting("acme.ca", &self.ca)
    }

    pub(super) fn check(&self, all: &Config) -> Result<(), ConfigError> {
        if all.https.is_none() {
            return Err(value("acme", "want a section [https], where the certificates are shown"));
        }
        if !(1..=DIRECTORIES_MAX).contains(&self.directories.len()) {
            return Err(value("acme.directories", "want 1 to 8 addresses of directories"));
        }
        let good = |directory: &String| {
            directory.strip_prefix("https://").is_some_and(|rest| !rest.is_empty())
                && directory.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !self.directories.iter().all(good) {
            return Err(value("acme.directories", "want addresses that begin with https://"));
        }
        if twice(&self.directories) {
            return Err(value("acme.directories", "want each one once"));
        }
        if self.challenges.is_empty() || twice(&self.challenges) {
            return Err(value("acme.challenges", "want http-01, tls-alpn-01 or both, each once"));
        }
        if self.email.as_ref().is_some_and(|email| !is_email(email)) {
            return Err(value("acme.email", "want an address like admin@example.com"));
        }
        self.tls().map(drop)
    }
}

impl Eab {
    /// Reads the secret: URL-safe Base64, as authorities hand it out.
    fn from_raw(raw: raw::Eab, directories: &[String]) -> Result<Self, ConfigError> {
        let raw::Eab { directory, key_id, hmac_key_file } = raw;
        let directory = directory.or_else(|| directories.first().cloned()).unwrap_or_default();
        if !directories.contains(&directory) {
            return Err(value("acme.eab.directory", "want one of [acme] directories"));
        }
        let good = !key_id.is_empty() && key_id.bytes().all(|byte| byte.is_ascii_graphic());
        if !good || key_id.len() > KEY_BYTES_MAX {
            return Err(value("acme.eab.key_id", "want the id that the authority gave"));
        }
        let text = std::fs::read_to_string(&hmac_key_file).map_err(|error| {
            value("acme.eab.hmac_key_file", &unreadable(&hmac_key_file, &error))
        })?;
        let hmac_key = acme::hmac_key(text.trim()).filter(|key| key.len() <= KEY_BYTES_MAX);
        let hmac_key = hmac_key.ok_or_else(|| {
            value("acme.eab.hmac_key_file", "want one line, the key in URL-safe Base64")
        })?;
        let binding = Binding { key_id: key_id.into(), hmac_key };
        Ok(Self { directory, binding, hmac_key_file })
    }

    /// As it would be written.
    pub(super) fn show(&self) -> String {
        let file = self.hmac_key_file.display().to_string();
        let (directory, key_id) = (&self.directory, &self.binding.key_id);
        format!(
            "eab = {{ directory = {directory:?}, key_id = {key_id:?}, hmac_key_file = {file:?} }}\n"
        )
    }
}

/// As the protocol spells it.
pub(super) fn spelled(method: Method) -> &'static str {
    match method {
        Method::Http01 => "http-01",
        Method::TlsAlpn01 => "tls-alpn-01",
    }
}

fn method(text: &str) -> Result<Method, ConfigError> {
    let all = [Method::Http01, Method::TlsAlpn01].into_iter();
    let found = all.into_iter().find(|method| spelled(*method) == text);
    found.ok_or_else(|| value("acme.challenges", "want http-01, tls-alpn-01 or both, each once"))
}

fn twice<T: PartialEq>(list: &[T]) -> bool {
    list.iter().enumerate().any(|(at, one)| list.iter().skip(at + 1).any(|other| other == one))
}

/// Enough for nothing else to get into the contact of an account.
fn is_email(text: &str) -> bool {
    let parts = text.split_once('@');
    text.len() <= EMAIL_BYTES_MAX
        && parts.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b",?&#<>\"".contains(&byte))
}
