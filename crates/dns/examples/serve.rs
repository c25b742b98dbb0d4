//! Serves so many services on one thread, for measuring and for trying: `serve 1000 127.0.0.1:5300`.
//! Ends when its input does.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use catalog::{Catalog, Config, Endpoint, Facts, Identity, Protocol, Source};
use model::{BackendHost, Now};
use proxyd_dns::{Server, Settings};
use runtime::{Clock, Snapshot};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let services = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1000);
    let listen = arguments.next().and_then(|text| text.parse().ok());
    let listen = listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 5300)));
    let mut catalog = Catalog::new(Config::default(), [7; 32]);
    for n in 0..services {
        let host = BackendHost::Ip(Ipv4Addr::from_bits(0x0A00_0001 + n).into());
        let endpoints = vec![Endpoint::new("main", host, 8080, Protocol::Tcp)];
        let name = Identity::alone(&format!("svc{n}")).expect("a name");
        let facts = Facts { endpoints, ..Facts::default() };
        catalog.put(&name, Source::Manual, facts, Now::default()).expect("room");
    }
    let snapshot = Snapshot::new(Arc::new(catalog.view().clone()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let served = runtime.block_on(async {
        let server = Server::bind(Settings { listen, ..Settings::default() });
        let server = server.unwrap_or_else(|error| panic!("{error}"));
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            drop(end);
        });
        let ended = async { drop(ended.await) };
        server.serve(move || snapshot.load(), Clock::system(), ended).await
    });
    served.expect("sockets");
}
