//! Version 1: a line for people to read (2.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::{Header, HeaderError, Origin, V1_BYTES_MAX};

/// What every line begins with.
pub(crate) const PREFIX: &[u8] = b"PROXY ";

/// Reads a line that begins as [`PREFIX`] does.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    let Some(end) = line_end(bytes)? else { return Ok(None) };
    let line = bytes.get(PREFIX.len()..end).ok_or(HeaderError::NoHeader)?;
    Ok(Some(Header { len: end + 2, from: origin(line)? }))
}

/// Where the CR LF is.
fn line_end(bytes: &[u8]) -> Result<Option<usize>, HeaderError> {
    let within = bytes.get(..V1_BYTES_MAX).unwrap_or(bytes);
    let end = within.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    match end.and_then(|at| within.get(at..)) {
        Some([b'\r', b'\n', ..]) => Ok(end),
        None | Some([b'\r']) if within.len() < V1_BYTES_MAX => Ok(None),
        None | Some([b'\r']) => Err(HeaderError::TooLong),
        Some(_) => Err(HeaderError::LineEnding),
    }
}

/// Reads what is between the prefix and the CR LF. After `UNKNOWN` anything may come.
fn origin(line: &[u8]) -> Result<Origin, HeaderError> {
    let mut words = line.split(|byte| *byte == b' ');
    match words.next() {
        Some(b"UNKNOWN") => Ok(Origin::Local),
        Some(b"TCP4") => tcp::<Ipv4Addr>(words),
        Some(b"TCP6") => tcp::<Ipv6Addr>(words),
        Some(_) | None => Err(HeaderError::Protocol),
    }
}

/// Reads source and destination, then their ports.
fn tcp<'a, Ip: FromStr + Into<IpAddr>>(
    mut words: impl Iterator<Item = &'a [u8]>,
) -> Result<Origin, HeaderError> {
    let mut word = || words.next().ok_or(HeaderError::Fields);
    let words4 = [word()?, word()?, word()?, word()?];
    if words.next().is_some() {
        return Err(HeaderError::Fields);
    }
    let [from, to, from_port, to_port] = words4;
    Ok(Origin::Tcp {
        source: SocketAddr::new(address::<Ip>(from)?, port(from_port)?),
        destination: SocketAddr::new(address::<Ip>(to)?, port(to_port)?),
    })
}

fn address<Ip: FromStr + Into<IpAddr>>(word: &[u8]) -> Result<IpAddr, HeaderError> {
    let ip = std::str::from_utf8(word).ok().and_then(|word| word.parse::<Ip>().ok());
    ip.map(Into::into).ok_or(HeaderError::Address)
}

fn port(word: &[u8]) -> Result<u16, HeaderError> {
    let canonical = match word {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let port = std::str::from_utf8(word).ok().filter(|_| canonical);
    port.and_then(|word| word.parse().ok()).ok_or(HeaderError::Port)
}
