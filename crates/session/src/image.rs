//! Everything as it would be remembered: for tests, and to compare with what a store has.

use model::{Draft, Image, StoredSession};

use crate::Registry;

impl Registry {
    /// Everything as it would be remembered, were every batch handed out durable and no operation
    /// under way.
    pub fn image(&self) -> Image {
        let sessions = self.sessions.values().map(|session| {
            let routes = session.active.iter().filter_map(|route| self.table.get(*route));
            StoredSession {
                row: session.row(),
                routes: routes.map(|e| (e.route, e.spec.clone(), e.since)).collect(),
                settings: session.settings.clone(),
                draft: Draft {
                    routes: session.staging.routes().clone(),
                    settings: session.staging.settings().clone(),
                },
                drain: session.drain.as_ref().map(|order| order.row),
                maintenance: session.orders.clone(),
                trial: session.trial.as_ref().map(|trial| trial.row.clone()),
            }
        });
        Image {
            last_route: self.ids.taken().0,
            generation: self.generation,
            sessions: sessions.collect(),
            failing: self.failing.values().copied().collect(),
        }
    }
}
