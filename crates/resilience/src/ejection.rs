//! Passive ejection: an endpoint that cannot be connected to rests before it is tried again.
//!
//! ```text
//!   healthy --failed--> ejected for 1 s --over--> one trial --succeeded--> healthy
//!                           ^                        |
//!                           +---- twice as long -----+ failed, up to 30 s
//! ```
//!
//! A value of one word and pure steps, so that threads share it in an atomic and step it by
//! compare-and-swap.

use std::time::Duration;

use model::Instant;

/// The first rest (SPEC 4).
const FIRST: Duration = Duration::from_secs(1);
/// The longest (SPEC 4).
const LONGEST: Duration = Duration::from_secs(30);
/// How long a trial may take before another one is allowed: a connect that long has failed.
const TRIAL: Duration = Duration::from_secs(5);
/// Rests in a row that are told apart; more are all the longest.
const LEVEL_MAX: u64 = 15;
/// Set while a trial runs.
const TRIAL_BIT: u64 = 1 << 4;

/// Whether an endpoint rests, and until when. Packed: the number of rests in the low four bits,
/// one bit for a running trial, and above them a deadline in microseconds. Zero is healthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ejection(u64);

/// Whether an endpoint may be sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Healthy,
    /// It rests, or is being tried by somebody else.
    Ejected,
    /// One request may try it; whoever does says so with [`Ejection::trying`].
    Trial,
}

impl Ejection {
    /// Unpacks.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Packs.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Whether the endpoint may be sent something at `now`.
    pub fn may_try(self, now: Instant) -> Verdict {
        if self.0 == 0 {
            Verdict::Healthy
        } else if micros(now) < self.0 >> 5 {
            Verdict::Ejected
        } else {
            Verdict::Trial
        }
    }

    /// A trial begins: nobody else tries until it has failed or taken too long.
    #[must_use]
    pub fn trying(self, now: Instant) -> Self {
        match self.may_try(now) {
            Verdict::Trial => Self::packed(self.level(), TRIAL_BIT, now.after(TRIAL)),
            Verdict::Healthy | Verdict::Ejected => self,
        }
    }

    /// A connect failed at `now`. Failures while it rests do not make the rest longer: they are
    /// requests that were on their way before.
    #[must_use]
    pub fn failed(self, now: Instant) -> Self {
        let rests = self.may_try(now) == Verdict::Ejected && self.0 & TRIAL_BIT == 0;
        if rests {
            return self;
        }
        let level = self.level();
        let rest = FIRST.saturating_mul(1 << level.min(8)).min(LONGEST);
        Self::packed((level + 1).min(LEVEL_MAX), 0, now.after(rest))
    }

    /// A connect succeeded.
    #[must_use]
    pub const fn succeeded(self) -> Self {
        Self(0)
    }

    const fn level(self) -> u64 {
        self.0 & 0xf
    }

    fn packed(level: u64, trial: u64, until: Instant) -> Self {
        Self(micros(until) << 5 | trial | level)
    }
}

fn micros(at: Instant) -> u64 {
    at.as_nanos() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `-` a failed connect, `+` a good one, `t` somebody begins a trial, a digit: that many
    /// seconds pass.
    fn run(script: &str) -> Verdict {
        let (mut ejection, mut now) = (Ejection::default(), Instant::from_nanos(7));
        for step in script.chars() {
            ejection = Ejection::from_bits(ejection.to_bits());
            match step {
                '-' => ejection = ejection.failed(now),
                '+' => ejection = ejection.succeeded(),
                't' => ejection = ejection.trying(now),
                digit => now = now.after(Duration::from_secs(digit.to_digit(10).unwrap().into())),
            }
        }
        ejection.may_try(now)
    }

    #[test]
    fn rests_and_trials() {
        use Verdict::{Ejected, Healthy, Trial};
        #[rustfmt::skip]
        let table = [
            ("",          Healthy, "nothing happened"),
            ("-",         Ejected, "it rests"),
            ("-1",        Trial,   "for a second"),
            ("-1t",       Ejected, "one trial at a time"),
            ("-1t5",      Trial,   "that is not waited for without end"),
            ("-1t+",      Healthy, "a good trial ends it"),
            ("-1t-1",     Ejected, "a bad one makes it longer"),
            ("-1t-2",     Trial,   "twice as long"),
            ("-----1",    Trial,   "failures of the same moment count once"),
            ("-1-2-4-8-99",  Trial, "1, 2, 4, 8, 16 seconds"),
            ("-1-2-4-8-951", Ejected, "and not less"),
            ("-1-2-4-8-97-9993", Trial, "never more than 30"),
            ("t",         Healthy, "what is healthy needs no trial"),
        ];
        for (script, verdict, why) in table {
            assert_eq!(run(script), verdict, "{script}: {why}");
        }
    }
}
