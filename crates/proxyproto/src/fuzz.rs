//! What must hold for any bytes at all.
//!
//! The fuzz target calls this, and so does a test over the committed corpus. A broken rule is
//! a panic.

use crate::{Header, Origin, V2_BYTES_MAX, encode_v2, encode_v2_local, parse};

/// Parses `data` as a header.
///
/// Of what is accepted every beginning is incomplete, what follows does not matter, and written
/// again it reads as the same.
///
/// # Panics
///
/// If one of these does not hold.
pub fn header(data: &[u8]) {
    match parse(data) {
        Ok(Some(header)) => accepted(data, header),
        Ok(None) => assert!(data.len() < V2_BYTES_MAX, "more is wanted than a header can have"),
        Err(_) => {}
    }
}

fn accepted(data: &[u8], header: Header) {
    assert!(header.len <= data.len());
    let bytes = &data[..header.len];
    assert_eq!(parse(bytes), Ok(Some(header)), "without what follows");
    for end in 0..header.len {
        assert_eq!(parse(&bytes[..end]), Ok(None), "the first {end} bytes");
    }
    let mut out = Vec::new();
    match header.from {
        Origin::Local => encode_v2_local(&mut out),
        Origin::Tcp { source, destination } => encode_v2(source, destination, &mut out),
    }
    let again = Header { len: out.len(), from: header.from };
    assert_eq!(parse(&out), Ok(Some(again)), "written again");
}
