//! From a connection to a WebSocket: TLS, then the request, and whether it may pass.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use certs::{Fault, HANDSHAKE_RECORD, ServerConfig};
use door::{Access, Caller, Denied, Refusals};
use http::HeaderValue;
use http::header::WWW_AUTHENTICATE;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use crate::bounds::{MESSAGE_BYTES_MAX, READ_BYTES};
use crate::outcome::Became;
use crate::refused::Refused;

/// For somebody who does not know.
const SPEAKS_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Content-Length: 35\r\nConnection: close\r\n\r\nthis port speaks TLS, wss:// works\n";

/// For somebody who asks for something else than a WebSocket, or another version (RFC 6455, 4.4).
const SPEAKS_WEBSOCKET: &[u8] = b"HTTP/1.1 426 Upgrade Required\r\nContent-Type: text/plain\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nContent-Length: 41\r\n\
    Connection: Upgrade, close\r\n\r\nthis port speaks WebSocket of version 13\n";

pub(crate) type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// Who may pass.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(crate) tls: Arc<ServerConfig>,
    pub(crate) access: Access,
    /// Off loopback without a token or a certificate.
    pub(crate) insecure: bool,
    pub(crate) refusals: Refusals<Refused>,
}

impl Gate {
    /// Both handshakes, or what they came to; the caller looks at the time.
    pub(crate) async fn open(&self, stream: TcpStream, peer: IpAddr) -> Result<Socket, Became> {
        let mut stream = self.shake(stream).await.map_err(|error| {
            self.failed(peer, &error);
            Became::NotOpened
        })?;
        let mut refused = None;
        // Whoever shows a certificate was found to have the right one, or would not be here.
        let has_certificate = stream.get_ref().1.peer_certificates().is_some();
        let caller = Caller { address: peer, has_certificate };
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        #[expect(clippy::result_large_err, reason = "the library's own type")]
        let look = |request: &Request, response: Response| match self.access.check_caller(
            request.headers(),
            caller,
            self.insecure,
        ) {
            Ok(()) => Ok(response),
            Err(denied) => {
                refused = Some(denied);
                Err(refusal(denied))
            }
        };
        let opened = accept_hdr_async_with_config(&mut stream, look, Some(config)).await;
        match opened.map(drop) {
            // A client says nothing more before it is answered, so nothing was read ahead.
            Ok(()) => {
                Ok(WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await)
            }
            Err(error) => {
                if let Some(denied) = refused {
                    self.refusals.tell(&peer, Refused::Denied(denied), None);
                    return Err(Became::Denied);
                }
                tracing::debug!(%error, %peer, "no WebSocket");
                // Who was refused has been told why.
                if matches!(error, Error::Protocol(_) | Error::HttpFormat(_)) {
                    // Whoever does not listen does not have to.
                    let _ = stream.write_all(SPEAKS_WEBSOCKET).await;
                    let _ = stream.shutdown().await;
                }
                Err(Became::NotOpened)
            }
        }
    }

    async fn shake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut first = [0];
        if stream.peek(&mut first).await? > 0 && first != [HANDSHAKE_RECORD] {
            door::dismiss(stream, SPEAKS_TLS).await;
            return Err(Fault::ClearText.into());
        }
        TlsAcceptor::from(Arc::clone(&self.tls)).accept(stream).await
    }

    /// Tells of a handshake that came to nothing, unless its client just left.
    pub(crate) fn failed(&self, peer: IpAddr, error: &io::Error) {
        match Fault::of(error) {
            Some(fault) => self.refusals.tell(&peer, Refused::Handshake(fault), Some(error)),
            None => tracing::debug!(%error, %peer, "a client did not shake hands"),
        }
    }
}

fn refusal(denied: Denied) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(format!("{denied}\n")));
    let (status, challenge) = denied.answer();
    if let Some(challenge) = challenge {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_those_who_speak_something_else_are_as_long_as_they_say() {
        for text in [SPEAKS_TLS, SPEAKS_WEBSOCKET] {
            let (head, body) = str::from_utf8(text).unwrap().split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        }
    }
}
