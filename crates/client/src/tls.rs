//! TLS towards a registry: whom to believe, and who we are.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// How TLS is spoken to a registry. Cheap to copy.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

/// Why TLS cannot be spoken. Names the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It cannot be read, or is no PEM.
    #[error("{}: {why}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: rustls::pki_types::pem::Error,
    },
    /// There is no certificate in it.
    #[error("{}: holds no certificate", .0.display())]
    NoCertificate(PathBuf),
    /// The library's word: a certificate that is none, or a key that is another's.
    #[error("{}: {why}", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: rustls::Error,
    },
}

/// Why a registry and we do not come to speak TLS. Reads on after its address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsTrouble {
    /// What it says is no TLS.
    #[error("it speaks no TLS there")]
    ClearText,
    /// Whoever issued its certificate is not among those we believe.
    #[error("its certificate was issued by nobody we believe")]
    UnknownIssuer,
    /// Its certificate is for other hosts.
    #[error("its certificate is for another host")]
    OtherHost,
    /// Its certificate has expired, or is for later.
    #[error("its certificate is not valid now")]
    NotValidNow,
    /// Its certificate has another fault: the library's word for it.
    #[error("its certificate cannot be used: {0}")]
    BadCertificate(Box<str>),
    /// It wants to be shown a certificate, and was shown none.
    #[error("it wants a certificate of ours")]
    WantsCertificate,
    /// The certificate it was shown is not good enough for it.
    #[error("it does not believe our certificate")]
    RefusesCertificate,
}

impl TlsTrouble {
    /// What an error of a connection with TLS means; `None` for one that is about something else.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        use rustls::{AlertDescription as Alert, CertificateError as Bad, Error, InvalidMessage};
        match error.get_ref()?.downcast_ref::<Error>()? {
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => Some(Self::ClearText),
            Error::InvalidCertificate(Bad::UnknownIssuer) => Some(Self::UnknownIssuer),
            Error::InvalidCertificate(
                Bad::NotValidForName | Bad::NotValidForNameContext { .. },
            ) => Some(Self::OtherHost),
            Error::InvalidCertificate(
                Bad::Expired
                | Bad::ExpiredContext { .. }
                | Bad::NotValidYet
                | Bad::NotValidYetContext { .. },
            ) => Some(Self::NotValidNow),
            Error::InvalidCertificate(other) => {
                Some(Self::BadCertificate(other.to_string().into()))
            }
            Error::AlertReceived(Alert::CertificateRequired) => Some(Self::WantsCertificate),
            Error::AlertReceived(
                Alert::UnknownCA
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateExpired
                | Alert::CertificateRevoked
                | Alert::CertificateUnknown
                | Alert::DecryptError
                | Alert::AccessDenied,
            ) => Some(Self::RefusesCertificate),
            // The library knows many more, and may learn others.
            _ => None,
        }
    }
}

/// The files of a certificate and its key.
#[derive(Clone, Copy, Debug)]
pub struct PairFiles<'a> {
    /// PEM, our own certificate first.
    pub cert: &'a Path,
    /// PEM.
    pub key: &'a Path,
}

impl Tls {
    /// Believes registries whose certificates were issued by those in the file `ca`, and shows the
    /// certificate in `pair` if there is one. Reads files.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn load(ca: &Path, pair: Option<PairFiles<'_>>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|why| unusable(ca, why))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|why| unusable(ca, why))?
            .with_root_certificates(roots);
        let config = match pair {
            None => builder.with_no_client_auth(),
            Some(PairFiles { cert, key }) => {
                let chain = certificates(cert)?;
                let secret = PrivateKeyDer::from_pem_file(key);
                let secret = secret.map_err(|why| TlsError::File { file: key.to_owned(), why })?;
                builder.with_client_auth_cert(chain, secret).map_err(|why| unusable(key, why))?
            }
        };
        Ok(Self(Arc::new(config)))
    }

    /// Shakes hands with whoever has to be `host`.
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        TlsConnector::from(Arc::clone(&self.0)).connect(name, stream).await
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |why| TlsError::File { file: file.to_owned(), why };
    let found = CertificateDer::pem_file_iter(file).map_err(bad)?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(bad)?;
    if found.is_empty() { Err(TlsError::NoCertificate(file.to_owned())) } else { Ok(found) }
}

fn unusable(file: &Path, why: rustls::Error) -> TlsError {
    TlsError::Unusable { file: file.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_means() {
        use rustls::{AlertDescription as Alert, CertificateError as Bad, Error};
        let of = |error| TlsTrouble::of(&io::Error::new(io::ErrorKind::InvalidData, error));
        let bad = |why: Bad| {
            let text = why.to_string().into();
            (Error::InvalidCertificate(why), Some(TlsTrouble::BadCertificate(text)))
        };
        let table = [
            (Error::InvalidCertificate(Bad::Expired), Some(TlsTrouble::NotValidNow)),
            (Error::AlertReceived(Alert::UnknownCA), Some(TlsTrouble::RefusesCertificate)),
            bad(Bad::BadSignature),
            (Error::DecryptError, None),
        ];
        for (error, trouble) in table {
            assert_eq!(of(error.clone()), trouble, "{error}");
        }
        assert_eq!(TlsTrouble::of(&io::ErrorKind::ConnectionRefused.into()), None);
    }

    #[test]
    fn files_that_are_no_good_are_named() {
        let empty = Path::new("/dev/null");
        let gone = Path::new("/nowhere/ca.pem");
        let says = |ca, pair| Tls::load(ca, pair).map(|_| ()).unwrap_err().to_string();
        assert_eq!(says(empty, None), "/dev/null: holds no certificate");
        assert!(says(gone, None).starts_with("/nowhere/ca.pem: "), "{}", says(gone, None));
    }
}
