//! May this endpoint get this request, now: drains, ejections, latency, retry budgets.
//!
//! Rules as values: every step takes `now` and gives the next state. What several threads step
//! at once fits into one word, so that a shell can keep it in an atomic.

mod budget;
mod drain;
mod ejection;
mod ewma;

pub use budget::RetryBudget;
pub use drain::Drain;
pub use ejection::{Ejection, Verdict};
pub use ewma::Ewma;
