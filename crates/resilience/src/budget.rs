//! How many requests may be sent twice.
//!
//! Retries help as long as few need them. When everything fails they double the load on what is
//! left, so they are bounded to a share of the requests, with a floor for quiet times (SPEC 4).

use std::time::Duration;

use model::Instant;

/// One retry is earned by this many requests: 20 %.
const REQUESTS_PER_RETRY: u64 = 5;
/// Earned each second whatever happens.
const FLOOR_PER_SECOND: u64 = 10;
/// What is earned and not used lasts about this long.
const WINDOW: Duration = Duration::from_secs(10);

/// The budget of one worker, in parts of a retry: [`REQUESTS_PER_RETRY`] parts are one.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    parts: u64,
    /// Up to here the floor has been paid.
    paid: Instant,
    /// Requests since the window began, which is what may be saved up.
    requests: u64,
    window_began: Instant,
}

impl RetryBudget {
    /// A budget with one second's floor in it.
    pub fn new(now: Instant) -> Self {
        let parts = FLOOR_PER_SECOND * REQUESTS_PER_RETRY;
        Self { parts, paid: now, requests: 0, window_began: now }
    }

    /// A request was sent at `now`.
    pub fn request(&mut self, now: Instant) {
        if now.since(self.window_began) >= WINDOW {
            self.window_began = now;
            self.requests = 0;
        }
        self.requests += 1;
        self.parts = (self.parts + 1).min(self.most());
    }

    /// Takes one retry, if there is one.
    pub fn try_retry(&mut self, now: Instant) -> bool {
        self.pay_floor(now);
        if self.parts < REQUESTS_PER_RETRY {
            return false;
        }
        self.parts -= REQUESTS_PER_RETRY;
        true
    }

    fn pay_floor(&mut self, now: Instant) {
        let per_part = 1_000_000_000 / (FLOOR_PER_SECOND * REQUESTS_PER_RETRY);
        let earned = u64::try_from(now.since(self.paid).as_nanos()).unwrap_or(u64::MAX) / per_part;
        // Only whole parts are paid; the rest of the time is kept for the next.
        self.paid = self.paid.after(Duration::from_nanos(earned.saturating_mul(per_part)));
        self.parts = self.parts.saturating_add(earned).min(self.most());
    }

    /// One second's floor and a fifth of the window's requests.
    fn most(&self) -> u64 {
        FLOOR_PER_SECOND * REQUESTS_PER_RETRY + self.requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(budget: &mut RetryBudget, now: Instant) -> u64 {
        (0..).take_while(|_| budget.try_retry(now)).count() as u64
    }

    #[test]
    fn a_fifth_of_the_requests_over_the_floor() {
        let start = Instant::from_nanos(0);
        let mut budget = RetryBudget::new(start);
        assert_eq!(drain(&mut budget, start), 10, "the floor of one second");
        for _ in 0..1000 {
            budget.request(start);
        }
        assert_eq!(drain(&mut budget, start), 200);
        assert_eq!(drain(&mut budget, start.after(Duration::from_millis(500))), 5);
        assert!(drain(&mut budget, start.after(Duration::from_secs(3600))) <= 10 + 200);
    }

    proptest::proptest! {
        /// Never more than the floor for the time that passed, one second's more to begin with,
        /// and a fifth of the requests.
        #[test]
        fn bounded(steps in proptest::collection::vec((0..2000u64, 0..30u64), 1..60)) {
            let (mut now, start) = (Instant::from_nanos(0), Instant::from_nanos(0));
            let mut budget = RetryBudget::new(start);
            let (mut requests, mut retries) = (0, 0);
            for (millis, sent) in steps {
                now = now.after(Duration::from_millis(millis));
                for _ in 0..sent {
                    budget.request(now);
                }
                requests += sent;
                retries += drain(&mut budget, now);
                let floor = 10.0 * (now.since(start).as_secs_f64() + 1.0);
                proptest::prop_assert!(retries as f64 <= floor + requests as f64 / 5.0 + 0.001);
            }
        }
    }
}
