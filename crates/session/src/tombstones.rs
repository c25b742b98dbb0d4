//! When keys without routes are forgotten. That they are known until then is in the table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::Instant;
use routing::{Edit, RouteKey};

use crate::bounds::{TOMBSTONE_LASTS, TOMBSTONES_MAX};
use crate::deadline::Due;
use crate::{Output, Registry};

/// Keys without routes, by the time they are forgotten.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    until: BTreeMap<RouteKey, Instant>,
    order: BTreeSet<(Instant, RouteKey)>,
}

impl Tombstones {
    fn add(&mut self, key: RouteKey, until: Instant) {
        self.remove(&key);
        self.until.insert(key.clone(), until);
        self.order.insert((until, key));
    }

    fn remove(&mut self, key: &RouteKey) {
        if let Some(until) = self.until.remove(key) {
            self.order.remove(&(until, key.clone()));
        }
    }

    fn first(&self) -> Option<&(Instant, RouteKey)> {
        self.order.first()
    }

    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.until.len(), self.order.len());
        self.until.len()
    }
}

impl Registry {
    /// Keys lost their last route because its service is gone. The table itself forgets the
    /// oldest when there are too many.
    pub(crate) fn bury(&mut self, keys: Vec<RouteKey>, now: Instant) {
        for key in keys {
            self.tombstones.add(key, now.after(TOMBSTONE_LASTS));
        }
        while self.tombstones.until.len() > TOMBSTONES_MAX {
            let Some((_, oldest)) = self.tombstones.order.pop_first() else { break };
            self.tombstones.until.remove(&oldest);
        }
        self.arm_tombstones();
    }

    /// Forgets keys whose time is over. What is configured stays the same, and so does the
    /// generation.
    pub(crate) fn forget_tombstones(&mut self, now: Instant) {
        let mut edits = Vec::new();
        while let Some((until, key)) = self.tombstones.first()
            && *until <= now
        {
            let key = key.clone();
            self.tombstones.remove(&key);
            let is_tombstone = self.table.pool(&key).is_some_and(|pool| pool.is_tombstone());
            if is_tombstone {
                edits.push(Edit::Forget(key));
            }
        }
        self.arm_tombstones();
        if edits.is_empty() {
            return;
        }
        if let Ok(changed) = self.table.with(edits, self.table.generation()) {
            self.table = Arc::new(changed.table);
            self.emit(Output::Publish(Arc::clone(&self.table)));
        }
    }

    fn arm_tombstones(&mut self) {
        match self.tombstones.first() {
            Some((until, _)) => self.deadlines.set(Due::Tombstones, *until),
            None => self.deadlines.clear(Due::Tombstones),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{BackendUrl, HostPattern, Image, MatchKind, Now, RoutePath, RouteSpec, UnixMillis};

    use super::*;

    #[test]
    fn so_many_keys_are_known_and_the_oldest_goes() {
        let now = Now { mono: Instant::from_nanos(1), wall: UnixMillis(1) };
        let mut registry = Registry::new(crate::fuzz::config(), [0; 32], Image::default(), now);
        for at in 0..TOMBSTONES_MAX {
            registry.bury(vec![key(at)], Instant::from_nanos(at as u64));
        }
        assert_eq!(registry.tombstones.len(), TOMBSTONES_MAX);
        assert!(registry.tombstones.until.contains_key(&key(0)));
        registry.bury(vec![key(TOMBSTONES_MAX)], Instant::from_nanos(TOMBSTONES_MAX as u64));
        assert_eq!(registry.tombstones.len(), TOMBSTONES_MAX);
        assert!(!registry.tombstones.until.contains_key(&key(0)));
        assert!(registry.tombstones.until.contains_key(&key(1)));
    }

    fn key(at: usize) -> RouteKey {
        let spec = RouteSpec {
            domains: vec![HostPattern::parse(&format!("h{at}.example")).unwrap()],
            path: RoutePath::parse("/").unwrap(),
            backend: BackendUrl::parse("http://b").unwrap(),
            priority: 0,
        };
        routing::keys(&spec, MatchKind::Prefix).next().unwrap()
    }
}
