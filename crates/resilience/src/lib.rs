//! May this endpoint get this request, now: drains, ejections, retry budgets, latency.
//!
//! Everything is a value and a function of the time it is handed. What several threads share is
//! one `u64` ([`Ejection`], [`Ewma`]), so that a shell can keep it in an atomic and step it by
//! compare-and-swap; what one thread owns is a plain struct ([`RetryBudget`]). Nothing here knows
//! a route, a service or a clock.

mod budget;
mod drain;
mod ejection;
mod ewma;
mod health;

pub use budget::RetryBudget;
pub use drain::Drain;
pub use ejection::{Ejection, Verdict};
pub use ewma::Ewma;
pub use health::{Change, Health, HealthState};
