//! Version 2: binary (2.2).

use std::net::{IpAddr, SocketAddr};

use crate::crc32c::crc32c;
use crate::{Header, HeaderError, Origin, V2_BYTES_MAX};

/// What every header begins with.
pub(crate) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2 and the command for connections of the sender itself.
pub(crate) const LOCAL: u8 = 0x20;
/// Version 2 and the command for connections on behalf of another.
pub(crate) const PROXY: u8 = 0x21;
/// AF_INET and STREAM.
pub(crate) const TCP4: u8 = 0x11;
/// AF_INET6 and STREAM.
pub(crate) const TCP6: u8 = 0x21;

/// Signature, version and command, family and transport, length.
const FIXED_BYTES: usize = 16;

/// `PP2_TYPE_CRC32C` (2.2.3).
const TYPE_CRC32C: u8 = 0x03;

/// Reads a header that begins as [`SIGNATURE`] does.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    let Some(&[command, family, high, low]) = bytes.get(SIGNATURE.len()..FIXED_BYTES) else {
        return Ok(None);
    };
    check(command, family)?;
    let len = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if len > V2_BYTES_MAX {
        return Err(HeaderError::TooLong);
    }
    let Some(header) = bytes.get(..len) else { return Ok(None) };
    let from = match (command, family) {
        (PROXY, TCP4) => tcp::<4>(header)?,
        (PROXY, TCP6) => tcp::<16>(header)?,
        _ => Origin::Local,
    };
    Ok(Some(Header { len, from }))
}

/// Refuses what is reserved. The family of `LOCAL` is ignored, as the section asks.
fn check(command: u8, family: u8) -> Result<(), HeaderError> {
    match (command, family >> 4, family & 0xf) {
        (LOCAL, _, _) | (PROXY, 0..=3, 0..=2) => Ok(()),
        (PROXY, _, _) => Err(HeaderError::Family),
        _ if command >> 4 == 2 => Err(HeaderError::Command),
        _ => Err(HeaderError::Version),
    }
}

/// Reads both addresses, of `N` bytes each, and both ports; checks what follows.
fn tcp<const N: usize>(header: &[u8]) -> Result<Origin, HeaderError>
where
    IpAddr: From<[u8; N]>,
{
    let mut rest = header.get(FIXED_BYTES..).unwrap_or_default();
    let (source, destination) = (take::<N>(&mut rest)?, take::<N>(&mut rest)?);
    let (source_port, destination_port) = (take(&mut rest)?, take(&mut rest)?);
    tlvs(header, rest)?;
    Ok(Origin::Tcp {
        source: SocketAddr::new(source.into(), u16::from_be_bytes(source_port)),
        destination: SocketAddr::new(destination.into(), u16::from_be_bytes(destination_port)),
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], HeaderError> {
    let (taken, left) = rest.split_first_chunk().ok_or(HeaderError::AddressesCut)?;
    *rest = left;
    Ok(*taken)
}

/// Skips the TLVs that `header` ends in (2.2.5), all but the checksum.
fn tlvs(header: &[u8], mut rest: &[u8]) -> Result<(), HeaderError> {
    let mut checked = false;
    while let [kind, tail @ ..] = rest {
        let (len, tail) = tail.split_first_chunk().ok_or(HeaderError::TlvCut)?;
        let len = usize::from(u16::from_be_bytes(*len));
        let (value, tail) = tail.split_at_checked(len).ok_or(HeaderError::TlvCut)?;
        if *kind == TYPE_CRC32C {
            if checked || !sum_holds(header, value, tail.len()) {
                return Err(HeaderError::Checksum);
            }
            checked = true;
        }
        rest = tail;
    }
    Ok(())
}

/// Whether `sum`, with `after` bytes behind it, is that of `header` with zeros in its place (2.2.3).
fn sum_holds(header: &[u8], sum: &[u8], after: usize) -> bool {
    let Ok(wanted) = <[u8; 4]>::try_from(sum) else { return false };
    let end = header.len().saturating_sub(after);
    let place = end.saturating_sub(wanted.len())..end;
    let blanked = |(at, byte): (usize, &u8)| if place.contains(&at) { 0 } else { *byte };
    crc32c(header.iter().enumerate().map(blanked)) == u32::from_be_bytes(wanted)
}
