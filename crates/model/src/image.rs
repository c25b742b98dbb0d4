//! What records mean: each one carried out on an [`Image`].
//!
//! The plain reading of [`Record`], against which a store and the session machine are tested. It
//! searches instead of indexing, so it is for tests and simulations and not for a running proxy.

use crate::{
    Draft, Image, Record, RouteId, RouteSpec, SessionId, SessionRow, Settings, StoredSession,
};

impl Image {
    /// Carries out one record. What names a session that is not there changes nothing.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::PutSession(row) => self.put_session(row),
            Record::RemoveSession(id) => {
                self.with(id, |held| held.routes.clear());
                self.sessions.retain(|held| held.row.session != *id);
                self.forget_health();
            }
            Record::PutRoute { session, route, spec, since } => {
                if self.session(session).is_none() {
                    return;
                }
                let was = self.route(*route).map(|was| &was.backend);
                if was != Some(&spec.backend) {
                    self.failing.remove(route);
                }
                self.remove_route(*route);
                if let Some(held) = self.session(session) {
                    let at = held.routes.partition_point(|(id, ..)| id < route);
                    held.routes.insert(at, (*route, spec.clone(), *since));
                }
            }
            Record::RemoveRoute(route) => {
                self.remove_route(*route);
                self.failing.remove(route);
            }
            Record::PutHealth(route, true) => drop(self.failing.remove(route)),
            Record::PutHealth(route, false) => {
                if self.route(*route).is_some() {
                    self.failing.insert(*route);
                }
            }
            Record::PutSettings(id, edits) => self.with(id, |held| held.settings.apply(edits)),
            Record::StageRoute(id, route, staged) => self.with(id, |held| match staged {
                Some(staged) => drop(held.draft.routes.insert(*route, staged.clone())),
                None => drop(held.draft.routes.remove(route)),
            }),
            Record::StageSettings(id, edits) => self.with(id, |held| {
                let staged = &mut held.draft.settings;
                staged.headers.extend(edits.headers.clone());
                staged.options.extend(edits.options.clone());
                staged.health.extend(edits.health.clone());
                staged.limits.extend(edits.limits.clone());
                staged.breakers.extend(edits.breakers.clone());
            }),
            Record::DropStagedSettings(id) => {
                self.with(id, |held| held.draft.settings = Default::default());
            }
            Record::DropDraft(id) => self.with(id, |held| held.draft = Draft::default()),
            Record::PutDrain(id, drain) => self.with(id, |held| held.drain = *drain),
            Record::PutMaintenance(id, orders) => {
                self.with(id, |held| held.maintenance.clone_from(orders));
            }
            Record::PutTry(id, trial) => self.with(id, |held| held.trial.clone_from(trial)),
            Record::History(_) => {}
            Record::Counters { last_route, generation } => {
                self.last_route = last_route.0;
                self.generation = *generation;
            }
        }
    }

    fn put_session(&mut self, row: &SessionRow) {
        match self.session(&row.session) {
            Some(held) => held.row = row.clone(),
            None => self.sessions.push(StoredSession {
                row: row.clone(),
                routes: Vec::new(),
                settings: Settings::default(),
                draft: Draft::default(),
                drain: None,
                maintenance: Vec::new(),
                trial: None,
            }),
        }
    }

    fn remove_route(&mut self, route: RouteId) {
        for held in &mut self.sessions {
            held.routes.retain(|(id, ..)| *id != route);
        }
    }

    /// Routes that went with their session.
    fn forget_health(&mut self) {
        let mut failing = std::mem::take(&mut self.failing);
        failing.retain(|route| self.route(*route).is_some());
        self.failing = failing;
    }

    fn route(&self, route: RouteId) -> Option<&RouteSpec> {
        let mut routes = self.sessions.iter().flat_map(|held| &held.routes);
        routes.find(|(id, ..)| *id == route).map(|(_, spec, _)| spec)
    }

    fn with(&mut self, id: &SessionId, change: impl FnOnce(&mut StoredSession)) {
        if let Some(held) = self.session(id) {
            change(held);
        }
    }

    fn session(&mut self, id: &SessionId) -> Option<&mut StoredSession> {
        self.sessions.iter_mut().find(|held| held.row.session == *id)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        BackendUrl, DrainRow, Generation, HostPattern, InstanceName, LimitSpec, MaintenanceRow,
        MaintenanceTarget, OptionKey, OptionValue, RoutePath, ServiceName, SettingsEdits,
        StagedRoute, Target, TryRow, UnixMillis, Version,
    };

    #[test]
    fn sessions_stand_in_the_order_of_their_registration() {
        let mut image = image(&[put("b"), put("a"), put("c")]);
        image.apply(&Record::PutSession(SessionRow { pinned: true, ..row("b") }));
        image.apply(&Record::RemoveSession(id("a")));
        image.apply(&put("a"));
        let shown: Vec<_> =
            image.sessions.iter().map(|s| (s.row.session.as_str(), s.row.pinned)).collect();
        assert_eq!(shown, [("b", true), ("c", false), ("a", false)]);
    }

    #[test]
    fn a_route_lives_in_one_session_and_in_the_order_of_ids() {
        let image = image(&[
            put("a"),
            put("b"),
            route("a", 2),
            route("a", 1),
            route("b", 3),
            route("b", 1),
            Record::RemoveRoute(RouteId(3)),
        ]);
        assert_eq!(routes(&image), [("a", vec![2]), ("b", vec![1])]);
    }

    #[test]
    fn a_session_takes_everything_with_it() {
        let mut image = image(&[put("a"), route("a", 1), drain("a"), put("b"), route("b", 2)]);
        image.apply(&Record::RemoveSession(id("a")));
        image.apply(&put("a"));
        assert_eq!(routes(&image), [("b", vec![2]), ("a", vec![])]);
        assert_eq!(image.sessions[1].drain, None);
    }

    #[test]
    fn who_is_not_there_changes_nothing() {
        let before = image(&[put("a"), route("a", 1)]);
        for record in [
            Record::RemoveSession(id("x")),
            route("x", 1),
            Record::RemoveRoute(RouteId(9)),
            Record::PutHealth(RouteId(9), false),
            Record::PutSettings(id("x"), limit(Some(5))),
            Record::StageRoute(id("x"), RouteId(1), Some(StagedRoute::Removed)),
            Record::StageSettings(id("x"), limit(Some(5))),
            Record::DropDraft(id("x")),
            drain("x"),
        ] {
            let mut after = before.clone();
            after.apply(&record);
            assert_eq!(after, before, "{record:?}");
        }
    }

    #[test]
    fn health_is_kept_as_long_as_the_route_leads_there() {
        let fails = |route| Record::PutHealth(RouteId(route), false);
        let mut image = image(&[put("a"), put("b"), route("a", 1), route("a", 2), route("b", 3)]);
        [1, 2, 3].into_iter().for_each(|route| image.apply(&fails(route)));
        let elsewhere = RouteSpec { backend: BackendUrl::parse("http://b").unwrap(), ..spec() };
        #[rustfmt::skip]
        let table = [
            (route("a", 1),                           vec![1, 2, 3], "put again as it was"),
            (Record::PutHealth(RouteId(2), true),     vec![1, 3],    "well again"),
            (Record::PutRoute {
                session: id("a"), route: RouteId(1), spec: elsewhere, since: Generation(1),
            },                                        vec![3],       "another backend"),
            (fails(1),                                vec![1, 3],    "which fails too"),
            (Record::RemoveRoute(RouteId(1)),         vec![3],       "gone"),
            (route("a", 1),                           vec![3],       "and back, of which nothing is known"),
            (Record::RemoveSession(id("b")),          vec![],        "gone with its session"),
        ];
        for (record, failing, why) in table {
            image.apply(&record);
            let held: Vec<u64> = image.failing.iter().map(|route| route.0).collect();
            assert_eq!(held, failing, "{why}");
        }
    }

    #[test]
    fn settings_add_up_and_staged_ones_keep_what_they_take_away() {
        let mut image = image(&[
            put("a"),
            Record::PutSettings(id("a"), limit(Some(5))),
            Record::StageSettings(id("a"), limit(Some(6))),
            Record::StageSettings(id("a"), limit(None)),
            Record::StageSettings(id("a"), option()),
            Record::StageRoute(id("a"), RouteId(1), Some(StagedRoute::Removed)),
            Record::StageRoute(id("a"), RouteId(2), Some(StagedRoute::Added(spec()))),
            Record::StageRoute(id("a"), RouteId(2), None),
        ]);
        let held = &image.sessions[0];
        assert_eq!(held.settings.limits.len(), 1);
        let staged = SettingsEdits { options: option().options, ..limit(None) };
        assert_eq!(held.draft.settings, staged);
        assert_eq!(held.draft.routes.keys().collect::<Vec<_>>(), [&RouteId(1)]);

        image.apply(&Record::PutSettings(id("a"), limit(None)));
        image.apply(&Record::DropStagedSettings(id("a")));
        let held = &image.sessions[0];
        assert_eq!(held.settings, Settings::default());
        assert!(held.draft.settings.is_empty() && held.draft.routes.len() == 1);
        image.apply(&Record::DropDraft(id("a")));
        assert!(image.sessions[0].draft.is_empty());
    }

    #[test]
    fn orders_replace_each_other() {
        let order = MaintenanceRow {
            target: MaintenanceTarget { text: "ALL".into(), items: Vec::new() },
            page: None,
            entered_at: UnixMillis(1),
        };
        let trial = TryRow {
            deadline: UnixMillis(9),
            routes: vec![(RouteId(1), None)],
            settings: limit(None),
        };
        let mut image = image(&[
            put("a"),
            drain("a"),
            Record::PutMaintenance(id("a"), vec![order.clone()]),
            Record::PutTry(id("a"), Some(trial.clone())),
            Record::Counters { last_route: RouteId(7), generation: Generation(3) },
        ]);
        let held = &image.sessions[0];
        assert_eq!((&held.maintenance, &held.trial), (&vec![order], &Some(trial)));
        assert_eq!((image.last_route, image.generation), (7, Generation(3)));
        image.apply(&Record::PutDrain(id("a"), None));
        image.apply(&Record::PutMaintenance(id("a"), Vec::new()));
        image.apply(&Record::PutTry(id("a"), None));
        assert_eq!(image.sessions, super::tests::image(&[put("a")]).sessions);
    }

    fn image(records: &[Record]) -> Image {
        let mut image = Image::default();
        records.iter().for_each(|record| image.apply(record));
        image
    }

    fn routes(image: &Image) -> Vec<(&str, Vec<u64>)> {
        let ids = |held: &StoredSession| held.routes.iter().map(|(id, ..)| id.0).collect();
        image.sessions.iter().map(|held| (held.row.session.as_str(), ids(held))).collect()
    }

    fn id(text: &str) -> SessionId {
        SessionId::parse(text).unwrap()
    }

    fn put(text: &str) -> Record {
        Record::PutSession(row(text))
    }

    fn row(text: &str) -> SessionRow {
        SessionRow {
            session: id(text),
            service: ServiceName::parse("service").unwrap(),
            instance: InstanceName::parse(text).unwrap(),
            version: Version::V2,
            maintenance_port: 9001,
            metadata: None,
            credential: None,
            registered_at: UnixMillis(0),
            last_apply: None,
            generation: None,
            subscriptions: Vec::new(),
            replaced_by: None,
            pinned: false,
        }
    }

    fn spec() -> RouteSpec {
        RouteSpec {
            domains: vec![HostPattern::Any],
            path: RoutePath::parse("/").unwrap(),
            backend: BackendUrl::parse("http://a").unwrap(),
            priority: 0,
        }
    }

    fn route(session: &str, route: u64) -> Record {
        let since = Generation(route);
        Record::PutRoute { session: id(session), route: RouteId(route), spec: spec(), since }
    }

    fn drain(session: &str) -> Record {
        let duration = Duration::from_secs(9);
        let drain = DrainRow { started_at: UnixMillis(1), duration, from_percent: 100 };
        Record::PutDrain(id(session), Some(drain))
    }

    fn limit(requests: Option<u32>) -> SettingsEdits {
        let window = Duration::from_secs(1);
        let limit = requests.map(|requests| LimitSpec { requests, window });
        SettingsEdits { limits: [(Target::All, limit)].into(), ..SettingsEdits::default() }
    }

    fn option() -> SettingsEdits {
        let key = (Target::All, OptionKey::Websocket);
        let value = Some(OptionValue::Bool(false));
        SettingsEdits { options: [(key, value)].into(), ..SettingsEdits::default() }
    }
}
