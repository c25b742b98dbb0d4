//! Settings as they would be with changes carried out, without carrying them out; and what of
//! them belongs to one route.

use std::collections::BTreeMap;

use model::{
    HeaderKey, HeaderSetting, HeaderSide, MatchKind, OptionKey, OptionValue, RouteId, Settings,
    SettingsEdits, Target,
};

/// Settings under changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overlay<'a> {
    pub(crate) base: &'a Settings,
    pub(crate) edits: &'a SettingsEdits,
}

impl<'a> Overlay<'a> {
    pub(crate) fn header(&self, target: Target, key: &HeaderKey) -> Option<&'a HeaderSetting> {
        let key = (target, key.clone());
        match self.edits.headers.get(&key) {
            Some(edit) => edit.as_ref(),
            None => self.base.headers.get(&key),
        }
    }

    pub(crate) fn option(&self, target: Target, key: OptionKey) -> Option<&'a OptionValue> {
        match self.edits.options.get(&(target, key)) {
            Some(edit) => edit.as_ref(),
            None => self.base.options.get(&(target, key)),
        }
    }

    /// An option of a route: its own, or `ALL`'s.
    pub(crate) fn resolved(&self, route: RouteId, key: OptionKey) -> Option<&'a OptionValue> {
        self.option(Target::Route(route), key).or_else(|| self.option(Target::All, key))
    }

    /// How a route's path is compared.
    pub(crate) fn match_kind(&self, route: RouteId) -> MatchKind {
        match self.resolved(route, OptionKey::Match) {
            Some(OptionValue::Match(kind)) => *kind,
            Some(_) | None => MatchKind::default(),
        }
    }

    /// How many header settings a target has.
    pub(crate) fn headers_of(&self, target: Target) -> usize {
        let first = (target, first_header());
        let of_target = |key: &(Target, HeaderKey)| key.0 == target;
        let base = self.base.headers.range(first.clone()..).take_while(|(key, _)| of_target(key));
        let kept = base.filter(|(key, _)| !self.edits.headers.contains_key(key)).count();
        let edits = self.edits.headers.range(first..).take_while(|(key, _)| of_target(key));
        kept + edits.filter(|(_, edit)| edit.is_some()).count()
    }
}

/// The smallest key of any header.
pub(crate) fn first_header() -> HeaderKey {
    HeaderKey { side: HeaderSide::Request, name: "".into() }
}

fn first_of<K: Ord, V>(
    map: &BTreeMap<K, V>,
    from: K,
    route: RouteId,
    target_of: fn(&K) -> Target,
) -> impl Iterator<Item = (&K, &V)> {
    map.range(from..).take_while(move |(key, _)| target_of(key) == Target::Route(route))
}

/// Whether a route has settings of its own.
pub(crate) fn has_own(settings: &Settings, route: RouteId) -> bool {
    let own = Target::Route(route);
    settings.health.contains_key(&route)
        || settings.limits.contains_key(&own)
        || settings.breakers.contains_key(&own)
        || first_of(&settings.headers, (own, first_header()), route, |key| key.0).next().is_some()
        || first_of(&settings.options, (own, OptionKey::ALL[0]), route, |key| key.0)
            .next()
            .is_some()
}

/// Adds to `edits` that all settings of a route's own go.
pub(crate) fn without_own(settings: &Settings, route: RouteId, edits: &mut SettingsEdits) {
    let own = Target::Route(route);
    let headers = first_of(&settings.headers, (own, first_header()), route, |key| key.0);
    edits.headers.extend(headers.map(|(key, _)| (key.clone(), None)));
    let options = first_of(&settings.options, (own, OptionKey::ALL[0]), route, |key| key.0);
    edits.options.extend(options.map(|(key, _)| (*key, None)));
    edits.health.extend(settings.health.contains_key(&route).then_some((route, None)));
    edits.limits.extend(settings.limits.contains_key(&own).then_some((own, None)));
    edits.breakers.extend(settings.breakers.contains_key(&own).then_some((own, None)));
}

/// Whether changes say anything about a route of their own.
pub(crate) fn mentions(edits: &SettingsEdits, route: RouteId) -> bool {
    let own = Target::Route(route);
    edits.health.contains_key(&route)
        || edits.limits.contains_key(&own)
        || edits.breakers.contains_key(&own)
        || first_of(&edits.headers, (own, first_header()), route, |key| key.0).next().is_some()
        || first_of(&edits.options, (own, OptionKey::ALL[0]), route, |key| key.0).next().is_some()
}

/// The keys of one route's own settings, in a map that begins with them at `from`.
pub(crate) fn own_keys<K: Ord + Clone, V>(
    map: &BTreeMap<K, V>,
    from: K,
    target_of: fn(&K) -> Target,
) -> Vec<K> {
    let own = target_of(&from);
    map.range(from..)
        .take_while(|(key, _)| target_of(key) == own)
        .map(|(key, _)| key.clone())
        .collect()
}

/// What carries changes of `settings` back.
pub(crate) fn inverse(settings: &Settings, edits: &SettingsEdits) -> SettingsEdits {
    SettingsEdits {
        headers: before(&settings.headers, &edits.headers),
        options: before(&settings.options, &edits.options),
        health: before(&settings.health, &edits.health),
        limits: before(&settings.limits, &edits.limits),
        breakers: before(&settings.breakers, &edits.breakers),
    }
}

fn before<K: Ord + Clone, V: Clone>(
    map: &BTreeMap<K, V>,
    edits: &BTreeMap<K, Option<V>>,
) -> BTreeMap<K, Option<V>> {
    edits.keys().map(|key| (key.clone(), map.get(key).cloned())).collect()
}

/// Every route that changes speak of by its id.
pub(crate) fn routes_of(edits: &SettingsEdits) -> impl Iterator<Item = (RouteId, &'static str)> {
    let by_target = |target: &Target, what| match target {
        Target::Route(route) => Some((*route, what)),
        Target::All => None,
    };
    edits
        .headers
        .keys()
        .filter_map(move |(target, _)| by_target(target, "headers"))
        .chain(edits.options.keys().filter_map(move |(target, _)| by_target(target, "options")))
        .chain(edits.health.keys().map(|route| (*route, "a health check")))
        .chain(edits.limits.keys().filter_map(move |target| by_target(target, "a rate limit")))
        .chain(
            edits.breakers.keys().filter_map(move |target| by_target(target, "a circuit breaker")),
        )
}

/// Whether changes touch what holds for every route.
pub(crate) fn touches_all(edits: &SettingsEdits) -> bool {
    let all = Target::All;
    edits.headers.keys().next().is_some_and(|(target, _)| *target == all)
        || edits.options.keys().next().is_some_and(|(target, _)| *target == all)
        || edits.limits.contains_key(&all)
        || edits.breakers.contains_key(&all)
}

#[cfg(test)]
mod tests {
    use model::HeaderRule;

    use super::*;

    fn header(settings: &mut SettingsEdits, target: Target, name: &str, value: Option<&str>) {
        let rule = HeaderRule::parse(name, value.unwrap_or_default()).unwrap();
        let setting = value.map(|_| HeaderSetting::Rule(rule.clone()));
        settings.headers.insert((target, rule.key()), setting);
    }

    #[test]
    fn changes_lie_over_what_is_set_and_can_be_taken_back() {
        let (own, route) = (Target::Route(RouteId(2)), RouteId(2));
        let mut first = SettingsEdits::default();
        header(&mut first, own, "X-A", Some("1"));
        header(&mut first, own, "X-B", Some("1"));
        header(&mut first, Target::All, "X-C", Some("1"));
        let kind = OptionValue::Match(MatchKind::Exact);
        first.options.insert((Target::All, OptionKey::Match), Some(kind));
        let mut settings = Settings::default();
        settings.apply(&first);
        let mut edits = SettingsEdits::default();
        header(&mut edits, own, "X-A", None);
        header(&mut edits, own, "X-D", Some("2"));
        let overlay = Overlay { base: &settings, edits: &edits };
        assert_eq!(overlay.headers_of(own), 2);
        assert_eq!(overlay.headers_of(Target::All), 1);
        assert_eq!(overlay.match_kind(route), MatchKind::Exact);
        let back = inverse(&settings, &edits);
        let mut changed = settings.clone();
        changed.apply(&edits);
        assert_ne!(changed, settings);
        changed.apply(&back);
        assert_eq!(changed, settings);
    }

    #[test]
    fn a_routes_own_settings_are_found_and_removed() {
        let (one, two) = (RouteId(1), RouteId(2));
        let mut edits = SettingsEdits::default();
        header(&mut edits, Target::Route(two), "X-A", Some("1"));
        header(&mut edits, Target::All, "X-A", Some("1"));
        assert!(mentions(&edits, two) && !mentions(&edits, one) && touches_all(&edits));
        let mut settings = Settings::default();
        settings.apply(&edits);
        assert!(has_own(&settings, two) && !has_own(&settings, one));
        let mut gone = SettingsEdits::default();
        without_own(&settings, two, &mut gone);
        settings.apply(&gone);
        assert!(!has_own(&settings, two));
        assert_eq!(settings.headers.len(), 1, "ALL's stays");
        let own = Target::Route(two);
        assert_eq!(own_keys(&edits.headers, (own, first_header()), |key| key.0).len(), 1);
    }
}
