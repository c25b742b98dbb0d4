//! Virtual days of names, failures and restarts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use model::UnixMillis;
use proptest::prelude::*;

use crate::issuer::{Blame, IN_FLIGHT_MAX, Issuer, Method, Outcome, Start, Validity};
use crate::ledger::{Ca, Entry, Fate};
use crate::name::Name;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Well after 1970, so that nothing is past by accident.
const NOON: u64 = 20_000 * DAY;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// An issuer with its clock and its disk.
struct World {
    issuer: Issuer,
    now: UnixMillis,
    cas: usize,
    disk: Disk,
    /// Every order that was ever placed.
    orders: Vec<(Ca, Name, UnixMillis)>,
}

#[derive(Default)]
struct Disk {
    entries: BTreeMap<u64, Entry>,
    placed: BTreeMap<Name, (Ca, u64, UnixMillis)>,
    held: BTreeMap<Name, Validity>,
}

impl World {
    fn new(cas: usize) -> Self {
        let issuer = Issuer::new(cas, vec![Method::Http01, Method::TlsAlpn01]);
        let now = UnixMillis(NOON);
        Self { issuer, now, cas, disk: Disk::default(), orders: Vec::new() }
    }

    fn want(&mut self, names: &[&str]) {
        for text in names {
            self.issuer.want(&name(text), self.now);
        }
    }

    /// One job to its end, if there is one.
    fn one(&mut self, outcome: impl Fn(&Name, Ca) -> Outcome) -> Option<String> {
        let job = self.issuer.next(self.now, 0)?;
        let outcome = outcome(&job.name, job.ca);
        let mut told = format!("{} at {}", job.name, job.ca.0);
        if let Start::Order(entry) = job.start {
            if outcome != Outcome::NotPlaced {
                self.disk.entries.insert(entry.number, entry.clone());
                self.orders.push((job.ca, job.name.clone(), self.now));
                self.issuer.placed(&job.name);
                self.disk.placed.insert(job.name.clone(), (job.ca, entry.number, self.now));
            }
        } else {
            told.push_str(" resumed");
        }
        if job.methods.first() == Some(&Method::TlsAlpn01) {
            told.push_str(" by tls");
        }
        self.finish(&job.name, outcome);
        Some(told)
    }

    fn finish(&mut self, name: &Name, outcome: Outcome) {
        let finished = self.issuer.finish(name, outcome, self.now, 0).unwrap();
        if let Some(entry) = finished.entry {
            self.disk.entries.insert(entry.number, entry);
        }
        if finished.is_over {
            self.disk.placed.remove(name);
        }
        if let Outcome::Issued(validity) = outcome {
            self.disk.held.insert(name.clone(), validity);
        }
    }

    /// Everything up to that many minutes from the beginning, as `minute: name at authority`.
    fn run(&mut self, minutes: u64, outcome: impl Fn(&Name, Ca) -> Outcome) -> String {
        let mut told = String::new();
        let end = UnixMillis(NOON + minutes * MINUTE);
        loop {
            while let Some(job) = self.one(&outcome) {
                let minute = (self.now.0 - NOON) / MINUTE;
                let _ = writeln!(told, "{minute}: {job}");
            }
            match self.issuer.poll_timeout() {
                Some(at) if at <= end => self.now = at.max(self.now),
                _ => break,
            }
        }
        self.now = end;
        told
    }

    /// A process that ended and the next one.
    fn restart(&mut self, names: &[&str]) {
        self.issuer = Issuer::new(self.cas, vec![Method::Http01, Method::TlsAlpn01]);
        self.issuer.restore(self.disk.entries.values().cloned().collect(), self.now);
        for (name, (ca, number, at)) in self.disk.placed.clone() {
            self.issuer.restore_order(name, ca, number, at);
        }
        for (name, validity) in self.disk.held.clone() {
            self.issuer.hold(name, validity);
        }
        self.want(names);
    }
}

fn issued_at(now: UnixMillis, days: u64) -> Outcome {
    Outcome::Issued(Validity { not_before: now, not_after: UnixMillis(now.0 + days * DAY) })
}

fn failed(blame: Blame) -> Outcome {
    Outcome::Failed(blame)
}

#[test]
fn a_name_is_issued_once_and_renewed_at_two_thirds() {
    let mut world = World::new(1);
    world.want(&["a.test", "a.test"]);
    let issued = issued_at(world.now, 90);
    assert_eq!(world.run(0, |_, _| issued), "0: a.test at 0\n");
    let issued = issued_at(UnixMillis(NOON + 60 * DAY), 90);
    let told = world.run(100 * 24 * 60, |_, _| issued);
    assert_eq!(told, format!("{}: a.test at 0\n", 60 * 24 * 60));
}

#[test]
fn whoever_leaves_needs_nothing_and_keeps_what_there_is() {
    let mut world = World::new(1);
    world.want(&["a.test", "b.test"]);
    world.issuer.unwant(&name("a.test"));
    let issued = issued_at(world.now, 90);
    assert_eq!(world.run(0, |_, _| issued), "0: b.test at 0\n");
    world.issuer.unwant(&name("b.test"));
    assert_eq!(world.issuer.poll_timeout(), None);
    world.want(&["b.test"]);
    assert_eq!(world.run(59 * 24 * 60, |_, _| issued), "", "it is still there");
}

#[test]
fn back_off_by_name_and_the_limit_of_an_hour() {
    let mut world = World::new(1);
    world.want(&["a.test"]);
    let told = world.run(24 * 60, |_, _| failed(Blame::Name));
    let expected = "0: a.test at 0\n1: a.test at 0 by tls\n4: a.test at 0\n13: a.test at 0 by tls\n\
                    60: a.test at 0\n141: a.test at 0 by tls\n384: a.test at 0\n\
                    744: a.test at 0 by tls\n1104: a.test at 0\n";
    assert_eq!(told, expected);
}

#[test]
fn the_next_authority_is_asked_when_one_fails() {
    let mut world = World::new(2);
    world.want(&["a.test"]);
    let (good, bad) = (issued_at(world.now, 90), failed(Blame::Name));
    let told = world.run(0, |_, ca| if ca == Ca(0) { bad } else { good });
    assert_eq!(told, "0: a.test at 0\n0: a.test at 1\n");
}

#[test]
fn an_authority_that_is_away_is_left_alone_for_all_names() {
    let mut world = World::new(2);
    world.want(&["a.test", "b.test", "c.test"]);
    let good = issued_at(world.now, 90);
    let told = world.run(0, |_, ca| if ca == Ca(0) { Outcome::NotPlaced } else { good });
    let expected = "0: a.test at 0\n0: a.test at 1\n0: b.test at 1\n0: c.test at 1\n";
    assert_eq!(told, expected);
    let mut alone = World::new(1);
    alone.want(&["a.test", "b.test"]);
    let told = alone.run(10, |_, _| Outcome::NotPlaced);
    assert_eq!(told, "0: a.test at 0\n1: a.test at 0\n3: a.test at 0\n7: a.test at 0\n");
    assert!(alone.orders.is_empty());
}

/// As many as may be in flight fail one after the other, and each of them began before anybody knew.
#[test]
fn an_authority_fails_once_for_all_that_were_in_flight() {
    let mut world = World::new(1);
    let names: Vec<String> = (0..6).map(|number| format!("n{number}.test")).collect();
    world.want(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for (window, minutes) in [1, 2, 4].into_iter().enumerate() {
        let jobs: Vec<_> = std::iter::from_fn(|| world.issuer.next(world.now, 0)).collect();
        assert_eq!(jobs.len(), IN_FLIGHT_MAX);
        let mut told = Vec::new();
        for job in jobs {
            let finished = world.issuer.finish(&job.name, Outcome::NotPlaced, world.now, 0);
            told.push(finished.unwrap().waiting.map(|waiting| (waiting.count, waiting.until)));
        }
        let next = UnixMillis(world.now.0 + minutes * MINUTE);
        assert_eq!(told, [Some((2, next)), None, None, None], "those behind are told once");
        assert_eq!(world.issuer.next(world.now, 0), None);
        assert_eq!(world.issuer.poll_timeout(), Some(next), "after {window} others");
        world.now = next;
    }
}

#[test]
fn too_many_is_an_hour_for_the_name() {
    let mut world = World::new(1);
    world.want(&["a.test"]);
    let told = world.run(61, |_, _| failed(Blame::Limited));
    assert_eq!(told, "0: a.test at 0\n60: a.test at 0 by tls\n");
}

#[test]
fn an_order_is_resumed_and_not_placed_again() {
    let mut world = World::new(1);
    world.want(&["a.test"]);
    assert_eq!(world.run(0, |_, _| Outcome::Unfinished), "0: a.test at 0\n");
    for _ in 0..100 {
        world.restart(&["a.test"]);
        assert_eq!(world.run(0, |_, _| Outcome::Unfinished), "0: a.test at 0 resumed by tls\n");
    }
    assert_eq!(world.orders.len(), 1);
    world.restart(&["a.test"]);
    let issued = issued_at(world.now, 90);
    assert_eq!(world.run(0, |_, _| issued), "0: a.test at 0 resumed by tls\n");
    world.restart(&["a.test"]);
    assert_eq!(world.run(60, |_, _| issued), "");
}

#[test]
fn an_order_that_is_a_day_old_is_given_up() {
    let mut world = World::new(1);
    world.want(&["a.test"]);
    world.run(0, |_, _| Outcome::Unfinished);
    world.now = UnixMillis(NOON + DAY);
    world.restart(&["a.test"]);
    assert!(matches!(world.issuer.next(world.now, 0).unwrap().start, Start::Order(_)));
}

/// The worst that a process can do: to end after the ledger is written, again and again.
#[test]
fn a_hundred_starts_place_what_the_ledger_allows() {
    let mut world = World::new(1);
    for start in 0..100 {
        world.now = UnixMillis(NOON + start * MINUTE / 4);
        world.restart(&["a.test"]);
        if let Some(job) = world.issuer.next(world.now, 0)
            && let Start::Order(entry) = job.start
        {
            world.disk.entries.insert(entry.number, entry);
            world.orders.push((job.ca, job.name, world.now));
        }
    }
    assert_eq!(world.orders.len(), 4);
}

#[test]
fn only_so_many_at_a_time() {
    let mut world = World::new(1);
    let names: Vec<String> = (0..10).map(|number| format!("n{number}.test")).collect();
    world.want(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut jobs = Vec::new();
    while let Some(job) = world.issuer.next(world.now, 0) {
        jobs.push(job);
    }
    assert_eq!(jobs.len(), IN_FLIGHT_MAX);
    assert_eq!(world.issuer.poll_timeout(), None, "there is no room to wait for");
    world.issuer.finish(&jobs[0].name, issued_at(world.now, 90), world.now, 0);
    assert_eq!(world.issuer.poll_timeout(), Some(world.now));
}

#[test]
fn who_mended_something_need_not_wait() {
    let mut world = World::new(1);
    world.want(&["a.test"]);
    let mut tried = 0;
    for _ in 0..10 {
        tried += world.run(0, |_, _| failed(Blame::Name)).lines().count();
        world.issuer.hurry(world.now);
    }
    assert_eq!(tried, 4, "the limit stands");
}

#[test]
fn a_name_that_comes_back_while_it_is_in_flight_is_not_ordered_twice() {
    let mut world = World::new(1);
    world.want(&["a.test"]);
    let job = world.issuer.next(world.now, 0).unwrap();
    world.issuer.unwant(&job.name);
    world.want(&["a.test"]);
    assert_eq!(world.issuer.next(world.now, 0), None);
    let finished = world.issuer.finish(&job.name, issued_at(world.now, 90), world.now, 0);
    assert_eq!(finished.unwrap().again_at, Some(UnixMillis(NOON + 60 * DAY)));
    assert_eq!(world.issuer.finish(&job.name, Outcome::NotPlaced, world.now, 0), None);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Want(usize),
    Unwant(usize),
    Wait(u64),
    Work(Outcome),
    Crash { after_placing: bool },
    Hurry,
    Restart,
}

fn any_step() -> impl Strategy<Value = Step> {
    let blame = prop_oneof![Just(Blame::Name), Just(Blame::Limited), Just(Blame::Ca)];
    let short = Validity { not_before: UnixMillis(0), not_after: UnixMillis(1) };
    let outcome = prop_oneof![
        Just(Outcome::NotPlaced),
        Just(Outcome::Unfinished),
        blame.prop_map(Outcome::Failed),
        // At once due for renewal.
        Just(Outcome::Issued(short)),
    ];
    prop_oneof![
        2 => (0..3_usize).prop_map(Step::Want),
        1 => (0..3_usize).prop_map(Step::Unwant),
        4 => (0..200 * MINUTE).prop_map(Step::Wait),
        1 => (0..2 * DAY).prop_map(Step::Wait),
        8 => outcome.prop_map(Step::Work),
        2 => any::<bool>().prop_map(|after_placing| Step::Crash { after_placing }),
        1 => Just(Step::Hurry),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    /// Whatever happens: never more orders than an authority allows, and nobody is forgotten.
    #[test]
    fn no_more_is_ordered_than_is_allowed(steps in prop::collection::vec(any_step(), 0..200)) {
        const POOL: [&str; 3] = ["a.test", "b.test", "c.test"];
        let mut world = World::new(2);
        let mut wanted = [false; 3];
        let names = |wanted: &[bool; 3]| {
            let all = POOL.iter().zip(wanted).filter(|(_, wanted)| **wanted);
            all.map(|(name, _)| *name).collect::<Vec<_>>()
        };
        for step in steps {
            match step {
                Step::Want(number) => {
                    wanted[number] = true;
                    world.want(&[POOL[number]]);
                }
                Step::Unwant(number) => {
                    wanted[number] = false;
                    world.issuer.unwant(&name(POOL[number]));
                }
                Step::Wait(millis) => world.now = world.now.after(Duration::from_millis(millis)),
                Step::Work(outcome) => drop(world.one(|_, _| outcome)),
                Step::Crash { after_placing } => {
                    if let Some(job) = world.issuer.next(world.now, 0)
                        && let Start::Order(entry) = job.start
                    {
                        if after_placing {
                            let placed = (job.ca, entry.number, world.now);
                            world.disk.placed.insert(job.name.clone(), placed);
                        }
                        world.orders.push((job.ca, job.name, world.now));
                        world.disk.entries.insert(entry.number, entry);
                    }
                    world.restart(&names(&wanted));
                }
                Step::Hurry => world.issuer.hurry(world.now),
                Step::Restart => world.restart(&names(&wanted)),
            }
            let waiting = world.issuer.poll_timeout().is_some();
            prop_assert_eq!(waiting, wanted.contains(&true));
        }
        for (ca, text) in [Ca(0), Ca(1)].into_iter().flat_map(|ca| POOL.map(|text| (ca, text))) {
            let entries = || world.disk.entries.values()
                .filter(|entry| entry.ca == ca && entry.name.as_str() == text);
            let times = |spared: Fate| -> Vec<u64> {
                entries().filter(|entry| entry.fate != spared).map(|entry| entry.at.0).collect()
            };
            let (failures, certificates) = (times(Fate::Issued), times(Fate::Failed));
            prop_assert!(failures.windows(5).all(|five| five[4] - five[0] >= HOUR), "{failures:?}");
            let week = 7 * DAY;
            prop_assert!(
                certificates.windows(5).all(|five| five[4] - five[0] >= week), "{certificates:?}"
            );
            let placed = world.orders.iter().filter(|(with, whom, _)| {
                *with == ca && whom.as_str() == text
            });
            prop_assert_eq!(placed.count(), entries().count(), "each is written down");
        }
    }
}
