//! A moving average of latency that is quick to believe bad news.
//!
//! A sample above the average replaces it; one below pulls it down by how much time has passed
//! (peak EWMA). So an endpoint that begins to stall loses its share with the first slow answer
//! and earns it back over seconds.

use std::time::Duration;

use model::Instant;

/// Time after which an old average counts for 1/e.
const DECAY: Duration = Duration::from_secs(10);

/// The average: microseconds in the low half, the second it was recorded at, in units of
/// 1/1024 s, in the high half. Zero is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ewma(u64);

impl Ewma {
    /// Unpacks.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Packs.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The average in microseconds, faded: an endpoint that nobody asks is forgiven in time,
    /// else it would never be asked again. 0 is unknown.
    pub fn micros(self, now: Instant) -> u32 {
        let (average, at) = self.parts();
        if average == 0 {
            return 0;
        }
        let faded = f64::from(average) * weight(now, at);
        (faded as u32).max(1)
    }

    /// With one more sample.
    #[must_use]
    pub fn record(self, micros: u32, now: Instant) -> Self {
        let (average, at) = self.parts();
        let sample = micros.max(1);
        let next = if sample >= average {
            sample
        } else {
            let old = weight(now, at);
            (f64::from(average) * old + f64::from(sample) * (1.0 - old)) as u32
        };
        Self(u64::from(ticks(now)) << 32 | u64::from(next.max(1)))
    }

    fn parts(self) -> (u32, u32) {
        ((self.0 & u64::from(u32::MAX)) as u32, (self.0 >> 32) as u32)
    }
}

/// Wraps around after 48 days; an average that old has faded either way.
fn ticks(now: Instant) -> u32 {
    (now.as_nanos() / (1_000_000_000 / 1024)) as u32
}

/// What an average of `at` still counts for.
fn weight(now: Instant, at: u32) -> f64 {
    let age = f64::from(ticks(now).wrapping_sub(at)) / 1024.0;
    (-age / DECAY.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn bad_news_at_once_and_good_news_in_time() {
        let quick = Ewma::default().record(1_000, at(100));
        assert_eq!(quick.micros(at(100)), 1_000);
        let stalled = quick.record(500_000, at(100));
        assert_eq!(stalled.micros(at(100)), 500_000);
        let soon = stalled.record(1_000, at(100)).micros(at(100));
        assert!(soon > 490_000, "one quick answer changes little: {soon}");
        let later = stalled.record(1_000, at(150)).micros(at(150));
        assert!(later < 10_000, "after five times the decay it does: {later}");
    }

    #[test]
    fn nobody_is_condemned_for_ever() {
        let stalled = Ewma::default().record(5_000_000, at(0));
        let left = stalled.micros(at(120));
        assert!((1..100).contains(&left), "{left}");
        assert_eq!(Ewma::default().micros(at(5)), 0, "unknown stays unknown");
    }

    proptest::proptest! {
        #[test]
        fn between_the_extremes(samples in proptest::collection::vec((1..10_000_000u32, 0..30u64), 1..50)) {
            let (mut average, mut now) = (Ewma::default(), at(1));
            for (sample, pause) in &samples {
                now = now.after(Duration::from_secs(*pause));
                average = Ewma::from_bits(average.record(*sample, now).to_bits());
            }
            let most = samples.iter().map(|(sample, _)| *sample).max().unwrap();
            proptest::prop_assert!((1..=most).contains(&average.micros(now)));
        }
    }
}
