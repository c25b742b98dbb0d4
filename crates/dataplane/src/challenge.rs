//! Handshakes, those that may be a certificate authority's (RFC 8737), and those that are none.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use certs::{Challenges, Fault, HANDSHAKE_RECORD};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, LazyConfigAcceptor, TlsAcceptor};

use crate::plane::Https;

/// How long a client that is refused may go on sending, and how much.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: u64 = 64 * 1024;

/// What whoever speaks HTTP in clear text is told.
const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 35\r\n\
    Connection: close\r\n\r\n\
    this port speaks TLS: use https://\n";

/// Shakes hands with a client; with an authority that asks for a challenge too, which is then an
/// error: the connection is for nothing else (section 3 of the RFC).
pub(crate) async fn shake(
    https: &Https,
    challenges: Option<&Challenges>,
    mut tcp: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    if tcp.peek(&mut first).await? > 0 && first != [HANDSHAKE_RECORD] {
        tcp.write_all(SPEAK_TLS).await?;
        leave(tcp).await?;
        return Err(Fault::ClearText.into());
    }
    let Some(challenges) = challenges.filter(|challenges| challenges.expects_tls()) else {
        return finish(TlsAcceptor::from(Arc::clone(&https.tls)).accept(tcp)).await;
    };
    let start = LazyConfigAcceptor::new(Default::default(), tcp).await?;
    let Some(challenge) = challenges.tls(&start.client_hello()) else {
        return finish(start.into_stream(Arc::clone(&https.tls))).await;
    };
    let mut answered = start.into_stream(challenge).await?;
    answered.shutdown().await?;
    Err(io::Error::new(io::ErrorKind::ConnectionAborted, "it was a challenge, and is answered"))
}

/// Ends a handshake. One that fails ends with an alert, which says why.
async fn finish(accept: Accept<TcpStream>) -> io::Result<TlsStream<TcpStream>> {
    let (error, tcp) = match accept.into_fallible().await {
        Ok(tls) => return Ok(tls),
        Err(failed) => failed,
    };
    leave(tcp).await?;
    Err(error)
}

/// Ends a connection so that what was said arrives: closing while the client still sends would make
/// the kernel reset it and drop that.
async fn leave(mut tcp: TcpStream) -> io::Result<()> {
    tcp.shutdown().await?;
    let drained =
        async { tokio::io::copy(&mut tcp.take(LINGER_BYTES_MAX), &mut tokio::io::sink()).await };
    let _ = tokio::time::timeout(LINGER, drained).await;
    Ok(())
}
