//! A session's configuration: what is active, and what is staged to change it.

use std::collections::BTreeMap;

use crate::{
    BreakerSpec, HeaderKey, HeaderRule, HealthSpec, LimitSpec, OptionKey, OptionValue, RouteId,
    RouteOptions, RouteSpec, Target,
};

/// A header setting of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderSetting {
    /// Do this.
    Rule(HeaderRule),
    /// For one route: do not do what `ALL` says (SPEC 12, "Applying").
    Masked,
}

/// Everything set besides the routes themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Headers by target and name.
    pub headers: BTreeMap<(Target, HeaderKey), HeaderSetting>,
    /// Options by target and name.
    pub options: BTreeMap<(Target, OptionKey), OptionValue>,
    /// Health checks by route.
    pub health: BTreeMap<RouteId, HealthSpec>,
    /// Rate limits by target.
    pub limits: BTreeMap<Target, LimitSpec>,
    /// Circuit breakers by target.
    pub breakers: BTreeMap<Target, BreakerSpec>,
}

/// Changes to [`Settings`]; `None` takes a setting away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsEdits {
    /// Headers by target and name.
    pub headers: BTreeMap<(Target, HeaderKey), Option<HeaderSetting>>,
    /// Options by target and name.
    pub options: BTreeMap<(Target, OptionKey), Option<OptionValue>>,
    /// Health checks by route.
    pub health: BTreeMap<RouteId, Option<HealthSpec>>,
    /// Rate limits by target.
    pub limits: BTreeMap<Target, Option<LimitSpec>>,
    /// Circuit breakers by target.
    pub breakers: BTreeMap<Target, Option<BreakerSpec>>,
}

/// A staged change of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StagedRoute {
    /// New.
    Added(RouteSpec),
    /// Active, to become this.
    Updated(RouteSpec),
    /// Active, to go.
    Removed,
    /// New here, taken over from another service's route in the same publication.
    TakenOver {
        /// What it will be.
        spec: RouteSpec,
        /// The other service's route.
        from: RouteId,
    },
}

/// All that is staged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// Routes.
    pub routes: BTreeMap<RouteId, StagedRoute>,
    /// The rest.
    pub settings: SettingsEdits,
}

/// What holds for one route in the end: `ALL`'s settings under its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteConfig {
    /// Header rules, in the order of their keys.
    pub headers: Vec<HeaderRule>,
    /// Options.
    pub options: RouteOptions,
    /// Its own health check.
    pub health: Option<HealthSpec>,
    /// Its own rate limit.
    pub limit: Option<LimitSpec>,
    /// The rate limit over all routes of the session, which applies in addition.
    pub limit_all: Option<LimitSpec>,
    /// Its circuit breaker.
    pub breaker: Option<BreakerSpec>,
}

impl SettingsEdits {
    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty()
            && self.options.is_empty()
            && self.health.is_empty()
            && self.limits.is_empty()
            && self.breakers.is_empty()
    }
}

impl Draft {
    /// Whether nothing is staged.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.settings.is_empty()
    }
}

impl Settings {
    /// Carries out changes.
    pub fn apply(&mut self, edits: &SettingsEdits) {
        merge(&mut self.headers, &edits.headers);
        merge(&mut self.options, &edits.options);
        merge(&mut self.health, &edits.health);
        merge(&mut self.limits, &edits.limits);
        merge(&mut self.breakers, &edits.breakers);
    }

    /// What holds for one route.
    pub fn resolve(&self, route: RouteId) -> RouteConfig {
        let own = Target::Route(route);
        let mut headers = BTreeMap::new();
        for target in [Target::All, own] {
            for ((_, key), setting) in of_target(&self.headers, target, |key| key.0) {
                headers.insert(key, setting);
            }
        }
        let headers = headers
            .into_values()
            .filter_map(|setting| match setting {
                HeaderSetting::Rule(rule) => Some(rule.clone()),
                HeaderSetting::Masked => None,
            })
            .collect();
        let mut options = RouteOptions::default();
        for target in [Target::All, own] {
            for ((_, key), value) in of_target(&self.options, target, |key| key.0) {
                options.set(*key, value);
            }
        }
        let breaker = self.breakers.get(&own).or_else(|| self.breakers.get(&Target::All));
        RouteConfig {
            headers,
            options,
            health: self.health.get(&route).cloned(),
            limit: self.limits.get(&own).filter(|limit| limit.requests > 0).copied(),
            limit_all: self.limits.get(&Target::All).filter(|limit| limit.requests > 0).copied(),
            breaker: breaker.filter(|breaker| breaker.threshold > 0).copied(),
        }
    }
}

fn merge<K: Ord + Clone, V: Clone>(map: &mut BTreeMap<K, V>, edits: &BTreeMap<K, Option<V>>) {
    for (key, edit) in edits {
        match edit {
            Some(value) => drop(map.insert(key.clone(), value.clone())),
            None => drop(map.remove(key)),
        }
    }
}

/// The entries of one target. Both maps are small for one target and large only over all of
/// them, so this finds the first by the order of targets and stops at the next.
fn of_target<K, V>(
    map: &BTreeMap<K, V>,
    target: Target,
    target_of: impl Fn(&K) -> Target + Copy,
) -> impl Iterator<Item = (&K, &V)>
where
    K: Ord + FirstOf,
{
    map.range(K::first(target)..).take_while(move |(key, _)| target_of(key) == target)
}

/// The smallest key of a target.
trait FirstOf: Sized {
    fn first(target: Target) -> Self;
}

impl FirstOf for (Target, HeaderKey) {
    fn first(target: Target) -> Self {
        (target, HeaderKey { side: crate::HeaderSide::Request, name: "".into() })
    }
}

impl FirstOf for (Target, OptionKey) {
    fn first(target: Target) -> Self {
        (target, OptionKey::ALL[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, value: &str) -> (HeaderKey, HeaderSetting) {
        let rule = HeaderRule::parse(name, value).unwrap();
        (rule.key(), HeaderSetting::Rule(rule))
    }

    #[test]
    fn a_route_overrides_all_by_name() {
        let mut settings = Settings::default();
        let own = Target::Route(RouteId(2));
        for (target, name, value) in [
            (Target::All, "X-A", "all"),
            (Target::All, "X-B", "all"),
            (own, "x-a", "own"),
            (Target::Route(RouteId(3)), "X-C", "other"),
        ] {
            let (key, setting) = rule(name, value);
            settings.headers.insert((target, key), setting);
        }
        let (masked, _) = rule("X-B", "");
        settings.headers.insert((own, masked), HeaderSetting::Masked);
        let shown = |route| -> Vec<(String, String)> {
            settings
                .resolve(RouteId(route))
                .headers
                .iter()
                .map(|rule| (rule.name.to_string(), rule.value.to_string()))
                .collect()
        };
        assert_eq!(shown(2), [("x-a".to_owned(), "own".to_owned())]);
        assert_eq!(shown(3).len(), 3);
    }

    #[test]
    fn off_switches_and_the_limit_for_all() {
        let mut settings = Settings::default();
        let window = std::time::Duration::from_secs(1);
        settings.limits.insert(Target::All, LimitSpec { requests: 5, window });
        settings.limits.insert(Target::Route(RouteId(1)), LimitSpec { requests: 0, window });
        let breaker = BreakerSpec { threshold: 3, timeout: window, half_open_requests: 1 };
        settings.breakers.insert(Target::All, breaker);
        settings
            .breakers
            .insert(Target::Route(RouteId(1)), BreakerSpec { threshold: 0, ..breaker });
        let off = settings.resolve(RouteId(1));
        assert_eq!(
            (off.limit, off.limit_all.map(|l| l.requests), off.breaker),
            (None, Some(5), None)
        );
        assert_eq!(settings.resolve(RouteId(2)).breaker, Some(breaker));
    }

    #[test]
    fn edits_add_replace_and_take_away() {
        let mut settings = Settings::default();
        let key = (Target::All, OptionKey::Websocket);
        let mut edits = SettingsEdits::default();
        edits.options.insert(key, Some(OptionValue::Bool(false)));
        settings.apply(&edits);
        assert!(!settings.resolve(RouteId(1)).options.websocket);
        edits.options.insert(key, None);
        settings.apply(&edits);
        assert_eq!(settings, Settings::default());
    }
}
