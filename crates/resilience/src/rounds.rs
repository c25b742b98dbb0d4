//! Whom to ask next, of many, so that all are asked regularly and nobody is stormed (SPEC 4).
//!
//! Newcomers are asked at once, everybody else when [`Health::next`] says so. However many there
//! are, and however they came, checks begin at a steady pace and only so many run at a time: who is
//! due waits for its turn.
//!
//! # Driving it
//!
//! Ask whom [`Rounds::next`] gives until it gives nobody, tell [`Rounds::finish`] what came of it,
//! sleep until [`Rounds::next_deadline`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::Instant;

use crate::health::{Health, HealthState, jittered};

/// How often, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// Between two checks of one that is well.
    pub interval: Duration,
    /// Checks at a time.
    pub running_max: usize,
    /// From the beginning of one check to that of the next, on average.
    pub gap: Duration,
    /// Checks that may begin together after a rest.
    pub burst: u32,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// It could not be asked, which says nothing.
    NotAsked,
}

/// Everybody who is to be asked.
#[derive(Clone, Debug)]
pub struct Rounds<K> {
    rhythm: Rhythm,
    subjects: BTreeMap<K, Subject>,
    due: BTreeSet<(Instant, K)>,
    running: usize,
    /// Until when the checks that began have taken all turns.
    paid: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Subject {
    health: Health,
    turn: Turn,
}

#[derive(Clone, Copy, Debug)]
enum Turn {
    At(Instant),
    Now,
}

impl<K: Ord + Clone> Rounds<K> {
    /// Nobody yet.
    pub fn new(rhythm: Rhythm) -> Self {
        let (subjects, due) = (BTreeMap::new(), BTreeSet::new());
        Self { rhythm, subjects, due, running: 0, paid: Instant::from_nanos(0) }
    }

    /// Somebody new, or somebody of whom others want to know at once.
    pub fn hurry(&mut self, who: &K, now: Instant) {
        let turn = Turn::At(now);
        match self.subjects.get_mut(who) {
            None => {
                self.subjects.insert(who.clone(), Subject { health: Health::default(), turn });
            }
            Some(Subject { turn: Turn::Now, .. }) => return,
            Some(Subject { turn: Turn::At(at), .. }) if *at <= now => return,
            Some(subject) => {
                if let Turn::At(before) = std::mem::replace(&mut subject.turn, turn) {
                    self.due.remove(&(before, who.clone()));
                }
            }
        }
        self.due.insert((now, who.clone()));
    }

    /// Somebody left.
    pub fn remove(&mut self, who: &K) {
        if let Some(Subject { turn: Turn::At(at), .. }) = self.subjects.remove(who) {
            self.due.remove(&(at, who.clone()));
        }
    }

    /// Who is to be asked now.
    pub fn next(&mut self, now: Instant) -> Option<K> {
        if self.running >= self.rhythm.running_max || self.free() > now {
            return None;
        }
        let (at, who) = self.due.first().filter(|(at, _)| *at <= now)?.clone();
        self.due.remove(&(at, who.clone()));
        if let Some(subject) = self.subjects.get_mut(&who) {
            subject.turn = Turn::Now;
        }
        self.running += 1;
        let paid = self.paid.max(now);
        self.paid = paid.after(self.rhythm.gap);
        Some(who)
    }

    /// What came of asking somebody. Gives how it is, or `None` if the answer speaks against that,
    /// or it left meanwhile.
    pub fn finish(
        &mut self,
        who: &K,
        answer: Answer,
        now: Instant,
        draw: u64,
    ) -> Option<HealthState> {
        self.running = self.running.saturating_sub(1);
        let subject = self.subjects.get_mut(who)?;
        let _ = match answer {
            Answer::Passed => subject.health.passed(),
            Answer::Failed => subject.health.failed(),
            Answer::NotAsked => {
                subject.health = Health::default();
                None
            }
        };
        let (interval, health) = (self.rhythm.interval, subject.health);
        let wait = match answer {
            Answer::Passed | Answer::Failed => health.next(interval, draw),
            Answer::NotAsked => jittered(interval, draw),
        };
        let at = now.after(wait);
        if let Turn::At(before) = std::mem::replace(&mut subject.turn, Turn::At(at)) {
            self.due.remove(&(before, who.clone()));
        }
        self.due.insert((at, who.clone()));
        match (answer, health.state()) {
            // One answer is not enough to say otherwise.
            (Answer::Passed, HealthState::Down) | (Answer::Failed, HealthState::Up) => None,
            (Answer::Passed | Answer::Failed | Answer::NotAsked, state) => Some(state),
        }
    }

    /// When somebody is to be asked, as far as that is known: whoever is asked now may be sooner.
    pub fn next_deadline(&self) -> Option<Instant> {
        let (at, _) = self.due.first()?;
        let is_full = self.running >= self.rhythm.running_max;
        (!is_full).then(|| self.free().max(*at))
    }

    /// When the next check may begin.
    fn free(&self) -> Instant {
        let saved = self.rhythm.gap.saturating_mul(self.rhythm.burst.saturating_sub(1));
        let saved = u64::try_from(saved.as_nanos()).unwrap_or(u64::MAX);
        Instant::from_nanos(self.paid.as_nanos().saturating_sub(saved))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RHYTHM: Rhythm = Rhythm {
        interval: Duration::from_secs(30),
        running_max: 3,
        gap: Duration::from_millis(10),
        burst: 2,
    };

    fn at(millis: u64) -> Instant {
        Instant::from_nanos((1_000_000 + millis) * 1_000_000)
    }

    #[test]
    fn newcomers_are_asked_at_once_and_later_in_turn() {
        let mut rounds = Rounds::new(RHYTHM);
        rounds.hurry(&'a', at(0));
        rounds.hurry(&'a', at(0));
        assert_eq!((rounds.next(at(0)), rounds.next(at(0))), (Some('a'), None));
        assert_eq!(rounds.next_deadline(), None, "its answer is waited for");
        rounds.hurry(&'a', at(1));
        assert_eq!(rounds.next(at(1)), None, "it is asked already");
        assert_eq!(rounds.finish(&'a', Answer::Passed, at(5), 0), Some(HealthState::Up));
        assert_eq!(rounds.next_deadline(), Some(at(27_005)), "the least of 30 s and a tenth");
        assert_eq!(rounds.next(at(27_004)), None);
        assert_eq!(rounds.next(at(27_005)), Some('a'));
        assert_eq!(rounds.finish(&'a', Answer::Failed, at(27_005), 0), None, "once is not enough");
        assert_eq!(rounds.next_deadline(), Some(at(28_805)));
        for (second, want) in [(1, None), (2, Some(HealthState::Down))] {
            let now = at(27_005 + second * 2_000);
            assert_eq!(rounds.next(now), Some('a'));
            assert_eq!(rounds.finish(&'a', Answer::Failed, now, 0), want);
        }
        rounds.hurry(&'a', at(31_006));
        assert_eq!(rounds.next(at(31_006)), Some('a'), "somebody wants to know");
        rounds.remove(&'a');
        assert_eq!(rounds.finish(&'a', Answer::Passed, at(31_007), 0), None, "it left");
        assert_eq!((rounds.subjects.len(), rounds.next_deadline(), rounds.running), (0, None, 0));
    }

    #[test]
    fn what_cannot_be_asked_is_not_known() {
        let mut rounds = Rounds::new(RHYTHM);
        rounds.hurry(&'a', at(0));
        for (answer, state) in [
            (Answer::Failed, Some(HealthState::New)),
            (Answer::Passed, Some(HealthState::Up)),
            (Answer::NotAsked, Some(HealthState::New)),
        ] {
            let now = rounds.next_deadline().unwrap();
            assert_eq!(rounds.next(now), Some('a'));
            assert_eq!(rounds.finish(&'a', answer, now, 0), state);
        }
        let wait = rounds.next_deadline().unwrap().since(at(0));
        assert!(wait >= RHYTHM.interval, "no hurry: {wait:?}");
    }

    #[test]
    fn many_at_once_are_no_storm() {
        let mut rounds = Rounds::new(RHYTHM);
        (0..10).for_each(|who| rounds.hurry(&who, at(0)));
        let all: Vec<_> = std::iter::from_fn(|| rounds.next(at(0))).collect();
        assert_eq!(all, [0, 1], "a burst");
        assert_eq!(rounds.next_deadline(), Some(at(10)));
        assert_eq!((rounds.next(at(9)), rounds.next(at(10))), (None, Some(2)));
        assert_eq!(rounds.next_deadline(), None, "three are asked");
        assert_eq!(rounds.next(at(99)), None);
        rounds.finish(&1, Answer::Passed, at(99), 0);
        assert_eq!((rounds.next(at(99)), rounds.next(at(99))), (Some(3), None));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Hurry(u8),
        Remove(u8),
        Finish(usize, u8),
        Wait(u64),
    }

    proptest! {
        /// Whoever is there has a turn, nobody has two, and neither more begin nor more run than
        /// may.
        #[test]
        fn everybody_has_one_turn(steps in proptest::collection::vec(prop_oneof![
            (0_u8..8).prop_map(Step::Hurry),
            (0_u8..8).prop_map(Step::Remove),
            (0_usize..3, 0_u8..3).prop_map(|(nth, answer)| Step::Finish(nth, answer)),
            (0_u64..40_000).prop_map(Step::Wait),
        ], 0..80)) {
            let mut rounds = Rounds::new(RHYTHM);
            let mut there = BTreeSet::new();
            let mut asked: Vec<u8> = Vec::new();
            let mut begun: Vec<u64> = Vec::new();
            let mut now = 0;
            for step in steps {
                match step {
                    Step::Hurry(who) => {
                        there.insert(who);
                        rounds.hurry(&who, at(now));
                    }
                    Step::Remove(who) => {
                        there.remove(&who);
                        rounds.remove(&who);
                    }
                    Step::Finish(nth, answer) if nth < asked.len() => {
                        let who = asked.remove(nth);
                        let answers = [Answer::Passed, Answer::Failed, Answer::NotAsked];
                        rounds.finish(&who, answers[usize::from(answer)], at(now), 7);
                    }
                    Step::Finish(..) => {}
                    Step::Wait(millis) => now += millis,
                }
                while let Some(who) = rounds.next(at(now)) {
                    prop_assert!(there.contains(&who));
                    asked.push(who);
                    begun.push(now);
                }
                prop_assert!(asked.len() <= RHYTHM.running_max && asked.len() == rounds.running);
                for (first, third) in begun.iter().zip(begun.iter().skip(2)) {
                    prop_assert!(third - first >= 10, "more than a burst of two");
                }
                prop_assert_eq!(rounds.subjects.len(), there.len());
                let turns: BTreeSet<_> = rounds.due.iter().map(|(_, who)| *who).collect();
                prop_assert_eq!(turns.len(), rounds.due.len());
                for who in &there {
                    prop_assert!(turns.contains(who) || asked.contains(who));
                }
                if asked.len() < RHYTHM.running_max && !turns.is_empty() {
                    prop_assert!(rounds.next_deadline().is_some_and(|due| due > at(now)));
                }
            }
        }
    }
}
