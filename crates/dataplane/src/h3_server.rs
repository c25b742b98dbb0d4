//! HTTP/3 from clients (RFC 9114): QUIC on the port of TLS, each request a stream and a task.
//!
//! Every worker has a socket and an endpoint of its own. Connection ids say whose they are, and
//! the kernel looks at them ([`runtime::net::steer_by_connection_id`]), so that a client keeps its
//! worker when its address changes.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use certs::{CertificateDer, Fault, ServerConfig as TlsConfig};
use h3::error::Code;
use h3::server::RequestResolver;
use http1::Version;
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{
    ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, IdleTimeout, ServerConfig,
    TransportConfig,
};

use crate::asking::Asking;
use crate::bounds::{
    CLIENT_WINDOW_BYTES_MIN, HEAD_BYTES_MAX, QUIC_SEND_BYTES_MAX, STREAM_WINDOW_BYTES, STREAMS_MAX,
    client_window_bytes,
};
use crate::exchange;
use crate::h3_stream::H3Stream;
use crate::h3_transport::{Gate, Outgoing, Transport, varint};
use crate::identity::Client;
use crate::refusal::Refused;
use crate::stream::Stream;
use crate::tracker::{LAST_WORDS, Messaging, Serving, Tracker, Unheard};
use crate::worker::Worker;

/// Streams of one direction: control, two of QPACK, and some that nobody knows.
const ONE_WAY_MAX: u32 = 8;
/// Handshakes of one worker at a time from addresses that nobody has proven; further clients
/// prove theirs first (Retry, RFC 9000, 8.1.2).
const UNPROVEN_MAX: usize = 64;
/// Handshakes of one worker that wait to be looked at, and the bytes of each, and of all.
const WAITING_MAX: usize = 1024;
const WAITING_BYTES_MAX: u64 = 16 * 1024;
const WAITING_BYTES_ALL_MAX: u64 = 4 * 1024 * 1024;
/// How often a connection that is told to end looks whether it can.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Bytes of a connection id.
const CONNECTION_ID_BYTES: usize = 8;

/// An endpoint on this socket, for the worker of this number among so many.
pub(crate) fn endpoint(
    socket: UdpSocket,
    tls: Arc<TlsConfig>,
    reset_key: &[u8; 32],
    idle: Duration,
    (number, workers): (usize, usize),
) -> io::Result<Endpoint> {
    let tls = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut server = ServerConfig::with_crypto(Arc::new(tls));
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(STREAMS_MAX.into())
        .max_concurrent_uni_streams(ONE_WAY_MAX.into())
        .stream_receive_window(STREAM_WINDOW_BYTES.into())
        .receive_window(CLIENT_WINDOW_BYTES_MIN.into())
        .send_window(QUIC_SEND_BYTES_MAX)
        .max_idle_timeout(IdleTimeout::try_from(idle).ok())
        .datagram_receive_buffer_size(None);
    server
        .transport_config(Arc::new(transport))
        .max_incoming(WAITING_MAX)
        .incoming_buffer_size(WAITING_BYTES_MAX)
        .incoming_buffer_size_total(WAITING_BYTES_ALL_MAX);
    let reset_key = hmac::Key::new(hmac::HMAC_SHA256, reset_key);
    let mut config = EndpointConfig::new(Arc::new(reset_key));
    config.cid_generator(move || Box::new(Ids { number, workers }));
    Endpoint::new(config, Some(server), socket, Arc::new(quinn::TokioRuntime))
}

/// Connection ids of one worker: random, but for the remainder of the first byte.
#[derive(Debug)]
struct Ids {
    number: usize,
    workers: usize,
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; CONNECTION_ID_BYTES];
        fastrand::fill(&mut id);
        id[0] = marked(id[0], self.number, self.workers);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// The first byte of an id from which [`runtime::net::steer_by_connection_id`] tells the worker.
fn marked(random: u8, number: usize, workers: usize) -> u8 {
    let (random, workers) = (usize::from(random), workers.clamp(1, 256));
    let base = random - random % workers;
    let marked = if base + number > 255 { number } else { base + number };
    u8::try_from(marked).unwrap_or(0)
}

/// Accepts connections until the endpoint ends.
pub(crate) async fn accept(worker: Rc<Worker>, endpoint: Endpoint, port: u16) {
    let mut stop = pin!(worker.shared.stop_accepting.notified());
    stop.as_mut().enable();
    let unproven = Rc::new(());
    loop {
        let incoming = tokio::select! {
            biased;
            incoming = endpoint.accept() => incoming,
            () = &mut stop => break,
        };
        let Some(incoming) = incoming else { return };
        let peer = incoming.remote_address();
        let open = worker.open().ok_or(Refused::Full);
        let admitted = open.and_then(|open| match open.admits(peer.ip(), false) {
            true => Ok(open),
            false => Err(Refused::Crowd),
        });
        let open = match admitted {
            Ok(open) => open,
            Err(reason) => {
                worker.shared.refuse(peer, Some(reason), None);
                incoming.refuse();
                continue;
            }
        };
        // A clone for each handshake under way.
        let place = if incoming.remote_address_validated() {
            None
        } else if Rc::strong_count(&unproven) > UNPROVEN_MAX {
            // Nothing is kept of who asked.
            let _ = incoming.retry();
            continue;
        } else {
            Some(Rc::clone(&unproven))
        };
        let worker = Rc::clone(&worker);
        tokio::task::spawn_local(async move {
            let _open = open;
            let limit = worker.shared.config.header_timeout;
            let connecting = async { incoming.accept()?.await };
            let quic = match tokio::time::timeout(limit, connecting).await {
                Ok(Ok(quic)) => quic,
                Ok(Err(error)) => {
                    return worker.shared.refuse(peer, Refused::of_quic(&error), Some(&error));
                }
                Err(slow) => {
                    let reason = Refused::Handshake(Fault::Slow);
                    return worker.shared.refuse(peer, Some(reason), Some(&slow));
                }
            };
            drop(place);
            serve(&worker, quic, port).await;
        });
    }
    // Connections that are open go on; new ones are told to go elsewhere.
    while let Some(incoming) = endpoint.accept().await {
        incoming.refuse();
    }
}

/// Serves a connection to its end.
async fn serve(worker: &Rc<Worker>, quic: quinn::Connection, port: u16) {
    let messaging = Messaging::begin(worker);
    quic.set_receive_window(client_window_bytes(messaging.count()).into());
    let config = &worker.shared.config;
    let Some(https) = &config.https else { return };
    let name = quic
        .handshake_data()
        .and_then(|data| data.downcast::<HandshakeData>().ok())
        .and_then(|data| data.server_name.clone());
    let chain = quic.peer_identity().and_then(|chain| chain.downcast::<Vec<CertificateDer>>().ok());
    let covered = https.resolver.certificates().covered(name.as_deref());
    let covered = Rc::new(covered.with_client(chain.as_deref().map(Vec::as_slice)));
    let client_at = |peer: SocketAddr| {
        let trusted = worker.is_trusted(peer.ip());
        let local = quic.local_ip().map(|ip| SocketAddr::new(ip, port));
        Rc::new(Client::new(peer, port, trusted, Some(Rc::clone(&covered))).at(local))
    };
    let mut peer = quic.remote_address();
    let mut client = client_at(peer);
    let mut builder = h3::server::builder();
    builder.max_field_section_size(HEAD_BYTES_MAX.into()).send_grease(false);
    let gate = Rc::new(Gate::default());
    let transport = Transport::new(quic.clone(), Rc::clone(&gate));
    let built = builder.build::<_, Bytes>(transport);
    let Ok(Ok(mut connection)) = tokio::time::timeout(config.header_timeout, built).await else {
        return;
    };
    let tracker = Rc::new(Tracker::new(worker.clock.mono()));
    let mut stopped = pin!(worker.shared.stop_accepting.notified());
    stopped.as_mut().enable();
    // Who comes in the last moment may miss it, and still gets an answer.
    let late = if worker.is_draining() { LAST_WORDS } else { Duration::MAX };
    let mut stop = pin!(async {
        let _ = tokio::time::timeout(late, stopped).await;
    });
    let mut ending = false;
    let mut patience = config.header_timeout;
    let mut timer = pin!(worker.clock.timer(worker.clock.mono().after(patience)));
    loop {
        tokio::select! {
            biased;
            accepted = connection.accept() => match accepted {
                Ok(Some(resolver)) => {
                    patience = if ending { LOOK_EVERY } else { config.idle_timeout };
                    if tracker.is_abused() {
                        tracing::debug!(client = %client.address, "a client gives up its requests");
                        let code = varint(Code::H3_EXCESSIVE_LOAD.value());
                        return quic.close(code, b"too many requests given up");
                    }
                    // It may have moved.
                    if peer != quic.remote_address() {
                        peer = quic.remote_address();
                        client = client_at(peer);
                    }
                    let Some(out) = gate.latest() else { continue };
                    let serving = Serving::begin(&tracker, worker);
                    let unheard = Unheard::begin(&tracker);
                    let (worker, client) = (Rc::clone(worker), Rc::clone(&client));
                    // In a box: a task is moved when it begins and when it ends.
                    tokio::task::spawn_local(Box::pin(async move {
                        answer(worker, client, (resolver, Rc::clone(&out)), serving).await;
                        let heard = out.borrow().heard();
                        drop(out);
                        if let Some(heard) = heard {
                            heard.await;
                        }
                        drop(unheard);
                    }));
                }
                Ok(None) => break,
                Err(error) => {
                    if !error.is_h3_no_error() {
                        tracing::debug!(client = %client.address, %error, "an HTTP/3 connection ended");
                    }
                    return;
                }
            },
            () = &mut stop, if !ending => {
                ending = true;
                gate.close();
                // Names the first request that is not answered any more: the one after the last.
                if connection.shutdown(1).await.is_err() {
                    return;
                }
                patience = LOOK_EVERY;
                timer.set(worker.clock.timer(worker.clock.mono().after(patience)));
            }
            () = &mut timer => {
                let now = worker.clock.mono();
                match tracker.quiet_since().map(|since| since.after(patience)) {
                    // A slow client has until the end of the drain for what it was answered.
                    Some(until) if until <= now && ending && tracker.is_unheard() => {
                        timer.set(worker.clock.timer(now.after(patience)));
                    }
                    Some(until) if until <= now => break,
                    Some(until) => timer.set(worker.clock.timer(until)),
                    None => timer.set(worker.clock.timer(now.after(patience))),
                }
            }
        }
    }
    // Closing at once would drop what is not acknowledged yet.
    let _ = tokio::time::timeout(LAST_WORDS, quic.closed()).await;
    drop(connection);
    // Whoever drives the connection tells the client, if the process lasts until then.
    tokio::time::sleep(LOOK_EVERY).await;
}

async fn answer(
    worker: Rc<Worker>,
    client: Rc<Client>,
    (resolver, out): (RequestResolver<Transport, Bytes>, Rc<RefCell<Outgoing>>),
    serving: Serving,
) {
    let limit = worker.shared.config.header_timeout;
    let resolved = tokio::time::timeout(limit, resolver.resolve_request()).await;
    let (request, stream) = match resolved {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(_)) => {
            // A head that is too long was answered with 431; that is to be written.
            out.borrow_mut().finish();
            let flush = poll_fn(|cx| out.borrow_mut().poll_flush(cx));
            let _ = tokio::time::timeout(LAST_WORDS, flush).await;
            return;
        }
        Err(_) => return out.borrow_mut().reset(Code::H3_REQUEST_INCOMPLETE),
    };
    let (parts, ()) = request.into_parts();
    let expected = parts.headers.get(http::header::CONTENT_LENGTH);
    let expected = expected.and_then(|value| value.to_str().ok()?.parse().ok());
    let stream = Stream::H3(Box::new(H3Stream::new(stream, out, expected)));
    let asking = Asking::new(Version::Http3, parts, false, false);
    serving.answered(exchange::single(&worker, stream, &client, asking).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::Ipv4Addr;

    use certs::{Certificates, Resolver, SelfSigned, ServerOptions};
    use quinn::ConnectionError;
    use quinn::crypto::rustls::QuicClientConfig;
    use runtime::{Clock, Snapshot};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, pki_types::pem::PemObject};

    const LOCAL: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
    const IDLE: Duration = Duration::from_secs(2);

    fn made() -> SelfSigned {
        certs::self_signed(&["localhost"], Clock::system().now().wall).unwrap()
    }

    fn serving(made: SelfSigned) -> Arc<TlsConfig> {
        let set = Certificates::new(vec![Arc::new(made.pair)]);
        let options = ServerOptions { alpn: vec![b"h3".to_vec()], ..ServerOptions::default() };
        options.quic(&Resolver::new(Snapshot::new(Arc::new(set))), Clock::system()).unwrap()
    }

    fn trusting(pem: &str) -> quinn::ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
    }

    /// A process that ends without a word, and the next one on the same port.
    #[test]
    fn a_client_of_a_process_that_was_killed_is_told_at_once() {
        for (next_key, told) in [([1; 32], true), ([2; 32], false)] {
            let runtime =
                || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (made, client_runtime, killed) = (made(), runtime(), runtime());
            let config = trusting(&made.cert_pem);
            let tls = serving(made);
            let socket = UdpSocket::bind(LOCAL).unwrap();
            let address = socket.local_addr().unwrap();
            let server = {
                let _inside = killed.enter();
                endpoint(socket, Arc::clone(&tls), &[1; 32], IDLE, (0, 1)).unwrap()
            };
            let thread = std::thread::spawn(move || {
                killed.block_on(async { server.accept().await.unwrap().await.unwrap() });
                // Without the runtime nobody sends what would be said in the end.
                killed.shutdown_background();
            });
            let connection = client_runtime.block_on(async {
                let client = Endpoint::client(LOCAL.into()).unwrap();
                client.connect_with(config, address, "localhost").unwrap().await.unwrap()
            });
            thread.join().unwrap();
            std::thread::spawn(move || {
                runtime().block_on(async {
                    let socket = UdpSocket::bind(address).unwrap();
                    let _next = endpoint(socket, tls, &next_key, IDLE, (0, 1)).unwrap();
                    std::future::pending::<()>().await;
                });
            });
            let ended = client_runtime.block_on(async {
                let mut stream = connection.open_uni().await.unwrap();
                stream.write_all(&[0; 64]).await.unwrap();
                connection.closed().await
            });
            assert_eq!(matches!(ended, ConnectionError::Reset), told, "{ended:?}");
        }
    }

    #[test]
    fn ids_say_whose_they_are() {
        for workers in [1, 2, 3, 7, 64, 255, 256] {
            for number in 0..workers {
                for random in 0..=255 {
                    let first = usize::from(marked(random, number, workers));
                    assert_eq!(first % workers, number, "{random} {number} of {workers}");
                }
            }
        }
    }
}
