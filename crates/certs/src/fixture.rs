//! Certificates for tests, made when they are asked for.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use model::UnixMillis;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ED25519, PKCS_RSA_SHA256,
};
use runtime::Snapshot;
use rustls::SignatureScheme;

use crate::{Certificates, Pair, Resolver};

/// 2026-01-01.
pub(crate) const NOW: UnixMillis = UnixMillis(1_767_225_600_000);

pub(crate) const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];
pub(crate) const RSA: &[SignatureScheme] = &[SignatureScheme::RSA_PSS_SHA256];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ecdsa,
    Ed25519,
    Rsa,
}

/// A pair as files hold it.
#[derive(Clone)]
pub(crate) struct Pem {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Pem {
    pub(crate) fn pair(&self) -> Pair {
        Pair::parse(self.cert.as_bytes(), self.key.as_bytes()).unwrap()
    }
}

/// Somebody who issues certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn issue(&self, kind: Kind, names: &[&str]) -> Pem {
        self.sign(&params(names), &key(kind))
    }

    pub(crate) fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Pem {
        let cert = params.signed_by(key, &self.0).unwrap().pem();
        Pem { cert, key: key.serialize_pem() }
    }
}

pub(crate) fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| punycode(name)).collect();
    CertificateParams::new(names).unwrap()
}

/// Signed by itself.
pub(crate) fn pem(kind: Kind, names: &[&str]) -> Pem {
    let key = key(kind);
    let cert = params(names).self_signed(&key).unwrap().pem();
    Pem { cert, key: key.serialize_pem() }
}

pub(crate) fn pair(kind: Kind, names: &[&str]) -> Arc<Pair> {
    Arc::new(pem(kind, names).pair())
}

/// Valid from so many days after [`NOW`] until so many.
pub(crate) fn pair_valid(names: &[&str], from: i64, until: i64) -> Arc<Pair> {
    let day = |days: i64| {
        let seconds = NOW.seconds().saturating_add_signed(days * 86_400);
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    let mut params = params(names);
    (params.not_before, params.not_after) = (day(from), day(until));
    let key = key(Kind::Ecdsa);
    let cert = params.self_signed(&key).unwrap().pem();
    Arc::new(Pem { cert, key: key.serialize_pem() }.pair())
}

pub(crate) fn resolver(pairs: Vec<Arc<Pair>>) -> Resolver {
    Resolver::new(Snapshot::new(Arc::new(Certificates::new(pairs))))
}

/// RSA keys take long to find, so there is one.
pub(crate) fn key(kind: Kind) -> KeyPair {
    static RSA: OnceLock<String> = OnceLock::new();
    match kind {
        Kind::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
        Kind::Ed25519 => KeyPair::generate_for(&PKCS_ED25519).unwrap(),
        Kind::Rsa => {
            let new = || KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap().serialize_pem();
            KeyPair::from_pem(RSA.get_or_init(new)).unwrap()
        }
    }
}

fn punycode(name: &str) -> String {
    if name.is_ascii() {
        return name.to_owned();
    }
    model::HostPattern::parse(name).unwrap().to_string()
}
