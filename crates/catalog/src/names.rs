//! Names of services as a tree: what follows a dot is above what is before it.

use imbl::OrdMap;

/// A name in any case, back to front: whatever is below a name stands right behind it, in the order
/// of bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reversed(Box<[u8]>);

impl Reversed {
    pub(crate) fn of(name: &str) -> Self {
        Self(name.bytes().rev().map(|byte| byte.to_ascii_lowercase()).collect())
    }
}

/// Whether one of these names ends with a dot and this one. Costs no more than to find it.
pub(crate) fn is_above<V>(names: &OrdMap<Reversed, V>, name: &Reversed) -> bool {
    let stem = Reversed([&name.0, &b"."[..]].concat().into());
    let below = names.range(stem.clone()..).next();
    below.is_some_and(|(found, _)| found.0.starts_with(&stem.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_a_name() {
        let names =
            ["v1.Api", "apix", "b.c.d", "x-api", "api"].map(|name| (Reversed::of(name), ()));
        let names: OrdMap<_, ()> = OrdMap::from_iter(names);
        for (name, want) in [
            ("api", true),
            ("API", true),
            ("c.d", true),
            ("d", true),
            ("v1.api", false),
            ("pi", false),
            ("x", false),
            ("b.c.d", false),
            (".d", false),
            ("", false),
        ] {
            assert_eq!(is_above(&names, &Reversed::of(name)), want, "{name}");
        }
    }
}
