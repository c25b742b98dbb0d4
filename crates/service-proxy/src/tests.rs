//! Tunnels, HTTP and virtual addresses as their clients see them.

mod addresses;
mod http;
mod tcp;

use std::net::SocketAddr;

use catalog::{Catalog, Config, Endpoint, Facts, Identity, Image, Protocol, Source};
use discovery::{Feed, Handle};
use model::{BackendHost, InstanceName, ServiceName};
use probe::Policy;
use runtime::Clock;
use store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{TunnelSettings, Tunnels};

fn catalog(config: Config) -> (Handle, Store) {
    let (store, clock) = (Store::memory(), Clock::system());
    let (rows, feed) = (store.catalog(), Feed::default());
    let (handle, _) = discovery::start(config, [7; 32], Image::default(), rows, feed, clock);
    (handle, store)
}

fn tunnels(settings: TunnelSettings, catalog: &Handle) -> Tunnels {
    Tunnels::new(settings, Policy::default(), Clock::system(), catalog.clone())
}

fn identity(service: &str, instance: &str) -> Identity {
    Identity {
        service: ServiceName::parse(service).unwrap(),
        instance: InstanceName::parse(instance).unwrap(),
    }
}

async fn put(catalog: &Handle, service: &str, instance: &str, addresses: &[SocketAddr]) {
    let identity = identity(service, instance);
    let endpoint = |at: &SocketAddr| {
        Endpoint::new(&at.to_string(), BackendHost::Ip(at.ip()), at.port(), Protocol::Tcp)
    };
    let facts = Facts { endpoints: addresses.iter().map(endpoint).collect(), ..Facts::default() };
    let put = move |catalog: &mut Catalog, now| {
        catalog.put(&identity, Source::Manual, facts.clone(), now).unwrap();
    };
    catalog.change(put).await.unwrap();
}

/// Says its name, then whatever it is told.
async fn echo(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(name.as_bytes()).await?;
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await?;
                write.shutdown().await
            });
        }
    });
    address
}

/// Where nobody listens.
async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
