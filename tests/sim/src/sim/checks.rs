//! What always holds.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Reply, RouteId, ServiceName, normalize_path};
use routing::{Choice, Decision, EndpointHealth, EndpointId, Head, Live, Member, Table, choose};

use super::{ANSWER_WITHIN, Sim, naive};
use crate::world::{Disk, Heard};

const HOSTS: [Option<&str>; 5] =
    [Some("a.example"), Some("b.a.example"), Some("c.example"), Some("x"), None];
const PATHS: [&str; 6] = ["/", "/a", "/a/", "/a/b/c", "/ab", "/c"];

/// Where these routes lead.
pub(super) fn endpoints(routes: &BTreeSet<RouteId>, table: &Table) -> BTreeSet<EndpointId> {
    routes.iter().filter_map(|route| table.endpoint_of(*route)).collect()
}

impl Sim {
    /// # Panics
    ///
    /// When something does not hold that always should.
    pub(super) fn check(&mut self) {
        let table = Arc::clone(&self.world.plane.table);
        self.failing.retain(|endpoint| table.has_endpoint(*endpoint));
        self.answers_are_in_time();
        self.nobody_waits_for_nothing();
        self.one_session_one_connection();
        self.the_best_endpoints_serve();
        let published = !Arc::ptr_eq(&self.checked.0, &self.world.plane.table);
        if published {
            self.one_owner_for_each_key();
            self.requests_go_where_a_search_says();
        }
        if !self.diverged && self.world.writes.is_empty() {
            if published || self.checked.1 != self.world.batches() {
                self.world.registry.check();
                self.the_table_is_what_is_remembered();
                let failing = endpoints(&self.world.image.failing, &table);
                assert_eq!(failing, self.failing, "endpoints that fail");
            }
            self.presence_is_that_of_sessions();
            self.drains_are_those_ordered();
            self.maintenance_is_that_ordered();
            self.checked = (Arc::clone(&self.world.plane.table), self.world.batches());
        }
    }

    fn answers_are_in_time(&self) {
        let now = self.world.now.mono;
        for (number, client) in self.world.clients().filter(|(_, client)| !client.closed) {
            let waited = client.waits_since().map(|since| now.since(since));
            assert!(
                waited.is_none_or(|waited| waited < ANSWER_WITHIN),
                "connection {number} has waited for {waited:?}"
            );
        }
    }

    /// With a disk that works, a data plane that answers and no request under way, every command
    /// is answered at once.
    fn nobody_waits_for_nothing(&self) {
        let world = &self.world;
        if world.disk == Disk::Works && world.writes.is_empty() && !world.mute && !world.busy {
            for (number, client) in world.clients().filter(|(_, client)| !client.closed) {
                assert!(!client.is_waiting(), "connection {number} waits for nothing");
            }
        }
    }

    fn one_session_one_connection(&self) {
        let open = self.world.clients().filter(|(_, client)| !client.closed);
        let mut held = BTreeSet::new();
        for (number, client) in open.filter(|(_, client)| !self.void.contains(&client.conn)) {
            if let Some(id) = self.holds.get(&client.conn) {
                assert!(held.insert(id), "connection {number} holds {id:?}, as another does");
            }
        }
    }

    fn one_owner_for_each_key(&self) {
        let table = &self.world.plane.table;
        for entry in table.entries() {
            for key in entry.keys() {
                let pool = table.pool(&key).expect("a live route has a pool");
                let owner: &ServiceName = &pool.service;
                assert_eq!(*owner, entry.service, "{key} has two owners");
                let members: Vec<RouteId> = pool.members.iter().map(|m| m.route).collect();
                assert!(members.contains(&entry.route), "{} is not in its pool", entry.route);
            }
        }
    }

    /// Nobody is refused while an endpoint is usable, and no worse one is picked than there is.
    fn the_best_endpoints_serve(&mut self) {
        let draw = self.rng.bits();
        let (plane, now) = (&self.world.plane, self.world.now.mono);
        for key in plane.table.entries().flat_map(|entry| entry.keys().collect::<Vec<_>>()) {
            let pool = plane.table.pool(&key).expect("a live route has a pool");
            let class = |member: &Member| {
                let view = plane.member(member, now);
                match (view.health, view.share_percent) {
                    (EndpointHealth::Up | EndpointHealth::Away, 0) => Some(2),
                    (EndpointHealth::Away, _) => Some(1),
                    (EndpointHealth::Up, _) => Some(0),
                    // The plane of the simulation knows no others that serve.
                    _ => None,
                }
            };
            let usable = pool.members.iter().filter(|member| member.weight > 0);
            let best = usable.filter_map(class).min();
            let picked = match choose(pool, plane, &Choice { now, draw, ..Choice::default() }) {
                Decision::Send { pool, member } => class(&pool.members[member]),
                Decision::Maintenance { .. } | Decision::Unavailable { .. } | Decision::NoRoute => {
                    None
                }
            };
            assert_eq!(picked, best, "{key}: how good the endpoint is that was picked");
        }
    }

    fn requests_go_where_a_search_says(&self) {
        let table = &self.world.plane.table;
        for host in HOSTS {
            for path in PATHS {
                let normal = normalize_path(path.as_bytes()).expect("these are paths");
                let head = Head { host, raw_path: path, path: &normal };
                let found = table.find(head).map(|pool| pool.key.clone());
                assert_eq!(found, naive::winner(table, head), "{host:?} {path}");
            }
        }
    }

    fn the_table_is_what_is_remembered(&self) {
        let mut live: Vec<_> = self.world.plane.table.entries().map(|e| (**e).clone()).collect();
        live.sort_by_key(|entry| entry.route);
        let remembered = naive::entries(&self.world.image);
        assert_eq!(live, remembered, "what is live and what is durable differ");
        let (mut machine, mut disk) = (self.world.registry.image(), self.world.image.clone());
        for image in [&mut machine, &mut disk] {
            image.sessions.sort_by(|a, b| a.row.session.cmp(&b.row.session));
        }
        // What is taken may be written before it is used, and a number that was not written is
        // not used again.
        assert!(machine.last_route <= disk.last_route, "{machine:?}: ids are not written as taken");
        assert!(machine.generation >= disk.generation, "generations come from nowhere");
        (machine.last_route, machine.generation) = (disk.last_route, disk.generation);
        assert_eq!(machine, disk, "what the machine and the disk remember differ");
    }

    /// An endpoint whose session is held is connected; one whose service and instance nobody is
    /// here for, not even over a connection whose session was replaced, is not.
    fn presence_is_that_of_sessions(&self) {
        let table = &self.world.plane.table;
        let open = self.world.clients().filter(|(_, client)| !client.closed);
        let here: Vec<_> = open.map(|(_, client)| client.conn).collect();
        let last = |conn| self.holds.get(conn);
        let any: BTreeSet<_> = here.iter().filter_map(last).collect();
        let held: BTreeSet<_> =
            here.iter().filter(|conn| !self.void.contains(conn)).filter_map(last).collect();
        let sessions = &self.world.image.sessions;
        let of_any = sessions.iter().filter(|session| any.contains(&session.row.session));
        let identities: BTreeSet<_> =
            of_any.map(|session| (&session.row.service, &session.row.instance)).collect();
        for session in sessions {
            let row = &session.row;
            for (route, ..) in &session.routes {
                let endpoint = table.endpoint_of(*route).expect("a live route has an endpoint");
                let away = self.world.plane.away.contains(&endpoint);
                if held.contains(&row.session) && row.replaced_by.is_none() {
                    assert!(!away, "{route} is held and counts as away");
                } else if !identities.contains(&(&row.service, &row.instance)) {
                    assert!(away, "nobody holds {route} and it counts as connected");
                }
            }
        }
    }

    fn drains_are_those_ordered(&self) {
        let table = &self.world.plane.table;
        let draining = self.world.image.sessions.iter().filter(|held| held.drain.is_some());
        let ordered: BTreeSet<EndpointId> = draining
            .flat_map(|held| held.routes.iter().filter_map(|(id, ..)| table.endpoint_of(*id)))
            .collect();
        let drains = self.world.plane.drains.keys().filter(|id| table.has_endpoint(**id));
        assert_eq!(drains.copied().collect::<BTreeSet<_>>(), ordered, "endpoints that drain");
    }

    fn maintenance_is_that_ordered(&self) {
        let sessions = &self.world.image.sessions;
        let ordered: BTreeSet<RouteId> = sessions.iter().flat_map(naive::resting).collect();
        let table = &self.world.plane.table;
        let resting = self.world.plane.resting.keys().filter(|id| table.get(**id).is_some());
        assert_eq!(resting.copied().collect::<BTreeSet<_>>(), ordered, "routes in maintenance");
    }

    /// VALIDATE says OK if and only if APPLY right after it does, and then nothing differs.
    pub(super) fn apply_and_compare(&mut self) {
        let (number, conn) = self.connection();
        let Some(id) = self.holds.get(&conn).cloned() else { return };
        if self.world.disk != Disk::Works || !self.is_quiet() || self.void.contains(&conn) {
            return;
        }
        self.hear();
        let id = id.as_str();
        let Some(validated) = self.ask(number, &format!("CONFIG_VALIDATE|{id}")) else { return };
        let Some(applied) = self.ask(number, &format!("CONFIG_APPLY|{id}")) else { return };
        let trying = matches!(&applied, Reply::Refused(why) if why.as_str() == "try in progress");
        assert!(trying || validated == applied, "validated {validated:?}, applied {applied:?}");
        if applied == Reply::Ok {
            let diff = self.ask(number, &format!("CONFIG_DIFF|{id}"));
            assert_eq!(diff, Some(Reply::Diff(Default::default())), "after an apply");
        }
    }

    /// Says a line, and hears the answer.
    fn ask(&mut self, number: u64, line: &str) -> Option<Reply> {
        self.say_this(number, line);
        let answer = self.world.heard.iter().find_map(|heard| match heard {
            Heard::Answer(_, exchange) => Some(exchange.1.reply.clone()),
            Heard::Push(..) => None,
        });
        self.hear();
        answer
    }
}
