//! How many requests may be sent a second time.
//!
//! When everything fails, retries double the load on what is left. So they are a small part of
//! the requests of the last second, and a few where there are not many requests.

use model::Instant;

/// One retry in so many requests: 20 % (SPEC 4).
const REQUESTS_PER_RETRY: u64 = 5;
/// So many are always allowed in a second (SPEC 4).
const RETRIES_FLOOR: u64 = 10;

const SECOND_NANOS: u64 = 1_000_000_000;

/// The retries of one worker thread, over a second that slides.
///
/// Counts by whole seconds; of the second before, the part counts that still lies in the window,
/// as if it had come evenly.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    /// When the current second began.
    began: Instant,
    current: Counts,
    before: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    requests: u64,
    retries: u64,
}

impl RetryBudget {
    /// A budget that has seen nothing.
    pub fn new(now: Instant) -> Self {
        Self { began: now, current: Counts::default(), before: Counts::default() }
    }

    /// A request is sent for the first time.
    pub fn request(&mut self, now: Instant) {
        self.advance(now);
        self.current.requests += 1;
    }

    /// Asks to send a request once more; `true` is a retry spent.
    #[must_use]
    pub fn try_retry(&mut self, now: Instant) -> bool {
        self.advance(now);
        let past = now.as_nanos().saturating_sub(self.began.as_nanos());
        let left = SECOND_NANOS.saturating_sub(past);
        let share = |count: u64| u128::from(count) * u128::from(left);
        let nanos = u128::from(SECOND_NANOS);
        // Towards fewer retries, both.
        let requests = self.current.requests + (share(self.before.requests) / nanos) as u64;
        let retries = self.current.retries + share(self.before.retries).div_ceil(nanos) as u64;
        let allowed = retries < RETRIES_FLOOR.max(requests / REQUESTS_PER_RETRY);
        self.current.retries += u64::from(allowed);
        allowed
    }

    fn advance(&mut self, now: Instant) {
        let past = now.as_nanos().saturating_sub(self.began.as_nanos());
        let before = match past / SECOND_NANOS {
            0 => return,
            1 => self.current,
            _ => Counts::default(),
        };
        let began = now.as_nanos() - past % SECOND_NANOS;
        *self = Self { began: Instant::from_nanos(began), current: Counts::default(), before };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// How many of a thousand tries are allowed at one instant.
    fn allowed(budget: &mut RetryBudget, millis: u64) -> usize {
        (0..1000).filter(|_| budget.try_retry(at(millis))).count()
    }

    #[test]
    fn a_fifth_of_the_requests_and_never_less_than_ten() {
        for (requests, retries) in [(0, 10), (50, 10), (54, 10), (55, 11), (1000, 200)] {
            let mut budget = RetryBudget::new(at(0));
            (0..requests).for_each(|_| budget.request(at(100)));
            assert_eq!(allowed(&mut budget, 200), retries, "{requests}");
            assert_eq!(allowed(&mut budget, 999), 0, "{requests}: spent");
        }
    }

    #[test]
    fn the_window_slides() {
        #[rustfmt::skip]
        let table = [
            // spent at  asked at  allowed  why
            (500,        999,      0,       "the same second"),
            (500,        1000,     0,       "all of the second before"),
            (500,        1250,     2,       "three quarters of it"),
            (500,        1500,     5,       "half of it"),
            (500,        2000,     10,      "none of it"),
            (500,        9000,     10,      "long ago"),
        ];
        for (spent, asked, expected, why) in table {
            let mut budget = RetryBudget::new(at(0));
            assert_eq!(allowed(&mut budget, spent), 10);
            assert_eq!(allowed(&mut budget, asked), expected, "{why}");
        }
    }

    #[test]
    fn requests_of_the_second_before_still_pay() {
        let mut budget = RetryBudget::new(at(0));
        (0..1000).for_each(|_| budget.request(at(500)));
        assert_eq!(allowed(&mut budget, 1500), 100);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_allows_no_more() {
        let mut budget = RetryBudget::new(at(5000));
        assert_eq!(allowed(&mut budget, 5000), 10);
        assert_eq!(allowed(&mut budget, 4000), 0);
    }

    proptest! {
        /// In the seconds it counts by there are never more retries than it says.
        #[test]
        fn any_load(steps in prop::collection::vec((0..400_u64, 0..40_usize, 0..40_usize), 1..60)) {
            let mut budget = RetryBudget::new(at(0));
            let mut seconds = vec![(0, 0); 60];
            let mut millis = 0;
            for (later, requests, retries) in steps {
                millis += later;
                let second = &mut seconds[(millis / 1000) as usize];
                for _ in 0..requests {
                    budget.request(at(millis));
                    second.0 += 1;
                }
                second.1 += (0..retries).filter(|_| budget.try_retry(at(millis))).count();
            }
            for pair in seconds.windows(2) {
                let requests = pair[0].0 + pair[1].0;
                prop_assert!(pair[1].1 <= 10.max(requests / 5), "{:?}", pair);
            }
        }
    }
}
