//! How long `registry.list` takes with so many services in the catalog: over a WebSocket, while
//! nothing changes, and while the catalog changes before each call.
//!
//! Usage: `cargo run --release -p proxyd-json-rpc --example list -- [SERVICES] [CALLS]`

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement"
)]

use std::time::{Duration, Instant};

use catalog::{Config, Endpoint, Facts, Identity, Image, Protocol, Source};
use discovery::{Feed, Handle};
use futures_util::{SinkExt, StreamExt};
use model::{BackendHost, Scheme};
use proxyd_json_rpc::{Settings, bind};
use runtime::Clock;
use store::Store;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"registry.list","params":{}}"#;

#[tokio::main]
async fn main() {
    let number = |nth, usual| std::env::args().nth(nth).map_or(usual, |text| text.parse().unwrap());
    let (services, calls): (usize, usize) = (number(1, 10_000), number(2, 1000));
    let (store, clock) = (Store::memory(), Clock::system());
    let (image, rows) = (Image::default(), store.catalog());
    let (handle, _) =
        discovery::start(Config::default(), [7; 32], image, rows, Feed::default(), clock);
    handle
        .change(move |catalog, now| (0..services).for_each(|n| put(catalog, n, now)))
        .await
        .unwrap();
    let server =
        bind(Settings::new("127.0.0.1:0".parse().unwrap()), handle.clone(), clock).unwrap();
    let address = server.address();
    tokio::spawn(server.run(std::future::pending()));

    for changes in [false, true] {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut socket, _) = client_async(format!("ws://{address}/"), stream).await.unwrap();
        let (mut took, mut bytes) = (Vec::new(), 0);
        for _ in 0..calls {
            if changes {
                touch(&handle).await;
            }
            let began = Instant::now();
            socket.send(Message::text(LIST)).await.unwrap();
            bytes = socket.next().await.unwrap().unwrap().len();
            took.push(began.elapsed());
        }
        took.sort();
        let share =
            |percent: usize| took.get((took.len() * percent / 100).min(took.len() - 1)).copied();
        let ms = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64() * 1000.0;
        println!(
            "{services} services, {bytes} bytes, {}: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
            if changes { "changed before each call" } else { "unchanged" },
            ms(share(50)),
            ms(share(99)),
            ms(took.last().copied()),
        );
    }
}

fn put(catalog: &mut catalog::Catalog, n: usize, now: model::Now) {
    let host = BackendHost::Ip([10, 0, (n >> 8) as u8, n as u8].into());
    let endpoint = Endpoint::new("e", host, 4444, Protocol::Url(Scheme::Ws));
    let facts = Facts {
        endpoints: vec![endpoint],
        description: Some("A service that somebody describes in a line".into()),
        ..Facts::default()
    };
    // As a file does, so that a store in memory has no part in it.
    catalog
        .put(&Identity::alone(&format!("service-{n}")).unwrap(), Source::File, facts, now)
        .unwrap();
}

async fn touch(handle: &Handle) {
    let first = Identity::alone("service-0").unwrap();
    handle.change(move |catalog, now| catalog.touch(&first, now)).await.unwrap().unwrap();
}
