//! Who asks, and by what name the request goes: the fields every backend is told (SPEC 5).

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use certs::Covered;
use http1::{Fields, Known};

/// A request's own id, 32 hexadecimal digits. Also the trace id of requests that bring none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestId([u8; 32]);

impl RequestId {
    /// An id from random numbers. Not a secret.
    pub(crate) fn new(high: u64, low: u64) -> Self {
        let mut digits = [0; 32];
        hex(high, &mut digits[..16]);
        hex(low, &mut digits[16..]);
        Self(digits)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A `traceparent` for a trace that begins here and nobody samples (W3C Trace Context, 3.2).
    pub(crate) fn traceparent(&self) -> [u8; 55] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000001-00";
        text[3..35].copy_from_slice(&self.0);
        // The parent is us: any number but zero.
        text[36..52].copy_from_slice(&self.0[16..]);
        text[51] = b'1';
        text
    }
}

fn hex(number: u64, digits: &mut [u8]) {
    for (place, digit) in digits.iter_mut().rev().enumerate() {
        let nibble = (number >> (4 * place)) & 0xf;
        *digit = b"0123456789abcdef"[nibble as usize];
    }
}

/// The other end of a client connection, in the spellings requests need.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    /// The same with its port.
    pub(crate) peer: SocketAddr,
    /// Whether its own forwarding fields are believed.
    pub(crate) trusted: bool,
    /// `1.2.3.4`.
    pub(crate) text: Box<str>,
    /// The port it came to.
    pub(crate) port: Box<str>,
    pub(crate) port_number: u16,
    /// Where it came to, if that cannot be asked of the connection.
    pub(crate) local: Option<SocketAddr>,
    /// The field lines that are the same for all its requests.
    pub(crate) lines: Box<[u8]>,
    /// What the certificate of its connection is for, with TLS.
    pub(crate) covered: Option<Rc<Covered>>,
}

impl Client {
    pub(crate) fn new(
        peer: SocketAddr,
        port: u16,
        trusted: bool,
        covered: Option<Rc<Covered>>,
    ) -> Self {
        let protocol = protocol(covered.as_deref());
        let address = peer.ip().to_canonical();
        let text = address.to_string();
        let mut lines = String::with_capacity(128);
        if !trusted {
            // Writing into a String cannot fail.
            let _ = write!(
                lines,
                "X-Forwarded-For: {text}\r\nX-Forwarded-Proto: {protocol}\r\nX-Forwarded-Port: {port}\r\nX-Real-IP: {text}\r\n"
            );
            if let Some(shown) = covered.as_ref().and_then(|covered| covered.client()) {
                let _ = write!(lines, "X-Forwarded-Client-Cert: {shown}\r\n");
            }
        }
        let (port_number, port) = (port, port.to_string().into());
        Self {
            address,
            peer: SocketAddr::new(address, peer.port()),
            port_number,
            local: None,
            trusted,
            text: text.into(),
            port,
            lines: lines.into_bytes().into(),
            covered,
        }
    }

    /// The same, come to this address, unless it is known to have come to another.
    pub(crate) fn at(self, local: Option<SocketAddr>) -> Self {
        Self { local: self.local.or(local), ..self }
    }

    /// The certificate it showed, as `X-Forwarded-Client-Cert` says it.
    pub(crate) fn certificate(&self) -> Option<&str> {
        self.covered.as_ref()?.client()
    }

    /// As `X-Forwarded-Proto` says it.
    pub(crate) fn protocol(&self) -> &'static str {
        protocol(self.covered.as_deref())
    }
}

fn protocol(covered: Option<&Covered>) -> &'static str {
    if covered.is_some() { "https" } else { "http" }
}

/// Elements of `X-Forwarded-For` that are looked at, from the end: so many proxies stand in a row
/// nowhere.
const HOPS_MAX: usize = 32;

/// Who asks, as far as it can be known: the peer, or what a chain of trusted peers says. Of
/// `X-Forwarded-For` the last address that no trusted proxy has counts: whatever stands before it
/// was written by whoever is there.
pub(crate) fn asker(
    client: &Client,
    fields: Fields<'_>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    if !client.trusted {
        return client.address;
    }
    let values: Vec<&[u8]> = fields
        .filter(|field| field.known == Known::XForwardedFor)
        .flat_map(|field| field.value.split(|byte| *byte == b','))
        .collect();
    let mut asker = client.address;
    for value in values.into_iter().rev().take(HOPS_MAX) {
        let Some(address) = address_of(value) else { return asker };
        asker = address;
        if !is_trusted(address) {
            return asker;
        }
    }
    asker
}

/// An element of `X-Forwarded-For`; some write ports into it.
fn address_of(value: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let address = match text.parse::<SocketAddr>() {
        Ok(address) => address.ip(),
        Err(_) => text.trim_start_matches('[').trim_end_matches(']').parse().ok()?,
    };
    Some(address.to_canonical())
}

/// Where `balance=hash` puts an address: those that lie side by side are spread (the finalizer of
/// splitmix64).
pub(crate) fn hash(address: IpAddr) -> u64 {
    let bits = match address {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        // A network of /64 is one client (SPEC 4).
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    };
    let mut hash = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_traces() {
        let id = RequestId::new(0x0123_4567_89ab_cdef, 1);
        assert_eq!(id.as_bytes(), b"0123456789abcdef0000000000000001");
        assert_eq!(&id.traceparent(), b"00-0123456789abcdef0000000000000001-0000000000000001-00");
    }

    #[test]
    fn the_last_address_that_nobody_trusted_has() {
        use http1::{HeadSpace, Limits, Scan, parse_request};

        let trusted = |ip: IpAddr| ip.to_string().starts_with("10.");
        for (lines, expected) in [
            (&[][..], "10.0.0.1"),
            (&["1.2.3.4"], "1.2.3.4"),
            (&["9.9.9.9, 1.2.3.4"], "1.2.3.4"),
            (&["1.2.3.4, 10.0.0.7"], "1.2.3.4"),
            (&["1.2.3.4", "10.0.0.7, 10.0.0.8"], "1.2.3.4"),
            (&["1.2.3.4:55"], "1.2.3.4"),
            (&["[2001:db8::1]:55"], "2001:db8::1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["::ffff:1.2.3.4"], "1.2.3.4"),
            (&["1.2.3.4, nonsense, 10.0.0.7"], "10.0.0.7"),
            (&["10.0.0.9"], "10.0.0.9"),
        ] {
            let fields: String =
                lines.iter().map(|line| format!("X-Forwarded-For: {line}\r\n")).collect();
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            let mut space = HeadSpace::new();
            let limits = &Limits::STANDARD;
            let head = parse_request(head.as_bytes(), &mut Scan::new(), limits, &mut space);
            let head = head.unwrap().unwrap();
            let mut client = Client::new("10.0.0.1:5".parse().unwrap(), 80, true, None);
            let asker_of = |client: &Client| asker(client, head.fields(), trusted).to_string();
            assert_eq!(asker_of(&client), expected, "{lines:?}");
            client.trusted = false;
            assert_eq!(asker_of(&client), "10.0.0.1", "{lines:?} of a stranger");
        }
    }

    #[test]
    fn a_mapped_address_is_shown_as_what_it_is() {
        let client = Client::new("[::ffff:10.1.2.3]:5".parse().unwrap(), 80, false, None);
        assert_eq!(&*client.text, "10.1.2.3");
    }
}
