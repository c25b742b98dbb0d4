//! Answers handshakes.

use std::sync::Arc;

use runtime::Snapshot;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::certificates::Certificates;

/// Picks the certificate for each handshake from the latest published set.
///
/// One serves TCP and QUIC, so that publishing a set renews both at once; handshakes under way go
/// on with the pair they were given. A client that names a host we have no certificate for is
/// refused (SPEC 3), unless the set has a fallback; one that names none gets what the set has for those.
#[derive(Clone, Debug)]
pub struct Resolver(Snapshot<Certificates>);

impl Resolver {
    /// Reads from `certificates`, whoever publishes there.
    pub fn new(certificates: Snapshot<Certificates>) -> Self {
        Self(certificates)
    }

    /// The latest published set.
    pub fn certificates(&self) -> Arc<Certificates> {
        self.0.load()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificates = self.0.load();
        let pair = certificates.choose(hello.server_name(), hello.signature_schemes())?;
        Some(pair.certified().clone())
    }
}
