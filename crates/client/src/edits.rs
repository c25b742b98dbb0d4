//! Which settings have to change, and by which commands.
//!
//! The protocol cannot take back a route's own setting so that `ALL`'s shows again: removing a
//! header masks it for that route, and a breaker can only be switched off. So a route that gives
//! up a setting of its own gets `ALL`'s value as its own, and that is remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{
    BreakerSpec, HeaderKey, HealthProbe, HealthSpec, LimitSpec, Request, RouteId, RouteSpec, Target,
};

use crate::{RouteWish, Tuning};

/// What a session has live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) routes: BTreeMap<RouteSpec, LiveRoute>,
    pub(crate) all: Tuning,
}

/// One live route and its own settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LiveRoute {
    pub(crate) id: RouteId,
    wish: RouteWish,
    /// Headers of `ALL` that this route does not have.
    masked: BTreeSet<HeaderKey>,
}

impl LiveRoute {
    /// A route just added.
    pub(crate) fn new(id: RouteId) -> Self {
        Self { id, wish: RouteWish::default(), masked: BTreeSet::new() }
    }
}

const NO_LIMIT: LimitSpec = LimitSpec { requests: 0, window: Duration::from_secs(1) };
const NO_BREAKER: BreakerSpec =
    BreakerSpec { threshold: 0, timeout: Duration::from_secs(30), half_open_requests: 1 };

/// HEALTH_SET has no way back to the proxy's own check, which passes any status below 500; any
/// path we could set would want 2xx or 3xx. A connection is what both agree on.
fn no_health() -> HealthSpec {
    let (interval, timeout) = (Duration::from_secs(30), Duration::from_secs(5));
    HealthSpec { probe: HealthProbe::Tcp, interval, timeout }
}

/// What a route's own settings must be so that `wish` holds over `all`.
pub(crate) fn settle(before: &LiveRoute, wish: &RouteWish, all: &Tuning) -> LiveRoute {
    let mut after = LiveRoute { id: before.id, wish: wish.clone(), masked: BTreeSet::new() };
    let given_up = before.wish.tuning.headers.keys().chain(&before.masked);
    for key in given_up.filter(|key| !wish.tuning.headers.contains_key(key)) {
        match all.headers.get(key) {
            Some(rule) => drop(after.wish.tuning.headers.insert(key.clone(), rule.clone())),
            None => drop(after.masked.insert(key.clone())),
        }
    }
    if before.wish.tuning.breaker.is_some() && wish.tuning.breaker.is_none() {
        after.wish.tuning.breaker = Some(all.breaker.unwrap_or(NO_BREAKER));
    }
    if before.wish.health.is_some() && wish.health.is_none() {
        after.wish.health = Some(no_health());
    }
    after
}

/// The commands that lead from one state of a route's own settings to another.
pub(crate) fn route_edits(before: &LiveRoute, after: &LiveRoute, requests: &mut Vec<Request>) {
    let target = Target::Route(after.id);
    tuning_edits(target, &before.wish.tuning, &after.wish.tuning, requests);
    if let Some(health) = &after.wish.health
        && before.wish.health.as_ref() != Some(health)
    {
        requests.push(Request::HealthSet(after.id, health.clone()));
    }
}

/// The commands that lead from one state of a target's settings to another.
pub(crate) fn tuning_edits(
    target: Target,
    before: &Tuning,
    after: &Tuning,
    requests: &mut Vec<Request>,
) {
    for (key, rule) in &after.headers {
        if before.headers.get(key) != Some(rule) {
            requests.push(Request::HeadersSet(target, rule.clone()));
        }
    }
    for key in before.headers.keys().filter(|key| !after.headers.contains_key(key)) {
        requests.push(Request::HeadersRemove(target, key.clone()));
    }
    for (key, value) in &after.options {
        if before.options.get(key) != Some(value) {
            requests.push(Request::OptionsSet(target, *key, value.clone()));
        }
    }
    for key in before.options.keys().filter(|key| !after.options.contains_key(key)) {
        requests.push(Request::OptionsRemove(target, *key));
    }
    if before.limit != after.limit {
        requests.push(Request::RatelimitSet(target, after.limit.unwrap_or(NO_LIMIT)));
    }
    if before.breaker != after.breaker {
        let breaker = after.breaker.unwrap_or(NO_BREAKER);
        requests.push(Request::CircuitBreakerSet(target, breaker));
    }
}

/// How the protocol spells a command that we send by ourselves.
pub(crate) fn command(request: &Request) -> &'static str {
    match request {
        Request::Auth(_) => "AUTH",
        Request::Register(_) => "REGISTER",
        Request::RouteRemove(_) => "ROUTE_REMOVE",
        Request::HeadersSet(..) => "HEADERS_SET",
        Request::HeadersRemove(..) => "HEADERS_REMOVE",
        Request::OptionsSet(..) => "OPTIONS_SET",
        Request::OptionsRemove(..) => "OPTIONS_REMOVE",
        Request::HealthSet(..) => "HEALTH_SET",
        Request::RatelimitSet(..) => "RATELIMIT_SET",
        Request::CircuitBreakerSet(..) => "CIRCUIT_BREAKER_SET",
        Request::ConfigValidate => "CONFIG_VALIDATE",
        Request::ConfigApply => "CONFIG_APPLY",
        Request::ConfigRollback => "CONFIG_ROLLBACK",
        Request::Subscribe(_) => "SUBSCRIBE",
        _ => "command",
    }
}

#[cfg(test)]
mod tests {
    use model::{HeaderRule, OptionKey, OptionValue};

    use super::*;

    fn header(tuning: &mut Tuning, name: &str, value: &str) {
        tuning.set_header(HeaderRule::parse(name, value).unwrap());
    }

    fn breaker(threshold: u32) -> BreakerSpec {
        BreakerSpec { threshold, ..NO_BREAKER }
    }

    fn edits(before: &LiveRoute, after: &LiveRoute) -> Vec<Request> {
        let mut requests = Vec::new();
        route_edits(before, after, &mut requests);
        requests
    }

    /// A header given up by a route shows `ALL`'s again, whatever `ALL` does later.
    #[test]
    fn a_given_up_header_shows_that_of_all_again() {
        let fresh = LiveRoute::new(RouteId(1));
        let (mut own, mut all) = (RouteWish::default(), Tuning::default());
        header(&mut own.tuning, "X-A", "own");
        header(&mut all, "X-A", "all");
        let first = settle(&fresh, &own, &all);
        let second = settle(&first, &RouteWish::default(), &all);
        let rule = |value| HeaderRule::parse("X-A", value).unwrap();
        let route = Target::Route(RouteId(1));
        assert_eq!(edits(&first, &second), [Request::HeadersSet(route, rule("all"))]);

        let third = settle(&second, &RouteWish::default(), &Tuning::default());
        let key = rule("").key();
        assert_eq!(edits(&second, &third), [Request::HeadersRemove(route, key)]);

        header(&mut all, "X-A", "new");
        let fourth = settle(&third, &RouteWish::default(), &all);
        assert_eq!(edits(&third, &fourth), [Request::HeadersSet(route, rule("new"))]);
        assert_eq!(edits(&fourth, &settle(&fourth, &RouteWish::default(), &all)), []);
    }

    #[test]
    fn what_cannot_be_removed_is_switched_off() {
        let mut own = RouteWish::default();
        own.tuning.breaker = Some(breaker(3));
        own.tuning.limit = Some(LimitSpec { requests: 5, window: Duration::from_secs(1) });
        own.tuning.options.insert(OptionKey::Websocket, OptionValue::Bool(false));
        own.health = Some(HealthSpec { probe: HealthProbe::Http("/h".into()), ..no_health() });
        let before = settle(&LiveRoute::new(RouteId(7)), &own, &Tuning::default());
        let route = Target::Route(RouteId(7));

        let none = settle(&before, &RouteWish::default(), &Tuning::default());
        let expected = [
            Request::OptionsRemove(route, OptionKey::Websocket),
            Request::RatelimitSet(route, NO_LIMIT),
            Request::CircuitBreakerSet(route, NO_BREAKER),
            Request::HealthSet(RouteId(7), no_health()),
        ];
        assert_eq!(edits(&before, &none), expected);

        let all = Tuning { breaker: Some(breaker(9)), ..Tuning::default() };
        let of_all = settle(&before, &RouteWish::default(), &all);
        assert!(edits(&before, &of_all).contains(&Request::CircuitBreakerSet(route, breaker(9))));
    }
}
