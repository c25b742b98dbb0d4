//! A listener on a free port, and a client that shares no code with it but the WebSocket's.

#![allow(dead_code, reason = "each test uses its part")]

use std::net::SocketAddr;
use std::time::Duration;

use catalog::{Config, Image};
use discovery::{Feed, Handle};
use futures_util::{SinkExt, StreamExt};
use proxyd_json_rpc::{Became, Settings, bind};
use runtime::Clock;
use serde_json::{Value, json};
use store::Store;
use telemetry::Outcomes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// A listener that runs.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) feed: Feed,
    pub(crate) outcomes: Outcomes<Became>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    _store: Store,
}

impl Running {
    /// With these settings.
    pub(crate) fn start(settings: impl FnOnce(&mut Settings)) -> Self {
        let (store, feed, clock) = (Store::memory(), Feed::default(), Clock::system());
        let (image, rows) = (Image::default(), store.catalog());
        let (handle, _) =
            discovery::start(Config::default(), [7; 32], image, rows, feed.clone(), clock);
        let mut asked = Settings::new("127.0.0.1:0".parse().unwrap());
        // Clients here do not answer when they are told that it ends.
        asked.bounds.end_timeout = Duration::from_millis(100);
        settings(&mut asked);
        let server = bind(asked, handle.clone(), clock).unwrap();
        let (address, outcomes) = (server.address(), server.outcomes());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async move { drop(stopped.await) }));
        Self { address, handle, feed, outcomes, stop, task, _store: store }
    }

    /// Ends it, and waits until it has.
    pub(crate) async fn end(self) {
        drop(self.stop);
        self.task.await.unwrap();
    }

    pub(crate) async fn connect(&self) -> Client {
        self.connect_with("").await.expect("it connects")
    }

    /// With more lines in the head.
    pub(crate) async fn connect_with(&self, lines: &str) -> Result<Client, Error> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let mut request = http::Request::get(format!("ws://{}/any/path", self.address));
        for line in lines.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let request = request
            .header("host", self.address.to_string())
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        client_async(request.body(()).unwrap(), stream).await.map(|(socket, _)| Client { socket })
    }

    /// POSTs a body with more lines in the head; gives status and body.
    pub(crate) async fn post(&self, lines: &str, body: &str) -> (u16, String) {
        let length = body.len();
        self.raw(&format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{lines}Content-Length: {length}\r\n\r\n{body}",
            self.address
        ))
        .await
    }

    /// Sends bytes; gives the status and what comes after the head.
    pub(crate) async fn raw(&self, bytes: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut got = Vec::new();
        drop(
            tokio::time::timeout(PATIENCE, stream.read_to_end(&mut got)).await.expect("an answer"),
        );
        let got = String::from_utf8(got).unwrap();
        let status = got.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, got.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
    }
}

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
}

impl Client {
    pub(crate) async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Sends bytes beside the WebSocket.
    pub(crate) async fn smuggle(&mut self, bytes: &[u8]) {
        self.socket.get_mut().write_all(bytes).await.unwrap();
    }

    /// Sends, or finds out that nobody is there.
    pub(crate) async fn try_send(&mut self, text: &str) -> Result<(), Error> {
        self.socket.send(Message::text(text)).await
    }

    /// The next message; `None` when the connection is closed, with its code.
    pub(crate) async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            match next.expect("something comes") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map_or(0, |frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(0),
            }
        }
    }

    /// What is answered to a text.
    pub(crate) async fn ask(&mut self, text: &str) -> Value {
        self.send(text).await;
        self.next().await.expect("an answer")
    }

    /// The result of a call.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        let answer = self.answer(method, params).await;
        assert!(answer["result"].is_object(), "{answer}");
        answer["result"].clone()
    }

    /// The error of a call.
    pub(crate) async fn refused(&mut self, method: &str, params: Value) -> Value {
        let answer = self.answer(method, params).await;
        assert!(answer["error"].is_object(), "{answer}");
        answer["error"].clone()
    }

    pub(crate) async fn answer(&mut self, method: &str, params: Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.ask(&request.to_string()).await
    }

    /// `name protocol://host:port source` of every backend, as they are listed.
    pub(crate) async fn listed(&mut self, active_only: bool) -> Vec<String> {
        let list = self.call("registry.list", json!({"active_only": active_only})).await;
        list["backends"].as_array().unwrap().iter().map(shown).collect()
    }
}

/// `name protocol://host:port source`
pub(crate) fn shown(backend: &Value) -> String {
    let text = |name: &str| backend[name].as_str().unwrap().to_owned();
    let url = format!("{}://{}:{}", text("protocol"), text("host"), backend["port"]);
    format!("{} {url} {}", text("name"), text("source"))
}

/// Waits until a condition holds of what the catalog says.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect(what);
}
