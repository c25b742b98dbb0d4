//! CONFIG_VALIDATE, CONFIG_APPLY, CONFIG_APPLY_PARTIAL, CONFIG_ROLLBACK; and how a change takes
//! effect once it is durable: all of it, in one publication.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Line, Now, Record, Refusal, Reply, RouteId, Scope, Scopes};
use routing::Edit;

use crate::answering::{Done, Outcome};
use crate::bounds::ROUTES_NOTED_MAX;
use crate::commit::{base_of, config_of};
use crate::configure::{Cause, Configure, OfTheDraft, TrialStep, chosen, remaining, settled};
use crate::overlay::{touches_all, without_own};
use crate::plan::Part;
use crate::released::Taken;
use crate::state::{Sid, Ticket};
use crate::{Note, Registry};

impl Registry {
    /// CONFIG_VALIDATE and VALIDATE.
    pub(crate) fn validate(&self, sid: Sid) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        self.checked_draft(session).accepted()?;
        Ok(Reply::Ok.into())
    }

    /// CONFIG_APPLY and CONFIG_APPLY_PARTIAL.
    pub(crate) fn apply(
        &mut self,
        ticket: Ticket,
        sid: Sid,
        scopes: Scopes,
        line: &Line,
        now: Now,
    ) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        not_trying(session)?;
        self.may_apply(ticket.conn, sid)?;
        let settings = chosen(session.staging.settings(), scopes);
        let none = BTreeMap::new();
        let routes = if scopes.has(Scope::Routes) { session.staging.routes() } else { &none };
        if routes.is_empty() && settings.is_empty() {
            return Ok(Reply::Ok.into());
        }
        let part = Part { routes, settings: &settings };
        let plan = self.checked(session, part, Taken::default()).accepted()?;
        if let Some(busy) = self.busy_among(sid, &plan) {
            return self.wait(&busy, ticket, line.clone());
        }
        let cause = Cause {
            ticket: Some(ticket),
            action: if scopes == Scopes::ALL { "apply" } else { "apply_partial" },
            origin: self.origin(ticket.conn),
            draft: OfTheDraft::These(scopes),
            trial: TrialStep::None,
            reply: Some(Reply::Ok),
            swaps: true,
            notes: Vec::new(),
        };
        self.configure(sid, plan, cause, now);
        Ok(Done::Later)
    }

    pub(crate) fn rollback(&mut self, sid: Sid) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        if !session.staging.is_empty() {
            let id = session.id.clone();
            self.drop_draft(sid);
            self.write_behind(vec![Record::DropDraft(id)]);
        }
        Ok(Reply::Ok.into())
    }

    /// A change is durable, or nobody could refuse it: it takes effect.
    pub(crate) fn commit_configure(
        &mut self,
        configure: Configure,
        ticket: Option<Ticket>,
        now: Now,
    ) {
        let sid = configure.sid;
        configure.plan.puts.iter().for_each(|(route, ..)| self.ids.used(*route));
        let mut change = Change::default();
        self.take_out(&configure, &mut change);
        self.set_settings(&configure);
        self.put_in(&configure, &mut change);
        self.rest_routes(&change);
        self.carry_out(change.edits, configure.generation, &change.leaving, &change.coming, now);
        self.use_up_draft(&configure);
        for old in &configure.swapped {
            self.note_ended(*old, "replaced");
            self.forget_session(*old);
        }
        if let Some(session) = self.sessions.get_mut(&sid) {
            session.last_apply = Some(configure.at);
            session.generation = Some(configure.generation);
        }
        self.step_trial(&configure);
        self.note_applied(&configure);
        if let (Some(ticket), Some(reply)) = (ticket, configure.reply) {
            self.answer(ticket, reply);
        }
    }

    /// Routes that go, before any that comes: a key changes hands without a conflict.
    fn take_out(&mut self, configure: &Configure, change: &mut Change) {
        let sid = configure.sid;
        for route in &configure.plan.removes {
            change.remove(sid, *route);
        }
        for released in &configure.plan.released {
            let (other, route) = (released.sid, released.route);
            match &released.rest {
                None => {
                    change.remove(other, route);
                    if let Some(owner) = self.sessions.get_mut(&other) {
                        let mut edits = Default::default();
                        without_own(&owner.settings, route, &mut edits);
                        owner.settings.apply(&edits);
                    }
                }
                Some(rest) => {
                    let Some(entry) = self.table.get(route) else { continue };
                    let mut entry = routing::Entry::clone(entry);
                    entry.spec = rest.clone();
                    change.put(other, entry, true);
                }
            }
        }
        for old in &configure.swapped {
            let Some(session) = self.session(*old) else { continue };
            session.active.iter().for_each(|route| change.remove(*old, *route));
        }
    }

    fn set_settings(&mut self, configure: &Configure) {
        let Some(session) = self.sessions.get_mut(&configure.sid) else { return };
        session.settings.apply(&configure.plan.settings);
        if touches_all(&configure.plan.settings) {
            session.base = base_of(session);
        }
    }

    fn put_in(&self, configure: &Configure, change: &mut Change) {
        let sid = configure.sid;
        let Some(session) = self.session(sid) else { return };
        for (route, spec, since) in &configure.plan.puts {
            let since = since.unwrap_or(configure.generation);
            let was_live = session.active.contains(route);
            change.put(sid, self.entry(session, *route, spec.clone(), since), was_live);
        }
        for route in settled(session, &configure.plan) {
            if change.gone.contains(&(sid, route)) {
                continue;
            }
            let Some(entry) = self.table.get(route) else { continue };
            let config = config_of(session, route);
            if Arc::ptr_eq(&config, &entry.config) || config == entry.config {
                continue;
            }
            let mut entry = routing::Entry::clone(entry);
            entry.config = config;
            change.edits.push(Edit::Put(entry));
        }
    }

    fn use_up_draft(&mut self, configure: &Configure) {
        for (sid, routes) in &configure.unstaged {
            self.unstage_routes(*sid, routes);
        }
        let OfTheDraft::These(scopes) = configure.draft else { return };
        self.edit_draft(configure.sid, |staging| {
            if scopes.has(Scope::Routes) {
                staging.clear_routes();
            }
            let rest = remaining(staging.settings(), scopes);
            staging.replace_settings(rest);
        });
    }

    fn note_applied(&mut self, configure: &Configure) {
        let Some(session) = self.session(configure.sid) else { return };
        let (service, instance) =
            (session.identity.service.clone(), session.identity.instance.clone());
        let plan = &configure.plan;
        let from = |released: &crate::released::Released| {
            let owner = self.session(released.sid)?;
            let from = owner.identity.service.clone();
            (from != service).then(|| Note::TakenOver {
                service: service.clone(),
                from,
                route: released.route,
            })
        };
        let mut notes: Vec<Note> = plan.released.iter().filter_map(from).collect();
        notes.extend(configure.notes.iter().cloned());
        let added = plan.puts.iter().filter(|(_, _, since)| since.is_none());
        notes.extend(added.take(ROUTES_NOTED_MAX).map(|(route, spec, _)| Note::RouteAdded {
            service: service.clone(),
            route: *route,
            spec: spec.clone(),
        }));
        notes.push(Note::Applied {
            service: service.clone(),
            instance,
            action: configure.action,
            generation: configure.generation,
            put: plan.puts.len(),
            removed: plan.removes.len(),
        });
        notes.into_iter().for_each(|note| self.note(note));
    }
}

/// A try lets nobody change what it would go back over.
pub(crate) fn not_trying(session: &crate::state::Session) -> Result<(), Refusal> {
    match session.trial {
        Some(_) => Err(Refusal::new("try in progress")),
        None => Ok(()),
    }
}

/// A change of the table, put together.
#[derive(Debug, Default)]
pub(crate) struct Change {
    edits: Vec<Edit>,
    leaving: Vec<(Sid, RouteId)>,
    coming: Vec<(Sid, RouteId)>,
    gone: std::collections::BTreeSet<(Sid, RouteId)>,
}

impl Change {
    fn remove(&mut self, sid: Sid, route: RouteId) {
        self.edits.push(Edit::Remove(route));
        self.leaving.push((sid, route));
        self.gone.insert((sid, route));
    }

    fn put(&mut self, sid: Sid, entry: routing::Entry, was_live: bool) {
        if was_live {
            self.leaving.push((sid, entry.route));
        }
        self.coming.push((sid, entry.route));
        self.edits.push(Edit::Put(entry));
    }

    /// Routes that are put, and as what.
    pub(crate) fn puts(&self) -> impl Iterator<Item = &routing::Entry> {
        self.edits.iter().filter_map(|edit| match edit {
            Edit::Put(entry) => Some(entry),
            Edit::Remove(_) | Edit::Bury(_) | Edit::Forget(_) => None,
        })
    }

    /// Which session each put route belongs to.
    pub(crate) fn coming(&self) -> &[(Sid, RouteId)] {
        &self.coming
    }

    /// Routes that go.
    pub(crate) fn gone(&self) -> impl Iterator<Item = (Sid, RouteId)> {
        self.gone.iter().copied()
    }
}
