//! An endpoint that cannot be connected to is left alone for a while.
//!
//! ```text
//!             failed                 time over, trying
//!  healthy ------------> ejected ------------------------> trial
//!     ^                    ^  1 s, doubling to 30 s          |
//!     |                    +------------ failed -------------+
//!     +---------------------- succeeded ---------------------+
//! ```
//!
//! # Driving it
//!
//! [`Ejection`] is one `u64`. Keep its bits in an atomic, and replace them by compare-and-swap with
//! those of the next state. Whoever gets [`Verdict::Trial`] and swaps in [`Ejection::trying`] has
//! the one trial; who comes too late sees [`Verdict::Ejected`].

use std::time::Duration;

use model::Instant;

/// The first ejection; each further one in a row is twice as long (SPEC 4).
const FIRST: Duration = Duration::from_secs(1);
/// The longest (SPEC 4).
const LONGEST: Duration = Duration::from_secs(30);
/// How long a trial may take before somebody else gets one: nobody tells how the trial of a
/// client that gave up ended. Twice the time for connecting.
const TRIAL: Duration = Duration::from_secs(10);
/// Ejections in a row that are told apart; later ones are all [`LONGEST`].
const LEVEL_MAX: u64 = 6;

/// Whether an endpoint could be connected to lately. Healthy by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ejection(State);

/// Whether an endpoint may be sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Healthy,
    /// No.
    Ejected,
    /// One request, to see whether it is back.
    Trial,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Healthy,
    /// For the `level`th time in a row.
    Ejected { level: u64, until: Micros },
    /// Somebody tries, after the `level`th ejection in a row.
    Trial { level: u64, until: Micros },
}

/// Microseconds since the origin of [`Instant`], rounded up.
type Micros = u64;

impl Ejection {
    /// What was packed by [`Ejection::to_bits`]. Any other number is a state as well.
    pub const fn from_bits(bits: u64) -> Self {
        let (level, until) = (bits & 0b111, bits >> 4);
        Self(match (level, bits & 0b1000) {
            (0, _) => State::Healthy,
            (_, 0) => State::Ejected { level, until },
            (_, _) => State::Trial { level, until },
        })
    }

    /// Packed: three bits for the level, one for the trial, the rest for the time. Healthy is 0.
    pub const fn to_bits(self) -> u64 {
        match self.0 {
            State::Healthy => 0,
            State::Ejected { level, until } => until << 4 | level,
            State::Trial { level, until } => until << 4 | 0b1000 | level,
        }
    }

    /// Whether the endpoint may be sent a request at `now`.
    pub fn may_try(self, now: Instant) -> Verdict {
        match self.0 {
            State::Healthy => Verdict::Healthy,
            State::Ejected { until, .. } | State::Trial { until, .. } if micros(now) < until => {
                Verdict::Ejected
            }
            State::Ejected { .. } | State::Trial { .. } => Verdict::Trial,
        }
    }

    /// Somebody begins the trial at `now`; nothing changes where none is due.
    #[must_use]
    pub fn trying(self, now: Instant) -> Self {
        match (self.may_try(now), self.0) {
            (Verdict::Trial, State::Ejected { level, .. } | State::Trial { level, .. }) => {
                Self(State::Trial { level, until: micros_up(now.after(TRIAL)) })
            }
            (Verdict::Healthy | Verdict::Ejected | Verdict::Trial, _) => self,
        }
    }

    /// A connect failed at `now`. While ejected this changes nothing: requests that were under
    /// way together fail together, and count once.
    #[must_use]
    pub fn failed(self, now: Instant) -> Self {
        let level = match self.0 {
            State::Healthy => 1,
            State::Ejected { until, .. } if micros(now) < until => return self,
            State::Ejected { level, .. } | State::Trial { level, .. } => (level + 1).min(LEVEL_MAX),
        };
        Self(State::Ejected { level, until: micros_up(now.after(length(level))) })
    }

    /// A connect succeeded.
    #[must_use]
    pub const fn succeeded(self) -> Self {
        Self(State::Healthy)
    }
}

fn length(level: u64) -> Duration {
    let doublings = u32::try_from(level.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST)
}

fn micros(instant: Instant) -> Micros {
    instant.as_nanos() / 1000
}

/// Up, so that no ejection is cut short.
fn micros_up(instant: Instant) -> Micros {
    instant.as_nanos().div_ceil(1000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_234_567_890_000;

    struct World {
        now: Instant,
        ejection: Ejection,
    }

    impl World {
        fn new() -> Self {
            Self { now: Instant::from_nanos(START), ejection: Ejection::default() }
        }

        /// `-` a connect fails, `+` it succeeds, `?` a request asks and takes a trial if there is
        /// one, a digit: that many seconds pass, `x`: ten.
        fn step(&mut self, step: char) -> Option<Verdict> {
            let mut asked = None;
            self.ejection = match step {
                '-' => self.ejection.failed(self.now),
                '+' => self.ejection.succeeded(),
                '?' => {
                    asked = Some(self.ejection.may_try(self.now));
                    self.ejection.trying(self.now)
                }
                digit => {
                    let seconds = digit.to_digit(10).unwrap_or(10);
                    self.now = self.now.after(Duration::from_secs(seconds.into()));
                    self.ejection
                }
            };
            asked
        }
    }

    #[test]
    fn transitions() {
        #[rustfmt::skip]
        let table = [
            // script            asked   why
            ("?",                "h",    "healthy to begin with"),
            ("-?",               "e",    "the first failure ejects"),
            ("-1?",              "t",    "for one second"),
            ("---1?",            "t",    "several at once count once"),
            ("-1??",             "te",   "one trial and no second one"),
            ("-1?+?",            "th",   "a good trial ends it"),
            ("-1?-1?",           "te",   "a bad one ejects for longer"),
            ("-1?-2?",           "tt",   "for two seconds"),
            ("-1?-2?-3?",        "tte",  "not yet four"),
            ("-1?-2?-4?",        "ttt",  "then four"),
            ("-1-1?",            "e",    "a failure when a trial is due is that trial's"),
            ("-1-2?",            "t",    "so it doubles"),
            ("-1?+-1?",          "tt",   "good in between: from the start"),
            ("-1?9?",            "te",   "a trial nobody tells about"),
            ("-1?x?",            "tt",   "is repeated after ten seconds"),
            ("-+?",              "h",    "any success ends it"),
        ];
        for (script, expected, why) in table {
            let mut world = World::new();
            let asked: String = script
                .chars()
                .filter_map(|step| world.step(step))
                .map(|verdict| match verdict {
                    Verdict::Healthy => 'h',
                    Verdict::Ejected => 'e',
                    Verdict::Trial => 't',
                })
                .collect();
            assert_eq!(asked, expected, "{script}: {why}");
        }
    }

    #[test]
    fn ejections_double_to_thirty_seconds() {
        let mut world = World::new();
        let mut seconds = Vec::new();
        for _ in 0..8 {
            world.step('-');
            let began = world.now;
            while world.ejection.may_try(world.now) == Verdict::Ejected {
                world.step('1');
            }
            seconds.push(world.now.since(began).as_secs());
        }
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn the_end_is_exact_to_a_microsecond_and_never_early() {
        let ejected = Ejection::default().failed(Instant::from_nanos(START + 123));
        let end = START + 123 + 1_000_000_000;
        assert_eq!(ejected.may_try(Instant::from_nanos(end)), Verdict::Ejected);
        assert_eq!(ejected.may_try(Instant::from_nanos(end + 1000)), Verdict::Trial);
    }

    #[test]
    fn the_end_of_time_is_no_special_time() {
        let last = Instant::from_nanos(u64::MAX);
        let ejected = Ejection::default().failed(last);
        assert_eq!(Ejection::from_bits(ejected.to_bits()), ejected);
        assert_eq!(ejected.may_try(last), Verdict::Ejected);
    }

    proptest! {
        /// Every state survives packing; nobody waits longer than the longest ejection; of all
        /// who ask at one instant at most one gets a trial.
        #[test]
        fn any_order(script in "[-+?1-9x]{0,60}") {
            let mut world = World::new();
            for step in script.chars() {
                world.step(step);
                prop_assert_eq!(Ejection::from_bits(world.ejection.to_bits()), world.ejection);
                let patience = world.now.after(LONGEST).after(Duration::from_micros(1));
                prop_assert!(world.ejection.may_try(patience) != Verdict::Ejected);
            }
            let asked = [(); 3].map(|()| world.step('?'));
            prop_assert!(asked.iter().filter(|a| **a == Some(Verdict::Trial)).count() <= 1);
        }

        #[test]
        fn any_number_is_a_state(bits: u64, nanos: u64) {
            let (ejection, now) = (Ejection::from_bits(bits), Instant::from_nanos(nanos));
            prop_assert_eq!(ejection.failed(now).succeeded(), Ejection::default());
            if ejection != Ejection::default() {
                prop_assert_eq!(ejection.trying(now).may_try(now), Verdict::Ejected);
            }
        }
    }
}
