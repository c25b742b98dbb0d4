//! Drafts as a whole: how large they may be, how long they last, how they are written down.

use model::{Event, Now, Record, Refusal, RouteId, SessionId, SettingsEdits, StagedRoute};

use crate::bounds::{EXPIRY_WARNING, STAGED_BYTES_MAX, STAGED_BYTES_TOTAL_MAX};
use crate::deadline::Due;
use crate::staging::Staging;
use crate::state::Sid;
use crate::{Note, Registry};

impl Registry {
    /// Changes a draft; every change goes through here, so that its size is known.
    pub(crate) fn edit_draft(&mut self, sid: Sid, edit: impl FnOnce(&mut Staging)) {
        let Some(session) = self.sessions.get_mut(&sid) else { return };
        let before = session.staging.bytes();
        edit(&mut session.staging);
        self.staged_bytes = self.staged_bytes - before + session.staging.bytes();
        if session.staging.is_empty() {
            self.deadlines.clear(Due::Staged(sid));
            self.deadlines.clear(Due::StagedWarning(sid));
        }
    }

    /// Throws a draft away.
    pub(crate) fn drop_draft(&mut self, sid: Sid) {
        self.edit_draft(sid, |staging| *staging = Staging::default());
    }

    /// Whether there is room to stage this.
    pub(crate) fn has_room(
        &self,
        sid: Sid,
        routes: &[StagedRoute],
        settings: &SettingsEdits,
    ) -> Result<(), Refusal> {
        let cost = Staging::cost(routes, settings);
        let staged = self.session(sid).map_or(0, |session| session.staging.bytes());
        if staged + cost > STAGED_BYTES_MAX {
            let max = STAGED_BYTES_MAX;
            return Err(Refusal::new(format!("too much is staged (max {max} bytes a session)")));
        }
        if self.staged_bytes + cost > STAGED_BYTES_TOTAL_MAX {
            let max = STAGED_BYTES_TOTAL_MAX;
            return Err(Refusal::new(format!("too much is staged (max {max} bytes in the proxy)")));
        }
        Ok(())
    }

    /// Something was staged: it lasts from now on, and is written behind.
    pub(crate) fn staged(&mut self, sid: Sid, records: Vec<Record>, now: Now) {
        self.touch_draft(sid, now);
        if !records.is_empty() {
            self.write_behind(records);
        }
    }

    /// Starts the clock of a draft anew.
    pub(crate) fn touch_draft(&mut self, sid: Sid, now: Now) {
        if self.session(sid).is_none_or(|session| session.staging.is_empty()) {
            return;
        }
        let lasts = self.config.staged_expiry;
        self.deadlines.set(Due::Staged(sid), now.mono.after(lasts));
        if let Some(warning) = lasts.checked_sub(EXPIRY_WARNING).filter(|after| !after.is_zero()) {
            self.deadlines.set(Due::StagedWarning(sid), now.mono.after(warning));
        }
    }

    pub(crate) fn warn_of_expiry(&mut self, sid: Sid) {
        self.tell(sid, &Event::ConfigExpiring { remaining: EXPIRY_WARNING });
    }

    /// Staged changes were not applied in time. What is active is not touched.
    pub(crate) fn staged_expired(&mut self, sid: Sid, due: Due) {
        if self.postponed(sid, due) {
            return;
        }
        let Some(session) = self.session(sid) else { return };
        let (service, instance) =
            (session.identity.service.clone(), session.identity.instance.clone());
        let id = session.id.clone();
        self.drop_draft(sid);
        self.write_behind(vec![Record::DropDraft(id)]);
        self.note(Note::StagedExpired { service, instance });
    }

    /// Takes what is staged about routes that are gone out of a draft.
    pub(crate) fn unstage_routes(&mut self, sid: Sid, routes: &[RouteId]) {
        self.edit_draft(sid, |staging| {
            for route in routes {
                staging.unstage(*route);
                staging.forget_settings_of(*route);
            }
        });
    }
}

/// How [`Registry::unstage_routes`] is written down.
pub(crate) fn unstage_records(
    session: &SessionId,
    staging: &Staging,
    routes: &[RouteId],
) -> Vec<Record> {
    let staged = routes.iter().filter(|route| staging.route(**route).is_some());
    let mut records: Vec<Record> =
        staged.map(|route| Record::StageRoute(session.clone(), *route, None)).collect();
    if routes.iter().any(|route| staging.has_settings_of(*route)) {
        let mut rest = staging.clone();
        routes.iter().for_each(|route| rest.forget_settings_of(*route));
        records.extend(settings_records(session, rest.settings()));
    }
    records
}

/// How staged settings are written down anew.
pub(crate) fn settings_records(session: &SessionId, settings: &SettingsEdits) -> Vec<Record> {
    let mut records = vec![Record::DropStagedSettings(session.clone())];
    if !settings.is_empty() {
        records.push(Record::StageSettings(session.clone(), settings.clone()));
    }
    records
}

#[cfg(test)]
mod tests {
    use model::{BackendUrl, HostPattern, Image, RoutePath, RouteSpec};

    use super::*;

    /// However much of it each session has.
    #[test]
    fn what_is_staged_in_all_sessions_is_bounded() {
        let mut registry = Registry::new(crate::fuzz::config(), [0; 32], Image::default(), now());
        let staged = StagedRoute::Added(RouteSpec {
            domains: vec![HostPattern::Any],
            path: RoutePath::parse("/").unwrap(),
            backend: BackendUrl::parse("http://b").unwrap(),
            priority: 0,
        });
        let (routes, none) = ([staged], SettingsEdits::default());
        registry.staged_bytes = STAGED_BYTES_TOTAL_MAX - Staging::cost(&routes, &none);
        assert_eq!(registry.has_room(Sid(1), &routes, &none), Ok(()));
        registry.staged_bytes += 1;
        let refused = registry.has_room(Sid(1), &routes, &none).unwrap_err();
        assert_eq!(refused.as_str(), "too much is staged (max 268435456 bytes in the proxy)");
        registry.staged_bytes = 0;
    }

    fn now() -> Now {
        Now { mono: model::Instant::from_nanos(1), wall: model::UnixMillis(1) }
    }
}
