//! Rate limits, shared by all workers (SPEC 4).
//!
//! A client's buckets lie in one shard, so a request that is limited twice, by its route and by
//! `ALL`, takes one lock, for as long as it takes to compare a few numbers.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use model::Instant;
use resilience::{Admission, ClientKey, Limiter, Scope};
use routing::Pool;

const SHARDS: usize = 64;
/// Buckets in all: a million clients of one route, or fewer of more.
const KEYS_MAX: usize = 1 << 20;

/// Every bucket of every client.
#[derive(Debug)]
pub(crate) struct Limits(Box<[Mutex<Limiter>]>);

impl Limits {
    pub(crate) fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::new(Limiter::new(KEYS_MAX / SHARDS))).collect())
    }

    /// Counts a request against the limits of its pool; `None` where there are none.
    pub(crate) fn admit(&self, client: IpAddr, pool: &Pool, now: Instant) -> Option<Admission> {
        let route = pool.config.limit.map(|limit| (Scope(pool.scope), limit));
        let all = pool.config.limit_all.map(|limit| (Scope(pool.service_scope()), limit));
        let client = ClientKey::of(client);
        let shard = self.0.get(client.shard(SHARDS))?;
        let admit = |limits: &_| {
            // Nothing in here can be left half done by a panic.
            shard.lock().unwrap_or_else(PoisonError::into_inner).admit(client, limits, now)
        };
        match (route, all) {
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => Some(admit(&[one][..])),
            (Some(route), Some(all)) => Some(admit(&[route, all][..])),
        }
    }
}
