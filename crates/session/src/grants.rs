//! What a credential may do: which services, domains, paths and backends (SPEC 10).
//!
//! A rule set of values. It is asked when something is staged, and again when it is applied; what
//! is live already is not taken back when grants shrink.

use std::net::IpAddr;

use ipnet::IpNet;
use model::{BackendHost, BackendUrl, HostPattern, MatchKind, RoutePath, RouteSpec, ServiceName};

/// Longest part of a path that is shown in a reason, in characters.
const PATH_SHOWN_MAX: usize = 64;

/// Somebody who may talk to the registry, by a name that people gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// As reasons and the history show it. Never the secret.
    pub name: Box<str>,
    /// What it may do.
    pub grants: Grants,
}

/// What somebody may do. Of each kind nothing named means everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Services it may register.
    pub services: Vec<ServicePattern>,
    /// Domains its routes may be for, each with all patterns that match no further hosts.
    pub domains: Vec<HostPattern>,
    /// Paths its routes may be at, each with everything below.
    pub paths: Vec<RoutePath>,
    /// Networks its backends may be in. Where some are named, backends must be addresses: a name
    /// may lead somewhere else a second later.
    pub networks: Vec<IpNet>,
}

/// The name of a service, or how the names of several begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServicePattern {
    /// `blue`.
    Exact(Box<str>),
    /// `blue-*`: every name that begins so.
    Prefix(Box<str>),
}

/// What is not granted. Its text reads on before "to credential NAME".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGranted {
    /// The service.
    #[error("service {0} is not granted")]
    Service(ServiceName),
    /// A domain.
    #[error("domain {0} is not granted")]
    Domain(HostPattern),
    /// The path; shown in part.
    #[error("path {0} is not granted")]
    Path(Box<str>),
    /// Where a backend, or a page, is.
    #[error("backend {0} is in no network granted")]
    Network(IpAddr),
    /// A backend that is no address where networks are granted.
    #[error("backend {0} must be an address in a network granted")]
    Name(Box<str>),
    /// `match=raw`, which takes paths by a spelling that leads elsewhere.
    #[error("option match=raw is not granted with paths")]
    RawMatch,
}

impl ServicePattern {
    /// Reads a name, or the beginning of names and a star. `None` for what no service is called.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('*') {
            Some("") => Some(Self::Prefix("".into())),
            Some(prefix) => ServiceName::parse(prefix).ok().map(|_| Self::Prefix(prefix.into())),
            None => ServiceName::parse(text).ok().map(|name| Self::Exact(name.as_str().into())),
        }
    }

    fn covers(&self, service: &ServiceName) -> bool {
        match self {
            Self::Exact(name) => service.as_str() == &**name,
            Self::Prefix(prefix) => service.as_str().starts_with(&**prefix),
        }
    }
}

impl std::fmt::Display for ServicePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl Grants {
    /// Whether everything is granted.
    pub fn are_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a service may be registered.
    ///
    /// # Errors
    ///
    /// [`NotGranted::Service`].
    pub fn check_service(&self, service: &ServiceName) -> Result<(), NotGranted> {
        let granted = any(&self.services, |pattern| pattern.covers(service));
        if granted { Ok(()) } else { Err(NotGranted::Service(service.clone())) }
    }

    /// Whether a route may be staged: all its domains, its path, and its backend.
    ///
    /// # Errors
    ///
    /// [`NotGranted`], the first thing that is not.
    pub fn check_route(&self, spec: &RouteSpec) -> Result<(), NotGranted> {
        let refused = spec.domains.iter().find(|domain| !self.has_domain(domain));
        if let Some(domain) = refused {
            return Err(NotGranted::Domain(domain.clone()));
        }
        if !any(&self.paths, |granted| is_below(&spec.path, granted)) {
            return Err(NotGranted::Path(shown(&spec.path)));
        }
        self.check_backend(&spec.backend)
    }

    /// Whether something may be fetched from there.
    ///
    /// # Errors
    ///
    /// [`NotGranted::Network`], [`NotGranted::Name`].
    pub fn check_backend(&self, backend: &BackendUrl) -> Result<(), NotGranted> {
        match backend.host() {
            BackendHost::Name(name) if !self.networks.is_empty() => {
                Err(NotGranted::Name(name.clone()))
            }
            BackendHost::Name(_) => Ok(()),
            BackendHost::Ip(ip) => {
                let ip = ip.to_canonical();
                let granted = any(&self.networks, |network| network.contains(&ip));
                if granted { Ok(()) } else { Err(NotGranted::Network(ip)) }
            }
        }
    }

    /// Whether it may be asked how requests for a host are routed.
    ///
    /// # Errors
    ///
    /// [`NotGranted::Domain`].
    pub fn check_host(&self, host: &str) -> Result<(), NotGranted> {
        let domain = HostPattern::parse(host).unwrap_or(HostPattern::Any);
        if self.has_domain(&domain) { Ok(()) } else { Err(NotGranted::Domain(domain)) }
    }

    /// Whether a route may be compared in this way. A raw route for `/blue` would take
    /// `/blue/../green`, which is another's path.
    ///
    /// # Errors
    ///
    /// [`NotGranted::RawMatch`].
    pub fn check_match(&self, kind: MatchKind) -> Result<(), NotGranted> {
        match kind {
            MatchKind::Raw if !self.paths.is_empty() => Err(NotGranted::RawMatch),
            MatchKind::Raw | MatchKind::Exact | MatchKind::Prefix => Ok(()),
        }
    }

    fn has_domain(&self, domain: &HostPattern) -> bool {
        any(&self.domains, |granted| covers(granted, domain))
    }
}

fn any<T>(granted: &[T], mut covers: impl FnMut(&T) -> bool) -> bool {
    granted.is_empty() || granted.iter().any(&mut covers)
}

/// Whether `granted` matches every host that `asked` matches.
fn covers(granted: &HostPattern, asked: &HostPattern) -> bool {
    match (granted, asked) {
        (HostPattern::Any, _) => true,
        (_, HostPattern::Any) => false,
        (_, HostPattern::Exact(host)) => granted.matches(host),
        (HostPattern::OneLabel(suffix), HostPattern::OneLabel(asked)) => suffix == asked,
        (
            HostPattern::AnyDepth(suffix),
            HostPattern::OneLabel(asked) | HostPattern::AnyDepth(asked),
        ) => suffix == asked || granted.matches(asked),
        (
            HostPattern::Exact(_) | HostPattern::OneLabel(_),
            HostPattern::OneLabel(_) | HostPattern::AnyDepth(_),
        ) => false,
    }
}

/// By whole segments, in the form that requests are compared in.
fn is_below(path: &RoutePath, granted: &RoutePath) -> bool {
    let (path, granted) = (path.compared(MatchKind::Prefix), granted.compared(MatchKind::Prefix));
    match path.strip_prefix(&*granted) {
        Some(rest) => *granted == *"/" || rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

fn shown(path: &RoutePath) -> Box<str> {
    let path = path.as_str();
    match path.char_indices().nth(PATH_SHOWN_MAX) {
        Some((at, _)) => format!("{}...", &path[..at]).into(),
        None => path.into(),
    }
}

#[cfg(test)]
mod tests;
