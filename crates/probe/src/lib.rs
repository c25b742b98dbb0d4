//! Asks one backend, once, whether it is there.
//!
//! [`check`] is a health check (SPEC 4), [`backend_test`] the command BACKEND_TEST (SPEC 12). Both open
//! a connection of their own and close it again: what a connection of the traffic would say about
//! an endpoint is known already, and one that was just opened shows that the next one can be.
//! Wherever a name leads, [`Policy`] is asked before anything is connected to (SPEC 10). Redirects
//! are answers like others and never followed.
//!
//! Who is asked how often, and what an answer means for the traffic, is decided elsewhere.

mod check;
mod connect;
mod exchange;
mod failed;
mod frames;
mod policy;
mod report;
mod tls;

#[cfg(test)]
mod tests;

pub use check::{Check, Expect, Passed, check};
pub use failed::Failed;
pub use policy::{Denied, Policy};
pub use report::backend_test;
pub use rustls::RootCertStore;
pub use tls::{BadRoots, Offer, Tls, TlsFailed};
