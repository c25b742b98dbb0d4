//! What a listener is told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use certs::ServerConfig;
use door::Access;

use crate::Entry;

/// One listener, and the sources that belong to it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen; port 0 is any free one.
    pub listen: SocketAddr,
    /// Who may connect.
    pub access: Access,
    /// Serves clients off loopback that show neither a token nor a certificate.
    pub insecure: bool,
    /// Speak TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// The namespace that hub clients find at `_info`.
    pub hub: Box<str>,
    /// The backends file, which need not exist.
    pub backends: Option<PathBuf>,
    /// What the environment says, as [`crate::parse_environment`] reads it.
    pub environment: Vec<Entry>,
    /// What proxyd says of itself.
    pub own: Option<Entry>,
    /// How much there may be of everything.
    pub bounds: Bounds,
}

impl Settings {
    /// A listener for clients on this machine alone, and no sources.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            access: Access::default(),
            insecure: false,
            tls: None,
            hub: "registry-hub".into(),
            backends: None,
            environment: Vec::new(),
            own: None,
            bounds: Bounds::default(),
        }
    }
}

/// How much there may be of everything, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at once.
    pub connections_max: usize,
    /// Of these, from one address that is not loopback; one /64 of IPv6 counts as one.
    pub connections_per_peer_max: usize,
    /// Longest message and longest body, in bytes.
    pub message_bytes_max: usize,
    /// Requests in one batch. Also the most subscriptions a connection has at once: each ends with
    /// its one item, and the next message is read after that.
    pub batch_max: usize,
    /// Answers to one batch, in bytes.
    pub answers_bytes_max: usize,
    /// How long a handshake of TLS, the head of a request and its body may take, each.
    pub request_timeout: Duration,
    /// How long a peer may take to read one message.
    pub write_timeout: Duration,
    /// How long connections may take to end when proxyd does.
    pub end_timeout: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            connections_per_peer_max: 256,
            message_bytes_max: 1024 * 1024,
            batch_max: 100,
            answers_bytes_max: 64 * 1024 * 1024,
            request_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
            end_timeout: Duration::from_secs(5),
        }
    }
}
