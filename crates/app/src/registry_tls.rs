//! TLS on the port of the registry, the service API or JSON-RPC: the one certificate that is shown there,
//! read again when its files change.

use std::sync::Arc;

use certs::{Certificates, Clients, Pair, Resolver, ServerConfig, ServerOptions, Watcher};
use runtime::{Clock, Snapshot};
use tokio::sync::Notify;

use crate::certificates::{CertificateError, names};
use crate::config::{ClientCertificates, RegistryTls};

/// The certificate in use, and where it comes from.
pub(crate) struct RegistryServed {
    /// Who shows it, for the log.
    of: &'static str,
    watcher: Watcher,
    certificates: Snapshot<Certificates>,
    pub(crate) tls: Arc<ServerConfig>,
}

impl RegistryServed {
    /// Reads what is configured for `of`: `the registry`.
    pub(crate) async fn load(
        config: &RegistryTls,
        of: &'static str,
        clock: Clock,
    ) -> Result<Self, CertificateError> {
        let (watcher, pairs) = Watcher::load(vec![config.files.clone()], clock).await?;
        let certificates = Snapshot::new(Arc::new(set(&pairs)));
        for (pair, validity) in certificates.load().invalid(clock.now().wall) {
            let names = names(pair).join(", ");
            tracing::warn!(names, %validity, "clients of {of} will not accept this certificate");
        }
        let clients = config.clients.as_ref().map(ClientCertificates::load).transpose()?;
        let clients = clients.unwrap_or(Clients::Anyone);
        let options = ServerOptions { alpn: Vec::new(), clients };
        let tls = options.tcp(&Resolver::new(certificates.clone()), clock)?;
        Ok(Self { of, watcher, certificates, tls })
    }

    /// What is shown, now and later.
    pub(crate) fn certificates(&self) -> Snapshot<Certificates> {
        self.certificates.clone()
    }

    /// Keeps it as it is in the files, for ever. `asked` wakes it at once.
    pub(crate) async fn watch(mut self, asked: Arc<Notify>) {
        loop {
            let reloaded = tokio::select! {
                reloaded = self.watcher.reloaded() => reloaded,
                () = asked.notified() => match self.watcher.reload().await {
                    Ok(Some(reloaded)) => reloaded,
                    Ok(None) => continue,
                    Err(error) => {
                        tracing::error!(%error, "certificate of {} stays as it was", self.of);
                        continue;
                    }
                },
            };
            self.certificates.store(Arc::new(set(&reloaded.pairs)));
            tracing::info!("certificate of {} renewed", self.of);
        }
    }
}

/// Shown whatever name a client asks for: many connect to an address.
fn set(pairs: &[Arc<Pair>]) -> Certificates {
    let certificates = Certificates::new(pairs.to_vec());
    match pairs.first() {
        Some(pair) => certificates.with_fallback(Arc::clone(pair)),
        None => certificates,
    }
}
