//! What all workers know about an endpoint right now.
//!
//! Kept under the endpoint's identity and not in the routing table, so that it outlives every
//! apply that leaves the identity alone. Everything here is an atomic: the request path takes no
//! lock. The map is locked only when a worker meets an endpoint for the first time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{Instant, RouteId};
use resilience::{Drain, Ejection, Ewma, Ramp, Verdict};
use routing::{EndpointHealth, EndpointId, EndpointView, Table};
use runtime::Snapshot;

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
    /// The route whose owner was told that a connect failed; 0 is none.
    told_out: AtomicU64,
    /// A [`Checked`].
    checked: AtomicU8,
    /// When it came up last, in nanoseconds; 0 is long ago.
    up_since: AtomicU64,
    drain: DrainCell,
    /// It was forgotten: whoever holds it asks for the one that is remembered now.
    retired: AtomicBool,
}

/// What health checks say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Checked {
    /// None has passed yet.
    #[default]
    Unknown,
    Passing,
    Failing,
}

/// What a failed connect changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectFailed {
    /// The endpoint was not ejected before.
    pub(crate) is_first: bool,
    /// It is out until it returns.
    pub(crate) is_gone: bool,
}

/// A drain in atomics. Written rarely; a reader that comes in between mixes the old and the new
/// drain for one request, which is a share and never a refusal.
#[derive(Debug, Default)]
struct DrainCell {
    /// In nanoseconds; 0 is no drain.
    ends: AtomicU64,
    /// In nanoseconds.
    duration: AtomicU64,
    from_percent: AtomicU32,
}

impl DrainCell {
    fn set(&self, drain: Option<Drain>) {
        let Some(drain) = drain else { return self.ends.store(0, Ordering::SeqCst) };
        let nanos = u64::try_from(drain.duration.as_nanos()).unwrap_or(u64::MAX);
        self.duration.store(nanos, Ordering::Relaxed);
        self.from_percent.store(drain.from_percent, Ordering::Relaxed);
        self.ends.store(drain.ends().as_nanos().max(1), Ordering::SeqCst);
    }

    fn get(&self) -> Option<Drain> {
        let ends = self.ends.load(Ordering::SeqCst);
        let duration = self.duration.load(Ordering::Relaxed);
        let from_percent = self.from_percent.load(Ordering::Relaxed);
        let started = Instant::from_nanos(ends.saturating_sub(duration));
        let duration = Duration::from_nanos(duration);
        (ends > 0).then_some(Drain { started, duration, from_percent })
    }
}

impl EndpointState {
    pub(crate) fn view(&self, now: Instant) -> EndpointView {
        let away = self.away.load(Ordering::Relaxed);
        let ejection = Ejection::from_bits(self.ejection.load(Ordering::Relaxed));
        let checked = self.checked();
        let drain = self.drain.get();
        let health = if away && self.gone.load(Ordering::Relaxed)
            || drain.is_some_and(|drain| drain.is_over(now))
        {
            EndpointHealth::Gone
        } else if checked == Checked::Failing {
            EndpointHealth::Failing
        } else if ejection.may_try(now) == Verdict::Ejected {
            EndpointHealth::Ejected
        } else if away {
            EndpointHealth::Away
        } else if checked == Checked::Unknown {
            EndpointHealth::Unchecked
        } else {
            EndpointHealth::Up
        };
        EndpointView {
            health,
            in_flight: self.in_flight.load(Ordering::Relaxed),
            latency_micros: Ewma::from_bits(self.latency.load(Ordering::Relaxed)).micros(now),
            share_percent: drain.map_or(100, |drain| drain.percent(now)),
        }
    }

    /// Counts one more request, unless there are `max` already or the endpoint's drain is over.
    ///
    /// Counts first and looks then: whoever sees a drain that is over and a count of zero knows
    /// that nothing will come any more.
    pub(crate) fn begin(&self, max: Option<u32>, now: impl Fn() -> Instant) -> bool {
        let order = Ordering::SeqCst;
        let counted = match max {
            None => Ok(self.in_flight.fetch_add(1, order)),
            Some(max) => self.in_flight.fetch_update(order, order, |n| (n < max).then_some(n + 1)),
        };
        if counted.is_err() {
            return false;
        }
        if self.drain.get().is_some_and(|drain| drain.is_over(now())) {
            self.end();
            return false;
        }
        true
    }

    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether its drain is over and nothing is in flight.
    pub(crate) fn is_drained(&self, now: Instant) -> bool {
        let over = self.drain.get().is_some_and(|drain| drain.is_over(now));
        over && self.in_flight.load(Ordering::SeqCst) == 0
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Whether its registry connection is lost.
    pub(crate) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    pub(crate) fn checked(&self) -> Checked {
        match self.checked.load(Ordering::Relaxed) {
            1 => Checked::Passing,
            2 => Checked::Failing,
            _ => Checked::Unknown,
        }
    }

    pub(crate) fn set_checked(&self, checked: Checked, now: Instant) {
        let before = self.checked.swap(checked as u8, Ordering::Relaxed);
        if checked == Checked::Passing && before != checked as u8 {
            self.up_since.store(now.as_nanos(), Ordering::Relaxed);
        }
    }

    /// Its share in percent while it starts slowly.
    pub(crate) fn ramp_percent(&self, duration: Duration, now: Instant) -> u32 {
        let since = Instant::from_nanos(self.up_since.load(Ordering::Relaxed));
        Ramp { since, duration }.percent(now)
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

    /// A connect succeeded. The route whose owner has to hear that it is well again, if there is
    /// one.
    pub(crate) fn connected(&self) -> Option<RouteId> {
        // Healthy nearly always: look before writing.
        if self.ejection.load(Ordering::Relaxed) == Ejection::default().to_bits() {
            return None;
        }
        self.ejection.store(Ejection::default().to_bits(), Ordering::Relaxed);
        self.take_told()
    }

    /// Nobody is told that it is well as long as its health checks fail.
    fn take_told(&self) -> Option<RouteId> {
        let route = self.told_out.swap(0, Ordering::Relaxed);
        (route > 0 && self.checked() != Checked::Failing).then_some(RouteId(route))
    }

    /// A connect failed, of a request over this route.
    pub(crate) fn connect_failed(&self, route: RouteId, now: Instant) -> ConnectFailed {
        let step = |bits| Some(Ejection::from_bits(bits).failed(now).to_bits());
        let before = self.ejection.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        let away = self.away.load(Ordering::Relaxed);
        let is_first = before == Ok(Ejection::default().to_bits());
        if is_first {
            self.told_out.store(route.0, Ordering::Relaxed);
        }
        ConnectFailed { is_first, is_gone: away && !self.gone.swap(true, Ordering::Relaxed) }
    }

    /// The route whose owner has to hear that it is well again, if there is one.
    fn set_presence(&self, connected: bool, now: Instant) -> Option<RouteId> {
        self.away.store(!connected, Ordering::Relaxed);
        self.gone.store(false, Ordering::Relaxed);
        if connected {
            self.ejection.store(Ejection::default().to_bits(), Ordering::Relaxed);
            // Back is as good as new: it starts slowly.
            self.up_since.store(now.as_nanos(), Ordering::Relaxed);
            return self.take_told();
        }
        None
    }
}

/// Every endpoint that any worker has met or the registry has spoken of.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    states: Mutex<BTreeMap<EndpointId, Arc<EndpointState>>>,
    /// Those that drain or are drained.
    draining: Mutex<BTreeMap<EndpointId, (Drain, Arc<EndpointState>)>>,
}

impl Endpoints {
    pub(crate) fn get(&self, endpoint: EndpointId) -> Arc<EndpointState> {
        Arc::clone(self.lock().entry(endpoint).or_default())
    }

    /// The routes whose owners have to hear that their backends are well again.
    pub(crate) fn set_presence(
        &self,
        endpoints: &[EndpointId],
        connected: bool,
        now: Instant,
    ) -> Vec<RouteId> {
        let mut states = self.lock();
        let state = |id: &EndpointId| Arc::clone(states.entry(*id).or_default());
        let states: Vec<Arc<EndpointState>> = endpoints.iter().map(state).collect();
        states.iter().filter_map(|state| state.set_presence(connected, now)).collect()
    }

    pub(crate) fn set_drain(&self, endpoints: &[EndpointId], drain: Option<Drain>) {
        for endpoint in endpoints {
            let state = self.get(*endpoint);
            state.drain.set(drain);
            let mut draining = self.draining.lock().unwrap_or_else(PoisonError::into_inner);
            match drain {
                Some(drain) => drop(draining.insert(*endpoint, (drain, state))),
                None => drop(draining.remove(endpoint)),
            }
        }
    }

    /// Everything that drains or is drained.
    pub(crate) fn draining(&self) -> BTreeMap<EndpointId, (Drain, Arc<EndpointState>)> {
        self.draining.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets endpoints that no route leads to.
    pub(crate) fn sweep(&self, table: &Snapshot<Table>) {
        let mut states = self.lock();
        // Loaded with the lock held: no endpoint that is in here for a newer table is missed.
        let table = table.load();
        states.retain(|endpoint, state| {
            let stays = table.has_endpoint(*endpoint);
            state.retired.store(!stays, Ordering::Relaxed);
            stays
        });
        let mut draining = self.draining.lock().unwrap_or_else(PoisonError::into_inner);
        draining.retain(|endpoint, _| table.has_endpoint(*endpoint));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<EndpointId, Arc<EndpointState>>> {
        // Nothing in here can be left half done by a panic.
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
