//! An endpoint that fails again and again on a route gets no more of that route's requests for
//! a while, then a few to see whether it has recovered (SPEC 4).
//!
//! ```text
//!            `threshold` failures in a row         `timeout` over, admitting
//!   closed -------------------------------> open -----------------------------> half-open
//!     ^                                      ^                                    |   |
//!     |                                      +-------------- any failed ----------+   |
//!     +------------------------- all `half_open_requests` passed ---------------------+
//! ```
//!
//! # Driving it
//!
//! [`Breaker`] is one `u64`. Keep its bits in an atomic. A request begins with
//! [`Breaker::admit`] and a compare-and-swap, and whoever swapped owns the [`Permit`]; it ends with
//! [`Breaker::settle`] and another one. Where the word is the same as before there is nothing to
//! swap: so it is for all of a closed breaker's requests that pass. Every permit must be
//! settled, if only as [`Outcome::Abandoned`]: a probe nobody tells about keeps its place.

use std::time::Duration;

use model::{BreakerSpec, Instant};

#[cfg(test)]
mod tests;

/// Whether one endpoint fails the requests of one route. Closed and without failures by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    /// Counts stretches of being closed, and of being open and then half-open. Wraps.
    epoch: u64,
    state: State,
}

/// What a breaker does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Lets all through.
    Closed,
    /// Lets none through.
    Open {
        /// When it will let some through.
        until: Instant,
    },
    /// Lets some through, to see.
    HalfOpen,
}

/// A request let through, and in which epoch: results of an older one say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    epoch: u64,
}

/// How a request that was let through ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Passed,
    /// Badly, and the endpoint is to blame.
    Failed,
    /// In a way that says nothing of the endpoint: the client gave up.
    Abandoned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u64 },
    Open { failures: u64, until: Millis },
    HalfOpen { failures: u64, probes: Probes },
}

/// Those of one half-open round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Probes {
    /// Let through and not given back.
    taken: u64,
    /// Of these. Never more.
    passed: u64,
}

/// Milliseconds since the origin of [`Instant`], at most [`TIME_MAX`].
type Millis = u64;

/// 35 years.
const TIME_MAX: Millis = (1 << TIME_BITS) - 1;
const TIME_BITS: u32 = 40;
const TAG_BITS: u32 = 2;
const EPOCH_BITS: u32 = 12;
const EPOCH_MAX: u64 = (1 << EPOCH_BITS) - 1;
/// While closed there is room for any threshold, after that for this.
const FAILURES_MAX: u64 = (1 << (64 - REST_SHIFT - TIME_BITS)) - 1;
const REST_SHIFT: u32 = TAG_BITS + EPOCH_BITS;
const TIME_SHIFT: u32 = 64 - TIME_BITS;
const PASSED_SHIFT: u32 = TIME_SHIFT + TIME_BITS / 2;
/// More probes in a round are so many.
const PROBES_MAX: u64 = (1 << (TIME_BITS / 2)) - 1;

impl Breaker {
    /// What was packed by [`Breaker::to_bits`]. Any other number is a state as well.
    pub fn from_bits(bits: u64) -> Self {
        let epoch = bits >> TAG_BITS & EPOCH_MAX;
        let failures = bits >> REST_SHIFT & FAILURES_MAX;
        let state = match bits & 0b11 {
            0 => State::Closed { failures: bits >> REST_SHIFT & u64::from(u32::MAX) },
            1 => State::Open { failures, until: bits >> TIME_SHIFT },
            _ => State::HalfOpen { failures, probes: Probes::from_bits(bits) },
        };
        Self { epoch, state }
    }

    /// Packed: two bits for the phase, twelve for the epoch, then the failures (while closed 32
    /// bits, else ten), and in the upper forty the time, or the probes taken and passed.
    pub const fn to_bits(self) -> u64 {
        let epoch = self.epoch << TAG_BITS;
        match self.state {
            State::Closed { failures } => failures << REST_SHIFT | epoch,
            State::Open { failures, until } => {
                until << TIME_SHIFT | failures << REST_SHIFT | epoch | 1
            }
            State::HalfOpen { failures, probes } => {
                probes.to_bits() | failures << REST_SHIFT | epoch | 2
            }
        }
    }

    /// What it does with requests at `now`. Open for long enough is half-open already.
    pub const fn phase(self, now: Instant) -> Phase {
        match self.state {
            State::Closed { .. } => Phase::Closed,
            State::Open { until, .. } if millis(now) < until => {
                Phase::Open { until: Instant::from_nanos(until * MILLI_NANOS) }
            }
            State::Open { .. } | State::HalfOpen { .. } => Phase::HalfOpen,
        }
    }

    /// Failures in a row; while not closed up to the last one, and at most 1023.
    pub const fn failures(self) -> u64 {
        match self.state {
            State::Closed { failures }
            | State::Open { failures, .. }
            | State::HalfOpen { failures, .. } => failures,
        }
    }

    /// Whether [`Breaker::admit`] would let a request through at `now`.
    pub fn may_try(self, rule: &BreakerSpec, now: Instant) -> bool {
        self.admit(rule, now).is_some()
    }

    /// Lets a request through at `now`, or not. While closed the breaker stays the same.
    pub fn admit(self, rule: &BreakerSpec, now: Instant) -> Option<(Self, Permit)> {
        let admitting = self.admitting(rule, now)?;
        Some((admitting, Permit { epoch: admitting.epoch }))
    }

    fn admitting(self, rule: &BreakerSpec, now: Instant) -> Option<Self> {
        let (failures, probes) = match self.state {
            State::Closed { .. } => return Some(self),
            _ if rule.threshold == 0 => return Some(self.reset()),
            State::Open { until, .. } if millis(now) < until => return None,
            State::Open { failures, .. } => (failures, Probes::default()),
            // They need fewer than they did when it passed.
            State::HalfOpen { probes, .. } if probes.passed >= needed(rule) => {
                return Some(self.reset());
            }
            State::HalfOpen { probes, .. } if probes.taken >= needed(rule) => return None,
            State::HalfOpen { failures, probes } => (failures, probes),
        };
        let probes = Probes { taken: probes.taken + 1, ..probes };
        Some(Self { state: State::HalfOpen { failures, probes }, ..self })
    }

    /// A request that was let through ended at `now`. Call it once for each [`Permit`].
    #[must_use]
    pub fn settle(
        self,
        rule: &BreakerSpec,
        permit: Permit,
        outcome: Outcome,
        now: Instant,
    ) -> Self {
        if permit.epoch != self.epoch {
            return self;
        }
        match self.state {
            State::Closed { failures } => self.settle_closed(rule, failures, outcome, now),
            State::HalfOpen { failures, probes } => match outcome {
                Outcome::Failed => self.opened(rule, failures + 1, now),
                Outcome::Passed | Outcome::Abandoned => self.settle_probe(rule, probes, outcome),
            },
            State::Open { .. } => self,
        }
    }

    fn settle_closed(
        self,
        rule: &BreakerSpec,
        failures: u64,
        outcome: Outcome,
        now: Instant,
    ) -> Self {
        let failures = match outcome {
            Outcome::Abandoned => return self,
            Outcome::Failed if rule.threshold == 0 => return self,
            Outcome::Passed => 0,
            Outcome::Failed => failures + 1,
        };
        if failures > 0 && failures >= rule.threshold.into() {
            return self.opened(rule, failures, now);
        }
        Self { state: State::Closed { failures }, ..self }
    }

    /// One that did not fail.
    fn settle_probe(self, rule: &BreakerSpec, probes: Probes, outcome: Outcome) -> Self {
        let probes = match outcome {
            Outcome::Passed => probes.passed(),
            Outcome::Failed | Outcome::Abandoned => probes.given_back(),
        };
        if outcome == Outcome::Passed && probes.passed >= needed(rule) {
            return self.reset();
        }
        Self { state: State::HalfOpen { failures: self.failures(), probes }, ..self }
    }

    fn opened(self, rule: &BreakerSpec, failures: u64, now: Instant) -> Self {
        let until = millis_up(now.after(rule.timeout));
        Self {
            epoch: self.next_epoch(),
            state: State::Open { failures: failures.min(FAILURES_MAX), until },
        }
    }

    /// Closed and without failures; what is still under way says nothing any more.
    #[must_use]
    pub const fn reset(self) -> Self {
        Self { epoch: self.next_epoch(), state: State::Closed { failures: 0 } }
    }

    const fn next_epoch(self) -> u64 {
        (self.epoch + 1) & EPOCH_MAX
    }
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Probes {
    fn from_bits(bits: u64) -> Self {
        let taken = bits >> TIME_SHIFT & PROBES_MAX;
        Self { taken, passed: (bits >> PASSED_SHIFT).min(taken) }
    }

    const fn to_bits(self) -> u64 {
        self.passed << PASSED_SHIFT | self.taken << TIME_SHIFT
    }

    fn passed(self) -> Self {
        Self { passed: (self.passed + 1).min(self.taken), ..self }
    }

    /// To be taken again.
    fn given_back(self) -> Self {
        Self { taken: self.taken.saturating_sub(1).max(self.passed), ..self }
    }
}

/// The probes of a round.
fn needed(rule: &BreakerSpec) -> u64 {
    u64::from(rule.half_open_requests).clamp(1, PROBES_MAX)
}

const MILLI_NANOS: u64 = Duration::from_millis(1).as_nanos() as u64;

const fn millis(instant: Instant) -> Millis {
    instant.as_nanos() / MILLI_NANOS
}

/// Up, so that no breaker is half-open early.
fn millis_up(instant: Instant) -> Millis {
    instant.as_nanos().div_ceil(MILLI_NANOS).min(TIME_MAX)
}
