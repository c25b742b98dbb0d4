//! Sockets that need more than the standard library sets.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

/// Listens on an address that several sockets of this process share: the kernel spreads the
/// connections over them (SO_REUSEPORT). Accepted sockets inherit TCP_NODELAY, which saves a
/// system call for each.
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
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
