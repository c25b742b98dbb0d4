//! Routes, as they are written down.

use model::{BackendUrl, HostPattern, RoutePath, RouteSpec};
use serde::{Deserialize, Serialize};

use super::Unreadable;

/// A [`RouteSpec`] in the spelling of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpecForm {
    /// Joined by commas.
    pub(crate) domains: String,
    pub(crate) path: String,
    pub(crate) backend: String,
    pub(crate) priority: i32,
}

impl SpecForm {
    pub(crate) fn new(spec: &RouteSpec) -> Self {
        let domains: Vec<String> = spec.domains.iter().map(HostPattern::to_string).collect();
        Self {
            domains: domains.join(","),
            path: spec.path.to_string(),
            backend: spec.backend.to_string(),
            priority: spec.priority,
        }
    }

    /// The form of `spec`, if it can be read back.
    pub(crate) fn checked(spec: &RouteSpec) -> Result<Self, Unreadable> {
        let form = Self::new(spec);
        if form.read()? == *spec { Ok(form) } else { Err(Unreadable("route")) }
    }

    pub(crate) fn read(&self) -> Result<RouteSpec, Unreadable> {
        read_spec(&self.domains, &self.path, &self.backend, self.priority)
    }
}

pub(crate) fn read_spec(
    domains: &str,
    path: &str,
    backend: &str,
    priority: i32,
) -> Result<RouteSpec, Unreadable> {
    let domains = domains.split(',').map(HostPattern::parse).collect::<Result<_, _>>();
    Ok(RouteSpec {
        domains: domains.map_err(|_| Unreadable("domains"))?,
        path: RoutePath::parse(path).map_err(|_| Unreadable("path"))?,
        backend: BackendUrl::parse(backend).map_err(|_| Unreadable("backend"))?,
        priority,
    })
}
