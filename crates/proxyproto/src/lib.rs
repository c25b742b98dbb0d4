//! The PROXY protocol, versions 1 and 2: bytes to the addresses of a connection and back.
//!
//! A balancer in front of the proxy says in a header before the first byte of the client from
//! where the connection came; the proxy says it to its backends in the same way. Sections are
//! those of "The PROXY protocol Versions 1 & 2" by HAProxy.
//!
//! ```
//! use proxyd_proxyproto::{Header, Origin, encode_v2, parse};
//!
//! let (source, destination) = ("192.0.2.1:40000".parse()?, "192.0.2.9:443".parse()?);
//! let mut out = Vec::new();
//! encode_v2(source, destination, &mut out);
//!
//! assert_eq!(parse(&out[..20])?, None, "read more, call again");
//! let from = Origin::Tcp { source, destination };
//! assert_eq!(parse(&out)?, Some(Header { len: out.len(), from }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod fuzz;

mod crc32c;
mod encode;
mod error;
mod v1;
mod v2;

use std::net::SocketAddr;

pub use encode::{encode_v2, encode_v2_local};
pub use error::HeaderError;

/// The longest header of version 1, with its CR LF (2.1).
pub const V1_BYTES_MAX: usize = 107;

/// The longest header of version 2 that is read here; the length field could say 65551 (2.2).
pub const V2_BYTES_MAX: usize = 4096;

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its bytes; what follows them is the client's.
    pub len: usize,
    /// Where the connection came from.
    pub from: Origin,
}

/// Where a connection came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The connection's own addresses hold: `UNKNOWN` (2.1), `LOCAL`, or a family other than
    /// TCP over IP (2.2).
    Local,
    /// TCP over IP.
    Tcp {
        /// Of the client.
        source: SocketAddr,
        /// What the client connected to; of the same family.
        destination: SocketAddr,
    },
}

/// Reads the header that `bytes` begin with, of either version (2); `None` while it is incomplete.
///
/// `None` is said to fewer than [`V2_BYTES_MAX`] bytes only.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    if begins(bytes, v1::PREFIX) {
        v1::parse(bytes)
    } else if begins(bytes, v2::SIGNATURE) {
        v2::parse(bytes)
    } else {
        Err(HeaderError::NoHeader)
    }
}

/// Whether `bytes` begin with `wanted`, or are a beginning of it.
fn begins(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.iter().zip(wanted).all(|(byte, wanted)| byte == wanted)
}
