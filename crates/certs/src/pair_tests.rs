//! What is a pair, and what is said about what is none.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use model::UnixMillis;
use rcgen::SanType;

use crate::fixture::{self, Kind, NOW, Pem, pair_valid, pem};
use crate::{Fingerprint, Pair, PairError, Validity};

fn parse(cert: &str, key: &str) -> Result<Pair, PairError> {
    Pair::parse(cert.as_bytes(), key.as_bytes())
}

/// The key inside a PKCS #8 wrapping: what follows version and algorithm.
fn unwrapped(kind: Kind) -> (String, Vec<u8>) {
    let key = fixture::key(kind);
    let cert = fixture::params(&["a.test"]).self_signed(&key).unwrap().pem();
    let (_, fields, _) = element(key.serialized_der());
    let (_, _, after_version) = element(fields);
    let (_, _, after_algorithm) = element(after_version);
    let (tag, inner, _) = element(after_algorithm);
    assert_eq!(tag, 0x04, "an OCTET STRING");
    (cert, inner.to_vec())
}

/// Tag, content and what follows.
fn element(der: &[u8]) -> (u8, &[u8], &[u8]) {
    let (length, header) = match der[1] {
        short @ 0..=0x7f => (usize::from(short), 2),
        0x81 => (usize::from(der[2]), 3),
        _ => (usize::from(u16::from_be_bytes([der[2], der[3]])), 4),
    };
    (der[0], &der[header..header + length], &der[header + length..])
}

fn section(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|l| str::from_utf8(l).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[test]
fn keys_of_every_form() {
    let (ec_cert, sec1) = unwrapped(Kind::Ecdsa);
    let (rsa_cert, pkcs1) = unwrapped(Kind::Rsa);
    let sec1 = section("EC PRIVATE KEY", &sec1);
    let parameters = section("EC PARAMETERS", &[0x06, 0x03, 0x2a, 0x03, 0x04]);
    let mut table = vec![
        (ec_cert.clone(), sec1.clone(), "SEC 1"),
        (ec_cert.clone(), format!("{parameters}{sec1}"), "SEC 1 after its parameters"),
        (ec_cert.clone(), format!("{ec_cert}{sec1}"), "both in one file"),
        (ec_cert.replace('\n', "\r\n"), sec1.replace('\n', "\r\n"), "lines of another system"),
        (format!("subject=CN = a\n{ec_cert}"), sec1, "words before it"),
        (rsa_cert, section("RSA PRIVATE KEY", &pkcs1), "PKCS #1"),
    ];
    for kind in [Kind::Ecdsa, Kind::Ed25519, Kind::Rsa] {
        let Pem { cert, key } = pem(kind, &["a.test"]);
        table.push((cert, key, "PKCS #8"));
    }
    for (cert, key, what) in table {
        let pair = parse(&cert, &key).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(pair.covers("a.test"), "{what}");
    }
}

#[test]
fn what_is_no_pair() {
    let (a, b) = (pem(Kind::Ecdsa, &["a.test"]), pem(Kind::Ecdsa, &["b.test"]));
    let rsa = pem(Kind::Rsa, &["a.test"]);
    let cut = |text: &str| text[..text.len() / 2].to_owned();
    let garbled = |text: &str| text.replacen("\nM", "\n!", 1);
    let encrypted = section("ENCRYPTED PRIVATE KEY", &[0x30, 0x00]);
    let old_encrypted = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                         DEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n";
    let no_x509 = section("CERTIFICATE", &[0x30, 0x03, 0x02, 0x01, 0x01]);
    let nonsense = section("PRIVATE KEY", &[0x30, 0x03, 0x02, 0x01, 0x01]);
    let nameless = pem(Kind::Ecdsa, &[]);
    let issuer_first = format!("{}{}", b.cert, a.cert);
    #[rustfmt::skip]
    let table: Vec<(&str, &str, &str)> = vec![
        // certificate        key               says
        ("",                  &a.key,           "the certificate file holds no certificate"),
        (&a.key,              &a.key,           "the certificate file holds no certificate"),
        (&a.cert,             "",               "the key file holds no private key"),
        (&a.cert,             &a.cert,          "the key file holds no private key"),
        (&a.cert,             &b.key,           "the private key does not belong"),
        (&a.cert,             &rsa.key,         "the private key does not belong"),
        (&issuer_first,       &a.key,           "the private key does not belong"),
        (&a.cert,             &encrypted,       "the private key is encrypted"),
        (&a.cert,             old_encrypted,    "the private key is encrypted"),
        (&a.cert,             &nonsense,        "the private key cannot be used"),
        (&no_x509,            &a.key,           "the first certificate cannot be read"),
        (&nameless.cert,      &nameless.key,    "the certificate names no host"),
    ];
    for (cert, key, says) in table {
        let error = parse(cert, key).unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}, wanted {says}");
    }
    for cert in [cut(&a.cert), garbled(&a.cert), format!("{}{}", a.cert, cut(&b.cert))] {
        let error = parse(&cert, &a.key).unwrap_err();
        assert!(matches!(error, PairError::CertificatePem(_)), "{error}: {cert}");
    }
    for key in [cut(&a.key), garbled(&a.key)] {
        let error = parse(&a.cert, &key).unwrap_err();
        assert!(matches!(error, PairError::KeyPem(_)), "{error}");
        assert!(!error.to_string().contains(key.lines().nth(1).unwrap()), "it repeats the key");
    }
}

/// A writer that was seen at any byte: an error, or, at the last ones, the pair.
#[test]
fn half_written_at_any_byte() {
    let Pem { cert, key } = pem(Kind::Ecdsa, &["a.test"]);
    for at in 0..cert.len() {
        if let Ok(pair) = parse(&cert[..at], &key) {
            assert!(pair.covers("a.test") && cert[at..].trim().len() <= 5, "cut at {at}");
        }
    }
    for at in 0..key.len() {
        let cut = parse(&cert, &key[..at]);
        assert!(cut.is_err() || key[at..].trim().len() <= 5, "cut at {at}");
    }
}

#[test]
fn names() {
    let mut params = fixture::params(&["A.Test", "*.a.test", "192.0.2.1", "2001:DB8::1", "a.test"]);
    let ia5 = |text: &str| text.try_into().unwrap();
    params.subject_alt_names.extend([
        SanType::Rfc822Name(ia5("root@mail.test")),
        SanType::URI(ia5("spiffe://uri.test/x")),
        SanType::DnsName(ia5("f*.partial.test")),
        SanType::DnsName(ia5("*.*.two.test")),
        SanType::DnsName(ia5("**.deep.test")),
        SanType::DnsName(ia5("*")),
    ]);
    params.distinguished_name.push(rcgen::DnType::CommonName, "common.test");
    let key = fixture::key(Kind::Ecdsa);
    let cert = params.self_signed(&key).unwrap().pem();
    let pair = parse(&cert, &key.serialize_pem()).unwrap();
    let shown: Vec<String> = pair.names().iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["a.test", "*.a.test", "192.0.2.1", "[2001:db8::1]"]);
    #[rustfmt::skip]
    let table = [
        ("a.test",          true),
        ("x.a.test",        true),
        ("x.y.a.test",      false),
        ("192.0.2.1",       true),
        ("192.0.2.2",       false),
        ("[2001:db8::1]",   true),
        ("common.test",     false),
        ("f1.partial.test", false),
        ("x.deep.test",     false),
        ("other.test",      false),
    ];
    for (host, covered) in table {
        assert_eq!(pair.covers(host), covered, "{host}");
    }
}

#[test]
fn validity() {
    let at = |seconds: i64| UnixMillis(NOW.0.saturating_add_signed(seconds * 1000));
    let pair = pair_valid(&["a.test"], -1, 2);
    let day = 86_400;
    assert_eq!((pair.not_before(), pair.not_after()), (at(-day), at(2 * day)));
    #[rustfmt::skip]
    let table = [
        // seconds           says
        (-3 * day,           "is not valid for another 2 days"),
        (-day - 3600,        "is not valid for another 1 hour"),
        (-day - 1,           "is not valid for another 1 second"),
        (-day,               "is valid"),
        (0,                  "is valid"),
        (2 * day,            "is valid"),
        (2 * day + 1,        "expired 1 second ago"),
        (2 * day + 120,      "expired 2 minutes ago"),
        (400 * day,          "expired 398 days ago"),
    ];
    for (seconds, says) in table {
        assert_eq!(pair.validity(at(seconds)).to_string(), says, "{seconds}");
    }
    let last = UnixMillis(at(2 * day).0 + 999);
    assert_eq!(pair.validity(last), Validity::Valid, "the second is included");
}

#[test]
fn fingerprints_are_those_other_tools_show() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(Fingerprint::of(b"").to_string(), empty);
}

#[test]
fn a_log_shows_no_key() {
    let pair = pem(Kind::Ecdsa, &["a.test"]).pair();
    let shown = format!("{pair:?}");
    assert!(shown.contains("a.test") && !shown.to_lowercase().contains("key"), "{shown}");
}
