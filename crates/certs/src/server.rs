//! How we speak TLS to clients (SPEC 6).

use std::sync::Arc;
use std::time::Duration;

use runtime::Clock;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    NoClientAuth, NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier,
};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::pair::{error_text, provider};
use crate::resolver::Resolver;

/// Sessions of TLS 1.2 clients that know no tickets; all others remember theirs themselves.
const SESSIONS_MAX: usize = 1024;

/// What one listener may decide about its TLS.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Protocols in the order we prefer them (RFC 7301), for example `h2`, then `http/1.1`.
    pub alpn: Vec<Vec<u8>>,
    /// Which clients are let in.
    pub clients: Clients,
}

/// Whether clients show certificates of their own.
#[derive(Clone, Debug, Default)]
pub enum Clients {
    /// They are not asked.
    #[default]
    Anyone,
    /// They are asked; one that shows a certificate of somebody else is refused.
    MayShow(ClientRoots),
    /// One without a certificate is refused.
    MustShow(ClientRoots),
}

/// Whose client certificates are believed.
#[derive(Clone, Debug)]
pub struct ClientRoots(Arc<RootCertStore>);

/// Why a text names nobody to believe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    /// Nobody would be let in.
    #[error("the file holds no certificate: it must be PEM with those of the issuers of clients")]
    Empty,
    /// Damaged, or still being written.
    #[error("the file is no complete PEM: {0}; write it again as a whole")]
    Pem(String),
    /// One is no certificate of an issuer.
    #[error("certificate {number} cannot be used: {why}; leave it out or have it issued again")]
    Certificate {
        /// Counted from 1.
        number: usize,
        /// The library's word.
        why: String,
    },
}

/// Why TLS cannot be spoken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// Session tickets need keys nobody can guess.
    #[error("the operating system has no randomness for session tickets: {0}")]
    Entropy(String),
    /// The client roots are of no use.
    #[error("client certificates cannot be verified: {0}")]
    Clients(String),
}

impl ServerOptions {
    /// TLS 1.2 and 1.3. Make one and share it between all listeners of one port: sessions are
    /// resumed only with the configuration that began them.
    ///
    /// # Errors
    ///
    /// [`ServerError`]; nothing of it depends on what clients do.
    pub fn tcp(&self, resolver: &Resolver, clock: Clock) -> Result<Arc<ServerConfig>, ServerError> {
        self.config(&[&TLS13, &TLS12], resolver, clock)
    }

    /// TLS 1.3 alone, as QUIC wants it (RFC 9001, section 4.2). Without 0-RTT: what a client sends
    /// there can be sent again by anybody (RFC 8446, section 8).
    ///
    /// # Errors
    ///
    /// As [`ServerOptions::tcp`].
    pub fn quic(
        &self,
        resolver: &Resolver,
        clock: Clock,
    ) -> Result<Arc<ServerConfig>, ServerError> {
        self.config(&[&TLS13], resolver, clock)
    }

    fn config(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        resolver: &Resolver,
        clock: Clock,
    ) -> Result<Arc<ServerConfig>, ServerError> {
        let provider = Arc::new(provider());
        let clients = self.clients.verifier(provider.clone())?;
        let mut config = ServerConfig::builder_with_details(provider, Arc::new(WallTime(clock)))
            .with_protocol_versions(versions)
            .expect("the provider has suites for TLS 1.2 and 1.3")
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::new(resolver.clone()));
        config.alpn_protocols.clone_from(&self.alpn);
        config.ignore_client_order = true;
        config.max_early_data_size = 0;
        match self.clients {
            Clients::Anyone => {
                config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
                // Its keys are replaced every six hours.
                config.ticketer =
                    Ticketer::new().map_err(|error| ServerError::Entropy(error.to_string()))?;
            }
            // A client that resumes shows no certificate again: one that has expired meanwhile
            // would be let in for hours.
            Clients::MayShow(_) | Clients::MustShow(_) => {
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
            }
        }
        Ok(Arc::new(config))
    }
}

impl Clients {
    fn verifier(
        &self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, ServerError> {
        let builder = |roots: &ClientRoots| {
            WebPkiClientVerifier::builder_with_provider(roots.0.clone(), provider)
        };
        let built = match self {
            Self::Anyone => return Ok(Arc::new(NoClientAuth)),
            Self::MayShow(roots) => builder(roots).allow_unauthenticated().build(),
            Self::MustShow(roots) => builder(roots).build(),
        };
        built.map_err(|error| ServerError::Clients(error.to_string()))
    }
}

impl ClientRoots {
    /// Reads the certificates of issuers, one or several.
    ///
    /// # Errors
    ///
    /// [`RootsError`]: no certificate is left out silently.
    pub fn parse(pem: &[u8]) -> Result<Self, RootsError> {
        let mut roots = RootCertStore::empty();
        for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let certificate = certificate.map_err(|error| RootsError::Pem(error_text(&error)))?;
            roots.add(certificate).map_err(|error| RootsError::Certificate {
                number: index + 1,
                why: error.to_string(),
            })?;
        }
        if roots.is_empty() { Err(RootsError::Empty) } else { Ok(Self(Arc::new(roots))) }
    }
}

/// Wall time from the one clock.
#[derive(Debug)]
struct WallTime(Clock);

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.now().wall.seconds();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, Authority};

    #[test]
    fn roots() {
        let good = Authority::new("clients").pem();
        let cut = &good[..good.len() - 30];
        let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        #[rustfmt::skip]
        let table = [
            (good.clone(),                      ""),
            (format!("{good}\n{good}"),         ""),
            (String::new(),                     "the file holds no certificate"),
            ("hello".to_owned(),                "the file holds no certificate"),
            (cut.to_owned(),                    "the file is no complete PEM: a section has no END line"),
            (format!("{good}{no_certificate}"), "certificate 2 cannot be used"),
        ];
        for (pem, says) in table {
            let error = ClientRoots::parse(pem.as_bytes()).err();
            let text = error.map_or_else(String::new, |error| error.to_string());
            assert!(text.starts_with(says) && text.is_empty() == says.is_empty(), "{pem}: {text}");
        }
    }

    #[tokio::test]
    async fn nothing_is_accepted_early_and_nothing_grows() {
        let resolver = fixture::resolver(Vec::new());
        let options = ServerOptions::default();
        for config in
            [options.tcp(&resolver, Clock::system()), options.quic(&resolver, Clock::system())]
        {
            let config = config.unwrap();
            assert_eq!(config.max_early_data_size, 0);
            assert!(config.ticketer.enabled() && config.session_storage.can_cache());
            for number in 0..SESSIONS_MAX as u32 + 1 {
                config.session_storage.put(number.to_be_bytes().to_vec(), vec![1]);
            }
            assert_eq!(
                config.session_storage.get(&0_u32.to_be_bytes()),
                None,
                "the oldest is gone"
            );
        }
    }
}
