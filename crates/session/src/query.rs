//! Questions that only a shell can answer: STATS_GET, BACKEND_TEST, EXPLAIN, CIRCUIT_BREAKER_*.

use model::{BackendUrl, OptionKey, OptionValue, Refusal, Reply, RouteId, Target};

use crate::answering::{Done, Outcome};
use crate::overlay::Overlay;
use crate::settings::effective;
use crate::staging::spec_of;
use crate::state::{Session, Sid, Ticket};
use crate::{Output, Query, QueryId, Registry};

impl Registry {
    /// Asks, and answers the command when the answer comes.
    pub(crate) fn ask(&mut self, ticket: Ticket, query: Query) -> Outcome {
        let id = self.ids.next_query();
        let Some(pending) = self.conns.get_mut(&ticket.conn).and_then(|c| c.pending.as_mut())
        else {
            return Err(Refusal::NO_SESSION);
        };
        pending.query = Some(id);
        self.queries.insert(id, ticket);
        self.emit(Output::Query(id, query));
        Ok(Done::Later)
    }

    /// An answer came; perhaps too late.
    pub(crate) fn answered(&mut self, query: QueryId, reply: Reply) {
        if let Some(ticket) = self.queries.remove(&query) {
            self.answer(ticket, reply);
        }
    }

    /// Asks how a request would be routed. It is about the whole proxy, whoever asks.
    pub(crate) fn explain(
        &mut self,
        ticket: Ticket,
        method: &str,
        host: &str,
        path: &str,
    ) -> Outcome {
        let (method, host, path) = (method.into(), host.into(), path.into());
        self.ask(ticket, Query::Explain { method, host, path })
    }

    /// The live routes that a target means.
    pub(crate) fn live_routes(&self, sid: Sid, target: Target) -> Result<Vec<RouteId>, Refusal> {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        match target {
            Target::All => Ok(session.active.iter().copied().collect()),
            Target::Route(route) if session.active.contains(&route) => Ok(vec![route]),
            Target::Route(_) => Err(Refusal::ROUTE_NOT_FOUND),
        }
    }

    /// Asks the health path of a route with that URL, else `/` (SPEC 12).
    pub(crate) fn backend_test(
        &mut self,
        ticket: Ticket,
        sid: Sid,
        backend: BackendUrl,
    ) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        let path = self.health_path(session, &backend).unwrap_or_else(|| "/".into());
        self.ask(ticket, Query::BackendTest(backend, path))
    }

    fn health_path(&self, session: &Session, backend: &BackendUrl) -> Option<Box<str>> {
        let effective = effective(session);
        let staged = session.staging.routes().iter();
        let staged = staged.filter_map(|(route, staged)| Some((*route, &spec_of(staged)?.backend)));
        let live = session.active.iter().filter_map(|route| self.table.get(*route));
        let live = live.map(|entry| (entry.route, &entry.spec.backend));
        let mut routes = staged.chain(live).filter(|(_, url)| *url == backend).map(|(r, _)| r);
        routes.find_map(|route| health_path_of(effective, route))
    }
}

fn health_path_of(effective: Overlay<'_>, route: RouteId) -> Option<Box<str>> {
    let staged = effective.edits.health.get(&route);
    let health = match staged {
        Some(staged) => staged.as_ref(),
        None => effective.base.health.get(&route),
    };
    match (
        health.map(|health| &health.probe),
        effective.resolved(route, OptionKey::HealthCheckPath),
    ) {
        (Some(model::HealthProbe::Http(path)), _) => Some(path.clone()),
        (Some(model::HealthProbe::Tcp | model::HealthProbe::Off), _) => None,
        (None, Some(OptionValue::Path(path))) => Some(path.clone()),
        (None, _) => None,
    }
}
