//! Handshakes that may be a certificate authority's (RFC 8737).

use std::io;
use std::sync::Arc;

use certs::Challenges;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use crate::plane::Https;

/// Shakes hands with a client; with an authority that asks for a challenge too, which is then an
/// error: the connection is for nothing else (section 3 of the RFC).
pub(crate) async fn shake(
    https: &Https,
    challenges: Option<&Challenges>,
    tcp: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let Some(challenges) = challenges.filter(|challenges| challenges.expects_tls()) else {
        return TlsAcceptor::from(Arc::clone(&https.tls)).accept(tcp).await;
    };
    let start = LazyConfigAcceptor::new(Default::default(), tcp).await?;
    let Some(challenge) = challenges.tls(&start.client_hello()) else {
        return start.into_stream(Arc::clone(&https.tls)).await;
    };
    let mut answered = start.into_stream(challenge).await?;
    answered.shutdown().await?;
    Err(io::Error::new(io::ErrorKind::ConnectionAborted, "it was a challenge, and is answered"))
}
