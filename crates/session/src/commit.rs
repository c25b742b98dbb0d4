//! How a change of the table takes effect: published, counted, and told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Generation, Now, RouteConfig, RouteId, RouteSpec};
use routing::{Edit, EndpointId, Entry};

use crate::overlay::has_own;
use crate::state::{Identity, Session, Sid};
use crate::{Output, Registry};

impl Registry {
    /// Publishes a change. `leaving` are the routes that are taken out or put anew, `coming` those
    /// that are put in.
    pub(crate) fn carry_out(
        &mut self,
        edits: Vec<Edit>,
        generation: Generation,
        leaving: &[(Sid, RouteId)],
        coming: &[(Sid, RouteId)],
        now: Now,
    ) {
        let mut touched: BTreeMap<Sid, BTreeSet<EndpointId>> = BTreeMap::new();
        let marked = self.marked(leaving);
        for (sid, route) in leaving {
            let Some(endpoint) = self.table.endpoint_of(*route) else { continue };
            let Some(session) = self.sessions.get_mut(sid) else { continue };
            session.active.remove(route);
            if let Some(led) = session.endpoints.get_mut(&endpoint) {
                led.routes -= 1;
                if led.routes == 0 {
                    session.endpoints.remove(&endpoint);
                    touched.entry(*sid).or_default().insert(endpoint);
                }
            }
        }
        self.publish(edits, generation, now);
        for (sid, route) in coming {
            let Some(endpoint) = self.table.endpoint_of(*route) else { continue };
            let Some(entry) = self.table.get(*route) else { continue };
            let Some(session) = self.sessions.get_mut(sid) else { continue };
            session.lead(*route, endpoint, &entry.spec.backend);
            touched.entry(*sid).or_default().insert(endpoint);
        }
        self.hand_on_marks(marked, coming);
        let mut by_identity: BTreeMap<Identity, BTreeSet<EndpointId>> = BTreeMap::new();
        for (sid, endpoints) in touched {
            let Some(session) = self.session(sid) else { continue };
            by_identity.entry(session.identity.clone()).or_default().extend(endpoints);
        }
        for (identity, endpoints) in by_identity {
            self.refresh(&identity, &endpoints);
        }
    }

    fn publish(&mut self, edits: Vec<Edit>, generation: Generation, now: Now) {
        debug_assert!(generation > self.table.generation(), "generations only grow");
        match self.table.with(edits, generation) {
            Ok(changed) => {
                self.table = Arc::new(changed.table);
                self.emit(Output::Publish(Arc::clone(&self.table)));
                self.bury(changed.buried, now.mono);
            }
            Err(conflicts) => debug_assert!(false, "checked and claimed, and yet {conflicts:?}"),
        }
    }

    /// A live route as the table wants it.
    pub(crate) fn entry(
        &self,
        session: &Session,
        route: RouteId,
        spec: RouteSpec,
        since: Generation,
    ) -> Entry {
        Entry {
            route,
            service: session.identity.service.clone(),
            instance: session.identity.instance.clone(),
            spec,
            config: config_of(session, route),
            since,
        }
    }
}

/// What holds for a route: shared, unless it has settings of its own.
pub(crate) fn config_of(session: &Session, route: RouteId) -> Arc<RouteConfig> {
    if has_own(&session.settings, route) {
        Arc::new(session.settings.resolve(route))
    } else {
        Arc::clone(&session.base)
    }
}

/// What holds for a route without settings of its own. No route has the id 0.
pub(crate) fn base_of(session: &Session) -> Arc<RouteConfig> {
    Arc::new(session.settings.resolve(RouteId(0)))
}
