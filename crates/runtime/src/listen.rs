//! Listening sockets for few connections that last for days.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

/// Connections that wait to be accepted: ten thousand services may return at once.
const BACKLOG: i32 = 4096;
/// Probes without an answer until a peer counts as dead, this long apart.
const PROBES: u32 = 3;
const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// Listens on an address that no other socket shares. Accepted sockets inherit TCP_NODELAY and
/// keepalive: a peer that was silent for `idle` is probed, and dead half a minute later.
///
/// # Errors
///
/// The kernel's: the address is taken, not ours, or reserved.
pub fn listen_alone(address: SocketAddr, idle: Duration) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(idle).with_interval(PROBE_INTERVAL).with_retries(PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use socket2::SockRef;

    use super::*;

    #[test]
    fn accepted_sockets_are_kept_alive_and_do_not_wait_to_send() {
        let idle = Duration::from_secs(30);
        let listener = listen_alone("127.0.0.1:0".parse().unwrap(), idle).unwrap();
        listener.set_nonblocking(false).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let socket = SockRef::from(&accepted);
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), idle);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), PROBES);
    }

    #[test]
    fn an_address_is_had_by_one() {
        let idle = Duration::from_secs(30);
        let first = listen_alone("127.0.0.1:0".parse().unwrap(), idle).unwrap();
        let again = listen_alone(first.local_addr().unwrap(), idle).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
    }
}
