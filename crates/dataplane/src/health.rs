//! Active health checks: when each endpoint is asked, and what the answers change (SPEC 4).
//!
//! One task for all endpoints. What to ask comes with the routes that lead to an endpoint; which
//! routes those are is learned from the difference between two tables, so that a publication
//! costs what it changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{BackendUrl, HealthProbe, Instant, RouteConfig, RouteId};
use probe::{Announce, Check, Expect, Failed};
use resilience::{Change, Health};
use routing::{EndpointId, Entry, Table};
use tokio::task::JoinSet;

use crate::endpoint::Checked;
use crate::plane::{Notice, Shared};

/// Checks at a time. A check that waits for a dead backend lasts its whole timeout.
const RUNNING_MAX: usize = 1024;
/// SPEC 4.
const INTERVAL: Duration = Duration::from_secs(30);
/// SPEC 4.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The shortest interval: `1ms` would be an attack on the backend.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Routes of one endpoint that are told of a change.
const TOLD_MAX: usize = 100;

/// How an endpoint is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// Nothing: it is taken to be well.
    check: Option<Check>,
    interval: Duration,
    timeout: Duration,
    announce: Announce,
}

impl Default for Rule {
    fn default() -> Self {
        let check = Some(Check::Http { path: "/".into(), expect: Expect::Below500 });
        let announce = Announce::default();
        Self { check, interval: INTERVAL, timeout: TIMEOUT, announce }
    }
}

impl Rule {
    /// What a route says about checks, if it says anything. HEALTH_SET beats the options
    /// (SPEC 12).
    fn of(config: &RouteConfig) -> Option<Self> {
        let options = &config.options;
        let announce = if options.proxy_protocol { Announce::Ourselves } else { Announce::Nobody };
        if let Some(health) = &config.health {
            let check = match &health.probe {
                HealthProbe::Off => None,
                HealthProbe::Tcp => Some(Check::Tcp),
                HealthProbe::Http(path) => {
                    Some(Check::Http { path: path.clone(), expect: Expect::Success })
                }
            };
            let interval = health.interval.max(INTERVAL_MIN);
            return Some(Self { check, interval, timeout: health.timeout, announce });
        }
        let path = options.health_check_path.as_ref();
        let (interval, timeout) = (options.health_check_interval, options.health_check_timeout);
        let usual = announce == Announce::Nobody;
        if path.is_none() && interval.is_none() && timeout.is_none() && usual {
            return None;
        }
        let usual = Self::default();
        let check = match path.map(|path| &**path) {
            None => usual.check,
            Some("off") => None,
            Some("tcp") => Some(Check::Tcp),
            Some(path) => Some(Check::Http { path: path.into(), expect: Expect::Success }),
        };
        Some(Self {
            check,
            interval: interval.map_or(usual.interval, |interval| interval.max(INTERVAL_MIN)),
            timeout: timeout.unwrap_or(usual.timeout),
            announce,
        })
    }
}

/// One endpoint.
#[derive(Debug)]
struct Subject {
    url: BackendUrl,
    /// Every route that leads to it.
    routes: BTreeSet<RouteId>,
    /// What those of them say that say something.
    rules: BTreeMap<RouteId, Rule>,
    health: Health,
    /// When it is checked next; none while it is being checked, or never is.
    due: Option<Instant>,
    running: bool,
}

impl Subject {
    fn new(url: BackendUrl) -> Self {
        let (routes, rules) = (BTreeSet::new(), BTreeMap::new());
        Self { url, routes, rules, health: Health::default(), due: None, running: false }
    }

    /// The rule of its newest route that has one.
    fn rule(&self) -> Rule {
        self.rules.values().next_back().cloned().unwrap_or_default()
    }
}

/// All of them.
#[derive(Debug, Default)]
struct Subjects {
    by_id: BTreeMap<EndpointId, Subject>,
    due: BTreeSet<(Instant, EndpointId)>,
}

/// How one check went.
struct Done {
    endpoint: EndpointId,
    rule: Rule,
    result: Result<(), Failed>,
}

/// Checks whatever there is until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut subjects = Subjects::default();
    let mut table = Arc::new(Table::default());
    let mut running: JoinSet<Done> = JoinSet::new();
    loop {
        let changed = shared.changed.notified();
        tokio::pin!(changed);
        // From here on no change goes unnoticed.
        changed.as_mut().enable();
        let now = shared.clock.mono();
        let latest = shared.table.load();
        if !Arc::ptr_eq(&latest, &table) {
            subjects.take(&shared, &latest, &table, now);
            table = latest;
        }
        while running.len() < RUNNING_MAX
            && let Some((endpoint, url, rule)) = subjects.next(&shared, now)
        {
            running.spawn_local(one(Arc::clone(&shared), endpoint, url, rule));
        }
        let next =
            subjects.due.first().map(|(due, _)| *due).filter(|_| running.len() < RUNNING_MAX);
        let idle = async {
            match next {
                Some(due) => shared.clock.timer(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed => {}
            () = idle => {}
            Some(Ok(done)) = running.join_next() => subjects.finish(&shared, done),
        }
    }
}

async fn one(shared: Arc<Shared>, endpoint: EndpointId, url: BackendUrl, rule: Rule) -> Done {
    let result = match &rule.check {
        Some(check) => {
            let policy = &shared.config.policy;
            let tls = &shared.tls;
            probe::check(shared.clock, (&url, rule.announce), check, rule.timeout, tls, policy)
                .await
                .map(drop)
        }
        None => Ok(()),
    };
    Done { endpoint, rule, result }
}

impl Subjects {
    /// Takes over what changed between two tables.
    fn take(&mut self, shared: &Shared, now_is: &Table, before: &Table, now: Instant) {
        // What was asked before of each endpoint that is touched; nothing of a new one.
        let mut touched: BTreeMap<EndpointId, Option<Rule>> = BTreeMap::new();
        for change in now_is.changes(before) {
            for (_, endpoint) in change.before.into_iter().chain(change.now) {
                let rule = || self.by_id.get(&endpoint).map(Subject::rule);
                touched.entry(endpoint).or_insert_with(rule);
            }
            if let Some((entry, endpoint)) = change.before {
                self.leave(entry, endpoint);
            }
            if let Some((entry, endpoint)) = change.now {
                self.join(shared, entry, endpoint);
            }
        }
        for (endpoint, asked) in touched {
            let Some(subject) = self.by_id.get(&endpoint) else { continue };
            if subject.routes.is_empty() {
                self.remove(endpoint);
            } else if asked.as_ref() != Some(&subject.rule()) && !subject.running {
                // At once for a new endpoint (SPEC 4), and whenever something else is asked.
                self.plan(endpoint, now);
            }
        }
    }

    fn remove(&mut self, endpoint: EndpointId) {
        if let Some(due) = self.by_id.remove(&endpoint).and_then(|subject| subject.due) {
            self.due.remove(&(due, endpoint));
        }
    }

    fn join(&mut self, shared: &Shared, entry: &Entry, endpoint: EndpointId) {
        let subject = self.by_id.entry(endpoint).or_insert_with(|| {
            // What was learned in a life before this one holds until the checks say otherwise.
            let failing = shared.endpoints.get(endpoint).checked() == Checked::Failing;
            let health = if failing { Health::down() } else { Health::default() };
            Subject { health, ..Subject::new(entry.spec.backend.clone()) }
        });
        subject.routes.insert(entry.route);
        if let Some(rule) = Rule::of(&entry.config) {
            subject.rules.insert(entry.route, rule);
        }
    }

    fn leave(&mut self, entry: &Entry, endpoint: EndpointId) {
        if let Some(subject) = self.by_id.get_mut(&endpoint) {
            subject.routes.remove(&entry.route);
            subject.rules.remove(&entry.route);
        }
    }

    fn plan(&mut self, endpoint: EndpointId, at: Instant) {
        if let Some(subject) = self.by_id.get_mut(&endpoint) {
            if let Some(before) = subject.due.replace(at) {
                self.due.remove(&(before, endpoint));
            }
            self.due.insert((at, endpoint));
        }
    }

    /// The next endpoint to check. Those that nobody wants checked are well.
    fn next(&mut self, shared: &Shared, now: Instant) -> Option<(EndpointId, BackendUrl, Rule)> {
        loop {
            let (due, endpoint) = *self.due.first()?;
            if due > now {
                return None;
            }
            self.due.remove(&(due, endpoint));
            let Some(subject) = self.by_id.get_mut(&endpoint) else { continue };
            subject.due = None;
            let rule = subject.rule();
            if rule.check.is_some() {
                subject.running = true;
                return Some((endpoint, subject.url.clone(), rule));
            }
            subject.health = Health::up();
            shared.endpoints.get(endpoint).set_checked(Checked::Passing, now);
        }
    }

    /// Takes over what a check found.
    fn finish(&mut self, shared: &Shared, done: Done) {
        let Done { endpoint, rule, result } = done;
        let now = shared.clock.mono();
        let Some(subject) = self.by_id.get_mut(&endpoint) else { return };
        subject.running = false;
        // Something else is asked by now: the answer says nothing.
        if subject.rule() != rule {
            return self.plan(endpoint, now);
        }
        if let (Err(Failed::ConnectionRefused), Some(&route)) = (&result, subject.routes.first()) {
            refused(shared, (endpoint, route), now);
        }
        let was_known = subject.health != Health::default();
        let change = match &result {
            Ok(()) => subject.health.passed(),
            Err(_) => subject.health.failed(),
        };
        if let Some(change) = change {
            let state = shared.endpoints.get(endpoint);
            match change {
                Change::Up => state.set_checked(Checked::Passing, now),
                Change::Down => state.set_checked(Checked::Failing, now),
            }
            let reason = result.as_ref().err().map_or("check_passed", Failed::reason);
            tracing::info!(backend = %subject.url, healthy = change == Change::Up, reason, "health");
            // That something new is well is no news.
            if was_known || change == Change::Down {
                for route in subject.routes.iter().take(TOLD_MAX) {
                    shared.tell(Notice::Health(*route, change == Change::Up, reason));
                }
            }
            shared.changed.notify_waiters();
        }
        let wait = subject.health.next(rule.interval, fastrand::u64(..));
        self.plan(endpoint, now.after(wait));
    }
}

/// Nobody is there, and nobody in the registry says otherwise: it is out until it returns.
fn refused(shared: &Shared, (endpoint, route): (EndpointId, RouteId), now: Instant) {
    let state = shared.endpoints.get(endpoint);
    if state.is_away() && state.connect_failed(route, now).is_gone {
        shared.tell(Notice::Refused(endpoint));
    }
}

#[cfg(test)]
mod tests {
    use model::HealthSpec;

    use super::*;

    /// SPEC 4 and 12.
    #[test]
    fn what_is_asked() {
        let seconds = Duration::from_secs;
        let http = |path: &str, expect| Some(Check::Http { path: path.into(), expect });
        let mut config = RouteConfig::default();
        assert_eq!(Rule::of(&config), None, "nothing is said");
        assert_eq!(Rule::default().check, http("/", Expect::Below500));
        config.options.health_check_interval = Some(seconds(3));
        let rule = Rule::of(&config).unwrap();
        assert_eq!((rule.check, rule.interval), (http("/", Expect::Below500), seconds(3)));
        config.options.health_check_path = Some("/up".into());
        assert_eq!(Rule::of(&config).unwrap().check, http("/up", Expect::Success));
        for (path, check) in [("off", None), ("tcp", Some(Check::Tcp))] {
            config.options.health_check_path = Some(path.into());
            assert_eq!(Rule::of(&config).unwrap().check, check, "the words of HEALTH_SET");
        }
        for (probe, check) in [
            (HealthProbe::Http("/h".into()), http("/h", Expect::Success)),
            (HealthProbe::Tcp, Some(Check::Tcp)),
            (HealthProbe::Off, None),
        ] {
            let spec = HealthSpec { probe, interval: Duration::ZERO, timeout: seconds(1) };
            config.health = Some(spec);
            let rule = Rule::of(&config).unwrap();
            assert_eq!((rule.check, rule.interval), (check, INTERVAL_MIN), "beats the options");
        }
    }
}
