//! Names that a certificate authority can be asked about.

use std::fmt;
use std::sync::Arc;

use model::HostPattern;

/// Longest label (RFC 1035, section 2.3.4).
const LABEL_MAX: usize = 63;
/// Longest name (the same).
const NAME_MAX: usize = 253;
/// Nobody owns what is under these (RFC 6761, section 6.3; RFC 6762, section 3).
const NOBODYS: &[&str] = &["localhost", "local"];

/// A host name of the public kind: several labels, none of them a wildcard, and no address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// The name that a route's host is, if it is one.
    pub fn of(host: &HostPattern) -> Option<Self> {
        match host {
            HostPattern::Exact(host) => Self::parse(host),
            HostPattern::OneLabel(_) | HostPattern::AnyDepth(_) | HostPattern::Any => None,
        }
    }

    /// The name in a text of lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let top = text.rsplit('.').next()?;
        let good = text.len() <= NAME_MAX
            && text.contains('.')
            && !is_address(text)
            && !NOBODYS.contains(&top)
            && text.split('.').all(is_label);
        good.then(|| Self(text.into()))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The address that a route's host is, if it is one: no authority is asked about those.
pub(crate) fn address_of(host: &HostPattern) -> Option<&str> {
    match host {
        HostPattern::Exact(host) if is_address(host) => Some(host),
        HostPattern::Exact(_)
        | HostPattern::OneLabel(_)
        | HostPattern::AnyDepth(_)
        | HostPattern::Any => None,
    }
}

/// In brackets, or digits at the end: no top of a name is (RFC 3696, section 2).
fn is_address(host: &str) -> bool {
    let top = host.rsplit('.').next().unwrap_or(host);
    host.starts_with('[') || top.bytes().all(|byte| byte.is_ascii_digit())
}

/// Letters, digits and hyphens (RFC 5890, section 2.3.1): authorities accept nothing else.
fn is_label(label: &str) -> bool {
    (1..=LABEL_MAX).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_about() {
        #[rustfmt::skip]
        let table = [
            ("example.com",         true,  "a name"),
            ("Api.Example.com.",    true,  "as it is registered"),
            ("bücher.example",      true,  "in A-labels"),
            ("a-1.b.example.com",   true,  "deeper"),
            ("*.example.com",       false, "a wildcard"),
            ("**.example.com",      false, "many"),
            ("*",                   false, "everything"),
            ("localhost",           false, "this machine"),
            ("app.localhost",       false, "on this machine"),
            ("printer.local",       false, "on this link"),
            ("intranet",            false, "one label"),
            ("192.0.2.1",           false, "an address"),
            ("[2001:db8::1]",       false, "of either kind"),
            ("under_score.example", false, "no host name"),
        ];
        for (host, expected, why) in table {
            let name = HostPattern::parse(host).ok().as_ref().and_then(Name::of);
            assert_eq!(name.is_some(), expected, "{host}: {why}");
        }
    }

    #[test]
    fn as_long_as_names_may_be() {
        let label = "a".repeat(LABEL_MAX);
        assert!(Name::parse(&format!("{label}.example")).is_some());
        assert!(Name::parse(&format!("a{label}.example")).is_none());
        let long = format!("{label}.{label}.{label}.{}", &label[..61]);
        assert_eq!(long.len(), NAME_MAX);
        assert!(Name::parse(&long).is_some());
        assert!(Name::parse(&format!("{long}a")).is_none());
        for text in ["", ".", "a.", ".a", "a..b", "-a.b", "a-.b", "A.b"] {
            assert!(Name::parse(text).is_none(), "{text:?}");
        }
    }
}
