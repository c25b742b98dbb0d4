//! Where ids come from: secrets from the seed, everything else counted.

use model::{RouteId, SessionId, UnixMillis};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use crate::QueryId;
use crate::bounds::ROUTE_ID_BLOCK;
use crate::state::Sid;

/// RFC 4648, section 6, in lower case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// What of a name goes into a session id, in bytes: the whole must stay a name.
const NAME_BYTES_MAX: usize = 160;

/// Gives out ids; none is given out twice.
#[derive(Debug)]
pub(crate) struct Ids {
    random: ChaCha20Rng,
    route: u64,
    /// The last route id that somebody has, or will have.
    used: u64,
    /// Route ids up to this one are remembered as taken on disk, so they may be given out by
    /// commands that do not wait for it.
    reserved: u64,
    /// Ids up to this one are remembered as taken, or are on their way to be.
    promised: u64,
    session: u64,
    query: u64,
    ticket: u64,
}

impl Ids {
    /// Secrets come from `seed`; route ids up to `route` are taken.
    pub(crate) fn new(seed: [u8; 32], route: u64) -> Self {
        let random = ChaCha20Rng::from_seed(seed);
        Self {
            random,
            route,
            used: route,
            reserved: route,
            promised: route,
            session: 0,
            query: 0,
            ticket: 0,
        }
    }

    /// 128 random bits in base32.
    pub(crate) fn secret(&mut self) -> String {
        let mut bits =
            (u128::from(self.random.next_u64()) << 64) | u128::from(self.random.next_u64());
        let mut text = String::with_capacity(26);
        for _ in 0..26 {
            text.push(char::from(ALPHABET[(bits & 31) as usize]));
            bits >>= 5;
        }
        text
    }

    /// `<name>-<port>-<unix seconds>-<random>` (SPEC 2.3).
    pub(crate) fn session_id(&mut self, name: &str, port: u16, at: UnixMillis) -> SessionId {
        let mut end = name.len().min(NAME_BYTES_MAX);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        let text = format!("{}-{port}-{}-{}", &name[..end], at.seconds(), self.secret());
        SessionId::parse(&text).expect("a name cut short with digits and letters is a name")
    }

    pub(crate) fn next_session(&mut self) -> Sid {
        self.session += 1;
        Sid(self.session)
    }

    pub(crate) fn next_query(&mut self) -> QueryId {
        self.query += 1;
        QueryId(self.query)
    }

    pub(crate) fn next_ticket(&mut self) -> u64 {
        self.ticket += 1;
        self.ticket
    }

    pub(crate) fn next_route(&mut self) -> RouteId {
        self.route += 1;
        RouteId(self.route)
    }

    /// Somebody has this route id.
    pub(crate) fn used(&mut self, route: RouteId) {
        self.used = self.used.max(route.0);
    }

    /// Nothing is under way: ids set aside for what has failed are free again.
    pub(crate) fn settle(&mut self) {
        self.route = self.used;
        self.promised = self.reserved.max(self.used);
    }

    /// The last route id given out.
    pub(crate) fn last_route(&self) -> RouteId {
        RouteId(self.route)
    }

    /// What to remember on disk as taken.
    pub(crate) fn taken(&self) -> RouteId {
        RouteId(self.route.max(self.promised))
    }

    /// Whether `count` more route ids may be given out before anything is written.
    pub(crate) fn has_reserved(&self, count: usize) -> bool {
        self.route.saturating_add(count as u64) <= self.reserved
    }

    /// Ids that were only set aside ahead of time are free again.
    pub(crate) fn release(&mut self) {
        self.reserved = self.route;
        self.promised = self.route;
    }

    /// Ids up to this one are about to be remembered as taken: `count` more, at least a block.
    pub(crate) fn promise(&mut self, count: usize) -> RouteId {
        self.promised = self.taken().0.saturating_add(ROUTE_ID_BLOCK.max(count as u64));
        RouteId(self.promised)
    }

    /// Ids up to `last` are remembered as taken.
    pub(crate) fn reserve(&mut self, last: RouteId) {
        self.reserved = self.reserved.max(last.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_ids_have_the_seeds_shape_and_are_never_the_same() {
        let mut ids = Ids::new([7; 32], 0);
        let at = UnixMillis(1_734_532_800_123);
        let first = ids.session_id("api-v2", 9000, at);
        let second = ids.session_id("api-v2", 9000, at);
        assert!(first.as_str().starts_with("api-v2-9000-1734532800-"), "{}", first.as_str());
        assert_eq!(first.as_str().len(), "api-v2-9000-1734532800-".len() + 26);
        assert_ne!(first, second);
        assert_eq!(Ids::new([7; 32], 0).session_id("api-v2", 9000, at), first, "by seed");
    }

    #[test]
    fn the_longest_name_still_gives_a_session_id() {
        let mut ids = Ids::new([0; 32], 0);
        for name in ["x".repeat(255), "ä".repeat(127), "日".repeat(85)] {
            let id = ids.session_id(&name, 65535, UnixMillis(u64::MAX));
            assert!(id.as_str().len() <= 255);
        }
    }

    #[test]
    fn ids_are_reserved_ahead_of_being_given_out() {
        let mut ids = Ids::new([0; 32], 5);
        assert!(!ids.has_reserved(1));
        let last = ids.promise(1);
        assert_eq!(last, RouteId(5 + ROUTE_ID_BLOCK));
        assert_eq!(ids.taken(), last, "what is written meanwhile does not take it back");
        assert!(!ids.has_reserved(1), "not written yet");
        ids.reserve(last);
        assert_eq!(ids.taken(), last);
        assert!(ids.has_reserved(ROUTE_ID_BLOCK as usize));
        assert!(!ids.has_reserved(ROUTE_ID_BLOCK as usize + 1));
        assert_eq!(
            (ids.next_route(), ids.last_route(), ids.taken()),
            (RouteId(6), RouteId(6), last)
        );
        ids.used(RouteId(6));
        ids.release();
        assert_eq!(ids.taken(), RouteId(6));
    }

    #[test]
    fn ids_of_what_failed_are_given_out_again() {
        let mut ids = Ids::new([0; 32], 5);
        assert_eq!((ids.next_route(), ids.next_route()), (RouteId(6), RouteId(7)));
        ids.promise(1);
        ids.used(RouteId(6));
        ids.settle();
        assert_eq!((ids.taken(), ids.next_route()), (RouteId(6), RouteId(7)));
    }
}
