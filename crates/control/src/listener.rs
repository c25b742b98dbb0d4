//! Lets connections in, counts them, and tells the machine when one is gone.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use certs::{ClientName, Fault, ServerConfig};
use door::{Guest, Guests, Mono, is_about_one_connection};
use model::ConnId;
use runtime::Clock;
use session::{Credential, Input, Peer};
use telemetry::Outcomes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use crate::access::Access;
use crate::admission::Admission;
use crate::bounds::{
    ACCEPT_PAUSE, CONNECTIONS_MAX, CONNECTIONS_PER_PEER_MAX, LINGER, OPERATORS_MAX, PACE_SWEEP,
    WRITE_TIMEOUT,
};
use crate::connection::Connection;
use crate::credentials::Credentials;
use crate::handshake::{Client, Handshakes, Shaken};
use crate::mailbox::Mailbox;
use crate::outcome::Became;
use crate::refusal::{Refusals, Refused, Witness};
use crate::socket::{Socket, Stream};
use crate::task::Handle;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At once, operators excepted.
    pub connections_max: usize,
    /// Of these, from one address that is not loopback.
    pub connections_per_peer_max: usize,
    /// Operators at once.
    pub operators_max: usize,
}

/// SPEC 12.
impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            connections_per_peer_max: CONNECTIONS_PER_PEER_MAX,
            operators_max: OPERATORS_MAX,
        }
    }
}

/// Everything the registry listens on, and every connection that came in there.
#[derive(Debug)]
pub struct Listener {
    handle: Handle,
    clock: Clock,
    credentials: Arc<Credentials>,
    sockets: Vec<(Socket, Entrance)>,
    /// Where the search for the next connection begins: each socket gets its turn.
    turn: usize,
    admission: Admission,
    handshakes: Handshakes,
    /// Ends of their own accord, or by a panic: either way the machine is told once.
    connections: JoinSet<()>,
    admitted: HashMap<Id, Admitted>,
    refusals: Refusals,
    outcomes: Outcomes<Became>,
}

/// Who comes in by a socket.
#[derive(Clone, Debug)]
enum Entrance {
    Clients,
    /// Clients that speak TLS.
    Tls(Arc<ServerConfig>),
    Operators,
}

#[derive(Debug)]
struct Admitted {
    conn: ConnId,
    mailbox: Arc<Mailbox>,
    /// Its place, which is free when it is gone.
    _place: Guest,
}

impl Listener {
    /// A listener that listens nowhere yet. Where there are credentials, clients have to show one.
    pub fn new(
        handle: Handle,
        clock: Clock,
        limits: Limits,
        credentials: Arc<Credentials>,
    ) -> Self {
        Self {
            handle,
            clock,
            credentials,
            sockets: Vec::new(),
            turn: 0,
            admission: Admission::new(limits, Mono(clock)),
            handshakes: Handshakes::default(),
            connections: JoinSet::new(),
            admitted: HashMap::new(),
            refusals: Refusals::new("registry", clock),
            outcomes: Outcomes::default(),
        }
    }

    /// Which clients are connected.
    pub fn guests(&self) -> Guests {
        self.admission.clients().clone()
    }

    /// What became of clients and their commands.
    pub fn outcomes(&self) -> Outcomes<Became> {
        self.outcomes.clone()
    }

    /// Clients come in by this socket.
    pub fn add(&mut self, socket: Socket) {
        self.sockets.push((socket, Entrance::Clients));
    }

    /// Clients that speak TLS come in by this socket. Those of a Unix socket do not.
    pub fn add_tls(&mut self, socket: Socket, tls: Arc<ServerConfig>) {
        self.sockets.push((socket, Entrance::Tls(tls)));
    }

    /// Operators come in by this socket: who can open it may name any session, without a token.
    pub fn add_operators(&mut self, socket: Socket) {
        self.sockets.push((socket, Entrance::Operators));
    }

    /// Serves until `shutdown` is over. Then nobody else is let in, everybody is told `SHUTDOWN`,
    /// who is still there after `grace` is cut off, and it returns when all are gone.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>, grace: Duration) {
        tokio::pin!(shutdown);
        let mut sweep = tokio::time::interval(PACE_SWEEP);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = self.connections.join_next_with_id() => self.ended(ended).await,
                Some((client, shaken)) = self.handshakes.next() => self.shaken(client, shaken).await,
                _ = sweep.tick() => {
                    self.admission.sweep();
                    self.refusals.tell_more();
                }
                accepted = accept(&self.sockets, &mut self.turn) => match accepted {
                    Ok((stream, peer, tls)) => self.accepted(stream, peer, tls).await,
                    Err(error) if is_about_one_connection(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept registry connections");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        self.sockets.clear();
        self.handshakes.abort();
        self.say_goodbye(grace).await;
    }

    async fn accepted(&mut self, stream: Stream, peer: Peer, tls: Option<Arc<ServerConfig>>) {
        let place = match self.admission.enter(&peer) {
            Ok(place) => place,
            Err(bound) => {
                self.refusals.tell(&peer, Refused::Bound(bound), None);
                // With TLS nothing can be said yet.
                let words = if tls.is_none() { format!("ERROR|{bound}\n") } else { String::new() };
                return stream.dismiss(words.as_bytes());
            }
        };
        let client = Client { peer, place };
        match (stream, tls) {
            (Stream::Tcp(stream), Some(tls)) => {
                if let Err((peer, bound)) = self.handshakes.begin(stream, client, &tls) {
                    self.refusals.tell(&peer, Refused::Bound(bound), None);
                }
            }
            (Stream::Tcp(stream), None) => self.begin(stream, client, None).await,
            (Stream::Unix(stream), _) => self.begin(stream, client, None).await,
        }
    }

    async fn shaken(&mut self, client: Client, shaken: io::Result<Shaken>) {
        match shaken {
            Ok(Shaken { stream, certificate }) => {
                self.begin(stream, client, certificate.as_ref()).await;
            }
            Err(error) => {
                self.outcomes.count(Became::NotOpened);
                let peer = &client.peer;
                match Fault::of(&error) {
                    Some(fault) => {
                        self.refusals.tell(peer, Refused::Handshake(fault), Some(&error));
                    }
                    None => tracing::debug!(%peer, %error, "a registry client did not shake hands"),
                }
            }
        }
    }

    /// Serves a connection that was counted in.
    async fn begin<S>(&mut self, stream: S, client: Client, certificate: Option<&ClientName>)
    where
        S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
    {
        let Client { peer, place } = client;
        let (access, credential) = self.credentials.access(&peer, certificate);
        let mailbox = Arc::new(Mailbox::default());
        let Some(conn) = introduce(&self.handle, &peer, &mailbox, credential).await else {
            return;
        };
        if let (Access::Wanted { .. }, Some(name)) = (&access, certificate) {
            tracing::debug!(conn = conn.0, name = name.shown(), "no credential for a certificate");
        }
        let (handle, clock) = (self.handle.clone(), self.clock);
        let kept = mailbox.clone();
        // Operators are no clients: their commands are not counted among those.
        let outcomes = match peer {
            Peer::Operator => Outcomes::default(),
            Peer::Tcp(_) | Peer::Local => self.outcomes.clone(),
        };
        let witness = Witness { peer, refusals: self.refusals.clone(), outcomes };
        let connection = Connection::new(stream, conn, mailbox, access, handle, clock, witness);
        let task = self.connections.spawn(connection.run());
        self.admitted.insert(task.id(), Admitted { conn, mailbox: kept, _place: place });
    }

    async fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "a registry connection failed");
                error.id()
            }
        };
        if let Some(Admitted { conn, .. }) = self.admitted.remove(&id) {
            // A registry that has ended knows.
            drop(self.handle.lost(conn).await);
        }
    }

    async fn say_goodbye(&mut self, grace: Duration) {
        drop(self.handle.tell(Input::Shutdown).await);
        drop(timeout(grace, self.all_gone()).await);
        self.admitted.values().for_each(|admitted| admitted.mailbox.close());
        // Each has that long to take what was said.
        let last_words = WRITE_TIMEOUT + LINGER;
        if timeout(last_words, self.all_gone()).await.is_err() {
            self.connections.abort_all();
            self.all_gone().await;
        }
    }

    async fn all_gone(&mut self) {
        while let Some(ended) = self.connections.join_next_with_id().await {
            self.ended(ended).await;
        }
    }
}

/// Tells the machine who came. `None` when it has ended.
async fn introduce(
    handle: &Handle,
    peer: &Peer,
    mailbox: &Arc<Mailbox>,
    credential: Option<Arc<Credential>>,
) -> Option<ConnId> {
    let conn = handle.connected(peer.clone(), mailbox.clone()).await.ok()?;
    if let Some(credential) = credential {
        handle.authenticated(conn, credential).await.ok()?;
    }
    Some(conn)
}

/// The next connection of any socket.
async fn accept(
    sockets: &[(Socket, Entrance)],
    turn: &mut usize,
) -> io::Result<(Stream, Peer, Option<Arc<ServerConfig>>)> {
    poll_fn(|context| {
        for offset in 0..sockets.len() {
            let index = (*turn + offset) % sockets.len();
            let Some((socket, entrance)) = sockets.get(index) else { continue };
            if let Poll::Ready(accepted) = socket.poll_accept(context) {
                *turn = index + 1;
                return Poll::Ready(accepted.map(|(stream, peer)| match entrance {
                    Entrance::Clients => (stream, peer, None),
                    Entrance::Tls(tls) => (stream, peer, Some(Arc::clone(tls))),
                    Entrance::Operators => (stream, Peer::Operator, None),
                }));
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Message;

    /// However it ends, the machine is told once, and its place is free.
    #[tokio::test]
    async fn a_connection_that_panics_is_lost_like_any_other() {
        let (handle, mut messages, _orders) = Handle::new();
        let limits = Limits { connections_max: 3, ..Limits::default() };
        let mut listener = Listener::new(handle, Clock::system(), limits, Arc::default());
        let ends = [
            listener.connections.spawn(async {}),
            listener.connections.spawn(async { panic!("on purpose") }),
            listener.connections.spawn(std::future::pending()),
        ];
        for (task, number) in ends.iter().zip(1..) {
            let place = listener.admission.enter(&Peer::Local).unwrap();
            let admitted =
                Admitted { conn: ConnId(number), mailbox: Arc::default(), _place: place };
            listener.admitted.insert(task.id(), admitted);
        }
        assert!(listener.admission.enter(&Peer::Local).is_err());
        ends[2].abort();
        listener.all_gone().await;
        let mut lost = Vec::new();
        while let Ok(Message::Lost(conn)) = messages.try_recv() {
            lost.push(conn.0);
        }
        lost.sort_unstable();
        assert_eq!(lost, [1, 2, 3]);
        let again = [(); 3].map(|()| listener.admission.enter(&Peer::Local));
        assert!(again.iter().all(Result::is_ok));
    }
}
