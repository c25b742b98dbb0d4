//! One backend as calls, files and the environment have it, once it is found to be good.

use catalog::{Endpoint, Facts, FactsError, Identity, Protocol};
use model::{BackendHost, IdError, Scheme};

/// How a backend is spoken to if nobody says.
const PROTOCOL: Protocol = Protocol::Url(Scheme::Ws);

/// One backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    identity: Identity,
    host: BackendHost,
    port: u16,
    protocol: Protocol,
    description: Option<Box<str>>,
    namespace: Option<Box<str>>,
}

/// What is wrong with a backend. Names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// No name.
    #[error("name {0}")]
    Name(IdError),
    /// No host.
    #[error("host must be a host name or an address, without scheme and port")]
    Host,
    /// No port.
    #[error("port must be 1 to 65535")]
    Port,
    /// No protocol we know.
    #[error("protocol must be one of ws, wss, http, https, h2c, grpc, grpcs, tcp")]
    Protocol,
    /// Too much of something.
    #[error(transparent)]
    Facts(FactsError),
}

impl Entry {
    /// A backend of which nothing more is known.
    ///
    /// # Errors
    ///
    /// [`EntryError`].
    pub fn new(
        name: &str,
        host: &str,
        port: i64,
        protocol: Option<&str>,
    ) -> Result<Self, EntryError> {
        Ok(Self {
            identity: Identity::alone(name).map_err(EntryError::Name)?,
            host: parse_host(host)?,
            port: parse_port(port)?,
            protocol: protocol.map_or(Ok(PROTOCOL), parse_protocol)?,
            description: None,
            namespace: None,
        })
    }

    /// What is said about it beside where it is.
    ///
    /// # Errors
    ///
    /// [`EntryError::Facts`], if that is too long.
    pub fn described(
        mut self,
        description: Option<&str>,
        namespace: Option<&str>,
    ) -> Result<Self, EntryError> {
        self.description = description.map(Into::into);
        self.namespace = namespace.map(Into::into);
        self.facts().check().map_err(EntryError::Facts)?;
        Ok(self)
    }

    /// Whom it is about.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn facts(&self) -> Facts {
        let name = self.identity.service.as_str();
        let endpoint = Endpoint::new(name, self.host.clone(), self.port, self.protocol.clone());
        Facts {
            endpoints: vec![endpoint],
            description: self.description.clone(),
            namespace: self.namespace.clone(),
            ..Facts::default()
        }
    }
}

/// A host name, an IPv4 address, or an IPv6 address with brackets or without.
pub(crate) fn parse_host(text: &str) -> Result<BackendHost, EntryError> {
    BackendHost::parse(text).map_err(|_| EntryError::Host)
}

/// 1 to 65535.
pub(crate) fn parse_port(number: i64) -> Result<u16, EntryError> {
    u16::try_from(number).ok().filter(|port| *port > 0).ok_or(EntryError::Port)
}

/// One that we have a word for: a misspelled one would never be reached.
pub(crate) fn parse_protocol(text: &str) -> Result<Protocol, EntryError> {
    match Protocol::parse(text) {
        Some(known @ (Protocol::Tcp | Protocol::Url(_))) => Ok(known),
        Some(Protocol::Other(_)) | None => Err(EntryError::Protocol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        let long = "x".repeat(256);
        #[rustfmt::skip]
        let table = [
            // name     host              port    protocol        what is wrong
            ("dev",     "192.168.1.100",  4444,   Some("ws"),     None),
            ("dev",     "plexus.example", 1,      Some("WSS"),    None),
            ("dev",     "::1",            65_535, Some("tcp"),    None),
            ("dev",     "[::1]",          1,      None,           None),
            ("",        "a",              1,      None,           Some("name must not be empty")),
            ("a b",     "a",              1,      None,           Some("name must hold no spaces, pipes or control characters")),
            (&*long,    "a",              1,      None,           Some("name must be at most 255 bytes long")),
            ("a",       "",               1,      None,           Some("host must be a host name or an address, without scheme and port")),
            ("a",       "ws://a",         1,      None,           Some("host must be a host name or an address, without scheme and port")),
            ("a",       "a:1",            1,      None,           Some("host must be a host name or an address, without scheme and port")),
            ("a",       "a/b",            1,      None,           Some("host must be a host name or an address, without scheme and port")),
            ("a",       "*",              1,      None,           Some("host must be a host name or an address, without scheme and port")),
            ("a",       "a",              0,      None,           Some("port must be 1 to 65535")),
            ("a",       "a",              65_536, None,           Some("port must be 1 to 65535")),
            ("a",       "a",              -1,     None,           Some("port must be 1 to 65535")),
            ("a",       "a",              1,      Some("ftp"),    Some("protocol must be one of ws, wss, http, https, h2c, grpc, grpcs, tcp")),
            ("a",       "a",              1,      Some(""),       Some("protocol must be one of ws, wss, http, https, h2c, grpc, grpcs, tcp")),
        ];
        for (name, host, port, protocol, wrong) in table {
            let error = Entry::new(name, host, port, protocol).err();
            assert_eq!(error.map(|e| e.to_string()).as_deref(), wrong, "{name} {host} {port}");
        }
        let entry = Entry::new("a", "a", 1, None).unwrap();
        let long = "x".repeat(catalog::TEXT_BYTES_MAX + 1);
        let error = entry.described(Some(&long), None).unwrap_err();
        assert_eq!(error.to_string(), "description must be at most 16384 bytes long");
    }
}
