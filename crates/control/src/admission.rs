//! How many connections there may be, in all and from one peer, and how fast they may come.

use std::num::NonZeroU32;

use door::{Bounds, Full, Guest, Guests, Mono, Pace, Rate};
use governor::clock::Clock;
use governor::nanos::Nanos;
use session::Peer;

use crate::bounds::{CONNECTS_AT_ONCE_MAX, CONNECTS_PER_SECOND_MAX, PACED_PEERS_MAX};
use crate::listener::Limits;

/// Counts connections against their bounds.
#[derive(Debug)]
pub(crate) struct Admission<C: Clock<Instant = Nanos> = Mono> {
    clients: Guests,
    operators: Guests,
    pace: Pace<C>,
}

impl<C: Clock<Instant = Nanos>> Admission<C> {
    pub(crate) fn new(limits: Limits, clock: C) -> Self {
        let Limits { connections_max, connections_per_peer_max, operators_max } = limits;
        let clients = Bounds { connections_max, connections_per_peer_max };
        let operators =
            Bounds { connections_max: operators_max, connections_per_peer_max: operators_max };
        let at_least_one = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let rate = Rate {
            per_second: at_least_one(CONNECTS_PER_SECOND_MAX),
            at_once: at_least_one(CONNECTS_AT_ONCE_MAX),
            peers_max: PACED_PEERS_MAX,
        };
        Self {
            clients: Guests::new("registry connections", clients),
            operators: Guests::new("operators", operators),
            pace: Pace::new(rate, clock),
        }
    }

    /// Who is in, operators excepted.
    pub(crate) const fn clients(&self) -> &Guests {
        &self.clients
    }

    /// Forgets what need not be known any more; to be called now and then.
    pub(crate) fn sweep(&self) {
        self.pace.sweep();
    }

    /// Counts a connection in for as long as what it gets is kept, or says which bound keeps it
    /// out.
    pub(crate) fn enter(&self, peer: &Peer) -> Result<Guest, &'static str> {
        let guests = match peer {
            Peer::Operator => &self.operators,
            Peer::Tcp(_) | Peer::Local => &self.clients,
        };
        let key = peer.counted();
        let guest = guests.enter_as(key).map_err(|full| match full {
            Full::All => "too many connections",
            Full::Peer => "too many connections from this address",
        })?;
        if key.is_some_and(|key| !self.pace.admits(key)) {
            return Err("too many new connections from this address, come back later");
        }
        Ok(guest)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::bounds::{CONNECTS_AT_ONCE_MAX, CONNECTS_PER_SECOND_MAX};

    const LIMITS: Limits =
        Limits { connections_max: 4, connections_per_peer_max: 2, operators_max: 1 };

    #[test]
    fn bounds_are_kept_at_and_past() {
        // A connection comes as a letter (l: loopback, u: Unix socket, o: operator, a b: others) and
        // goes as a capital; `!` after it: it was kept out.
        let table = [
            ("aaa!", "two from one address"),
            ("aabb", "two each"),
            ("llll", "loopback is exempt from the bound for one address"),
            ("lllll!", "but not from the one for all"),
            ("uuuuu!", "nor are Unix sockets"),
            ("aabba!", "all are counted together"),
            ("lllloo!", "operators have a bound of their own"),
            ("aaa!Aaa!", "who goes makes room"),
            ("lllll!Ll", "for anybody"),
            ("oOo", "for operators too"),
        ];
        for (script, why) in table {
            assert_eq!(run(script), script, "{why}");
        }
    }

    /// Who opens and closes connections all day is slowed down, on loopback nobody is.
    #[test]
    fn new_connections_come_at_a_pace() {
        let clock = FakeRelativeClock::default();
        let admission = Admission::new(LIMITS, clock.clone());
        let comes_and_goes = |letter: char| admission.enter(&peer(letter)).map(drop);
        let slow = Err("too many new connections from this address, come back later");
        for at in 0..CONNECTS_AT_ONCE_MAX {
            assert_eq!(comes_and_goes('a'), Ok(()), "{at}");
        }
        assert_eq!(comes_and_goes('a'), slow);
        assert_eq!(comes_and_goes('b'), Ok(()), "others have their own pace");
        for exempt in ['l', 'u', 'o'] {
            assert!((0..=CONNECTS_AT_ONCE_MAX).all(|_| comes_and_goes(exempt).is_ok()));
        }
        clock.advance(Duration::from_secs(1));
        for _ in 0..CONNECTS_PER_SECOND_MAX {
            assert_eq!(comes_and_goes('a'), Ok(()));
        }
        assert_eq!(comes_and_goes('a'), slow);
    }

    fn run(script: &str) -> String {
        let admission = Admission::new(LIMITS, FakeRelativeClock::default());
        let (mut shown, mut inside) = (String::new(), Vec::new());
        for letter in script.chars().filter(char::is_ascii_alphabetic) {
            shown.push(letter);
            let who = letter.to_ascii_lowercase();
            if letter.is_ascii_uppercase() {
                let at = inside.iter().position(|(one, _)| *one == who).unwrap();
                drop(inside.remove(at));
            } else {
                match admission.enter(&peer(who)) {
                    Ok(guest) => inside.push((who, guest)),
                    Err(_) => shown.push('!'),
                }
            }
        }
        shown
    }

    fn peer(letter: char) -> Peer {
        let tcp = |text: &str| Peer::Tcp(text.parse().unwrap());
        match letter {
            'l' => tcp("127.0.0.1"),
            'a' => tcp("10.0.0.1"),
            'b' => tcp("::ffff:10.0.0.2"),
            'u' => Peer::Local,
            'o' => Peer::Operator,
            _ => unreachable!(),
        }
    }
}
