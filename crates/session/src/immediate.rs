//! The commands of v1 that take effect at once by themselves: ROUTE, HEADER, OPTIONS. Each is its
//! own generation and leaves the draft alone; they work in v2 sessions too.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    HeaderRule, HeaderSetting, Line, Now, OptionKey, OptionValue, Refusal, Reply, RouteId,
    RouteSpec, SettingsEdits, StagedRoute, Target,
};

use crate::answering::{Done, Outcome};
use crate::apply::not_trying;
use crate::configure::{Cause, OfTheDraft, TrialStep};
use crate::overlay::Overlay;
use crate::plan::Part;
use crate::released::Taken;
use crate::settings::has_room_for_headers;
use crate::state::{Session, Sid, Ticket};
use crate::{Note, Registry};

impl Registry {
    /// ROUTE. A key that the session has, or the one it replaced, is replaced.
    pub(crate) fn route_at_once(
        &mut self,
        ticket: Ticket,
        sid: Sid,
        spec: &RouteSpec,
        line: &Line,
        now: Now,
    ) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        not_trying(session)?;
        let twin = self.twin(session, spec);
        let live = twin.and_then(|route| self.table.get(route));
        if live.is_some_and(|entry| entry.spec == *spec) && self.rivals(sid, spec, twin).is_empty()
        {
            return Ok(Reply::RouteOk.into());
        }
        let (route, staged) = match twin {
            Some(route) => (route, StagedRoute::Updated(spec.clone())),
            None => (RouteId(self.ids.last_route().0 + 1), StagedRoute::Added(spec.clone())),
        };
        let mut taken = Taken::default();
        for (rival, domain) in self.rivals(sid, spec, twin) {
            taken.key(rival, &domain);
        }
        let routes = BTreeMap::from([(route, staged)]);
        let settings = SettingsEdits::default();
        let part = Part { routes: &routes, settings: &settings };
        let mut plan = self.checked(session, part, taken).accepted()?;
        if let Some(busy) = self.busy_among(sid, &plan) {
            return self.wait(&busy, ticket, line.clone());
        }
        if twin.is_none() {
            let route = self.ids.next_route();
            plan.puts = vec![(route, spec.clone(), None)];
        }
        let cause = self.at_once(ticket, "route", Reply::RouteOk, Vec::new());
        self.configure(sid, plan, cause, now);
        Ok(Done::Later)
    }

    /// The session's live route with just the same keys.
    fn twin(&self, session: &Session, spec: &RouteSpec) -> Option<RouteId> {
        let wanted: BTreeSet<_> = self.keys_at_once(session, spec).into_iter().collect();
        let pool = self.table.pool(wanted.first()?)?;
        pool.members.iter().map(|member| member.route).find(|route| {
            let same_keys =
                |entry: &routing::Entry| entry.keys().collect::<BTreeSet<_>>() == wanted;
            session.active.contains(route) && self.table.get(*route).is_some_and(|e| same_keys(e))
        })
    }

    /// Other routes of the session, and of those it replaced, on the same keys.
    fn rivals(
        &self,
        sid: Sid,
        spec: &RouteSpec,
        twin: Option<RouteId>,
    ) -> Vec<(RouteId, model::HostPattern)> {
        let Some(session) = self.session(sid) else { return Vec::new() };
        let mut ours = self.predecessors(session);
        ours.push(sid);
        let sessions: Vec<&Session> = ours.iter().filter_map(|sid| self.session(*sid)).collect();
        let mut rivals = Vec::new();
        for key in self.keys_at_once(session, spec) {
            let members = self.table.pool(&key).map_or(&[][..], |pool| &pool.members);
            for member in members.iter().filter(|member| Some(member.route) != twin) {
                if sessions.iter().any(|session| session.active.contains(&member.route)) {
                    rivals.push((member.route, key.domain.clone()));
                }
            }
        }
        rivals
    }

    /// The keys that a route added at once will have: it has no settings of its own yet.
    fn keys_at_once(&self, session: &Session, spec: &RouteSpec) -> Vec<routing::RouteKey> {
        let edits = SettingsEdits::default();
        let kind = Overlay { base: &session.settings, edits: &edits }.match_kind(RouteId(0));
        routing::keys(spec, kind).collect()
    }

    /// HEADER, for all routes.
    pub(crate) fn header_at_once(
        &mut self,
        ticket: Ticket,
        sid: Sid,
        rule: HeaderRule,
        now: Now,
    ) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        not_trying(session)?;
        let key = (Target::All, rule.key());
        let setting = HeaderSetting::Rule(rule.clone());
        let none = SettingsEdits::default();
        let overlay = Overlay { base: &session.settings, edits: &none };
        match session.settings.headers.get(&key) {
            Some(before) if *before == setting => return Ok(Reply::HeaderOk.into()),
            Some(_) => {}
            None => has_room_for_headers(overlay.headers_of(Target::All))?,
        }
        let mut edits = SettingsEdits::default();
        edits.headers.insert(key, Some(setting));
        let service = session.identity.service.clone();
        let notes = vec![Note::HeaderAdded { service, rule }];
        self.settings_at_once(ticket, sid, edits, "header", Reply::HeaderOk, notes, now)
    }

    /// OPTIONS, for all routes.
    pub(crate) fn option_at_once(
        &mut self,
        ticket: Ticket,
        sid: Sid,
        key: OptionKey,
        value: OptionValue,
        now: Now,
    ) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        not_trying(session)?;
        if session.settings.options.get(&(Target::All, key)) == Some(&value) {
            return Ok(Reply::OptionsOk.into());
        }
        let mut edits = SettingsEdits::default();
        edits.options.insert((Target::All, key), Some(value));
        let notes = vec![Note::OptionSet { service: session.identity.service.clone(), key }];
        self.settings_at_once(ticket, sid, edits, "options", Reply::OptionsOk, notes, now)
    }

    #[expect(clippy::too_many_arguments, reason = "all of different types, used twice")]
    fn settings_at_once(
        &mut self,
        ticket: Ticket,
        sid: Sid,
        edits: SettingsEdits,
        action: &'static str,
        reply: Reply,
        notes: Vec<Note>,
        now: Now,
    ) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        let routes = BTreeMap::new();
        let part = Part { routes: &routes, settings: &edits };
        let plan = self.checked(session, part, Taken::default()).accepted()?;
        let cause = self.at_once(ticket, action, reply, notes);
        self.configure(sid, plan, cause, now);
        Ok(Done::Later)
    }

    fn at_once(
        &self,
        ticket: Ticket,
        action: &'static str,
        reply: Reply,
        notes: Vec<Note>,
    ) -> Cause {
        Cause {
            ticket: Some(ticket),
            action,
            origin: self.origin(ticket.conn),
            draft: OfTheDraft::Nothing,
            trial: TrialStep::None,
            reply: Some(reply),
            swaps: false,
            notes,
        }
    }
}
