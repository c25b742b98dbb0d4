//! Why there is no socket, and what to do about it.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::SockRef;

use crate::bounds::{DATAGRAM_BUFFER_BYTES, TCP_IDLE};

/// How often another port is tried where any will do and the one that TCP got is taken for UDP.
const TRIES: usize = 16;

/// Why there is no server. Reads as a reason, and says the way out.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The kernel says no.
    #[error("{address} over {over}: {source}{}", Hint(source.kind(), *address))]
    Socket {
        /// Where.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        over: &'static str,
        /// What it says.
        source: io::Error,
    },
    /// DNS has no tokens: off loopback it must be written out who may ask.
    #[error(
        "{0} is not loopback, and everybody who reaches it could list services: name the networks \
         that may ask"
    )]
    Open(SocketAddr),
}

/// What usually is behind it.
struct Hint(ErrorKind, SocketAddr);

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(kind, address) = self;
        let other = SocketAddr::new(address.ip(), 5300);
        match (kind, address.port()) {
            (ErrorKind::AddrInUse, 5353) => write!(
                f,
                ". 5353 is the port of multicast DNS, which avahi-daemon, or systemd-resolved with \
                 MulticastDNS=yes, holds on many machines. Listen on another port, for one \
                 listen = \"{other}\", or turn it off: systemctl disable --now avahi-daemon.socket \
                 avahi-daemon; MulticastDNS=no in /etc/systemd/resolved.conf. \
                 `ss -lunp 'sport = 5353'` says who it is"
            ),
            (ErrorKind::AddrInUse, 53) => write!(
                f,
                ". Port 53 usually belongs to systemd-resolved or dnsmasq. Leave it to them, listen \
                 on another port, for one listen = \"{other}\", and let them ask there for the zone"
            ),
            (ErrorKind::AddrInUse, _) => {
                f.write_str(". Another program has it: listen on another port")
            }
            (ErrorKind::PermissionDenied, port) if port < 1024 => write!(
                f,
                ". Ports below 1024 want CAP_NET_BIND_SERVICE: listen on another one, for one \
                 listen = \"{other}\""
            ),
            _ => Ok(()),
        }
    }
}

/// A socket for each, on one number.
pub(crate) fn sockets(address: SocketAddr) -> Result<(UdpSocket, TcpListener), BindError> {
    let mut tries = if address.port() == 0 { TRIES } else { 1 };
    loop {
        let (bound, tcp) = runtime::listen_alone(address, TCP_IDLE)
            .and_then(|tcp| Ok((tcp.local_addr()?, tcp)))
            .map_err(|source| BindError::Socket { address, over: "TCP", source })?;
        tries -= 1;
        match datagrams(bound) {
            Ok(udp) => return Ok((udp, tcp)),
            Err(source) if source.kind() == ErrorKind::AddrInUse && tries > 0 => {}
            Err(source) => return Err(BindError::Socket { address, over: "UDP", source }),
        }
    }
}

/// No other socket shares it.
fn datagrams(address: SocketAddr) -> io::Result<UdpSocket> {
    let udp = UdpSocket::bind(address)?;
    udp.set_nonblocking(true)?;
    // As large as the kernel allows: a burst of questions is lost otherwise.
    let _ = SockRef::from(&udp).set_recv_buffer_size(DATAGRAM_BUFFER_BYTES);
    let _ = SockRef::from(&udp).set_send_buffer_size(DATAGRAM_BUFFER_BYTES);
    Ok(udp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_says_the_way_out() {
        #[rustfmt::skip]
        let table = [
            (ErrorKind::AddrInUse,        5353, "avahi-daemon"),
            (ErrorKind::AddrInUse,        5353, "listen = \"127.0.0.1:5300\""),
            (ErrorKind::AddrInUse,        5353, "MulticastDNS=no"),
            (ErrorKind::AddrInUse,        53,   "systemd-resolved"),
            (ErrorKind::AddrInUse,        5300, "another port"),
            (ErrorKind::PermissionDenied, 53,   "CAP_NET_BIND_SERVICE"),
        ];
        for (kind, port, want) in table {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let error = BindError::Socket { address, over: "UDP", source: kind.into() }.to_string();
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn what_is_taken_for_one_is_taken() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (udp, tcp) = sockets(any).unwrap();
        let address = udp.local_addr().unwrap();
        assert_eq!(tcp.local_addr().unwrap(), address);
        let error = sockets(address).unwrap_err().to_string();
        assert!(error.contains("TCP") && error.contains("another port"), "{error}");
        drop(tcp);
        let error = sockets(address).unwrap_err().to_string();
        assert!(error.contains("UDP"), "{error}");
    }
}
