//! The name that everything stands under.

use std::net::IpAddr;
use std::time::Duration;

use catalog::View;
use hickory_proto::rr::Name;

/// A zone: its name, and for how long answers about it may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    pub(crate) name: Name,
    pub(crate) ttl: u32,
    pub(crate) negative_ttl: u32,
    /// Where its name server is, as far as that is one address.
    pub(crate) addresses: Vec<IpAddr>,
}

/// Why a text is no zone. Reads as a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a zone is a domain name of at most 128 bytes, such as proxyd.internal, and not the root")]
pub struct ZoneError;

/// The longest name of a zone: there must be room for services.
const ZONE_BYTES_MAX: usize = 128;

impl Zone {
    /// A zone of that name, with a final dot or without.
    ///
    /// # Errors
    ///
    /// [`ZoneError`].
    pub fn parse(text: &str) -> Result<Self, ZoneError> {
        let labels: Vec<_> = text.strip_suffix('.').unwrap_or(text).split('.').collect();
        let fits = |label: &&str| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        if text.len() > ZONE_BYTES_MAX || !labels.iter().all(fits) {
            return Err(ZoneError);
        }
        let name = name_of(labels.into_iter()).ok_or(ZoneError)?;
        Ok(Self { name, ttl: 5, negative_ttl: 5, addresses: Vec::new() })
    }

    /// How long answers may be kept, those that there is something and those that there is
    /// nothing. In whole seconds, rounded down; 5 s both unless told.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration, negative: Duration) -> Self {
        // The largest that is not taken for a negative number (RFC 2181, 8).
        let seconds = |ttl: Duration| {
            u32::try_from(ttl.as_secs()).map_or(i32::MAX.unsigned_abs(), |ttl| ttl.min(0x7FFF_FFFF))
        };
        (self.ttl, self.negative_ttl) = (seconds(ttl), seconds(negative));
        self
    }

    /// `head.zone`; `None` if that is no name DNS can carry.
    pub(crate) fn below(&self, head: &str) -> Option<Name> {
        let labels = head.split('.').map(str::as_bytes);
        labels_of(labels.chain(self.name.iter()))
    }
}

/// What the zone's server is called in it, as long as no service is.
pub(crate) const SERVER: &str = "ns";

/// The name of the zone's server: always one that leads to it, so the zone's own if a service took
/// the usual one. No service can have that.
pub(crate) fn server(zone: &Zone, view: &View) -> Name {
    let is_taken = view.service_in_any_case(SERVER).is_some();
    let usual = zone.below(SERVER).filter(|_| !is_taken);
    usual.unwrap_or_else(|| zone.name.clone())
}

/// A name from the root of these labels; `None` if DNS cannot carry it.
pub(crate) fn name_of<'a>(labels: impl Iterator<Item = &'a str>) -> Option<Name> {
    labels_of(labels.map(str::as_bytes))
}

fn labels_of<'a>(labels: impl Iterator<Item = &'a [u8]>) -> Option<Name> {
    let mut name = Name::root();
    for label in labels {
        if label.is_empty() {
            return None;
        }
        name = name.append_label(label).ok()?;
    }
    name.set_fqdn(true);
    // The reader of names wants one byte less than RFC 1035 allows.
    (name.len() < 255).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones() {
        let long = format!("{}.internal", "a".repeat(64));
        #[rustfmt::skip]
        let table = [
            ("proxyd.internal",  Some("proxyd.internal.")),
            ("proxyd.internal.", Some("proxyd.internal.")),
            ("Svc",              Some("Svc.")),
            ("_a-b.c1",          Some("_a-b.c1.")),
            ("",                 None),
            (".",                None),
            ("a..b",             None),
            ("a b",              None),
            ("ä.b",              None),
            (&long,              None),
        ];
        for (text, want) in table {
            let zone = Zone::parse(text).map(|zone| zone.name.to_string());
            assert_eq!(zone.ok().as_deref(), want, "{text}");
        }
        let longest = ["a".repeat(63), "b".repeat(63)].join(".");
        assert!(Zone::parse(&format!("{longest}.")).is_ok());
        assert!(Zone::parse(&format!("{longest}.c")).is_err(), "one past it");
    }

    #[test]
    fn ttl_in_whole_seconds() {
        let zone = Zone::parse("z").unwrap();
        let zone = zone.with_ttl(Duration::from_millis(1999), Duration::MAX);
        assert_eq!((zone.ttl, zone.negative_ttl), (1, 0x7FFF_FFFF));
    }
}
