//! What is watched on the registry's behalf: which generation is live, which drains are over,
//! which guards have tripped. One task; it sleeps while there is nothing to wait for.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use model::{CircuitReport, Generation, Guard, Instant, RouteId, UnixMillis};
use resilience::{Drain, Phase};
use routing::EndpointId;
use telemetry::Totals;

use crate::health;
use crate::plane::{Notice, Shared};
use crate::ticket::phase_name;

/// Between two looks at requests that have to end.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// After this long nobody waits any more for what was published (SPEC 4: MAINT_OK, at most 3 s),
/// and an exit permit may be a little later.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks from then on.
const LOOK_LATE_EVERY: Duration = Duration::from_millis(50);
/// Between two looks for what no route leads to any more.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// Between two looks at statistics.
const JUDGE_EVERY: Duration = Duration::from_millis(100);
/// Requests that a guard must have seen before it says anything: of fewer, one failure would be
/// more than 5 %.
const JUDGED_MIN: u64 = 20;

/// Routes that a guard watches.
#[derive(Debug)]
pub(crate) struct Watched {
    guard: Guard,
    /// What had happened on each when the watch began.
    routes: Vec<(RouteId, Totals)>,
}

/// Begins or ends a watch.
pub(crate) fn watch(shared: &Shared, number: u64, what: Option<(Vec<RouteId>, Guard)>) {
    let watched = what.map(|(routes, guard)| {
        let routes = routes.into_iter().map(|route| (route, totals(shared, route))).collect();
        Watched { guard, routes }
    });
    let mut watches = shared.watches.lock().unwrap_or_else(PoisonError::into_inner);
    match watched {
        Some(watched) => drop(watches.insert(number, watched)),
        None => drop(watches.remove(&number)),
    }
}

/// The circuit breaker of a route, for people.
pub(crate) fn circuit(shared: &Shared, route: RouteId) -> CircuitReport {
    let rule = shared.table.load().get(route).and_then(|entry| entry.config.breaker);
    let closed = CircuitReport {
        route,
        state: "closed",
        failures: 0,
        last_failure: None,
        next_attempt: None,
        configured: rule.is_some(),
    };
    let (Some(_), Some(state)) = (rule, shared.routes.known(route)) else { return closed };
    let now = shared.clock.now();
    let breaker = state.breaker();
    let phase = breaker.phase(now.mono);
    let next_attempt = match phase {
        Phase::Open { until } => Some(now.wall.after(until.since(now.mono))),
        Phase::Closed | Phase::HalfOpen => None,
    };
    let last_failure = Some(state.failed_at()).filter(|at| *at > 0).map(UnixMillis);
    let failures = breaker.failures();
    CircuitReport { state: phase_name(phase), failures, last_failure, next_attempt, ..closed }
}

/// Runs until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>) {
    tokio::task::spawn_local(health::run(Arc::clone(&shared)));
    tokio::task::spawn_local(sweep(Arc::clone(&shared)));
    let mut live = Waiting::new(shared.table.load().generation(), shared.clock.mono());
    let mut drained: BTreeMap<EndpointId, Drain> = BTreeMap::new();
    loop {
        let waits =
            [generations(&shared, &mut live), drains(&shared, &mut drained), guards(&shared)];
        let ordered = shared.ordered.notified();
        match waits.into_iter().flatten().min() {
            Some(wait) => drop(tokio::time::timeout(wait, ordered).await),
            None => ordered.await,
        }
    }
}

/// Forgets what no route leads to any more, in one place and not in each worker.
async fn sweep(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        shared.endpoints.sweep(&shared.table);
        shared.routes.sweep(&shared.table, shared.clock.mono());
    }
}

/// How far the registry was told.
struct Waiting {
    live: Generation,
    published: Generation,
    /// When `published` was seen first.
    since: Instant,
}

impl Waiting {
    fn new(generation: Generation, now: Instant) -> Self {
        Self { live: generation, published: generation, since: now }
    }
}

/// Tells of generations that became live; how long to wait if there will be more.
fn generations(shared: &Shared, waiting: &mut Waiting) -> Option<Duration> {
    let published = shared.table.load().generation();
    let now = shared.clock.mono();
    if published > waiting.published {
        (waiting.published, waiting.since) = (published, now);
    }
    let live = shared.oldest.live(published);
    if live > waiting.live && shared.tell(Notice::Live(live)) {
        waiting.live = live;
    }
    (waiting.live < published).then(|| look_again(now.since(waiting.since)))
}

/// Often at first, when somebody waits, and seldom when something lasts.
fn look_again(waited: Duration) -> Duration {
    if waited < PATIENCE { LOOK_EVERY } else { LOOK_LATE_EVERY }
}

/// Tells of drains that are done, once each.
fn drains(shared: &Shared, told: &mut BTreeMap<EndpointId, Drain>) -> Option<Duration> {
    let now = shared.clock.mono();
    let draining = shared.endpoints.draining();
    told.retain(|endpoint, _| draining.contains_key(endpoint));
    let mut wait = None::<Duration>;
    for (endpoint, (drain, state)) in draining {
        if told.get(&endpoint) == Some(&drain) {
            continue;
        }
        if state.is_drained(now) && shared.tell(Notice::Drained(endpoint)) {
            told.insert(endpoint, drain);
            continue;
        }
        let left = match drain.remaining(now) {
            Duration::ZERO => look_again(now.since(drain.ends())),
            left => left,
        };
        wait = Some(wait.map_or(left, |wait| wait.min(left)));
    }
    wait
}

/// Tells of guards that tripped, and ends their watch.
fn guards(shared: &Shared) -> Option<Duration> {
    let mut watches = shared.watches.lock().unwrap_or_else(PoisonError::into_inner);
    watches.retain(|number, watched| match watched.judge(shared) {
        Some(text) => !shared.tell(Notice::Tripped(*number, text)),
        None => true,
    });
    (!watches.is_empty()).then_some(JUDGE_EVERY)
}

impl Watched {
    /// What tripped, if anything did.
    fn judge(&self, shared: &Shared) -> Option<Box<str>> {
        let mut sum = Totals::default();
        for (route, before) in &self.routes {
            sum.add(&totals(shared, *route).since(before));
        }
        if sum.requests < JUDGED_MIN {
            return None;
        }
        match self.guard {
            Guard::ErrorsBelow(percent) => {
                let share = sum.errors as f64 * 100.0 / sum.requests as f64;
                (share >= percent).then(|| format!("errors<{percent}%").into())
            }
            Guard::P99Below(limit) => {
                let p99 = sum.percentile(0.99);
                (p99 >= limit).then(|| format!("p99<{}ms", limit.as_millis()).into())
            }
        }
    }
}

fn totals(shared: &Shared, route: RouteId) -> Totals {
    shared.routes.known(route).map(|state| state.stats.totals()).unwrap_or_default()
}
