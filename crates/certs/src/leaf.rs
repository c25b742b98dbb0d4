//! What a server's certificate says about itself.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use model::{HostPattern, UnixMillis};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use crate::pair::PairError;

/// The parts of a certificate (RFC 5280, section 4.1) that decide whom it is for, and until when.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) names: Vec<HostPattern>,
    pub(crate) not_before: UnixMillis,
    pub(crate) not_after: UnixMillis,
}

impl Leaf {
    pub(crate) fn read(der: &[u8]) -> Result<Self, PairError> {
        let unreadable = |why: String| PairError::Certificate(why);
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|error| unreadable(error.to_string()))?;
        let names = names(&certificate).map_err(unreadable)?;
        if names.is_empty() {
            return Err(PairError::NoNames);
        }
        let validity = certificate.validity();
        Ok(Self {
            names,
            not_before: millis(validity.not_before),
            not_after: millis(validity.not_after),
        })
    }
}

/// Only the subjectAltName counts, as for every client (RFC 9525, section 2). What no request can
/// ask for is left out.
fn names(certificate: &X509Certificate<'_>) -> Result<Vec<HostPattern>, String> {
    let extension = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
    let listed = extension.map_or(&[][..], |extension| &extension.value.general_names);
    let mut seen = BTreeSet::new();
    Ok(listed.iter().filter_map(name).filter(|name| seen.insert(name.clone())).collect())
}

fn name(listed: &GeneralName<'_>) -> Option<HostPattern> {
    match listed {
        GeneralName::DNSName(text) => match HostPattern::parse(text).ok()? {
            name @ (HostPattern::Exact(_) | HostPattern::OneLabel(_)) => Some(name),
            HostPattern::AnyDepth(_) | HostPattern::Any => None,
        },
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    }
}

/// As [`model::normalize_authority`] spells an address.
fn address(bytes: &[u8]) -> Option<HostPattern> {
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    let text = match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    Some(HostPattern::Exact(text.into()))
}

/// Before 1970 is 1970.
fn millis(time: ASN1Time) -> UnixMillis {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    UnixMillis(0).after(Duration::from_secs(seconds))
}
