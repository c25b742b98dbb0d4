//! A drain: an instance's share falls in a straight line to nothing.

use std::time::Duration;

use model::Instant;

/// A drain in progress, or over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// When it began.
    pub started: Instant,
    /// How long it lasts.
    pub duration: Duration,
    /// The share it began at, in percent: less than 100 when it replaced a running one.
    pub from_percent: u32,
}

impl Drain {
    /// The share of its usual traffic the instance still gets at `now`, in percent.
    ///
    /// A function of time and not a state, so that nobody has to publish a table every second.
    /// Rounds down, as the protocol's own example does: with 75 s of 120 s left, 62.
    pub fn percent(&self, now: Instant) -> u32 {
        let left = self.remaining(now).as_nanos() * u128::from(self.from_percent);
        let percent = left.checked_div(self.duration.as_nanos()).unwrap_or(0);
        u32::try_from(percent).unwrap_or(self.from_percent)
    }

    /// How much of it is over.
    pub fn elapsed(&self, now: Instant) -> Duration {
        now.since(self.started).min(self.duration)
    }

    /// How much of it is left.
    pub fn remaining(&self, now: Instant) -> Duration {
        self.duration - self.elapsed(now)
    }

    /// When it is over.
    pub fn ends(&self) -> Instant {
        self.started.after(self.duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_falls_in_a_straight_line() {
        let seconds = Duration::from_secs;
        let started = Instant::from_nanos(5);
        let table = [
            // of, from, after, percent
            (120, 100, 0, 100),
            (120, 100, 45, 62),
            (120, 100, 119, 0),
            (120, 100, 120, 0),
            (120, 100, 999, 0),
            (60, 40, 30, 20),
            (0, 100, 0, 0),
        ];
        for (duration, from_percent, after, percent) in table {
            let drain = Drain { started, duration: seconds(duration), from_percent };
            let now = started.after(seconds(after));
            assert_eq!(drain.percent(now), percent, "{duration} {from_percent} {after}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_rises(duration in 0..100_000u64, from in 0..=100u32, steps in proptest::collection::vec(0..10_000u64, 0..30)) {
            let mut now = Instant::from_nanos(0);
            let drain = Drain { started: now, duration: Duration::from_millis(duration), from_percent: from };
            let mut last = from;
            for step in steps {
                now = now.after(Duration::from_millis(step));
                let percent = drain.percent(now);
                proptest::prop_assert!(percent <= last);
                proptest::prop_assert_eq!(drain.elapsed(now) + drain.remaining(now), drain.duration);
                last = percent;
            }
        }
    }
}
