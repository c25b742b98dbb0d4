//! May this endpoint get this request, now: drains, ejections, retry budgets, latency.
//!
//! Everything is a value and a function of the time it is handed. What several threads share is
//! one `u64` ([`Ejection`], [`Ewma`]), so that a shell can keep it in an atomic and step it by
//! compare-and-swap; what one thread owns is a plain struct ([`RetryBudget`]). Nothing here knows
//! a route, a service or a clock.

mod breaker;
mod budget;
mod drain;
mod ejection;
mod ewma;
mod floor;
mod health;
mod limiter;
mod ramp;
mod rounds;

pub use breaker::{Breaker, Outcome, Permit, Phase};
pub use budget::RetryBudget;
pub use drain::Drain;
pub use ejection::{Ejection, Verdict};
pub use ewma::Ewma;
pub use floor::{FLOOR_BYTES_PER_SECOND, FLOOR_GRACE, Floor};
pub use health::{Change, Health, HealthState};
pub use limiter::{Admission, ClientKey, Limiter, Scope};
pub use ramp::Ramp;
pub use rounds::{Answer, Asked, Rhythm, Rounds};
