//! A connection to one of a service's endpoints.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use catalog::{Reachable, Source, Standing, View};
use hickory_resolver::TokioResolver;
use model::BackendHost;
use probe::Policy;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::resolve::Target;

/// Endpoints that are tried for one tunnel.
const ATTEMPTS_MAX: usize = 4;
/// Addresses of one name that are tried.
const ADDRESSES_TRIED_MAX: usize = 3;

/// Connects, and counts what is open.
#[derive(Debug)]
pub(crate) struct Dialer {
    pub(crate) policy: Policy,
    pub(crate) port_offset: u16,
    pub(crate) connect_timeout: Duration,
    load: Load,
    resolver: OnceLock<Option<TokioResolver>>,
}

/// Open tunnels by endpoint; no endpoint without one.
#[derive(Clone, Debug, Default)]
struct Load(Arc<Mutex<HashMap<Place, usize>>>);

/// Host and port.
type Place = (BackendHost, u16);

/// One open tunnel.
#[derive(Debug)]
pub(crate) struct Ticket {
    load: Load,
    place: Place,
}

impl Load {
    fn with<R>(&self, look: impl FnOnce(&mut HashMap<Place, usize>) -> R) -> R {
        // Nothing in here can be left half done by a panic.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn of(&self, place: &Place) -> usize {
        self.with(|open| open.get(place).copied().unwrap_or_default())
    }

    fn enter(&self, place: Place) -> Ticket {
        self.with(|open| *open.entry(place.clone()).or_default() += 1);
        Ticket { load: self.clone(), place }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.load.with(|open| {
            if let Some(count) = open.get_mut(&self.place) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    open.remove(&self.place);
                }
            }
        });
    }
}

impl Dialer {
    pub(crate) fn new(policy: Policy, port_offset: u16, connect_timeout: Duration) -> Self {
        let (load, resolver) = (Load::default(), OnceLock::new());
        Self { policy, port_offset, connect_timeout, load, resolver }
    }

    /// Connects to one endpoint: of those that can be relied on most, the one of two drawn at
    /// random that has fewer tunnels. When it does not answer, to the next one, and so on.
    pub(crate) async fn connect(
        &self,
        view: &View,
        target: &Target,
    ) -> Option<(TcpStream, Ticket)> {
        let mut ahead: Vec<(Standing, Place)> = target
            .endpoints()
            .iter()
            .filter_map(|found| Some((standing(found), place(found, self.port_offset)?)))
            .collect();
        for _ in 0..ATTEMPTS_MAX.min(ahead.len()) {
            let place = self.pick(&mut ahead)?;
            let ticket = self.load.enter(place.clone());
            match timeout(self.connect_timeout, self.open(view, &place)).await {
                Ok(Some(stream)) => return Some((stream, ticket)),
                Ok(None) | Err(_) => {
                    tracing::debug!(service = %target.service.name, ?place, "cannot connect");
                }
            }
        }
        None
    }

    /// Takes one out of those that have not been tried, which are in the order of their standing.
    fn pick(&self, ahead: &mut Vec<(Standing, Place)>) -> Option<Place> {
        let (best, _) = ahead.first()?;
        let alike = ahead.iter().take_while(|(standing, _)| standing == best).count();
        let (one, other) = (fastrand::usize(..alike), fastrand::usize(..alike));
        let load = |at: usize| ahead.get(at).map(|(_, place)| self.load.of(place));
        let picked = if load(other) < load(one) { other } else { one };
        Some(ahead.remove(picked).1)
    }

    async fn open(&self, view: &View, (host, port): &Place) -> Option<TcpStream> {
        for ip in self.addresses(host).await {
            let address = SocketAddr::new(ip, *port);
            if view.is_virtual(ip) || self.policy.permits(address).is_err() {
                continue;
            }
            match TcpStream::connect(address).await {
                // On one machine a socket may be given the very port it is to connect to.
                Ok(stream) if stream.local_addr().ok() == stream.peer_addr().ok() => {}
                Ok(stream) => return Some(stream),
                Err(error) => tracing::debug!(%address, %error, "no connection"),
            }
        }
        None
    }

    async fn addresses(&self, host: &BackendHost) -> Vec<IpAddr> {
        let name = match host {
            BackendHost::Ip(ip) => return vec![*ip],
            BackendHost::Name(name) => name,
        };
        let make = || match TokioResolver::builder_tokio().and_then(|builder| builder.build()) {
            Ok(resolver) => Some(resolver),
            Err(error) => {
                tracing::error!(%error, "no resolver: endpoints by name cannot be reached");
                None
            }
        };
        let Some(resolver) = self.resolver.get_or_init(make) else { return Vec::new() };
        match resolver.lookup_ip(&**name).await {
            Ok(found) => found.iter().take(ADDRESSES_TRIED_MAX).collect(),
            Err(error) => {
                tracing::debug!(name, %error, "an endpoint's name does not resolve");
                Vec::new()
            }
        }
    }
}

fn standing(found: &Reachable<'_>) -> Standing {
    found.instance.standing_of(found.endpoint)
}

/// Where an endpoint is connected to. Who registered on the heartbeat port may listen at a fixed
/// distance from the port that was handed out.
pub(crate) fn place(found: &Reachable<'_>, port_offset: u16) -> Option<Place> {
    let offset = if found.instance.source == Source::Heartbeat { port_offset } else { 0 };
    Some((found.endpoint.host.clone(), found.endpoint.port.checked_add(offset)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_busy_of_those_that_are_well() {
        let dialer = Dialer::new(Policy::default(), 0, Duration::from_secs(1));
        let at = |port| (BackendHost::Ip([127, 0, 0, 1].into()), port);
        let busy = [dialer.load.enter(at(1)), dialer.load.enter(at(1))];
        let all = || vec![(Standing::Good, at(1)), (Standing::Good, at(2)), (Standing::Bad, at(3))];
        let mut first = [0; 4];
        for _ in 0..200 {
            let mut ahead = all();
            let order: Vec<u16> =
                std::iter::from_fn(|| dialer.pick(&mut ahead)).map(|(_, port)| port).collect();
            assert_eq!((order.len(), order[2]), (3, 3), "{order:?}");
            first[usize::from(order[0])] += 1;
        }
        // Both draws fall on the busy one a quarter of the time.
        assert!(first[2] > first[1] && first[1] > 0, "{first:?}");
        drop(busy);
        assert!(dialer.load.with(|open| open.is_empty()), "nothing is kept");
    }
}
