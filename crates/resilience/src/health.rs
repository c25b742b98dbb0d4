//! Whether an endpoint answers those who ask it for nothing else (SPEC 4).
//!
//! ```text
//!          first pass                 3 fails in a row
//!   new ----------------> up -------------------------------> down
//!    |                     ^                                   ^ |
//!    |                     +-------- 2 passes in a row --------|-+
//!    +----------------------- 3 fails in a row ----------------+
//! ```
//!
//! An endpoint that joins a pool of others is new: nobody knows it, so its first pass is enough and
//! until then it gets nothing. One that was down has to show more.
//!
//! # Driving it
//!
//! Ask at once, tell [`Health::passed`] or [`Health::failed`], sleep for [`Health::next`], ask
//! again. Both say when others have to know.

use std::time::Duration;

/// Passes in a row that bring an endpoint back (SPEC 4).
const RISE: u32 = 2;
/// Fails in a row that take it out (SPEC 4).
const FALL: u32 = 3;
/// The longest wait while it is not settled. With the 30 s of a healthy one, a dead endpoint would
/// get traffic for another minute and a repaired one none for as long.
const SOON: Duration = Duration::from_secs(2);

/// After so many the wait has grown from 2 s to an hour. What stays down must not take the place of
/// checks that say something.
const DOUBLINGS_MAX: u32 = 11;

/// What the checks of one endpoint say so far. Nothing is known by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health(Known);

/// Whether an endpoint is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthState {
    /// No check has passed yet, and not enough have failed.
    New,
    /// It may have traffic.
    Up,
    /// It may not.
    Down,
}

/// What a check changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The endpoint is up now.
    Up,
    /// It is down now.
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    New {
        fails: u32,
    },
    Up {
        fails: u32,
    },
    /// `fails` since it went down, for who asks how long to wait.
    Down {
        passes: u32,
        fails: u32,
    },
}

impl Default for Known {
    fn default() -> Self {
        Self::New { fails: 0 }
    }
}

impl Health {
    /// An endpoint that has traffic before its first check: one of a pool that is new itself.
    pub const fn up() -> Self {
        Self(Known::Up { fails: 0 })
    }

    /// An endpoint that failed its checks when it was asked last.
    pub const fn down() -> Self {
        Self(Known::Down { passes: 0, fails: 0 })
    }

    /// A check passed.
    pub fn passed(&mut self) -> Option<Change> {
        match self.0 {
            Known::Up { .. } => self.set(Known::Up { fails: 0 }),
            Known::Down { passes, .. } if passes + 1 < RISE => {
                self.set(Known::Down { passes: passes + 1, fails: 0 })
            }
            Known::New { .. } | Known::Down { .. } => self.set(Known::Up { fails: 0 }),
        }
    }

    /// A check failed.
    pub fn failed(&mut self) -> Option<Change> {
        match self.0 {
            Known::New { fails } if fails + 1 < FALL => self.set(Known::New { fails: fails + 1 }),
            Known::Up { fails } if fails + 1 < FALL => self.set(Known::Up { fails: fails + 1 }),
            Known::Down { fails, .. } => {
                self.set(Known::Down { passes: 0, fails: (fails + 1).min(DOUBLINGS_MAX) })
            }
            Known::New { .. } | Known::Up { .. } => self.set(Known::Down { passes: 0, fails: 0 }),
        }
    }

    /// Whether it may have traffic as far as checks can tell.
    pub const fn is_up(self) -> bool {
        matches!(self.0, Known::Up { .. })
    }

    /// Whether it is well.
    pub const fn state(self) -> HealthState {
        match self.0 {
            Known::New { .. } => HealthState::New,
            Known::Up { .. } => HealthState::Up,
            Known::Down { .. } => HealthState::Down,
        }
    }

    /// How long to wait before the next check: `interval` while it is up and its last check passed,
    /// else at most 2 s, doubling up to `interval` with every further fail while it is down; give
    /// or take a tenth, by `draw` (SPEC 4: jittered).
    pub fn next(self, interval: Duration, draw: u64) -> Duration {
        match self.0 {
            Known::Up { fails: 0 } => jittered(interval, draw),
            Known::Down { fails, .. } => {
                let wait = SOON.saturating_mul(1 << fails.min(DOUBLINGS_MAX));
                jittered(interval.min(wait), draw)
            }
            Known::Up { .. } | Known::New { .. } => jittered(interval.min(SOON), draw),
        }
    }

    fn set(&mut self, known: Known) -> Option<Change> {
        let before = self.state();
        self.0 = known;
        match (before, self.state()) {
            (HealthState::New | HealthState::Down, HealthState::Up) => Some(Change::Up),
            (HealthState::New | HealthState::Up, HealthState::Down) => Some(Change::Down),
            (HealthState::New, HealthState::New)
            | (HealthState::Up, HealthState::Up | HealthState::New)
            | (HealthState::Down, HealthState::Down | HealthState::New) => None,
        }
    }
}

/// 90 % to 110 % of a duration, evenly by `draw`.
pub(crate) fn jittered(duration: Duration, draw: u64) -> Duration {
    let least = duration - duration / 10;
    // Of the draw 32 bits are fine enough, and with them nothing overflows.
    let more = ((duration / 5).as_nanos() * u128::from(draw >> 32)) >> 32;
    least.saturating_add(Duration::from_nanos_u128(more))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `+` a check passes, `-` it fails. Answers with what was said: `u`, `d`, or `.`.
    fn said(health: &mut Health, script: &str) -> String {
        let changes = script.chars().map(|step| match step {
            '+' => health.passed(),
            _ => health.failed(),
        });
        let letter = |change| match change {
            Some(Change::Up) => 'u',
            Some(Change::Down) => 'd',
            None => '.',
        };
        changes.map(letter).collect()
    }

    #[test]
    fn transitions() {
        let (new, up) = (Health::default(), Health::up());
        #[rustfmt::skip]
        let table = [
            // from  script      said        state               why
            (new, "",         "",         HealthState::New,   "nobody knows it"),
            (new, "+",        "u",        HealthState::Up,    "the first pass is enough"),
            (new, "--",       "..",       HealthState::New,   "two fails say nothing"),
            (new, "--+",      "..u",      HealthState::Up,    "a pass still is enough"),
            (new, "---",      "..d",      HealthState::Down,  "three say it is down"),
            (new, "---+",     "..d.",     HealthState::Down,  "then one pass is not enough"),
            (new, "---++",    "..d.u",    HealthState::Up,    "but two are"),
            (new, "---+-++",  "..d...u",  HealthState::Up,    "in a row"),
            (up,  "+++",      "...",      HealthState::Up,    "nothing changes"),
            (up,  "--",       "..",       HealthState::Up,    "two fails are borne"),
            (up,  "---",      "..d",      HealthState::Down,  "the third is not"),
            (up,  "--+--",    ".....",    HealthState::Up,    "they count in a row"),
            (up,  "------",   "..d...",   HealthState::Down,  "it is said once"),
            (up,  "---++---", "..d.u..d", HealthState::Down,  "and every time"),
        ];
        for (mut health, script, expected, state, why) in table {
            assert_eq!(said(&mut health, script), expected, "{script}: {why}");
            assert_eq!(health.state(), state, "{script}: {why}");
            assert_eq!(health.is_up(), state == HealthState::Up, "{script}: {why}");
        }
    }

    #[test]
    fn what_is_not_settled_is_asked_sooner() {
        #[rustfmt::skip]
        let table = [
            // script  interval  next
            ("+",      30,       30),
            ("+-",     30,        2),
            ("+-+",    30,       30),
            ("",       30,        2),
            ("-",      30,        2),
            ("---",    30,        2),
            ("----",   30,        4),
            ("-----",  30,        8),
            ("------------", 30, 30),
            ("------------+", 30, 2),
            ("---+",   30,        2),
            ("---++",  30,       30),
            ("---",     1,        1),
            ("+",       1,        1),
        ];
        for (script, interval, next) in table {
            let mut health = Health::default();
            said(&mut health, script);
            let (interval, next) = (Duration::from_secs(interval), Duration::from_secs(next));
            assert_eq!(health.next(interval, 0), next * 9 / 10, "{script}");
            assert_eq!(health.next(interval, 1 << 63), next, "{script}");
            let most = health.next(interval, u64::MAX);
            assert!(most <= next * 11 / 10 && most > next * 109 / 100, "{script}: {most:?}");
        }
    }

    /// By the whole history: what the last checks were, and the last change.
    fn naive(history: &[bool]) -> HealthState {
        let mut state = HealthState::New;
        let mut since = 0;
        for end in 1..=history.len() {
            let told = &history[since..end];
            let last = |n: usize, passed| {
                told.len() >= n && told[told.len() - n..].iter().all(|p| *p == passed)
            };
            let next = match state {
                HealthState::New if last(1, true) => HealthState::Up,
                HealthState::New | HealthState::Up if last(3, false) => HealthState::Down,
                HealthState::Down if last(2, true) => HealthState::Up,
                HealthState::New | HealthState::Up | HealthState::Down => state,
            };
            if next != state {
                (state, since) = (next, end);
            }
        }
        state
    }

    proptest! {
        /// The state is that of the whole history, and a change is said when there is one.
        #[test]
        fn any_order(history in prop::collection::vec(any::<bool>(), 0..40)) {
            let mut health = Health::default();
            for (at, passed) in history.iter().enumerate() {
                let before = health.state();
                let change = if *passed { health.passed() } else { health.failed() };
                prop_assert_eq!(health.state(), naive(&history[..=at]));
                let expected = match (before == health.state(), health.state()) {
                    (false, HealthState::Up) => Some(Change::Up),
                    (false, HealthState::Down) => Some(Change::Down),
                    (true, _) | (false, HealthState::New) => None,
                };
                prop_assert_eq!(change, expected);
            }
        }

        /// Within a tenth, for any duration.
        #[test]
        fn jitter_is_bounded(seconds: u64, nanos in 0..1_000_000_000_u32, draw: u64) {
            let duration = Duration::new(seconds, nanos);
            let jittered = Health::up().next(duration, draw);
            prop_assert!(jittered >= duration - duration / 10);
            prop_assert!(jittered <= duration.saturating_add(duration / 10));
        }
    }
}
