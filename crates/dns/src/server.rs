//! Both sockets, from binding to the end.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::num::NonZeroU32;
use std::sync::Arc;

use catalog::View;
use door::{Door, Guests, Mono, Pace, Rate};
use ipnet::IpNet;
use resilience::ClientKey;
use runtime::Clock;
use telemetry::Outcomes;
use tokio::sync::watch;

use crate::bind::sockets;
use crate::bounds::{CONNECTIONS, PACED_CLIENTS_MAX};
use crate::outcome::Became;
use crate::{BindError, Zone, tcp, udp};

/// What the server is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens, over UDP and TCP. Port 0 for any.
    pub listen: SocketAddr,
    /// Under which name.
    pub zone: Zone,
    /// Who may ask besides this machine itself.
    pub clients: Vec<IpNet>,
    /// How often one client may ask, per second; this machine may always. No bound if absent.
    pub questions_per_second: Option<NonZeroU32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 5353)),
            zone: Zone::parse("proxyd.internal").expect("a domain name"),
            clients: Vec::new(),
            questions_per_second: NonZeroU32::new(1000),
        }
    }
}

/// A server that is bound and does not answer yet.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    address: SocketAddr,
    udp: UdpSocket,
    tcp: TcpListener,
    guests: Guests,
    outcomes: Outcomes<Became>,
}

/// What answering takes, besides a socket.
pub(crate) struct Shared<V> {
    pub(crate) zone: Zone,
    pub(crate) clients: Vec<IpNet>,
    pub(crate) view: V,
    pub(crate) outcomes: Outcomes<Became>,
    /// One for each way: who is sent from one to the other is not to be refused there.
    pub(crate) udp_pace: Option<Pace>,
    pub(crate) tcp_pace: Option<Pace>,
}

impl<V> Shared<V> {
    /// Whether this address may ask at all.
    pub(crate) fn serves(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        peer.is_loopback() || self.clients.iter().any(|net| net.contains(&peer))
    }
}

/// Whether one more question of this peer is answered now.
pub(crate) fn admits(pace: Option<&Pace>, peer: IpAddr) -> bool {
    match (pace, ClientKey::counted(peer)) {
        (Some(pace), Some(client)) => pace.admits(client),
        (None, _) | (_, None) => true,
    }
}

/// So many a second, and twice as many at once.
pub(crate) fn rate(per_second: NonZeroU32) -> Rate {
    const TWICE: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);
    let at_once = per_second.saturating_mul(TWICE);
    Rate { per_second, at_once, peers_max: PACED_CLIENTS_MAX }
}

impl Server {
    /// Binds both sockets.
    ///
    /// # Errors
    ///
    /// [`BindError`].
    pub fn bind(settings: Settings) -> Result<Self, BindError> {
        if !settings.listen.ip().to_canonical().is_loopback() && settings.clients.is_empty() {
            return Err(BindError::Open(settings.listen));
        }
        let (udp, tcp) = sockets(settings.listen)?;
        let at = |source| BindError::Socket { address: settings.listen, over: "UDP", source };
        let address = udp.local_addr().map_err(at)?;
        let (guests, outcomes) = (Guests::new("DNS connections", CONNECTIONS), Outcomes::default());
        Ok(Self { settings, address, udp, tcp, guests, outcomes })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who is connected over TCP.
    pub fn guests(&self) -> Guests {
        self.guests.clone()
    }

    /// What became of questions, over UDP and TCP.
    pub fn outcomes(&self) -> Outcomes<Became> {
        self.outcomes.clone()
    }

    /// Answers from the latest view until `stop`, and then to the end what it is at.
    ///
    /// # Errors
    ///
    /// The kernel's, before the first answer.
    pub async fn serve<V>(
        self,
        view: V,
        clock: Clock,
        stop: impl Future<Output = ()>,
    ) -> io::Result<()>
    where
        V: Fn() -> Arc<View> + Send + Sync + 'static,
    {
        let Settings { mut zone, clients, questions_per_second, .. } = self.settings;
        if !self.address.ip().is_unspecified() {
            zone.addresses = vec![self.address.ip()];
        }
        let rate = questions_per_second.map(rate);
        let pace = || rate.map(|rate| Pace::new(rate, Mono(clock)));
        let (udp_pace, tcp_pace, outcomes) = (pace(), pace(), self.outcomes);
        let shared = Arc::new(Shared { zone, clients, view, outcomes, udp_pace, tcp_pace });
        let udp = tokio::net::UdpSocket::from_std(self.udp)?;
        let tcp = Door::new(self.tcp, self.guests)?;
        let (end, ended) = watch::channel(());
        let udp = tokio::spawn(udp::run(udp, shared.clone(), ended.clone()));
        let tcp = tokio::spawn(tcp::run(tcp, shared, ended));
        stop.await;
        drop(end);
        for task in [udp, tcp] {
            task.await.map_err(io::Error::other)?;
        }
        Ok(())
    }
}
