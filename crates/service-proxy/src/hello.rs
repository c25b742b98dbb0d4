//! The server name in the first message of a TLS handshake (RFC 6066, 3).

use tokio_rustls::rustls::server::Acceptor;

/// Reads a handshake only as far as its hello. What it reads is not changed, and is to be passed
/// on to whoever speaks TLS.
pub(crate) struct Hello(Acceptor);

/// What a hello says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It is not all there.
    More,
    /// The server that is meant.
    Server(Box<str>),
    /// Nobody in particular, or it is no hello.
    Nobody,
}

impl Hello {
    pub(crate) fn new() -> Self {
        Self(Acceptor::default())
    }

    /// Takes the bytes that came next.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Said {
        while !bytes.is_empty() {
            // It takes as much as it has room for, and makes room when it is asked.
            let Ok(taken) = self.0.read_tls(&mut bytes) else { return Said::Nobody };
            match self.0.accept() {
                Ok(Some(accepted)) => {
                    let hello = accepted.client_hello();
                    return hello.server_name().map_or(Said::Nobody, |n| Said::Server(n.into()));
                }
                Ok(None) if taken > 0 => {}
                Ok(None) | Err(_) => return Said::Nobody,
            }
        }
        Said::More
    }
}
