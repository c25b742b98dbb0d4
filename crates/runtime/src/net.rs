//! Sockets that need more than the standard library sets.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// A silent peer is probed after this time, and then every so often.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(15);
/// Probes without an answer after which the connection is over.
const PROBES: u32 = 4;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

/// Listens on an address that several sockets of this process share: the kernel spreads the
/// connections over them (SO_REUSEPORT). Accepted sockets inherit TCP_NODELAY and keepalive, which
/// saves system calls for each.
///
/// # Errors
///
/// The kernel's: the address is taken, not ours, or reserved.
pub fn listen_shared(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    keep_alive(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether an address may be listened on by a process of its own: not when another one listens
/// there, which [`listen_shared`] would join without a word and take its connections from.
///
/// # Errors
///
/// The kernel's: the address is taken, not ours, or reserved.
pub fn check_free(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Bound and never listening: nobody can connect meanwhile.
    socket.bind(&address.into())
}

/// Lets the kernel find out when the peer of a silent connection is gone: within two minutes.
///
/// # Errors
///
/// The kernel's.
pub fn keep_alive(socket: &impl AsFd) -> io::Result<()> {
    let probes =
        TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY).with_retries(PROBES);
    SockRef::from(socket).set_tcp_keepalive(&probes)
}
