//! How many connections there may be, in all and from one address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use session::Peer;

use crate::listener::Limits;

/// Counts connections against their bounds.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    clients: usize,
    operators: usize,
    /// Of clients that are not on this machine.
    by_address: BTreeMap<IpAddr, usize>,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, clients: 0, operators: 0, by_address: BTreeMap::new() }
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
        if let Some(address) = counted(peer) {
            let from = self.by_address.entry(address).or_default();
            if *from >= self.limits.connections_per_peer_max {
                // Without a connection there is no entry, or strangers could fill the map.
                if *from == 0 {
                    self.by_address.remove(&address);
                }
                return Err("too many connections from this address");
            }
            *from += 1;
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
        if let Some(address) = counted(peer)
            && let Some(from) = self.by_address.get_mut(&address)
        {
            *from -= 1;
            if *from == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

/// The address that is counted, if any: everything on loopback has the same one (SPEC 12).
fn counted(peer: &Peer) -> Option<IpAddr> {
    match peer {
        Peer::Tcp(address) => Some(address.to_canonical()).filter(|a| !a.is_loopback()),
        Peer::Local | Peer::Operator => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut admission = Admission::new(Limits { connections_per_peer_max: 0, ..LIMITS });
        assert!(admission.enter(&peer('a')).is_err());
        assert!(admission.by_address.is_empty());
        let mut admission = Admission::new(LIMITS);
        for step in [Admission::enter, |all: &mut Admission, who: &Peer| {
            all.leave(who);
            Ok(())
        }] {
            "abluo".chars().for_each(|letter| step(&mut admission, &peer(letter)).unwrap());
        }
        assert_eq!((admission.clients, admission.operators), (0, 0));
        assert!(admission.by_address.is_empty());
    }

    fn run(script: &str) -> String {
        let mut admission = Admission::new(LIMITS);
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
