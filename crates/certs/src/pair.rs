//! A certificate and the key that belongs to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::{HostPattern, UnixMillis};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};

use crate::leaf::Leaf;

/// A certificate, its issuers and its private key, which belong together.
pub struct Pair {
    certified: Arc<CertifiedKey>,
    names: Arc<[HostPattern]>,
    not_before: UnixMillis,
    not_after: UnixMillis,
    fingerprint: Fingerprint,
}

/// SHA-256 of a certificate, as every tool shows it. Displayed in lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// Whether a certificate is valid at some time (RFC 5280, section 4.1.2.5). Reads on after its
/// names. Never a reason to refuse a pair: some clients look away, and none is served better by
/// no certificate at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is.
    Valid,
    /// It will be after this time.
    NotYet(Duration),
    /// It was until this long ago.
    Expired(Duration),
}

/// Why two texts are no certificate with its key. Names the file that is wrong, and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// Not one certificate in the certificate file.
    #[error(
        "the certificate file holds no certificate: it must be PEM, the server's own certificate \
         first, then those of its issuers"
    )]
    NoCertificate,
    /// Not one private key in the key file.
    #[error(
        "the key file holds no private key: it must be PEM with a PRIVATE KEY (PKCS #8), an EC \
         PRIVATE KEY (SEC 1) or an RSA PRIVATE KEY (PKCS #1)"
    )]
    NoKey,
    /// The certificate file is damaged, or still being written.
    #[error("the certificate file is no complete PEM: {0}; write it again as a whole")]
    CertificatePem(String),
    /// The key file is damaged, or still being written.
    #[error("the key file is no complete PEM: {0}; write it again as a whole")]
    KeyPem(String),
    /// There is nobody to ask for a passphrase.
    #[error(
        "the private key is encrypted: take the passphrase off with `openssl pkey -in KEY -out \
         PLAIN` and keep the file readable for the proxy alone"
    )]
    EncryptedKey,
    /// A key of a kind that cannot sign a handshake.
    #[error(
        "the private key cannot be used: {0}; it must be ECDSA, RSA of 2048 bits or more, or \
         Ed25519"
    )]
    Key(String),
    /// No X.509 of version 3.
    #[error("the first certificate cannot be read: {0}; have it issued again")]
    Certificate(String),
    /// The first certificate has another public key.
    #[error(
        "the private key does not belong to the first certificate: name the two files that were \
         issued together, and put the server's own certificate first"
    )]
    Mismatch,
    /// Clients look at nothing else.
    #[error(
        "the certificate names no host: have it issued again with the host names in its \
         subjectAltName"
    )]
    NoNames,
}

impl Pair {
    /// Reads a chain, the server's own certificate first, and the private key to it: PKCS #8,
    /// SEC 1 or PKCS #1.
    ///
    /// # Errors
    ///
    /// [`PairError`], for whoever wrote the files. A certificate that is not valid now is none:
    /// ask [`Pair::validity`].
    pub fn parse(cert_pem: &[u8], key_pem: &[u8]) -> Result<Self, PairError> {
        let chain = chain(cert_pem)?;
        let own = chain.first().ok_or(PairError::NoCertificate)?;
        let key = key(key_pem)?;
        let leaf = Leaf::read(own)?;
        let fingerprint = Fingerprint::of(own);
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(PairError::of)?;
        Ok(Self {
            certified: Arc::new(certified),
            names: leaf.names.into(),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            fingerprint,
        })
    }

    /// Whom it is for: exact names and wildcards of one label, addresses among the exact ones as
    /// [`model::normalize_authority`] spells them. At least one.
    pub fn names(&self) -> &[HostPattern] {
        &self.names
    }

    /// Valid from this time on.
    pub fn not_before(&self) -> UnixMillis {
        self.not_before
    }

    /// Valid up to and including this second.
    pub fn not_after(&self) -> UnixMillis {
        self.not_after
    }

    /// Tells certificates apart, also those for the same names.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Whether it is for `host`, which is as [`model::normalize_authority`] gives it.
    pub fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| name.matches(host))
    }

    /// Whether clients should accept it at `now`.
    pub fn validity(&self, now: UnixMillis) -> Validity {
        if now < self.not_before {
            Validity::NotYet(self.not_before.since(now))
        } else if now.seconds() > self.not_after.seconds() {
            Validity::Expired(now.since(self.not_after))
        } else {
            Validity::Valid
        }
    }

    pub(crate) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    pub(crate) fn shared_names(&self) -> &Arc<[HostPattern]> {
        &self.names
    }

    /// Whether a client that knows these signatures can be answered with it.
    pub(crate) fn signs_one_of(&self, schemes: &[SignatureScheme]) -> bool {
        self.certified.key.choose_scheme(schemes).is_some()
    }

    /// Smaller is offered first: ECDSA is what most clients know among those that cost us little.
    pub(crate) fn rank(&self) -> u8 {
        match self.certified.key.algorithm() {
            SignatureAlgorithm::ECDSA => 0,
            SignatureAlgorithm::ED25519 => 1,
            _ => 2,
        }
    }
}

/// Says nothing about the key.
impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("names", &self.names)
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

impl Fingerprint {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let suite = cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().expect("it is one of TLS 1.3");
        let hash = suite.common.hash_provider.hash(bytes);
        Self(hash.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Valid => f.write_str("is valid"),
            Self::NotYet(by) => write!(f, "is not valid for another {}", Rough(*by)),
            Self::Expired(by) => write!(f, "expired {} ago", Rough(*by)),
        }
    }
}

/// In the largest unit that is no zero, rounded down.
struct Rough(Duration);

impl fmt::Display for Rough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (count, unit) = match seconds {
            0..60 => (seconds, "second"),
            60..3600 => (seconds / 60, "minute"),
            3600..86_400 => (seconds / 3600, "hour"),
            _ => (seconds / 86_400, "day"),
        };
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "{count} {unit}{plural}")
    }
}

impl PairError {
    fn of(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InconsistentKeys(_) => Self::Mismatch,
            rustls::Error::InvalidCertificate(why) => Self::Certificate(why.to_string()),
            rustls::Error::General(why) => Self::Key(why),
            other => Self::Key(other.to_string()),
        }
    }
}

pub(crate) fn provider() -> CryptoProvider {
    default_provider()
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PairError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| PairError::CertificatePem(error_text(&error)))
}

fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, PairError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        if pem.windows(9).any(|window| window == b"ENCRYPTED") {
            return PairError::EncryptedKey;
        }
        match error {
            pem::Error::NoItemsFound => PairError::NoKey,
            other => PairError::KeyPem(error_text(&other)),
        }
    })
}

/// In words: the library shows markers as numbers, and whole lines, which may be of a key.
pub(crate) fn error_text(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is damaged".to_owned(),
        pem::Error::Base64Decode(_) => "a section is no base64".to_owned(),
        other => other.to_string(),
    }
}
