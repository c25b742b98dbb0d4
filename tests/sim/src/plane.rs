//! A data plane that serves nothing: it knows what it was told, and says where a request would go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{BackendUrl, Instant, RouteId, normalize_authority, normalize_path};
use resilience::Drain;
use routing::{
    Choice, Decision, EndpointHealth, EndpointId, EndpointView, Head, Live, Member, Table, choose,
};
use session::Mode;

use crate::transcript::Goes;

/// Enough draws to find every endpoint of a small pool.
const DRAWS: u64 = 200;

/// What the machine has told its data plane.
#[derive(Debug, Default)]
pub struct Plane {
    /// The table as it was published last.
    pub table: Arc<Table>,
    /// Routes in maintenance, and where their page is.
    pub resting: BTreeMap<RouteId, Option<BackendUrl>>,
    /// Endpoints without their registry connection.
    pub away: BTreeSet<EndpointId>,
    /// Endpoints that failed their checks in a life before this one.
    pub failing: BTreeSet<EndpointId>,
    /// Endpoints that drain.
    pub drains: BTreeMap<EndpointId, Drain>,
    /// Of those away, the ones that refused a connection since.
    gone: BTreeSet<EndpointId>,
}

impl Live for Plane {
    fn member(&self, member: &Member, now: Instant) -> EndpointView {
        let endpoint = member.endpoint;
        let drain = self.drains.get(&endpoint);
        let health = if self.resting.contains_key(&member.route) {
            EndpointHealth::Maintenance
        } else if self.gone.contains(&endpoint) || drain.is_some_and(|d| d.is_over(now)) {
            EndpointHealth::Gone
        } else if self.away.contains(&endpoint) {
            EndpointHealth::Away
        } else {
            EndpointHealth::Up
        };
        let share_percent = drain.map_or(100, |drain| drain.percent(now));
        EndpointView { health, in_flight: 0, latency_micros: 0, share_percent }
    }
}

impl Plane {
    /// Takes a publication.
    ///
    /// # Panics
    ///
    /// When the generation has shrunk, or stays the same and the routes do not.
    pub fn publish(&mut self, table: Arc<Table>) {
        let (before, after) = (self.table.generation(), table.generation());
        assert!(after >= before, "generation {after} was published after {before}");
        if after == before && !self.table.is_empty() {
            let same = self.table.entries().eq(table.entries());
            assert!(same, "generation {after} was published with other routes before");
        }
        self.table = table;
    }

    /// Endpoints have lost their registry connection, or have it back.
    pub fn presence(&mut self, endpoints: &[EndpointId], connected: bool) {
        for endpoint in endpoints {
            if connected {
                self.away.remove(endpoint);
                self.gone.remove(endpoint);
            } else {
                self.away.insert(*endpoint);
            }
        }
    }

    /// The backends of these routes failed before.
    ///
    /// # Panics
    ///
    /// When one is not live, or an endpoint is told twice.
    pub fn failing(&mut self, routes: &[RouteId]) {
        for route in routes {
            let endpoint = self.table.endpoint_of(*route).expect("who fails is live");
            assert!(self.failing.insert(endpoint), "{route}: {endpoint:?} is told twice");
        }
    }

    /// Endpoints drain, or no longer do.
    pub fn drain(&mut self, endpoints: &[EndpointId], drain: Option<Drain>) {
        for endpoint in endpoints {
            match drain {
                Some(drain) => drop(self.drains.insert(*endpoint, drain)),
                None => drop(self.drains.remove(endpoint)),
            }
        }
    }

    /// Routes answer in another way.
    pub fn maintenance(&mut self, modes: &[(RouteId, Mode)]) {
        for (route, mode) in modes {
            match mode {
                Mode::Serves => drop(self.resting.remove(route)),
                Mode::Maintenance { page } => drop(self.resting.insert(*route, page.clone())),
            }
        }
    }

    /// The endpoints of a backend refuse connections; says which ones.
    pub fn refuse(&mut self, backend: &str) -> Vec<EndpointId> {
        let entries =
            self.table.entries().filter(|entry| entry.spec.backend.to_string() == backend);
        let refused: BTreeSet<EndpointId> =
            entries.filter_map(|entry| self.table.endpoint_of(entry.route)).collect();
        self.gone.extend(refused.intersection(&self.away));
        refused.into_iter().collect()
    }

    /// Forgets endpoints and routes that no longer exist, and says which drains are over.
    pub fn sweep(&mut self, now: Instant) -> Vec<EndpointId> {
        let table = Arc::clone(&self.table);
        self.away.retain(|endpoint| table.has_endpoint(*endpoint));
        self.gone.retain(|endpoint| table.has_endpoint(*endpoint));
        let over = |(endpoint, drain): (&EndpointId, &Drain)| {
            (drain.is_over(now) && table.has_endpoint(*endpoint)).then_some(*endpoint)
        };
        self.drains.iter().filter_map(over).collect()
    }

    /// Where requests go.
    pub fn ask(&self, host: &str, path: &str, now: Instant) -> Goes {
        let Some(host) = normalize_authority(host.as_bytes()) else { return Goes::NoRoute };
        let Ok(normal) = normalize_path(path.as_bytes()) else { return Goes::NoRoute };
        let head = Head { host: Some(&host), raw_path: path, path: &normal };
        let Some(pool) = self.table.find(head) else { return Goes::NoRoute };
        let mut backends = BTreeSet::new();
        for draw in 0..DRAWS {
            let draw = draw.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            match choose(pool, self, &Choice { now, draw, ..Choice::default() }) {
                Decision::Send { pool, member } => {
                    backends.insert(pool.members[member].backend.to_string());
                }
                // Maintenance takes endpoints out; the page shows when no other is left (SPEC 12).
                Decision::Maintenance { pool, member } => {
                    let page = self.resting.get(&pool.members[member].route);
                    let page = page.expect("it is in maintenance");
                    return Goes::Page(page.as_ref().map(ToString::to_string));
                }
                Decision::Unavailable { .. } | Decision::NoRoute => return Goes::Unavailable,
            }
        }
        Goes::To(backends.into_iter().collect())
    }
}
