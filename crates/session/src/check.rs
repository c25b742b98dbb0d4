//! What holds after every input. A full sweep: for tests and simulations, and in debug builds
//! while the registry is small.

use std::collections::{BTreeMap, BTreeSet};

use model::{ConnId, RouteConfig};
use routing::EndpointId;

use crate::Registry;
use crate::deadline::Due;
use crate::state::{Held, Led, Session, Sid, Standing};

/// Sessions, connections and routes that a sweep is not felt with.
const SMALL: usize = 48;

impl Registry {
    pub(crate) fn check_if_small(&self) {
        let size = self.sessions.len() + self.conns.len() + self.table.len();
        if cfg!(debug_assertions) && size <= SMALL {
            self.check();
        }
    }

    /// Asserts everything that must hold between two inputs.
    ///
    /// # Panics
    ///
    /// If something does not: a bug of ours, whatever the input was.
    pub fn check(&self) {
        self.deadlines.check();
        self.check_connections();
        for (sid, session) in &self.sessions {
            self.check_held(*sid, session);
            self.check_routes(session);
            self.check_draft(*sid, session);
        }
        self.check_seats();
        self.check_sums();
        self.check_presence();
        self.check_health();
        self.check_bounds();
    }

    fn check_connections(&self) {
        for (conn, held) in &self.conns {
            match &held.standing {
                Standing::Holds(sid) => {
                    let session = self.sessions.get(sid).expect("a connection holds a session");
                    assert_eq!(session.held, Held::By(*conn), "{conn:?} and {sid:?} disagree");
                }
                Standing::Closing => assert!(held.pending.is_none(), "answers a closed one"),
                Standing::Fresh | Standing::Void(..) => {}
            }
            let overdue = self.deadlines.get(Due::Answer(*conn));
            assert_eq!(held.pending.is_some(), overdue.is_some(), "{conn:?} is answered in time");
            for sid in &held.watches {
                let session = self.sessions.get(sid).expect("what is watched is there");
                assert!(session.watchers.contains_key(conn), "{conn:?} watches {sid:?}");
            }
        }
        for (query, ticket) in &self.queries {
            let pending = self.conns.get(&ticket.conn).and_then(|conn| conn.pending.as_ref());
            assert_eq!(pending.and_then(|p| p.query), Some(*query), "a query without a command");
        }
    }

    fn check_held(&self, sid: Sid, session: &Session) {
        assert_eq!(self.by_id.get(&session.id), Some(&sid), "found by its id");
        let due = |due| self.deadlines.get(due).is_some();
        let (expiry, routes) = (due(Due::Expiry(sid)), due(Due::Routes(sid)));
        let wanted = match session.held {
            Held::By(conn) => {
                let holds = self.conns.get(&conn).map(|held| &held.standing);
                assert_eq!(holds, Some(&Standing::Holds(sid)), "{sid:?} and {conn:?} disagree");
                (false, false)
            }
            Held::Pinned => (false, false),
            Held::Away => (true, true),
            Held::Lapsed => (false, true),
            Held::Replaced { link, .. } => {
                assert!(link.is_none_or(|conn| self.conns.contains_key(&conn)), "{link:?} is gone");
                assert!(session.replaced_by.is_some());
                (false, true)
            }
        };
        // What is due waits while an operation of the identity is under way.
        if !self.is_busy(&session.identity) {
            assert_eq!((expiry, routes), wanted, "{sid:?} is {:?}", session.held);
            assert_eq!(session.trial.is_some(), due(Due::Try(sid)), "a try and its end");
        }
    }

    fn check_routes(&self, session: &Session) {
        let mut endpoints: BTreeMap<EndpointId, Led> = BTreeMap::new();
        for route in &session.active {
            let entry = self.table.get(*route).expect("an active route is live");
            assert_eq!(entry.service, session.identity.service);
            assert_eq!(entry.instance, session.identity.instance);
            let config: RouteConfig = session.settings.resolve(*route);
            assert_eq!(*entry.config, config, "{route} has what is set for it");
            let endpoint = self.table.endpoint_of(*route).expect("a live route leads somewhere");
            let backend = entry.spec.backend.clone();
            endpoints.entry(endpoint).or_insert(Led { backend, routes: 0 }).routes += 1;
        }
        assert_eq!(session.endpoints, endpoints, "endpoints are counted");
        for route in session.resting.keys() {
            assert!(session.active.contains(route), "{route} rests and is not live");
        }
    }

    fn check_draft(&self, sid: Sid, session: &Session) {
        session.staging.check();
        let expires = self.deadlines.get(Due::Staged(sid)).is_some();
        if !self.is_busy(&session.identity) {
            assert_ne!(expires, session.staging.is_empty(), "a draft expires, and nothing else");
        }
    }

    fn check_seats(&self) {
        let mut seated = BTreeSet::new();
        let locks: Vec<_> = self.flights.iter().flat_map(|flight| &flight.locks).collect();
        for (identity, seat) in &self.seats {
            assert!(seat.busy || !seat.sessions.is_empty(), "{identity:?} is nobody's");
            assert!(seat.busy || seat.waiting.is_empty(), "{identity:?} keeps somebody waiting");
            let count = locks.iter().filter(|lock| **lock == identity).count();
            assert_eq!(count, usize::from(seat.busy), "{identity:?} has one operation at most");
            for (at, sid) in seat.sessions.iter().enumerate() {
                let session = self.sessions.get(sid).expect("a seat knows sessions that are there");
                assert_eq!(session.identity, *identity);
                let newest = at + 1 == seat.sessions.len();
                let replaced = session.replaced_by.is_some();
                assert!(newest || replaced, "{sid:?} has a successor and was not replaced");
                assert!(seated.insert(*sid), "{sid:?} sits twice");
            }
        }
        assert_eq!(seated.len(), self.sessions.len(), "everybody has a seat");
        assert_eq!(self.by_id.len(), self.sessions.len());
    }

    fn check_sums(&self) {
        let sessions = || self.sessions.values();
        let active: usize = sessions().map(|session| session.active.len()).sum();
        assert_eq!(active, self.table.len(), "every live route has a session");
        let staged: usize = sessions().map(|session| session.staging.bytes()).sum();
        assert_eq!(staged, self.staged_bytes);
        let by_flights: usize = self.flights.iter().map(|flight| flight.claims.len()).sum();
        let counted = sessions().filter(|session| session.peer.is_some()).count();
        let coming = counted..=counted + self.registering;
        assert!(coming.contains(&self.peers.total()), "where sessions came from");
        let trials = || sessions().filter_map(|session| session.trial.as_ref());
        let by_trials: usize = trials().map(|trial| trial.keys.len()).sum();
        assert_eq!(self.claims.len(), by_flights + by_trials, "claims");
        let coming: usize = self.flights.iter().map(|flight| flight.coming).sum();
        assert_eq!(coming, self.routes_coming);
        let offers: usize = sessions().map(|session| session.offers.len()).sum();
        assert_eq!(offers, self.offers.len());
        let watched = trials().filter(|trial| trial.watch.is_some()).count();
        assert_eq!(watched, self.watches.len());
        assert!(self.ready.is_empty(), "nothing is left undone");
        assert!(self.table.generation() <= self.generation);
    }

    fn check_presence(&self) {
        let mut wanted: BTreeMap<EndpointId, bool> = BTreeMap::new();
        let mut draining = BTreeSet::new();
        for identity in self.seats.keys() {
            for session in self.sessions_of(identity) {
                for endpoint in session.endpoints.keys() {
                    *wanted.entry(*endpoint).or_default() |= self.is_present(session);
                    // The newest session that leads there decides.
                    match session.drain {
                        Some(_) => draining.insert(*endpoint),
                        None => draining.remove(endpoint),
                    };
                }
            }
        }
        let away: BTreeSet<EndpointId> = wanted
            .iter()
            .filter(|(_, present)| !**present)
            .map(|(endpoint, _)| *endpoint)
            .collect();
        assert_eq!(self.away, away, "endpoints whose connection is lost");
        assert!(self.gone.is_subset(&self.away), "only who is away can be gone");
        assert_eq!(self.draining, draining);
    }

    fn check_health(&self) {
        for (endpoint, route) in &self.failing {
            let leads = self.table.endpoint_of(*route);
            assert_eq!(leads, Some(*endpoint), "{route} bears the mark of where it leads");
        }
    }

    fn check_bounds(&self) {
        let config = &self.config;
        assert!(self.sessions.len() <= config.sessions_max.max(self.restored), "too many sessions");
        for session in self.sessions.values() {
            assert!(session.watchers.keys().all(|conn: &ConnId| self.conns.contains_key(conn)));
            assert!(session.offers.len() <= crate::OFFERS_PER_SESSION_MAX);
        }
        assert!(self.tombstones.len() <= crate::TOMBSTONES_MAX);
        let waits: Vec<usize> = self.seats.values().map(|seat| seat.waiting.len()).collect();
        let dues = 6;
        assert!(waits.iter().all(|waiting| *waiting <= crate::WAITING_MAX + dues));
        if self.sessions.is_empty() && self.flights.is_empty() {
            let left = (self.claims.len(), self.offers.len(), self.away.len(), self.seats.len());
            assert_eq!(
                (left, self.told.len()),
                ((0, 0, 0, 0), 0),
                "when everyone is gone, everything is empty"
            );
            assert_eq!((self.staged_bytes, self.registering, self.table.len()), (0, 0, 0));
        }
    }
}
