//! Certificates from certificate authorities, for the names that services register (SPEC 6).
//!
//! [`Issuer`] decides: which name is ordered next and from whom, when it is renewed, how long to
//! wait after failures, and, by the ledger of what was ordered, when not to order at all. It is a
//! core: no clock, no I/O. [`Acme`] carries out what it decides, by the protocol of RFC 8555.
//!
//! ```text
//!   published tables --> Wanted --want, unwant--> Issuer --Job--> order, challenge, certificate
//!   certificates in files --^                       ^                       |
//!   store: ledger, orders, certificates, accounts <-+------- finish --------+--> whoever serves it
//! ```
//!
//! Only what a service has registered is ever ordered: a request or a handshake for another name
//! starts nothing.

mod authority;
mod backoff;
mod counts;
mod http;
mod issuer;
#[cfg(test)]
mod issuer_tests;
mod job;
mod ledger;
mod memory;
mod name;
mod order;
mod run;
mod wanted;

pub use authority::{Binding, hmac_key};
pub use counts::Counts;
pub use issuer::{
    Blame, Finished, IN_FLIGHT_MAX, Issuer, Job, KEPT_EXPIRED, Method, Outcome, Start, Validity,
    Waiting,
};
pub use ledger::{Ca, Entry, Fate};
pub use name::Name;
pub use run::{Acme, Config, Inputs, StartError};
