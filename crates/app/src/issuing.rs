//! Joins who orders certificates with who registers names and who serves.

use std::sync::Arc;

use acme::{Acme, Inputs};
use certs::{Certificates, Challenges, Pair};
use routing::Table;
use runtime::Clock;
use store::Store;
use tokio::sync::{Notify, mpsc, watch};

use crate::certificates::CertificateError;
use crate::config::AcmeConfig;

/// New certificates that wait to be published. Whoever orders them waits beyond that.
const ISSUED_MAX: usize = 16;

/// Certificates from authorities, not ordered yet.
pub(crate) struct Issuing {
    acme: Acme,
    pub(crate) challenges: Challenges,
    tables: watch::Sender<Arc<Table>>,
}

impl Issuing {
    /// With what is remembered: certificates that are served at once.
    pub(crate) async fn load(
        config: &AcmeConfig,
        store: &Store,
        clock: Clock,
        table: Arc<Table>,
    ) -> Result<(Self, Vec<Arc<Pair>>), CertificateError> {
        let ours = acme::Config {
            directories: config.directories.iter().map(|text| text.as_str().into()).collect(),
            bindings: config.bindings(),
            email: config.email.as_deref().map(Into::into),
            methods: config.challenges.clone(),
            tls: config.tls()?,
        };
        let (acme, pairs) = Acme::load(ours, store.acme(), clock).await?;
        let tables = watch::Sender::new(table);
        Ok((Self { acme, challenges: Challenges::new(), tables }, pairs))
    }

    /// Where every table is told that is published.
    pub(crate) fn tables(&self) -> watch::Sender<Arc<Table>> {
        self.tables.clone()
    }

    /// What becomes of orders.
    pub(crate) fn counts(&self) -> Arc<acme::Counts> {
        self.acme.counts()
    }

    /// Orders and renews from now on; `hurry` has everything tried again that failed. Returns
    /// where the certificates come out.
    pub(crate) fn start(
        self,
        files: watch::Receiver<Arc<Certificates>>,
        hurry: Arc<Notify>,
    ) -> mpsc::Receiver<Arc<Pair>> {
        let (issued, receiver) = mpsc::channel(ISSUED_MAX);
        let inputs = Inputs { tables: self.tables.subscribe(), files, hurry };
        tokio::spawn(self.acme.run(self.challenges, inputs, issued));
        receiver
    }
}
