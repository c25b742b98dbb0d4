//! Answers with which a certificate authority sees that a name leads here (RFC 8555, section 8).
//!
//! They are few, live for seconds, and are told apart from the certificates that clients are
//! shown: the one of a TLS-ALPN-01 challenge is in no [`Certificates`](crate::Certificates), and a
//! handshake gets it only if it asks for nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use model::normalize_authority;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use runtime::Snapshot;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::pair::provider;

/// What a handshake for a TLS-ALPN-01 challenge asks for (RFC 8737, section 4).
const ACME_TLS: &[u8] = b"acme-tls/1";
/// Where HTTP-01 challenges are asked for (RFC 8555, section 8.3).
const WELL_KNOWN: &str = "/.well-known/acme-challenge/";

/// The challenges under way. Clones share them; looking one up waits for nobody.
#[derive(Clone)]
pub struct Challenges(Arc<Shared>);

struct Shared {
    pending: Snapshot<Pending>,
    /// Held while a set follows from the one before.
    changing: Mutex<()>,
}

/// By name: an authority asks for the name it doubts, and one order at a time is under way for it.
#[derive(Clone, Default)]
struct Pending {
    http: BTreeMap<Box<str>, HttpAnswer>,
    tls: BTreeMap<Box<str>, Arc<ServerConfig>>,
}

#[derive(Clone)]
struct HttpAnswer {
    token: Box<str>,
    key_authorization: Box<str>,
}

/// One answer.
#[derive(Clone, Copy, Debug)]
pub enum Challenge<'a> {
    /// HTTP-01: this text, to whoever asks for this token in clear text.
    Http {
        /// The last segment of the path.
        token: &'a str,
        /// The body.
        key_authorization: &'a str,
    },
    /// TLS-ALPN-01: a certificate that holds this, SHA-256 of the key authorization.
    TlsAlpn {
        /// 32 bytes.
        digest: &'a [u8],
    },
}

/// Why an answer cannot be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no certificate for the challenge could be made: {0}")]
pub struct ChallengeError(String);

/// An answer that is given for as long as this lives.
#[must_use = "the challenge is answered only as long as this lives"]
pub struct Answered {
    challenges: Challenges,
    name: Box<str>,
}

impl Challenges {
    /// None.
    pub fn new() -> Self {
        let pending = Snapshot::new(Arc::default());
        Self(Arc::new(Shared { pending, changing: Mutex::new(()) }))
    }

    /// Answers a challenge for `name`, in place of one that was answered for it before.
    ///
    /// # Errors
    ///
    /// [`ChallengeError`], which a library gives that is asked for something usual.
    pub fn answer(&self, name: &str, challenge: Challenge<'_>) -> Result<Answered, ChallengeError> {
        let tls = match challenge {
            Challenge::Http { .. } => None,
            Challenge::TlsAlpn { digest } => Some(Arc::new(server(name, digest)?)),
        };
        self.change(|pending| match challenge {
            Challenge::Http { token, key_authorization } => {
                let (token, key_authorization) = (token.into(), key_authorization.into());
                pending.http.insert(name.into(), HttpAnswer { token, key_authorization });
            }
            Challenge::TlsAlpn { .. } => {
                pending.tls.extend(tls.map(|tls| (name.into(), tls)));
            }
        });
        Ok(Answered { challenges: self.clone(), name: name.into() })
    }

    /// The body for a request in clear text, if it asks for a challenge of ours. `host` is as
    /// [`normalize_authority`] gives it; a challenge that somebody behind us has set is not ours.
    pub fn http(&self, host: &str, path: &str) -> Option<Box<str>> {
        let token = path.strip_prefix(WELL_KNOWN)?;
        let pending = self.0.pending.load();
        let answer = pending.http.get(host).filter(|answer| *answer.token == *token)?;
        Some(answer.key_authorization.clone())
    }

    /// How to go on with a handshake that is a challenge of ours: shake hands, and close.
    pub fn tls(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let mut alpn = hello.alpn()?;
        if alpn.next() != Some(ACME_TLS) || alpn.next().is_some() {
            return None;
        }
        let name = normalize_authority(hello.server_name()?.as_bytes())?;
        self.0.pending.load().tls.get(&*name).cloned()
    }

    /// Whether any handshake may be a challenge.
    pub fn expects_tls(&self) -> bool {
        !self.0.pending.load().tls.is_empty()
    }

    fn change(&self, change: impl FnOnce(&mut Pending)) {
        let _changing = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pending = Pending::clone(&self.0.pending.load());
        change(&mut pending);
        self.0.pending.store(Arc::new(pending));
    }
}

/// A certificate for `name`, signed by itself, with the digest in it (RFC 8737, section 3), and
/// nothing that another connection could take up: no tickets, no sessions.
fn server(name: &str, digest: &[u8]) -> Result<ServerConfig, ChallengeError> {
    if digest.len() != 32 {
        return Err(ChallengeError("the digest must be 32 bytes".to_owned()));
    }
    let made = |error: rcgen::Error| ChallengeError(error.to_string());
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(made)?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(made)?;
    let cert = params.self_signed(&key).map_err(made)?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let refused = |error: rustls::Error| ChallengeError(error.to_string());
    let provider = Arc::new(provider());
    let key = provider.key_provider.load_private_key(key).map_err(refused)?;
    // Unchecked: the library does not know the extension, which is critical.
    let shown = SingleCertAndKey::from(CertifiedKey::new(vec![cert.der().clone()], key));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.challenges.change(|pending| {
            pending.http.remove(&self.name);
            pending.tls.remove(&self.name);
        });
    }
}

impl Default for Challenges {
    fn default() -> Self {
        Self::new()
    }
}

/// Says for whom, and nothing of what.
impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pending = self.0.pending.load();
        let names: Vec<_> = pending.http.keys().chain(pending.tls.keys()).collect();
        f.debug_tuple("Challenges").field(&names).finish()
    }
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Answered").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;
    use rustls::server::Acceptor;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    /// Whether a client that says so in its hello is shown the certificate of a challenge.
    fn is_shown(challenges: &Challenges, name: &str, alpn: &[&str]) -> bool {
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|text| text.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        let mut acceptor = Acceptor::default();
        acceptor.read_tls(&mut &*hello).unwrap();
        let accepted = acceptor.accept().map_err(|(error, _)| error).unwrap().unwrap();
        challenges.tls(&accepted.client_hello()).is_some()
    }

    #[test]
    fn no_usual_handshake_is_shown_a_challenge() {
        let challenges = Challenges::new();
        let challenge = Challenge::TlsAlpn { digest: &[7; 32] };
        let answered = challenges.answer("a.test", challenge).unwrap();
        let http = Challenge::Http { token: "t", key_authorization: "t.thumb" };
        let _http = challenges.answer("b.test", http).unwrap();
        #[rustfmt::skip]
        let table: [(&str, &[&str], bool); 8] = [
            ("a.test", &["acme-tls/1"],             true),
            ("A.Test", &["acme-tls/1"],             true),
            ("a.test", &[],                         false),
            ("a.test", &["http/1.1"],               false),
            ("a.test", &["acme-tls/1", "http/1.1"], false),
            ("a.test", &["h2", "acme-tls/1"],       false),
            ("b.test", &["acme-tls/1"],             false),
            ("c.test", &["acme-tls/1"],             false),
        ];
        for (name, alpn, expected) in table {
            assert_eq!(is_shown(&challenges, name, alpn), expected, "{name} {alpn:?}");
        }
        drop(answered);
        assert!(!is_shown(&challenges, "a.test", &["acme-tls/1"]));
    }

    #[test]
    fn a_token_is_answered_to_whom_it_is_for_and_as_long_as_it_is_pending() {
        let challenges = Challenges::new();
        let challenge = Challenge::Http { token: "t", key_authorization: "t.thumb" };
        let answered = challenges.answer("a.test", challenge).unwrap();
        let _other = challenges.answer("b.test", challenge).unwrap();
        #[rustfmt::skip]
        let table = [
            ("a.test", "/.well-known/acme-challenge/t",    Some("t.thumb")),
            ("c.test", "/.well-known/acme-challenge/t",    None),
            ("a.test", "/.well-known/acme-challenge/u",    None),
            ("a.test", "/.well-known/acme-challenge/",     None),
            ("a.test", "/.well-known/acme-challenge/t/",   None),
            ("a.test", "/x/.well-known/acme-challenge/t",  None),
        ];
        for (host, path, expected) in table {
            assert_eq!(challenges.http(host, path).as_deref(), expected, "{host}{path}");
        }
        drop(answered);
        assert_eq!(challenges.http("a.test", "/.well-known/acme-challenge/t"), None);
        assert!(challenges.http("b.test", "/.well-known/acme-challenge/t").is_some());
        assert!(!format!("{challenges:?}").contains("thumb"));
    }

    #[test]
    fn a_digest_is_32_bytes() {
        let challenges = Challenges::new();
        assert!(challenges.answer("a.test", Challenge::TlsAlpn { digest: &[0; 31] }).is_err());
        assert!(!challenges.expects_tls());
        let answered = challenges.answer("a.test", Challenge::TlsAlpn { digest: &[0; 32] });
        assert!(answered.is_ok() && challenges.expects_tls());
    }
}
