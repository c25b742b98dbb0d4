//! A client of the service API.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderValue;
use http::header::AUTHORIZATION;
use model::{BackendHost, BackendUrl};
use probe::{Offer, Tls};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::api::Allocation;
use crate::entry::{EndpointEntry, ServiceEntry};
use crate::error::{Error, read};
use crate::fault::Fault;
use crate::kind::EventKind;
use crate::order::Order;

/// Requests without an answer.
const PENDING_MAX: usize = 1024;
/// Requests that wait to be written.
const WAITING_MAX: usize = 64;
/// Events that are kept for a slow reader.
const EVENTS_KEPT: usize = 4096;

/// Whom a client trusts, and who it is.
#[derive(Clone, Debug)]
pub struct TlsClientConfig {
    tls: Tls,
    token: Option<HeaderValue>,
}

impl TlsClientConfig {
    /// Trusts whom the system trusts. Reads files: once, at the start.
    ///
    /// # Errors
    ///
    /// None today: a system without any has Mozilla's list.
    #[expect(clippy::should_implement_trait, reason = "the name that the document gives it")]
    pub fn default() -> Result<Self, Error> {
        Ok(Self { tls: Tls::new(), token: None })
    }

    /// Trusts besides the certificates in this file, PEM: of an authority of one's own, or of the
    /// server itself.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`].
    pub async fn trusting(mut self, file: impl AsRef<Path>) -> Result<Self, Error> {
        let file = file.as_ref();
        let failed = |error| Error::Tls(format!("{}: {error}", file.display()));
        self.tls = Tls::trusting(&read(file).await?).map_err(failed)?;
        Ok(self)
    }

    /// Says this token to the server.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`], if it holds what no field may hold.
    pub fn with_token(mut self, token: &str) -> Result<Self, Error> {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| Error::Tls("a token may hold visible characters alone".to_owned()))?;
        value.set_sensitive(true);
        self.token = Some(value);
        Ok(self)
    }
}

/// A connection to a service API. Cheap to clone; closed with the last one.
#[derive(Clone, Debug)]
pub struct WsClient {
    asks: mpsc::Sender<Ask>,
    events: broadcast::WeakSender<Event>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// Its number; steps of deployments have none.
    pub seq: Option<u64>,
    /// More about it.
    pub data: Value,
}

/// What happens, one after the other.
#[derive(Debug)]
pub struct Events {
    received: broadcast::Receiver<Event>,
    kinds: Vec<EventKind>,
    seq: u64,
    epoch: String,
}

#[derive(Debug)]
struct Ask {
    action: &'static str,
    params: Value,
    answer: oneshot::Sender<Result<Value, Error>>,
}

#[derive(Serialize)]
struct Request<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    action: &'a str,
    params: &'a Value,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Received {
    Response { id: String, data: Option<Value>, error: Option<Fault> },
    Event { event: String, data: Value, seq: Option<u64> },
}

#[derive(Deserialize)]
struct Subscribed {
    seq: u64,
    epoch: String,
}

/// What an order did.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Ordered {
    /// The service does something else.
    Changed {
        /// Before.
        old_state: String,
        /// Now.
        new_state: String,
    },
    /// It goes on doing what it does.
    Status {
        /// `reload_initiated`.
        status: String,
    },
}

impl WsClient {
    /// Connects to `host:port`. The server must have a certificate for that host.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Tls`], [`Error::Handshake`].
    pub async fn connect_tls(address: &str, tls: TlsClientConfig) -> Result<Self, Error> {
        let url = BackendUrl::parse(&format!("wss://{address}"));
        let url = url.map_err(|error| Error::Tls(error.to_string()))?;
        let (host, port) = (url.host(), url.port());
        let stream = match host {
            BackendHost::Ip(ip) => TcpStream::connect((*ip, port)).await?,
            BackendHost::Name(name) => TcpStream::connect((&**name, port)).await?,
        };
        stream.set_nodelay(true)?;
        let connected = tls.tls.connect(stream, host, Offer::Text).await;
        let stream = connected.map_err(|error| Error::Tls(format!("{address}: {error}")))?;
        let refused = |error: WsError| {
            Error::Handshake(match &error {
                WsError::Http(response) => {
                    format!("{error} {}", reason(response.body().as_deref()))
                }
                _ => error.to_string(),
            })
        };
        let mut request = url.to_string().into_client_request().map_err(refused)?;
        if let Some(token) = tls.token {
            request.headers_mut().insert(AUTHORIZATION, token);
        }
        let (socket, _) = client_async(request, stream).await.map_err(refused)?;
        let (asks, waiting) = mpsc::channel(WAITING_MAX);
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        let weak = events.downgrade();
        tokio::spawn(talk(socket, waiting, events));
        Ok(Self { asks, events: weak })
    }

    /// Asks for anything; `params` is an object.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the reason of the registry; [`Error::Ended`], [`Error::Answer`],
    /// [`Error::Busy`].
    pub async fn request<T: DeserializeOwned>(
        &self,
        action: &'static str,
        params: Value,
    ) -> Result<T, Error> {
        let ended = || Error::Ended("connect again".to_owned());
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask { action, params, answer }).await.map_err(|_| ended())?;
        let data = answered.await.map_err(|_| ended())??;
        serde_json::from_value(data).map_err(|error| Error::Answer(error.to_string()))
    }

    /// Every service, by name.
    ///
    /// # Errors
    ///
    /// As [`WsClient::request`], and so all that follow.
    pub async fn list_services(&self) -> Result<Vec<ServiceEntry>, Error> {
        self.request("list_services", json!({})).await
    }

    /// One service, its endpoints nearest to us first.
    pub async fn get_service(&self, name: &str) -> Result<ServiceEntry, Error> {
        self.request("get_service", json!({ "name": name })).await
    }

    /// The endpoints of every service, nearest to us first.
    pub async fn list_endpoints(&self) -> Result<BTreeMap<String, Vec<EndpointEntry>>, Error> {
        self.request("list_endpoints", json!({})).await
    }

    /// Registers a service, in place of what was registered before; gives it as it is shown now.
    pub async fn register_service(&self, entry: &ServiceEntry) -> Result<ServiceEntry, Error> {
        let params =
            serde_json::to_value(entry).map_err(|error| Error::Answer(error.to_string()))?;
        self.request("register_service", params).await
    }

    /// Takes a service back, or one of its instances.
    pub async fn deregister_service(
        &self,
        name: &str,
        instance: Option<&str>,
    ) -> Result<(), Error> {
        let params = json!({ "name": name, "instance": instance });
        self.request::<Value>("deregister_service", params).await.map(drop)
    }

    /// Tells a service what to do.
    pub async fn service_action(&self, name: &str, order: Order) -> Result<Ordered, Error> {
        let params = json!({ "name": name, "action": order.as_str() });
        self.request("service_action", params).await
    }

    /// An address in one of the configured subnets; the same service gets the same one again.
    pub async fn allocate_ip(&self, service: &str) -> Result<Allocation, Error> {
        self.request("allocate_ip", json!({ "service": service })).await
    }

    /// Frees the address of a service.
    pub async fn release_ip(&self, service: &str) -> Result<Allocation, Error> {
        self.request("release_ip", json!({ "service": service })).await
    }

    /// Who has which address.
    pub async fn list_allocations(&self) -> Result<Vec<Allocation>, Error> {
        self.request("list_allocations", json!({})).await
    }

    /// The networks of the machine of the registry.
    pub async fn get_topology(&self) -> Result<Value, Error> {
        self.request("get_topology", json!({})).await
    }

    /// Deploys a package; answered when it is over.
    pub async fn deploy_package(
        &self,
        package_path: &str,
        target_node: Option<&str>,
    ) -> Result<Value, Error> {
        let params = json!({ "package_path": package_path, "target_node": target_node });
        self.request("deploy_package", params).await
    }

    /// What happens of these kinds from now on.
    pub async fn subscribe(&self, kinds: &[EventKind]) -> Result<Events, Error> {
        self.listen(kinds, json!({ "events": names(kinds) })).await
    }

    /// The same after an event that is known: [`Events::place`] of an earlier subscription.
    pub async fn subscribe_after(
        &self,
        kinds: &[EventKind],
        (seq, epoch): (u64, &str),
    ) -> Result<Events, Error> {
        let params = json!({ "events": names(kinds), "after_seq": seq, "epoch": epoch });
        self.listen(kinds, params).await
    }

    async fn listen(&self, kinds: &[EventKind], params: Value) -> Result<Events, Error> {
        let sender = self.events.upgrade();
        let received = sender.ok_or_else(|| Error::Ended("connect again".to_owned()))?.subscribe();
        let Subscribed { seq, epoch } = self.request("subscribe", params).await?;
        Ok(Events { received, kinds: kinds.to_vec(), seq, epoch })
    }
}

impl Events {
    /// The next one, as soon as there is one; `None` when the connection has ended.
    ///
    /// # Errors
    ///
    /// [`Error::Missed`], when it was asked for too late.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            match self.received.recv().await {
                Ok(event) if self.kinds.contains(&event.kind) => {
                    self.seq = event.seq.unwrap_or(self.seq);
                    return Ok(Some(event));
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(count)) => {
                    return Err(Error::Missed(count));
                }
                Err(broadcast::error::RecvError::Closed) => return Ok(None),
            }
        }
    }

    /// Where a later subscription may go on: the number of the last event, and the life of the
    /// registry that it belongs to.
    pub fn place(&self) -> (u64, &str) {
        (self.seq, &self.epoch)
    }
}

fn names(kinds: &[EventKind]) -> Vec<&'static str> {
    kinds.iter().map(|kind| kind.as_str()).collect()
}

fn reason(body: Option<&[u8]>) -> String {
    String::from_utf8_lossy(body.unwrap_or_default()).trim_end().to_owned()
}

/// Owns the socket: writes what is asked, hands out what comes.
async fn talk(
    mut socket: WebSocketStream<Box<TlsStream<TcpStream>>>,
    mut asks: mpsc::Receiver<Ask>,
    events: broadcast::Sender<Event>,
) {
    let mut pending = HashMap::new();
    let mut last = 0_u64;
    let why = loop {
        tokio::select! {
            ask = asks.recv() => {
                let Some(Ask { action, params, answer }) = ask else { break None };
                if pending.len() >= PENDING_MAX {
                    // Whoever is gone does not want to know.
                    let _ = answer.send(Err(Error::Busy));
                    continue;
                }
                last += 1;
                let id = last.to_string();
                let request = Request { id: id.clone(), kind: "request", action, params: &params };
                let Ok(text) = serde_json::to_string(&request) else { continue };
                pending.insert(id, answer);
                if let Err(error) = socket.send(Message::text(text)).await {
                    break Some(error.to_string());
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(Received::Response { id, data, error }) => {
                        if let Some(answer) = pending.remove(&id) {
                            let _ = answer.send(match error {
                                Some(fault) => Err(Error::Refused(fault)),
                                None => Ok(data.unwrap_or_default()),
                            });
                        }
                    }
                    Ok(Received::Event { event, data, seq }) => {
                        if let Some(kind) = EventKind::parse(&event) {
                            // Nobody may be listening.
                            let _ = events.send(Event { kind, seq, data });
                        }
                    }
                    Err(error) => tracing::warn!(%error, "a message cannot be read"),
                },
                Some(Ok(Message::Close(Some(frame)))) => break Some(frame.reason.to_string()),
                Some(Ok(_)) => {}
                Some(Err(error)) => break Some(error.to_string()),
                None => break Some("it was closed".to_owned()),
            },
        }
    };
    if let Some(why) = &why {
        tracing::debug!(why, "the connection to the service API has ended");
    }
    #[expect(clippy::iter_over_hash_type, reason = "all are told the same")]
    for (_, answer) in pending {
        let _ = answer.send(Err(Error::Ended(why.clone().unwrap_or_default())));
    }
    // Whoever has gone already heard it from us.
    let _ = socket.close(None).await;
}
