//! What one connection wants to hear, spelled as it asked for it.

use crate::kind::{EventKind, Spelling};

/// At most one of each kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscriptions([Option<Spelling>; EventKind::ALL.len()]);

impl Subscriptions {
    /// Adds; a kind that is there already is spelled in the new way.
    pub(crate) fn add(&mut self, kind: EventKind, spelling: Spelling) {
        self.set(kind, Some(spelling));
    }

    pub(crate) fn remove(&mut self, kind: EventKind) {
        self.set(kind, None);
    }

    fn set(&mut self, kind: EventKind, spelling: Option<Spelling>) {
        for (held, slot) in EventKind::ALL.into_iter().zip(&mut self.0) {
            if held == kind {
                *slot = spelling;
            }
        }
    }

    /// As what a kind of event is sent, if it is wanted.
    pub(crate) fn name_of(&self, kind: EventKind) -> Option<&'static str> {
        self.each().find(|(held, _)| *held == kind).map(|(_, name)| name)
    }

    /// All of them, as they were asked for.
    pub(crate) fn each(&self) -> impl Iterator<Item = (EventKind, &'static str)> {
        let all = EventKind::ALL.into_iter().zip(self.0);
        all.filter_map(|(kind, spelling)| Some((kind, kind.spelled(spelling?))))
    }

    /// Whether anything of the catalog is wanted.
    pub(crate) fn wants_changes(&self) -> bool {
        self.each().any(|(kind, _)| match kind {
            EventKind::DeploymentProgress | EventKind::RegistryLoaded => false,
            EventKind::ServiceRegistered
            | EventKind::ServiceUpdated
            | EventKind::ServiceDeregistered
            | EventKind::ServiceStateChanged
            | EventKind::EndpointUpdated
            | EventKind::HealthCheckResult
            | EventKind::NetworkTopologyChanged => true,
        })
    }
}

/// Reads names in either spelling.
///
/// # Errors
///
/// The first that is none.
pub(crate) fn read(names: &[String]) -> Result<Vec<(EventKind, Spelling)>, String> {
    let each = names.iter().map(|name| {
        EventKind::read(name).ok_or_else(|| {
            let known = EventKind::ALL.map(EventKind::as_str).join(", ");
            let shown: String = name.chars().take(64).collect();
            format!("unknown variant `{shown}`, expected one of {known}")
        })
    });
    each.collect()
}
