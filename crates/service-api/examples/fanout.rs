//! How long one change takes to reach a thousand subscribers, each on a TLS WebSocket of its own.
//!
//! `cargo run --release -p proxyd-service-api --example fanout -- [SUBSCRIBERS] [ROUNDS]`: server
//! and subscribers share the process, so that one clock measures both ends, and the machine.

#![expect(clippy::print_stdout, reason = "what it is for")]

use std::sync::Arc;
use std::time::Duration;

use discovery::Feed;
use futures_util::{SinkExt as _, StreamExt as _};
use model::BackendHost;
use probe::{Offer, Tls};
use proxyd_service_api::{Server, Settings};
use runtime::{Clock, Snapshot};
use store::Store;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

const SUBSCRIBE: &str =
    r#"{"id":"1","type":"request","action":"subscribe","params":{"events":["ServiceRegistered"]}}"#;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<usize>());
    let subscribers = args.next().transpose()?.unwrap_or(1000);
    let rounds = args.next().transpose()?.unwrap_or(20);
    let (clock, store) = (Clock::system(), Store::memory());
    let (config, image) = (catalog::Config::default(), catalog::Image::default());
    let feed = Feed::default();
    let (handle, _) = discovery::start(config, [7; 32], image, store.catalog(), feed, clock);
    let made = certs::self_signed(&["localhost"], clock.now().wall)?;
    let set = certs::Certificates::new(Vec::new()).with_fallback(Arc::new(made.pair));
    let resolver = certs::Resolver::new(Snapshot::new(Arc::new(set)));
    let tls = certs::ServerOptions::default().tcp(&resolver, clock)?;
    let server = Server::bind(Settings::new("127.0.0.1:0".parse()?, tls), handle.clone(), clock)?;
    let port = server.local_addr().port();
    tokio::spawn(server.run(std::future::pending()));

    let tls = Tls::trusting(made.cert_pem.as_bytes())?;
    let (told, mut heard) = mpsc::unbounded_channel();
    let (ready, mut are_ready) = mpsc::unbounded_channel();
    let mut all = JoinSet::new();
    for _ in 0..subscribers {
        let (tls, told, ready) = (tls.clone(), told.clone(), ready.clone());
        all.spawn(async move {
            let stream = TcpStream::connect(("127.0.0.1", port)).await?;
            let host = BackendHost::Name("localhost".into());
            let stream = tls.connect(stream, &host, Offer::Text).await?;
            let url = format!("wss://localhost:{port}/");
            let (mut socket, _) = client_async(url, stream).await?;
            socket.send(Message::text(SUBSCRIBE)).await?;
            while let Some(message) = socket.next().await {
                let Message::Text(text) = message? else { continue };
                if text.starts_with(r#"{"type":"response""#) {
                    ready.send(())?;
                } else if text.contains("ServiceRegistered") {
                    told.send(clock.mono())?;
                }
            }
            Ok::<_, AnyError>(())
        });
    }
    for _ in 0..subscribers {
        tokio::select! {
            Some(ended) = all.join_next() => return Err(format!("a subscriber ended: {ended:?}").into()),
            _ = are_ready.recv() => {}
        }
    }
    println!("{subscribers} subscribers, {rounds} rounds; ms from the change to the event");
    println!("{:>8} {:>8} {:>8} {:>8}", "round", "first", "median", "last");
    for round in 0..rounds {
        let identity = catalog::Identity::alone(&format!("service-{round}"))?;
        let began = clock.mono();
        let put = handle.change(move |catalog, now| {
            catalog.put(&identity, catalog::Source::Api, catalog::Facts::default(), now)
        });
        put.await??;
        let mut times = Vec::with_capacity(subscribers);
        for _ in 0..subscribers {
            let at = heard.recv().await.ok_or("a subscriber is gone")?;
            times.push(at.since(began));
        }
        times.sort_unstable();
        let at = |index: usize| times.get(index).copied().unwrap_or_default().as_secs_f64() * 1e3;
        let (first, median, last) = (at(0), at(subscribers / 2), at(subscribers - 1));
        println!("{round:>8} {first:>8.2} {median:>8.2} {last:>8.2}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
