//! CONFIG_TRY and CONFIG_CONFIRM: an apply that goes back by itself unless it is confirmed in
//! time. Only what it touched goes back, and the keys that needs stay claimed meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{
    Event, Guard, Line, MatchKind, Now, Record, Refusal, Reply, RouteId, RouteSpec, Scopes,
    SettingsEdits, StagedRoute, Target, TryRow,
};
use routing::RouteKey;

use crate::answering::{Done, Outcome};
use crate::apply::not_trying;
use crate::bounds::EVENT_ROUTES_MAX;
use crate::configure::{Cause, Configure, OfTheDraft, TrialStep};
use crate::deadline::Due;
use crate::flight::{Op, Prepared, Waits};
use crate::overlay::{Overlay, inverse};
use crate::plan::{Part, Plan};
use crate::released::Taken;
use crate::state::{Session, Sid, Ticket, Trial};
use crate::{Output, QueryId, Registry};

/// What settings are about.
fn targets(edits: &SettingsEdits) -> BTreeSet<Target> {
    let headers = edits.headers.keys().map(|(target, _)| *target);
    let options = edits.options.keys().map(|(target, _)| *target);
    let health = edits.health.keys().map(|route| Target::Route(*route));
    let limits = edits.limits.keys().chain(edits.breakers.keys()).copied();
    headers.chain(options).chain(health).chain(limits).collect()
}

impl Registry {
    pub(crate) fn try_config(
        &mut self,
        ticket: Ticket,
        sid: Sid,
        (duration, guard): (Duration, Option<Guard>),
        line: &Line,
        now: Now,
    ) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        not_trying(session)?;
        self.may_apply(ticket.conn, sid)?;
        let plan = self.checked_draft(session).accepted()?;
        if let Some(busy) = self.busy_among(sid, &plan) {
            return self.wait(&busy, ticket, line.clone());
        }
        let trial = self.trial(session, &plan, duration, now);
        let watch = guard.map(|guard| (self.ids.next_query(), guard));
        let trial = Box::new(Trial { watch, ..trial });
        let cause = Cause {
            ticket: Some(ticket),
            action: "try",
            origin: self.origin(ticket.conn),
            draft: OfTheDraft::These(Scopes::ALL),
            trial: TrialStep::Begin(trial, now.mono.after(duration)),
            reply: Some(Reply::Ok),
            swaps: true,
            notes: Vec::new(),
        };
        self.configure(sid, plan, cause, now);
        Ok(Done::Later)
    }

    /// How to undo a plan.
    fn trial(&self, session: &Session, plan: &Plan, duration: Duration, now: Now) -> Trial {
        let live = |route: &RouteId| {
            let entry = self.table.get(*route).filter(|_| session.active.contains(route));
            (*route, entry.map(|entry| entry.spec.clone()))
        };
        let routes: Vec<(RouteId, Option<RouteSpec>)> = plan
            .removes
            .iter()
            .chain(plan.puts.iter().map(|(route, ..)| route))
            .map(live)
            .collect();
        let touched = routes.iter().map(|(route, _)| route).chain(&plan.rekeyed);
        let entries = touched.filter_map(|route| self.table.get(*route));
        let keys = entries.flat_map(|entry| entry.keys()).collect();
        let settings = inverse(&session.settings, &plan.settings);
        let row = TryRow { deadline: now.wall.after(duration), routes, settings };
        Trial { row, keys, watch: None, tripped: None }
    }

    pub(crate) fn confirm(&mut self, ticket: Ticket, sid: Sid) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        if session.trial.is_none() {
            return Err(Refusal::new("no try in progress"));
        }
        let (id, identity) = (session.id.clone(), session.identity.clone());
        self.launch(Prepared {
            ticket: Some(ticket),
            op: Op::Confirm(sid),
            records: vec![Record::PutTry(id, None)],
            waits: Waits::ForTheDisk,
            locks: vec![identity],
            claims: None,
            coming: 0,
        });
        Ok(Done::Later)
    }

    pub(crate) fn commit_confirm(&mut self, sid: Sid, ticket: Option<Ticket>) {
        self.end_trial(sid);
        if let Some(ticket) = ticket {
            self.answer(ticket, Reply::Ok);
        }
    }

    /// A configuration took effect: a try begins with it, or has gone back.
    pub(crate) fn step_trial(&mut self, configure: &Configure) {
        match &configure.trial {
            TrialStep::None => {}
            TrialStep::Begin(trial, until) => {
                self.begin_trial(configure.sid, Trial::clone(trial), *until);
            }
            TrialStep::Revert => {
                let Some(trial) = self.end_trial(configure.sid) else { return };
                let reason = trial.tripped.unwrap_or_else(|| "timeout".into());
                let routes = trial.row.routes.iter().map(|(route, _)| *route);
                let routes = routes.take(EVENT_ROUTES_MAX).collect();
                self.tell(configure.sid, &Event::ConfigReverted { reason, routes });
            }
        }
    }

    pub(crate) fn begin_trial(&mut self, sid: Sid, trial: Trial, until: model::Instant) {
        let Some(session) = self.sessions.get_mut(&sid) else { return };
        self.claims.add(&session.identity.service, &trial.keys);
        self.deadlines.set(Due::Try(sid), until);
        let watch = trial.watch.map(|(watch, guard)| {
            let mut touched: BTreeSet<RouteId> =
                trial.row.routes.iter().map(|(route, _)| *route).collect();
            for target in targets(&trial.row.settings) {
                match target {
                    Target::All => touched.extend(&session.active),
                    Target::Route(route) => drop(touched.insert(route)),
                }
            }
            touched.retain(|route| session.active.contains(route));
            (watch, guard, touched.into_iter().collect())
        });
        session.trial = Some(trial);
        if let Some((watch, guard, routes)) = watch {
            self.watches.insert(watch, sid);
            self.emit(Output::Watch(watch, Some((routes, guard))));
        }
    }

    /// Takes a try away without going back.
    pub(crate) fn end_trial(&mut self, sid: Sid) -> Option<Trial> {
        let trial = self.sessions.get_mut(&sid)?.trial.take()?;
        self.claims.remove(&trial.keys);
        self.deadlines.clear(Due::Try(sid));
        if let Some((watch, _)) = trial.watch {
            self.watches.remove(&watch);
            self.emit(Output::Watch(watch, None));
        }
        Some(trial)
    }

    /// A guard tripped.
    pub(crate) fn tripped(&mut self, watch: QueryId, guard: Box<str>, now: Now) {
        let Some(sid) = self.watches.get(&watch).copied() else { return };
        if let Some(trial) = self.sessions.get_mut(&sid).and_then(|s| s.trial.as_mut()) {
            trial.tripped = Some(guard);
            self.try_over(sid, Due::Try(sid), now);
        }
    }

    /// A try was not confirmed: what it touched goes back.
    pub(crate) fn try_over(&mut self, sid: Sid, due: Due, now: Now) {
        if self.postponed(sid, due) {
            return;
        }
        let Some(session) = self.session(sid) else { return };
        let Some(trial) = &session.trial else { return };
        let back = trial.row.routes.iter().filter_map(|(route, was)| {
            let staged = match (was, session.active.contains(route)) {
                (Some(spec), true) => StagedRoute::Updated(spec.clone()),
                (Some(spec), false) => StagedRoute::Added(spec.clone()),
                (None, true) => StagedRoute::Removed,
                (None, false) => return None,
            };
            Some((*route, staged))
        });
        let routes: BTreeMap<RouteId, StagedRoute> = back.collect();
        // A successor may have taken over some of the routes meanwhile.
        let there = |route| routes.contains_key(&route) || session.active.contains(&route);
        let settings = of_routes(&trial.row.settings, there);
        let part = Part { routes: &routes, settings: &settings };
        let checked = self.checked(session, part, Taken::default());
        debug_assert!(
            checked.faults.iter().all(|fault| fault.starts_with("too many")),
            "claimed, and yet {:?}",
            checked.faults
        );
        let cause = Cause {
            ticket: None,
            action: "revert",
            origin: "try over".into(),
            draft: OfTheDraft::Nothing,
            trial: TrialStep::Revert,
            reply: None,
            swaps: false,
            notes: Vec::new(),
        };
        self.configure(sid, checked.plan, cause, now);
    }
}

/// Settings for everything and for these routes.
fn of_routes(settings: &SettingsEdits, there: impl Fn(RouteId) -> bool) -> SettingsEdits {
    let mut settings = settings.clone();
    let meant = |target: &Target| match target {
        Target::All => true,
        Target::Route(route) => there(*route),
    };
    settings.headers.retain(|(target, _), _| meant(target));
    settings.options.retain(|(target, _), _| meant(target));
    settings.health.retain(|route, _| there(*route));
    settings.limits.retain(|target, _| meant(target));
    settings.breakers.retain(|target, _| meant(target));
    settings
}

/// The keys that going back needs, from what is remembered of a try.
pub(crate) fn keys_of(row: &TryRow, settings: &model::Settings) -> Vec<RouteKey> {
    let overlay = Overlay { base: settings, edits: &row.settings };
    let was = row.routes.iter().filter_map(|(route, was)| Some((*route, was.as_ref()?)));
    was.flat_map(|(route, spec)| {
        let kind: MatchKind = overlay.match_kind(route);
        routing::keys(spec, kind).collect::<Vec<_>>()
    })
    .collect()
}
