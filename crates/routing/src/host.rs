//! The keys of one host pattern, and which of them a path belongs to.
//!
//! Most hosts have one key, some a handful: those are a list in order of precedence, read until
//! one matches. From [`FEW_MAX`] on they are indexed ([`Paths`]).

use std::cmp::Reverse;
use std::sync::Arc;

use model::{HostPattern, MatchKind};

use crate::paths::Paths;
use crate::{Head, Pool, RouteKey};

/// Most keys that are kept as a list.
const FEW_MAX: usize = 8;

/// All keys of one host pattern; never none.
#[derive(Clone, Debug)]
pub(crate) enum Host {
    /// One.
    Sole(Arc<Pool>),
    /// Up to [`FEW_MAX`], in order of precedence.
    Few(Box<[Arc<Pool>]>),
    /// More.
    Many(Box<Paths>),
}

/// What becomes of a key: another pool, or nothing.
pub(crate) type Change = (RouteKey, Option<Arc<Pool>>);

impl Host {
    /// The pool that a request belongs to.
    pub(crate) fn find(&self, head: Head<'_>) -> Option<&Arc<Pool>> {
        match self.keys() {
            Keys::Listed(pools) => pools.iter().find(|pool| takes(&pool.key, head)),
            Keys::Indexed(paths) => paths.find(head),
        }
    }

    /// Every pool a request could belong to, in order of precedence.
    pub(crate) fn matching(&self, head: Head<'_>) -> Vec<&Arc<Pool>> {
        match self.keys() {
            Keys::Listed(pools) => pools.iter().filter(|pool| takes(&pool.key, head)).collect(),
            Keys::Indexed(paths) => paths.matching(head),
        }
    }

    pub(crate) fn get(&self, key: &RouteKey) -> Option<&Arc<Pool>> {
        match self.keys() {
            Keys::Listed(pools) => pools.iter().find(|pool| pool.key == *key),
            Keys::Indexed(paths) => paths.get(key),
        }
    }

    /// The pools of the same path and kind, the highest priority first.
    pub(crate) fn rivals<'t>(
        &'t self,
        key: &RouteKey,
    ) -> Box<dyn Iterator<Item = &'t Arc<Pool>> + 't> {
        match self.keys() {
            Keys::Listed(pools) => {
                let (path, kind) = (key.path.clone(), key.kind);
                let same = move |pool: &&Arc<Pool>| pool.key.path == path && pool.key.kind == kind;
                Box::new(pools.iter().filter(same))
            }
            Keys::Indexed(paths) => Box::new(paths.rivals(key)),
        }
    }

    /// The host after some changes; `None` when no key is left.
    pub(crate) fn changed(
        before: Option<&Self>,
        domain: &HostPattern,
        changes: Vec<Change>,
    ) -> Option<Self> {
        let (listed, mut paths) = match before.map(Self::keys) {
            Some(Keys::Indexed(paths)) => (Vec::new(), paths.clone()),
            Some(Keys::Listed(pools)) => (pools.to_vec(), Paths::new(domain.clone())),
            None => (Vec::new(), Paths::new(domain.clone())),
        };
        if paths.len() == 0 && listed.len() + changes.len() <= FEW_MAX {
            return Self::listed(changed(listed, changes));
        }
        for pool in listed {
            paths.change(&pool.key.clone(), Some(pool));
        }
        for (key, pool) in changes {
            paths.change(&key, pool);
        }
        match paths.len() {
            0..=FEW_MAX => Self::listed(paths.pools().cloned().collect()),
            _ => Some(Self::Many(Box::new(paths))),
        }
    }

    fn listed(mut pools: Vec<Arc<Pool>>) -> Option<Self> {
        pools.sort_by(|a, b| precedence(&a.key).cmp(&precedence(&b.key)));
        match pools.len() {
            0 => None,
            1 => pools.pop().map(Self::Sole),
            _ => Some(Self::Few(pools.into())),
        }
    }

    /// The one host pattern of all its keys.
    pub(crate) fn domain(&self) -> Option<&HostPattern> {
        match self.keys() {
            Keys::Listed(pools) => pools.first().map(|pool| &pool.key.domain),
            Keys::Indexed(paths) => Some(paths.domain()),
        }
    }

    fn keys(&self) -> Keys<'_> {
        match self {
            Self::Sole(pool) => Keys::Listed(std::slice::from_ref(pool)),
            Self::Few(pools) => Keys::Listed(pools),
            Self::Many(paths) => Keys::Indexed(paths),
        }
    }

    /// Every pool, in no order that means anything.
    #[cfg(test)]
    pub(crate) fn pools(&self) -> Vec<&Arc<Pool>> {
        match self.keys() {
            Keys::Listed(pools) => pools.iter().collect(),
            Keys::Indexed(paths) => paths.pools().collect(),
        }
    }
}

enum Keys<'a> {
    Listed(&'a [Arc<Pool>]),
    Indexed(&'a Paths),
}

fn changed(mut pools: Vec<Arc<Pool>>, changes: Vec<Change>) -> Vec<Arc<Pool>> {
    for (key, pool) in changes {
        pools.retain(|pool| pool.key != key);
        pools.extend(pool);
    }
    pools
}

/// Sorts the keys of one host pattern, the first to be asked first (SPEC 3).
///
/// A raw path is a prefix that is read in another way, so the longer of the two comes first, and
/// the normalised one where they are equally long. The path itself never decides: two of one kind
/// and length do not both match, and so "oldest apply" has nothing to decide between keys.
pub(crate) fn precedence(key: &RouteKey) -> impl Ord {
    let is_exact = key.kind == MatchKind::Exact;
    (Reverse(key.priority), Reverse(is_exact), Reverse(key.path.len()), key.kind, &key.path)
}

/// Whether a key of this host is meant by a request.
fn takes(key: &RouteKey, head: Head<'_>) -> bool {
    match key.kind {
        MatchKind::Exact => *key.path == *head.path.compared,
        MatchKind::Prefix => is_under(&key.path, &head.path.compared),
        MatchKind::Raw => is_under(&key.path, head.raw_path),
    }
}

/// Whether `path` begins with the segments of `prefix`.
fn is_under(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix == "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_whole_segments() {
        #[rustfmt::skip]
        let table = [
            // prefix  path      under
            ("/api",   "/api",   true),
            ("/api",   "/api/",  true),
            ("/api",   "/api/x", true),
            ("/api",   "/apix",  false),
            ("/api",   "/ap",    false),
            ("/api",   "/",      false),
            ("/",      "/",      true),
            ("/",      "/x",     true),
            ("/",      "//",     true),
            ("/a//b",  "/a//b/", true),
            ("/a//b",  "/a/b",   false),
            ("/",      "*",      false),
        ];
        for (prefix, path, under) in table {
            assert_eq!(is_under(prefix, path), under, "{prefix} {path}");
        }
    }
}
