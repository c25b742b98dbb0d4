//! Who a client is, by the certificate that it showed and that was verified.

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::AttributeTypeAndValue;

use crate::pair::Fingerprint;

/// Alternative names of one certificate that are looked at: nobody has more, and each is told to
/// backends with every request.
const NAMES_MAX: usize = 32;
/// Longest element of `X-Forwarded-Client-Cert`, in bytes; what would make it longer is left out.
const ELEMENT_BYTES_MAX: usize = 4096;

/// What a client's certificate says about its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName {
    fingerprint: Fingerprint,
    /// As RFC 4514 writes it.
    subject: String,
    common_names: Vec<String>,
    alternatives: Vec<Alternative>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Alternative {
    Dns(String),
    Uri(String),
    Email(String),
    Ip(IpAddr),
}

impl ClientName {
    /// Reads a certificate in DER. `None` for what is none, which no handshake lets through.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let extension = certificate.subject_alternative_name().ok()?;
        let listed = extension.map_or(&[][..], |extension| &extension.value.general_names);
        let common_names = certificate.subject().iter_common_name();
        Some(Self {
            fingerprint: Fingerprint::of(der),
            subject: subject(&certificate),
            common_names: common_names
                .filter_map(|name| name.as_str().ok()?.to_owned().into())
                .collect(),
            alternatives: listed.iter().take(NAMES_MAX).filter_map(alternative).collect(),
        })
    }

    /// Whether the certificate is somebody's: the name is its common name, or one of its
    /// alternative names. Host names are compared without case.
    pub fn is(&self, name: &str) -> bool {
        let alternative = |alternative: &Alternative| match alternative {
            Alternative::Dns(dns) => dns.eq_ignore_ascii_case(name),
            Alternative::Uri(text) | Alternative::Email(text) => text == name,
            Alternative::Ip(ip) => name.parse() == Ok(*ip),
        };
        self.common_names.iter().any(|common| common == name)
            || self.alternatives.iter().any(alternative)
    }

    /// A short name for people: the common name, else an alternative name, else the fingerprint.
    pub fn shown(&self) -> String {
        let alternative = || {
            self.alternatives.first().map(|alternative| match alternative {
                Alternative::Dns(text) | Alternative::Uri(text) | Alternative::Email(text) => {
                    text.clone()
                }
                Alternative::Ip(ip) => ip.to_string(),
            })
        };
        let shown = self.common_names.first().cloned().or_else(alternative);
        shown.unwrap_or_else(|| self.fingerprint.to_string())
    }

    /// One element of `X-Forwarded-Client-Cert`, as Envoy writes it: fingerprint, subject, and the
    /// alternative names that are URIs or host names. Holds nothing but printable ASCII.
    pub fn element(&self) -> String {
        let mut element = format!("Hash={}", self.fingerprint);
        let mut add = |key: &str, value: &str| {
            let value = if key == "Subject" || value.contains(is_special) {
                format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
            } else {
                value.to_owned()
            };
            if element.len() + key.len() + value.len() + 2 <= ELEMENT_BYTES_MAX {
                element.extend([";", key, "=", &value]);
            }
        };
        add("Subject", &self.subject);
        for alternative in &self.alternatives {
            match alternative {
                Alternative::Uri(uri) => add("URI", &printable(uri)),
                Alternative::Dns(dns) => add("DNS", &printable(dns)),
                Alternative::Email(_) | Alternative::Ip(_) => {}
            }
        }
        element
    }
}

fn alternative(listed: &GeneralName<'_>) -> Option<Alternative> {
    match listed {
        GeneralName::DNSName(text) => Some(Alternative::Dns((*text).to_owned())),
        GeneralName::URI(text) => Some(Alternative::Uri((*text).to_owned())),
        GeneralName::RFC822Name(text) => Some(Alternative::Email((*text).to_owned())),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => Some(Alternative::Ip(<[u8; 4]>::try_from(*bytes).ok()?.into())),
            _ => Some(Alternative::Ip(<[u8; 16]>::try_from(*bytes).ok()?.into())),
        },
        _ => None,
    }
}

/// The most specific part first (RFC 4514, section 2.1).
fn subject(certificate: &X509Certificate<'_>) -> String {
    let mut parts: Vec<String> = certificate
        .subject()
        .iter_rdn()
        .map(|rdn| rdn.iter().map(attribute).collect::<Vec<_>>().join("+"))
        .collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    // RFC 4514, section 3, and what everybody writes for an e-mail address.
    const SHORT: [(&str, &str); 10] = [
        ("2.5.4.3", "CN"),
        ("2.5.4.6", "C"),
        ("2.5.4.7", "L"),
        ("2.5.4.8", "ST"),
        ("2.5.4.9", "STREET"),
        ("2.5.4.10", "O"),
        ("2.5.4.11", "OU"),
        ("0.9.2342.19200300.100.1.1", "UID"),
        ("0.9.2342.19200300.100.1.25", "DC"),
        ("1.2.840.113549.1.9.1", "emailAddress"),
    ];
    let oid = attribute.attr_type().to_id_string();
    let short = SHORT.iter().find(|(id, _)| *id == oid).map(|(_, short)| *short);
    let value = match attribute.as_str() {
        Ok(text) => escaped(text),
        Err(_) => {
            attribute.as_slice().iter().fold("#".to_owned(), |hex, b| hex + &format!("{b:02x}"))
        }
    };
    format!("{}={value}", short.unwrap_or(&oid))
}

/// So that no value can look like two (RFC 4514, section 2.4).
fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(value.len());
    for (at, c) in value.chars().enumerate() {
        match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' => out.extend(['\\', c]),
            '#' if at == 0 => out.push_str("\\#"),
            ' ' if at == 0 || at == last => out.push_str("\\ "),
            ' '..='~' => out.push(c),
            _ => hex(c, '\\', &mut out),
        }
    }
    out
}

/// Neither URIs nor host names may hold anything else; a certificate can.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '!'..='~' => out.push(c),
            _ => hex(c, '%', &mut out),
        }
    }
    out
}

fn hex(c: char, before: char, out: &mut String) {
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        out.push(before);
        out.push_str(&format!("{byte:02X}"));
    }
}

fn is_special(c: char) -> bool {
    matches!(c, ',' | ';' | '=' | '"' | '\\')
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};
    use x509_parser::pem::parse_x509_pem;

    use super::*;

    fn name(subject: &[(DnType, &str)], alternatives: Vec<SanType>) -> ClientName {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.subject_alt_names = alternatives;
        let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        let (_, pem) = parse_x509_pem(pem.as_bytes()).unwrap();
        ClientName::read(&pem.contents).unwrap()
    }

    fn text(text: &str) -> rcgen::string::Ia5String {
        text.try_into().unwrap()
    }

    #[test]
    fn a_certificate_is_its_common_name_and_its_alternative_names() {
        let name = name(
            &[(DnType::OrganizationName, "Example"), (DnType::CommonName, "blue")],
            vec![
                SanType::DnsName(text("blue.example")),
                SanType::URI(text("spiffe://example/blue")),
                SanType::Rfc822Name(text("blue@example")),
                SanType::IpAddress("10.0.0.1".parse().unwrap()),
            ],
        );
        #[rustfmt::skip]
        let table = [
            ("blue",                  true),
            ("Blue",                  false),
            ("Example",               false),
            ("BLUE.example",          true),
            ("x.blue.example",        false),
            ("spiffe://example/blue", true),
            ("blue@example",          true),
            ("10.0.0.1",              true),
            ("10.0.0.2",              false),
            ("",                      false),
        ];
        for (asked, is) in table {
            assert_eq!(name.is(asked), is, "{asked}");
        }
        assert_eq!(name.shown(), "blue");
        let element = name.element();
        let (hash, rest) = element.split_once(';').unwrap();
        assert_eq!(hash.len(), "Hash=".len() + 64);
        assert_eq!(
            rest,
            r#"Subject="CN=blue,O=Example";DNS=blue.example;URI=spiffe://example/blue"#
        );
    }

    #[test]
    fn no_value_can_look_like_another_field() {
        #[rustfmt::skip]
        let table = [
            // common name          Subject
            ("a",                   "CN=a"),
            ("a,O=b",               r"CN=a\\,O\\=b"),
            ("a\";DNS=admin",       r#"CN=a\\\"\\;DNS\\=admin"#),
            (" #a ",                r"CN=\\ #a\\ "),
            ("#a",                  r"CN=\\#a"),
            ("\u{e9}\r\nHost: x",   r"CN=\\C3\\A9\\0D\\0AHost: x"),
        ];
        for (common, subject) in table {
            let element = name(&[(DnType::CommonName, common)], Vec::new()).element();
            assert!(element.ends_with(&format!(";Subject=\"{subject}\"")), "{element}");
        }
        let uri = SanType::URI(text("urn:a,Hash=b c"));
        let element = name(&[], vec![uri]).element();
        assert!(element.ends_with(r#";Subject="";URI="urn:a,Hash=b%20c""#), "{element}");
    }

    #[test]
    fn there_is_no_end_of_names_and_an_end_of_what_is_told() {
        let dns = |at: usize| SanType::DnsName(text(&format!("h{at}.example")));
        let names = |count: usize| name(&[], (0..count).map(dns).collect());
        assert!(names(NAMES_MAX).is(&format!("h{}.example", NAMES_MAX - 1)));
        assert!(!names(NAMES_MAX + 1).is(&format!("h{NAMES_MAX}.example")));
        let long = |bytes: usize| {
            let uri = SanType::URI(text(&"u".repeat(bytes)));
            name(&[], vec![uri]).element()
        };
        let rest = long(1).len() - 1;
        assert_eq!(long(ELEMENT_BYTES_MAX - rest).len(), ELEMENT_BYTES_MAX);
        assert!(!long(ELEMENT_BYTES_MAX - rest + 1).contains("URI="));
    }

    #[test]
    fn what_is_no_certificate_is_nobody() {
        assert_eq!(ClientName::read(b"hello"), None);
    }
}
