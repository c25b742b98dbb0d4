//! Keys whose last route went because its service did, oldest first.

use std::sync::Arc;

use imbl::OrdMap;

use crate::RouteKey;

/// Most of them; one more and the oldest is forgotten (SPEC 12).
pub(crate) const TOMBSTONES_MAX: usize = 10_000;

/// Keys that are known and lead nowhere. They own nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tombstones {
    by_age: OrdMap<u64, Arc<RouteKey>>,
    ages: OrdMap<Arc<RouteKey>, u64>,
    /// The last age given out.
    last: u64,
}

impl Tombstones {
    /// Adds a key, as the youngest. Returns the one that had to go for it.
    pub(crate) fn bury(&mut self, key: &RouteKey) -> Option<Arc<RouteKey>> {
        self.forget(key);
        self.last += 1;
        let key = Arc::new(key.clone());
        self.by_age.insert(self.last, Arc::clone(&key));
        self.ages.insert(key, self.last);
        if self.ages.len() <= TOMBSTONES_MAX {
            return None;
        }
        let (_, oldest) = self.by_age.get_min()?;
        let oldest = Arc::clone(oldest);
        self.forget(&oldest);
        Some(oldest)
    }

    pub(crate) fn forget(&mut self, key: &RouteKey) {
        if let Some(age) = self.ages.remove(key) {
            self.by_age.remove(&age);
        }
    }

    pub(crate) fn contains(&self, key: &RouteKey) -> bool {
        self.ages.contains_key(key)
    }

    /// Oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &RouteKey> {
        self.by_age.values().map(|key| &**key)
    }
}
