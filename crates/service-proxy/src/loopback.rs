//! Addresses of the loopback device, by way of netlink.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;

use futures_util::TryStreamExt;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::{AddressMessageBuilder, Handle};
use tokio::task::JoinHandle;

/// The number of the loopback device, in every network namespace (linux/net/flow.h).
const LOOPBACK: u32 = 1;
/// Marks our addresses: the kernel takes one away by its label only if it has that label, so what
/// somebody else put there stays.
const LABEL: &str = "lo:proxyd";

/// The loopback device.
#[derive(Debug)]
pub(crate) struct Loopback {
    handle: Handle,
    connection: JoinHandle<()>,
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Loopback {
    /// Talks to the kernel.
    pub(crate) fn open() -> io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        Ok(Self { handle, connection: tokio::spawn(connection) })
    }

    /// Gives the device an address. One that it has already, by whomever, is no error.
    pub(crate) async fn add(&self, address: Ipv4Addr) -> io::Result<()> {
        // What we left behind when we were killed becomes ours again.
        self.remove(address).await?;
        let mut add = self.handle.address().add(LOOPBACK, IpAddr::V4(address), 32);
        add.message_mut().attributes.push(AddressAttribute::Label(LABEL.to_owned()));
        match add.execute().await.map_err(into_io) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
    }

    /// The addresses that are ours, or were an earlier process's.
    pub(crate) async fn ours(&self) -> io::Result<Vec<Ipv4Addr>> {
        let get = self.handle.address().get().set_link_index_filter(LOOPBACK).execute();
        let all: Vec<AddressMessage> = pin!(get).try_collect().await.map_err(into_io)?;
        let is_ours = |message: &&AddressMessage| {
            let is_label = |attribute: &AddressAttribute| matches!(attribute, AddressAttribute::Label(label) if label == LABEL);
            message.header.index == LOOPBACK && message.attributes.iter().any(is_label)
        };
        let address = |message: &AddressMessage| {
            message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(IpAddr::V4(address)) => Some(*address),
                _ => None,
            })
        };
        Ok(all.iter().filter(is_ours).filter_map(address).collect())
    }

    /// Takes an address away, if it is one of ours.
    pub(crate) async fn remove(&self, address: Ipv4Addr) -> io::Result<()> {
        match self.handle.address().del(message(address)).execute().await.map_err(into_io) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Ok(()),
            result => result,
        }
    }
}

fn message(address: Ipv4Addr) -> AddressMessage {
    let builder = AddressMessageBuilder::<Ipv4Addr>::new().index(LOOPBACK).address(address, 32);
    let mut message = builder.build();
    message.attributes.push(AddressAttribute::Label(LABEL.to_owned()));
    message
}

fn into_io(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    }
}
