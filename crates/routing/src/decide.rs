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

/// What to do with a request.
#[derive(Clone, Copy, Debug)]
pub enum Decision<'t> {
    /// Nothing known: 404.
    NoRoute,
    /// No usable endpoint: 503.
    Unavailable {
        /// The pool that would have answered.
        pool: &'t Arc<Pool>,
        /// When to come back.
        retry_after: Duration,
    },
    /// Send it there.
    Send {
        /// The pool that answers.
        pool: &'t Arc<Pool>,
        /// The index of the member picked.
        member: usize,
    },
}

/// Decides where one request goes. `draw` is a random number; `tried` are the endpoints that
/// failed this request already.
///
/// [`Table::find`] and [`choose`] in one: for a pool with `balance=round_robin` or
/// `balance=hash` the draw means something ([`choose`]), and whoever wants to give it that
/// meaning looks at the pool in between.
pub fn decide<'t>(
    table: &'t Table,
    live: &impl Live,
    head: Head<'_>,
    now: Instant,
    draw: u64,
    tried: &[EndpointId],
) -> Decision<'t> {
    match table.find(head) {
        Some(pool) => choose(pool, live, now, draw, tried),
        None => Decision::NoRoute,
    }
}
