//! HEADERS_*, OPTIONS_*, HEALTH_SET, RATELIMIT_SET, CIRCUIT_BREAKER_SET: settings are staged.

use model::{
    HeaderKey, HeaderRule, HeaderSetting, Now, Record, Refusal, RouteId, SettingsEdits,
    StagedRoute, Target,
};

use crate::Registry;
use crate::bounds::HEADERS_PER_TARGET_MAX;
use crate::overlay::Overlay;
use crate::staged_routes::staged_for_removal;
use crate::state::{Session, Sid};

impl Registry {
    /// Stages settings of one target.
    pub(crate) fn stage_settings(
        &mut self,
        sid: Sid,
        target: Target,
        edits: SettingsEdits,
        now: Now,
    ) -> Result<(), Refusal> {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        known(session, target)?;
        self.has_room(sid, &[], &edits)?;
        let records = vec![Record::StageSettings(session.id.clone(), edits.clone())];
        self.edit_draft(sid, |staging| staging.set(edits));
        self.staged(sid, records, now);
        Ok(())
    }

    pub(crate) fn headers_set(
        &mut self,
        sid: Sid,
        target: Target,
        rule: HeaderRule,
        now: Now,
    ) -> Result<(), Refusal> {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        let effective = effective(session);
        if effective.header(target, &rule.key()).is_none() {
            has_room_for_headers(effective.headers_of(target))?;
        }
        let mut edits = SettingsEdits::default();
        edits.headers.insert((target, rule.key()), Some(HeaderSetting::Rule(rule)));
        self.stage_settings(sid, target, edits, now)
    }

    /// Drops our setting. Of one route it also masks what `ALL` says (SPEC 12, "Applying").
    pub(crate) fn headers_remove(
        &mut self,
        sid: Sid,
        target: Target,
        key: HeaderKey,
        now: Now,
    ) -> Result<(), Refusal> {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        let effective = effective(session);
        let masks = match target {
            Target::All => false,
            Target::Route(_) => effective.header(Target::All, &key).is_some(),
        };
        if masks && effective.header(target, &key).is_none() {
            has_room_for_headers(effective.headers_of(target))?;
        }
        let mut edits = SettingsEdits::default();
        edits.headers.insert((target, key), masks.then_some(HeaderSetting::Masked));
        self.stage_settings(sid, target, edits, now)
    }
}

/// What will hold once everything staged is applied.
pub(crate) fn effective(session: &Session) -> Overlay<'_> {
    Overlay { base: &session.settings, edits: session.staging.settings() }
}

pub(crate) fn has_room_for_headers(have: usize) -> Result<(), Refusal> {
    if have >= HEADERS_PER_TARGET_MAX {
        let max = HEADERS_PER_TARGET_MAX;
        return Err(Refusal::new(format!("too many headers for this target (max {max})")));
    }
    Ok(())
}

/// Whether settings may be staged for a target.
fn known(session: &Session, target: Target) -> Result<(), Refusal> {
    match target {
        Target::All => Ok(()),
        Target::Route(route) => known_route(session, route),
    }
}

fn known_route(session: &Session, route: RouteId) -> Result<(), Refusal> {
    match session.staging.route(route) {
        Some(StagedRoute::Removed) => Err(staged_for_removal(route)),
        Some(_) => Ok(()),
        None if session.active.contains(&route) => Ok(()),
        None => Err(Refusal::ROUTE_NOT_FOUND),
    }
}
