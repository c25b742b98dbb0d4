//! A certificate that nobody has to issue, for the first start.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use model::{HostPattern, UnixMillis};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};

use crate::pair::{Pair, PairError};

/// Clients whose clocks are behind accept it as well.
const BEFORE: Duration = Duration::from_hours(24);
/// Longer ones are refused by some clients, even if they are told to trust them.
const LONG: Duration = Duration::from_hours(24 * 397);

/// A new pair, and how it reads in files.
pub struct SelfSigned {
    /// To be served.
    pub pair: Pair,
    /// The certificate; what clients are given to trust.
    pub cert_pem: String,
    /// The private key, as PKCS #8.
    pub key_pem: String,
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelfSignedError {
    /// Not a host name, an address or a wildcard of one label.
    #[error("{0:?} must be a host name, an address or a wildcard such as *.example.com")]
    Name(String),
    /// The library could not make it.
    #[error("no certificate could be made: {0}")]
    Made(String),
    /// What was made is not good.
    #[error(transparent)]
    Pair(#[from] PairError),
}

/// A new ECDSA key with a certificate for `names`, signed by itself, valid from a day ago for 397
/// days. Clients accept it only if they are told to.
///
/// # Errors
///
/// [`SelfSignedError`]; without names there is nothing to make one for.
pub fn self_signed(names: &[&str], now: UnixMillis) -> Result<SelfSigned, SelfSignedError> {
    let names = names.iter().map(|name| subject(name)).collect::<Result<Vec<_>, _>>()?;
    let made = |error: rcgen::Error| SelfSignedError::Made(error.to_string());
    let mut params = CertificateParams::new(names).map_err(made)?;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let begins = Duration::from_secs(now.seconds()).saturating_sub(BEFORE);
    params.not_before = epoch + begins;
    params.not_after = epoch + begins + LONG;
    params.distinguished_name.push(DnType::CommonName, "proxyd, self-signed");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().map_err(made)?;
    let cert_pem = params.self_signed(&key).map_err(made)?.pem();
    let key_pem = key.serialize_pem();
    let pair = Pair::parse(cert_pem.as_bytes(), key_pem.as_bytes())?;
    Ok(SelfSigned { pair, cert_pem, key_pem })
}

/// As certificates spell it: addresses without brackets.
fn subject(name: &str) -> Result<String, SelfSignedError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    match HostPattern::parse(name) {
        Ok(pattern @ (HostPattern::Exact(_) | HostPattern::OneLabel(_))) => {
            Ok(pattern.to_string().trim_matches(['[', ']']).to_owned())
        }
        Ok(HostPattern::AnyDepth(_) | HostPattern::Any) | Err(_) => {
            Err(SelfSignedError::Name(name.to_owned()))
        }
    }
}

/// Says nothing about the key.
impl fmt::Debug for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelfSigned").field("pair", &self.pair).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::NOW;
    use crate::pair::Validity;

    #[test]
    fn it_is_for_the_names_it_was_made_for() {
        let names = ["localhost", "*.Example.com", "127.0.0.1", "::1", "[2001:db8::1]"];
        let made = self_signed(&names, NOW).unwrap();
        let shown: Vec<String> = made.pair.names().iter().map(ToString::to_string).collect();
        let expected = ["localhost", "*.example.com", "127.0.0.1", "[::1]", "[2001:db8::1]"];
        assert_eq!(shown, expected);
        let again = Pair::parse(made.cert_pem.as_bytes(), made.key_pem.as_bytes()).unwrap();
        assert_eq!(again.fingerprint(), made.pair.fingerprint());
        assert!(!format!("{made:?}").contains("PRIVATE KEY"));
    }

    #[test]
    fn it_is_valid_for_a_year_and_a_month() {
        let pair = self_signed(&["a.test"], NOW).unwrap().pair;
        assert_eq!(pair.validity(NOW), Validity::Valid);
        assert_eq!(pair.not_before(), UnixMillis(NOW.0 - 24 * 3_600_000));
        assert_eq!(pair.not_after(), pair.not_before().after(LONG));
    }

    #[test]
    fn names_nobody_can_have() {
        for name in ["", "*", "**.example.com", "a b", "https://a.test"] {
            let error = self_signed(&[name], NOW).unwrap_err();
            assert_eq!(error, SelfSignedError::Name(name.to_owned()));
        }
        let error = self_signed(&[], NOW).unwrap_err();
        assert_eq!(error, SelfSignedError::Pair(PairError::NoNames));
    }
}
