//! What all workers know about an endpoint right now.
//!
//! Kept under the endpoint's identity and not in the routing table, so that it outlives every
//! apply that leaves the identity alone. Everything here is an atomic: the request path takes no
//! lock. The map is locked only when a worker meets an endpoint for the first time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use model::Instant;
use resilience::{Ejection, Ewma, Verdict};
use routing::{EndpointHealth, EndpointId, EndpointView};

/// The state of one endpoint. Alone on its cache lines: every request writes it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct EndpointState {
    in_flight: AtomicU32,
    latency: AtomicU64,
    ejection: AtomicU64,
    /// Its registry connection is lost.
    away: AtomicBool,
    /// Refused a connection while away.
    gone: AtomicBool,
}

impl EndpointState {
    pub(crate) fn view(&self, now: Instant) -> EndpointView {
        let away = self.away.load(Ordering::Relaxed);
        let ejection = Ejection::from_bits(self.ejection.load(Ordering::Relaxed));
        let health = if away && self.gone.load(Ordering::Relaxed) {
            EndpointHealth::Gone
        } else if ejection.may_try(now) == Verdict::Ejected {
            EndpointHealth::Ejected
        } else if away {
            EndpointHealth::Away
        } else {
            EndpointHealth::Up
        };
        EndpointView {
            health,
            in_flight: self.in_flight.load(Ordering::Relaxed),
            latency_micros: Ewma::from_bits(self.latency.load(Ordering::Relaxed)).micros(now),
            share_percent: 100,
        }
    }

    pub(crate) fn began(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, micros: u32, now: Instant) {
        let step = |bits| Some(Ewma::from_bits(bits).record(micros, now).to_bits());
        let _ = self.latency.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
    }

    /// Takes the one trial after an ejection, if it is due: nobody else gets it then.
    pub(crate) fn begin_trial(&self, now: Instant) {
        if self.ejection.load(Ordering::Relaxed) == Ejection::default().to_bits() {
            return;
        }
        let step = |bits| {
            let ejection = Ejection::from_bits(bits);
            (ejection.may_try(now) == Verdict::Trial).then(|| ejection.trying(now).to_bits())
        };
        let _ = self.ejection.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
    }

    pub(crate) fn connected(&self) {
        // Healthy nearly always: look before writing.
        if self.ejection.load(Ordering::Relaxed) != Ejection::default().to_bits() {
            self.ejection.store(Ejection::default().to_bits(), Ordering::Relaxed);
        }
    }

    /// A connect failed. Tells whether the endpoint is out until it returns, for the registry.
    pub(crate) fn connect_failed(&self, now: Instant) -> bool {
        let step = |bits| Some(Ejection::from_bits(bits).failed(now).to_bits());
        let _ = self.ejection.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        let away = self.away.load(Ordering::Relaxed);
        away && !self.gone.swap(true, Ordering::Relaxed)
    }

    fn set_presence(&self, connected: bool) {
        self.away.store(!connected, Ordering::Relaxed);
        self.gone.store(false, Ordering::Relaxed);
        if connected {
            self.ejection.store(Ejection::default().to_bits(), Ordering::Relaxed);
        }
    }
}

/// Every endpoint that any worker has met or the registry has spoken of.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    states: Mutex<BTreeMap<EndpointId, Arc<EndpointState>>>,
}

impl Endpoints {
    pub(crate) fn get(&self, endpoint: EndpointId) -> Arc<EndpointState> {
        Arc::clone(self.lock().entry(endpoint).or_default())
    }

    pub(crate) fn set_presence(&self, endpoints: &[EndpointId], connected: bool) {
        let mut states = self.lock();
        for endpoint in endpoints {
            states.entry(*endpoint).or_default().set_presence(connected);
        }
    }

    /// Forgets endpoints that no route leads to.
    pub(crate) fn retain(&self, keep: impl Fn(EndpointId) -> bool) {
        self.lock().retain(|endpoint, _| keep(*endpoint));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<EndpointId, Arc<EndpointState>>> {
        // Nothing in here can be left half done by a panic.
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
