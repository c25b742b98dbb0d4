//! Asks the endpoints that nobody speaks for: those added by hand, by the service API, in files and
//! in the environment (SPEC 4, 7).
//!
//! Who is asked when is [`Rounds`]' to say, where they may be the policy's. What is found goes the
//! way of what the data plane finds of sessions.

mod whom;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use catalog::{Finding, Health, Place, View, What};
use model::ServiceName;
use probe::{Announce, Failed, Passed, Policy, Tls};
use resilience::{Answer, Asked, HealthState, Rhythm, Rounds};
use runtime::Clock;
use tokio::task::{Id, JoinError, JoinSet};

use self::whom::{News, Whom, question};
use crate::{Feed, Handle, Missed};

/// SPEC 4.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Names are resolved by threads that others need as well: half of them, and no more.
const RUNNING_MAX: usize = 256;
/// Checks begin 500 times a second at most, which is a round of 15 000 places in 30 s.
const GAP: Duration = Duration::from_millis(2);
/// Of these so many may begin together.
const BURST: u32 = 32;

/// How endpoints are asked.
#[derive(Clone, Debug)]
pub struct Checks {
    /// How often one that is well is asked.
    pub interval: Duration,
    /// What certificates of backends are checked by.
    pub tls: Tls,
    /// Where backends may be.
    pub policy: Policy,
}

/// What one check said.
type Said = (Result<Passed, Failed>, Duration);

struct Asking {
    checks: Checks,
    catalog: Handle,
    feed: Feed,
    clock: Clock,
    whom: Whom,
    rounds: Rounds<Place>,
    running: JoinSet<Said>,
    asked: HashMap<Id, Asked<Place>>,
}

impl Checks {
    /// Asks whoever is in the catalog, and tells it by the feed, until `stop`.
    pub async fn run(
        self,
        catalog: Handle,
        feed: Feed,
        clock: Clock,
        stop: impl Future<Output = ()>,
    ) {
        let interval = self.interval;
        let rhythm = Rhythm { interval, running_max: RUNNING_MAX, gap: GAP, burst: BURST };
        let asking = Asking {
            checks: self,
            catalog,
            feed,
            clock,
            whom: Whom::default(),
            rounds: Rounds::new(rhythm),
            running: JoinSet::new(),
            asked: HashMap::new(),
        };
        tokio::select! {
            () = asking.run() => {}
            () = stop => {}
        }
    }
}

impl Asking {
    async fn run(mut self) {
        let view = self.catalog.view();
        let mut changes = self.catalog.changes_after(view.seq());
        self.look_at_all(&view);
        loop {
            self.begin();
            let due = self.rounds.next_deadline();
            tokio::select! {
                Some(ended) = self.running.join_next_with_id() => self.finish(ended),
                () = self.clock.sleep_until(due) => {}
                change = changes.next() => match change {
                    Ok(None) => return,
                    Ok(Some(change)) => {
                        let more = std::iter::from_fn(|| changes.next_at_hand());
                        let heard = std::iter::once(change).chain(more);
                        self.hear(heard.filter_map(|change| moved(&change.what)).collect());
                    }
                    Err(Missed(_)) => {
                        let view = self.catalog.view();
                        changes = self.catalog.changes_after(view.seq());
                        self.look_at_all(&view);
                    }
                },
            }
        }
    }

    /// Of instances that come together many are of one service.
    fn hear(&mut self, services: BTreeSet<ServiceName>) {
        let view = self.catalog.view();
        services.iter().for_each(|service| self.look(&view, service));
    }

    fn look_at_all(&mut self, view: &View) {
        let there = view.services().map(|service| service.name.clone());
        let services: Vec<_> = there.chain(self.whom.services().cloned()).collect();
        services.iter().for_each(|service| self.look(view, service));
    }

    fn look(&mut self, view: &View, service: &ServiceName) {
        let News { asked_for, gone } = self.whom.look(view, service);
        gone.iter().for_each(|place| self.rounds.remove(place));
        let now = self.clock.mono();
        asked_for.iter().for_each(|place| self.rounds.hurry(place, now));
    }

    fn begin(&mut self) {
        let now = self.clock.mono();
        while let Some(asked) = self.rounds.next(now) {
            match question(&self.catalog.view(), &asked.who) {
                Ok((url, check)) => {
                    let (clock, Checks { tls, policy, .. }) = (self.clock, self.checks.clone());
                    let running = self.running.spawn(async move {
                        let (url, began) = ((&url, Announce::Nobody), clock.mono());
                        let said = probe::check(clock, url, &check, TIMEOUT, &tls, &policy).await;
                        (said, clock.mono().since(began))
                    });
                    self.asked.insert(running.id(), asked);
                }
                Err(why) => {
                    let found = Finding::new(Health::Unknown, why);
                    self.tell(&asked, Answer::NotAsked, found);
                }
            }
        }
    }

    fn finish(&mut self, ended: Result<(Id, Said), JoinError>) {
        let (id, said) = match ended {
            Ok((id, said)) => (id, Some(said)),
            Err(error) => {
                tracing::error!(%error, "a check failed");
                (error.id(), None)
            }
        };
        let Some(asked) = self.asked.remove(&id) else { return };
        let (answer, found) = match said {
            Some((Ok(passed), took)) => {
                let reason = match passed.status {
                    Some(status) => format!("status {status}"),
                    None => "connected".to_owned(),
                };
                (Answer::Passed, Finding { took, ..Finding::new(Health::Well, &reason) })
            }
            Some((Err(Failed::Denied(denied)), _)) => {
                let reason = format!("not checked: {denied}");
                (Answer::NotAsked, Finding::new(Health::Unknown, &reason))
            }
            Some((Err(failed), took)) => {
                let reason = failed.to_string();
                let is_slow = took >= TIMEOUT / 2;
                let answer = if is_slow { Answer::FailedSlowly } else { Answer::Failed };
                (answer, Finding { took, ..Finding::new(Health::Ill, &reason) })
            }
            None => {
                (Answer::NotAsked, Finding::new(Health::Unknown, "not checked: internal error"))
            }
        };
        self.tell(&asked, answer, found);
    }

    fn tell(&mut self, asked: &Asked<Place>, answer: Answer, found: Finding) {
        let draw = fastrand::u64(..);
        let state = self.rounds.finish(asked, answer, self.clock.mono(), draw);
        let health = match state {
            Some(HealthState::Up) => Health::Well,
            Some(HealthState::Down) => Health::Ill,
            Some(HealthState::New) => Health::Unknown,
            None => return,
        };
        let (place, found) = (&asked.who, Finding { health, ..found });
        for service in self.whom.at(place) {
            self.feed.place(service.clone(), place.clone(), found.clone());
        }
    }
}

/// The service whose places may be others now.
fn moved(what: &What) -> Option<ServiceName> {
    match what {
        What::Registered(service, _)
        | What::Updated(service, _)
        | What::Endpoints(service, _)
        | What::Deregistered(service, _)
        | What::State { service, .. } => Some(service.clone()),
        // The former comes from here.
        What::Health { .. } | What::Topology(_) => None,
    }
}

#[cfg(test)]
mod tests;
