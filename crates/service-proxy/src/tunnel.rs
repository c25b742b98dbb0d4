//! Bytes both ways between a client and an endpoint.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use discovery::Handle;
use door::{Bounds, Guests};
use model::Instant;
use probe::Policy;
use runtime::Clock;
use telemetry::Outcomes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::dial::Dialer;
use crate::outcome::Became;
use crate::resolve::Target;

/// What one direction holds.
const BUFFER_BYTES: usize = 16 * 1024;

/// How tunnels are made and how long they last.
#[derive(Clone, Debug)]
pub struct TunnelSettings {
    /// What names may end with.
    pub zone: Box<str>,
    /// Added to the ports that the heartbeat port handed out, to reach their services. Seed 003's
    /// own examples listen 2000 higher.
    pub port_offset: u16,
    /// For one attempt to connect to an endpoint.
    pub connect_timeout: Duration,
    /// A tunnel without a byte in either direction ends after this time.
    pub idle_timeout: Duration,
    /// How long tunnels may go on when proxyd ends.
    pub grace: Duration,
    /// How many tunnels there may be.
    pub bounds: Bounds,
}

impl Default for TunnelSettings {
    fn default() -> Self {
        Self {
            zone: "internal".into(),
            port_offset: 0,
            connect_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_hours(1),
            grace: Duration::from_secs(30),
            bounds: Bounds { connections_max: 10_000, connections_per_peer_max: 1_000 },
        }
    }
}

/// Makes tunnels to services. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub struct Tunnels(pub(crate) Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: TunnelSettings,
    pub(crate) catalog: Handle,
    pub(crate) guests: Guests,
    pub(crate) outcomes: Outcomes<Became>,
    dialer: Dialer,
    pub(crate) clock: Clock,
}

impl Tunnels {
    /// Tunnels to the services of a catalog. The policy has to deny what proxyd itself listens
    /// on, or a tunnel may go round in circles.
    pub fn new(settings: TunnelSettings, policy: Policy, clock: Clock, catalog: Handle) -> Self {
        let dialer = Dialer::new(policy, settings.port_offset, settings.connect_timeout);
        let guests = Guests::new("tunnels", settings.bounds);
        let outcomes = Outcomes::default();
        Self(Arc::new(Shared { settings, catalog, guests, outcomes, dialer, clock }))
    }

    /// Who is connected.
    pub fn guests(&self) -> Guests {
        self.0.guests.clone()
    }

    /// What became of connections that are over.
    pub fn outcomes(&self) -> Outcomes<Became> {
        self.0.outcomes.clone()
    }

    /// Joins a client with a service until both have said all they have to say. The service gets
    /// these bytes first. When it cannot be reached, the client is let go without a word.
    pub(crate) async fn join(&self, client: TcpStream, target: &Target, first: &[u8]) {
        let shared = &self.0;
        let view = shared.catalog.view();
        let service = &target.service.name;
        let Some((backend, ticket)) = shared.dialer.connect(&view, target).await else {
            tracing::info!(%service, "no endpoint of a service can be reached");
            return shared.outcomes.count(Became::Unreachable);
        };
        drop(view);
        // Each is a hint and no more.
        let _ = (client.set_nodelay(true), backend.set_nodelay(true));
        let passed = pass(shared.clock, shared.settings.idle_timeout, client, backend, first);
        let became = match passed.await {
            Ok(()) => Became::Ended,
            Err(error) => {
                tracing::debug!(%service, %error, "a tunnel broke");
                Became::Broken
            }
        };
        drop(ticket);
        shared.outcomes.count(became);
    }
}

async fn pass(
    clock: Clock,
    idle: Duration,
    mut client: TcpStream,
    mut backend: TcpStream,
    first: &[u8],
) -> io::Result<()> {
    let busy = Busy::new(clock);
    let (client_read, client_write) = client.split();
    let (backend_read, mut backend_write) = backend.split();
    let up = async {
        backend_write.write_all(first).await?;
        pump(client_read, backend_write, &busy).await
    };
    let both = async { tokio::try_join!(up, pump(backend_read, client_write, &busy)) };
    tokio::select! {
        ended = both => ended.map(drop),
        () = busy.idle_for(idle) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// One direction, and its end with it.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    busy: &Busy,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await?;
        busy.now();
        let mut left = buffer.get(..read).unwrap_or_default();
        if left.is_empty() {
            return to.shutdown().await;
        }
        while !left.is_empty() {
            let written = to.write(left).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            busy.now();
            left = left.get(written..).unwrap_or_default();
        }
    }
}

/// When a byte was moved last.
struct Busy {
    clock: Clock,
    last: AtomicU64,
}

impl Busy {
    fn new(clock: Clock) -> Self {
        Self { clock, last: AtomicU64::new(clock.mono().as_nanos()) }
    }

    fn now(&self) {
        self.last.store(self.clock.mono().as_nanos(), Ordering::Relaxed);
    }

    async fn idle_for(&self, idle: Duration) {
        loop {
            let last = self.last.load(Ordering::Relaxed);
            self.clock.sleep_until(Some(Instant::from_nanos(last).after(idle))).await;
            if self.last.load(Ordering::Relaxed) == last {
                return;
            }
        }
    }
}
