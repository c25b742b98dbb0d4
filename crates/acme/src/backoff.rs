//! How long to wait after failures.

use std::time::Duration;

/// Grows with each failure in a row, up to a bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) factor: u32,
    pub(crate) longest: Duration,
}

impl Backoff {
    /// The wait after that many failures in a row, and up to a quarter more as `draw` says: names
    /// that failed together are not tried together.
    pub(crate) fn after(&self, failures: usize, draw: u64) -> Duration {
        let mut wait = self.first;
        for _ in 1..failures {
            wait = wait.saturating_mul(self.factor);
            if wait >= self.longest {
                break;
            }
        }
        let wait = wait.min(self.longest);
        let share = u32::try_from(draw % 1024).unwrap_or(0);
        wait + wait / 4 * share / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_up_to_a_bound_and_is_spread_by_a_quarter() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let backoff = Backoff { first: minutes(1), factor: 3, longest: minutes(100) };
        #[rustfmt::skip]
        let table = [
            // failures  at least  at most
            (0,          1.0,      1.25),
            (1,          1.0,      1.25),
            (2,          3.0,      3.75),
            (3,          9.0,      11.25),
            (5,          81.0,     101.25),
            (6,          100.0,    125.0),
            (usize::MAX, 100.0,    125.0),
        ];
        for (failures, least, most) in table {
            let [low, high] = [0, 1023].map(|draw| backoff.after(failures, draw).as_secs_f64());
            assert!((low - least * 60.0).abs() < 0.001, "{failures}: {low}");
            assert!(high <= most * 60.0 && high > most * 59.9, "{failures}: {high}");
        }
    }
}
