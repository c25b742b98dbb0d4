//! Sockets that need more than the standard library sets.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// A silent peer is probed after this time, and then every so often.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(15);
/// Probes without an answer after which the connection is over.
const PROBES: u32 = 4;

/// Datagrams that wait to be read or sent.
const DATAGRAM_BUFFER_BYTES: usize = 4 * 1024 * 1024;

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

/// A socket for datagrams on an address that several sockets of this process share.
///
/// # Errors
///
/// The kernel's: the address is taken, not ours, or reserved.
pub fn udp_shared(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // As large as the kernel allows: a burst of datagrams is lost otherwise.
    let _ = socket.set_recv_buffer_size(DATAGRAM_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(DATAGRAM_BUFFER_BYTES);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Whether an address may be used for datagrams by a process of its own, as [`check_free`].
///
/// # Errors
///
/// The kernel's: the address is taken, not ours, or reserved.
pub fn check_free_udp(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&address.into())
}

/// Gives each QUIC packet to the socket that its connection belongs to, among those that share
/// the address of `socket`: to the one whose number, in the order in which they were bound, is the
/// first byte of the destination connection id modulo `sockets`. The kernel would go by the
/// client's address, which changes while a connection lasts (RFC 9000, 9).
///
/// # Errors
///
/// The kernel's.
pub fn steer_by_connection_id(socket: &UdpSocket, sockets: usize) -> io::Result<()> {
    let sockets = u32::try_from(sockets.max(1)).unwrap_or(1);
    // Classic BPF (linux/filter.h); what it returns is the number of the socket. In a packet with
    // a short header the id follows the first byte, in one with a long header version and length
    // come between (RFC 9000, 17.2 and 17.3).
    const LOAD_BYTE: u16 = 0x30; // BPF_LD | BPF_B | BPF_ABS
    const JUMP_IF_SET: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
    const MODULO: u16 = 0x94; // BPF_ALU | BPF_MOD | BPF_K
    const RETURN: u16 = 0x16; // BPF_RET | BPF_A
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let steps = [
        step(LOAD_BYTE, 0, 0, 0),
        step(JUMP_IF_SET, 0, 2, 0x80),
        step(LOAD_BYTE, 0, 0, 6),
        step(JUMP_IF_SET, 1, 1, 0),
        step(LOAD_BYTE, 0, 0, 1),
        step(MODULO, 0, 0, sockets),
        step(RETURN, 0, 0, 0),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(steps.len()).unwrap_or(u16::MAX),
        filter: steps.as_ptr().cast_mut(),
    };
    #[expect(
        unsafe_code,
        reason = "setsockopt reads the program during the call, and keeps no pointer"
    )]
    // SAFETY: `program` and the steps it points to live until the call returns, and the length is
    // that of `program`.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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

/// Bounds how long a peer may leave unacknowledged what it was sent, or take nothing of it; without
/// a limit the kernel goes on for about a quarter of an hour.
///
/// # Errors
///
/// The kernel's.
pub fn give_up_after(socket: &impl AsFd, limit: Option<Duration>) -> io::Result<()> {
    SockRef::from(socket).set_tcp_user_timeout(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever address they come from, packets of one connection reach one socket.
    #[test]
    fn packets_go_where_their_connection_id_says() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let first = udp_shared(any).unwrap();
        let at = first.local_addr().unwrap();
        let sockets = [first, udp_shared(at).unwrap(), udp_shared(at).unwrap()];
        steer_by_connection_id(&sockets[0], sockets.len()).unwrap();
        for id in 0..=20_u8 {
            let short = [0x40, id, 1, 2, 3];
            let long = [0xc0, 0, 0, 0, 1, 8, id, 1, 2, 3];
            for packet in [&short[..], &long] {
                let client = UdpSocket::bind(any).unwrap();
                client.send_to(packet, at).unwrap();
                let mut got = [0; 16];
                let expected = &sockets[usize::from(id) % sockets.len()];
                // Loopback delivers before it returns.
                let (len, from) = expected.recv_from(&mut got).unwrap();
                assert_eq!((&got[..len], from), (packet, client.local_addr().unwrap()), "{id}");
            }
        }
    }
}
