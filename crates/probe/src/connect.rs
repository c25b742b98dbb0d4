//! A connection of our own, within one limit of time.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use model::{BackendHost, BackendUrl, Instant};
use runtime::Clock;
use tokio::net::TcpStream;

use crate::failed::Failed;
use crate::policy::Policy;

/// Addresses of one name that are tried.
const ADDRESSES_TRIED_MAX: usize = 3;

/// The one limit for all steps of a check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    clock: Clock,
    began: Instant,
    ends: Instant,
}

impl Deadline {
    pub(crate) fn new(clock: Clock, timeout: Duration) -> Self {
        let began = clock.mono();
        Self { clock, began, ends: began.after(timeout) }
    }

    pub(crate) fn spent(&self) -> Duration {
        self.clock.mono().since(self.began)
    }

    fn left(&self) -> Duration {
        self.ends.since(self.clock.mono())
    }

    /// What `work` says, or `late` when there is no time left.
    pub(crate) async fn within<T>(
        &self,
        work: impl Future<Output = T>,
        late: Failed,
    ) -> Result<T, Failed> {
        tokio::time::timeout(self.left(), work).await.map_err(|_| late)
    }
}

/// Connects to the first address that lets us. An address that is silent gets its share of the
/// time and no more, so that the next one can still answer.
pub(crate) async fn connect(
    url: &BackendUrl,
    policy: &Policy,
    deadline: &Deadline,
) -> Result<TcpStream, Failed> {
    let addresses = resolve(url, deadline).await?;
    let mut last = Failed::NameNotResolved;
    let mut ahead = addresses.len();
    for address in addresses {
        let share = deadline.left() / u32::try_from(ahead).unwrap_or(u32::MAX);
        ahead -= 1;
        match connect_to(address, policy, share).await {
            Ok(stream) => return Ok(stream),
            Err(failed) => last = failed,
        }
    }
    Err(last)
}

/// At most [`ADDRESSES_TRIED_MAX`] addresses, in the order of the system's resolver.
async fn resolve(url: &BackendUrl, deadline: &Deadline) -> Result<Vec<SocketAddr>, Failed> {
    let name = match url.host() {
        BackendHost::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, url.port())]),
        BackendHost::Name(name) => name,
    };
    let lookup = tokio::net::lookup_host((&**name, url.port()));
    match deadline.within(lookup, Failed::NameNotResolved).await? {
        Ok(found) => Ok(found.take(ADDRESSES_TRIED_MAX).collect()),
        Err(error) => {
            tracing::debug!(%error, "cannot resolve a name for a check");
            Err(Failed::NameNotResolved)
        }
    }
}

async fn connect_to(
    address: SocketAddr,
    policy: &Policy,
    limit: Duration,
) -> Result<TcpStream, Failed> {
    policy.permits(address)?;
    match tokio::time::timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(stream)) if is_to_itself(&stream) => Err(Failed::ConnectionRefused),
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(match error.kind() {
            io::ErrorKind::ConnectionRefused => Failed::ConnectionRefused,
            io::ErrorKind::TimedOut => Failed::ConnectionTimeout,
            other => Failed::ConnectionFailed(other),
        }),
        Err(_) => Err(Failed::ConnectionTimeout),
    }
}

/// On one machine a socket may be given the very port it is to connect to, and then connects to
/// itself although nobody listens.
fn is_to_itself(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(ours), Ok(theirs)) if ours == theirs)
}
