//! How long to wait before the next attempt.

use std::time::Duration;

/// Waits that double, with jitter, so that a thousand services that lost one proxy do not come
/// back in the same millisecond.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    /// Attempts that failed since the last success.
    failed: u32,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, failed: 0 }
    }

    /// The next wait: half of it certain, half drawn.
    pub(crate) fn next(&mut self, draw: u64) -> Duration {
        let factor = 1_u32.checked_shl(self.failed).unwrap_or(u32::MAX);
        let whole = self.min.saturating_mul(factor).min(self.max);
        self.failed = self.failed.saturating_add(1);
        let half = whole / 2;
        // A draw has 64 bits and no wait has that many nanoseconds.
        let span = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).saturating_add(1);
        half + Duration::from_nanos(draw % span)
    }

    /// An attempt succeeded.
    pub(crate) fn reset(&mut self) {
        self.failed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound() {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        let waits: Vec<u128> = (0..8).map(|_| backoff.next(0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        for _ in 0..100 {
            assert_eq!(backoff.next(0), Duration::from_secs(5));
        }
        backoff.reset();
        assert_eq!(backoff.next(0), Duration::from_millis(100));
    }

    #[test]
    fn a_draw_stays_between_half_and_whole() {
        let wait = |draw| Backoff::new(Duration::from_secs(2), Duration::from_secs(2)).next(draw);
        assert_eq!(wait(1_000_000_000), Duration::from_secs(2));
        assert_eq!(wait(1_000_000_001), Duration::from_secs(1));
        for draw in [u64::MAX, u64::MAX / 3, 12_345_678_901] {
            assert!((Duration::from_secs(1)..=Duration::from_secs(2)).contains(&wait(draw)));
        }
    }
}
