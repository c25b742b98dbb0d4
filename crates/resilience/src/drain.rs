//! The way out: an instance gets less and less traffic, then none.

use std::time::Duration;

use model::Instant;

/// One drain, from its order on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// When it was ordered.
    pub started: Instant,
    /// How long it lasts.
    pub duration: Duration,
    /// The share it started at, in percent, at most 100.
    pub from_percent: u32,
}

impl Drain {
    /// A drain of an instance that gets all of its traffic.
    pub const fn new(started: Instant, duration: Duration) -> Self {
        Self { started, duration, from_percent: 100 }
    }

    /// Starts anew at `now`, from the share that is left (SPEC 12).
    #[must_use]
    pub fn restarted(&self, now: Instant, duration: Duration) -> Self {
        Self { started: now, duration, from_percent: self.percent(now) }
    }

    /// The share of its usual traffic the instance still gets at `now`, in percent, 0..=100.
    ///
    /// A function of time and not a state, so the data plane computes it per request and nobody
    /// has to publish a new routing table every second. Rounds down, as the protocol's own
    /// example does: with 75 s of 120 s left, 62. So it is 0 a little before the end; whether it
    /// has ended is for [`Drain::is_over`] to say.
    pub fn percent(&self, now: Instant) -> u32 {
        let from = u128::from(self.from_percent.min(100));
        let left = from * self.remaining(now).as_nanos();
        // At most `from`.
        left.checked_div(self.duration.as_nanos()).map_or(0, |percent| percent as u32)
    }

    /// How much of it is over, at most all.
    pub fn elapsed(&self, now: Instant) -> Duration {
        now.since(self.started).min(self.duration)
    }

    /// How much of it is left.
    pub fn remaining(&self, now: Instant) -> Duration {
        self.duration.saturating_sub(now.since(self.started))
    }

    /// When it is over.
    pub fn ends(&self) -> Instant {
        self.started.after(self.duration)
    }

    /// Whether the instance gets nothing any more, not even as the last one.
    pub fn is_over(&self, now: Instant) -> bool {
        self.remaining(now).is_zero()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn the_share_falls_linearly_and_rounds_down() {
        #[rustfmt::skip]
        let table = [
            // from  total   at        percent over   why
            (100,    120,        0,    100,    false, "the start"),
            (100,    120,   45_000,     62,    false, "the protocol's own example"),
            (100,    120,   60_000,     50,    false, "half"),
            (100,    120,  118_799,      1,    false, "just over a percent"),
            (100,    120,  119_999,      0,    false, "less than a percent, and not over"),
            (100,    120,  120_000,      0,    true,  "the end"),
            (100,    120,  999_000,      0,    true,  "after the end"),
            ( 62,     10,    5_000,     31,    false, "half of what was left"),
            (100,      0,        0,      0,    true,  "no time at all"),
            (250,     10,        0,    100,    false, "never more than all"),
        ];
        for (from_percent, seconds, millis, percent, over, why) in table {
            let duration = Duration::from_secs(seconds);
            let drain = Drain { started: at(0), duration, from_percent };
            assert_eq!(drain.percent(at(millis)), percent, "{why}");
            assert_eq!(drain.is_over(at(millis)), over, "{why}");
            assert_eq!(drain.ends() <= at(millis), over, "{why}");
        }
    }

    #[test]
    fn a_second_order_goes_on_from_the_present_share() {
        let first = Drain::new(at(0), Duration::from_secs(100));
        let second = first.restarted(at(40_000), Duration::from_secs(10));
        assert_eq!(second.percent(at(40_000)), 60);
        assert_eq!(second.percent(at(45_000)), 30);
        assert!(second.is_over(at(50_000)));
    }

    #[test]
    fn before_its_start_nothing_is_over() {
        let drain = Drain::new(at(1000), Duration::from_secs(1));
        assert_eq!((drain.percent(at(0)), drain.elapsed(at(0))), (100, Duration::ZERO));
    }

    proptest! {
        #[test]
        fn it_never_rises_and_time_adds_up(
            from_percent in 0..=100_u32,
            nanos in any::<u64>(),
            (one, other) in (any::<u64>(), any::<u64>()),
        ) {
            let drain = Drain {
                started: Instant::default(),
                duration: Duration::from_nanos(nanos),
                from_percent,
            };
            let (early, late) = (one.min(other), one.max(other));
            let [early, late] = [early, late].map(Instant::from_nanos);
            prop_assert!(drain.percent(early) <= from_percent);
            prop_assert!(drain.percent(late) <= drain.percent(early));
            prop_assert_eq!(drain.elapsed(late) + drain.remaining(late), drain.duration);
            prop_assert!(!drain.is_over(late) || drain.percent(late) == 0);
        }
    }
}
