//! Addresses of the loopback device, by way of netlink.
//!
//! Several proxyds may share a device. Each marks its addresses with a label of its own, and holds an
//! abstract Unix socket of that name: like the device it is there once for each network namespace, and
//! the kernel takes it away with the process, however that ends. Addresses whose label nobody holds
//! were left behind.

use std::collections::BTreeMap;
use std::io;
use std::iter::repeat_with;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::pin::pin;

use futures_util::TryStreamExt;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::{AddressMessageBuilder, Handle};
use tokio::task::JoinHandle;

/// The number of the loopback device, in every network namespace (linux/net/flow.h).
const LOOPBACK: u32 = 1;
/// What the labels of all proxyds begin with: what somebody else put there has none of these.
const LABEL: &str = "lo:proxyd";
/// What follows is drawn: together 15 bytes, the longest label there is (`IFNAMSIZ`, linux/if.h).
const DRAWN: usize = 5;

/// The loopback device.
#[derive(Debug)]
pub(crate) struct Loopback {
    handle: Handle,
    connection: JoinHandle<()>,
    mark: Mark,
}

/// A label that nobody else has.
#[derive(Debug)]
struct Mark {
    label: String,
    _held: UnixDatagram,
}

impl Mark {
    fn new() -> io::Result<Self> {
        loop {
            let drawn: String = repeat_with(fastrand::alphanumeric).take(DRAWN).collect();
            if let Some(mark) = Self::take(format!("{LABEL}-{drawn}"))? {
                return Ok(mark);
            }
        }
    }

    /// `None` while a living process has it.
    fn take(label: String) -> io::Result<Option<Self>> {
        match UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&label)?) {
            Ok(held) => Ok(Some(Self { label, _held: held })),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Loopback {
    /// Talks to the kernel.
    pub(crate) fn open() -> io::Result<Self> {
        let mark = Mark::new()?;
        let (connection, handle, _) = rtnetlink::new_connection()?;
        Ok(Self { handle, connection: tokio::spawn(connection), mark })
    }

    /// Gives the device an address. One that it has already, by whomever, is no error.
    pub(crate) async fn add(&self, address: Ipv4Addr) -> io::Result<()> {
        let mut add = self.handle.address().add(LOOPBACK, IpAddr::V4(address), 32);
        add.message_mut().attributes.push(AddressAttribute::Label(self.mark.label.clone()));
        match add.execute().await.map_err(into_io) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
    }

    /// Takes an address away, if it is one of ours.
    pub(crate) async fn remove(&self, address: Ipv4Addr) -> io::Result<()> {
        self.remove_marked(address, &self.mark.label).await
    }

    /// Takes away what processes that are gone left behind of these addresses.
    pub(crate) async fn sweep(&self, addresses: RangeInclusive<Ipv4Addr>) -> io::Result<()> {
        for (label, left) in self.marked().await? {
            // Held meanwhile, so that nobody draws it.
            let Some(mark) = Mark::take(label)? else { continue };
            for address in left.into_iter().filter(|address| addresses.contains(address)) {
                self.remove_marked(address, &mark.label).await?;
                tracing::info!(%address, "a virtual address of an earlier process is gone");
            }
        }
        Ok(())
    }

    /// The addresses of proxyds, by their labels.
    async fn marked(&self) -> io::Result<BTreeMap<String, Vec<Ipv4Addr>>> {
        let get = self.handle.address().get().set_link_index_filter(LOOPBACK).execute();
        let all: Vec<AddressMessage> = pin!(get).try_collect().await.map_err(into_io)?;
        let mut marked = BTreeMap::<_, Vec<_>>::new();
        for message in all.iter().filter(|message| message.header.index == LOOPBACK) {
            let mut attributes = message.attributes.iter();
            let label = attributes.find_map(|attribute| match attribute {
                AddressAttribute::Label(label) if label.starts_with(LABEL) => Some(label.clone()),
                _ => None,
            });
            let mut attributes = message.attributes.iter();
            let address = attributes.find_map(|attribute| match attribute {
                AddressAttribute::Address(IpAddr::V4(address)) => Some(*address),
                _ => None,
            });
            if let (Some(label), Some(address)) = (label, address) {
                marked.entry(label).or_default().push(address);
            }
        }
        Ok(marked)
    }

    /// The kernel takes an address away by its label only if it has that label.
    async fn remove_marked(&self, address: Ipv4Addr, label: &str) -> io::Result<()> {
        let builder = AddressMessageBuilder::<Ipv4Addr>::new().index(LOOPBACK);
        let mut message = builder.address(address, 32).build();
        message.attributes.push(AddressAttribute::Label(label.to_owned()));
        match self.handle.address().del(message).execute().await.map_err(into_io) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Ok(()),
            result => result,
        }
    }
}

fn into_io(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    }
}
