//! A client's connection: quiet most of its life, busy in bursts.
//!
//! While it is quiet it is one small task without a buffer. The state that a request needs is a
//! few kilobytes; it is made when the first byte comes and let go when nothing has come for a
//! moment.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use certs::Covered;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::buffers::{Buffer, poll_read_into_new};
use crate::challenge;
use crate::exchange::{self, After};
use crate::h2_server::{self, PREFACE};
use crate::identity::Client;
use crate::plane::Door;
use crate::preamble;
use crate::refusal::Refused;
use crate::stream::Stream;
use crate::worker::{Open, Worker};

/// Serves a connection that was just accepted, to its end.
pub(crate) async fn welcome(
    open: &Open,
    tcp: TcpStream,
    (peer, port): (SocketAddr, u16),
    door: Door,
) {
    let worker = &open.worker;
    let is_plain = door == Door::Plain && !worker.shared.config.proxy_protocol;
    let mut known = if is_plain {
        if !open.admits(peer.ip(), false) {
            return worker.shared.refuse(peer, Some(Refused::Crowd), None);
        }
        Known { stream: Stream::Plain(tcp), from: From { peer, port, named: None, covered: None } }
    } else {
        // In a box that is gone afterwards: a handshake is larger than a quiet connection.
        let Some(known) = Box::pin(greet(open, tcp, (peer, port), door)).await else { return };
        known
    };
    // By reference: a quiet connection holds it once.
    let Some(first) = serve(worker, &mut known).await else { return };
    // Its streams do not know.
    let local = known.stream.tcp().and_then(|tcp| tcp.local_addr().ok());
    let from = client(worker, &known.from).at(local);
    // In a box, as all that a quiet connection does not need.
    Box::pin(h2_server::serve(worker, known.stream, first, from)).await;
}

/// A connection whose beginning is over.
struct Known {
    stream: Stream,
    from: From,
}

/// Where it comes from.
struct From {
    peer: SocketAddr,
    /// The port it came to: ours, or that of a proxy before us.
    port: u16,
    /// Where it came to, as that proxy says. In a box: few have one.
    named: Option<Box<SocketAddr>>,
    /// What its certificate is for, with TLS.
    covered: Option<Rc<Covered>>,
}

/// Reads a header of the PROXY protocol and shakes hands, as it applies, in the time of a head.
/// Whoever is not let in is told of in the log.
async fn greet(
    open: &Open,
    mut tcp: TcpStream,
    (mut peer, mut port): (SocketAddr, u16),
    door: Door,
) -> Option<Known> {
    let (shared, worker) = (&open.worker.shared, &open.worker);
    let config = &shared.config;
    let (mut is_named, mut named) = (false, None);
    if config.proxy_protocol && worker.is_trusted(peer.ip()) {
        let read = within(config.header_timeout, preamble::read(&mut tcp)).await;
        let read = read.inspect_err(|error| {
            shared.refuse(peer, Refused::of_preamble(error), Some(error));
        });
        if let Some(from) = read.ok()? {
            is_named = from.source != peer;
            peer = from.source;
            port = from.destination.port();
            named = Some(Box::new(from.destination));
        }
    }
    if !open.admits(peer.ip(), is_named) {
        shared.refuse(peer, Some(Refused::Crowd), None);
        return None;
    }
    let Some(https) = config.https.as_ref().filter(|_| door == Door::Tls) else {
        let from = From { peer, port, named, covered: None };
        return Some(Known { stream: Stream::Plain(tcp), from });
    };
    let handshake = challenge::shake(https, config.challenges.as_ref(), tcp);
    let shaken = within(config.header_timeout, handshake).await;
    let tls = shaken
        .inspect_err(|error| shared.refuse(peer, Refused::of_tls(error), Some(error)))
        .ok()?;
    // As it was when the handshake ended: later certificates may be for other hosts.
    let shaken = tls.get_ref().1;
    let covered = https.resolver.certificates().covered(shaken.server_name());
    let covered = covered.with_client(shaken.peer_certificates());
    let stream = Stream::Tls(Box::new(TlsStream::Server(tls)));
    Some(Known { stream, from: From { peer, port, named, covered: Some(Rc::new(covered)) } })
}

/// As [`tokio::time::timeout`], with an error for a limit that is over.
async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(limit, work).await?
}

/// Serves a connection in text to its end, or until it is found to speak HTTP/2; then returns what
/// was read.
async fn serve(worker: &Rc<Worker>, known: &mut Known) -> Option<Buffer> {
    // A connection that never says anything gets the time of a head, an old one more.
    let mut patience = worker.shared.config.header_timeout;
    loop {
        let first = {
            let mut place = worker.quiet.place();
            let first = poll_fn(|cx| match poll_read_into_new(&mut known.stream, cx) {
                // Only then: a request that is here is answered.
                Poll::Pending => place.poll(cx).map(|()| Ok(None)),
                read => read,
            });
            tokio::time::timeout(patience, first).await
        };
        let Ok(Ok(Some(input))) = first else { return None };
        match Box::pin(talk(worker, known, input)).await {
            Talked::Text(After::Quiet) => patience = worker.shared.config.idle_timeout,
            Talked::Text(After::Close) => return None,
            Talked::Frames(first) => return Some(first),
        }
    }
}

fn client(worker: &Worker, from: &From) -> Client {
    let trusted = worker.is_trusted(from.peer.ip());
    let client = Client::new(from.peer, from.port, trusted, from.covered.clone());
    client.at(from.named.as_deref().copied())
}

/// What a client had to say.
enum Talked {
    Text(After),
    /// It speaks HTTP/2, and this is what was read.
    Frames(Buffer),
}

/// Serves requests in text, for as long as they come one after another, unless the client begins
/// as for HTTP/2.
async fn talk(worker: &Rc<Worker>, known: &mut Known, mut input: Buffer) -> Talked {
    let Known { stream, from } = known;
    if PREFACE.starts_with(input.get(..PREFACE.len().min(input.len())).unwrap_or_default()) {
        let preface = preface(stream, &mut input);
        match tokio::time::timeout(worker.shared.config.header_timeout, preface).await {
            Ok(Ok(true)) => return Talked::Frames(input),
            Ok(Ok(false)) => {}
            Ok(Err(_)) | Err(_) => return Talked::Text(After::Close),
        }
    }
    Talked::Text(exchange::burst(worker, stream, &client(worker, from), input).await)
}

/// Reads on until it is clear whether the client speaks HTTP/2 (RFC 9113, 3.3 and 3.4). A request
/// in text begins otherwise after four bytes at the latest.
async fn preface(stream: &mut Stream, input: &mut Buffer) -> io::Result<bool> {
    while input.len() < PREFACE.len() && PREFACE.starts_with(input) {
        if stream.read_buf(&mut **input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(input.starts_with(PREFACE))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
        let open = worker.open().unwrap();
        let quiet = std::mem::size_of_val(&welcome(&open, stream, (peer, 80), Door::Plain));
        assert!(quiet <= 512, "{quiet} bytes quiet");
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut stream = Stream::Plain(stream);
        let client = Client::new(peer, 80, false, None);
        let input = crate::buffers::Buffer::none();
        let busy = std::mem::size_of_val(&exchange::burst(&worker, &mut stream, &client, input));
        assert!(busy <= 3072, "{busy} bytes");
    }
}
