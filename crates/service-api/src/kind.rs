//! What can be subscribed to, and its two spellings.

use std::fmt;

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A service appeared.
    ServiceRegistered,
    /// What is said about a service changed, or one of its instances came or left.
    ServiceUpdated,
    /// A service left.
    ServiceDeregistered,
    /// A service does something else.
    ServiceStateChanged,
    /// A service is reached somewhere else.
    EndpointUpdated,
    /// A deployment went a step on.
    DeploymentProgress,
    /// An endpoint was found well, or not.
    HealthCheckResult,
    /// The whole catalog; comes by itself with each connection.
    RegistryLoaded,
    /// The machine is in other networks.
    NetworkTopologyChanged,
}

/// How a client spells its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// `service_registered`, as clients in use have it.
    Snake,
    /// `ServiceRegistered`, as the document has it.
    Camel,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::ServiceRegistered,
        Self::ServiceUpdated,
        Self::ServiceDeregistered,
        Self::ServiceStateChanged,
        Self::EndpointUpdated,
        Self::DeploymentProgress,
        Self::HealthCheckResult,
        Self::RegistryLoaded,
        Self::NetworkTopologyChanged,
    ];

    const fn spellings(self) -> [&'static str; 2] {
        match self {
            Self::ServiceRegistered => ["service_registered", "ServiceRegistered"],
            Self::ServiceUpdated => ["service_updated", "ServiceUpdated"],
            Self::ServiceDeregistered => ["service_deregistered", "ServiceDeregistered"],
            Self::ServiceStateChanged => ["service_state_changed", "ServiceStateChanged"],
            Self::EndpointUpdated => ["endpoint_updated", "EndpointUpdated"],
            Self::DeploymentProgress => ["deployment_progress", "DeploymentProgress"],
            Self::HealthCheckResult => ["health_check_result", "HealthCheckResult"],
            Self::RegistryLoaded => ["registry_loaded", "RegistryLoaded"],
            Self::NetworkTopologyChanged => ["network_topology_changed", "NetworkTopologyChanged"],
        }
    }

    /// Its name as clients in use have it: `service_registered`.
    pub const fn as_str(self) -> &'static str {
        self.spelled(Spelling::Snake)
    }

    pub(crate) const fn spelled(self, spelling: Spelling) -> &'static str {
        let [snake, camel] = self.spellings();
        match spelling {
            Spelling::Snake => snake,
            Spelling::Camel => camel,
        }
    }

    pub(crate) fn read(text: &str) -> Option<(Self, Spelling)> {
        Self::ALL.into_iter().find_map(|kind| {
            let each = [Spelling::Snake, Spelling::Camel];
            let found = each.into_iter().find(|spelling| kind.spelled(*spelling) == text);
            found.map(|spelling| (kind, spelling))
        })
    }

    /// The kind of that name, in either spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text).map(|(kind, _)| kind)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_known_and_told_apart() {
        for kind in EventKind::ALL {
            for spelling in [Spelling::Snake, Spelling::Camel] {
                assert_eq!(EventKind::read(kind.spelled(spelling)), Some((kind, spelling)));
            }
            // One is made of the other, so that nobody has to learn both.
            let joined: String = kind.as_str().split('_').collect();
            let camel = kind.spelled(Spelling::Camel);
            assert_eq!(joined, camel.to_ascii_lowercase());
        }
        assert_eq!(EventKind::parse("service-registered"), None);
    }
}
