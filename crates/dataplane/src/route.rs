//! What all workers know about a route right now, beside the routing table: its circuit breaker,
//! whether it is in maintenance, its statistics.
//!
//! Kept under the route's id, so that it outlives every apply. A route leads to one endpoint, so
//! its breaker is the one of (route, endpoint) (SPEC 4); it starts anew when the route leads to
//! another endpoint.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{BackendUrl, BreakerSpec, Instant, RouteId};
use resilience::{Breaker, Outcome, Permit, Phase};
use routing::{EndpointId, Table};
use runtime::Snapshot;
use telemetry::{HistogramPool, RouteStats};

/// How long an order for a route that is not published yet is kept. The next publication follows
/// within milliseconds.
const ORDER_KEPT: Duration = Duration::from_secs(60);

/// The state of one route.
#[derive(Debug)]
pub(crate) struct RouteState {
    pub(crate) stats: RouteStats,
    breaker: AtomicU64,
    /// When a request failed last, in milliseconds since the Unix epoch; 0 is never.
    failed_at: AtomicU64,
    in_maintenance: AtomicBool,
    /// Where its maintenance page is.
    page: Mutex<Option<BackendUrl>>,
    /// When maintenance was ordered or ended last, in nanoseconds.
    ordered_at: AtomicU64,
    /// What it led to last; 0 is nothing yet.
    endpoint: AtomicU64,
    /// It was forgotten: whoever holds it asks for the one that is remembered now.
    retired: AtomicBool,
}

impl RouteState {
    fn new(workers: usize, pool: &Arc<HistogramPool>) -> Self {
        Self {
            stats: RouteStats::new(workers, pool),
            breaker: AtomicU64::new(0),
            failed_at: AtomicU64::new(0),
            in_maintenance: AtomicBool::new(false),
            page: Mutex::new(None),
            ordered_at: AtomicU64::new(0),
            endpoint: AtomicU64::new(0),
            retired: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    pub(crate) fn is_in_maintenance(&self) -> bool {
        self.in_maintenance.load(Ordering::Relaxed)
    }

    pub(crate) fn page(&self) -> Option<BackendUrl> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn breaker(&self) -> Breaker {
        Breaker::from_bits(self.breaker.load(Ordering::Relaxed))
    }

    pub(crate) fn failed_at(&self) -> u64 {
        self.failed_at.load(Ordering::Relaxed)
    }

    /// Takes a permit; the phase is told when taking it changed it.
    pub(crate) fn admit(
        &self,
        rule: &BreakerSpec,
        now: Instant,
    ) -> Option<(Permit, Option<Phase>)> {
        let mut before = self.breaker.load(Ordering::SeqCst);
        loop {
            let (next, permit) = Breaker::from_bits(before).admit(rule, now)?;
            // Closed, nearly always: nothing to write.
            if next.to_bits() == before {
                return Some((permit, None));
            }
            let swapped = self.breaker.compare_exchange_weak(
                before,
                next.to_bits(),
                Ordering::SeqCst,
                Ordering::SeqCst,
            );
            let Err(now_is) = swapped else {
                // Before all time, an open breaker reads as open and not as half-open.
                let stored = Breaker::from_bits(before).phase(Instant::from_nanos(0));
                let first_probe = matches!(stored, Phase::Open { .. });
                return Some((permit, first_probe.then_some(Phase::HalfOpen)));
            };
            before = now_is;
        }
    }

    /// Gives a permit back; the phase is told when that changed it.
    pub(crate) fn settle(
        &self,
        rule: &BreakerSpec,
        permit: Permit,
        outcome: Outcome,
        now: Instant,
    ) -> Option<Phase> {
        let step = |bits| {
            let next = Breaker::from_bits(bits).settle(rule, permit, outcome, now).to_bits();
            (next != bits).then_some(next)
        };
        let before = self.breaker.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).ok()?;
        let before = Breaker::from_bits(before);
        let after = before.settle(rule, permit, outcome, now).phase(now);
        (!same_kind(before.phase(now), after)).then_some(after)
    }

    pub(crate) fn note_failure(&self, wall_millis: u64) {
        self.failed_at.store(wall_millis, Ordering::Relaxed);
    }

    /// Closes the breaker; tells whether it was not.
    pub(crate) fn reset_breaker(&self, now: Instant) -> bool {
        let step = |bits| Some(Breaker::from_bits(bits).reset().to_bits());
        let before = self.breaker.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step);
        let (Ok(before) | Err(before)) = before;
        Breaker::from_bits(before).phase(now) != Phase::Closed
    }

    fn set_maintenance(&self, page: Option<Option<BackendUrl>>, now: Instant) {
        let active = page.is_some();
        self.ordered_at.store(now.as_nanos(), Ordering::Relaxed);
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = page.flatten();
        self.in_maintenance.store(active, Ordering::SeqCst);
    }

    fn lead_to(&self, endpoint: EndpointId) {
        // Ids grow: whoever still has the old table does not lead it back.
        let before = self.endpoint.fetch_max(endpoint.0, Ordering::Relaxed);
        if before < endpoint.0 && before != 0 {
            let step = |bits| Some(Breaker::from_bits(bits).reset().to_bits());
            let _ = self.breaker.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step);
            self.failed_at.store(0, Ordering::Relaxed);
        }
    }
}

fn same_kind(one: Phase, other: Phase) -> bool {
    std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

/// Every route that any worker has met or the registry has spoken of.
#[derive(Debug)]
pub(crate) struct Routes {
    states: Mutex<BTreeMap<RouteId, Arc<RouteState>>>,
    workers: usize,
    histograms: Arc<HistogramPool>,
}

impl Routes {
    pub(crate) fn new(workers: usize) -> Self {
        let histograms = Arc::new(HistogramPool::default());
        Self { states: Mutex::default(), workers, histograms }
    }

    /// The state of a route that leads to this endpoint now.
    pub(crate) fn get(&self, route: RouteId, endpoint: EndpointId) -> Arc<RouteState> {
        let state = self.entry(&mut self.lock(), route);
        state.lead_to(endpoint);
        state
    }

    /// The state of a route, if anybody has met it.
    pub(crate) fn known(&self, route: RouteId) -> Option<Arc<RouteState>> {
        self.lock().get(&route).cloned()
    }

    /// Begins or ends maintenance of a route: `Some` with where its page is, if it has one.
    pub(crate) fn set_maintenance(
        &self,
        route: RouteId,
        page: Option<Option<BackendUrl>>,
        now: Instant,
    ) {
        self.entry(&mut self.lock(), route).set_maintenance(page, now);
    }

    /// Forgets routes that are no more. An order comes before the publication it holds from, so
    /// one that was given a moment ago is not forgotten with the route that is not there yet.
    pub(crate) fn sweep(&self, table: &Snapshot<Table>, now: Instant) {
        let mut states = self.lock();
        // Loaded with the lock held: no route that is in here for a newer table is missed.
        let table = table.load();
        states.retain(|route, state| {
            let ordered = Instant::from_nanos(state.ordered_at.load(Ordering::Relaxed));
            let stays = table.get(*route).is_some()
                || state.is_in_maintenance() && now.since(ordered) < ORDER_KEPT;
            state.retired.store(!stays, Ordering::Relaxed);
            stays
        });
    }

    fn entry(
        &self,
        states: &mut MutexGuard<'_, BTreeMap<RouteId, Arc<RouteState>>>,
        route: RouteId,
    ) -> Arc<RouteState> {
        let new = || Arc::new(RouteState::new(self.workers, &self.histograms));
        Arc::clone(states.entry(route).or_insert_with(new))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RouteId, Arc<RouteState>>> {
        // Nothing in here can be left half done by a panic.
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
