//! Who may talk to the registry (SPEC 10).

use std::sync::Arc;

use session::Credential;

use crate::bounds::AUTH_FAILURES_MAX;
use crate::credentials::Credentials;
use crate::socket::Address;

/// How far a connection has come.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// It may give commands.
    Granted,
    /// It has to show a token first.
    Wanted {
        credentials: Arc<Credentials>,
        /// Wrong ones it showed.
        failures: u32,
    },
}

/// What to answer to `AUTH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// `AUTH_OK`.
    Welcome,
    /// `AUTH_OK`, and this is who it is from now on.
    Known(Arc<Credential>),
    /// An error.
    Wrong,
    /// An error, and that was the last attempt.
    Enough,
}

impl Access {
    /// Where no token is wanted, every one is welcome: a client need not know.
    pub(crate) fn show(&mut self, shown: &str) -> Verdict {
        let Self::Wanted { credentials, failures } = self else { return Verdict::Welcome };
        if let Some(credential) = credentials.by_token(shown) {
            *self = Self::Granted;
            return Verdict::Known(credential);
        }
        *failures += 1;
        if *failures < AUTH_FAILURES_MAX { Verdict::Wrong } else { Verdict::Enough }
    }

    pub(crate) fn is_granted(&self) -> bool {
        matches!(self, Self::Granted)
    }
}

/// What keeps strangers from a registry socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nothing.
    None,
    /// A token.
    Token,
    /// Client certificates.
    Certificates,
    /// Nothing, and `insecure = true` says that this is meant.
    Insecure,
}

/// A socket that would let anybody on the network publish routes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the registry may not listen on {0}, which others can reach: set a token, require client \
     certificates, listen on a loopback address, or write insecure = true"
)]
pub struct Exposed(Address);

/// Whether the registry may listen there (SPEC 10): off loopback only with a protection, or where
/// somebody wrote that it may go without. File permissions protect a Unix socket.
///
/// # Errors
///
/// [`Exposed`].
pub fn check_exposure(address: &Address, protection: Protection) -> Result<(), Exposed> {
    let private = match address {
        Address::Unix(_) => true,
        Address::Tcp(address) => address.ip().to_canonical().is_loopback(),
    };
    match protection {
        Protection::None if !private => Err(Exposed(address.clone())),
        Protection::None | Protection::Token | Protection::Certificates | Protection::Insecure => {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use door::Secret;
    use session::Grants;

    use super::*;

    #[test]
    fn the_third_wrong_token_is_the_last() {
        let access = || {
            let mut credentials = Credentials::default();
            let credential = Credential { name: "a".into(), grants: Grants::default() };
            credentials.add_token(Secret::new("secret").unwrap(), credential.into());
            Access::Wanted { credentials: credentials.into(), failures: 0 }
        };
        let mut guessing = access();
        let shown: Vec<_> = (0..3).map(|_| guessing.show("guess")).collect();
        assert_eq!(shown, [Verdict::Wrong, Verdict::Wrong, Verdict::Enough]);
        assert!(!guessing.is_granted());

        let mut access = access();
        assert_eq!(access.show("guess"), Verdict::Wrong);
        assert!(matches!(access.show("secret"), Verdict::Known(who) if &*who.name == "a"));
        assert!(access.is_granted());
        assert_eq!(access.show("anything"), Verdict::Welcome);
    }

    #[test]
    fn off_loopback_something_must_protect() {
        use Protection::{Certificates, Insecure, None, Token};
        #[rustfmt::skip]
        let table = [
            // address               protection      may
            ("127.0.0.1:81",         None,           true),
            ("127.8.8.8:81",         None,           true),
            ("[::1]:81",             None,           true),
            ("[::ffff:127.0.0.1]:1", None,           true),
            ("0.0.0.0:81",           None,           false),
            ("[::]:81",              None,           false),
            ("10.0.0.1:81",          None,           false),
            ("[::ffff:10.0.0.1]:81", None,           false),
            ("0.0.0.0:81",           Token,          true),
            ("0.0.0.0:81",           Certificates,   true),
            ("0.0.0.0:81",           Insecure,       true),
        ];
        for (address, protection, may) in table {
            let address = Address::Tcp(address.parse().unwrap());
            let allowed = check_exposure(&address, protection).is_ok();
            assert_eq!(allowed, may, "{address} {protection:?}");
        }
        assert!(check_exposure(&Address::Unix("/run/r.sock".into()), None).is_ok());
    }
}
