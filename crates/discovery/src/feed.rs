//! What the registry says about its sessions, the data plane about their health, and our own checks
//! about everybody else's.
//!
//! None of them may wait and nothing of it may be lost, so it is kept by whom it is about: the newest
//! word about each, as many as there are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use catalog::{Catalog, Facts, Finding, Health, Identity, Place};
use model::{Now, ServiceName};
use tokio::sync::Notify;

/// Tells the catalog about sessions, and how endpoints are. Cheap to clone, never waits.
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
    /// How endpoints of sessions are.
    checks: BTreeMap<(Identity, Box<str>), Finding>,
    /// How places are where others say they are.
    places: BTreeMap<(ServiceName, Place), Finding>,
}

impl Feed {
    /// What the newest session of an identity says, and whether its connection is there; `None`
    /// when none is left.
    pub fn session(&self, identity: Identity, said: Option<(Facts, bool)>) {
        self.with(|waiting| drop(waiting.sessions.insert(identity, said)));
    }

    /// What was found about an endpoint of a session.
    pub fn check(&self, identity: Identity, endpoint: &str, healthy: bool, reason: &str) {
        let found = Finding::new(Health::of(healthy), reason);
        self.with(|waiting| drop(waiting.checks.insert((identity, endpoint.into()), found)));
    }

    /// What was found at a place where a service is that nobody else speaks for.
    pub fn place(&self, service: ServiceName, place: Place, found: Finding) {
        self.with(|waiting| drop(waiting.places.insert((service, place), found)));
    }

    fn with(&self, tell: impl FnOnce(&mut Waiting)) {
        tell(&mut self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.is_there.notify_one();
    }

    /// Until something is there.
    pub(crate) async fn is_there(&self) {
        self.0.is_there.notified().await;
    }

    /// What is there.
    pub(crate) fn take(&self) -> Vec<News> {
        let waiting = {
            let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *waiting)
        };
        let Waiting { sessions, checks, places } = waiting;
        let sessions = sessions.into_iter().map(|(identity, said)| News::Session(identity, said));
        let checks = checks.into_iter();
        let checks = checks.map(|((identity, name), found)| News::Check(identity, name, found));
        let places = places.into_iter();
        let places = places.map(|((service, place), found)| News::Place(service, place, found));
        sessions.chain(checks).chain(places).collect()
    }
}

/// One thing that the catalog is told.
#[derive(Debug)]
pub(crate) enum News {
    Session(Identity, Option<(Facts, bool)>),
    Check(Identity, Box<str>, Finding),
    Place(ServiceName, Place, Finding),
}

impl News {
    pub(crate) fn tell(&self, catalog: &mut Catalog, now: Now) {
        match self {
            Self::Session(identity, said) => catalog.put_session(identity, said.clone(), now),
            Self::Check(identity, name, found) => {
                catalog.check(identity, name, found.clone(), now);
            }
            Self::Place(service, place, found) => catalog.check_place(service, place, found, now),
        }
    }
}
