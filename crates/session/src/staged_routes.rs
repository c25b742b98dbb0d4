//! ROUTE_ADD, ROUTE_ADD_BULK, ROUTE_UPDATE, ROUTE_REMOVE: routes are staged.

use std::collections::BTreeMap;

use model::{
    Line, MatchKind, Now, Record, Refusal, Reply, RouteId, RouteSpec, RouteUpdate, SettingsEdits,
    StagedRoute,
};

use crate::Registry;
use crate::answering::{Done, Outcome};
use crate::draft::unstage_records;
use crate::flight::{Op, Prepared, Waits};
use crate::staging::{canonical, is_added, spec_of};
use crate::state::{Session, Sid, Ticket};

/// What becomes of one route of a command.
enum Adding {
    /// It is there already, by this id.
    Known(RouteId),
    /// It is new; or the same as a new one before it in the command.
    New(usize),
}

impl Registry {
    /// ROUTE_ADD, and ROUTE_ADD_BULK: all or none.
    pub(crate) fn route_add(
        &mut self,
        ticket: Ticket,
        sid: Sid,
        specs: &[RouteSpec],
        line: &Line,
        now: Now,
    ) -> Result<Adds, Refusal> {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        let mut new: Vec<StagedRoute> = Vec::new();
        let mut by_spec: BTreeMap<RouteSpec, usize> = BTreeMap::new();
        let mut adding = Vec::with_capacity(specs.len());
        for spec in specs {
            if let Some(route) = self.same_route(session, spec) {
                adding.push(Adding::Known(route));
                continue;
            }
            let at = *by_spec.entry(canonical(spec)).or_insert(new.len());
            if at == new.len() {
                new.push(StagedRoute::Added(spec.clone()));
            }
            adding.push(Adding::New(at));
        }
        self.has_room_for_routes(session, new.len())?;
        self.has_room(sid, &new, &SettingsEdits::default())?;
        if !self.ids.has_reserved(new.len()) {
            self.reserve_ids(ticket, sid, new.len(), line);
            return Ok(Adds::Later);
        }
        Ok(Adds::Now(self.stage_added(sid, adding, new, now)))
    }

    fn stage_added(
        &mut self,
        sid: Sid,
        adding: Vec<Adding>,
        new: Vec<StagedRoute>,
        now: Now,
    ) -> Vec<RouteId> {
        let Some(session) = self.session(sid) else { return Vec::new() };
        let id = session.id.clone();
        let mut records = Vec::new();
        let mut revived = Vec::new();
        for adding in &adding {
            if let Adding::Known(route) = adding
                && session.staging.route(*route) == Some(&StagedRoute::Removed)
            {
                records.push(Record::StageRoute(id.clone(), *route, None));
                revived.push(*route);
            }
        }
        let added: Vec<(RouteId, StagedRoute)> =
            new.into_iter().map(|staged| (self.next_staged_route(), staged)).collect();
        for (route, staged) in &added {
            records.push(Record::StageRoute(id.clone(), *route, Some(staged.clone())));
        }
        let routes = adding
            .into_iter()
            .filter_map(|adding| match adding {
                Adding::Known(route) => Some(route),
                Adding::New(at) => added.get(at).map(|(route, _)| *route),
            })
            .collect();
        self.edit_draft(sid, |staging| {
            revived.iter().for_each(|route| staging.unstage(*route));
            for (route, staged) in added {
                staging.stage(route, staged);
            }
        });
        self.staged(sid, records, now);
        routes
    }

    /// An id for a route that is staged at once.
    pub(crate) fn next_staged_route(&mut self) -> RouteId {
        let route = self.ids.next_route();
        self.ids.used(route);
        route
    }

    /// The route of a session that is, or will be, just this.
    fn same_route(&self, session: &Session, spec: &RouteSpec) -> Option<RouteId> {
        if let Some(route) = session.staging.find(spec) {
            return Some(route);
        }
        let wanted = canonical(spec);
        [MatchKind::Prefix, MatchKind::Exact, MatchKind::Raw].into_iter().find_map(|kind| {
            let key = routing::keys(&wanted, kind).next()?;
            let pool = self.table.pool(&key)?;
            pool.members.iter().map(|member| member.route).find(|route| {
                let unchanged = match session.staging.route(*route) {
                    None | Some(StagedRoute::Removed) => true,
                    Some(_) => false,
                };
                unchanged
                    && session.active.contains(route)
                    && self.table.get(*route).is_some_and(|e| canonical(&e.spec) == wanted)
            })
        })
    }

    pub(crate) fn has_room_for_routes(
        &self,
        session: &Session,
        count: usize,
    ) -> Result<(), Refusal> {
        let max = self.config.routes_per_session_max;
        let have = session.active.len() + session.staging.added();
        if count > 0 && have + count > max {
            return Err(Refusal::new(format!("too many routes in this session (max {max})")));
        }
        Ok(())
    }

    /// Has the disk remember that ids are taken before they are given out by commands that do not
    /// wait for it: no id is ever used again, also after a crash. Once for many routes.
    pub(crate) fn reserve_ids(&mut self, ticket: Ticket, sid: Sid, count: usize, line: &Line) {
        let Some(session) = self.session(sid) else { return };
        let identity = session.identity.clone();
        let last = self.ids.promise(count);
        let generation = self.generation;
        self.launch(Prepared {
            ticket: Some(ticket),
            op: Op::Reserve(last, Box::new(line.clone())),
            records: vec![Record::Counters { last_route: last, generation }],
            waits: Waits::ForTheDisk,
            locks: vec![identity],
            claims: None,
            coming: 0,
        });
    }

    pub(crate) fn route_update(
        &mut self,
        ticket: Ticket,
        sid: Sid,
        route: RouteId,
        update: &RouteUpdate,
        now: Now,
    ) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        let active = self.table.get(route).filter(|_| session.active.contains(&route));
        let staged = session.staging.route(route);
        let before = match (staged, active) {
            (Some(StagedRoute::Removed), _) => return Err(staged_for_removal(route)),
            (Some(staged), _) => spec_of(staged).cloned(),
            (None, Some(entry)) => Some(entry.spec.clone()),
            (None, None) => None,
        };
        let Some(before) = before else { return Err(Refusal::ROUTE_NOT_FOUND) };
        let spec = updated(before, update);
        self.may_route(ticket.conn, Some(route), &spec)?;
        if let Some(other) = self.same_route(session, &spec).filter(|other| *other != route) {
            return Err(Refusal::new(format!("route {other} is the same")));
        }
        let next = match staged {
            Some(StagedRoute::Added(_)) => Some(StagedRoute::Added(spec)),
            Some(StagedRoute::TakenOver { from, .. }) => {
                Some(StagedRoute::TakenOver { spec, from: *from })
            }
            Some(StagedRoute::Updated(_) | StagedRoute::Removed) | None => {
                let as_before = active.is_some_and(|entry| entry.spec == spec);
                (!as_before).then_some(StagedRoute::Updated(spec))
            }
        };
        self.has_room(sid, next.as_slice(), &SettingsEdits::default())?;
        let records = vec![Record::StageRoute(session.id.clone(), route, next.clone())];
        self.edit_draft(sid, |staging| match next {
            Some(next) => staging.stage(route, next),
            None => staging.unstage(route),
        });
        self.staged(sid, records, now);
        Ok(Reply::RouteOk.into())
    }

    pub(crate) fn route_remove(&mut self, sid: Sid, route: RouteId, now: Now) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        let staged = session.staging.route(route);
        let is_active = session.active.contains(&route);
        let only_staged = staged.is_some_and(is_added);
        if !only_staged && !is_active {
            return Err(Refusal::ROUTE_NOT_FOUND);
        }
        // Whatever else was staged for it means nothing any more.
        let mut records = unstage_records(&session.id, &session.staging, &[route]);
        if !only_staged {
            self.has_room(sid, &[StagedRoute::Removed], &SettingsEdits::default())?;
            let removed = Some(StagedRoute::Removed);
            records.push(Record::StageRoute(session.id.clone(), route, removed));
        }
        self.unstage_routes(sid, &[route]);
        if !only_staged {
            self.edit_draft(sid, |staging| staging.stage(route, StagedRoute::Removed));
        }
        self.staged(sid, records, now);
        Ok(Reply::RouteOk.into())
    }
}

/// What adding routes has come to.
pub(crate) enum Adds {
    /// These are their ids, in the order of the command.
    Now(Vec<RouteId>),
    /// The command goes on when ids are reserved.
    Later,
}

impl Adds {
    /// The answer, made of the ids.
    pub(crate) fn answered(self, reply: impl FnOnce(Vec<RouteId>) -> Reply) -> Done {
        match self {
            Self::Now(routes) => Done::Reply(reply(routes)),
            Self::Later => Done::Later,
        }
    }
}

pub(crate) fn staged_for_removal(route: RouteId) -> Refusal {
    Refusal::new(format!("route {route} is staged for removal"))
}

fn updated(mut spec: RouteSpec, update: &RouteUpdate) -> RouteSpec {
    match update {
        RouteUpdate::Backend(backend) => spec.backend = backend.clone(),
        RouteUpdate::Priority(priority) => spec.priority = *priority,
        RouteUpdate::Domains(domains) => spec.domains.clone_from(domains),
        RouteUpdate::Path(path) => spec.path = path.clone(),
    }
    spec
}
