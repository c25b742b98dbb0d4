//! What can go wrong, and the exit code it has. The codes are stable.

use std::io::ErrorKind;

use client::{ApplyError, ConnectionError, Refusal, TlsTrouble};
use model::Reason;

use crate::output::printable;

/// What each exit code means, as `--help` and docs/REGCTL.md say it.
pub(crate) const EXIT_CODES: [(u8, &str); 8] = [
    (0, "done; also when the reader of our output has gone"),
    (1, "failed in another way"),
    (2, "the command line or a file is wrong"),
    (3, "the server answered ERROR"),
    (4, "nobody listens there, or no registry, or the connection broke"),
    (5, "no answer within --timeout (5 s)"),
    (6, "no such route, session, service or package"),
    (130, "interrupted; what goes on until it is stopped ends with 0"),
];

/// Why a command did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Whoever read our output has had enough. Not an error.
    ClosedPipe,
    /// Anything else: 1.
    Other(String),
    /// The command line or a file does not say what to do: 2.
    Usage(String),
    /// The server answered `ERROR`: 3, or 6 if it does not know what was named.
    Refused(String),
    /// Nobody listens there, or the connection broke: 4.
    Unreachable(String),
    /// The same, of the admin socket: 4.
    AdminSocket(String, ErrorKind),
    /// Somebody listens there who is no registry: 4.
    NotRegistry(String),
    /// Somebody listens there, and we do not come to speak TLS: 4.
    Tls(String, TlsTrouble),
    /// No answer in time: 5.
    Timeout(String),
    /// What was named is not there: 6.
    NotFound(String),
}

impl Failure {
    /// What the process exits with.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::ClosedPipe => 0,
            Self::Other(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(text) if Reason::of(text).is_not_found() => 6,
            Self::Refused(_) => 3,
            Self::Unreachable(_) | Self::AdminSocket(..) | Self::NotRegistry(_) | Self::Tls(..) => {
                4
            }
            Self::Timeout(_) => 5,
            Self::NotFound(_) => 6,
        }
    }

    /// What went wrong.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::ClosedPipe => "the reader of our output is gone".to_owned(),
            Self::Other(text)
            | Self::Usage(text)
            | Self::Unreachable(text)
            | Self::AdminSocket(text, _)
            | Self::NotRegistry(text)
            | Self::Tls(text, _)
            | Self::Timeout(text)
            | Self::NotFound(text) => text.clone(),
            Self::Refused(reason) => format!("the server said: {}", printable(reason)),
        }
    }

    /// What to do about it, where that is known.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable(_) => Some(
                "is proxyd running there? Name another place with --addr or --socket, or with \
                 REGCTL_ADDR or REGCTL_SOCKET",
            ),
            Self::AdminSocket(_, kind) => Some(socket_hint(*kind)),
            Self::NotRegistry(_) => Some(
                "name the port in `listen` of [registry] with --addr or REGCTL_ADDR, or the admin \
                 socket with --socket or REGCTL_SOCKET",
            ),
            Self::Tls(_, trouble) => Some(tls_hint(trouble)),
            Self::Timeout(_) => Some("give it longer with --timeout 30s"),
            Self::Refused(text) => refusal_hint(Reason::of(text)),
            Self::ClosedPipe | Self::Other(_) | Self::Usage(_) | Self::NotFound(_) => None,
        }
    }
}

fn socket_hint(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::PermissionDenied => {
            "the socket is for the user that proxyd runs as, for its group and for root: run regctl \
             as one of them"
        }
        ErrorKind::ConnectionRefused => "proxyd has ended there: start it again",
        _ => {
            "is proxyd running? Its socket is beside its store, or where [admin] socket puts it: \
             name it with --socket PATH or REGCTL_SOCKET. In a folder of another user it may be \
             there and not be seen"
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

fn refusal_hint(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::AuthenticationRequired => Some(
            "name a file with the token by --token-file or REGCTL_TOKEN_FILE, or use the admin \
             socket",
        ),
        Reason::AuthenticationFailed => Some(
            "the token is another one: look at the file of --token-file or REGCTL_TOKEN_FILE, or at \
             REGCTL_TOKEN",
        ),
        Reason::WantsTls => {
            Some("name the certificate of whoever issued the registry's with --ca or REGCTL_CACERT")
        }
        Reason::NoSession => {
            Some("register first with --register SERVICE/INSTANCE, or name a --session")
        }
        Reason::OtherSession | Reason::NoSuchSession => {
            Some("a session is named by its id or as SERVICE/INSTANCE, over the admin socket")
        }
        Reason::NoSuchRoute => Some("`regctl routes SESSION` lists the routes of a session"),
        Reason::NotInCatalog => Some("`regctl services` lists all services"),
        Reason::NoSuchPackage | Reason::Other => None,
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
            ConnectionError::NotRegistry { .. } => Self::NotRegistry(text),
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
    fn a_refusal_moves_no_cursor() {
        let failure = Failure::Refused("no\u{1b}[2J".to_owned());
        assert_eq!(failure.text(), "the server said: no [2J");
    }

    #[test]
    fn exit_codes_are_stable() {
        let refused = |refusal: model::Refusal| Failure::Refused(refusal.as_str().to_owned());
        let new = |reason: &'static str| refused(model::Refusal::new(reason));
        let refusal = |reason: &str| Refusal { command: "AUTH", reason: reason.into() };
        let unreachable = ConnectionError::Unreachable {
            address: "proxy:81".parse().unwrap(),
            source: std::io::ErrorKind::ConnectionRefused.into(),
        };
        let foreign = client::SaidError::Foreign("HTTP/1.1 400".into());
        let text = String::new;
        let table = [
            (Failure::ClosedPipe, 0),
            (Failure::Other(text()), 1),
            (Failure::Usage(text()), 2),
            (new("route r2: invalid backend URL format"), 3),
            (refused(model::Refusal::NO_SESSION), 3),
            (refused(model::Refusal::INVALID_SESSION), 3),
            (refused(model::Refusal::ROUTE_NOT_FOUND), 6),
            (refused(model::Refusal::SESSION_NOT_FOUND), 6),
            (refused(model::Refusal::not_in_catalog("web")), 6),
            (refused(model::Refusal::no_package("web-1.tar.gz", "/packages")), 6),
            (new("deployment is off: no host is allowed (`deploy_hosts`)"), 3),
            (Failure::Refused("t1|route not found".to_owned()), 6),
            (Failure::NotFound(text()), 6),
            (unreachable.into(), 4),
            (ConnectionError::Lost.into(), 4),
            (ConnectionError::NotRegistry { address: None, said: foreign }.into(), 4),
            (Failure::AdminSocket(text(), ErrorKind::NotFound), 4),
            (Failure::Tls(text(), TlsTrouble::ClearText), 4),
            (ConnectionError::Timeout(Duration::from_secs(5)).into(), 5),
            (ConnectionError::Refused(refusal("no")).into(), 3),
            (ConnectionError::NotOneLine.into(), 2),
            (ApplyError::Refused(refusal("session not found")).into(), 6),
            (ApplyError::Ended.into(), 1),
        ];
        for (failure, code) in table {
            assert_eq!(failure.code(), code, "{failure:?}");
            assert!(EXIT_CODES.iter().any(|(told, _)| *told == code), "{code} is not told");
        }
    }

    /// What people read is what the codes are.
    #[test]
    fn exit_codes_are_documented() {
        let document = include_str!("../../../docs/REGCTL.md");
        let (_, table) = document.split_once("| exit code | means |\n| --- | --- |\n").unwrap();
        let rows = table.lines().map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
        let rows: Vec<_> = rows.map(|row| row.replace('`', "")).collect();
        let told = EXIT_CODES.iter().map(|(code, means)| format!("{code} | {means}"));
        assert_eq!(rows, told.collect::<Vec<_>>());
    }
}
