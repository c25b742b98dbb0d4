//! A server on a free port, and a client that says what it is told.

#![allow(dead_code, missing_docs, unreachable_pub)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use discovery::{Feed, Handle};
use door::{Access, Secret};
use futures_util::{SinkExt as _, StreamExt as _};
use model::BackendHost;
use probe::{Offer, Tls};
use proxyd_service_api::{Deployer, Server, Settings};
use runtime::{Clock, Snapshot};
use serde_json::{Value, json};
use store::Store;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// Nothing here takes longer unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Site {
    pub handle: Handle,
    pub feed: Feed,
    pub address: SocketAddr,
    pub folder: tempfile::TempDir,
    pub cert_pem: String,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
    _store: Store,
}

#[derive(Default)]
pub struct With {
    pub token: &'static str,
    pub subnets: Vec<&'static str>,
    pub deployer: Option<Deployer>,
    pub clients: certs::Clients,
    pub connections_max: Option<usize>,
}

impl Site {
    pub fn start(with: With) -> Self {
        let (clock, feed, store) = (Clock::system(), Feed::default(), Store::memory());
        let config = catalog::Config {
            subnets: with.subnets.iter().map(|net| net.parse().unwrap()).collect(),
            ..catalog::Config::default()
        };
        let rows = store.catalog();
        let image = catalog::Image::default();
        let (handle, _) = discovery::start(config, [7; 32], image, rows, feed.clone(), clock);
        let made = certs::self_signed(&["localhost", "127.0.0.1"], clock.now().wall).unwrap();
        let set = certs::Certificates::new(Vec::new()).with_fallback(Arc::new(made.pair));
        let resolver = certs::Resolver::new(Snapshot::new(Arc::new(set)));
        let options = certs::ServerOptions { alpn: Vec::new(), clients: with.clients };
        let tls = options.tcp(&resolver, clock).unwrap();
        let mut settings = Settings::new("127.0.0.1:0".parse().unwrap(), tls);
        settings.access = Access { token: Secret::new(with.token), ..Access::default() };
        settings.deployer = with.deployer;
        if let Some(max) = with.connections_max {
            settings.connections_max = max;
        }
        let server = Server::bind(settings, handle.clone(), clock).unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(server.run(async { drop(stopped.await) }));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("server.crt"), &made.cert_pem).unwrap();
        let cert_pem = made.cert_pem;
        Self { handle, feed, address, folder, cert_pem, stop: Some(stop), running, _store: store }
    }

    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("server.crt")
    }

    pub async fn tls(&self) -> Box<TlsStream<TcpStream>> {
        let tls = Tls::trusting(self.cert_pem.as_bytes()).unwrap();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let host = BackendHost::Name("localhost".into());
        tls.connect(stream, &host, Offer::Text).await.unwrap()
    }

    /// With these fields in its request.
    pub async fn try_connect(&self, fields: &[(&'static str, &'static str)]) -> Result<Raw, Error> {
        let url = format!("wss://localhost:{}/any/path", self.address.port());
        let mut request = url.into_client_request().unwrap();
        for (name, value) in fields {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = client_async(request, self.tls().await).await?;
        Ok(Raw { socket, loaded: Value::Null })
    }

    pub async fn connect(&self) -> Raw {
        let mut raw = self.try_connect(&[]).await.unwrap();
        raw.loaded = raw.next().await;
        assert_eq!(raw.loaded["event"], "registry_loaded");
        raw
    }

    pub async fn stop(mut self) {
        drop(self.stop.take());
        timeout(PATIENCE, self.running).await.expect("it stops").unwrap();
    }

    pub fn tell_stop(&mut self) {
        drop(self.stop.take());
    }
}

pub struct Raw {
    pub socket: WebSocketStream<Box<TlsStream<TcpStream>>>,
    /// What was pushed on connect.
    pub loaded: Value,
}

impl Raw {
    pub async fn send(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    pub async fn text(&mut self) -> Result<String, String> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("something comes") {
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Err(format!("{} {}", u16::from(frame.code), frame.reason));
                }
                Some(Ok(_)) => {}
                other => return Err(format!("{other:?}")),
            }
        }
    }

    pub async fn next(&mut self) -> Value {
        serde_json::from_str(&self.text().await.unwrap()).unwrap()
    }

    /// Asks, and leaves events that come before the answer aside.
    pub async fn ask(&mut self, action: &str, params: Value) -> Result<Value, String> {
        let request = json!({"id": "7", "type": "request", "action": action, "params": params});
        self.send(request.to_string()).await;
        loop {
            let answer = self.next().await;
            if answer["type"] == "response" {
                assert_eq!(answer["id"], "7");
                return match answer.get("error") {
                    Some(error) => Err(error["message"].as_str().unwrap().to_owned()),
                    None => {
                        assert_eq!(answer["data"], answer["result"], "the same in both dialects");
                        Ok(answer["data"].clone())
                    }
                };
            }
        }
    }
}
