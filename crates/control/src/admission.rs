//! How many connections there may be, in all and from one peer, and how fast they may come.

use std::collections::BTreeMap;

use governor::clock::Clock;
use governor::nanos::Nanos;
use session::{Peer, PeerKey};

use crate::listener::Limits;
use crate::pace::Pace;

/// The one clock, as `governor` reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mono(pub(crate) runtime::Clock);

impl Clock for Mono {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.mono().since(model::Instant::default()).into()
    }
}

/// Counts connections against their bounds.
#[derive(Debug)]
pub(crate) struct Admission<C: Clock<Instant = Nanos> = Mono> {
    limits: Limits,
    clients: usize,
    operators: usize,
    /// Of clients that are not on this machine.
    by_peer: BTreeMap<PeerKey, usize>,
    pace: Pace<C>,
}

impl<C: Clock<Instant = Nanos>> Admission<C> {
    pub(crate) fn new(limits: Limits, clock: C) -> Self {
        let pace = Pace::new(clock);
        Self { limits, clients: 0, operators: 0, by_peer: BTreeMap::new(), pace }
    }

    /// Forgets what need not be known any more; to be called now and then.
    pub(crate) fn sweep(&self) {
        self.pace.sweep();
    }

    /// Counts a connection in, or says which bound keeps it out. Whoever is counted in has to be
    /// counted out by [`Admission::leave`].
    pub(crate) fn enter(&mut self, peer: &Peer) -> Result<(), &'static str> {
        let (all, all_max) = match peer {
            Peer::Operator => (&mut self.operators, self.limits.operators_max),
            Peer::Tcp(_) | Peer::Local => (&mut self.clients, self.limits.connections_max),
        };
        if *all >= all_max {
            return Err("too many connections");
        }
        if let Some(key) = PeerKey::counted(peer) {
            let from = self.by_peer.get(&key).copied().unwrap_or_default();
            if from >= self.limits.connections_per_peer_max {
                return Err("too many connections from this address");
            }
            if !self.pace.admits(key) {
                return Err("too many new connections from this address, come back later");
            }
            // Without a connection there is no entry, or strangers could fill the map.
            self.by_peer.insert(key, from + 1);
        }
        *all += 1;
        Ok(())
    }

    pub(crate) fn leave(&mut self, peer: &Peer) {
        let all = match peer {
            Peer::Operator => &mut self.operators,
            Peer::Tcp(_) | Peer::Local => &mut self.clients,
        };
        *all = all.saturating_sub(1);
        if let Some(key) = PeerKey::counted(peer)
            && let Some(from) = self.by_peer.get_mut(&key)
        {
            *from -= 1;
            if *from == 0 {
                self.by_peer.remove(&key);
            }
        }
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

    #[test]
    fn when_everybody_is_gone_nothing_is_kept() {
        let mut admission = Admission::new(
            Limits { connections_per_peer_max: 0, ..LIMITS },
            FakeRelativeClock::default(),
        );
        assert!(admission.enter(&peer('a')).is_err());
        assert!(admission.by_peer.is_empty());
        let mut admission = Admission::new(LIMITS, FakeRelativeClock::default());
        for step in [Admission::enter, |all: &mut Admission<FakeRelativeClock>, who: &Peer| {
            all.leave(who);
            Ok(())
        }] {
            "abluo".chars().for_each(|letter| step(&mut admission, &peer(letter)).unwrap());
        }
        assert_eq!((admission.clients, admission.operators), (0, 0));
        assert!(admission.by_peer.is_empty());
    }

    /// Who opens and closes connections all day is slowed down, on loopback nobody is.
    #[test]
    fn new_connections_come_at_a_pace() {
        let clock = FakeRelativeClock::default();
        let mut admission = Admission::new(LIMITS, clock.clone());
        let mut comes_and_goes = |letter: char| {
            let peer = peer(letter);
            let said = admission.enter(&peer);
            if said.is_ok() {
                admission.leave(&peer);
            }
            said
        };
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
        let mut admission = Admission::new(LIMITS, FakeRelativeClock::default());
        let mut shown = String::new();
        for letter in script.chars().filter(char::is_ascii_alphabetic) {
            shown.push(letter);
            let peer = peer(letter.to_ascii_lowercase());
            if letter.is_ascii_uppercase() {
                admission.leave(&peer);
            } else if admission.enter(&peer).is_err() {
                shown.push('!');
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
