//! The port where tunnels begin with the name of a service.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use door::Door;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::hello::{Hello, Said};
use crate::outcome::Became;
use crate::preamble::{self, Preamble};
use crate::resolve::resolve;
use crate::tunnel::Tunnels;

/// For a whole name.
const NAME_TIMEOUT: Duration = Duration::from_secs(10);
/// A name without an end is over when nothing more comes for that long.
const QUIET: Duration = Duration::from_millis(100);
/// What is read before it is known where it goes. A hello fills a record of 16 KiB at most.
const FIRST_BYTES_MAX: usize = 20 * 1024;

/// The port, listening.
#[derive(Debug)]
pub struct TcpProxy {
    door: Door,
    tunnels: Tunnels,
}

impl TcpProxy {
    /// Listens. Whoever connects waits until [`TcpProxy::serve`].
    ///
    /// # Errors
    ///
    /// The kernel's: the address is taken, not ours, or reserved.
    pub fn bind(listen: SocketAddr, tunnels: Tunnels) -> io::Result<Self> {
        Ok(Self { door: Door::bind(listen, tunnels.0.guests.clone())?, tunnels })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.door.address()
    }

    /// Serves until `stop`, and then as long as tunnels may go on.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let (tunnels, grace) = (self.tunnels.clone(), self.tunnels.0.settings.grace);
        let attend = move |stream, peer| attend(stream, peer, tunnels.clone());
        self.door.serve(stop, grace, attend).await;
    }
}

async fn attend(mut client: TcpStream, peer: SocketAddr, tunnels: Tunnels) {
    let (shared, mut held) = (&tunnels.0, Vec::new());
    let named = match timeout(NAME_TIMEOUT, name(&mut client, &mut held)).await {
        Ok(Ok(named)) => named,
        Ok(Err(_)) | Err(_) => None,
    };
    let Some((name, payload)) = named else {
        tracing::debug!(%peer, "no name at the beginning of a tunnel");
        return shared.outcomes.count(Became::Nameless);
    };
    let Some(target) = resolve(&shared.catalog.view(), &shared.settings.zone, &name) else {
        tracing::debug!(%peer, %name, "no such service");
        return shared.outcomes.count(Became::Unknown);
    };
    tunnels.join(client, &target, held.get(payload..).unwrap_or_default()).await;
}

/// The name of a service, and where in what was read its own bytes begin.
async fn name(client: &mut TcpStream, held: &mut Vec<u8>) -> io::Result<Option<(Box<str>, usize)>> {
    let mut is_over = false;
    loop {
        match preamble::read(held, is_over) {
            Preamble::Name(name, payload) => return Ok(Some((name, payload))),
            Preamble::Nothing => return Ok(None),
            Preamble::Tls => return Ok(server(client, held).await?.map(|name| (name, 0))),
            Preamble::More => {}
        }
        is_over = match &held[..] {
            [] | [0x16] => client.read_buf(held).await? == 0,
            _ => match timeout(QUIET, client.read_buf(held)).await {
                Ok(read) => read? == 0,
                Err(_) => true,
            },
        };
    }
}

/// The server name of a TLS handshake that has begun.
async fn server(client: &mut TcpStream, held: &mut Vec<u8>) -> io::Result<Option<Box<str>>> {
    let mut hello = Hello::new();
    let mut pushed = 0;
    loop {
        match hello.push(held.get(pushed..).unwrap_or_default()) {
            Said::Server(name) => return Ok(Some(name)),
            Said::Nobody => return Ok(None),
            Said::More => pushed = held.len(),
        }
        if held.len() >= FIRST_BYTES_MAX || client.read_buf(held).await? == 0 {
            return Ok(None);
        }
    }
}
