//! The keys of a host that has many of them.
//!
//! Per kind and path the key of the highest priority is in a hash map. A path is read once, from
//! left to right; after each segment the hash of what was read is there already, and only depths
//! that some key has are looked up. So a lookup costs the length of the path and one probe for
//! each depth in use, however many keys there are, and no priority costs anything.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use imbl::OrdSet;
use imbl::hashmap::GenericHashMap;
use imbl::shared_ptr::DefaultSharedPtr;
use model::{HostPattern, MatchKind};

use crate::hash::{Fixed, start, step};
use crate::host::precedence;
use crate::{Head, Pool, RouteKey};

/// Keys of one host pattern, indexed by path.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    domain: HostPattern,
    /// All of them, by key: those of one path and kind side by side, by priority.
    all: OrdSet<ByKey>,
    exact: Index,
    prefix: Index,
    raw: Index,
}

/// The best key of each path of one kind.
#[derive(Clone, Debug, Default)]
struct Index {
    best: GenericHashMap<ByPath, (), Fixed, DefaultSharedPtr>,
    depths: Depths,
}

impl Paths {
    pub(crate) fn new(domain: HostPattern) -> Self {
        let (exact, prefix, raw) = Default::default();
        Self { domain, all: OrdSet::new(), exact, prefix, raw }
    }

    /// The one host pattern of all its keys.
    pub(crate) fn domain(&self) -> &HostPattern {
        &self.domain
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn find(&self, head: Head<'_>) -> Option<&Arc<Pool>> {
        let mut found: Option<&Arc<Pool>> = None;
        self.each(head, |pool| {
            if found.is_none_or(|best| precedence(&pool.key) < precedence(&best.key)) {
                found = Some(pool);
            }
        });
        found
    }

    pub(crate) fn matching(&self, head: Head<'_>) -> Vec<&Arc<Pool>> {
        let mut found = Vec::new();
        self.each(head, |pool| found.extend(self.rivals(&pool.key)));
        found.sort_by(|a, b| precedence(&a.key).cmp(&precedence(&b.key)));
        found
    }

    pub(crate) fn get(&self, key: &RouteKey) -> Option<&Arc<Pool>> {
        self.all.get(key).map(|ByKey(pool)| pool)
    }

    /// The pools of the same path and kind, the highest priority first.
    pub(crate) fn rivals<'t>(
        &'t self,
        key: &RouteKey,
    ) -> impl Iterator<Item = &'t Arc<Pool>> + use<'t> {
        let at = |priority| RouteKey { priority, ..key.clone() };
        self.all.range(at(i32::MIN)..=at(i32::MAX)).rev().map(|ByKey(pool)| pool)
    }

    pub(crate) fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.all.iter().map(|ByKey(pool)| pool)
    }

    /// Gives a key another pool, or takes it away.
    pub(crate) fn change(&mut self, key: &RouteKey, pool: Option<Arc<Pool>>) {
        let depth = depth(&key.path);
        if self.all.remove(key).is_some() {
            self.index_mut(key.kind).depths.remove(depth);
        }
        if let Some(pool) = pool {
            self.all.insert(ByKey(pool));
            self.index_mut(key.kind).depths.add(depth);
        }
        let best = self.rivals(key).next().cloned();
        let index = self.index_mut(key.kind);
        index.best.remove(&Spot::of(key) as &dyn Place);
        if let Some(best) = best {
            index.best.insert(ByPath(best), ());
        }
    }

    /// The best key of every path that a request is under, in no order.
    fn each<'t>(&'t self, head: Head<'_>, mut found: impl FnMut(&'t Arc<Pool>)) {
        let path = &*head.path.compared;
        let mut whole = start();
        each_prefix(path, |spot, depth| {
            whole = spot.code;
            if self.prefix.depths.has(depth) {
                self.prefix.get(&spot).into_iter().for_each(&mut found);
            }
        });
        if !self.exact.best.is_empty() {
            self.exact.get(&Spot { code: whole, path }).into_iter().for_each(&mut found);
        }
        if !self.raw.best.is_empty() {
            each_prefix(head.raw_path, |spot, depth| {
                if self.raw.depths.has(depth) {
                    self.raw.get(&spot).into_iter().for_each(&mut found);
                }
            });
        }
    }

    fn index_mut(&mut self, kind: MatchKind) -> &mut Index {
        match kind {
            MatchKind::Exact => &mut self.exact,
            MatchKind::Prefix => &mut self.prefix,
            MatchKind::Raw => &mut self.raw,
        }
    }
}

impl Index {
    fn get(&self, spot: &Spot<'_>) -> Option<&Arc<Pool>> {
        self.best.get_key_value(spot as &dyn Place).map(|(ByPath(pool), ())| pool)
    }
}

/// Calls with every prefix of a path, the shortest first, and its depth: `/` is 0, `/a` is 1,
/// `/a/` is 2.
fn each_prefix<'p>(path: &'p str, mut visit: impl FnMut(Spot<'p>, usize)) {
    let Some(rest) = path.strip_prefix('/') else { return };
    let mut code = start();
    visit(Spot { code, path: "/" }, 0);
    if rest.is_empty() {
        return;
    }
    let mut end = 0;
    for (before, segment) in rest.split('/').enumerate() {
        code = step(code, segment);
        end += 1 + segment.len();
        // `//` begins with an empty segment, which is not the root once more.
        if let Some(path) = path.get(..end).filter(|path| path.len() > 1) {
            visit(Spot { code, path }, before + 1);
        }
    }
}

fn depth(path: &str) -> usize {
    if path == "/" { 0 } else { path.bytes().filter(|byte| *byte == b'/').count() }
}

/// Which depths are in use. The last one stands for all deeper ones.
#[derive(Clone, Debug)]
pub(crate) struct Depths([u32; 64]);

impl Default for Depths {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Depths {
    pub(crate) fn add(&mut self, depth: usize) {
        *self.at(depth) += 1;
    }

    pub(crate) fn remove(&mut self, depth: usize) {
        *self.at(depth) -= 1;
    }

    pub(crate) fn has(&self, depth: usize) -> bool {
        self.0.get(depth).or(self.0.last()).is_some_and(|keys| *keys > 0)
    }

    fn at(&mut self, depth: usize) -> &mut u32 {
        &mut self.0[depth.min(63)]
    }
}

/// A path and its hash, to be looked up. The map's own keys compute theirs ([`ByPath`]).
struct Spot<'a> {
    code: u64,
    path: &'a str,
}

impl<'a> Spot<'a> {
    fn of(key: &'a RouteKey) -> Self {
        Self { code: code(&key.path), path: &key.path }
    }
}

/// As [`each_prefix`] computes it.
fn code(path: &str) -> u64 {
    match path.strip_prefix('/') {
        None | Some("") => start(),
        Some(rest) => rest.split('/').fold(start(), step),
    }
}

/// What both sides of a lookup have in common.
trait Place {
    fn code(&self) -> u64;
    fn path(&self) -> &str;
}

impl Place for Spot<'_> {
    fn code(&self) -> u64 {
        self.code
    }

    fn path(&self) -> &str {
        self.path
    }
}

impl Hash for dyn Place + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.code());
    }
}

impl PartialEq for dyn Place + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.path() == other.path()
    }
}

impl Eq for dyn Place + '_ {}

/// A pool, by its path.
#[derive(Clone, Debug)]
struct ByPath(Arc<Pool>);

impl Place for ByPath {
    fn code(&self) -> u64 {
        code(&self.0.key.path)
    }

    fn path(&self) -> &str {
        &self.0.key.path
    }
}

impl<'a> Borrow<dyn Place + 'a> for ByPath {
    fn borrow(&self) -> &(dyn Place + 'a) {
        self
    }
}

impl Hash for ByPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self as &dyn Place).hash(state);
    }
}

impl PartialEq for ByPath {
    fn eq(&self, other: &Self) -> bool {
        self.path() == other.path()
    }
}

impl Eq for ByPath {}

/// A pool, by its key.
#[derive(Clone, Debug)]
struct ByKey(Arc<Pool>);

impl Borrow<RouteKey> for ByKey {
    fn borrow(&self) -> &RouteKey {
        &self.0.key
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for ByKey {}

impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.key.cmp(&other.0.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        #[rustfmt::skip]
        let table: [(&str, &[(&str, usize)]); 7] = [
            ("/",      &[("/", 0)]),
            ("/a",     &[("/", 0), ("/a", 1)]),
            ("/a/",    &[("/", 0), ("/a", 1), ("/a/", 2)]),
            ("/a/b",   &[("/", 0), ("/a", 1), ("/a/b", 2)]),
            ("//",     &[("/", 0), ("//", 2)]),
            ("//a",    &[("/", 0), ("//a", 2)]),
            ("*",      &[]),
        ];
        for (path, prefixes) in table {
            let mut found = Vec::new();
            each_prefix(path, |spot, at| {
                assert_eq!(spot.code, code(spot.path), "{}", spot.path);
                assert_eq!(at, depth(spot.path), "{}", spot.path);
                found.push((spot.path, at));
            });
            assert_eq!(found, prefixes, "{path}");
        }
    }

    #[test]
    fn depths_beyond_the_last_count_as_the_last() {
        let mut depths = Depths::default();
        depths.add(200);
        assert!(depths.has(63) && depths.has(64) && depths.has(usize::MAX) && !depths.has(62));
        depths.remove(200);
        depths.add(62);
        assert!(!depths.has(63) && depths.has(62));
    }
}
