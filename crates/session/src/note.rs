//! What the log is told, in the seeds' words.

use std::fmt;
use std::fmt::Write as _;

use model::{
    Generation, HeaderRule, InstanceName, OptionKey, RouteId, RouteSpec, ServiceName, SessionId,
};

/// Something for the log. Its text comes after `[registry] `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A service registered.
    Registered {
        /// The service.
        service: ServiceName,
        /// Where: v1 `hostname:port`, v2 the instance.
        at: Box<str>,
        /// The session, shown without its secret.
        session: SessionId,
    },
    /// A route is live.
    RouteAdded {
        /// Whose.
        service: ServiceName,
        /// Its id.
        route: RouteId,
        /// What it is.
        spec: RouteSpec,
    },
    /// A v1 header is live.
    HeaderAdded {
        /// Whose.
        service: ServiceName,
        /// What it does.
        rule: HeaderRule,
    },
    /// A v1 option is live.
    OptionSet {
        /// Whose.
        service: ServiceName,
        /// Which.
        key: OptionKey,
    },
    /// A configuration is live.
    Applied {
        /// Whose.
        service: ServiceName,
        /// Whose.
        instance: InstanceName,
        /// What was done: `apply`, `try`, `revert`, ...
        action: &'static str,
        /// As which generation.
        generation: Generation,
        /// Routes that appeared or changed.
        put: usize,
        /// Routes that went.
        removed: usize,
    },
    /// A connection is gone.
    Disconnected {
        /// Whose.
        service: ServiceName,
        /// Whose.
        instance: InstanceName,
        /// Its routes, which serve on.
        routes: usize,
    },
    /// A session is held again.
    Reconnected {
        /// Whose.
        service: ServiceName,
        /// Whose.
        instance: InstanceName,
    },
    /// Staged changes were not applied in time.
    StagedExpired {
        /// Whose.
        service: ServiceName,
        /// Whose.
        instance: InstanceName,
    },
    /// A session and its routes are gone.
    Ended {
        /// Whose.
        service: ServiceName,
        /// Whose.
        instance: InstanceName,
        /// Why: `shutdown`, `grace over`, ...
        reason: &'static str,
        /// Routes that went.
        routes: usize,
    },
    /// A route changed its owner.
    TakenOver {
        /// The new owner.
        service: ServiceName,
        /// The old one.
        from: ServiceName,
        /// The old owner's route.
        route: RouteId,
    },
    /// Something could not be made durable although nobody waits for it.
    NotSaved {
        /// Why.
        reason: Box<str>,
    },
    /// Something remembered could not be brought back.
    NotRestored {
        /// What.
        route: RouteId,
        /// Whose it is now.
        owner: ServiceName,
    },
}

impl Note {
    /// Whether somebody should look: the rest is the ordinary course of things.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::NotSaved { .. } | Self::NotRestored { .. } => true,
            Self::Registered { .. }
            | Self::RouteAdded { .. }
            | Self::HeaderAdded { .. }
            | Self::OptionSet { .. }
            | Self::Applied { .. }
            | Self::Disconnected { .. }
            | Self::Reconnected { .. }
            | Self::StagedExpired { .. }
            | Self::Ended { .. }
            | Self::TakenOver { .. } => false,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered { service, at, session } => {
                write!(f, "Service registered: {service} at {at} (session: {})", session.redacted())
            }
            Self::RouteAdded { service, spec, .. } => {
                let mut domains = String::new();
                for (at, domain) in spec.domains.iter().enumerate() {
                    if at > 0 {
                        domains.push(' ');
                    }
                    write!(domains, "{domain}")?;
                }
                write!(f, "Route added: {service} at [{domains}]{} -> {}", spec.path, spec.backend)
            }
            Self::HeaderAdded { service, rule } => {
                write!(f, "Header added: {} = {} for {service}", rule.name, rule.value)
            }
            Self::OptionSet { service, key } => {
                write!(f, "Option set: {} for {service}", key.as_str())
            }
            Self::Applied { service, instance, action, generation, put, removed } => write!(
                f,
                "Configuration applied: {service} {instance}, {action}, generation {generation} \
                 ({put} routes put, {removed} removed)"
            ),
            Self::Disconnected { service, instance, routes } => {
                write!(f, "Connection lost: {service} {instance} ({routes} routes serve on)")
            }
            Self::Reconnected { service, instance } => {
                write!(f, "Service reconnected: {service} {instance}")
            }
            Self::StagedExpired { service, instance } => {
                write!(f, "Staged changes expired: {service} {instance}")
            }
            Self::Ended { service, instance, reason, routes } => {
                write!(f, "Session ended: {service} {instance}, {reason} ({routes} routes removed)")
            }
            Self::TakenOver { service, from, route } => {
                write!(f, "Route taken over: {route} of {from} by {service}")
            }
            Self::NotSaved { reason } => write!(f, "Not saved: {reason}"),
            Self::NotRestored { route, owner } => {
                write!(f, "Not restored: route {route}, its key is owned by service {owner}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{BackendUrl, HostPattern, RoutePath};

    use super::*;

    #[test]
    fn the_seeds_lines() {
        let service = ServiceName::parse("api-service").unwrap();
        let spec = RouteSpec {
            domains: vec![HostPattern::parse("api.example.com").unwrap()],
            path: RoutePath::parse("/v2").unwrap(),
            backend: BackendUrl::parse("http://api-v2:9000").unwrap(),
            priority: 0,
        };
        let session = SessionId::parse("api-v2-9000-1734532800-secret").unwrap();
        let table = [
            (
                Note::Registered { service: service.clone(), at: "api-v2:9000".into(), session },
                "Service registered: api-service at api-v2:9000 (session: api-v2-9000-1734532800-…)",
            ),
            (
                Note::RouteAdded { service: service.clone(), route: RouteId(1), spec },
                "Route added: api-service at [api.example.com]/v2 -> http://api-v2:9000",
            ),
            (
                Note::HeaderAdded {
                    service,
                    rule: HeaderRule::parse("X-API-Version", "2.0").unwrap(),
                },
                "Header added: X-API-Version = 2.0 for api-service",
            ),
        ];
        for (note, text) in table {
            assert_eq!(note.to_string(), text);
        }
    }
}
