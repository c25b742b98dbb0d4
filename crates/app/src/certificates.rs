//! The certificates that clients are shown: from files, read again when those change or somebody
//! asks for it, and from authorities; told when they were renewed (SPEC 6).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use certs::{
    Certificates, Clients, LoadError, Pair, Reloaded, Resolver, ServerConfig, ServerOptions,
    Watcher,
};
use control::Teller;
use model::{Event, UnixMillis};
use runtime::{Clock, Snapshot};
use session::Input;
use tokio::sync::{Notify, mpsc, watch};

use crate::config::{ClientCertificates, ConfigError, HttpsConfig};
use crate::kept;

/// Why TLS cannot be spoken to clients.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The one that stands in where none is configured.
    #[error(transparent)]
    SelfSigned(#[from] certs::SelfSignedError),
    /// Those that authorities gave, or will give.
    #[error(transparent)]
    Acme(#[from] acme::StartError),
    /// Whom we believe to be an authority, of certificates or of clients.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The rest.
    #[error(transparent)]
    Server(#[from] certs::ServerError),
}

/// Certificates in use, and where they come from.
pub(crate) struct Served {
    clock: Clock,
    watcher: Watcher,
    /// Those in files, as whoever orders certificates is told of them.
    files: watch::Sender<Arc<Certificates>>,
    /// From authorities, one for each name.
    issued: BTreeMap<String, Arc<Pair>>,
    certificates: Snapshot<Certificates>,
    fallback: Option<Arc<Pair>>,
    pub(crate) resolver: Resolver,
    pub(crate) tls: Arc<ServerConfig>,
    pub(crate) quic: Option<Arc<ServerConfig>>,
}

impl Served {
    /// Reads what is configured. Where nothing is, and nothing will be `issued`, a certificate of
    /// our own making stands in, so that TLS can be tried at once; browsers warn of it. It is kept beside
    /// the `store`, so that a client that was told to trust it need not be told again.
    pub(crate) async fn load(
        https: &HttpsConfig,
        store: &Path,
        issued: Option<Vec<Arc<Pair>>>,
        clock: Clock,
    ) -> Result<Self, CertificateError> {
        let (watcher, pairs) = Watcher::load(https.certificates.clone(), clock).await?;
        let fallback = if pairs.is_empty() && issued.is_none() {
            tracing::warn!("no certificate is configured; clients are shown one of our own making");
            Some(Arc::new(kept::certificate(store, &["localhost"], clock.now().wall)?))
        } else {
            None
        };
        let files = watch::Sender::new(Arc::new(Certificates::new(pairs)));
        let certificates = Snapshot::new(Arc::default());
        let resolver = Resolver::new(certificates.clone());
        let clients = https.clients.as_ref().map(ClientCertificates::load).transpose()?;
        let clients = clients.unwrap_or(Clients::Anyone);
        let options = ServerOptions { alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()], clients };
        let tls = options.tcp(&resolver, clock)?;
        let over_quic = ServerOptions { alpn: vec![b"h3".to_vec()], ..options };
        let quic = https.http3.then(|| over_quic.quic(&resolver, clock)).transpose()?;
        let issued = issued.into_iter().flatten().map(|pair| (key(&pair), pair)).collect();
        let served =
            Self { clock, watcher, files, issued, certificates, fallback, resolver, tls, quic };
        served.publish();
        for (pair, validity) in served.certificates.load().invalid(clock.now().wall) {
            let names = names(pair).join(", ");
            tracing::warn!(names, %validity, "clients will not accept this certificate");
        }
        Ok(served)
    }

    /// All that clients are shown, now and later.
    pub(crate) fn certificates(&self) -> Snapshot<Certificates> {
        self.certificates.clone()
    }

    /// Those in files, whenever they change.
    pub(crate) fn files(&self) -> watch::Receiver<Arc<Certificates>> {
        self.files.subscribe()
    }

    /// Keeps them as they are in the files and as authorities issue them, for ever. `asked` has
    /// the files read at once.
    pub(crate) async fn watch(
        mut self,
        teller: Teller,
        asked: Arc<Notify>,
        mut issued: Option<mpsc::Receiver<Arc<Pair>>>,
    ) {
        loop {
            let renewed = tokio::select! {
                reloaded = self.watcher.reloaded() => self.swap_files(reloaded),
                () = asked.notified() => match self.watcher.reload().await {
                    Ok(Some(reloaded)) => self.swap_files(reloaded),
                    Ok(None) => continue,
                    Err(error) => {
                        tracing::error!(%error, "the certificates stay as they were");
                        continue;
                    }
                },
                pair = next(&mut issued) => {
                    let now = self.clock.now().wall;
                    self.issued.retain(|_, pair| !is_of_no_use(pair, now));
                    self.issued.insert(key(&pair), Arc::clone(&pair));
                    vec![pair]
                }
            };
            self.publish();
            for pair in renewed {
                let expiry = pair.not_after();
                for name in names(&pair) {
                    let event = Event::CertRenewed { domain: name.into(), expiry };
                    if teller.tell(Input::Happened(event)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Takes what is in the files now; those that were renewed are to be told.
    fn swap_files(&mut self, reloaded: Reloaded) -> Vec<Arc<Pair>> {
        self.files.send_replace(Arc::new(Certificates::new(reloaded.pairs)));
        for pair in &reloaded.renewed {
            let expiry = pair.not_after().to_string();
            tracing::info!(names = names(pair).join(", "), expiry, "certificate renewed");
        }
        reloaded.renewed
    }

    /// Files come first: where one is for a name, an authority's certificate for it is not shown.
    fn publish(&self) {
        let files = Arc::clone(&self.files.borrow());
        let issued = self.issued.iter().filter(|(name, _)| !files.serves(name));
        let pairs = files.pairs().iter().chain(issued.map(|(_, pair)| pair)).cloned();
        let certificates = Certificates::new(pairs.collect()).with_nameless(&files);
        self.certificates.store(Arc::new(match &self.fallback {
            Some(pair) => certificates.with_fallback(Arc::clone(pair)),
            None => certificates,
        }));
    }
}

/// The next one that is issued, if any ever is.
async fn next(issued: &mut Option<mpsc::Receiver<Arc<Pair>>>) -> Arc<Pair> {
    if let Some(issued) = issued
        && let Some(pair) = issued.recv().await
    {
        return pair;
    }
    std::future::pending().await
}

fn is_of_no_use(pair: &Pair, now: UnixMillis) -> bool {
    pair.not_after().after(acme::KEPT_EXPIRED) < now
}

/// The one name that an authority's certificate is for.
fn key(pair: &Pair) -> String {
    pair.names().first().map(ToString::to_string).unwrap_or_default()
}

pub(crate) fn names(pair: &Pair) -> Vec<String> {
    pair.names().iter().map(ToString::to_string).collect()
}
