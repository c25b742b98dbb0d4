//! What the registry says about its sessions, and the data plane about their health.
//!
//! Both must never wait and nothing of it may be lost, so it is kept by identity: the newest word
//! about each, as many as there are sessions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use catalog::{Catalog, Facts, Identity};
use model::Now;
use tokio::sync::Notify;

/// Tells the catalog about sessions. Cheap to clone, never waits.
#[derive(Clone, Debug, Default)]
pub struct Feed(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<Waiting>,
    is_there: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// What each session says, and whether its connection is there; `None`: it ended.
    sessions: BTreeMap<Identity, Option<(Facts, bool)>>,
    /// Whether an endpoint is well, and why.
    checks: BTreeMap<(Identity, Box<str>), (bool, Box<str>)>,
}

impl Feed {
    /// What the newest session of an identity says, and whether its connection is there; `None`
    /// when none is left.
    pub fn session(&self, identity: Identity, said: Option<(Facts, bool)>) {
        self.with(|waiting| drop(waiting.sessions.insert(identity, said)));
    }

    /// What was found about an endpoint of a session.
    pub fn check(&self, identity: Identity, endpoint: &str, healthy: bool, reason: &str) {
        let found = (healthy, reason.into());
        self.with(|waiting| drop(waiting.checks.insert((identity, endpoint.into()), found)));
    }

    fn with(&self, tell: impl FnOnce(&mut Waiting)) {
        tell(&mut self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.is_there.notify_one();
    }

    /// Until something is there.
    pub(crate) async fn is_there(&self) {
        self.0.is_there.notified().await;
    }

    pub(crate) fn take(&self, catalog: &mut Catalog, now: Now) {
        let waiting = {
            let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *waiting)
        };
        for (identity, said) in waiting.sessions {
            catalog.put_session(&identity, said, now);
        }
        for ((identity, endpoint), (healthy, reason)) in waiting.checks {
            catalog.check(&identity, &endpoint, healthy, &reason, now);
        }
    }
}
