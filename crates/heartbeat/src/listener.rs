//! The port.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use discovery::Handle;
use door::{Bounds, Door, Guests};
use telemetry::Outcomes;

use crate::connection;
use crate::outcome::Became;

/// How long who is being answered when proxyd ends may take.
const GRACE: Duration = Duration::from_secs(2);

/// How the port is set up. How long a name lives, and which addresses and ports are handed out,
/// the catalog knows.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where names register. There is nothing in a frame to know anybody by, so anything but
    /// loopback is for networks where everybody may register.
    pub listen: SocketAddr,
    /// How many connections there may be; each lasts for one request.
    pub bounds: Bounds,
}

/// Seed 003's port, on loopback.
impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9000)),
            bounds: Bounds { connections_max: 4096, connections_per_peer_max: 256 },
        }
    }
}

/// The port, listening.
#[derive(Debug)]
pub struct Listener {
    door: Door,
    catalog: Handle,
    outcomes: Outcomes<Became>,
}

impl Listener {
    /// Listens. Whoever connects waits until [`Listener::serve`].
    ///
    /// # Errors
    ///
    /// The kernel's: the address is taken, not ours, or reserved.
    pub fn bind(settings: &Settings, catalog: Handle) -> io::Result<Self> {
        let door =
            Door::bind(settings.listen, Guests::new("heartbeat connections", settings.bounds))?;
        Ok(Self { door, catalog, outcomes: Outcomes::default() })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.door.address()
    }

    /// Who is connected.
    pub fn guests(&self) -> Guests {
        self.door.guests().clone()
    }

    /// What became of requests.
    pub fn outcomes(&self) -> Outcomes<Became> {
        self.outcomes.clone()
    }

    /// Answers until `stop`. Who has asked by then is answered.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let Self { catalog, outcomes, .. } = self;
        let attend =
            move |stream, peer| connection::attend(stream, peer, catalog.clone(), outcomes.clone());
        self.door.serve(stop, GRACE, attend).await;
    }
}
