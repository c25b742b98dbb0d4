//! Going on from what is remembered: routes are live in the first table, and everybody has the
//! grace of a route to reconnect, for the outage was ours (SPEC 2.3).

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Image, Now, RouteId, SessionId, StoredSession};
use routing::{Edit, Entry, Table};

use crate::commit::base_of;
use crate::deadline::Due;
use crate::drain::resumed;
use crate::state::{Held, Identity, Session, Sid, Trial};
use crate::trial::keys_of;
use crate::{Note, Output, Registry};

impl Registry {
    /// Takes up what is remembered.
    pub(crate) fn restore(&mut self, image: Image, now: Now) {
        let mut routes = BTreeMap::new();
        let mut entries = Vec::new();
        for stored in image.sessions {
            self.restore_session(stored, &mut entries, &mut routes, now);
        }
        self.restore_seats();
        self.restore_table(entries, image.generation);
        for (route, sid) in routes {
            let Some(endpoint) = self.table.endpoint_of(route) else { continue };
            let Some(entry) = self.table.get(route) else { continue };
            let Some(session) = self.sessions.get_mut(&sid) else { continue };
            session.lead(route, endpoint, &entry.spec.backend);
        }
        self.emit(Output::Publish(Arc::clone(&self.table)));
        self.restore_health(image.failing);
        let sids: Vec<Sid> = self.sessions.keys().copied().collect();
        for sid in sids {
            self.restore_grace(sid, now);
            let modes = self.changed_modes(sid);
            if !modes.is_empty() {
                self.emit(Output::Maintenance(modes));
            }
            self.touch_draft(sid, now);
        }
        let identities: Vec<Identity> = self.seats.keys().cloned().collect();
        identities.iter().for_each(|identity| self.refresh_all(identity));
        self.tell_remembered();
        self.check_if_small();
    }

    fn restore_session(
        &mut self,
        stored: StoredSession,
        entries: &mut Vec<Entry>,
        routes: &mut BTreeMap<RouteId, Sid>,
        now: Now,
    ) {
        let sid = self.ids.next_session();
        let mut session = Session::new(stored.row, now.wall);
        session.settings = stored.settings;
        session.base = base_of(&session);
        session.drain = stored.drain.map(|row| resumed(row, now));
        let drain_ends = session.drain.as_ref().map(|order| order.drain.ends());
        session.orders = stored.maintenance;
        for (route, spec, since) in stored.routes {
            entries.push(self.entry(&session, route, spec, since));
            routes.insert(route, sid);
        }
        self.by_id.insert(session.id.clone(), sid);
        self.seats.entry(session.identity.clone()).or_default().sessions.push(sid);
        let draft = stored.draft;
        self.sessions.insert(sid, session);
        if let Some(ends) = drain_ends {
            self.deadlines.set(Due::Drained(sid), ends);
        }
        self.edit_draft(sid, |staging| {
            for (route, staged) in draft.routes {
                staging.stage(route, staged);
            }
            staging.set(draft.settings);
        });
        if let Some(row) = stored.trial {
            let Some(session) = self.session(sid) else { return };
            let keys = keys_of(&row, &session.settings);
            let until = now.mono.after(row.deadline.since(now.wall));
            self.begin_trial(sid, Trial { row, keys, watch: None, tripped: None }, until);
        }
    }

    /// A successor sits after what it replaced. Of several that were not, which takes a disk that
    /// lost something nobody waited for, the newest is the successor of the others.
    fn restore_seats(&mut self) {
        for seat in self.seats.values_mut() {
            let current =
                |sid: &Sid| self.sessions.get(sid).is_some_and(|s| s.replaced_by.is_none());
            seat.sessions.sort_by_key(current);
            let Some((newest, others)) = seat.sessions.split_last() else { continue };
            let Some(by) = self.sessions.get(newest).map(|session| session.id.clone()) else {
                continue;
            };
            for sid in others {
                let Some(session) = self.sessions.get_mut(sid) else { continue };
                session.replaced_by.get_or_insert_with(|| by.clone());
            }
        }
    }

    /// What is remembered was checked when it was applied; should two services claim one key all
    /// the same, the rest is served without it.
    fn restore_table(&mut self, mut entries: Vec<Entry>, generation: model::Generation) {
        loop {
            let edits = entries.iter().cloned().map(Edit::Put).collect();
            match Table::default().with(edits, generation) {
                Ok(changed) => {
                    self.table = Arc::new(changed.table);
                    return;
                }
                Err(conflicts) => {
                    for conflict in conflicts {
                        entries.retain(|entry| entry.route != conflict.route);
                        let (route, owner) = (conflict.route, conflict.owner);
                        self.note(Note::NotRestored { route, owner });
                    }
                }
            }
        }
    }

    fn restore_grace(&mut self, sid: Sid, now: Now) {
        let grace = self.config.route_grace;
        let Some(session) = self.session(sid) else { return };
        match session.replaced_by.clone() {
            None => self.begin_away_for(sid, grace, grace, now),
            Some(by) => {
                let held = self.replacement(&by);
                if let Some(session) = self.sessions.get_mut(&sid) {
                    session.held = held;
                }
                self.deadlines.set(Due::Routes(sid), now.mono.after(grace));
            }
        }
    }

    fn replacement(&self, by: &SessionId) -> Held {
        match self.by_id.get(by) {
            Some(by) => Held::Replaced { by: *by, link: None },
            None => Held::Lapsed,
        }
    }
}
