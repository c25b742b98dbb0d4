//! From a connection to a WebSocket: TLS, then the request, and whether it may pass.

use std::net::IpAddr;
use std::sync::Arc;

use certs::{HANDSHAKE_RECORD, ServerConfig};
use door::{Access, Denied};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue, StatusCode};
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
}

/// Why somebody may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Kept {
    #[error(transparent)]
    Denied(#[from] Denied),
    /// 403.
    #[error("off loopback a token or a client certificate is wanted, and none is configured")]
    Unproven,
}

impl Gate {
    /// Both handshakes, or what they came to; the caller looks at the time.
    pub(crate) async fn open(self, stream: TcpStream, peer: IpAddr) -> Result<Socket, Became> {
        let (mut first, failed) = ([0], |_| Became::NotOpened);
        if stream.peek(&mut first).await.map_err(failed)? > 0 && first != [HANDSHAKE_RECORD] {
            dismiss(stream).await;
            return Err(Became::NotOpened);
        }
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls));
        let stream = acceptor
            .accept(stream)
            .await
            .inspect_err(|error| tracing::debug!(%error, %peer, "a client did not shake hands"));
        let mut stream = stream.map_err(failed)?;
        let mut became = Became::NotOpened;
        // Whoever shows a certificate was found to have the right one, or would not be here.
        let has_shown = stream.get_ref().1.peer_certificates().is_some();
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        #[expect(clippy::result_large_err, reason = "the library's own type")]
        let look = |request: &Request, response: Response| match self.look(
            peer,
            has_shown,
            request.headers(),
        ) {
            Ok(()) => Ok(response),
            Err(kept) => {
                became = Became::Denied;
                Err(refusal(kept))
            }
        };
        let opened = accept_hdr_async_with_config(&mut stream, look, Some(config)).await;
        match opened.map(drop) {
            // A client says nothing more before it is answered, so nothing was read ahead.
            Ok(()) => {
                Ok(WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await)
            }
            Err(error) => {
                tracing::debug!(%error, %peer, "no WebSocket");
                // Who was refused has been told why.
                if matches!(error, Error::Protocol(_) | Error::HttpFormat(_)) {
                    // Whoever does not listen does not have to.
                    let _ = stream.write_all(SPEAKS_WEBSOCKET).await;
                    let _ = stream.shutdown().await;
                }
                Err(became)
            }
        }
    }

    fn look(&self, peer: IpAddr, has_shown: bool, headers: &HeaderMap) -> Result<(), Kept> {
        let is_open = self.access.token.is_none();
        if has_shown {
            Access { token: None, origins: self.access.origins.clone() }.check(headers)?;
        } else {
            self.access.check(headers)?;
        }
        let is_proven = has_shown || !is_open || self.insecure || peer.to_canonical().is_loopback();
        if is_proven { Ok(()) } else { Err(Kept::Unproven) }
    }
}

fn refusal(kept: Kept) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(format!("{kept}\n")));
    let status = match kept {
        Kept::Denied(Denied::Token) => {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
            StatusCode::UNAUTHORIZED
        }
        Kept::Denied(Denied::Origin) | Kept::Unproven => StatusCode::FORBIDDEN,
    };
    *response.status_mut() = status;
    response
}

async fn dismiss(mut stream: TcpStream) {
    // What was sent is taken, or closing would throw our word away.
    let _ = stream.try_read(&mut [0; 4096]);
    // Whoever does not listen does not have to.
    let _ = stream.write_all(SPEAKS_TLS).await;
    let _ = stream.shutdown().await;
}

#[cfg(test)]
mod tests {
    use door::Secret;

    use super::*;

    #[test]
    fn who_may_pass() {
        let pair = certs::self_signed(&["localhost"], runtime::Clock::system().now().wall).unwrap();
        let set = certs::Certificates::new(Vec::new()).with_fallback(Arc::new(pair.pair));
        let resolver = certs::Resolver::new(runtime::Snapshot::new(Arc::new(set)));
        let tls = certs::ServerOptions::default().tcp(&resolver, runtime::Clock::system()).unwrap();
        let gate = |token: &str, insecure| Gate {
            tls: Arc::clone(&tls),
            access: Access { token: Secret::new(token), ..Access::default() },
            insecure,
        };
        let bearer: &[(&str, &str)] = &[("authorization", "Bearer s3cret")];
        let page: &[(&str, &str)] = &[("origin", "https://evil.test"), ("host", "localhost:1")];
        #[rustfmt::skip]
        let table = [
            // token    insecure  peer         certificate  fields   refused with
            ("",        false,    "127.0.0.1", false,       &[][..], None),
            ("",        false,    "10.0.0.1",  false,       &[],     Some(403)),
            ("",        false,    "10.0.0.1",  true,        &[],     None),
            ("",        true,     "10.0.0.1",  false,       &[],     None),
            ("s3cret",  false,    "127.0.0.1", false,       &[],     Some(401)),
            ("s3cret",  false,    "127.0.0.1", true,        &[],     None),
            ("s3cret",  false,    "10.0.0.1",  false,       bearer,  None),
            ("",        false,    "127.0.0.1", true,        page,    Some(403)),
        ];
        for (token, insecure, peer, has_shown, fields, want) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            let kept = gate(token, insecure).look(peer.parse().unwrap(), has_shown, &headers);
            let status = kept.err().map(|kept| refusal(kept).status().as_u16());
            assert_eq!(status, want, "{token} {insecure} {peer} {has_shown} {fields:?}");
        }
    }

    #[test]
    fn words_for_those_who_speak_something_else_are_as_long_as_they_say() {
        for text in [SPEAKS_TLS, SPEAKS_WEBSOCKET] {
            let (head, body) = str::from_utf8(text).unwrap().split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        }
    }
}
