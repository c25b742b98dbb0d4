//! Which endpoints there are: ids for identities, kept for as long as a route leads there.

use std::cmp::Ordering;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use model::{BackendUrl, InstanceName, ServiceName};

use crate::{EndpointId, Entry};

/// Ids by identity, counted by route.
#[derive(Clone, Debug, Default)]
pub(crate) struct Endpoints {
    by_identity: OrdMap<Identity, Held>,
    ids: OrdSet<EndpointId>,
    /// The last id given out.
    last: u64,
}

/// Service, instance and backend of a route: any route that leads there will do.
#[derive(Clone, Debug)]
struct Identity(Arc<Entry>);

#[derive(Clone, Copy, Debug)]
struct Held {
    id: EndpointId,
    routes: usize,
}

impl Endpoints {
    /// Counts one more route to an endpoint, new or known.
    pub(crate) fn acquire(&mut self, entry: &Arc<Entry>) -> EndpointId {
        let identity = Identity(Arc::clone(entry));
        let held = match self.by_identity.get(&identity) {
            Some(held) => Held { id: held.id, routes: held.routes + 1 },
            None => {
                self.last += 1;
                let id = EndpointId(self.last);
                self.ids.insert(id);
                Held { id, routes: 1 }
            }
        };
        // Keeps the newest route as the key, so that no replaced one is kept for its name.
        self.by_identity.insert(identity, held);
        held.id
    }

    /// Counts one route less. Call it after every `acquire` of the same change, so that an
    /// endpoint that moves from one route to another keeps its id.
    pub(crate) fn release(&mut self, entry: &Arc<Entry>) {
        let identity = Identity(Arc::clone(entry));
        let Some(held) = self.by_identity.get_mut(&identity) else {
            debug_assert!(false, "an endpoint was released once too often");
            return;
        };
        held.routes -= 1;
        if held.routes == 0 {
            let id = held.id;
            self.by_identity.remove(&identity);
            self.ids.remove(&id);
        }
    }

    pub(crate) fn contains(&self, id: EndpointId) -> bool {
        self.ids.contains(&id)
    }

    /// How many there are, and how many routes lead to them.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> (usize, usize) {
        assert_eq!(self.by_identity.len(), self.ids.len());
        (self.ids.len(), self.by_identity.values().map(|held| held.routes).sum())
    }
}

impl Identity {
    fn parts(&self) -> (&BackendUrl, &InstanceName, &ServiceName) {
        // The backend differs most often.
        (&self.0.spec.backend, &self.0.instance, &self.0.service)
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Identity {}

impl PartialOrd for Identity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Identity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}
