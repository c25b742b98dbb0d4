//! The virtual addresses that the heartbeat port hands out, made real on this machine.
//!
//! Each address is put on the loopback device, and what connects to it on its port is tunnelled to
//! the service. Address and listener go when the name ends, and with them its tunnels: another name
//! may have the address a moment later. When proxyd ends, tunnels have their grace first.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use catalog::View;
use discovery::{Changes, Missed};
use door::Door;
use model::{Instant, ServiceName};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::loopback::Loopback;
use crate::outcome::Became;
use crate::resolve::Target;
use crate::tunnel::Tunnels;

/// An address that cannot be had, because somebody listens there for one, is tried again after this
/// time, and each time after twice as long, up to the most.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// Why there are no virtual addresses. Says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// This process may not.
    #[error(
        "assign_addresses needs the capability CAP_NET_ADMIN to put virtual addresses on the \
         loopback device: grant it (AmbientCapabilities=CAP_NET_ADMIN in a systemd unit, \
         --cap-add NET_ADMIN for a container), or set assign_addresses = false"
    )]
    NotAllowed,
    /// The kernel does not.
    #[error("cannot put virtual addresses on the loopback device: {0}")]
    Kernel(#[from] io::Error),
}

/// The virtual addresses of this machine.
#[derive(Debug)]
pub struct VirtualAddresses {
    loopback: Loopback,
    tunnels: Tunnels,
    changes: Changes,
    /// By service, as there may be many services and few have any.
    held: BTreeMap<ServiceName, Vec<Held>>,
    /// Services of which an address could not be had.
    again: BTreeMap<ServiceName, Again>,
}

/// When it is tried again, and how long that was waited for.
#[derive(Clone, Copy, Debug)]
struct Again {
    at: Instant,
    wait: Duration,
}

/// One address at work.
#[derive(Debug)]
struct Held {
    address: Ipv4Addr,
    port: u16,
    /// Takes how long tunnels may go on.
    stop: oneshot::Sender<Duration>,
    served: JoinHandle<()>,
}

impl VirtualAddresses {
    /// Takes away what processes that are gone left behind of the addresses from `first` to `last`,
    /// which are those that are handed out, and finds out whether this one may do what it is to do.
    ///
    /// # Errors
    ///
    /// [`AddressError`].
    pub async fn start(
        (first, last): (Ipv4Addr, Ipv4Addr),
        tunnels: Tunnels,
    ) -> Result<Self, AddressError> {
        let loopback = Loopback::open()?;
        let begin = async {
            // There is none of ours yet; who may not is told nevertheless.
            loopback.remove(first).await?;
            loopback.sweep(first..=last).await
        };
        begin.await.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => AddressError::NotAllowed,
            _ => AddressError::Kernel(error),
        })?;
        let catalog = &tunnels.0.catalog;
        let view = catalog.view();
        let changes = catalog.changes_after(view.seq());
        let mut addresses =
            Self { loopback, tunnels, changes, held: BTreeMap::new(), again: BTreeMap::new() };
        addresses.look_at_all(&view).await;
        Ok(addresses)
    }

    /// Follows the catalog until `stop`. Then every address is taken away, and tunnels have their
    /// grace.
    pub async fn serve(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let due = self.again.values().map(|again| again.at).min();
            let change = tokio::select! {
                () = &mut stop => break,
                () = self.tunnels.0.clock.sleep_until(due) => {
                    self.try_again().await;
                    continue;
                }
                change = self.changes.next() => change,
            };
            let view = self.tunnels.0.catalog.view();
            match change {
                Ok(None) => break,
                Ok(Some(change)) => {
                    if let Some(service) = change.what.service() {
                        self.look(&view, service).await;
                    }
                }
                Err(Missed(_)) => {
                    self.changes = self.tunnels.0.catalog.changes_after(view.seq());
                    self.look_at_all(&view).await;
                }
            }
        }
        let held = std::mem::take(&mut self.held).into_values().flatten();
        let grace = self.tunnels.0.settings.grace;
        let stopped: Vec<_> = held.map(|held| held.stop(grace)).collect();
        for (address, served) in stopped {
            self.let_go(address, served).await;
        }
    }

    async fn look_at_all(&mut self, view: &View) {
        // Who holds addresses lets go of those that are another's by now before that one takes them.
        let there = view.services().map(|service| &service.name);
        let others = there.filter(|name| !self.held.contains_key(*name));
        let services: Vec<_> = self.held.keys().chain(others).cloned().collect();
        for service in &services {
            self.look(view, service).await;
        }
    }

    async fn try_again(&mut self) {
        let (view, now) = (self.tunnels.0.catalog.view(), self.tunnels.0.clock.mono());
        let due = self.again.iter().filter(|(_, again)| again.at <= now);
        let due: Vec<_> = due.map(|(service, _)| service.clone()).collect();
        for service in &due {
            self.look(&view, service).await;
        }
    }

    /// Makes a service's addresses what the catalog says.
    async fn look(&mut self, view: &View, name: &ServiceName) {
        let service = view.service(name.as_str());
        let instances = service.into_iter().flat_map(|service| &service.instances);
        let given = instances.filter_map(|instance| instance.given);
        let wanted: Vec<(Ipv4Addr, u16)> = given.map(|given| (given.address, given.port)).collect();
        let is_wanted = |held: &Held| wanted.contains(&(held.address, held.port));
        let held = self.held.remove(name).unwrap_or_default();
        let (mut stay, go): (Vec<Held>, Vec<Held>) = held.into_iter().partition(is_wanted);
        for held in go {
            let (address, served) = held.stop(Duration::ZERO);
            self.let_go(address, served).await;
        }
        let mut is_whole = true;
        for (address, port) in wanted {
            if stay.iter().any(|held| (held.address, held.port) == (address, port)) {
                continue;
            }
            match self.take(name, address, port).await {
                Ok(held) => stay.push(held),
                Err(error) => {
                    is_whole = false;
                    if self.again.contains_key(name) {
                        tracing::debug!(service = %name, %address, port, %error, "still none");
                    } else {
                        let what = "no virtual address; it is tried again";
                        tracing::error!(service = %name, %address, port, %error, "{what}");
                    }
                }
            }
        }
        if !stay.is_empty() {
            self.held.insert(name.clone(), stay);
        }
        if is_whole {
            self.again.remove(name);
            return;
        }
        let before = self.again.get(name).map(|again| again.wait.saturating_mul(2));
        let wait = before.unwrap_or(AGAIN_FIRST).min(AGAIN_MAX);
        let at = self.tunnels.0.clock.mono().after(wait);
        self.again.insert(name.clone(), Again { at, wait });
    }

    async fn take(&self, name: &ServiceName, address: Ipv4Addr, port: u16) -> io::Result<Held> {
        self.loopback.add(address).await?;
        let at = SocketAddr::new(IpAddr::V4(address), port);
        let door = match Door::bind(at, self.tunnels.0.guests.clone()) {
            Ok(door) => door,
            Err(error) => {
                let _ = self.loopback.remove(address).await;
                return Err(error);
            }
        };
        let (stop, stopped) = oneshot::channel();
        let (tunnels, name) = (self.tunnels.clone(), name.clone());
        let attend = move |client, _| {
            let (tunnels, name) = (tunnels.clone(), name.clone());
            async move {
                let service = tunnels.0.catalog.view().service(name.as_str()).cloned();
                match service {
                    Some(service) => {
                        tunnels.join(client, &Target { service, instance: None }, &[]).await;
                    }
                    None => tunnels.0.outcomes.count(Became::Unknown),
                }
            }
        };
        let served = tokio::spawn(async move {
            let mut grace = Duration::ZERO;
            let stop = async { grace = stopped.await.unwrap_or_default() };
            let leaving = door.open(stop, attend).await;
            leaving.leave(grace).await;
        });
        tracing::info!(%address, port, "a virtual address is there");
        Ok(Held { address, port, stop, served })
    }

    /// Takes an address away when its last tunnel has ended: without the address it would hear
    /// nothing of its end.
    async fn let_go(&self, address: Ipv4Addr, served: JoinHandle<()>) {
        // One that failed is over as well.
        let _ = served.await;
        if let Err(error) = self.loopback.remove(address).await {
            tracing::error!(%address, %error, "a virtual address stays");
        }
    }
}

/// Takes away what processes that are gone left behind of the addresses from `first` to `last`, for
/// one that makes none of its own. What cannot be taken away stays, and is told in the log.
pub async fn forget_addresses((first, last): (Ipv4Addr, Ipv4Addr)) {
    let forget = async { Loopback::open()?.sweep(first..=last).await };
    if let Err(error) = forget.await {
        tracing::warn!(%error, "virtual addresses of an earlier process may still be there");
    }
}

impl Held {
    fn stop(self, grace: Duration) -> (Ipv4Addr, JoinHandle<()>) {
        // A task that failed does not want to know.
        let _ = self.stop.send(grace);
        (self.address, self.served)
    }
}
