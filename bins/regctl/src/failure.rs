//! What can go wrong, and the exit code it has. The codes are stable.

use client::{ApplyError, ConnectionError, Refusal, TlsTrouble};

/// Why a command did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Whoever read our output has had enough. Not an error.
    ClosedPipe,
    /// Anything else: 1.
    Other(String),
    /// The command line or a file does not say what to do: 2.
    Usage(String),
    /// The server answered `ERROR`: 3, or 6 if it does not know the route or session.
    Refused(String),
    /// Nobody listens there, or the connection broke: 4.
    Unreachable(String),
    /// Somebody listens there, and we do not come to speak TLS: 4.
    Tls(String, TlsTrouble),
    /// No answer in time: 5.
    Timeout(String),
}

/// How the registry and the catalog say that they do not know what was named.
fn is_not_found(reason: &str) -> bool {
    let known = [model::Refusal::ROUTE_NOT_FOUND, model::Refusal::SESSION_NOT_FOUND];
    known.iter().any(|refusal| refusal.as_str() == reason)
        || reason.ends_with("in the catalog")
        || reason.starts_with("no package `")
}

impl Failure {
    /// What the process exits with.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::ClosedPipe => 0,
            Self::Other(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(reason) if is_not_found(reason) => 6,
            Self::Refused(_) => 3,
            Self::Unreachable(_) | Self::Tls(..) => 4,
            Self::Timeout(_) => 5,
        }
    }

    /// What went wrong.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::ClosedPipe => "the reader of our output is gone".to_owned(),
            Self::Other(text)
            | Self::Usage(text)
            | Self::Unreachable(text)
            | Self::Tls(text, _)
            | Self::Timeout(text) => text.clone(),
            Self::Refused(reason) => format!("the server said: {reason}"),
        }
    }

    /// What to do about it, where that is known.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable(_) => Some(
                "is proxyd running there? Name another place with --addr or --socket, or with \
                 REGCTL_ADDR or REGCTL_SOCKET",
            ),
            Self::Tls(_, trouble) => Some(tls_hint(trouble)),
            Self::Timeout(_) => Some("give it longer with --timeout 30s"),
            Self::Refused(reason) => refusal_hint(reason),
            Self::ClosedPipe | Self::Other(_) | Self::Usage(_) => None,
        }
    }
}

fn tls_hint(trouble: &TlsTrouble) -> &'static str {
    match trouble {
        TlsTrouble::ClearText => {
            "leave out --ca, --cert and --key (REGCTL_CACERT, REGCTL_CERT, REGCTL_KEY), or name a \
             port that speaks TLS with --addr"
        }
        TlsTrouble::UnknownIssuer => {
            "name the certificate of whoever issued the registry's with --ca or REGCTL_CACERT"
        }
        TlsTrouble::OtherHost => "name the registry with --addr as its certificate does",
        TlsTrouble::NotValidNow => {
            "have the registry's certificate renewed, and look at the clock of this machine"
        }
        TlsTrouble::BadCertificate(_) => {
            "have the registry's certificate issued anew: for its host, for a server, and not as an \
             authority's (CA:FALSE)"
        }
        TlsTrouble::WantsCertificate => {
            "show one with --cert and --key, or REGCTL_CERT and REGCTL_KEY"
        }
        TlsTrouble::RefusesCertificate => {
            "show one with --cert and --key that was issued by an authority in client_ca of the \
             registry, and that is valid now"
        }
    }
}

fn refusal_hint(reason: &str) -> Option<&'static str> {
    match reason {
        "authentication required" => Some(
            "name a file with the token by --token-file or REGCTL_TOKEN_FILE, or use the admin \
             socket",
        ),
        "authentication failed" => Some(
            "the token is another one: look at the file of --token-file or REGCTL_TOKEN_FILE, or at \
             REGCTL_TOKEN",
        ),
        "this port speaks TLS" => {
            Some("name the certificate of whoever issued the registry's with --ca or REGCTL_CACERT")
        }
        "no session" => {
            Some("register first with --register SERVICE/INSTANCE, or name a --session")
        }
        "session not found" | "Invalid session" => {
            Some("a session is named by its id or as SERVICE/INSTANCE, over the admin socket")
        }
        "route not found" => Some("`regctl routes SESSION` lists the routes of a session"),
        _ => None,
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.reason.into())
    }
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Self {
        let text = error.to_string();
        match error {
            ConnectionError::Unreachable { .. } | ConnectionError::Lost => Self::Unreachable(text),
            ConnectionError::Tls { trouble, .. } => Self::Tls(text, trouble),
            ConnectionError::Timeout(_) => Self::Timeout(text),
            ConnectionError::Refused(refusal) => refusal.into(),
            ConnectionError::NotOneLine => Self::Usage(text),
            ConnectionError::Said(_) => Self::Other(text),
        }
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Refused(refusal) => refusal.into(),
            ApplyError::Busy | ApplyError::Ended => Self::Other(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn exit_codes_are_stable() {
        let refused = |reason: &str| Failure::Refused(reason.to_owned());
        let refusal = |reason: &str| Refusal { command: "AUTH", reason: reason.into() };
        let unreachable = ConnectionError::Unreachable {
            address: "proxy:81".parse().unwrap(),
            source: std::io::ErrorKind::ConnectionRefused.into(),
        };
        let table = [
            (Failure::ClosedPipe, 0),
            (Failure::Other("x".to_owned()), 1),
            (Failure::Usage("x".to_owned()), 2),
            (refused("route r2: invalid backend URL format"), 3),
            (refused("no session"), 3),
            (refused("route not found"), 6),
            (refused("session not found"), 6),
            (refused("no package `web-1.tar.gz` in the folder of packages (`deploy_packages`)"), 6),
            (refused("deployment is off: no host is allowed (`deploy_hosts`)"), 3),
            (unreachable.into(), 4),
            (ConnectionError::Lost.into(), 4),
            (ConnectionError::Timeout(Duration::from_secs(5)).into(), 5),
            (ConnectionError::Refused(refusal("no")).into(), 3),
            (ConnectionError::NotOneLine.into(), 2),
            (ApplyError::Refused(refusal("session not found")).into(), 6),
            (ApplyError::Ended.into(), 1),
        ];
        for (failure, code) in table {
            assert_eq!(failure.code(), code, "{failure:?}");
        }
    }
}
