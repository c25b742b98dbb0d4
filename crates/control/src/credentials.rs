//! Everybody who may talk to the registry, by what they show: a token, or a certificate that was
//! verified (SPEC 10).
//!
//! ```text
//!   operator's socket ------------------------------> may do everything
//!   certificate that a credential names ------------> that credential
//!   any verified certificate, where nobody is named
//!     and no token is there ------------------------> may do everything, under its name
//!   some token is there ----------------------------> has to show one
//!   Unix socket, or nobody is asked for anything ---> may do everything
//!   certificates are asked for, and this is nobody's > may do nothing
//! ```

use std::sync::Arc;

use certs::ClientName;
use door::Secret;
use session::{Credential, Grants, Peer};

use crate::access::Access;

/// Everybody who may talk to the registry. Nobody is asked for anything where there are none.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    tokens: Vec<(Secret, Arc<Credential>)>,
    certificates: Vec<(Box<str>, Arc<Credential>)>,
    asks_certificates: bool,
}

impl Credentials {
    /// Whoever shows this token is this one.
    pub fn add_token(&mut self, token: Secret, credential: Arc<Credential>) {
        self.tokens.push((token, credential));
    }

    /// Whoever shows a certificate with this common name or alternative name is this one. Of
    /// several that are named by one certificate the first counts.
    pub fn add_certificate(&mut self, name: &str, credential: Arc<Credential>) {
        self.certificates.push((name.into(), credential));
        self.asks_certificates = true;
    }

    /// Clients over TCP are asked for certificates.
    pub fn ask_certificates(&mut self) {
        self.asks_certificates = true;
    }

    /// The credential of a token. Takes as long for one that is nobody's as for any other.
    pub(crate) fn by_token(&self, shown: &str) -> Option<Arc<Credential>> {
        let mut found = None;
        for (token, credential) in &self.tokens {
            if token.admits(shown) {
                found = Some(credential);
            }
        }
        found.cloned()
    }

    /// How far somebody comes without a word, and as whom.
    pub(crate) fn access(
        self: &Arc<Self>,
        peer: &Peer,
        certificate: Option<&ClientName>,
    ) -> (Access, Option<Arc<Credential>>) {
        let known = match peer {
            Peer::Operator => return (Access::Granted, None),
            Peer::Tcp(_) | Peer::Local => certificate.and_then(|name| self.by_certificate(name)),
        };
        let shows_certificates = matches!(peer, Peer::Tcp(_)) && self.asks_certificates;
        let is_wanted = !self.tokens.is_empty() || shows_certificates;
        match known {
            Some(credential) => (Access::Granted, Some(credential)),
            None if is_wanted => {
                (Access::Wanted { credentials: Arc::clone(self), failures: 0 }, None)
            }
            None => (Access::Granted, None),
        }
    }

    fn by_certificate(&self, name: &ClientName) -> Option<Arc<Credential>> {
        let named = self.certificates.iter().find(|(wanted, _)| name.is(wanted));
        if let Some((_, credential)) = named {
            return Some(Arc::clone(credential));
        }
        // A colon stands in no name that the configuration gives.
        let anybody = self.certificates.is_empty() && self.tokens.is_empty();
        let name = || format!("cert:{}", name.shown()).replace(['|', ' '], "_").into();
        anybody.then(|| Arc::new(Credential { name: name(), grants: Grants::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(common_name: &str, host: &str) -> ClientName {
        let mut params = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        let cert = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        ClientName::read(cert.der()).unwrap()
    }

    fn somebody(name: &str) -> Arc<Credential> {
        Arc::new(Credential { name: name.into(), grants: Grants::default() })
    }

    /// Who is let in without a word: `-` nobody by name, `?` has to show a token.
    #[test]
    fn who_is_let_in_as_whom() {
        let tcp = Peer::Tcp("10.0.0.1".parse().unwrap());
        let blue = certificate("blue", "blue.example");
        let none = Credentials::default();
        let mut tokens = Credentials::default();
        tokens.add_token(Secret::new("secret").unwrap(), somebody("a"));
        let mut any = Credentials::default();
        any.ask_certificates();
        let mut named = any.clone();
        named.add_certificate("red", somebody("red-team"));
        named.add_certificate("blue.example", somebody("blue-team"));
        named.add_certificate("blue", somebody("late"));
        let mut others = any.clone();
        others.add_certificate("red", somebody("red-team"));
        let mut both = any.clone();
        both.add_token(Secret::new("secret").unwrap(), somebody("a"));
        #[rustfmt::skip]
        let table = [
            // credentials  peer            shows        let in as
            (&none,         &tcp,           None,        "-"),
            (&none,         &Peer::Local,   None,        "-"),
            (&tokens,       &tcp,           None,        "?"),
            (&tokens,       &Peer::Local,   None,        "?"),
            (&tokens,       &Peer::Operator, None,       "-"),
            (&any,          &tcp,           None,        "?"),
            (&any,          &tcp,           Some(&blue), "cert:blue"),
            (&any,          &Peer::Local,   None,        "-"),
            (&named,        &tcp,           Some(&blue), "blue-team"),
            (&others,       &tcp,           Some(&blue), "?"),
            (&others,       &Peer::Local,   None,        "-"),
            (&both,         &tcp,           Some(&blue), "?"),
            (&both,         &Peer::Local,   None,        "?"),
        ];
        for (row, (credentials, peer, shows, wanted)) in table.into_iter().enumerate() {
            let (access, who) = Arc::new(credentials.clone()).access(peer, shows);
            let said = match (access.is_granted(), &who) {
                (true, Some(who)) => &*who.name,
                (true, None) => "-",
                (false, _) => "?",
            };
            assert_eq!(said, wanted, "row {row}");
        }
    }

    #[test]
    fn each_token_is_somebody() {
        let mut credentials = Credentials::default();
        credentials.add_token(Secret::new("one").unwrap(), somebody("first"));
        credentials.add_token(Secret::new("two").unwrap(), somebody("second"));
        let who = |shown: &str| credentials.by_token(shown).map(|who| who.name.to_string());
        assert_eq!(who("one").as_deref(), Some("first"));
        assert_eq!(who("two").as_deref(), Some("second"));
        assert_eq!(who("three"), None);
    }
}
