//! Where a registry listens: a TCP address, with TLS or without, or a Unix socket.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::tls::Tls;

/// Where a registry listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `host:port`; the name is resolved anew at each attempt.
    Tcp(Box<str>),
    /// The same, and TLS is spoken there.
    Tls(Box<str>, Tls),
    /// The path of a Unix socket, written `unix:PATH`.
    Unix(PathBuf),
}

/// Why a text is no address. Reads on after the name of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither `host:port` nor `unix:PATH`.
    #[error("must be HOST:PORT, [IPV6]:PORT or unix:PATH")]
    Form,
    /// Not 1 to 65535.
    #[error("must have a port of 1 to 65535")]
    Port,
}

/// A byte stream to a registry, whatever carries it.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Address {
    /// The same address with TLS. On a Unix socket nobody speaks it.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        match self {
            Self::Tcp(address) | Self::Tls(address, _) => Self::Tls(address, tls),
            Self::Unix(path) => Self::Unix(path),
        }
    }

    /// Opens a connection, without a limit of time.
    pub(crate) async fn open(&self) -> std::io::Result<Box<dyn Stream>> {
        match self {
            Self::Tcp(address) => Ok(Box::new(connect(address).await?)),
            Self::Tls(address, tls) => {
                let stream = connect(address).await?;
                Ok(Box::new(tls.connect(stream, host_of(address)).await?))
            }
            Self::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        }
    }
}

async fn connect(address: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Commands are small and each waits for its answer.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Without the port, and without the brackets of IPv6: as a certificate has it.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(AddressError::Form)
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::Form)?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let clean = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/');
        if !clean || (host.contains(':') && !bracketed) {
            return Err(AddressError::Form);
        }
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        match port.parse::<u16>() {
            Ok(1..) if digits => Ok(Self::Tcp(text.into())),
            Ok(_) | Err(_) => Err(AddressError::Port),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) | Self::Tls(address, _) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_as_certificates_have_them() {
        for (address, host) in
            [("proxy:81", "proxy"), ("10.0.0.1:81", "10.0.0.1"), ("[::1]:81", "::1")]
        {
            assert_eq!(host_of(address), host);
        }
    }

    #[test]
    fn addresses() {
        for text in ["127.0.0.1:81", "proxy:81", "[::1]:65535", "unix:/run/p.sock", "unix:p.sock"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        assert_eq!("unix:///run/p".parse(), Ok(Address::Unix("/run/p".into())));
        let table = [
            ("", AddressError::Form),
            ("proxy", AddressError::Form),
            (":81", AddressError::Form),
            ("::1:81", AddressError::Form),
            ("http://proxy:81", AddressError::Form),
            ("unix:", AddressError::Form),
            ("proxy:", AddressError::Port),
            ("proxy:0", AddressError::Port),
            ("proxy:+1", AddressError::Port),
            ("proxy:65536", AddressError::Port),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<Address>(), Err(error), "{text}");
        }
    }
}
