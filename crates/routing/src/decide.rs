//! Where one request goes.

use std::sync::Arc;
use std::time::Duration;

use model::{Instant, NormalPath};

use crate::{EndpointId, Live, Pool, Table, choose};

/// What routing knows of a request.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The host, normalised; `None` for HTTP/1.0 without one.
    pub host: Option<&'a str>,
    /// The path as it was sent, without query.
    pub raw_path: &'a str,
    /// The path, normalised.
    pub path: &'a NormalPath<'a>,
}

/// What a choice depends on besides the pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice<'a> {
    /// Now.
    pub now: Instant,
    /// A random number; what else it may be is for `balance` to say ([`choose`]).
    pub draw: u64,
    /// The endpoints that failed this request already.
    pub tried: &'a [EndpointId],
    /// Where the client was before, if the pool is sticky.
    pub sticky: Option<Sticky>,
}

/// What a sticky cookie says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// [`crate::Member::token`] of the endpoint.
    pub token: u64,
    /// Tells the client apart from others of the same endpoint.
    pub client: u64,
}

/// What to do with a request.
#[derive(Clone, Copy, Debug)]
pub enum Decision<'t> {
    /// Nothing known: 404.
    NoRoute,
    /// No usable endpoint: 503.
    Unavailable {
        /// The pool that would have answered.
        pool: &'t Arc<Pool>,
        /// Why.
        reason: Unavailable,
        /// When to come back.
        retry_after: Duration,
    },
    /// No endpoint but ones in maintenance: their page.
    Maintenance {
        /// The pool that would have answered.
        pool: &'t Arc<Pool>,
        /// The index of a member in maintenance.
        member: usize,
    },
    /// Send it there.
    Send {
        /// The pool that answers.
        pool: &'t Arc<Pool>,
        /// The index of the member picked.
        member: usize,
    },
}

/// Why no endpoint of a pool is usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// None is there, or all have failed this request.
    Gone,
    /// What is there is behind an open circuit breaker.
    Open,
    /// What is there works on as many requests as it may.
    Full,
}

/// Decides where one request goes.
///
/// [`Table::find`] and [`choose`] in one: for a pool with `balance=round_robin` or
/// `balance=hash` the draw means something, and whoever wants to give it that meaning looks at
/// the pool in between.
pub fn decide<'t>(
    table: &'t Table,
    live: &impl Live,
    head: Head<'_>,
    choice: &Choice<'_>,
) -> Decision<'t> {
    match table.find(head) {
        Some(pool) => choose(pool, live, choice),
        None => Decision::NoRoute,
    }
}
