//! ROUTE_LIST, SESSION_INFO and SESSIONS.

use model::{
    Now, Refusal, Reply, RouteId, RouteListEntry, RouteListing, RouteSpec, RouteStatus,
    SessionListEntry, SessionListing, SessionReport, SessionState, StagedFields, StagedRoute,
};

use crate::Registry;
use crate::answering::Outcome;
use crate::bounds::{PAGE_ENTRIES_MAX, SESSIONS_SHOWN_MAX};
use crate::staging::spec_of;
use crate::state::{Held, Session, Sid, Ticket};

impl Registry {
    /// Everything that is live or staged, in the order of ids; with `from`, a page of it.
    pub(crate) fn route_list(&self, sid: Sid, from: Option<RouteId>, compressed: bool) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        let first = from.unwrap_or(RouteId(0));
        let max = if from.is_some() && !compressed { PAGE_ENTRIES_MAX } else { usize::MAX };
        let mut live = session.active.range(first..).peekable();
        let mut staged = session.staging.routes().range(first..).peekable();
        let mut entries = Vec::new();
        while entries.len() < max {
            let next = match (live.peek(), staged.peek()) {
                (None, None) => break,
                (Some(live), Some((staged, _))) => (**live).min(**staged),
                (Some(live), None) => **live,
                (None, Some((staged, _))) => **staged,
            };
            let live = live.next_if(|route| **route == next);
            let staged = staged.next_if(|(route, _)| **route == next).map(|(_, staged)| staged);
            let spec = live.and_then(|route| self.table.get(*route)).map(|entry| &entry.spec);
            entries.extend(entry(next, spec, staged));
        }
        Ok(Reply::RouteList(RouteListing { entries, paged: from.is_some(), compressed }).into())
    }

    pub(crate) fn session_info(&self, sid: Sid, now: Now) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        Ok(Reply::Session(report(session, now)).into())
    }

    /// The sessions that an operator may name: the newest of each identity.
    pub(crate) fn sessions(&self, ticket: Ticket) -> Outcome {
        if !self.is_operator(ticket.conn) {
            return Err(Refusal::OPERATORS_ONLY);
        }
        let mut listing = SessionListing::default();
        let newest = self.seats.values().filter_map(|seat| seat.sessions.last());
        for session in newest.filter_map(|sid| self.session(*sid)) {
            let Some(state) = state(session.held) else { continue };
            listing.count += 1;
            if listing.entries.len() < SESSIONS_SHOWN_MAX {
                listing.entries.push(listed(session, state));
            }
        }
        Ok(Reply::Sessions(listing).into())
    }
}

fn entry(
    route: RouteId,
    live: Option<&RouteSpec>,
    staged: Option<&StagedRoute>,
) -> Option<RouteListEntry> {
    let (spec, status, changes) = match (live, staged) {
        (Some(spec), None) => (spec, RouteStatus::Active, None),
        (Some(spec), Some(StagedRoute::Removed)) => (spec, RouteStatus::PendingRemoval, None),
        (Some(spec), Some(staged)) => {
            let changes = spec_of(staged).map(|next| changes(spec, next));
            (spec, RouteStatus::Active, changes)
        }
        (None, Some(staged)) => (spec_of(staged)?, RouteStatus::Staged, None),
        (None, None) => return None,
    };
    Some(RouteListEntry {
        route,
        domains: spec.domains.clone(),
        path: spec.path.clone(),
        backend: spec.backend.clone(),
        priority: spec.priority,
        status,
        staged: changes,
    })
}

fn changes(from: &RouteSpec, to: &RouteSpec) -> StagedFields {
    StagedFields {
        domains: (from.domains != to.domains).then(|| to.domains.clone()),
        path: (from.path != to.path).then(|| to.path.clone()),
        backend: (from.backend != to.backend).then(|| to.backend.clone()),
        priority: (from.priority != to.priority).then_some(to.priority),
    }
}

/// `None` for one that cannot be named any more.
fn state(held: Held) -> Option<SessionState> {
    match held {
        Held::By(_) => Some(SessionState::Connected),
        Held::Away | Held::Lapsed => Some(SessionState::Away),
        Held::Pinned => Some(SessionState::Pinned),
        Held::Replaced { .. } => None,
    }
}

fn listed(session: &Session, state: SessionState) -> SessionListEntry {
    SessionListEntry {
        session: session.id.clone(),
        service: session.identity.service.clone(),
        instance: session.identity.instance.clone(),
        state,
        routes_active: session.active.len(),
        connected_at: (state == SessionState::Connected).then_some(session.connected_at),
        draining: session.drain.is_some(),
        in_maintenance: !session.resting.is_empty(),
    }
}

fn report(session: &Session, now: Now) -> SessionReport {
    SessionReport {
        session: session.id.clone(),
        service: session.identity.service.clone(),
        instance: session.identity.instance.clone(),
        connected_at: session.connected_at,
        uptime: now.wall.since(session.connected_at),
        routes_active: session.active.len(),
        routes_staged: session.staging.routes().len(),
        last_apply: session.last_apply,
        metadata: session.metadata.clone(),
        last_activity: session.last_activity,
        generation: session.generation,
    }
}
