//! TLS on the registry's port: the one certificate it shows, read again when its files change.

use std::sync::Arc;

use certs::{Certificates, Clients, Pair, Resolver, ServerConfig, ServerOptions, Watcher};
use runtime::{Clock, Snapshot};
use tokio::sync::Notify;

use crate::certificates::{CertificateError, names};
use crate::config::{ClientCertificates, RegistryTls};

/// The certificate in use, and where it comes from.
pub(crate) struct RegistryServed {
    watcher: Watcher,
    certificates: Snapshot<Certificates>,
    pub(crate) tls: Arc<ServerConfig>,
}

impl RegistryServed {
    /// Reads what is configured.
    pub(crate) async fn load(config: &RegistryTls, clock: Clock) -> Result<Self, CertificateError> {
        let (watcher, pairs) = Watcher::load(vec![config.files.clone()], clock).await?;
        let certificates = Snapshot::new(Arc::new(set(&pairs)));
        for (pair, validity) in certificates.load().invalid(clock.now().wall) {
            let names = names(pair).join(", ");
            tracing::warn!(
                names,
                %validity,
                "clients of the registry will not accept this certificate"
            );
        }
        let clients = config.clients.as_ref().map(ClientCertificates::load).transpose()?;
        let clients = clients.unwrap_or(Clients::Anyone);
        let options = ServerOptions { alpn: Vec::new(), clients };
        let tls = options.tcp(&Resolver::new(certificates.clone()), clock)?;
        Ok(Self { watcher, certificates, tls })
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
                        tracing::error!(%error, "the registry's certificate stays as it was");
                        continue;
                    }
                },
            };
            self.certificates.store(Arc::new(set(&reloaded.pairs)));
            tracing::info!("certificate of the registry renewed");
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
