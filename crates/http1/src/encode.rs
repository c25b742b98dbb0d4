//! Writing heads and chunks into a buffer that is used again.
//!
//! Functions and no builder: the caller walks the fields it received, drops, replaces and
//! adds, and writes each as it goes.

/// Writes `METHOD target HTTP/1.1`.
pub fn request_line(out: &mut Vec<u8>, method: &[u8], target: &[u8]) {
    let _ = (out, method, target);
    todo!()
}

/// Writes `HTTP/1.1 status reason`.
pub fn status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    let _ = (out, status, reason);
    todo!()
}

/// The usual reason phrase of a status (RFC 9110, 15), empty for those without one.
pub const fn reason(status: u16) -> &'static str {
    let _ = status;
    todo!()
}

/// Writes one field line.
pub fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let _ = (out, name, value);
    todo!()
}

/// Writes one field line with a decimal number.
pub fn field_number(out: &mut Vec<u8>, name: &[u8], value: u64) {
    let _ = (out, name, value);
    todo!()
}

/// Ends a head.
pub fn blank_line(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Writes a number in decimal.
pub fn decimal(out: &mut Vec<u8>, number: u64) {
    let _ = (out, number);
    todo!()
}

/// Writes a number in hexadecimal, without leading zeros.
pub fn hex(out: &mut Vec<u8>, number: u64) {
    let _ = (out, number);
    todo!()
}

/// Writes what comes before a chunk of `len` bytes, which must not be 0: that would end
/// the body. After the chunk write [`blank_line`].
pub fn chunk_size(out: &mut Vec<u8>, len: usize) {
    let _ = (out, len);
    todo!()
}

/// Writes one chunk whole; nothing for an empty payload.
pub fn chunk(out: &mut Vec<u8>, payload: &[u8]) {
    let _ = (out, payload);
    todo!()
}

/// Ends a chunked body. `trailers` are lines as [`Decoder::trailers`](crate::Decoder::trailers)
/// has them, mostly none.
pub fn last_chunk(out: &mut Vec<u8>, trailers: &[u8]) {
    let _ = (out, trailers);
    todo!()
}
