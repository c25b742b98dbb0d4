//! What is a header and what is none, case by case, and that what is written is read.

use std::net::SocketAddr;

use proptest::prelude::*;
use proxyd_proxyproto::{
    Header, HeaderError, Origin, V1_BYTES_MAX, V2_BYTES_MAX, encode_v2, encode_v2_local, fuzz,
    parse,
};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const IPS4: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 9, 0x9c, 0x40, 1, 0xbb];

fn tcp(source: &str, destination: &str) -> Origin {
    let addr = |text: &str| text.parse().expect("an address");
    Origin::Tcp { source: addr(source), destination: addr(destination) }
}

/// A header of version 2 whose length is that of `rest`.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [SIGNATURE, &[command, family], &len, rest].concat()
}

fn v4_with(tlvs: &[u8]) -> Vec<u8> {
    v2(0x21, 0x11, &[&IPS4, tlvs].concat())
}

fn reads(bytes: &[u8], from: Origin) {
    let header = Header { len: bytes.len(), from };
    assert_eq!(parse(bytes), Ok(Some(header)), "{}", bytes.escape_ascii());
    let followed = [bytes, b"GET / HTTP/1.1\r\n"].concat();
    assert_eq!(parse(&followed), Ok(Some(header)), "followed by the client's bytes");
    for end in 0..bytes.len() {
        assert_eq!(parse(&bytes[..end]), Ok(None), "{end} of {}", bytes.escape_ascii());
    }
    fuzz::header(&followed);
}

#[test]
fn lines_that_are_read() {
    let all = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = format!("PROXY UNKNOWN {all} {all} 65535 65535\r\n");
    assert_eq!(longest.len(), V1_BYTES_MAX);
    reads(longest.as_bytes(), Origin::Local);
    reads(b"PROXY UNKNOWN\r\n", Origin::Local);
    reads(b"PROXY UNKNOWN what ever\r\n", Origin::Local);
    let four = tcp("192.0.2.1:0", "192.0.2.9:65535");
    reads(b"PROXY TCP4 192.0.2.1 192.0.2.9 0 65535\r\n", four);
    reads(b"PROXY TCP6 ::1 2001:db8::2 1 443\r\n", tcp("[::1]:1", "[2001:db8::2]:443"));
}

#[test]
fn lines_that_are_refused() {
    use HeaderError::{Address, Fields, LineEnding, NoHeader, Port, Protocol, TooLong};
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 92], b"\r\n"].concat();
    #[rustfmt::skip]
    let table: [(&[u8], HeaderError); 21] = [
        (b"GET / HTTP/1.1\r\n",                         NoHeader),
        (b"proxy TCP4",                                 NoHeader), // case counts
        (b"PROXY\r\n",                                  NoHeader), // no space
        (b"PROXY \r\n",                                 Protocol),
        (b"PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n",         Protocol),
        (b"PROXY UNKNOWNS\r\n",                         Protocol),
        (b"PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n",        Protocol), // two spaces
        (b"PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n",        Fields),   // two spaces
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",        Fields),   // a space at the end
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",           Fields),   // a port is missing
        (b"PROXY TCP4 ::1 ::2 1 2\r\n",                 Address),  // the other family
        (b"PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",         Address),  // the other family
        (b"PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n",        Address),  // octal to some
        (b"PROXY TCP6 fe80::1%1 ::2 1 2\r\n",           Address),  // a zone
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",        Port),     // a leading zero
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n",     Port),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",        Port),     // a sign
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",           LineEnding),
        (b"PROXY UNKNOWN \r \r\n",                      LineEnding),
        (&long,                                         TooLong),  // by one byte
        (&long[..V1_BYTES_MAX],                         TooLong),  // and says so at once
    ];
    for (bytes, wanted) in table {
        assert_eq!(parse(bytes), Err(wanted), "{}", bytes.escape_ascii());
    }
}

#[test]
fn binary_headers_that_are_read() {
    let four = tcp("192.0.2.1:40000", "192.0.2.9:443");
    reads(&v4_with(b""), four);
    reads(&v4_with(b"\x04\0\0"), four); // an empty TLV
    reads(&v4_with(b"\x01\0\x02h2\xe0\0\x01x"), four); // ALPN, and one of the private range
    reads(&v4_with(&[&[4, 0x0f, 0xe1][..], &[0; 4065]].concat()), four); // to the limit
    let six = [[0; 15].as_slice(), &[1], &[0; 15], &[2], &[0, 1, 0, 2]].concat();
    reads(&v2(0x21, 0x21, &six), tcp("[::1]:1", "[::2]:2"));
    reads(&v2(0x20, 0x00, b""), Origin::Local);
    reads(&v2(0x20, 0xff, b"any"), Origin::Local); // the family of LOCAL is ignored
    for family in [0x00, 0x01, 0x10, 0x12, 0x22, 0x31, 0x32] {
        reads(&v2(0x21, family, b"any"), Origin::Local); // UNSPEC, dgram, unix
    }
}

#[test]
fn binary_headers_that_are_refused() {
    use HeaderError::{
        AddressesCut, Checksum, Command, Family, NoHeader, TlvCut, TooLong, Version,
    };
    let limit = vec![0; V2_BYTES_MAX - 16 + 1];
    #[rustfmt::skip]
    let table = [
        (b"\r\n\r\n\0\r\nQUIT\r".to_vec(),     NoHeader),
        (v2(0x11, 0x11, &IPS4),                Version),
        (v2(0x22, 0x11, &IPS4),                Command),
        (v2(0x21, 0x41, &IPS4),                Family),
        (v2(0x21, 0x13, &IPS4),                Family),       // a reserved transport
        (v2(0x21, 0x11, &IPS4[..11]),          AddressesCut),
        (v2(0x21, 0x21, &[0; 35]),             AddressesCut),
        (v4_with(b"\x04"),                     TlvCut),       // in its length
        (v4_with(b"\x04\0"),                   TlvCut),
        (v4_with(b"\x04\0\x02x"),              TlvCut),       // in its value
        (v4_with(b"\x03\0\x04abcd"),           Checksum),     // wrong
        (v4_with(b"\x03\0\x03abc"),            Checksum),     // too short
        (v2(0x20, 0x00, &limit),               TooLong),      // by one byte
        (v2(0x20, 0x00, &limit)[..16].to_vec(), TooLong),     // and says so at once
    ];
    for (bytes, wanted) in table {
        assert_eq!(parse(&bytes), Err(wanted), "{}", bytes.escape_ascii());
    }
}

/// CRC32c bit by bit, unlike the table of the crate.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
        }
    }
    !crc
}

#[test]
fn the_checksum_is_over_the_header_with_zeros_in_its_place() {
    let mut bytes = v4_with(b"\x04\0\x01x\x03\0\x04\0\0\0\0\x04\0\x01y");
    let place = bytes.len() - 8..bytes.len() - 4;
    let sum = crc32c(&bytes).to_be_bytes();
    bytes[place].copy_from_slice(&sum);
    reads(&bytes, tcp("192.0.2.1:40000", "192.0.2.9:443"));
    for at in 16..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 1;
        // The type and the lengths may turn into those of another TLV.
        if !(28..=34).contains(&at) && !(39..=41).contains(&at) {
            assert_eq!(parse(&broken), Err(HeaderError::Checksum), "byte {at}");
        }
    }
}

#[test]
fn mixed_families_are_mapped() {
    let (four, six) = ("192.0.2.1:1", "[2001:db8::1]:2");
    for (source, destination, from) in [
        (four, six, tcp("[::ffff:192.0.2.1]:1", six)),
        (six, four, tcp(six, "[::ffff:192.0.2.1]:1")),
    ] {
        let mut out = Vec::new();
        let addr = |text: &str| text.parse().expect("an address");
        encode_v2(addr(source), addr(destination), &mut out);
        reads(&out, from);
    }
    let mut out = Vec::new();
    encode_v2_local(&mut out);
    reads(&out, Origin::Local);
}

fn same_family() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    prop_oneof![
        any::<([u8; 4], u16, [u8; 4], u16)>()
            .prop_map(|(a, p, b, q)| ((a, p).into(), (b, q).into())),
        any::<([u8; 16], u16, [u8; 16], u16)>()
            .prop_map(|(a, p, b, q)| ((a, p).into(), (b, q).into())),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read((source, destination) in same_family()) {
        let mut out = Vec::new();
        encode_v2(source, destination, &mut out);
        reads(&out, Origin::Tcp { source, destination });
        let name = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let line = format!(
            "PROXY {name} {} {} {} {}\r\n",
            source.ip(), destination.ip(), source.port(), destination.port()
        );
        reads(line.as_bytes(), Origin::Tcp { source, destination });
    }

    #[test]
    fn any_bytes_behind_a_good_beginning(
        start in prop::sample::select(vec![
            &b""[..], b"PROXY ", b"PROXY TCP4 ", SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x20",
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        fuzz::header(&[start, &rest].concat());
    }
}
