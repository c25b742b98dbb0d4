//! How many sessions came from where.

use std::collections::BTreeMap;

use resilience::ClientKey;

/// Counts by peer. Where nothing is counted there is no entry.
#[derive(Debug, Default)]
pub(crate) struct Peers(BTreeMap<ClientKey, usize>);

impl Peers {
    pub(crate) fn enter(&mut self, peer: Option<ClientKey>) {
        if let Some(peer) = peer {
            *self.0.entry(peer).or_default() += 1;
        }
    }

    pub(crate) fn leave(&mut self, peer: Option<ClientKey>) {
        if let Some(peer) = peer
            && let Some(count) = self.0.get_mut(&peer)
        {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&peer);
            }
        }
    }

    pub(crate) fn count(&self, peer: ClientKey) -> usize {
        self.0.get(&peer).copied().unwrap_or_default()
    }

    pub(crate) fn total(&self) -> usize {
        self.0.values().sum()
    }
}
