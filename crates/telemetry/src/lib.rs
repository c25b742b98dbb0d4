//! Statistics per route, at a price that every request can pay.
//!
//! Every worker thread counts in a stripe of its own ([`RouteStats::record`]), so nothing is
//! locked and no cache line travels; whoever asks adds the stripes up ([`RouteStats::totals`]).
//! [`Totals`] are values: add those of several routes, or subtract an earlier look to see what
//! happened since. A route that never serves costs a few words; histograms of latency are made at
//! the first request, and are bounded in number ([`HistogramPool`]).
//!
//! [`Outcomes`] are for protocols that have no routes, and [`Answered`] is for answers of any route
//! and none. [`Refusals`] are what the log tells of clients that are not let in.

mod answered;
mod counter;
mod histogram;
mod outcomes;
mod pool;
mod refusals;
mod route;
mod status;
mod totals;

pub use answered::Answered;
pub use outcomes::{Outcome, Outcomes};
pub use pool::HistogramPool;
pub use refusals::{Refusals, TOLD_EVERY};
pub use route::{RouteStats, Sample};
pub use totals::Totals;
