//! What happened in the catalog, in order.

use model::{InstanceName, ServiceName, UnixMillis};

use crate::{Health, State, Topology};

/// The newest changes that are kept for those who come late.
pub const CHANGES_MAX: usize = 4096;

/// One change. Numbers grow by one with each and begin anew with the process.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its number; the first is 1.
    pub seq: u64,
    /// When.
    pub at: UnixMillis,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A service appeared with its first instance.
    Registered(ServiceName, InstanceName),
    /// What is said about an instance changed; or an instance of a known service came, or one of
    /// several left.
    Updated(ServiceName, InstanceName),
    /// Where an instance is reached changed; comes after its `Updated`.
    Endpoints(ServiceName, InstanceName),
    /// The last instance of a service left.
    Deregistered(ServiceName, InstanceName),
    /// A service does something else.
    State {
        /// Of this service.
        service: ServiceName,
        /// This instance.
        instance: InstanceName,
        /// Before.
        from: State,
        /// Now.
        to: State,
    },
    /// An endpoint was found well, or not, or nothing can be said of it any more.
    Health {
        /// Of this service.
        service: ServiceName,
        /// This instance.
        instance: InstanceName,
        /// Its name.
        endpoint: Box<str>,
        /// Whether it is well.
        health: Health,
        /// Why, in a few words.
        reason: Box<str>,
    },
    /// This machine is in other networks now.
    Topology(Topology),
}

impl What {
    /// The service it is about.
    pub const fn service(&self) -> Option<&ServiceName> {
        match self {
            Self::Registered(service, _)
            | Self::Updated(service, _)
            | Self::Endpoints(service, _)
            | Self::Deregistered(service, _)
            | Self::State { service, .. }
            | Self::Health { service, .. } => Some(service),
            Self::Topology(_) => None,
        }
    }
}
