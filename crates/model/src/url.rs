//! Where a backend is.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::{HostPattern, RoutePath};

/// Longest backend URL, in bytes.
const URL_BYTES_MAX: usize = 2048;

/// How a backend is spoken to (SPEC 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// HTTP/1.1 in clear text.
    Http,
    /// HTTP over TLS, version by ALPN.
    Https,
    /// HTTP/2 in clear text with prior knowledge.
    H2c,
    /// The same as `http`, by the name WebSocket backends are known by.
    Ws,
    /// The same as `https`.
    Wss,
    /// The same as `h2c`, with gRPC's answers to our own errors.
    Grpc,
    /// gRPC over TLS.
    Grpcs,
}

impl Scheme {
    /// Every scheme, in the order of the documents.
    pub const ALL: [Self; 7] =
        [Self::Http, Self::Https, Self::H2c, Self::Ws, Self::Wss, Self::Grpc, Self::Grpcs];

    /// As it is written before `://`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Grpc => "grpc",
            Self::Grpcs => "grpcs",
        }
    }

    /// Whether the connection to the backend is encrypted.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Wss | Self::Grpcs)
    }

    const fn default_port(self) -> u16 {
        if self.is_tls() { 443 } else { 80 }
    }
}

/// The host of a backend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackendHost {
    /// To be resolved, by TTL.
    Name(Box<str>),
    /// An address.
    Ip(IpAddr),
}

impl BackendHost {
    /// Reads a host name or an address, an IPv6 one with brackets or without; no port, no path.
    ///
    /// # Errors
    ///
    /// [`UrlError::Host`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let within = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        match (within, text.parse()) {
            (Some(v6), _) => {
                v6.parse().map(|ip| Self::Ip(IpAddr::V6(ip))).map_err(|_| UrlError::Host)
            }
            (None, Ok(ip)) => Ok(Self::Ip(ip)),
            (None, Err(_)) => parse_host(text),
        }
    }
}

/// Where a backend is: scheme, host, port and an optional base path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendUrl {
    scheme: Scheme,
    host: BackendHost,
    port: Option<u16>,
    base: Box<str>,
}

/// Why a text is no backend URL. Reads on after the name of the field; the first words are the
/// seed's own (`ERROR|route r2: invalid backend URL format`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// No `scheme://host`.
    #[error("invalid backend URL format: want scheme://host[:port][/path]")]
    Format,
    /// A scheme we do not speak.
    #[error("invalid backend URL scheme: want http, https, h2c, ws, wss, grpc or grpcs")]
    Scheme,
    /// No such host name or address.
    #[error("invalid backend URL host: want a host name, an IPv4 address or an [IPv6] address")]
    Host,
    /// Not 1 to 65535.
    #[error("invalid backend URL port: want 1 to 65535")]
    Port,
    /// User information, a query or a fragment, or a path that is none.
    #[error("invalid backend URL path: want no credentials, query or fragment")]
    Path,
    /// Longer than allowed.
    #[error("invalid backend URL: want at most {URL_BYTES_MAX} bytes")]
    TooLong,
}

impl BackendUrl {
    /// Reads `scheme://host[:port][/base]`.
    ///
    /// # Errors
    ///
    /// [`UrlError`], saying what was wanted.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Format)?;
        let scheme = Scheme::ALL
            .into_iter()
            .find(|s| s.as_str().eq_ignore_ascii_case(scheme))
            .ok_or(UrlError::Scheme)?;
        let (authority, base) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(UrlError::Path);
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => {
                let (address, port) = v6.split_once(']').ok_or(UrlError::Host)?;
                let address: Ipv6Addr = address.parse().map_err(|_| UrlError::Host)?;
                let port = if port.is_empty() {
                    None
                } else {
                    Some(port.strip_prefix(':').ok_or(UrlError::Port)?)
                };
                (BackendHost::Ip(IpAddr::V6(address)), port)
            }
            None => {
                let (host, port) = match authority.split_once(':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (authority, None),
                };
                (parse_host(host)?, port)
            }
        };
        let port = port.map(parse_port).transpose()?;
        if !base.is_empty() {
            RoutePath::parse(base).map_err(|_| UrlError::Path)?;
        }
        // Every slash at the end: what is shown has to read back as the same.
        let base = base.trim_end_matches('/').into();
        Ok(Self { scheme, host, port, base })
    }

    /// How it is spoken to.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host.
    pub const fn host(&self) -> &BackendHost {
        &self.host
    }

    /// The port, the scheme's own if none was given.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(self.scheme.default_port())
    }

    /// What goes before each request's path: empty, or `/base` without a slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// `host[:port]`, as a Host field for this backend has it.
    pub fn authority(&self) -> String {
        let host = match &self.host {
            BackendHost::Name(name) => name.to_string(),
            BackendHost::Ip(IpAddr::V4(address)) => address.to_string(),
            BackendHost::Ip(IpAddr::V6(address)) => format!("[{address}]"),
        };
        self.port.map_or(host.clone(), |port| format!("{host}:{port}"))
    }

    /// The same host at another port, without a base path: where a v1 service has its
    /// maintenance page.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        Self { scheme: self.scheme, host: self.host.clone(), port: Some(port), base: "".into() }
    }
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.as_str(), self.authority(), self.base)
    }
}

fn parse_host(host: &str) -> Result<BackendHost, UrlError> {
    if let Ok(address) = host.parse() {
        return Ok(BackendHost::Ip(IpAddr::V4(address)));
    }
    match HostPattern::parse(host) {
        Ok(HostPattern::Exact(name)) if !host.contains(char::is_whitespace) => {
            Ok(BackendHost::Name(name))
        }
        _ => Err(UrlError::Host),
    }
}

fn parse_port(port: &str) -> Result<u16, UrlError> {
    let plain = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| port.parse().ok()).flatten().filter(|port| *port > 0).ok_or(UrlError::Port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_stand_alone() {
        let ip = |text: &str| Ok(BackendHost::Ip(text.parse().unwrap()));
        for (text, host) in [
            ("10.0.0.1", ip("10.0.0.1")),
            ("fd00::1", ip("fd00::1")),
            ("Web.Test", Ok(BackendHost::Name("web.test".into()))),
            ("h:80", Err(UrlError::Host)),
            ("h/x", Err(UrlError::Host)),
            ("u@h", Err(UrlError::Host)),
            ("h?x", Err(UrlError::Host)),
            ("[fd00::1]", ip("fd00::1")),
            ("[10.0.0.1]", Err(UrlError::Host)),
            ("[h]", Err(UrlError::Host)),
            ("a b", Err(UrlError::Host)),
            ("*.h", Err(UrlError::Host)),
            ("", Err(UrlError::Host)),
        ] {
            assert_eq!(BackendHost::parse(text), host, "{text}");
        }
    }

    #[test]
    fn urls() {
        let table = [
            ("http://orbat:3000", "http://orbat:3000", 3000, ""),
            ("HTTP://Orbat", "http://orbat", 80, ""),
            ("https://api:9443/", "https://api:9443", 9443, ""),
            ("https://api", "https://api", 443, ""),
            ("ws://chat:8080", "ws://chat:8080", 8080, ""),
            ("http://10.0.0.1:80/base/", "http://10.0.0.1:80/base", 80, "/base"),
            ("http://[::1]:80/a/b", "http://[::1]:80/a/b", 80, "/a/b"),
            ("grpcs://[::1]", "grpcs://[::1]", 443, ""),
            ("http://a//", "http://a", 80, ""),
            ("http://a/b//", "http://a/b", 80, "/b"),
        ];
        for (text, shown, port, base) in table {
            let url = BackendUrl::parse(text).unwrap();
            assert_eq!((url.to_string().as_str(), url.port(), url.base()), (shown, port, base));
            assert_eq!(BackendUrl::parse(shown).unwrap(), url, "{text}");
        }
    }

    #[test]
    fn no_urls() {
        let table = [
            ("", UrlError::Format),
            ("::bad", UrlError::Format),
            ("orbat:3000", UrlError::Format),
            ("ftp://a", UrlError::Scheme),
            ("http://", UrlError::Host),
            ("http://*.a", UrlError::Host),
            ("http://a b", UrlError::Host),
            ("http://[::1", UrlError::Host),
            ("http://[x]", UrlError::Host),
            ("http://a:", UrlError::Port),
            ("http://a:0", UrlError::Port),
            ("http://a:65536", UrlError::Port),
            ("http://a:+1", UrlError::Port),
            ("http://[::1]x", UrlError::Port),
            ("http://u:p@a", UrlError::Path),
            ("http://a?q", UrlError::Path),
            ("http://a/#f", UrlError::Path),
            ("http://a/../..", UrlError::Path),
        ];
        for (text, error) in table {
            assert_eq!(BackendUrl::parse(text), Err(error), "{text}");
        }
    }
}
