//! Somebody who issues certificates to servers and clients of tests.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use tempfile::TempDir;

/// An issuer with a folder for its files.
pub struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The files of a certificate and its key.
#[derive(Clone, Debug)]
pub struct Pair {
    /// PEM.
    pub cert: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

impl Authority {
    /// An issuer whose own certificate is in [`Authority::ca`].
    ///
    /// # Panics
    ///
    /// When there is no folder for it.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an issuer");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("a file");
        Self { folder, issuer }
    }

    /// Its own certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate with this common name, for these hosts and addresses, good for servers and
    /// clients.
    ///
    /// # Panics
    ///
    /// When there is no room for it.
    pub fn issue(&self, common_name: &str, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        let file = |kind: &str, text: &str| {
            let path = self.folder.path().join(format!("{common_name}.{kind}.pem"));
            std::fs::write(&path, text).expect("a file");
            path
        };
        Pair { cert: file("cert", &cert.pem()), key: file("key", &key.serialize_pem()) }
    }
}

impl Pair {
    /// As a table of the configuration, without its braces.
    pub fn toml(&self) -> String {
        format!("cert = {}, key = {}", quoted(&self.cert), quoted(&self.key))
    }
}

/// A path as the configuration writes it.
pub fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}
