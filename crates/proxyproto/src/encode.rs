//! Headers for backends: version 2 without TLVs.

use std::net::{IpAddr, SocketAddr};

use crate::v2;

/// Appends a header of version 2 for a TCP connection (2.2).
///
/// If one address is IPv4 and the other is not, the first is mapped into IPv6.
pub fn encode_v2(source: SocketAddr, destination: SocketAddr, out: &mut Vec<u8>) {
    out.extend_from_slice(v2::SIGNATURE);
    out.push(v2::PROXY);
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend_from_slice(&[v2::TCP4, 0, 12]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
        }
        (from, to) => {
            out.extend_from_slice(&[v2::TCP6, 0, 36]);
            out.extend_from_slice(&as_v6(from));
            out.extend_from_slice(&as_v6(to));
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
}

/// Appends a header of version 2 for a connection of our own, such as a health check: `LOCAL`
/// without addresses (2.2).
pub fn encode_v2_local(out: &mut Vec<u8>) {
    out.extend_from_slice(v2::SIGNATURE);
    out.extend_from_slice(&[v2::LOCAL, 0, 0, 0]);
}

fn as_v6(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}
