//! The catalog over WebSocket and TLS (SPEC 7, the service API; COMPATIBILITY 4).
//!
//! A client asks with `{"id", "type": "request", "action", "params"}` and is answered with what it
//! wants in both `data` and `result`; events it subscribes to come in the spelling it used, with
//! numbers after which a later subscription can go on. TLS always.
//!
//! ```text
//!   accept -> Place -> TLS -> WebSocket -> Connection --- Api --> discovery::Handle
//!                (a task each, bounded)        ^                       |
//!   netlink -> Networks -> catalog             +------- Changes -------+
//! ```
//!
//! [`Server`] serves the catalog of a process that has one. [`Registry`], [`WsServer`] and
//! [`WsClient`] are for programs that want a registry of their own:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(quick_start())
//! # }
//! # async fn quick_start() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # std::env::set_current_dir(folder.path())?;
//! # let now = runtime::Clock::system().now().wall;
//! # let made = certs::self_signed(&["localhost"], now)?;
//! # std::fs::write("server.crt", &made.cert_pem)?;
//! # std::fs::write("server.key", &made.key_pem)?;
//! use proxyd_service_api::{Registry, TlsServerConfig, WsServer};
//!
//! // Start registry server
//! let registry = Registry::with_persistence("./registry.db").await;
//! let tls_config = TlsServerConfig::from_files("server.crt", "server.key").await?;
//! let server = WsServer::new_tls("127.0.0.1:0", registry, tls_config).await?;
//!
//! // Client connection
//! use proxyd_service_api::{TlsClientConfig, WsClient};
//! let address = format!("localhost:{}", server.local_addr().port());
//! let tls_config = TlsClientConfig::default()?.trusting("server.crt").await?;
//! let client = WsClient::connect_tls(&address, tls_config).await?;
//! let services = client.list_services().await?;
//! assert!(services.is_empty());
//!
//! // And what the registry is for
//! use proxyd_service_api::{EventKind, ProtocolName, ServiceEntry};
//! let mut events = client.subscribe(&[EventKind::ServiceRegistered]).await?;
//! let web = ServiceEntry::new("web").with_endpoint("http", "10.0.0.5:8080", ProtocolName::Http);
//! client.register_service(&web).await?;
//! let event = events.next().await?.ok_or("the connection has ended")?;
//! assert_eq!(event.data["service"], "web");
//! assert_eq!(client.get_service("web").await?.endpoints[0].address, "10.0.0.5:8080");
//! # server.shutdown().await?;
//! # Ok(())
//! # }
//! ```

mod api;
pub mod bounds;
mod connection;
mod deploy;
mod entry;
mod envelope;
mod error;
mod event;
mod fault;
pub mod fuzz;
mod handshake;
mod ignored;
mod kind;
mod networks;
mod order;
mod outcome;
mod refused;
mod registry;
mod server;
mod subscriptions;
mod ws_client;
mod ws_server;

pub use api::Allocation;
pub use catalog::{Execution, Location, State};
pub use deploy::{Deployer, Deployment, Progress, ProgressSender};
pub use entry::{
    EndpointEntry, EntryError, HealthCheck, InstanceEntry, ProtocolName, ServiceEntry,
};
pub use error::Error;
pub use fault::Fault;
pub use kind::EventKind;
pub use networks::Networks;
pub use order::Order;
pub use outcome::Became;
pub use registry::{Opened, Registry};
pub use server::{Server, Settings};
pub use ws_client::{Event, Events, Ordered, TlsClientConfig, WsClient};
pub use ws_server::{TlsServerConfig, WsServer};
