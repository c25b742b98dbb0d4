//! The certificates that clients are shown: read at the start, read again when their files change
//! or somebody asks for it, told when they were renewed (SPEC 6).

use std::sync::Arc;

use certs::{
    Certificates, Clients, LoadError, Pair, Resolver, ServerConfig, ServerOptions, Watcher,
};
use control::Teller;
use model::Event;
use runtime::{Clock, Snapshot};
use session::Input;
use tokio::sync::Notify;

use crate::config::{ClientCertificates, ConfigError, HttpsConfig};

/// Why TLS cannot be spoken to clients.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The one that stands in where none is configured.
    #[error(transparent)]
    SelfSigned(#[from] certs::SelfSignedError),
    /// The files of those whose client certificates are believed.
    #[error(transparent)]
    Clients(#[from] ConfigError),
    /// The rest.
    #[error(transparent)]
    Server(#[from] certs::ServerError),
}

/// Certificates in use, and where they come from.
pub(crate) struct Served {
    watcher: Watcher,
    certificates: Snapshot<Certificates>,
    fallback: Option<Arc<Pair>>,
    pub(crate) resolver: Resolver,
    pub(crate) tls: Arc<ServerConfig>,
    pub(crate) quic: Option<Arc<ServerConfig>>,
}

impl Served {
    /// Reads what is configured. Where nothing is, a certificate of our own making stands in, so
    /// that TLS can be tried at once; browsers warn of it.
    pub(crate) async fn load(https: &HttpsConfig, clock: Clock) -> Result<Self, CertificateError> {
        let (watcher, pairs) = Watcher::load(https.certificates.clone(), clock).await?;
        let fallback = if pairs.is_empty() {
            tracing::warn!("no certificate is configured; clients are shown one of our own making");
            Some(Arc::new(certs::self_signed(&["localhost"], clock.now().wall)?.pair))
        } else {
            None
        };
        let certificates = Snapshot::new(Arc::new(set(pairs, fallback.as_ref())));
        for (pair, validity) in certificates.load().invalid(clock.now().wall) {
            tracing::warn!(names = ?names(pair), ?validity, "clients will not accept this certificate");
        }
        let resolver = Resolver::new(certificates.clone());
        let clients = https.clients.as_ref().map(ClientCertificates::load).transpose()?;
        let clients = clients.unwrap_or(Clients::Anyone);
        let options = ServerOptions { alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()], clients };
        let tls = options.tcp(&resolver, clock)?;
        let over_quic = ServerOptions { alpn: vec![b"h3".to_vec()], ..options };
        let quic = https.http3.then(|| over_quic.quic(&resolver, clock)).transpose()?;
        Ok(Self { watcher, certificates, fallback, resolver, tls, quic })
    }

    /// Keeps them as they are in the files, for ever. `asked` wakes it at once.
    pub(crate) async fn watch(mut self, teller: Teller, asked: Arc<Notify>) {
        loop {
            let reloaded = tokio::select! {
                reloaded = self.watcher.reloaded() => reloaded,
                () = asked.notified() => match self.watcher.reload().await {
                    Ok(Some(reloaded)) => reloaded,
                    Ok(None) => continue,
                    Err(error) => {
                        tracing::error!(%error, "the certificates stay as they were");
                        continue;
                    }
                },
            };
            self.certificates.store(Arc::new(set(reloaded.pairs, self.fallback.as_ref())));
            for pair in reloaded.renewed {
                let expiry = pair.not_after();
                tracing::info!(names = ?names(&pair), ?expiry, "certificate renewed");
                for name in names(&pair) {
                    let event = Event::CertRenewed { domain: name.into(), expiry };
                    if teller.tell(Input::Happened(event)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn set(pairs: Vec<Arc<Pair>>, fallback: Option<&Arc<Pair>>) -> Certificates {
    let certificates = Certificates::new(pairs);
    match fallback {
        Some(pair) => certificates.with_fallback(Arc::clone(pair)),
        None => certificates,
    }
}

fn names(pair: &Pair) -> Vec<String> {
    pair.names().iter().map(ToString::to_string).collect()
}
