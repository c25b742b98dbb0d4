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
    /// Checks at a time. Those that are down and silent have half of them at most, and together with
    /// newcomers three quarters: however many wait until their time is up, the others do not wait
    /// for them.
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
    /// It failed, and only when its time was up or nearly so.
    FailedSlowly,
    /// It could not be asked, which says nothing.
    NotAsked,
}

/// A check that runs. Belongs to [`Rounds::finish`], whatever comes of it.
#[derive(Debug)]
#[must_use = "it takes a place among those that run until it is finished"]
pub struct Asked<K> {
    /// Who is asked.
    pub who: K,
    line: Line,
}

/// Everybody who is to be asked.
#[derive(Clone, Debug)]
pub struct Rounds<K> {
    rhythm: Rhythm,
    subjects: BTreeMap<K, Subject>,
    lines: Lines<K>,
    /// Until when the checks that began have taken all turns.
    paid: Instant,
}

/// Those who wait in one line.
#[derive(Clone, Debug)]
struct Waiting<K> {
    due: BTreeSet<(Instant, K)>,
    /// How many of them are asked right now.
    running: usize,
}

/// Who waits with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// It is up, or down and says so at once.
    Known,
    /// Nobody knows how long it will take.
    New,
    /// It is down, and kept silent when it was asked last.
    Silent,
}

impl Line {
    const fn of(state: HealthState, answer: Answer) -> Self {
        match (state, answer) {
            (HealthState::New, _) => Self::New,
            (HealthState::Down, Answer::FailedSlowly) => Self::Silent,
            (HealthState::Up | HealthState::Down, _) => Self::Known,
        }
    }
}

#[derive(Clone, Debug)]
struct Lines<K> {
    known: Waiting<K>,
    new: Waiting<K>,
    silent: Waiting<K>,
}

impl<K: Ord> Lines<K> {
    const fn of(&mut self, line: Line) -> &mut Waiting<K> {
        match line {
            Line::Known => &mut self.known,
            Line::New => &mut self.new,
            Line::Silent => &mut self.silent,
        }
    }

    /// Whose turn is next, of those that there is room for.
    fn first(&self, running_max: usize) -> Option<(Line, Instant)> {
        let Self { known, new, silent } = self;
        let unsure = new.running + silent.running;
        if known.running + unsure >= running_max {
            return None;
        }
        let has_room = unsure < running_max - running_max / 4;
        let first = |line, of: &Waiting<K>| of.due.first().map(|(at, _)| (line, *at));
        let known = first(Line::Known, known);
        let new = first(Line::New, new).filter(|_| has_room);
        let half = running_max.div_ceil(2);
        let silent = first(Line::Silent, silent).filter(|_| has_room && self.silent.running < half);
        known.into_iter().chain(new).chain(silent).min_by_key(|(_, at)| *at)
    }
}

#[derive(Clone, Copy, Debug)]
struct Subject {
    health: Health,
    line: Line,
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
        let nobody = || Waiting { due: BTreeSet::new(), running: 0 };
        let lines = Lines { known: nobody(), new: nobody(), silent: nobody() };
        Self { rhythm, subjects: BTreeMap::new(), lines, paid: Instant::from_nanos(0) }
    }

    /// Somebody new, or somebody of whom others want to know at once.
    pub fn hurry(&mut self, who: &K, now: Instant) {
        let new = || Subject { health: Health::default(), line: Line::New, turn: Turn::At(now) };
        let subject = match self.subjects.get_mut(who) {
            None => self.subjects.entry(who.clone()).or_insert_with(new),
            Some(Subject { turn: Turn::Now, .. }) => return,
            Some(Subject { turn: Turn::At(at), .. }) if *at <= now => return,
            Some(subject) => subject,
        };
        let due = &mut self.lines.of(subject.line).due;
        if let Turn::At(before) = std::mem::replace(&mut subject.turn, Turn::At(now)) {
            due.remove(&(before, who.clone()));
        }
        due.insert((now, who.clone()));
    }

    /// Somebody left.
    pub fn remove(&mut self, who: &K) {
        if let Some(Subject { turn: Turn::At(at), line, .. }) = self.subjects.remove(who) {
            self.lines.of(line).due.remove(&(at, who.clone()));
        }
    }

    /// Who is to be asked now.
    pub fn next(&mut self, now: Instant) -> Option<Asked<K>> {
        let first = self.lines.first(self.rhythm.running_max);
        let (line, _) = first.filter(|(_, at)| self.free().max(*at) <= now)?;
        let waiting = self.lines.of(line);
        let (_, who) = waiting.due.pop_first()?;
        waiting.running += 1;
        if let Some(subject) = self.subjects.get_mut(&who) {
            subject.turn = Turn::Now;
        }
        let paid = self.paid.max(now);
        self.paid = paid.after(self.rhythm.gap);
        Some(Asked { who, line })
    }

    /// What came of asking somebody. Gives how it is, or `None` if the answer speaks against that,
    /// or it left meanwhile.
    pub fn finish(
        &mut self,
        asked: &Asked<K>,
        answer: Answer,
        now: Instant,
        draw: u64,
    ) -> Option<HealthState> {
        let Asked { who, line } = asked;
        let waiting = self.lines.of(*line);
        waiting.running = waiting.running.saturating_sub(1);
        let subject = self.subjects.get_mut(who)?;
        let _ = match answer {
            Answer::Passed => subject.health.passed(),
            Answer::Failed | Answer::FailedSlowly => subject.health.failed(),
            Answer::NotAsked => {
                subject.health = Health::default();
                None
            }
        };
        let (interval, health) = (self.rhythm.interval, subject.health);
        let wait = match answer {
            Answer::Passed | Answer::Failed | Answer::FailedSlowly => health.next(interval, draw),
            Answer::NotAsked => jittered(interval, draw),
        };
        let at = now.after(wait);
        // It may have left and come back while it was asked.
        if let Turn::At(before) = std::mem::replace(&mut subject.turn, Turn::At(at)) {
            self.lines.of(subject.line).due.remove(&(before, who.clone()));
        }
        subject.line = Line::of(health.state(), answer);
        self.lines.of(subject.line).due.insert((at, who.clone()));
        match (answer, health.state()) {
            // One answer is not enough to say otherwise.
            (Answer::Passed, HealthState::Down)
            | (Answer::Failed | Answer::FailedSlowly, HealthState::Up) => None,
            (_, state) => Some(state),
        }
    }

    /// When somebody is to be asked, as far as that is known: whoever is asked now may be sooner.
    pub fn next_deadline(&self) -> Option<Instant> {
        let first = self.lines.first(self.rhythm.running_max);
        first.map(|(_, at)| self.free().max(at))
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
        running_max: 4,
        gap: Duration::from_millis(10),
        burst: 2,
    };

    fn at(millis: u64) -> Instant {
        Instant::from_nanos((1_000_000 + millis) * 1_000_000)
    }

    fn running<K>(rounds: &Rounds<K>) -> [usize; 3] {
        let Lines { known, new, silent } = &rounds.lines;
        [known.running, new.running, silent.running]
    }

    fn who<K>(asked: Option<&Asked<K>>) -> Option<&K> {
        asked.map(|asked| &asked.who)
    }

    #[test]
    fn newcomers_are_asked_at_once_and_later_in_turn() {
        let mut rounds = Rounds::new(RHYTHM);
        rounds.hurry(&'a', at(0));
        rounds.hurry(&'a', at(0));
        let asked = rounds.next(at(0)).unwrap();
        assert_eq!((asked.who, who(rounds.next(at(0)).as_ref())), ('a', None));
        assert_eq!(rounds.next_deadline(), None, "its answer is waited for");
        rounds.hurry(&'a', at(1));
        assert!(rounds.next(at(1)).is_none(), "it is asked already");
        assert_eq!(rounds.finish(&asked, Answer::Passed, at(5), 0), Some(HealthState::Up));
        assert_eq!(rounds.next_deadline(), Some(at(27_005)), "the least of 30 s and a tenth");
        assert!(rounds.next(at(27_004)).is_none());
        let asked = rounds.next(at(27_005)).unwrap();
        let state = rounds.finish(&asked, Answer::Failed, at(27_005), 0);
        assert_eq!(state, None, "once is not enough");
        assert_eq!(rounds.next_deadline(), Some(at(28_805)));
        for (second, want) in [(1, None), (2, Some(HealthState::Down))] {
            let now = at(27_005 + second * 2_000);
            let asked = rounds.next(now).unwrap();
            assert_eq!(rounds.finish(&asked, Answer::Failed, now, 0), want);
        }
        rounds.hurry(&'a', at(31_006));
        let asked = rounds.next(at(31_006)).expect("somebody wants to know");
        rounds.remove(&'a');
        assert_eq!(rounds.finish(&asked, Answer::Passed, at(31_007), 0), None, "it left");
        assert_eq!((rounds.subjects.len(), rounds.next_deadline()), (0, None));
        assert_eq!(running(&rounds), [0; 3]);
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
            let asked = rounds.next(now).unwrap();
            assert_eq!(rounds.finish(&asked, answer, now, 0), state);
        }
        let wait = rounds.next_deadline().unwrap().since(at(0));
        assert!(wait >= RHYTHM.interval, "no hurry: {wait:?}");
    }

    #[test]
    fn many_at_once_are_no_storm() {
        let mut rounds = Rounds::new(RHYTHM);
        (0..10).for_each(|who| rounds.hurry(&who, at(0)));
        let all: Vec<_> = std::iter::from_fn(|| rounds.next(at(0))).collect();
        assert_eq!(all.iter().map(|asked| asked.who).collect::<Vec<_>>(), [0, 1], "a burst");
        assert_eq!(rounds.next_deadline(), Some(at(10)));
        assert!(rounds.next(at(9)).is_none());
        assert_eq!(who(rounds.next(at(10)).as_ref()), Some(&2));
        assert_eq!(rounds.next_deadline(), None, "three are asked");
        assert!(rounds.next(at(99)).is_none());
        rounds.finish(&all[1], Answer::Passed, at(99), 0);
        assert_eq!(who(rounds.next(at(99)).as_ref()), Some(&3));
        assert!(rounds.next(at(99)).is_none());
    }

    /// They keep a check each until its time is up, and there are always more of them.
    #[test]
    fn nobody_waits_for_those_who_are_silent() {
        let rhythm = Rhythm { running_max: 8, burst: 1000, ..RHYTHM };
        let mut rounds = Rounds::new(rhythm);
        let all_that_may = |rounds: &mut Rounds<String>, now| -> Vec<_> {
            std::iter::from_fn(|| rounds.next(at(now))).collect()
        };
        rounds.hurry(&"known".to_owned(), at(0));
        let asked = rounds.next(at(0)).unwrap();
        rounds.finish(&asked, Answer::Passed, at(0), 0);
        (0..20).for_each(|n| rounds.hurry(&format!("silent {n:02}"), at(0)));
        assert_eq!(all_that_may(&mut rounds.clone(), 0).len(), 6, "newcomers leave a quarter");
        for now in (1..=3).map(|time| time * 10_000) {
            for _ in 0..20 {
                let asked = rounds.next(at(now)).unwrap();
                rounds.finish(&asked, Answer::FailedSlowly, at(now), 0);
            }
        }
        let silent = all_that_may(&mut rounds, 100_000);
        assert_eq!(running(&rounds), [1, 0, 4], "{silent:?}");
        rounds.hurry(&"new".to_owned(), at(100_000));
        let asked = rounds.next(at(100_000)).unwrap();
        assert_eq!((&*asked.who, rounds.next(at(100_000)).is_none()), ("new", true));
        // Until it is known to be down it does not wait with the others, and never if it says so.
        for (answer, want) in [
            (Answer::Passed, Line::Known),
            (Answer::FailedSlowly, Line::Known),
            (Answer::FailedSlowly, Line::Known),
            (Answer::FailedSlowly, Line::Silent),
            (Answer::Failed, Line::Known),
            (Answer::NotAsked, Line::New),
        ] {
            rounds.finish(&asked, answer, at(100_000), 0);
            assert_eq!(rounds.subjects["new"].line, want, "{answer:?}");
        }
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
            (0_usize..4, 0_u8..4).prop_map(|(nth, answer)| Step::Finish(nth, answer)),
            (0_u64..40_000).prop_map(Step::Wait),
        ], 0..80)) {
            let mut rounds = Rounds::new(RHYTHM);
            let mut there = BTreeSet::new();
            let mut asked: Vec<Asked<u8>> = Vec::new();
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
                        let one = asked.remove(nth);
                        let answers =
                            [Answer::Passed, Answer::Failed, Answer::FailedSlowly, Answer::NotAsked];
                        rounds.finish(&one, answers[usize::from(answer)], at(now), 7);
                    }
                    Step::Finish(..) => {}
                    Step::Wait(millis) => now += millis,
                }
                while let Some(one) = rounds.next(at(now)) {
                    prop_assert!(there.contains(&one.who));
                    asked.push(one);
                    begun.push(now);
                }
                let of = |line| asked.iter().filter(|one| one.line == line).count();
                let by_line = [of(Line::Known), of(Line::New), of(Line::Silent)];
                prop_assert_eq!(running(&rounds), by_line);
                let [known, new, silent] = by_line;
                prop_assert!(known + new + silent <= 4 && new + silent <= 3 && silent <= 2);
                for (first, third) in begun.iter().zip(begun.iter().skip(2)) {
                    prop_assert!(third - first >= 10, "more than a burst of two");
                }
                prop_assert_eq!(rounds.subjects.len(), there.len());
                let Lines { known, new, silent } = &rounds.lines;
                let due = known.due.iter().chain(&new.due).chain(&silent.due);
                let turns: Vec<_> = due.map(|(_, who)| *who).collect();
                prop_assert_eq!(turns.iter().collect::<BTreeSet<_>>().len(), turns.len());
                for who in &there {
                    prop_assert!(turns.contains(who) || asked.iter().any(|one| one.who == *who));
                }
                if asked.len() < 2 && !turns.is_empty() {
                    prop_assert!(rounds.next_deadline().is_some_and(|due| due > at(now)));
                }
            }
        }
    }
}
