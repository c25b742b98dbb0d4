//! What the admin port says, gathered from whoever counts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use acme::Counts;
use admin::{Expiry, Numbers, Source};
use catalog::View;
use certs::Certificates;
use dataplane::Publisher;
use door::Secret;
use model::RouteId;
use runtime::Snapshot;
use telemetry::Totals;

use crate::dialects_counted::{self, Counted};

/// Everybody who counts something.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) plane: Publisher,
    pub(crate) sessions: Arc<AtomicUsize>,
    /// What clients are shown.
    pub(crate) certificates: Option<Snapshot<Certificates>>,
    /// What clients of the registry are shown.
    pub(crate) registry_certificates: Option<Snapshot<Certificates>>,
    pub(crate) issued: Option<Arc<Counts>>,
    pub(crate) dialects: Vec<Counted>,
    pub(crate) catalog: Snapshot<View>,
    pub(crate) token: Option<Secret>,
    /// New requests are welcome.
    pub(crate) ready: Arc<AtomicBool>,
}

impl Source for Gathered {
    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    fn admits(&self, token: Option<&str>) -> bool {
        let Some(wanted) = &self.token else { return true };
        token.is_some_and(|shown| wanted.admits(shown))
    }

    fn numbers(&self) -> Numbers {
        let table = self.plane.table();
        Numbers {
            version: env!("CARGO_PKG_VERSION"),
            generation: table.generation().0,
            routes: table.len(),
            sessions: self.sessions.load(Ordering::Relaxed),
            in_flight: self.plane.in_flight(),
            connections: self.plane.connections(),
            certificates: expiries(self.certificates.as_ref()),
            registry_certificates: expiries(self.registry_certificates.as_ref()),
            issued: self.issued.as_ref().map(|counts| admin::Issued {
                issued: counts.issued(),
                renewed: counts.renewed(),
                failed: counts.failed(),
            }),
            dialects: self.dialects.iter().map(Counted::look).collect(),
            catalog: dialects_counted::catalog(&self.catalog.load()),
        }
    }

    fn each_route(&self, tell: &mut dyn FnMut(RouteId, &Totals)) {
        self.plane.each_route(tell);
    }
}

/// One for each name of each certificate; one that is the fallback as well is there twice.
fn expiries(certificates: Option<&Snapshot<Certificates>>) -> Vec<Expiry> {
    let Some(certificates) = certificates else { return Vec::new() };
    let certificates = certificates.load();
    let each = certificates.all().flat_map(|pair| {
        let at = pair.not_after();
        pair.names().iter().map(move |name| Expiry { name: name.to_string(), at })
    });
    each.collect()
}
