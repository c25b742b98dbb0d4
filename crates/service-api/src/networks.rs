//! The networks of this machine, as the kernel has them and as they change (rtnetlink(7)).

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::pin;

use catalog::{Interface, NetworkKind, Topology};
use discovery::Handle;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use ipnet::IpNet;
use rtnetlink::packet_core::NetlinkMessage;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use rtnetlink::sys::SocketAddr;
use rtnetlink::{MulticastGroup, new_multicast_connection};
use tokio::time::{sleep, timeout};

use crate::bounds::TOPOLOGY_DEBOUNCE;

/// Addresses that are read; a machine with more keeps the first of them.
const ADDRESSES_MAX: usize = 4096;
/// For the kernel to tell all it has.
const READ_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// What the kernel tells by itself.
type News = (NetlinkMessage<RouteNetlinkMessage>, SocketAddr);

/// Watches the networks of this machine.
pub struct Networks {
    netlink: rtnetlink::Handle,
    news: Box<dyn Stream<Item = News> + Send + Sync + Unpin>,
    /// Speaks with the kernel as long as the others are there.
    speaking: tokio::task::JoinHandle<()>,
}

impl Networks {
    /// Begins to listen to the kernel. From now on no change is missed.
    ///
    /// # Errors
    ///
    /// The kernel's: there is no netlink for us.
    pub fn watch() -> io::Result<Self> {
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let (connection, netlink, news) = new_multicast_connection(&groups)?;
        Ok(Self { netlink, news: Box::new(news), speaking: tokio::spawn(connection) })
    }

    /// As they are now.
    ///
    /// # Errors
    ///
    /// The kernel's, or it does not answer in time.
    pub async fn read(&self) -> io::Result<Topology> {
        let read = async {
            let links = self.netlink.link().get().execute();
            let links: Vec<LinkMessage> = pin!(links).try_collect().await?;
            let addresses = self.netlink.address().get().execute().take(ADDRESSES_MAX);
            let addresses: Vec<AddressMessage> = pin!(addresses).try_collect().await?;
            Ok::<_, rtnetlink::Error>(topology(&links, &addresses))
        };
        timeout(READ_TIMEOUT, read).await?.map_err(io::Error::other)
    }

    /// Keeps the catalog's as they are, until `stop` is there or the catalog ends.
    pub async fn follow(mut self, handle: Handle, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut is_known = false;
        loop {
            match self.read().await {
                Ok(topology) => {
                    let was_known = std::mem::replace(&mut is_known, true);
                    let set = handle
                        .change(move |catalog, now| catalog.set_topology(topology.clone(), now));
                    match set.await {
                        Ok(true) if was_known => {
                            tracing::info!("this machine is in other networks now");
                        }
                        Ok(true | false) => {}
                        Err(error) => {
                            tracing::warn!(%error, "networks are not followed any more");
                            return;
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot read the networks of this machine"),
            }
            tokio::select! {
                () = &mut stop => return,
                changed = self.changed() => if !changed {
                    tracing::warn!("the kernel tells nothing about networks any more");
                    return;
                },
            }
        }
    }

    /// Until the kernel told of a change, and of what changed along with it. `false` if it never
    /// will again.
    async fn changed(&mut self) -> bool {
        if self.news.next().await.is_none() {
            return false;
        }
        let mut settled = pin!(sleep(TOPOLOGY_DEBOUNCE));
        loop {
            tokio::select! {
                biased;
                () = &mut settled => return true,
                more = self.news.next() => if more.is_none() { return false },
            }
        }
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        self.speaking.abort();
    }
}

impl std::fmt::Debug for Networks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Networks").finish_non_exhaustive()
    }
}

/// What the messages of the kernel say together: interfaces that are up, with their addresses.
fn topology(links: &[LinkMessage], addresses: &[AddressMessage]) -> Topology {
    let named = links.iter().filter_map(|link| Some((link.header.index, interface(link)?)));
    let mut interfaces: BTreeMap<u32, Interface> = named.collect();
    for message in addresses {
        if let Some(interface) = interfaces.get_mut(&message.header.index)
            && let Some(own) = own_address(message)
            && let Ok(net) = IpNet::new(own, message.header.prefix_len)
        {
            interface.addresses.push(net);
        }
    }
    Topology::new(interfaces.into_values().collect())
}

/// `None` if it is down.
fn interface(link: &LinkMessage) -> Option<Interface> {
    if !link.header.flags.contains(LinkFlags::Up) {
        return None;
    }
    let name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    })?;
    let is_tunnel = link.attributes.iter().any(|attribute| match attribute {
        LinkAttribute::LinkInfo(info) => {
            info.iter().any(|info| matches!(info, LinkInfo::Kind(InfoKind::Wireguard)))
        }
        _ => false,
    });
    let kind = if link.header.flags.contains(LinkFlags::Loopback) {
        NetworkKind::Local
    } else if is_tunnel || name.starts_with("wg") {
        // WireGuard without the kernel is a tun device, and its name is all there is to go by.
        NetworkKind::WireGuard
    } else {
        NetworkKind::Lan
    };
    Some(Interface { name: name.into(), kind, addresses: Vec::new() })
}

/// On a line between two, `Address` is the other end.
fn own_address(message: &AddressMessage) -> Option<IpAddr> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_core::{Emitable as _, Parseable as _};

    use super::*;

    /// Sent and read again, as the kernel's is.
    fn link(index: u32, name: &str, flags: LinkFlags, kind: Option<InfoKind>) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = flags;
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        if let Some(kind) = kind {
            message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]));
        }
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        LinkMessage::parse(&bytes[..]).unwrap()
    }

    fn address(index: u32, prefix_len: u8, attributes: Vec<AddressAttribute>) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.header.prefix_len = prefix_len;
        message.attributes = attributes;
        message
    }

    #[test]
    fn kinds_of_interfaces() {
        let up = LinkFlags::Up;
        #[rustfmt::skip]
        let table = [
            ("lo",      up | LinkFlags::Loopback, None,                      Some(NetworkKind::Local)),
            ("eth0",    up,                       None,                      Some(NetworkKind::Lan)),
            ("br0",     up,                       Some(InfoKind::Bridge),    Some(NetworkKind::Lan)),
            ("tunnel7", up,                       Some(InfoKind::Wireguard), Some(NetworkKind::WireGuard)),
            ("wg0",     up,                       Some(InfoKind::Tun),       Some(NetworkKind::WireGuard)),
            ("eth1",    LinkFlags::Broadcast,     None,                      None),
        ];
        for (name, flags, info, want) in table {
            let found = interface(&link(3, name, flags, info));
            assert_eq!(found.map(|found| found.kind), want, "{name}");
        }
    }

    #[test]
    fn addresses_find_their_interfaces() {
        let ip = |text: &str| text.parse().unwrap();
        let (local, peer) = (ip("10.42.0.1"), ip("10.42.0.2"));
        let links = [
            link(1, "lo", LinkFlags::Up | LinkFlags::Loopback, None),
            link(7, "wg0", LinkFlags::Up, Some(InfoKind::Wireguard)),
        ];
        let addresses = [
            address(7, 16, vec![AddressAttribute::Address(peer), AddressAttribute::Local(local)]),
            address(7, 64, vec![AddressAttribute::Address(ip("fd00::1"))]),
            address(1, 8, vec![AddressAttribute::Address(ip("127.0.0.1"))]),
            address(9, 8, vec![AddressAttribute::Address(ip("10.9.0.1"))]),
            address(7, 99, vec![AddressAttribute::Address(ip("10.8.0.1"))]),
        ];
        let topology = topology(&links, &addresses);
        let shown: Vec<_> = topology
            .interfaces()
            .iter()
            .map(|interface| format!("{} {:?}", interface.name, interface.addresses))
            .collect();
        assert_eq!(shown, ["lo [127.0.0.1/8]", "wg0 [10.42.0.1/16, fd00::1/64]"]);
    }
}
