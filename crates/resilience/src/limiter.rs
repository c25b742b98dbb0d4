//! How many requests a client may send (SPEC 4, 12).
//!
//! At most N in any window, exactly: a bucket remembers when each hit was. A token bucket or
//! GCRA would let nearly 2N through. Of many hits it remembers at most 64 groups, each by its
//! last hit, so that never too many pass, and fewer than N/64 are refused too early.
//!
//! # Driving it
//!
//! A [`Limiter`] is one shard. Keep several, each in a mutex, and ask the one of
//! [`ClientKey::shard`]: all of a client's buckets lie in the same.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::IpAddr,
    ops::Bound,
    time::Duration,
};

use model::{Instant, LimitSpec};

#[cfg(test)]
mod tests;

/// The most a bucket remembers. See [`group_size`].
const GROUPS: u32 = 64;
/// Idle buckets dropped with each request; one is as many as it may add.
const SWEEP: usize = 2;

/// Who is limited: an IPv4 address, or the /64 an IPv6 address lies in (SPEC 12).
///
/// As an IPv6 address: IPv4 mapped, else without the lower half, which is never zero when mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey(u128);

/// Which bucket of a client: a route's, or a session's for all of its routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(pub u64);

/// Whether a request is allowed, and what to tell the client of the tightest limit.
///
/// That is the one with the longest wait if it is not, else the one with the least remaining.
/// All zero, and allowed, where there is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Whether it is.
    pub allowed: bool,
    /// Most requests in any window.
    pub limit: u32,
    /// How many of them are left, now that this one is counted.
    pub remaining: u32,
    /// When allowed: until the oldest request counted is not any more. Else: until a request
    /// would be allowed.
    pub reset: Duration,
}

/// The buckets of some of the clients. As many as are in use, up to a bound.
#[derive(Debug)]
pub struct Limiter {
    keys_max: usize,
    /// Of threads that disagree, the latest: hits are in order.
    now: Instant,
    buckets: HashMap<Key, Bucket>,
    /// By window, then by the last hit: in each the first is the first to become idle.
    order: BTreeMap<Duration, BTreeSet<(Instant, Key)>>,
    /// The window swept last.
    swept: Duration,
}

type Key = (ClientKey, Scope);

/// The hits of one client in one scope.
#[derive(Debug)]
struct Bucket {
    spec: LimitSpec,
    last: Instant,
    /// Oldest first.
    groups: VecDeque<Group>,
    /// Over all groups.
    hits: u32,
}

/// Hits that are remembered together, and forgotten when the last one is.
#[derive(Clone, Copy, Debug)]
struct Group {
    last: Instant,
    hits: u32,
}

impl ClientKey {
    /// That of an address.
    pub fn of(ip: IpAddr) -> Self {
        const UPPER_HALF: u128 = !(u64::MAX as u128);
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
            IpAddr::V6(ip) => ip.to_bits() & UPPER_HALF,
        })
    }

    /// That of an address, unless it is loopback, where everybody has the same (SPEC 12).
    pub fn counted(ip: IpAddr) -> Option<Self> {
        (!ip.to_canonical().is_loopback()).then(|| Self::of(ip))
    }

    /// Which of so many shards the client's buckets lie in. The first if there are none.
    pub const fn shard(self, shards: usize) -> usize {
        // Multiplied by an odd number, the upper half depends on all bits: neighbours part.
        let folded = (self.0 >> 64) as u64 ^ self.0 as u64;
        let mixed = folded.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        match shards {
            0 => 0,
            _ => ((mixed as u128 * shards as u128) >> 64) as usize,
        }
    }
}

impl Limiter {
    /// One that remembers at most so many clients and scopes, and at least one.
    pub fn new(keys_max: usize) -> Self {
        Self {
            keys_max: keys_max.max(1),
            now: Instant::default(),
            buckets: HashMap::new(),
            order: BTreeMap::new(),
            swept: Duration::ZERO,
        }
    }

    /// How many buckets there are.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether there is no bucket.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// A client asks at `now` to send a request that all of `limits` must allow, no two of them of
    /// the same scope. A request that is refused counts for none of them.
    ///
    /// A limit that changed keeps what was counted, as far as it is still remembered.
    pub fn admit(
        &mut self,
        client: ClientKey,
        limits: &[(Scope, LimitSpec)],
        now: Instant,
    ) -> Admission {
        self.now = self.now.max(now);
        self.sweep();
        let limits = || limits.iter().filter(|(_, spec)| spec.requests > 0);
        let refused = limits()
            .filter_map(|(scope, spec)| self.refused((client, *scope), *spec))
            .max_by_key(|admission| admission.reset);
        if let Some(refused) = refused {
            return refused;
        }
        limits()
            .map(|(scope, spec)| self.hit((client, *scope), *spec))
            .min_by_key(|admission| (admission.remaining, std::cmp::Reverse(admission.reset)))
            .unwrap_or(Admission::UNLIMITED)
    }

    /// The refusal, if it is one.
    fn refused(&mut self, key: Key, spec: LimitSpec) -> Option<Admission> {
        let bucket = self.buckets.get_mut(&key)?;
        if bucket.spec != spec {
            unlist(&mut self.order, bucket, key);
            bucket.change(spec);
            list(&mut self.order, bucket, key);
        }
        bucket.forget(self.now);
        let reset = bucket.wait(self.now)?;
        Some(Admission { allowed: false, limit: spec.requests, remaining: 0, reset })
    }

    fn hit(&mut self, key: Key, spec: LimitSpec) -> Admission {
        if !self.buckets.contains_key(&key) {
            self.make_room();
        }
        let bucket = self.buckets.entry(key).or_insert_with(|| Bucket::new(spec));
        unlist(&mut self.order, bucket, key);
        bucket.hit(self.now);
        list(&mut self.order, bucket, key);
        Admission {
            allowed: true,
            limit: spec.requests,
            remaining: spec.requests.saturating_sub(bucket.hits),
            reset: bucket.groups.front().map_or(Duration::ZERO, |group| group.left(spec, self.now)),
        }
    }

    /// Drops idle buckets of the next window: a few with each request, so none waits for all.
    fn sweep(&mut self) {
        let next = (Bound::Excluded(self.swept), Bound::Unbounded);
        self.swept = self.order.range(next).next().map_or(Duration::ZERO, |(window, _)| *window);
        for _ in 0..SWEEP {
            let Some((last, key)) = self.order.get(&self.swept).and_then(BTreeSet::first) else {
                return;
            };
            if self.now.since(*last) < self.swept {
                return;
            }
            self.remove(*key);
        }
    }

    /// When full: for an idle bucket, else for the one hit longest ago.
    fn make_room(&mut self) {
        if self.buckets.len() < self.keys_max {
            return;
        }
        let firsts = self.order.iter().filter_map(|(window, set)| Some((*window, set.first()?)));
        let leaving = firsts.min_by_key(|(window, (last, _))| {
            let counts = self.now.since(*last) < *window;
            (counts, *last)
        });
        if let Some((_, (_, key))) = leaving {
            self.remove(*key);
        }
    }

    fn remove(&mut self, key: Key) {
        if let Some(bucket) = self.buckets.remove(&key) {
            unlist(&mut self.order, &bucket, key);
        }
    }
}

fn list(order: &mut BTreeMap<Duration, BTreeSet<(Instant, Key)>>, bucket: &Bucket, key: Key) {
    order.entry(bucket.spec.window).or_default().insert((bucket.last, key));
}

fn unlist(order: &mut BTreeMap<Duration, BTreeSet<(Instant, Key)>>, bucket: &Bucket, key: Key) {
    if let Some(set) = order.get_mut(&bucket.spec.window) {
        set.remove(&(bucket.last, key));
        if set.is_empty() {
            order.remove(&bucket.spec.window);
        }
    }
}

impl Admission {
    const UNLIMITED: Self = Self { allowed: true, limit: 0, remaining: 0, reset: Duration::ZERO };
}

impl Bucket {
    fn new(spec: LimitSpec) -> Self {
        Self { spec, last: Instant::default(), groups: VecDeque::new(), hits: 0 }
    }

    /// Keeps what was counted; joins groups if they may be larger.
    fn change(&mut self, spec: LimitSpec) {
        self.spec = spec;
        let size = group_size(spec);
        for group in std::mem::take(&mut self.groups) {
            self.add(group, size);
        }
    }

    /// Those whose last hit is as old as the window, or older.
    fn forget(&mut self, now: Instant) {
        while let Some(group) = self.groups.front()
            && group.left(self.spec, now).is_zero()
        {
            self.hits -= group.hits;
            self.groups.pop_front();
        }
    }

    /// How long until a hit is allowed; `None` is now.
    fn wait(&self, now: Instant) -> Option<Duration> {
        // So many have to leave first; more than one when the limit became smaller.
        let mut excess =
            (self.hits + 1).checked_sub(self.spec.requests).filter(|hits| *hits > 0)?;
        let until = self.groups.iter().find(|group| {
            excess = excess.saturating_sub(group.hits);
            excess == 0
        });
        until.map(|group| group.left(self.spec, now))
    }

    fn hit(&mut self, now: Instant) {
        self.last = now;
        self.hits += 1;
        self.add(Group { last: now, hits: 1 }, group_size(self.spec));
    }

    /// The newest hits, to the newest group if they fit.
    fn add(&mut self, newest: Group, size: u32) {
        match self.groups.back_mut() {
            Some(group) if group.hits.saturating_add(newest.hits) <= size => {
                *group = Group { last: newest.last, hits: group.hits + newest.hits };
            }
            _ => self.groups.push_back(newest),
        }
    }
}

impl Group {
    /// How long it is still counted.
    fn left(self, spec: LimitSpec, now: Instant) -> Duration {
        spec.window.saturating_sub(now.since(self.last))
    }
}

/// How many hits are remembered as one. Only the oldest group holds hits that are too old, all
/// but its last at most: fewer than N/64.
const fn group_size(spec: LimitSpec) -> u32 {
    spec.requests.div_ceil(GROUPS)
}
