//! A client's connection: quiet most of its life, busy in bursts.
//!
//! While it is quiet it is one small task without a buffer. The state that a request needs is a
//! few kilobytes; it is made when the first byte comes and let go when nothing has come for a
//! moment.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use certs::Covered;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::buffers::read_into_new;
use crate::exchange::{self, After};
use crate::identity::Client;
use crate::plane::Door;
use crate::preamble;
use crate::stream::Stream;
use crate::worker::Worker;

/// Serves a connection that was just accepted, to its end.
pub(crate) async fn welcome(
    worker: &Rc<Worker>,
    tcp: TcpStream,
    (peer, port): (SocketAddr, u16),
    door: Door,
) {
    let is_plain = door == Door::Plain && !worker.shared.config.proxy_protocol;
    let known = if is_plain {
        Known { stream: Stream::Plain(tcp), from: peer, covered: None }
    } else {
        // In a box that is gone afterwards: a handshake is larger than a quiet connection.
        match Box::pin(greet(worker, tcp, peer, door)).await {
            Ok(known) => known,
            Err(error) => return tracing::debug!(%peer, %error, "not let in"),
        }
    };
    serve(worker, known.stream, (known.from, port), known.covered).await;
}

/// A connection whose beginning is over.
struct Known {
    stream: Stream,
    from: SocketAddr,
    /// What its certificate is for, with TLS.
    covered: Option<Box<Covered>>,
}

/// Reads a header of the PROXY protocol and shakes hands, as it applies, in the time of a head.
async fn greet(
    worker: &Rc<Worker>,
    mut tcp: TcpStream,
    peer: SocketAddr,
    door: Door,
) -> io::Result<Known> {
    let config = &worker.shared.config;
    let mut from = peer;
    if config.proxy_protocol && worker.is_trusted(peer.ip()) {
        let read = preamble::read(&mut tcp, peer);
        from = tokio::time::timeout(config.header_timeout, read).await??;
    }
    let Some(https) = config.https.as_ref().filter(|_| door == Door::Tls) else {
        return Ok(Known { stream: Stream::Plain(tcp), from, covered: None });
    };
    let handshake = TlsAcceptor::from(Arc::clone(&https.tls)).accept(tcp);
    let tls = tokio::time::timeout(config.header_timeout, handshake).await??;
    // As it was when the handshake ended: later certificates may be for other hosts.
    let shaken = tls.get_ref().1;
    let covered = https.resolver.certificates().covered(shaken.server_name());
    let covered = covered.with_client(shaken.peer_certificates());
    let stream = Stream::Tls(Box::new(TlsStream::Server(tls)));
    Ok(Known { stream, from, covered: Some(Box::new(covered)) })
}

/// Serves a connection to its end. `covered` is what its certificate is for, with TLS.
async fn serve(
    worker: &Rc<Worker>,
    mut stream: Stream,
    (peer, port): (SocketAddr, u16),
    covered: Option<Box<Covered>>,
) {
    // A connection that never says anything gets the time of a head, an old one more.
    let mut patience = worker.shared.config.header_timeout;
    loop {
        let first = tokio::time::timeout(patience, read_into_new(&mut stream)).await;
        let Ok(Ok(Some(input))) = first else { return };
        let trusted = worker.is_trusted(peer.ip());
        let client = Client::new(peer, port, trusted, covered.as_deref());
        match Box::pin(exchange::burst(worker, &mut stream, client, input)).await {
            After::Quiet => patience = worker.shared.config.idle_timeout,
            After::Close => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use routing::Table;

    use super::*;
    use crate::plane::{Config, shared};

    /// What ten thousand quiet clients cost, and what one busy client does: a task is as big as
    /// its largest branch, so one careless local variable shows here first.
    #[tokio::test]
    async fn a_quiet_connection_is_small() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let peer = stream.peer_addr().unwrap();
        let clock = runtime::Clock::system();
        let tls = probe::Tls::with_roots(probe::RootCertStore::empty());
        let table = Arc::new(Table::default());
        let (shared, _notices) = shared(Config::new(vec![], 1), tls, clock, table);
        let worker = Worker::new(shared, 0);
        let quiet = std::mem::size_of_val(&welcome(&worker, stream, (peer, 80), Door::Plain));
        assert!(quiet <= 512, "{quiet} bytes");
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut stream = Stream::Plain(stream);
        let client = Client::new(peer, 80, false, None);
        let input = crate::buffers::Buffer::none();
        let busy = std::mem::size_of_val(&exchange::burst(&worker, &mut stream, client, input));
        assert!(busy <= 3072, "{busy} bytes");
    }
}
