//! All certificates we have, by name.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use model::{HostPattern, UnixMillis, normalize_authority};
use rustls::SignatureScheme;
use rustls::pki_types::CertificateDer;

use crate::client_name::ClientName;
use crate::pair::{Pair, Validity};

/// An immutable set of pairs, looked up by the name a client asks for.
///
/// An exact name comes before a wildcard, which stands for exactly one label (RFC 9525, section
/// 6.3). Of several pairs for one name the first is taken that the client can verify: ECDSA, then
/// Ed25519, then RSA, and among those of one kind the one that expires last.
#[derive(Debug, Default)]
pub struct Certificates {
    pairs: Vec<Arc<Pair>>,
    exact: HashMap<Box<str>, Vec<Arc<Pair>>>,
    /// By what follows `*.`.
    one_label: HashMap<Box<str>, Vec<Arc<Pair>>>,
    /// The one that was given first, or the first that is for an address.
    first: Option<Arc<Pair>>,
    /// For clients that name no host.
    nameless: Vec<Arc<Pair>>,
    fallback: Option<Arc<Pair>>,
}

/// What a handshake settled: which hosts the connection may be asked for, other ones being
/// misdirected (421, RFC 9110, section 15.5.20), and who the client is. Keeps names and no key, so
/// that a connection may hold it for as long as it lives.
#[derive(Clone, Debug, Default)]
pub struct Covered {
    asked: Asked,
    /// Of each pair the connection may have been answered with.
    names: Vec<Arc<[HostPattern]>>,
    /// An element of `X-Forwarded-Client-Cert`.
    client: Option<Box<str>>,
}

/// Whom a client asked for in the handshake.
#[derive(Clone, Debug, Default)]
enum Asked {
    /// For what is no host.
    #[default]
    Nobody,
    /// For nobody by name: names are all that can be said there (RFC 6066, section 3), so whoever
    /// wants an address says nothing.
    Address,
    Host(Box<str>),
}

impl Certificates {
    /// Those and no other; a client that asks for none of their names is refused.
    pub fn new(mut pairs: Vec<Arc<Pair>>) -> Self {
        let first = pairs.iter().find(|pair| is_for_an_address(pair)).or(pairs.first()).cloned();
        pairs.sort_by_key(|pair| (pair.rank(), Reverse(pair.not_after())));
        let mut set = Self::default();
        for pair in &pairs {
            for name in pair.names() {
                set.insert(name, pair);
            }
        }
        Self { pairs, first, ..set }
    }

    /// Answers clients that name no host as the first of `these` is for: with those of our pairs that
    /// have its first name. One that is for an address comes before all that are not, since a client
    /// that connects to an address names no host.
    #[must_use]
    pub fn with_nameless(self, these: &Self) -> Self {
        let name = these.first.as_ref().and_then(|pair| pair.names().first());
        let has_it = |pair: &&Arc<Pair>| name.is_some_and(|name| pair.names().contains(name));
        let nameless = self.pairs.iter().filter(has_it).cloned().collect();
        Self { nameless, ..self }
    }

    /// Answers clients that name no host, or one we have no certificate for, with this pair.
    #[must_use]
    pub fn with_fallback(self, pair: Arc<Pair>) -> Self {
        Self { fallback: Some(pair), ..self }
    }

    /// Every pair except the fallback.
    pub fn pairs(&self) -> &[Arc<Pair>] {
        &self.pairs
    }

    /// Every pair, and the fallback.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Pair>> {
        self.pairs.iter().chain(&self.fallback)
    }

    /// Whether there is a certificate for `host`: the fallback is for none.
    pub fn serves(&self, host: &str) -> bool {
        self.named(host).is_some()
    }

    /// The pair for a client that asks for `sni` (RFC 6066, section 3) and knows these signatures;
    /// `None` if it is to be refused.
    pub fn choose(&self, sni: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<Pair>> {
        self.candidates(sni).iter().find(|pair| pair.signs_one_of(schemes))
    }

    /// Which hosts a connection that asked for `sni` may be asked for. Take it when the handshake
    /// ends: later sets may be for other hosts.
    pub fn covered(&self, sni: Option<&str>) -> Covered {
        let host = |sni: &str| Some(Asked::Host(normalize_authority(sni.as_bytes())?.into()));
        let asked = sni.map_or(Asked::Address, |sni| host(sni).unwrap_or_default());
        let names = self.candidates(sni).iter().map(|pair| pair.shared_names().clone());
        Covered { asked, names: names.collect(), client: None }
    }

    /// The pairs, the fallback among them, that clients should not accept at `now`, with the
    /// reason. To be logged and told, not to be refused.
    pub fn invalid(&self, now: UnixMillis) -> impl Iterator<Item = (&Arc<Pair>, Validity)> {
        self.all()
            .map(move |pair| (pair, pair.validity(now)))
            .filter(|(_, v)| *v != Validity::Valid)
    }

    fn insert(&mut self, name: &HostPattern, pair: &Arc<Pair>) {
        let (map, key) = match name {
            HostPattern::Exact(name) => (&mut self.exact, name),
            HostPattern::OneLabel(suffix) => (&mut self.one_label, suffix),
            // No certificate is for these; `Pair` leaves them out.
            HostPattern::AnyDepth(_) | HostPattern::Any => return,
        };
        map.entry(key.clone()).or_default().push(pair.clone());
    }

    fn candidates(&self, sni: Option<&str>) -> &[Arc<Pair>] {
        let found = match sni {
            Some(sni) => self.named(sni),
            None => Some(self.nameless.as_slice()).filter(|nameless| !nameless.is_empty()),
        };
        found.unwrap_or(self.fallback.as_slice())
    }

    fn named(&self, host: &str) -> Option<&[Arc<Pair>]> {
        let host = normalize_authority(host.as_bytes())?;
        let exact = self.exact.get(&*host);
        let wildcard = || self.one_label.get(host.split_once('.')?.1);
        exact.or_else(wildcard).map(Vec::as_slice)
    }
}

impl Covered {
    /// The same, with the chain that the client showed and that was verified.
    #[must_use]
    pub fn with_client(self, chain: Option<&[CertificateDer<'_>]>) -> Self {
        let client = chain.and_then(<[_]>::first).and_then(|shown| ClientName::read(shown));
        Self { client: client.map(|name| name.element().into()), ..self }
    }

    /// The client's certificate as an element of `X-Forwarded-Client-Cert`, if it showed one.
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// Whether a request for `host`, as [`normalize_authority`] gives it, is meant for the
    /// connection: its certificate covers the host, or the client asked for it in the handshake,
    /// which for an address is to name no host, and has accepted what it got. Where several certificates are for one name, all must cover
    /// the host: which of them was shown is known to the client only.
    pub fn covers(&self, host: &str) -> bool {
        let covered = |names: &Arc<[HostPattern]>| names.iter().any(|name| name.matches(host));
        let asked = match &self.asked {
            Asked::Nobody => false,
            Asked::Address => is_address(host),
            Asked::Host(asked) => **asked == *host,
        };
        !self.names.is_empty() && (asked || self.names.iter().all(covered))
    }
}

fn is_for_an_address(pair: &Pair) -> bool {
    pair.names().iter().any(|name| is_address(&name.to_string()))
}

/// As [`normalize_authority`] has them: those of version 6 in brackets.
fn is_address(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    bare.unwrap_or(host).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use model::UnixMillis;

    use super::*;
    use crate::fixture::{ECDSA, Kind, NOW, RSA, pair, pair_valid};

    fn set(pairs: &[&[&str]]) -> Certificates {
        Certificates::new(pairs.iter().map(|names| pair(Kind::Ecdsa, names)).collect())
    }

    fn shown(pair: Option<&Arc<Pair>>) -> String {
        pair.map_or_else(|| "refused".to_owned(), |pair| pair.names()[0].to_string())
    }

    #[test]
    fn names() {
        let set = set(&[
            &["example.com", "www.example.com"],
            &["*.example.com"],
            &["exact.wild.example"],
            &["*.wild.example", "wild.example"],
            &["*.a.wild.example"],
            &["192.0.2.1", "2001:db8::1"],
            &["bücher.example"],
        ]);
        #[rustfmt::skip]
        let table = [
            // asked                     answered with              why
            (Some("example.com"),        "example.com",             "exact"),
            (Some("EXAMPLE.com"),        "example.com",             "case does not matter"),
            (Some("example.com."),       "example.com",             "nor does one trailing dot"),
            (Some("example.com.."),      "refused",                 "two are no name"),
            (Some("www.example.com"),    "example.com",             "exact before wildcard"),
            (Some("api.example.com"),    "*.example.com",           "one label"),
            (Some("API.Example.Com"),    "*.example.com",           "in any case"),
            (Some("a.b.example.com"),    "refused",                 "and not two"),
            (Some(".example.com"),       "refused",                 "nor none"),
            (Some("xexample.com"),       "refused",                 "no suffix of letters"),
            (Some("wild.example"),       "*.wild.example",          "named beside the wildcard"),
            (Some("exact.wild.example"), "exact.wild.example",      "exact before wildcard"),
            (Some("a.wild.example"),     "*.wild.example",          "a label of its own"),
            (Some("b.a.wild.example"),   "*.a.wild.example",        "the deeper wildcard"),
            (Some("com"),                "refused",                 "no wildcard at the top"),
            (Some("*.example.com"),      "refused",                 "nobody is called so"),
            (Some("xn--bcher-kva.example"), "xn--bcher-kva.example", "A-labels"),
            (Some("192.0.2.1"),          "192.0.2.1",               "an address"),
            (Some("[2001:DB8::1]"),      "192.0.2.1",               "of either kind"),
            (Some("other.test"),         "refused",                 "unknown"),
            (Some(""),                   "refused",                 "empty"),
            (None,                       "refused",                 "not said"),
        ];
        for (sni, expected, why) in table {
            assert_eq!(shown(set.choose(sni, ECDSA)), expected, "{sni:?}: {why}");
            let serves = sni.is_some_and(|sni| set.serves(sni));
            assert_eq!(serves, expected != "refused", "{sni:?}: {why}");
        }
    }

    #[test]
    fn the_fallback_is_for_whom_nothing_else_is_for() {
        let set = set(&[&["a.test"]]).with_fallback(pair(Kind::Rsa, &["fallback.test"]));
        #[rustfmt::skip]
        let table = [
            // asked              signatures  answered with
            (None,                RSA,        "fallback.test"),
            (None,                ECDSA,      "refused"),
            (Some("b.test"),      RSA,        "fallback.test"),
            (Some("a.test"),      ECDSA,      "a.test"),
            (Some("a.test"),      RSA,        "refused"),
        ];
        for (sni, schemes, expected) in table {
            assert_eq!(shown(set.choose(sni, schemes)), expected, "{sni:?} {schemes:?}");
        }
        assert!(!set.serves("b.test") && !set.serves("fallback.test"));
    }

    #[test]
    fn who_names_no_host_gets_the_first_or_the_one_for_an_address() {
        #[rustfmt::skip]
        let table: [(&[&[&str]], &str); 5] = [
            (&[&["b.test"], &["a.test"]],              "b.test"),
            (&[&["b.test"], &["192.0.2.1"]],           "192.0.2.1"),
            (&[&["b.test"], &["a.test", "[2001:db8::1]"]], "a.test"),
            (&[&["*.b.test"], &["a.test"]],            "*.b.test"),
            (&[],                                      "refused"),
        ];
        for (files, expected) in table {
            let (files, issued) = (set(files), pair(Kind::Ecdsa, &["0.issued.test"]));
            let all = files.pairs().iter().chain([&issued]).cloned().collect();
            let all = Certificates::new(all).with_nameless(&files);
            assert_eq!(shown(all.choose(None, ECDSA)), expected);
            assert_eq!(
                shown(all.choose(Some("other.test"), ECDSA)),
                "refused",
                "a name is no default"
            );
        }
        let two = Certificates::new(vec![
            pair(Kind::Rsa, &["a.test"]),
            pair(Kind::Ecdsa, &["a.test"]),
            pair(Kind::Ecdsa, &["b.test"]),
        ]);
        let two = Certificates::new(two.pairs().to_vec()).with_nameless(&two);
        assert_eq!(shown(two.choose(None, RSA)), "a.test", "what the client can verify");
    }

    #[test]
    fn of_two_alike_the_one_that_expires_last_is_taken() {
        let (old, new) = (pair_valid(&["a.test"], 0, 10), pair_valid(&["a.test"], 0, 20));
        for pairs in [[&old, &new], [&new, &old]] {
            let set = Certificates::new(pairs.map(Arc::clone).to_vec());
            let chosen = set.choose(Some("a.test"), ECDSA).unwrap();
            assert_eq!(chosen.fingerprint(), new.fingerprint());
        }
    }

    #[test]
    fn misdirected_requests() {
        let set = Certificates::new(vec![
            pair(Kind::Ecdsa, &["a.test", "*.a.test"]),
            pair(Kind::Ecdsa, &["two.test", "ecdsa.test", "both.test"]),
            pair(Kind::Rsa, &["two.test", "both.test"]),
        ]);
        let with_fallback = Certificates::new(set.pairs().to_vec())
            .with_fallback(pair(Kind::Ecdsa, &["fallback.test"]));
        #[rustfmt::skip]
        let table = [
            // asked             host             without  with a fallback
            (Some("a.test"),     "a.test",        true,    true),
            (Some("A.test."),    "a.test",        true,    true),
            (Some("a.test"),     "x.a.test",      true,    true),
            (Some("x.a.test"),   "y.a.test",      true,    true),
            (Some("a.test"),     "x.y.a.test",    false,   false),
            (Some("a.test"),     "two.test",      false,   false),
            (Some("two.test"),   "both.test",     true,    true),
            (Some("two.test"),   "ecdsa.test",    false,   false),
            (Some("ecdsa.test"), "two.test",      true,    true),
            (Some("b.test"),     "b.test",        false,   true),
            (Some("b.test"),     "fallback.test", false,   true),
            (Some("b.test"),     "a.test",        false,   false),
            (None,               "fallback.test", false,   true),
            (None,               "a.test",        false,   false),
            (None,               "192.0.2.1",     false,   true),
            (None,               "[2001:db8::1]", false,   true),
            (Some("b.test"),     "192.0.2.1",     false,   false),
        ];
        for (sni, host, without, with) in table {
            assert_eq!(set.covered(sni).covers(host), without, "{sni:?} {host}");
            assert_eq!(with_fallback.covered(sni).covers(host), with, "{sni:?} {host}");
        }
        assert!(!Covered::default().covers("a.test"));
    }

    #[test]
    fn what_has_expired_is_served_and_told() {
        let set = Certificates::new(vec![
            pair_valid(&["expired.test"], -20, -2),
            pair_valid(&["early.test"], 1, 20),
            pair_valid(&["valid.test"], -1, 1),
        ]);
        assert_eq!(shown(set.choose(Some("expired.test"), ECDSA)), "expired.test");
        let told = |now: UnixMillis| -> Vec<String> {
            let invalid = set.invalid(now);
            invalid.map(|(pair, why)| format!("{} {why}", pair.names()[0])).collect()
        };
        let expected =
            ["early.test is not valid for another 1 day", "expired.test expired 2 days ago"];
        assert_eq!(told(NOW), expected);
    }
}
