//! The rules of SPEC 4, as scripts and against a naive model.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;

const START: Instant = Instant::from_nanos(1_234_567_000_000);

const RULE: BreakerSpec =
    BreakerSpec { threshold: 3, timeout: Duration::from_secs(5), half_open_requests: 2 };

struct World {
    rule: BreakerSpec,
    now: Instant,
    breaker: Breaker,
    under_way: Vec<Permit>,
}

impl World {
    fn new(rule: BreakerSpec) -> Self {
        Self { rule, now: START, breaker: Breaker::default(), under_way: Vec::new() }
    }

    /// `?` a request asks; the oldest one under way ends: `+` well, `-` badly, `~` as its client
    /// gave up; `R` reset; a digit: that many seconds pass. Lower case letters change the rule.
    fn step(&mut self, step: char) -> Option<char> {
        match step {
            '?' => return Some(self.ask()),
            '+' => self.settle(Outcome::Passed),
            '-' => self.settle(Outcome::Failed),
            '~' => self.settle(Outcome::Abandoned),
            'R' => self.breaker = self.breaker.reset(),
            'n' => self.rule.threshold = 0,
            'o' => self.rule.half_open_requests = 1,
            'z' => self.rule.half_open_requests = 0,
            digit => {
                let seconds = digit.to_digit(10).unwrap();
                self.now = self.now.after(Duration::from_secs(seconds.into()));
            }
        }
        None
    }

    /// What those that ask are told.
    fn play(&mut self, script: &str) -> String {
        script.chars().filter_map(|step| self.step(step)).collect()
    }

    /// `c` let through while closed, `p` as a probe, `.` not let through.
    fn ask(&mut self) -> char {
        let Some((breaker, permit)) = self.breaker.admit(&self.rule, self.now) else {
            return '.';
        };
        self.breaker = breaker;
        self.under_way.push(permit);
        if breaker.phase(self.now) == Phase::Closed { 'c' } else { 'p' }
    }

    fn settle(&mut self, outcome: Outcome) {
        if !self.under_way.is_empty() {
            let permit = self.under_way.remove(0);
            self.breaker = self.breaker.settle(&self.rule, permit, outcome, self.now);
        }
    }
}

#[test]
fn transitions() {
    #[rustfmt::skip]
    let table = [
        // script              asked        why
        ("?",                  "c",         "closed to begin with"),
        ("?-?-?",              "ccc",       "two failures are not three"),
        ("?-?-?-?",            "ccc.",      "three are"),
        ("???---?",            "ccc.",      "at once as well"),
        ("?-?-?+?-?-?",        "cccccc",    "a success starts the count anew"),
        ("?-?-?~?-?",          "cccc.",     "who gives up says nothing"),
        ("?-?-?-4?",           "ccc.",      "open for all of the timeout"),
        ("?-?-?-5?",           "cccp",      "then half-open"),
        ("????---5?-?",        "ccccpp",    "a result from before says nothing"),
        ("????---5???",        "ccccpp.",   "two probes and no third"),
        ("???---5??+?",        "cccpp.",    "one that passed is not enough"),
        ("???---5??++?",       "cccppc",    "both are"),
        ("???---5?+?+??",      "cccppcc",   "one after the other as well"),
        ("???---5??-?",        "cccpp.",    "one that failed opens it"),
        ("???---5??+-?",       "cccpp.",    "and be it the last"),
        ("???---5??+-5?",      "cccppp",    "for the timeout"),
        ("???---5??-5??+?",    "cccpppp.",  "a probe of an older round says nothing"),
        ("???---5??-5??-?",    "cccpppp.",  "neither when it fails"),
        ("???---5??-5??++?",   "cccpppp.",  "so that one of the new ones is missing"),
        ("???---5??-5??+++?",  "cccppppc",  "until it comes"),
        ("???---5??~??",       "cccppp.",   "a probe given back is taken again"),
        ("???---5??+~?+?",     "cccpppc",   "and what passed stays"),
        ("???---5??~~??",      "cccpppp",   "all given back"),
        ("???---5??++??--?",   "cccppccc",  "closed anew: from no failures"),
        ("???---R?",           "cccc",      "a reset closes it"),
        ("????--R--?",         "ccccc",     "late results say nothing"),
        ("???---o5??+?",       "cccp.c",    "one probe, if the rule says so"),
        ("???---z5??+?",       "cccp.c",    "never none"),
        ("???---5??+o?",       "cccppc",    "enough have passed for a new rule"),
        ("???---n?",           "cccc",      "no breaker lets through"),
        ("n?-?-?-?-?",         "ccccc",     "and does not count"),
    ];
    for (script, expected, why) in table {
        let mut world = World::new(RULE);
        assert_eq!(world.play(script), expected, "{script}: {why}");
    }
}

#[test]
fn failures_in_a_row() {
    #[rustfmt::skip]
    let table = [
        ("",            0),
        ("?-?-",        2),
        ("?-?-?+",      0),
        ("???---",      3),
        ("???---5??+",  3),
        ("???---5?-",   4),
        ("???---5??++", 0),
        ("???---R",     0),
    ];
    for (script, expected) in table {
        let mut world = World::new(RULE);
        world.play(script);
        assert_eq!(world.breaker.failures(), expected, "{script}");
    }
}

#[test]
fn of_large_counts_an_upper_bound_is_kept() {
    let mut world = World::new(BreakerSpec { threshold: 5000, ..RULE });
    world.play(&"?-".repeat(4999));
    assert_eq!((world.breaker.failures(), world.ask()), (4999, 'c'));
    world.step('-');
    assert_eq!((world.breaker.failures(), world.ask()), (FAILURES_MAX, '.'));
}

#[test]
fn closed_and_well_nothing_changes() {
    let breaker = Breaker::default().reset();
    let (admitted, permit) = breaker.admit(&RULE, START).unwrap();
    assert_eq!(admitted, breaker);
    assert_eq!(breaker.settle(&RULE, permit, Outcome::Passed, START), breaker);
    assert_eq!(Breaker::default().to_bits(), 0);
}

#[test]
fn open_to_a_millisecond_and_never_too_short() {
    let opened = Breaker::default().opened(&RULE, 3, START.after(Duration::from_nanos(1)));
    let until = START.after(RULE.timeout).after(Duration::from_nanos(1));
    let Phase::Open { until: said } = opened.phase(until) else { panic!("{opened:?}") };
    assert!(said.since(until) < Duration::from_millis(1));
    assert!(!opened.may_try(&RULE, until) && opened.may_try(&RULE, said));
    assert_eq!(opened.phase(said), Phase::HalfOpen);
}

#[test]
fn threads_get_exactly_so_many_probes() {
    const PROBES: u32 = 100;
    let rule = BreakerSpec { half_open_requests: PROBES, ..RULE };
    let word = AtomicU64::new(Breaker::default().opened(&rule, 3, START).to_bits());
    let now = START.after(Duration::from_secs(6));
    let ask = || {
        word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |bits| {
            let (breaker, _) = Breaker::from_bits(bits).admit(&rule, now)?;
            Some(breaker.to_bits())
        })
        .is_ok()
    };
    let admitted: usize = std::thread::scope(|scope| {
        let threads = [(); 8].map(|()| scope.spawn(|| (0..125).filter(|_| ask()).count()));
        threads.map(|thread| thread.join().unwrap()).iter().sum()
    });
    assert_eq!(admitted, PROBES as usize);
}

/// The same without any packing: epochs never wrap, and probes are a list.
#[derive(Debug)]
struct Naive {
    phase: NaivePhase,
    failures: u64,
    epoch: usize,
}

#[derive(Debug)]
enum NaivePhase {
    Closed,
    Open(Instant),
    /// Of each probe whether it passed, or nobody knows yet.
    HalfOpen(Vec<(usize, bool)>),
}

impl Naive {
    fn enter(&mut self, phase: NaivePhase) {
        (self.phase, self.epoch) = (phase, self.epoch + 1);
    }

    fn admit(&mut self, rule: &BreakerSpec, id: usize, now: Instant) -> Option<usize> {
        match &mut self.phase {
            NaivePhase::Open(until) if now < *until => return None,
            NaivePhase::Open(_) => self.phase = NaivePhase::HalfOpen(vec![(id, false)]),
            NaivePhase::HalfOpen(probes) if probes.len() < rule.half_open_requests as usize => {
                probes.push((id, false));
            }
            NaivePhase::HalfOpen(_) => return None,
            NaivePhase::Closed => {}
        }
        Some(self.epoch)
    }

    fn settle(
        &mut self,
        rule: &BreakerSpec,
        (id, epoch): (usize, usize),
        outcome: Outcome,
        now: Instant,
    ) {
        if epoch != self.epoch {
            return;
        }
        match (&mut self.phase, outcome) {
            (NaivePhase::Closed, Outcome::Passed) => self.failures = 0,
            (_, Outcome::Failed) => {
                self.failures += 1;
                let probing = !matches!(self.phase, NaivePhase::Closed);
                if probing || self.failures >= rule.threshold.into() {
                    self.enter(NaivePhase::Open(now.after(rule.timeout)));
                }
            }
            (NaivePhase::HalfOpen(probes), Outcome::Passed) => {
                probes.iter_mut().filter(|probe| probe.0 == id).for_each(|probe| probe.1 = true);
                let passed = probes.iter().filter(|probe| probe.1).count();
                if passed == rule.half_open_requests as usize {
                    self.failures = 0;
                    self.enter(NaivePhase::Closed);
                }
            }
            (NaivePhase::HalfOpen(probes), Outcome::Abandoned) => {
                probes.retain(|probe| probe.0 != id);
            }
            (NaivePhase::Closed | NaivePhase::Open(_), _) => {}
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask,
    Settle(usize, Outcome),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    const OUTCOMES: [Outcome; 3] = [Outcome::Passed, Outcome::Failed, Outcome::Abandoned];
    prop_oneof![
        4 => Just(Step::Ask),
        4 => (0..8_usize, prop::sample::select(&OUTCOMES[..]))
            .prop_map(|(which, outcome)| Step::Settle(which, outcome)),
        1 => (0..3000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn as_the_naive_one(
        (threshold, millis, half_open_requests) in (1..4_u32, 0..3000_u64, 1..5_u32),
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let timeout = Duration::from_millis(millis);
        let rule = BreakerSpec { threshold, timeout, half_open_requests };
        let mut naive = Naive { phase: NaivePhase::Closed, failures: 0, epoch: 0 };
        let (mut now, mut breaker) = (Instant::default(), Breaker::default());
        let mut under_way = Vec::new();
        for (id, step) in steps.into_iter().enumerate() {
            match step {
                Step::Ask => {
                    prop_assert_eq!(
                        breaker.may_try(&rule, now), breaker.admit(&rule, now).is_some()
                    );
                    let expected = naive.admit(&rule, id, now);
                    let admitted = breaker.admit(&rule, now);
                    prop_assert_eq!(admitted.is_some(), expected.is_some(), "{:?}", naive);
                    if let (Some((next, permit)), Some(epoch)) = (admitted, expected) {
                        breaker = next;
                        under_way.push((permit, (id, epoch)));
                    }
                }
                Step::Settle(which, outcome) if which < under_way.len() => {
                    let (permit, known) = under_way.swap_remove(which);
                    breaker = breaker.settle(&rule, permit, outcome, now);
                    naive.settle(&rule, known, outcome, now);
                }
                Step::Settle(..) => {}
                Step::Wait(millis) => now = now.after(Duration::from_millis(millis)),
            }
            prop_assert_eq!(breaker.failures(), naive.failures);
            prop_assert_eq!(Breaker::from_bits(breaker.to_bits()), breaker);
        }
    }

    #[test]
    fn any_number_is_a_state(bits: u64, nanos: u64, epoch: u64) {
        let (breaker, now) = (Breaker::from_bits(bits), Instant::from_nanos(nanos));
        prop_assert_eq!(Breaker::from_bits(breaker.to_bits()), breaker);
        prop_assert_eq!(breaker.reset().phase(now), Phase::Closed);
        for outcome in [Outcome::Passed, Outcome::Failed, Outcome::Abandoned] {
            for permit in [Permit { epoch }, Permit { epoch: breaker.epoch }] {
                let next = breaker.settle(&RULE, permit, outcome, now);
                prop_assert_eq!(Breaker::from_bits(next.to_bits()), next);
            }
        }
        if let Some((next, _)) = breaker.admit(&RULE, now) {
            prop_assert_eq!(Breaker::from_bits(next.to_bits()), next);
        }
    }
}
