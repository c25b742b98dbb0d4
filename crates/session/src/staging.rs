//! What a session has staged: routes and settings that wait for an apply.

use std::collections::BTreeMap;

use model::{
    BackendUrl, HeaderKey, HeaderSetting, OptionKey, OptionValue, RouteId, RouteSpec,
    SettingsEdits, StagedRoute, Target,
};

use crate::overlay::{first_header, mentions, own_keys};

/// Bytes that any staged change costs besides its texts.
const ENTRY_BYTES: usize = 64;

/// A draft, its size, and where its routes are found again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Staging {
    routes: BTreeMap<RouteId, StagedRoute>,
    settings: SettingsEdits,
    /// Staged routes by what they will be.
    by_spec: BTreeMap<RouteSpec, RouteId>,
    /// How many routes will be new.
    added: usize,
    bytes: usize,
}

impl Staging {
    pub(crate) fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.settings.is_empty()
    }

    pub(crate) fn routes(&self) -> &BTreeMap<RouteId, StagedRoute> {
        &self.routes
    }

    pub(crate) fn settings(&self) -> &SettingsEdits {
        &self.settings
    }

    pub(crate) fn route(&self, route: RouteId) -> Option<&StagedRoute> {
        self.routes.get(&route)
    }

    /// What staging this would add at most, in bytes.
    pub(crate) fn cost(routes: &[StagedRoute], settings: &SettingsEdits) -> usize {
        let SettingsEdits { headers, options, health, limits, breakers } = settings;
        let rest = (health.len() + limits.len() + breakers.len()) * ENTRY_BYTES;
        routes.iter().map(route_bytes).sum::<usize>()
            + headers.iter().map(|(key, edit)| header_bytes(key, edit)).sum::<usize>()
            + options.iter().map(|(key, edit)| option_bytes(key, edit)).sum::<usize>()
            + rest
    }

    /// How many routes will be new.
    pub(crate) fn added(&self) -> usize {
        self.added
    }

    /// About as many bytes as it would be written with.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The staged route that will be just this.
    pub(crate) fn find(&self, spec: &RouteSpec) -> Option<RouteId> {
        self.by_spec.get(&canonical(spec)).copied()
    }

    /// Stages a change of a route, over what was staged for it before.
    pub(crate) fn stage(&mut self, route: RouteId, staged: StagedRoute) {
        self.unstage(route);
        self.bytes += route_bytes(&staged);
        self.added += usize::from(is_added(&staged));
        if let Some(spec) = spec_of(&staged) {
            self.by_spec.entry(canonical(spec)).or_insert(route);
        }
        self.routes.insert(route, staged);
    }

    /// Takes the staged change of a route away; settings staged for it stay.
    pub(crate) fn unstage(&mut self, route: RouteId) {
        let Some(staged) = self.routes.remove(&route) else { return };
        self.bytes -= route_bytes(&staged);
        self.added -= usize::from(is_added(&staged));
        let Some(spec) = spec_of(&staged).map(canonical) else { return };
        if self.by_spec.get(&spec) == Some(&route) {
            self.by_spec.remove(&spec);
        }
    }

    /// Whether settings are staged for a route of its own.
    pub(crate) fn has_settings_of(&self, route: RouteId) -> bool {
        mentions(&self.settings, route)
    }

    /// Takes away the settings staged for a route.
    pub(crate) fn forget_settings_of(&mut self, route: RouteId) {
        let own = Target::Route(route);
        for key in own_keys(&self.settings.headers, (own, first_header()), |key| key.0) {
            if let Some(edit) = self.settings.headers.remove(&key) {
                self.bytes -= header_bytes(&key, &edit);
            }
        }
        for key in own_keys(&self.settings.options, (own, OptionKey::ALL[0]), |key| key.0) {
            if let Some(edit) = self.settings.options.remove(&key) {
                self.bytes -= option_bytes(&key, &edit);
            }
        }
        let health = self.settings.health.remove(&route).is_some();
        let limit = self.settings.limits.remove(&own).is_some();
        let breaker = self.settings.breakers.remove(&own).is_some();
        self.bytes -=
            ENTRY_BYTES * [health, limit, breaker].into_iter().filter(|gone| *gone).count();
    }

    /// Stages settings over those staged before.
    pub(crate) fn set(&mut self, edits: SettingsEdits) {
        merge(&mut self.settings.headers, edits.headers, &mut self.bytes, header_bytes);
        merge(&mut self.settings.options, edits.options, &mut self.bytes, option_bytes);
        merge(&mut self.settings.health, edits.health, &mut self.bytes, |_, _| ENTRY_BYTES);
        merge(&mut self.settings.limits, edits.limits, &mut self.bytes, |_, _| ENTRY_BYTES);
        merge(&mut self.settings.breakers, edits.breakers, &mut self.bytes, |_, _| ENTRY_BYTES);
    }

    /// Takes all routes away.
    pub(crate) fn clear_routes(&mut self) {
        self.routes.clear();
        self.by_spec.clear();
        self.added = 0;
        self.bytes = self.counted();
    }

    /// Puts these settings in the place of the staged ones.
    pub(crate) fn replace_settings(&mut self, settings: SettingsEdits) {
        self.settings = settings;
        self.bytes = self.counted();
    }

    /// The size, counted anew.
    pub(crate) fn counted(&self) -> usize {
        let routes: usize = self.routes.values().map(route_bytes).sum();
        routes + Self::cost(&[], &self.settings)
    }

    /// The indexes agree with what they index.
    pub(crate) fn check(&self) {
        assert_eq!(self.bytes, self.counted(), "staged bytes");
        let added = self.routes.values().filter(|staged| is_added(staged)).count();
        assert_eq!(self.added, added, "staged routes");
        for (spec, route) in &self.by_spec {
            let staged = self.routes.get(route).and_then(spec_of).map(canonical);
            assert_eq!(staged.as_ref(), Some(spec), "{route} is found by another spec");
        }
    }
}

/// What a staged route will be; `None` when it will be gone.
pub(crate) fn spec_of(staged: &StagedRoute) -> Option<&RouteSpec> {
    match staged {
        StagedRoute::Added(spec)
        | StagedRoute::Updated(spec)
        | StagedRoute::TakenOver { spec, .. } => Some(spec),
        StagedRoute::Removed => None,
    }
}

/// Whether a staged route will be new in its session.
pub(crate) fn is_added(staged: &StagedRoute) -> bool {
    match staged {
        StagedRoute::Added(_) | StagedRoute::TakenOver { .. } => true,
        StagedRoute::Updated(_) | StagedRoute::Removed => false,
    }
}

/// The same for two specs that mean the same route.
pub(crate) fn canonical(spec: &RouteSpec) -> RouteSpec {
    let mut spec = spec.clone();
    spec.domains.sort();
    spec
}

fn url_bytes(url: &BackendUrl) -> usize {
    ENTRY_BYTES + url.base().len()
}

fn route_bytes(staged: &StagedRoute) -> usize {
    let spec = spec_of(staged).map_or(0, |spec| {
        let domains: usize = spec
            .domains
            .iter()
            .map(|domain| std::mem::size_of_val(domain) + domain_len(domain))
            .sum();
        domains + spec.path.as_str().len() + url_bytes(&spec.backend)
    });
    ENTRY_BYTES + spec
}

fn domain_len(domain: &model::HostPattern) -> usize {
    match domain {
        model::HostPattern::Exact(name)
        | model::HostPattern::OneLabel(name)
        | model::HostPattern::AnyDepth(name) => name.len(),
        model::HostPattern::Any => 0,
    }
}

fn header_bytes(key: &(Target, HeaderKey), edit: &Option<HeaderSetting>) -> usize {
    let value = match edit {
        Some(HeaderSetting::Rule(rule)) => rule.name.len() + rule.value.len(),
        Some(HeaderSetting::Masked) | None => 0,
    };
    ENTRY_BYTES + key.1.name.len() + value
}

fn option_bytes(_: &(Target, OptionKey), edit: &Option<OptionValue>) -> usize {
    let value = match edit {
        Some(OptionValue::Path(text) | OptionValue::Sticky(Some(text))) => text.len(),
        Some(_) | None => 0,
    };
    ENTRY_BYTES + value
}

fn merge<K: Ord, V>(
    map: &mut BTreeMap<K, Option<V>>,
    edits: BTreeMap<K, Option<V>>,
    bytes: &mut usize,
    size: impl Fn(&K, &Option<V>) -> usize,
) {
    for (key, edit) in edits {
        *bytes += size(&key, &edit);
        if let Some(before) = map.get(&key) {
            *bytes -= size(&key, before);
        }
        map.insert(key, edit);
    }
}

#[cfg(test)]
mod tests {
    use model::{HostPattern, RoutePath};

    use super::*;

    fn spec(domains: &str, backend: &str) -> RouteSpec {
        RouteSpec {
            domains: domains.split(',').map(|text| HostPattern::parse(text).unwrap()).collect(),
            path: RoutePath::parse("/").unwrap(),
            backend: BackendUrl::parse(backend).unwrap(),
            priority: 0,
        }
    }

    #[test]
    fn a_route_is_found_by_what_it_will_be() {
        let mut staging = Staging::default();
        let (one, two) = (RouteId(1), RouteId(2));
        staging.stage(one, StagedRoute::Added(spec("a,b", "http://x")));
        staging.stage(two, StagedRoute::Updated(spec("c", "http://x")));
        staging.check();
        assert_eq!(staging.find(&spec("b,a", "http://x")), Some(one), "in any order of domains");
        assert_eq!(staging.find(&spec("a,b", "http://y")), None);
        staging.stage(one, StagedRoute::Added(spec("a", "http://x")));
        assert_eq!(staging.find(&spec("a,b", "http://x")), None);
        staging.unstage(two);
        assert_eq!((staging.find(&spec("c", "http://x")), staging.added()), (None, 1));
        staging.check();
        staging.unstage(one);
        assert!(staging.is_empty());
        assert_eq!(staging.bytes(), 0);
    }

    #[test]
    fn the_size_follows_what_is_staged() {
        let mut staging = Staging::default();
        let rule = model::HeaderRule::parse("X-A", &"v".repeat(1000)).unwrap();
        let mut edits = SettingsEdits::default();
        let key = (Target::Route(RouteId(1)), rule.key());
        edits.headers.insert(key.clone(), Some(HeaderSetting::Rule(rule)));
        staging.set(edits.clone());
        staging.set(edits);
        assert!((1000..1200).contains(&staging.bytes()), "once, not twice");
        staging.check();
        staging.forget_settings_of(RouteId(1));
        assert_eq!(staging.bytes(), 0);
    }
}
