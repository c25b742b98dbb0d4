//! Writing heads and chunks into a buffer that is used again.
//!
//! Functions and no builder: the caller walks the fields it received, drops, replaces and
//! adds, and writes each as it goes. Names and values are written as they are; those that
//! were parsed here or checked when they were configured hold no line ends.

/// Writes `METHOD target HTTP/1.1`.
pub fn request_line(out: &mut Vec<u8>, method: &[u8], target: &[u8]) {
    debug_assert!(is_word(method) && is_word(target), "a request line has two spaces");
    out.reserve(method.len() + target.len() + 12);
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Writes `HTTP/1.1 status reason`.
pub fn status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    debug_assert!((100..=999).contains(&status), "a status has three digits");
    debug_assert!(is_text(reason), "a reason is on the line of its status");
    out.reserve(reason.len() + 15);
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// Writes one field line.
pub fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    debug_assert!(is_word(name) && is_text(value), "a field is on one line");
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes one field line with a decimal number.
pub fn field_number(out: &mut Vec<u8>, name: &[u8], value: u64) {
    debug_assert!(is_word(name), "a field is on one line");
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    decimal(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Ends a head, or a chunk.
pub fn blank_line(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Writes a number in decimal.
pub fn decimal(out: &mut Vec<u8>, number: u64) {
    let (mut digits, mut at, mut left) = ([0; 20], 20, number);
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes a number in hexadecimal, without leading zeros.
pub fn hex(out: &mut Vec<u8>, number: u64) {
    let (mut digits, mut at, mut left) = ([0; 16], 16, number);
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[(left & 15) as usize];
        left >>= 4;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes what comes before a chunk of `len` bytes, which must not be 0: that would end
/// the body. After the chunk write [`blank_line`] (RFC 9112, 7.1).
pub fn chunk_size(out: &mut Vec<u8>, len: usize) {
    debug_assert!(len > 0, "an empty chunk is the last one");
    hex(out, len as u64);
    out.extend_from_slice(b"\r\n");
}

/// Writes one chunk whole; nothing for an empty payload.
pub fn chunk(out: &mut Vec<u8>, payload: &[u8]) {
    if payload.is_empty() {
        return;
    }
    out.reserve(payload.len() + 20);
    chunk_size(out, payload.len());
    out.extend_from_slice(payload);
    blank_line(out);
}

/// Ends a chunked body. `trailers` are lines as [`Decoder::trailers`](crate::Decoder::trailers)
/// has them, mostly none.
pub fn last_chunk(out: &mut Vec<u8>, trailers: &[u8]) {
    debug_assert!(trailers.is_empty() || trailers.ends_with(b"\r\n"), "whole lines");
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    blank_line(out);
}

/// The usual reason phrase of a status (RFC 9110, 15), empty for those without one.
pub const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        511 => "Network Authentication Required",
        _ => "",
    }
}

/// Whether `bytes` stay in their place on the line: no line end, no white space.
fn is_word(bytes: &[u8]) -> bool {
    !bytes.is_empty() && !bytes.iter().any(|b| *b <= b' ')
}

/// Whether `bytes` stay on their line.
fn is_text(bytes: &[u8]) -> bool {
    !bytes.iter().any(|b| matches!(b, b'\r' | b'\n' | b'\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_does() {
        let mut numbers = vec![0, 9, 10, 15, 16, 99, 100, 255, 256, 9_999, 10_000, u64::MAX];
        numbers.extend((0..64).map(|bit| 1_u64 << bit));
        for number in numbers {
            assert_eq!(written(|out| decimal(out, number)), format!("{number}"));
            assert_eq!(written(|out| hex(out, number)), format!("{number:x}"));
        }
    }

    #[test]
    fn lines() {
        #[rustfmt::skip]
        let table = [
            (written(|out| request_line(out, b"GET", b"/a?b")),     "GET /a?b HTTP/1.1\r\n"),
            (written(|out| status_line(out, 200, b"OK")),           "HTTP/1.1 200 OK\r\n"),
            (written(|out| status_line(out, 299, b"")),             "HTTP/1.1 299 \r\n"),
            (written(|out| field(out, b"X-a", b"b c")),             "X-a: b c\r\n"),
            (written(|out| field(out, b"X-a", b"")),                "X-a: \r\n"),
            (written(|out| field_number(out, b"Age", 120)),         "Age: 120\r\n"),
            (written(|out| chunk(out, b"hello, world, hi!")),       "11\r\nhello, world, hi!\r\n"),
            (written(|out| chunk(out, b"")),                        ""),
            (written(|out| last_chunk(out, b"")),                   "0\r\n\r\n"),
            (written(|out| last_chunk(out, b"a: b\r\n")),           "0\r\na: b\r\n\r\n"),
        ];
        for (written, wanted) in table {
            assert_eq!(written, wanted);
        }
    }

    #[test]
    fn every_status_we_answer_with_has_a_reason() {
        use crate::HeadError;
        let errors = [
            HeadError::RequestLine,
            HeadError::TargetTooLong,
            HeadError::HeadTooLong,
            HeadError::Expectation,
            HeadError::EncodingUnknown,
            HeadError::Version,
        ];
        for error in errors {
            assert!(!reason(error.status()).is_empty(), "{error}");
        }
        assert_eq!(reason(599), "");
    }
}
