//! What the fields of a head say to a proxy, learned in one walk over them.

use crate::error::is_token;
use crate::field::{ConnectionOption, next_element};
use crate::{HeadError, Known};

/// The largest length we believe; signed 64-bit arithmetic elsewhere stays right.
pub(crate) const LENGTH_MAX: u64 = i64::MAX as u64;

/// Bounds of all `Connection` values of a head together: elements and bytes. Each field is
/// compared with each name nominated, so without a bound a head could buy seconds of work.
const NOMINATED_MAX: usize = 32;
const CONNECTION_BYTES_MAX: usize = 1024;

/// Whose head it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

/// What the fields say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts<'b> {
    /// The last `Host`, and whether there was one before.
    pub(crate) host: Option<&'b [u8]>,
    pub(crate) host_repeated: bool,
    pub(crate) length: Option<u64>,
    pub(crate) chunked: bool,
    /// `Connection` contains `close`.
    pub(crate) close: bool,
    /// `Connection` contains `keep-alive`.
    pub(crate) keep_alive: bool,
    /// `Connection` contains `upgrade`.
    upgrade: bool,
    /// `Connection` contains `te`.
    te: bool,
    /// `Connection` names fields.
    pub(crate) nominates: bool,
    /// How often there is an `Upgrade`, and whether the last one was `websocket`.
    upgrades: usize,
    websocket: bool,
    /// `TE` contains `trailers`.
    pub(crate) trailers: bool,
    /// `Expect: 100-continue`.
    pub(crate) expect_continue: bool,
    /// An `Expect` that asks for anything else.
    pub(crate) expect_other: bool,
    connection_elements: usize,
    connection_bytes: usize,
}

impl<'b> Facts<'b> {
    /// Classifies each of `headers` into `known` and collects what they say.
    pub(crate) fn learn(
        headers: &[httparse::Header<'b>],
        known: &mut [Known],
        side: Side,
    ) -> Result<Facts<'b>, HeadError> {
        let mut facts = Facts::default();
        for (header, slot) in headers.iter().zip(known) {
            let (name, value) = (header.name.as_bytes(), header.value);
            let known = Known::of(name);
            *slot = known;
            match known {
                Known::Host => facts.host_repeated |= facts.host.replace(value).is_some(),
                Known::ContentLength => {
                    refuse_underscore(name)?;
                    let length = content_length(value, side).ok_or(HeadError::LengthInvalid)?;
                    if facts.length.replace(length).is_some() {
                        return Err(HeadError::LengthRepeated);
                    }
                }
                Known::TransferEncoding => {
                    refuse_underscore(name)?;
                    facts.transfer_encoding(value)?;
                }
                Known::Connection => facts.connection(value)?,
                Known::Upgrade => {
                    facts.upgrades += 1;
                    facts.websocket = value.eq_ignore_ascii_case(b"websocket");
                }
                Known::Te => facts.trailers |= contains(value, b"trailers"),
                Known::Expect => {
                    let is_continue = value.eq_ignore_ascii_case(b"100-continue");
                    facts.expect_continue |= is_continue;
                    facts.expect_other |= !is_continue;
                }
                _ => {}
            }
        }
        if facts.chunked && facts.length.is_some() {
            return Err(HeadError::LengthAndEncoding);
        }
        Ok(facts)
    }

    /// Whether the head asks for, or agrees to, a WebSocket and nothing else.
    pub(crate) fn is_websocket(&self) -> bool {
        self.upgrade && self.upgrades == 1 && self.websocket
    }

    /// Whether the sender reads trailers; `TE` counts only if `Connection` says so
    /// (RFC 9110, 10.1.4).
    pub(crate) fn te_trailers(&self) -> bool {
        self.te && self.trailers
    }

    /// Nothing but one `chunked` (RFC 9112, 6.1 and 6.3). Other codings below a final
    /// `chunked` delimit the body well and are merely not ours to read; the rest do not.
    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), HeadError> {
        if self.chunked {
            return Err(HeadError::EncodingRepeated);
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(other_encoding(value));
        }
        self.chunked = true;
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) -> Result<(), HeadError> {
        self.connection_bytes += value.len();
        if self.connection_bytes > CONNECTION_BYTES_MAX {
            return Err(HeadError::TooManyNominated);
        }
        let mut rest = value;
        while let Some(element) = next_element(&mut rest) {
            self.connection_elements += 1;
            if self.connection_elements > NOMINATED_MAX {
                return Err(HeadError::TooManyNominated);
            }
            match ConnectionOption::of(element) {
                ConnectionOption::Close => self.close = true,
                ConnectionOption::KeepAlive => self.keep_alive = true,
                ConnectionOption::Upgrade => self.upgrade = true,
                ConnectionOption::Te => self.te = true,
                ConnectionOption::Name => {
                    if !element.iter().all(|b| is_token(*b)) {
                        return Err(HeadError::ConnectionInvalid);
                    }
                    self.nominates = true;
                }
                ConnectionOption::Empty => {}
            }
        }
        Ok(())
    }
}

#[cold]
fn other_encoding(value: &[u8]) -> HeadError {
    let mut ended = false;
    for coding in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
        if ended || coding.is_empty() || !coding.iter().all(|b| is_token(*b)) {
            return HeadError::EncodingInvalid;
        }
        ended = coding.eq_ignore_ascii_case(b"chunked");
    }
    if ended { HeadError::EncodingUnknown } else { HeadError::EncodingInvalid }
}

/// Behind CGI, `Content_Length` is the same variable as `Content-Length`.
fn refuse_underscore(name: &[u8]) -> Result<(), HeadError> {
    match memchr::memchr(b'_', name) {
        Some(_) => Err(HeadError::FramingUnderscore),
        None => Ok(()),
    }
}

/// One decimal number: no sign, no list, no white space inside (RFC 9110, 8.6). A client has
/// no reason for leading zeros, which some parsers take for octal; servers that pad exist.
fn content_length(value: &[u8], side: Side) -> Option<u64> {
    if value.is_empty() || (side == Side::Request && value.len() > 1 && value[0] == b'0') {
        return None;
    }
    let mut length: u64 = 0;
    for digit in value {
        if !digit.is_ascii_digit() {
            return None;
        }
        length = length.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    (length <= LENGTH_MAX).then_some(length)
}

fn contains(list: &[u8], wanted: &[u8]) -> bool {
    let mut rest = list;
    std::iter::from_fn(|| next_element(&mut rest)).any(|e| e.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::{Side, content_length};

    #[test]
    fn lengths() {
        #[rustfmt::skip]
        let table: [(&str, Option<u64>, Option<u64>); 21] = [
            // value                  of a request       of a response
            ("0",                     Some(0),           Some(0)),
            ("7",                     Some(7),           Some(7)),
            ("9223372036854775807",   Some((1 << 63) - 1), Some((1 << 63) - 1)),
            ("007",                   None,              Some(7)),
            ("00",                    None,              Some(0)),
            ("9223372036854775808",   None,              None),
            ("18446744073709551616",  None,              None),
            ("99999999999999999999999", None,            None),
            ("",                      None,              None),
            ("+7",                    None,              None),
            ("-7",                    None,              None),
            ("-0",                    None,              None),
            ("7,7",                   None,              None),
            ("7, 8",                  None,              None),
            ("7 ",                    None,              None),
            ("0x7",                   None,              None),
            ("7.0",                   None,              None),
            ("7e1",                   None,              None),
            ("1_0",                   None,              None),
            ("a",                     None,              None),
            ("\u{ff17}",              None,              None),
        ];
        for (value, request, response) in table {
            assert_eq!(content_length(value.as_bytes(), Side::Request), request, "{value}");
            assert_eq!(content_length(value.as_bytes(), Side::Response), response, "{value}");
        }
    }
}
