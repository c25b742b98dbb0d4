//! Who may speak to a listener that is spoken to over HTTP (SPEC 12): pages of other sites may not,
//! and off loopback only who knows the token.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::Secret;

/// What a listener asks of a request.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Wanted as `Authorization: Bearer TOKEN`.
    pub token: Option<Secret>,
    /// Origins of pages that may connect besides those of the listener's own host:
    /// `https://ops.example.com`.
    pub origins: Vec<Box<str>>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Denied {
    /// It shows none.
    #[error("a token is wanted: Authorization: Bearer TOKEN")]
    NoToken,
    /// It shows another one.
    #[error("the token is wrong")]
    WrongToken,
    /// It is a page of another site.
    #[error("pages of this origin may not connect")]
    Origin,
    /// It comes from another machine, and nothing says who it is.
    #[error("off loopback a token or a client certificate is wanted")]
    Unproven,
}

impl Denied {
    /// What it is answered with, and what `WWW-Authenticate` says there (RFC 6750, section 3).
    pub const fn answer(self) -> (StatusCode, Option<&'static str>) {
        match self {
            Self::NoToken => (StatusCode::UNAUTHORIZED, Some("Bearer")),
            Self::WrongToken => (StatusCode::UNAUTHORIZED, Some("Bearer error=\"invalid_token\"")),
            Self::Origin | Self::Unproven => (StatusCode::FORBIDDEN, None),
        }
    }
}

/// Who asks, as far as that is known before anything was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// From where.
    pub address: IpAddr,
    /// Whether a certificate was shown that is believed.
    pub has_certificate: bool,
}

impl Access {
    /// Whether a request with this head may pass.
    ///
    /// # Errors
    ///
    /// [`Denied`].
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Denied> {
        self.check_origin(headers)?;
        self.check_token(headers)
    }

    /// The same where certificates may be shown as well: whoever did needs no token. Off loopback it
    /// has to be one of both, unless `insecure` says that anybody may come.
    ///
    /// # Errors
    ///
    /// [`Denied`].
    pub fn check_caller(
        &self,
        headers: &HeaderMap,
        caller: Caller,
        insecure: bool,
    ) -> Result<(), Denied> {
        self.check_origin(headers)?;
        if caller.has_certificate {
            return Ok(());
        }
        self.check_token(headers)?;
        let is_local = caller.address.to_canonical().is_loopback();
        let is_proven = self.token.is_some() || insecure || is_local;
        if is_proven { Ok(()) } else { Err(Denied::Unproven) }
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        if let Some(origin) = headers.get(ORIGIN).map(text) {
            let host = headers.get(HOST).map(text).unwrap_or_default();
            let own = origin.split_once("://").is_some_and(|(_, authority)| {
                !authority.is_empty() && authority.eq_ignore_ascii_case(&host)
            });
            // A page that was rebound to this address by DNS has the same host as we do: only
            // names that are ours for sure count.
            let listed = self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(&origin));
            let ours = own && is_local(&host);
            if !(listed || ours) {
                return Err(Denied::Origin);
            }
        }
        Ok(())
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let Some(token) = &self.token else { return Ok(()) };
        let shown = bearer(headers).ok_or(Denied::NoToken)?;
        if token.admits(shown) { Ok(()) } else { Err(Denied::WrongToken) }
    }
}

/// The token that a request shows as `Authorization: Bearer TOKEN` (RFC 6750, section 2.1).
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether an authority is `localhost` or an address.
fn is_local(authority: &str) -> bool {
    let port = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let host = match authority.rsplit_once(':') {
        Some((host, digits)) if port(digits) => host,
        Some(_) | None => authority,
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_pass() {
        let open = Access::default();
        let listed = Access { origins: vec!["https://ops.test".into()], ..Access::default() };
        let closed = Access { token: Secret::new("s3cret"), ..Access::default() };
        #[rustfmt::skip]
        type Row<'a> = (&'a Access, &'a [(&'static str, &'static str)], Result<(), Denied>);
        let table: &[Row<'_>] = &[
            (&open, &[], Ok(())),
            (&open, &[("origin", "http://localhost:1"), ("host", "localhost:1")], Ok(())),
            (&open, &[("origin", "http://[::1]:1"), ("host", "[::1]:1")], Ok(())),
            (
                &open,
                &[("origin", "http://localhost:2"), ("host", "localhost:1")],
                Err(Denied::Origin),
            ),
            (
                &open,
                &[("origin", "http://evil.test:1"), ("host", "localhost:1")],
                Err(Denied::Origin),
            ),
            (
                &open,
                &[("origin", "http://evil.test:1"), ("host", "evil.test:1")],
                Err(Denied::Origin),
            ),
            (&open, &[("origin", "null"), ("host", "localhost:1")], Err(Denied::Origin)),
            (&open, &[("origin", "http://"), ("host", "")], Err(Denied::Origin)),
            (&listed, &[("origin", "https://ops.test"), ("host", "localhost:1")], Ok(())),
            (&closed, &[], Err(Denied::NoToken)),
            (&closed, &[("authorization", "Bearer s3cret")], Ok(())),
            (&closed, &[("authorization", "bearer s3cret")], Ok(())),
            (&closed, &[("authorization", "Bearer s3cre")], Err(Denied::WrongToken)),
            (&closed, &[("authorization", "Bearer s3cret2")], Err(Denied::WrongToken)),
            (&closed, &[("authorization", "Basic s3cret")], Err(Denied::NoToken)),
            (&closed, &[("authorization", "s3cret")], Err(Denied::NoToken)),
        ];
        for (access, fields, want) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in *fields {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            assert_eq!(access.check(&headers), *want, "{fields:?}");
        }
    }

    #[test]
    fn certificates_stand_for_tokens() {
        let bearer: &[(&str, &str)] = &[("authorization", "Bearer s3cret")];
        let page: &[(&str, &str)] = &[("origin", "https://evil.test"), ("host", "localhost:1")];
        #[rustfmt::skip]
        let table = [
            // token    insecure  address             certificate  fields   refused with
            ("",        false,    "127.0.0.1",        false,       &[][..], None),
            ("",        false,    "::ffff:127.0.0.1", false,       &[],     None),
            ("",        false,    "10.0.0.1",         false,       &[],     Some(Denied::Unproven)),
            ("",        false,    "10.0.0.1",         true,        &[],     None),
            ("",        true,     "10.0.0.1",         false,       &[],     None),
            ("s3cret",  false,    "127.0.0.1",        false,       &[],     Some(Denied::NoToken)),
            ("s3cret",  true,     "10.0.0.1",         false,       &[],     Some(Denied::NoToken)),
            ("s3cret",  false,    "127.0.0.1",        true,        &[],     None),
            ("s3cret",  false,    "10.0.0.1",         false,       bearer,  None),
            ("",        false,    "127.0.0.1",        true,        page,    Some(Denied::Origin)),
        ];
        for (token, insecure, address, has_certificate, fields, want) in table {
            let access = Access { token: Secret::new(token), ..Access::default() };
            let caller = Caller { address: address.parse().unwrap(), has_certificate };
            let each = fields.iter();
            let headers = each.map(|(name, value)| {
                (name.parse::<http::HeaderName>().unwrap(), HeaderValue::from_static(value))
            });
            let denied = access.check_caller(&headers.collect(), caller, insecure).err();
            assert_eq!(denied, want, "{token} {insecure} {address} {has_certificate} {fields:?}");
        }
    }

    #[test]
    fn tokens_are_shown_as_bearers() {
        #[rustfmt::skip]
        let table = [
            ("Bearer secret",  Some("secret")),
            ("bearer  secret", Some("secret")),
            ("Basic secret",   None),
            ("secret",         None),
            ("Bearer",         None),
        ];
        assert_eq!(bearer(&HeaderMap::new()), None);
        for (value, token) in table {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
            assert_eq!(bearer(&headers), token, "{value}");
        }
    }
}
