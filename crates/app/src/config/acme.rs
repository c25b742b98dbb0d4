//! `[acme]`: certificates from authorities.

use std::path::PathBuf;

use ::config::raw;
use acme::Method;
use probe::Tls;

use super::{Config, ConfigError, tls_trusting, value};

/// Let's Encrypt's (<https://letsencrypt.org/docs/acme-protocol-updates/>).
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Each one is asked when those before it fail.
const DIRECTORIES_MAX: usize = 8;
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
        Ok(Self {
            email: raw.email,
            directories: raw.directories.unwrap_or_else(|| vec![LETS_ENCRYPT.to_owned()]),
            ca: raw.ca.unwrap_or_default(),
            challenges,
        })
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
