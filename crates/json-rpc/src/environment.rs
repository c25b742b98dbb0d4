//! Backends in the environment: `REGISTRY_BACKENDS="dev=ws://127.0.0.1:4444,db=tcp://db:5432"`.

use crate::{Entry, EntryError};

/// The name of the variable.
pub const VARIABLE: &str = "REGISTRY_BACKENDS";

/// What is wrong with the variable. Names the entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{VARIABLE}, entry {number}: {why}")]
pub struct EnvironmentError {
    /// Which one, counted from 1.
    pub number: usize,
    /// What was wanted.
    pub why: Why,
}

/// What is wrong with one entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Another shape.
    #[error("want name=protocol://host:port")]
    Shape,
    /// One part of it.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// There is one of this name before it.
    #[error("a backend of the same name stands before it")]
    Twice,
}

/// Reads the variable: entries apart by commas; none if it is empty.
///
/// # Errors
///
/// [`EnvironmentError`].
pub fn parse_environment(text: &str) -> Result<Vec<Entry>, EnvironmentError> {
    let mut entries: Vec<Entry> = Vec::new();
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    for (part, number) in parts.zip(1..) {
        let entry = parse(part).and_then(|entry| {
            let twice = entries.iter().any(|other| other.identity() == entry.identity());
            if twice { Err(Why::Twice) } else { Ok(entry) }
        });
        entries.push(entry.map_err(|why| EnvironmentError { number, why })?);
    }
    Ok(entries)
}

fn parse(part: &str) -> Result<Entry, Why> {
    let (name, url) = part.split_once('=').ok_or(Why::Shape)?;
    let (protocol, authority) = url.split_once("://").ok_or(Why::Shape)?;
    let (host, port) = authority.rsplit_once(':').ok_or(Why::Shape)?;
    let port = port.parse().map_err(|_| EntryError::Port)?;
    Ok(Entry::new(name.trim(), host, port, Some(protocol))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables() {
        #[rustfmt::skip]
        let table = [
            ("",                                          Ok(0)),
            ("a=ws://127.0.0.1:1",                        Ok(1)),
            (" a=ws://[::1]:1, b=tcp://db:5432,",         Ok(2)),
            ("a",                                         Err("REGISTRY_BACKENDS, entry 1: want name=protocol://host:port")),
            ("a=ws://b",                                  Err("REGISTRY_BACKENDS, entry 1: want name=protocol://host:port")),
            ("a=ws://b:1,b=ws://b:0",                     Err("REGISTRY_BACKENDS, entry 2: port must be 1 to 65535")),
            ("a=ws://b:x",                                Err("REGISTRY_BACKENDS, entry 1: port must be 1 to 65535")),
            ("a=ws://b:1/c",                              Err("REGISTRY_BACKENDS, entry 1: port must be 1 to 65535")),
            ("a=ws://b/c:1",                              Err("REGISTRY_BACKENDS, entry 1: host must be a host name or an address, without scheme and port")),
            ("=ws://b:1",                                 Err("REGISTRY_BACKENDS, entry 1: name must not be empty")),
            ("a=ws://b:1,a=ws://b:2",                     Err("REGISTRY_BACKENDS, entry 2: a backend of the same name stands before it")),
        ];
        for (text, want) in table {
            let read = parse_environment(text).map(|all| all.len()).map_err(|e| e.to_string());
            assert_eq!(read, want.map_err(str::to_owned), "{text}");
        }
    }
}
