//! A change of what is active, from the plan to the disk. How it takes effect is in `apply`.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Generation, HistoryRow, Now, Record, Reply, RouteId, RouteSpec, Scope, Scopes, SettingsEdits,
    UnixMillis,
};

use crate::draft::{settings_records, unstage_records};
use crate::flight::{Op, Prepared, Waits};
use crate::overlay::without_own;
use crate::plan::Plan;
use crate::state::{Held, Session, Sid, Ticket, Trial};
use crate::{Note, Registry};

/// A change of what is active, on its way to the disk.
#[derive(Debug)]
pub(crate) struct Configure {
    pub(crate) sid: Sid,
    pub(crate) action: &'static str,
    /// When it was sent to the disk: the same is remembered and shown.
    pub(crate) at: UnixMillis,
    pub(crate) generation: Generation,
    pub(crate) plan: Plan,
    /// Sessions that end with this: their successor has applied.
    pub(crate) swapped: Vec<Sid>,
    /// Staged changes of routes that go.
    pub(crate) unstaged: Vec<(Sid, Vec<RouteId>)>,
    pub(crate) draft: OfTheDraft,
    pub(crate) trial: TrialStep,
    pub(crate) reply: Option<Reply>,
    pub(crate) notes: Vec<Note>,
}

/// What of the draft is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfTheDraft {
    Nothing,
    These(Scopes),
}

/// What becomes of a try.
#[derive(Debug)]
pub(crate) enum TrialStep {
    None,
    /// It begins, and lasts until then.
    Begin(Box<Trial>, model::Instant),
    /// It goes back.
    Revert,
}

/// How a change came about.
pub(crate) struct Cause {
    pub(crate) ticket: Option<Ticket>,
    pub(crate) action: &'static str,
    pub(crate) origin: Box<str>,
    pub(crate) draft: OfTheDraft,
    pub(crate) trial: TrialStep,
    pub(crate) reply: Option<Reply>,
    /// Whether the first routes of a session put it in the place of the one it replaced.
    pub(crate) swaps: bool,
    pub(crate) notes: Vec<Note>,
}

impl Registry {
    /// Sends a plan to the disk.
    pub(crate) fn configure(&mut self, sid: Sid, plan: Plan, cause: Cause, now: Now) {
        let Some(session) = self.session(sid) else { return };
        let swapped = match cause.swaps && !plan.puts.is_empty() {
            true => self.predecessors(session),
            false => Vec::new(),
        };
        let unstaged = self.unstaged(sid, &plan, cause.draft);
        let locks = self.concerned(sid, &plan);
        let generation = self.next_generation();
        let mut configure = Configure {
            sid,
            action: cause.action,
            at: now.wall,
            generation,
            plan,
            swapped,
            unstaged,
            draft: cause.draft,
            trial: cause.trial,
            reply: cause.reply,
            notes: cause.notes,
        };
        let records = self.records(&configure, &cause.origin);
        let keys: Vec<_> =
            std::mem::take(&mut configure.plan.keys).into_iter().map(|(_, key)| key).collect();
        let Some(session) = self.session(sid) else { return };
        let claims = Some((session.identity.service.clone(), keys));
        let waits = if cause.ticket.is_some() { Waits::ForTheDisk } else { Waits::ForItsTurn };
        self.launch(Prepared {
            ticket: cause.ticket,
            coming: configure.plan.added,
            op: Op::Configure(Box::new(configure)),
            records,
            waits,
            locks,
            claims,
        });
    }

    /// The sessions of the same identity that a session has replaced.
    pub(crate) fn predecessors(&self, session: &Session) -> Vec<Sid> {
        let sids = self.seats.get(&session.identity).map_or(&[][..], |seat| &seat.sessions);
        let replaced =
            |sid: &Sid| self.session(*sid).is_some_and(|s| matches!(s.held, Held::Replaced { .. }));
        sids.iter().copied().filter(replaced).collect()
    }

    /// What is staged about routes that this change takes away and that the draft is not about.
    fn unstaged(&self, sid: Sid, plan: &Plan, draft: OfTheDraft) -> Vec<(Sid, Vec<RouteId>)> {
        let mut routes: BTreeMap<Sid, Vec<RouteId>> = BTreeMap::new();
        if draft == OfTheDraft::Nothing {
            routes.insert(sid, plan.removes.clone());
        }
        for released in plan.released.iter().filter(|released| released.rest.is_none()) {
            routes.entry(released.sid).or_default().push(released.route);
        }
        let staged = |sid: &Sid, route: &RouteId| {
            self.session(*sid).is_some_and(|session| {
                session.staging.route(*route).is_some() || session.staging.has_settings_of(*route)
            })
        };
        for (sid, routes) in &mut routes {
            routes.retain(|route| staged(sid, route));
        }
        routes.into_iter().filter(|(_, routes)| !routes.is_empty()).collect()
    }

    fn records(&self, configure: &Configure, origin: &str) -> Vec<Record> {
        let Some(session) = self.session(configure.sid) else { return Vec::new() };
        let Configure { plan, generation, .. } = configure;
        let id = session.id.clone();
        let mut records: Vec<Record> = Vec::new();
        let mut history = HistoryRow {
            generation: *generation,
            at: configure.at,
            service: session.identity.service.clone(),
            instance: session.identity.instance.clone(),
            origin: origin.into(),
            action: configure.action,
            put: Vec::new(),
            removed: Vec::new(),
        };
        for route in &plan.removes {
            records.push(Record::RemoveRoute(*route));
            history.removed.push(*route);
        }
        self.release_records(plan, &mut records, &mut history);
        for sid in &configure.swapped {
            let Some(old) = self.session(*sid) else { continue };
            history.removed.extend(old.active.iter().copied());
            records.push(Record::RemoveSession(old.id.clone()));
        }
        for (route, spec, since) in &plan.puts {
            let since = since.unwrap_or(*generation);
            let (session, route) = (id.clone(), *route);
            records.push(Record::PutRoute { session, route, spec: spec.clone(), since });
            history.put.push((route, spec.clone()));
        }
        if !plan.settings.is_empty() {
            records.push(Record::PutSettings(id.clone(), plan.settings.clone()));
        }
        for (sid, routes) in &configure.unstaged {
            let Some(session) = self.session(*sid) else { continue };
            records.extend(unstage_records(&session.id, &session.staging, routes));
        }
        records.extend(draft_records(session, configure.draft));
        match &configure.trial {
            TrialStep::None => {}
            TrialStep::Begin(trial, _) => {
                records.push(Record::PutTry(id, Some(trial.row.clone())));
            }
            TrialStep::Revert => records.push(Record::PutTry(id, None)),
        }
        let mut row = session.row();
        row.last_apply = Some(configure.at);
        row.generation = Some(*generation);
        records.push(Record::PutSession(row));
        records.push(Record::History(history));
        records.push(self.counters());
        records
    }

    fn release_records(&self, plan: &Plan, records: &mut Vec<Record>, history: &mut HistoryRow) {
        let mut gone: BTreeMap<Sid, SettingsEdits> = BTreeMap::new();
        for released in &plan.released {
            let Some(owner) = self.session(released.sid) else { continue };
            let route = released.route;
            match &released.rest {
                None => {
                    records.push(Record::RemoveRoute(route));
                    history.removed.push(route);
                    let edits = gone.entry(released.sid).or_default();
                    without_own(&owner.settings, route, edits);
                }
                Some(rest) => {
                    let Some(entry) = self.table.get(route) else { continue };
                    let (session, since) = (owner.id.clone(), entry.since);
                    let spec: RouteSpec = rest.clone();
                    records.push(Record::PutRoute { session, route, spec, since });
                    history.put.push((route, rest.clone()));
                }
            }
        }
        for (sid, edits) in gone {
            let Some(owner) = self.session(sid).filter(|_| !edits.is_empty()) else { continue };
            records.push(Record::PutSettings(owner.id.clone(), edits));
        }
    }
}

/// How it is written down that a draft is used up.
fn draft_records(session: &Session, draft: OfTheDraft) -> Vec<Record> {
    let OfTheDraft::These(scopes) = draft else { return Vec::new() };
    let (id, staging) = (&session.id, &session.staging);
    let rest = remaining(staging.settings(), scopes);
    let routes_stay = !scopes.has(Scope::Routes) && !staging.routes().is_empty();
    if rest.is_empty() && !routes_stay {
        return vec![Record::DropDraft(id.clone())];
    }
    let mut records = Vec::new();
    if scopes.has(Scope::Routes) {
        let routes = staging.routes().keys();
        records.extend(routes.map(|route| Record::StageRoute(id.clone(), *route, None)));
    }
    if rest != *staging.settings() {
        records.extend(settings_records(id, &rest));
    }
    records
}

/// Staged settings of these kinds.
pub(crate) fn chosen(settings: &SettingsEdits, scopes: Scopes) -> SettingsEdits {
    SettingsEdits {
        headers: take(scopes.has(Scope::Headers), &settings.headers),
        options: take(scopes.has(Scope::Options), &settings.options),
        health: take(scopes.has(Scope::Health), &settings.health),
        limits: take(scopes.has(Scope::Ratelimit), &settings.limits),
        breakers: take(scopes.has(Scope::Circuit), &settings.breakers),
    }
}

/// Staged settings of the other kinds.
pub(crate) fn remaining(settings: &SettingsEdits, scopes: Scopes) -> SettingsEdits {
    let others = Scope::ALL.into_iter().filter(|(scope, _)| !scopes.has(*scope));
    chosen(settings, others.fold(Scopes::default(), |set, (scope, _)| set.with(scope)))
}

fn take<K: Ord + Clone, V: Clone>(wanted: bool, map: &BTreeMap<K, V>) -> BTreeMap<K, V> {
    if wanted { map.clone() } else { BTreeMap::new() }
}

/// The routes whose configuration a change touches, besides those it puts.
pub(crate) fn settled(session: &Session, plan: &Plan) -> BTreeSet<RouteId> {
    let put: BTreeSet<RouteId> = plan.puts.iter().map(|(route, ..)| *route).collect();
    let mut touched: BTreeSet<RouteId> = if crate::overlay::touches_all(&plan.settings) {
        session.active.clone()
    } else {
        crate::overlay::routes_of(&plan.settings).map(|(route, _)| route).collect()
    };
    touched.retain(|route| session.active.contains(route) && !put.contains(route));
    touched
}
