//! Why something was not done, and what of that programs can act on.

use std::borrow::Cow;
use std::fmt::Display;

/// What follows the name of something that the catalog does not have.
const NOT_IN_CATALOG: &str = " is not in the catalog";
/// What comes before the name of a package that is not there.
const NO_PACKAGE: &str = "no package ";

/// Why something was not done. Goes to the peer after `ERROR|`: no pipe, no line feed, and no
/// secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(Cow<'static, str>);

/// What a refusal is about, as far as programs act on it. On the wire a refusal is its text alone,
/// so this is read from there by whoever was refused, and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A token is wanted.
    AuthenticationRequired,
    /// The token is another one.
    AuthenticationFailed,
    /// The port speaks TLS.
    WantsTls,
    /// The command needs a session.
    NoSession,
    /// The session is not that of the connection.
    OtherSession,
    /// There is no such session.
    NoSuchSession,
    /// The session has no such route.
    NoSuchRoute,
    /// The catalog has no such service or instance.
    NotInCatalog,
    /// There is no such package.
    NoSuchPackage,
    /// Anything else, for people.
    Other,
}

impl Refusal {
    /// A token is wanted, as the first line (SPEC 10).
    pub const AUTHENTICATION_REQUIRED: Self = Self(Cow::Borrowed("authentication required"));
    /// The token is another one (SPEC 10).
    pub const AUTHENTICATION_FAILED: Self = Self(Cow::Borrowed("authentication failed"));
    /// Clear text on a port of TLS.
    pub const WANTS_TLS: Self = Self(Cow::Borrowed("this port speaks TLS"));
    /// The command needs a session and this connection has none (SPEC 2.3).
    pub const NO_SESSION: Self = Self(Cow::Borrowed("no session"));
    /// The id is not this connection's (SPEC 2.3).
    pub const INVALID_SESSION: Self = Self(Cow::Borrowed("Invalid session"));
    /// The session was replaced or has ended (SPEC 2.3).
    pub const SESSION_NOT_FOUND: Self = Self(Cow::Borrowed("session not found"));
    /// No route of that id in this session.
    pub const ROUTE_NOT_FOUND: Self = Self(Cow::Borrowed("route not found"));
    /// No route that is there for that path in this session.
    pub const NO_ROUTE_WITH_PATH: Self = Self(Cow::Borrowed("no route with that path"));
    /// No route that is there for that domain in this session.
    pub const NO_ROUTE_WITH_DOMAIN: Self = Self(Cow::Borrowed("no route with that domain"));
    /// Only a connection of the admin socket may ask that (SPEC 12).
    pub const OPERATORS_ONLY: Self = Self(Cow::Borrowed("operators only"));
    /// The effect does not exist yet in this build.
    pub const NOT_SUPPORTED_YET: Self = Self(Cow::Borrowed("not supported yet"));

    /// A reason; pipes and control characters in it become spaces.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        let reason = reason.into();
        let bad = |c: char| c == '|' || c.is_control();
        if reason.contains(bad) { Self(Cow::Owned(reason.replace(bad, " "))) } else { Self(reason) }
    }

    /// The catalog does not have what was named.
    pub fn not_in_catalog(what: impl Display) -> Self {
        Self::new(format!("{what}{NOT_IN_CATALOG}"))
    }

    /// There is no such package in a folder.
    pub fn no_package(package: &str, folder: impl Display) -> Self {
        Self::new(format!("{NO_PACKAGE}`{package}` in {folder}"))
    }

    /// The reason.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Reason {
    /// What the text of a refusal is about. It holds no pipe; before one stands a transaction id.
    pub fn of(text: &str) -> Self {
        let text = text.rsplit('|').next().unwrap_or(text);
        let said = [
            (Refusal::AUTHENTICATION_REQUIRED, Self::AuthenticationRequired),
            (Refusal::AUTHENTICATION_FAILED, Self::AuthenticationFailed),
            (Refusal::WANTS_TLS, Self::WantsTls),
            (Refusal::NO_SESSION, Self::NoSession),
            (Refusal::INVALID_SESSION, Self::OtherSession),
            (Refusal::SESSION_NOT_FOUND, Self::NoSuchSession),
            (Refusal::ROUTE_NOT_FOUND, Self::NoSuchRoute),
            (Refusal::NO_ROUTE_WITH_PATH, Self::NoSuchRoute),
            (Refusal::NO_ROUTE_WITH_DOMAIN, Self::NoSuchRoute),
        ];
        match said.into_iter().find(|(refusal, _)| refusal.as_str() == text) {
            Some((_, reason)) => reason,
            None if text.ends_with(NOT_IN_CATALOG) => Self::NotInCatalog,
            None if text.starts_with(NO_PACKAGE) => Self::NoSuchPackage,
            None => Self::Other,
        }
    }

    /// Whether something was named that is not there.
    pub const fn is_not_found(self) -> bool {
        match self {
            Self::NoSuchSession | Self::NoSuchRoute | Self::NotInCatalog | Self::NoSuchPackage => {
                true
            }
            Self::AuthenticationRequired
            | Self::AuthenticationFailed
            | Self::WantsTls
            | Self::NoSession
            | Self::OtherSession
            | Self::Other => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_refusal_is_about() {
        #[rustfmt::skip]
        let table = [
            (Refusal::AUTHENTICATION_REQUIRED,          Reason::AuthenticationRequired, false),
            (Refusal::AUTHENTICATION_FAILED,            Reason::AuthenticationFailed,   false),
            (Refusal::WANTS_TLS,                        Reason::WantsTls,               false),
            (Refusal::NO_SESSION,                       Reason::NoSession,              false),
            (Refusal::INVALID_SESSION,                  Reason::OtherSession,           false),
            (Refusal::SESSION_NOT_FOUND,                Reason::NoSuchSession,          true),
            (Refusal::ROUTE_NOT_FOUND,                  Reason::NoSuchRoute,            true),
            (Refusal::NO_ROUTE_WITH_PATH,               Reason::NoSuchRoute,            true),
            (Refusal::NO_ROUTE_WITH_DOMAIN,             Reason::NoSuchRoute,            true),
            (Refusal::not_in_catalog("web/web-1"),      Reason::NotInCatalog,           true),
            (Refusal::no_package("web-1", "/packages"), Reason::NoSuchPackage,          true),
            (Refusal::OPERATORS_ONLY,                   Reason::Other,                  false),
            (Refusal::new("no packages here"),          Reason::Other,                  false),
        ];
        for (refusal, reason, is_not_found) in table {
            let text = refusal.as_str();
            assert_eq!((Reason::of(text), reason.is_not_found()), (reason, is_not_found), "{text}");
            assert_eq!(Reason::of(&format!("t1|{text}")), reason, "{text}");
        }
    }

    #[test]
    fn no_refusal_divides_a_line() {
        assert_eq!(Refusal::not_in_catalog("a|b\n").as_str(), "a b  is not in the catalog");
    }
}
