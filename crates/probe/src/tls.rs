//! Whom we believe to be whom.

use std::sync::Arc;

use model::BackendHost;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How encrypted backends are connected to. Cheap to copy.
///
/// A certificate that does not verify fails a check, as it fails the traffic: an endpoint that
/// nobody can use is not healthy.
#[derive(Clone, Debug)]
pub struct Tls {
    /// For requests: a session that is known is resumed.
    text: Arc<ClientConfig>,
    frames: Arc<ClientConfig>,
    either: Arc<ClientConfig>,
    check_text: Arc<ClientConfig>,
    check_either: Arc<ClientConfig>,
    grpc: Arc<ClientConfig>,
}

/// Which versions of HTTP a connection may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/1.1.
    Text,
    /// HTTP/2.
    Frames,
    /// HTTP/2 if the other side likes it, else HTTP/1.1 (RFC 7301).
    Either,
}

/// Why there is no encrypted connection.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TlsFailed {
    /// The certificate is too old.
    #[error("its certificate has expired")]
    Expired,
    /// The certificate is too new.
    #[error("its certificate is not valid yet")]
    NotYetValid,
    /// Nobody we trust has signed the certificate.
    #[error("its certificate is signed by an unknown issuer")]
    UnknownIssuer,
    /// The certificate is for another name or address.
    #[error("its certificate is for another name")]
    WrongName,
    /// Anything else about the certificate.
    #[error("its certificate is not acceptable ({0})")]
    Certificate(CertificateError),
    /// What answered does not speak TLS.
    #[error("it does not speak TLS")]
    NotTls,
    /// No agreement otherwise.
    #[error("{0}")]
    Handshake(rustls::Error),
    /// The connection broke before there was one.
    #[error("the connection ended during the handshake")]
    Ended,
}

/// What should be certificates is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRoots(String);

impl Tls {
    /// Trusts whom the system trusts, or Mozilla's list where the system has none. Reads files:
    /// once, at the start.
    pub fn new() -> Self {
        Self::with_roots(system_roots())
    }

    /// Trusts whom the system trusts, and besides the certificates in `pem`: of an authority of
    /// one's own, or of a backend itself.
    ///
    /// # Errors
    ///
    /// [`BadRoots`] when one of them is none, or there is none.
    pub fn trusting(pem: &[u8]) -> Result<Self, BadRoots> {
        let mut roots = system_roots();
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| BadRoots(error.to_string()))?;
            roots.add(certificate).map_err(|error| BadRoots(error.to_string()))?;
        }
        if roots.len() == before {
            return Err(BadRoots("no certificate in it".to_owned()));
        }
        Ok(Self::with_roots(roots))
    }

    /// Trusts `roots` and nobody else.
    pub fn with_roots(roots: RootCertStore) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut http = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let offering = |offered: &[&[u8]]| {
            let mut config = http.clone();
            config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
            // Whoever resumes may be offered something else than before.
            config.resumption = Resumption::default();
            Arc::new(config)
        };
        let (text, frames, either) =
            (offering(&[b"http/1.1"]), offering(&[b"h2"]), offering(&[b"h2", b"http/1.1"]));
        http.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed connection shows no certificate, and that is what is asked for.
        http.resumption = Resumption::disabled();
        let check_text = Arc::new(http.clone());
        http.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut grpc = http.clone();
        grpc.alpn_protocols = vec![b"h2".to_vec()];
        Self {
            text,
            frames,
            either,
            check_text,
            check_either: Arc::new(http),
            grpc: Arc::new(grpc),
        }
    }

    /// Encrypts a connection that will carry requests.
    ///
    /// # Errors
    ///
    /// [`TlsFailed`], saying what is wrong with the other side.
    pub async fn connect(
        &self,
        stream: TcpStream,
        host: &BackendHost,
        offer: Offer,
    ) -> Result<Box<TlsStream<TcpStream>>, TlsFailed> {
        let config = match offer {
            Offer::Text => &self.text,
            Offer::Frames => &self.frames,
            Offer::Either => &self.either,
        };
        connect(config, stream, host).await
    }

    /// Encrypts a connection for a check in HTTP/1.1 or HTTP/2.
    pub(crate) async fn either(
        &self,
        stream: TcpStream,
        host: &BackendHost,
    ) -> Result<Box<TlsStream<TcpStream>>, TlsFailed> {
        connect(&self.check_either, stream, host).await
    }

    /// Encrypts a connection for a check in HTTP/1.1.
    pub(crate) async fn text(
        &self,
        stream: TcpStream,
        host: &BackendHost,
    ) -> Result<Box<TlsStream<TcpStream>>, TlsFailed> {
        connect(&self.check_text, stream, host).await
    }

    /// Encrypts a connection for gRPC, which is HTTP/2 only.
    pub(crate) async fn grpc(
        &self,
        stream: TcpStream,
        host: &BackendHost,
    ) -> Result<Box<TlsStream<TcpStream>>, TlsFailed> {
        connect(&self.grpc, stream, host).await
    }
}

fn system_roots() -> RootCertStore {
    let loaded = rustls_native_certs::load_native_certs();
    for error in &loaded.errors {
        tracing::debug!(%error, "cannot load some of the system's root certificates");
    }
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(loaded.certs);
    tracing::debug!(added, ignored, "root certificates of the system");
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

impl Default for Tls {
    fn default() -> Self {
        Self::new()
    }
}

impl TlsFailed {
    /// What an error on an encrypted connection says about TLS, if it is about that.
    pub(crate) fn of(error: &std::io::Error) -> Option<Self> {
        let error: &rustls::Error = error.get_ref()?.downcast_ref()?;
        Some(match error {
            rustls::Error::InvalidCertificate(why) => Self::certificate(why),
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            other => Self::Handshake(other.clone()),
        })
    }

    fn certificate(why: &CertificateError) -> Self {
        match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongName
            }
            other => Self::Certificate(other.clone()),
        }
    }
}

async fn connect(
    config: &Arc<ClientConfig>,
    stream: TcpStream,
    host: &BackendHost,
) -> Result<Box<TlsStream<TcpStream>>, TlsFailed> {
    let name = match host {
        BackendHost::Ip(ip) => ServerName::IpAddress((*ip).into()),
        // No certificate is for what cannot be a name in one.
        BackendHost::Name(name) => {
            ServerName::try_from(name.to_string()).map_err(|_| TlsFailed::WrongName)?
        }
    };
    let connecting = TlsConnector::from(Arc::clone(config)).connect(name, stream);
    match Box::pin(connecting).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(TlsFailed::of(&error).unwrap_or(TlsFailed::Ended)),
    }
}
