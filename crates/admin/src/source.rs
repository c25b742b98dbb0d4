//! Whoever knows the numbers.

use std::collections::BTreeMap;
use std::fmt::Debug;

use model::{RouteId, UnixMillis};
use telemetry::Totals;

/// Asked once for each request to us, from any thread. May take its time, and never waits.
pub trait Source: Debug + Send + Sync + 'static {
    /// Whether new requests are welcome: everything listens, and nothing ends.
    fn is_ready(&self) -> bool;

    /// Whether the numbers are for somebody who showed this token, or none.
    fn admits(&self, token: Option<&str>) -> bool;

    /// What is counted once for the process.
    fn numbers(&self) -> Numbers;

    /// Tells what every published route did that has served, in the order of their ids.
    fn each_route(&self, tell: &mut dyn FnMut(RouteId, &Totals));
}

/// What is counted once for the process.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// Of the program.
    pub version: &'static str,
    /// Of the routing table.
    pub generation: u64,
    /// Published ones.
    pub routes: usize,
    /// In the registry, those included whose connection is lost.
    pub sessions: usize,
    /// Requests being worked on, tunnels included.
    pub in_flight: usize,
    /// Open connections of clients, by worker.
    pub connections: Vec<usize>,
    /// Of certificates that clients are shown; the same name may be there several times.
    pub certificates: Vec<Expiry>,
    /// Of certificates that clients of the registry are shown.
    pub registry_certificates: Vec<Expiry>,
    /// Certificates from authorities, if any are ordered.
    pub issued: Option<Issued>,
    /// The dialects that are on.
    pub dialects: Vec<Dialect>,
    /// What is known of services.
    pub catalog: Catalog,
}

/// What one dialect did since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// As its section is called.
    pub name: &'static str,
    /// Open connections.
    pub connections: usize,
    /// Connections that were not let in.
    pub refused: u64,
    /// Requests by what became of them.
    pub requests: Vec<(&'static str, u64)>,
}

/// The catalog, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// All of them.
    pub services: usize,
    /// Instances by their source, and by how they are.
    pub instances: BTreeMap<(&'static str, &'static str), usize>,
    /// The number of the last change.
    pub sequence: u64,
    /// Addresses of configured subnets that are given to somebody.
    pub allocations: usize,
}

/// When a certificate for a name ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry {
    /// A host, or a wildcard.
    pub name: String,
    /// The last moment that it is valid.
    pub at: UnixMillis,
}

/// What became of orders, since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Issued {
    /// First certificates for a name.
    pub issued: u64,
    /// Certificates for a name that had one.
    pub renewed: u64,
    /// Attempts without a certificate.
    pub failed: u64,
}
