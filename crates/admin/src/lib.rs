//! What operators and their tools ask over HTTP: numbers, and whether the proxy is well (SPEC 9).
//!
//! ```text
//!   GET /metrics   everything that is counted, for Prometheus      the token, if there is one
//!   GET /livez     200 while the process answers                   everybody
//!   GET /readyz    200 while new requests are welcome, else 503    everybody; /healthz is the same
//! ```
//!
//! Nothing is counted here. A [`Source`] is asked whenever somebody asks us, and reads what others
//! count anyway, so that a proxy nobody looks at pays nothing and one that is looked at pays then.
//!
//! A browser may be made to ask for a name that leads here, so a request has to name a host of ours
//! ([`Hosts`]).

mod hosts;
mod metrics;
mod route;
mod server;
mod source;

pub use hosts::Hosts;
pub use server::Admin;
pub use source::{Catalog, Dialect, Expiry, Issued, Numbers, Source};
