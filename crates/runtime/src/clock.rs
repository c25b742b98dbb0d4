//! The one clock.
//!
//! Monotonic time comes from tokio, so that a test with paused time sees virtual time only. Wall
//! time comes from the system, or, for such a test, moves along with the monotonic clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::{Instant, Now, UnixMillis};

/// Reads both clocks, and sleeps. Cheap to copy; copies agree on every instant.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: tokio::time::Instant,
    wall: Wall,
}

#[derive(Clone, Copy, Debug)]
enum Wall {
    /// The system's, read each time: it may be set while we run.
    System,
    /// This long past the epoch at the origin, and as fast as the monotonic clock.
    FromOrigin(UnixMillis),
}

impl Clock {
    /// The clocks of this machine. Instants count from now on.
    pub fn system() -> Self {
        Self { origin: monotonic(), wall: Wall::System }
    }

    /// A clock on which it is `wall` now and whose two halves move together: under paused time
    /// both are virtual.
    pub fn starting_at(wall: UnixMillis) -> Self {
        Self { origin: monotonic(), wall: Wall::FromOrigin(wall) }
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        let mono = self.mono();
        let wall = match self.wall {
            Wall::System => system_wall(),
            Wall::FromOrigin(wall) => wall.after(mono.since(Instant::default())),
        };
        Now { mono, wall }
    }

    /// The monotonic clock alone, for those who need it often.
    pub fn mono(&self) -> Instant {
        Instant::default().after(monotonic().saturating_duration_since(self.origin))
    }

    /// A timer for `at`, to be kept and set anew.
    pub fn timer(&self, at: Instant) -> tokio::time::Sleep {
        tokio::time::sleep(at.since(self.mono()))
    }

    /// How far ahead a reading of the standard library's clock lies; zero if it is over.
    pub fn until(&self, then: std::time::Instant) -> Duration {
        then.saturating_duration_since(monotonic().into_std())
    }

    /// Sleeps until `at`, never less, at most about a millisecond more; for ever if there is
    /// nothing to wait for.
    pub async fn sleep_until(self, at: Option<Instant>) {
        match at {
            Some(at) => {
                let at = self.origin.checked_add(Duration::from_nanos(at.as_nanos()));
                match at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            }
            None => std::future::pending().await,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
fn monotonic() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// A system whose clock stands before 1970 gets 1970.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn system_wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(0).after(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: UnixMillis = UnixMillis(1_700_000_000_000);

    #[tokio::test(start_paused = true)]
    async fn both_halves_are_virtual_under_paused_time() {
        let clock = Clock::starting_at(NOON);
        assert_eq!(clock.now(), Now { mono: Instant::default(), wall: NOON });
        let at = clock.now().mono.after(Duration::from_secs(90));
        clock.sleep_until(Some(at)).await;
        assert_eq!(clock.now(), Now { mono: at, wall: UnixMillis(NOON.0 + 90_000) });
        // A copy counts from the same origin.
        let copy = clock;
        assert_eq!(copy.mono(), at);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_to_wait_for_is_for_ever() {
        let clock = Clock::starting_at(NOON);
        let end_of_time = Some(Instant::from_nanos(u64::MAX));
        for at in [None, end_of_time] {
            let year = Some(clock.mono().after(Duration::from_hours(24 * 365)));
            tokio::select! {
                () = clock.sleep_until(at) => panic!("woke at {at:?}"),
                () = clock.sleep_until(year) => {}
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_past_is_due() {
        let clock = Clock::starting_at(NOON);
        clock.sleep_until(Some(clock.mono())).await;
        assert_eq!(clock.mono(), Instant::default());
    }

    #[test]
    fn the_system_knows_the_year_outside_a_runtime() {
        let clock = Clock::system();
        let now = clock.now();
        assert!(now.wall > NOON, "{now:?}");
        assert!(clock.mono() >= now.mono);
    }
}
