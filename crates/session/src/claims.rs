//! Keys that are spoken for: by an operation on its way to the disk, or by a try that may have to
//! go back to them. Until then no other service can have them.

use std::collections::BTreeMap;

use model::ServiceName;
use routing::RouteKey;

/// Which keys, whose, and how often.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    by_key: BTreeMap<RouteKey, (ServiceName, usize)>,
}

impl Claims {
    /// The service that has claimed a key.
    pub(crate) fn of(&self, key: &RouteKey) -> Option<&ServiceName> {
        self.by_key.get(key).map(|(service, _)| service)
    }

    /// Claims keys that nobody else has claimed.
    pub(crate) fn add(&mut self, service: &ServiceName, keys: &[RouteKey]) {
        for key in keys {
            let (owner, count) =
                self.by_key.entry(key.clone()).or_insert_with(|| (service.clone(), 0));
            debug_assert_eq!(owner, service, "{key} is claimed by two services");
            *count += 1;
        }
    }

    /// Gives up what [`Claims::add`] claimed.
    pub(crate) fn remove(&mut self, keys: &[RouteKey]) {
        for key in keys {
            let Some((_, count)) = self.by_key.get_mut(key) else {
                debug_assert!(false, "{key} is not claimed");
                continue;
            };
            *count -= 1;
            if *count == 0 {
                self.by_key.remove(key);
            }
        }
    }

    /// How many claims there are, each key counted as often as it was claimed.
    pub(crate) fn len(&self) -> usize {
        self.by_key.values().map(|(_, count)| count).sum()
    }
}
