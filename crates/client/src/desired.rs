//! What a program wants the proxy to do for it, declared as a whole.

use std::collections::BTreeMap;

use model::{
    BackendUrl, BreakerSpec, HeaderKey, HeaderRule, HealthSpec, HostError, HostPattern, LimitSpec,
    OptionKey, OptionValue, PathError, RoutePath, RouteSpec, UrlError,
};

/// All that a session should have live. Applying it replaces what the session had before, in one
/// step.
///
/// ```
/// use proxyd_client::{Desired, route};
///
/// let mut desired = Desired::default();
/// desired.routes.insert(route("api.example.com", "/v2", "http://10.0.0.7:9000")?, Default::default());
/// # Ok::<(), proxyd_client::RouteError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Routes, and what is set for each.
    pub routes: BTreeMap<RouteSpec, RouteWish>,
    /// What is set for all of them.
    pub all: Tuning,
}

/// What is set for one route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteWish {
    /// What can also be set for all routes; a route's own value wins.
    pub tuning: Tuning,
    /// Its health check; without one the proxy's own.
    pub health: Option<HealthSpec>,
}

/// What can be set for one route or for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// Headers, each under its [`HeaderRule::key`].
    pub headers: BTreeMap<HeaderKey, HeaderRule>,
    /// Options.
    pub options: BTreeMap<OptionKey, OptionValue>,
    /// A rate limit per client.
    pub limit: Option<LimitSpec>,
    /// A circuit breaker.
    pub breaker: Option<BreakerSpec>,
}

/// Which part of a route is wrong, and what was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The domains.
    #[error("domains {0}")]
    Domains(#[from] HostError),
    /// The path.
    #[error("path {0}")]
    Path(#[from] PathError),
    /// The backend.
    #[error("backend: {0}")]
    Backend(#[from] UrlError),
}

impl Tuning {
    /// Sets a header.
    pub fn set_header(&mut self, rule: HeaderRule) {
        self.headers.insert(rule.key(), rule);
    }
}

/// A route of priority 0: comma-separated domains, path and backend, as ROUTE_ADD has them.
///
/// # Errors
///
/// [`RouteError`], saying what was wanted.
pub fn route(domains: &str, path: &str, backend: &str) -> Result<RouteSpec, RouteError> {
    let mut patterns: Vec<HostPattern> = Vec::new();
    for domain in domains.split(',') {
        let pattern = HostPattern::parse(domain)?;
        if !patterns.contains(&pattern) {
            patterns.push(pattern);
        }
    }
    let (path, backend) = (RoutePath::parse(path)?, BackendUrl::parse(backend)?);
    Ok(RouteSpec { domains: patterns, path, backend, priority: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_parsed() {
        let spec = route("a.example, *.b.example,a.example", "/v1", "http://b:1").unwrap();
        assert_eq!(spec.domains.len(), 2);
        #[rustfmt::skip]
        let table = [
            ("",  "/", "http://b", "domains must name at least one host"),
            ("a", "x", "http://b", "path must begin with /"),
            ("a", "/", "b",        "backend: invalid backend URL format: want scheme://host[:port][/path]"),
        ];
        for (domains, path, backend, says) in table {
            assert_eq!(route(domains, path, backend).unwrap_err().to_string(), says);
        }
    }
}
