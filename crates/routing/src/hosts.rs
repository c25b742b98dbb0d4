//! From a request's host to the host patterns that mean it, the most specific first.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use imbl::hashmap::GenericHashMap;
use imbl::shared_ptr::DefaultSharedPtr;
use model::HostPattern;

use crate::hash::Fixed;
use crate::host::{Change, Host};
use crate::paths::Depths;

/// Every host pattern that has a key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts {
    exact: ByNames,
    one_label: ByNames,
    any_depth: ByNames,
    any: Option<Arc<Host>>,
    /// How many labels the suffixes of `any_depth` have: others are not looked up.
    labels: Depths,
}

type ByNames = GenericHashMap<ByName, (), Fixed, DefaultSharedPtr>;

/// A host, by the name that its pattern holds.
#[derive(Clone, Debug)]
struct ByName(Arc<Host>);

impl Hosts {
    /// What `visit` finds first among the patterns that mean `host`, the most specific first.
    /// A request without a host is meant by `*` alone (SPEC 12).
    pub(crate) fn each<'t, T>(
        &'t self,
        host: Option<&str>,
        mut visit: impl FnMut(&'t Host) -> Option<T>,
    ) -> Option<T> {
        if let Some(host) = host {
            if let Some(found) = get(&self.exact, host).and_then(&mut visit) {
                return Some(found);
            }
            if !self.one_label.is_empty()
                && let Some((_, suffix)) = host.split_once('.')
                && let Some(found) = get(&self.one_label, suffix).and_then(&mut visit)
            {
                return Some(found);
            }
            if !self.any_depth.is_empty()
                && let Some(found) = self.each_suffix(host, &mut visit)
            {
                return Some(found);
            }
        }
        self.any.as_deref().and_then(visit)
    }

    fn each_suffix<'t, T>(
        &'t self,
        host: &str,
        mut visit: impl FnMut(&'t Host) -> Option<T>,
    ) -> Option<T> {
        let mut rest = host;
        for labels in (1..=dots(host)).rev() {
            let (_, suffix) = rest.split_once('.')?;
            if self.labels.has(labels)
                && let Some(found) = get(&self.any_depth, suffix).and_then(&mut visit)
            {
                return Some(found);
            }
            rest = suffix;
        }
        None
    }

    /// The keys of one pattern.
    pub(crate) fn get(&self, domain: &HostPattern) -> Option<&Host> {
        match domain {
            HostPattern::Exact(name) => get(&self.exact, name),
            HostPattern::OneLabel(suffix) => get(&self.one_label, suffix),
            HostPattern::AnyDepth(suffix) => get(&self.any_depth, suffix),
            HostPattern::Any => self.any.as_deref(),
        }
    }

    /// Changes keys of one pattern.
    pub(crate) fn change(&mut self, domain: &HostPattern, changes: Vec<Change>) {
        let before = self.get(domain);
        let was = before.is_some();
        let after = Host::changed(before, domain, changes).map(Arc::new);
        let is = after.is_some();
        match domain {
            HostPattern::Exact(name) => set(&mut self.exact, name, after),
            HostPattern::OneLabel(suffix) => set(&mut self.one_label, suffix, after),
            HostPattern::AnyDepth(suffix) => {
                set(&mut self.any_depth, suffix, after);
                match (was, is) {
                    (false, true) => self.labels.add(dots(suffix) + 1),
                    (true, false) => self.labels.remove(dots(suffix) + 1),
                    (true, true) | (false, false) => {}
                }
            }
            HostPattern::Any => self.any = after,
        }
    }

    /// Every host, in no order that means anything.
    #[cfg(test)]
    pub(crate) fn all(&self) -> impl Iterator<Item = &Host> {
        let named = [&self.exact, &self.one_label, &self.any_depth].into_iter();
        named.flat_map(|map| map.keys()).map(|ByName(host)| &**host).chain(self.any.as_deref())
    }
}

fn get<'t>(map: &'t ByNames, name: &str) -> Option<&'t Host> {
    map.get_key_value(name).map(|(ByName(host), ())| &**host)
}

fn set(map: &mut ByNames, name: &str, host: Option<Arc<Host>>) {
    // The name lies in the value: a host that is replaced must not stay behind as the key.
    map.remove(name);
    if let Some(host) = host {
        map.insert(ByName(host), ());
    }
}

fn dots(name: &str) -> usize {
    name.bytes().filter(|byte| *byte == b'.').count()
}

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        match self.0.domain() {
            Some(
                HostPattern::Exact(name)
                | HostPattern::OneLabel(name)
                | HostPattern::AnyDepth(name),
            ) => name,
            // These are in no map.
            Some(HostPattern::Any) | None => "*",
        }
    }
}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Borrow::<str>::borrow(self).hash(state);
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        Borrow::<str>::borrow(self) == Borrow::<str>::borrow(other)
    }
}

impl Eq for ByName {}
