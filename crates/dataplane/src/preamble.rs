//! Who a connection is really from, as a trusted proxy before us says: the PROXY protocol (SPEC 6).

use std::io;
use std::net::SocketAddr;

use proxyproto::{Origin, V1_BYTES_MAX, V2_BYTES_MAX, parse};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// What both versions have at least.
const START_BYTES: usize = 12;
/// Where the length of the rest stands in version 2 (section 2.2).
const V2_FIXED_BYTES: usize = 16;
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Who connected, and to where, as a header names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

/// Reads the header and not a byte more: what follows may be a TLS handshake. Returns the addresses
/// it names, if it names any.
///
/// # Errors
///
/// The connection's; and [`io::ErrorKind::InvalidData`] for what is no header.
pub(crate) async fn read(tcp: &mut TcpStream) -> io::Result<Option<Named>> {
    let mut bytes = vec![0; START_BYTES];
    tcp.read_exact(&mut bytes).await?;
    if bytes == V2_SIGNATURE {
        bytes.resize(V2_FIXED_BYTES, 0);
        tcp.read_exact(bytes.get_mut(START_BYTES..).unwrap_or_default()).await?;
        let length = bytes.get(START_BYTES + 2..).unwrap_or_default();
        let rest = length.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        if V2_FIXED_BYTES + rest > V2_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bytes.resize(V2_FIXED_BYTES + rest, 0);
        tcp.read_exact(bytes.get_mut(V2_FIXED_BYTES..).unwrap_or_default()).await?;
    } else {
        // A line of at most 107 bytes, once per connection.
        while bytes.last() != Some(&b'\n') && bytes.len() < V1_BYTES_MAX {
            bytes.push(tcp.read_u8().await?);
        }
    }
    match parse(&bytes) {
        Ok(Some(header)) => Ok(match header.from {
            Origin::Local => None,
            Origin::Tcp { source, destination } => Some(Named { source, destination }),
        }),
        Ok(None) => Err(io::ErrorKind::InvalidData.into()),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}
