//! The way in: an endpoint that is new or back gets more and more traffic, then all of it.

use std::time::Duration;

use model::Instant;

/// The share it starts with, in percent; with none it would never get its first request.
const FROM: u128 = 10;

/// One slow start (SPEC 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp {
    /// When it began.
    pub since: Instant,
    /// How long it lasts.
    pub duration: Duration,
}

impl Ramp {
    /// The share of its usual traffic the endpoint gets at `now`, in percent, 10..=100, rounded
    /// down. A function of time and not a state, as that of a [`Drain`](crate::Drain).
    pub fn percent(&self, now: Instant) -> u32 {
        let past = now.since(self.since).min(self.duration).as_nanos();
        let share = ((100 - FROM) * past).checked_div(self.duration.as_nanos());
        // At most 100.
        share.map_or(100, |share| (FROM + share) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_rises_linearly_and_rounds_down() {
        #[rustfmt::skip]
        let table = [
            // duration  at      percent  why
            (30,              0, 10,      "the start"),
            (30,            333, 10,      "not yet another percent"),
            (30,            334, 11,      "another percent"),
            (30,         15_000, 55,      "half"),
            (30,         29_999, 99,      "just before the end"),
            (30,         30_000, 100,     "the end"),
            (30,         99_000, 100,     "after the end"),
            ( 0,              0, 100,     "no time at all"),
        ];
        let since = Instant::from_nanos(7_000_000_000);
        for (seconds, millis, percent, why) in table {
            let ramp = Ramp { since, duration: Duration::from_secs(seconds) };
            assert_eq!(ramp.percent(since.after(Duration::from_millis(millis))), percent, "{why}");
        }
    }

    #[test]
    fn before_its_start_it_is_at_its_start() {
        let since = Instant::from_nanos(u64::MAX);
        let ramp = Ramp { since, duration: Duration::MAX };
        assert_eq!((ramp.percent(Instant::default()), ramp.percent(since)), (10, 10));
    }
}
