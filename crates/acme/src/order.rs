//! One order, from whatever state it is in to a certificate.

use std::time::Duration;

use certs::{Challenge, Challenges, Pair};
use instant_acme::{
    AuthorizationStatus, ChallengeStatus, ChallengeType, Error, Order, OrderStatus, Problem,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use crate::issuer::{Blame, Method};
use crate::name::Name;

/// How long an authority may take to look at a name, or to sign. They look from several places,
/// and again when one of them saw nothing.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two questions at first; it says itself when to come back.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// An order for one name has one authorization (RFC 8555, section 7.1.3).
const AUTHORIZATIONS_MAX: usize = 8;

/// A certificate, just given.
pub(crate) struct Given {
    pub(crate) pair: Pair,
    /// PEM, the server's own certificate first.
    pub(crate) chain: String,
}

/// Why an order has not become a certificate.
#[derive(Debug)]
pub(crate) enum Stuck {
    /// It still may: ask again later.
    Later(String),
    /// It will not.
    Over(Blame, String),
}

/// Shows that the name leads here, has the certificate signed, and fetches it.
pub(crate) async fn finish(
    mut order: Order,
    name: &Name,
    key_pem: &str,
    methods: &[Method],
    challenges: &Challenges,
) -> Result<Given, Stuck> {
    let policy = RetryPolicy::new().initial_delay(ASK_EVERY).backoff(1.5).timeout(PATIENCE);
    if order.state().status == OrderStatus::Pending {
        show(&mut order, name, methods, challenges, &policy).await?;
    }
    if order.state().status == OrderStatus::Ready {
        let request = signing_request(name, key_pem)?;
        order.finalize_csr(&request).await.map_err(|error| Stuck::of(&error))?;
    }
    if order.state().status == OrderStatus::Invalid {
        return Err(Stuck::Over(Blame::Name, refusal(&mut order)));
    }
    let chain = match order.poll_certificate(&policy).await {
        Ok(chain) => chain,
        Err(_) if order.state().status == OrderStatus::Invalid => {
            return Err(Stuck::Over(Blame::Name, refusal(&mut order)));
        }
        Err(error) => return Err(Stuck::of(&error)),
    };
    let pair = Pair::parse(chain.as_bytes(), key_pem.as_bytes());
    let pair = pair.map_err(|error| Stuck::Over(Blame::Ca, error.to_string()))?;
    if !pair.covers(name.as_str()) {
        let why = "the certificate is for another name".to_owned();
        return Err(Stuck::Over(Blame::Ca, why));
    }
    Ok(Given { pair, chain })
}

/// Answers the authority's challenge until it has looked.
async fn show(
    order: &mut Order,
    name: &Name,
    methods: &[Method],
    challenges: &Challenges,
    policy: &RetryPolicy,
) -> Result<(), Stuck> {
    let stuck = |error| Stuck::of(&error);
    let mut answered = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(stuck)?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Invalid
            | AuthorizationStatus::Revoked
            | AuthorizationStatus::Expired
            | AuthorizationStatus::Deactivated => {
                let why = authorization.challenges.iter().find_map(|c| c.error.as_ref());
                return Err(Stuck::Over(
                    Blame::Name,
                    why.map_or_else(not_seen, Problem::to_string),
                ));
            }
        }
        if answered.len() == AUTHORIZATIONS_MAX {
            let why = "the order has more authorizations than names".to_owned();
            return Err(Stuck::Over(Blame::Ca, why));
        }
        let offered = |method: &&Method| {
            authorization.challenges.iter().find(|challenge| challenge.r#type == method.kind())
        };
        // After a restart the authority may be looking already, and in one way only.
        let is_under_way = |method: &&Method| {
            offered(method).is_some_and(|c| c.status == ChallengeStatus::Processing)
        };
        let method = methods.iter().find(is_under_way);
        let method = method.or_else(|| methods.iter().find(|method| offered(method).is_some()));
        let kind = method.map(|method| method.kind());
        let Some(mut challenge) = kind.and_then(|kind| authorization.challenge(kind)) else {
            let why = "the authority offers no challenge that [acme] challenges allows".to_owned();
            return Err(Stuck::Over(Blame::Name, why));
        };
        let key_authorization = challenge.key_authorization();
        let digest = key_authorization.digest();
        let answer = match challenge.r#type {
            ChallengeType::TlsAlpn01 => Challenge::TlsAlpn { digest: digest.as_ref() },
            _ => Challenge::Http {
                token: &challenge.token,
                key_authorization: key_authorization.as_str(),
            },
        };
        let answer = challenges.answer(name.as_str(), answer);
        answered.push(answer.map_err(|error| Stuck::Over(Blame::Name, error.to_string()))?);
        if challenge.status == ChallengeStatus::Pending {
            challenge.set_ready().await.map_err(stuck)?;
        }
    }
    let status = order.poll_ready(policy).await.map_err(stuck)?;
    if status == OrderStatus::Invalid {
        let why = why_not_seen(order).await.unwrap_or_else(not_seen);
        return Err(Stuck::Over(Blame::Name, why));
    }
    Ok(())
}

/// What the authority saw instead of us. The order does not say it, its authorizations do.
async fn why_not_seen(order: &mut Order) -> Option<String> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let state = authorization.refresh().await.ok()?;
        if let Some(error) = state.challenges.iter().find_map(|c| c.error.as_ref()) {
            return Some(error.to_string());
        }
    }
    None
}

fn not_seen() -> String {
    "the authority could not see that the name leads here".to_owned()
}

fn refusal(order: &mut Order) -> String {
    let error = order.state().error.as_ref().map(ToString::to_string);
    error.unwrap_or_else(|| "the order is invalid".to_owned())
}

/// For the name alone. Authorities take no more from it than the key (RFC 8555, section 7.4).
fn signing_request(name: &Name, key_pem: &str) -> Result<Vec<u8>, Stuck> {
    let made = |error: rcgen::Error| Stuck::Over(Blame::Name, error.to_string());
    let key = KeyPair::from_pem(key_pem).map_err(made)?;
    let mut params = CertificateParams::new(vec![name.to_string()]).map_err(made)?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(&key).map_err(made)?.der().to_vec())
}

impl Stuck {
    /// What an error in the middle of an order means for it.
    fn of(error: &Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Api(problem) => Self::Over(blame(problem), text),
            _ => Self::Later(text),
        }
    }
}

/// Whose fault a refusal is (RFC 8555, section 6.7).
pub(crate) fn blame(problem: &Problem) -> Blame {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    match kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or_default() {
        "rateLimited" => Blame::Limited,
        "serverInternal"
        | "accountDoesNotExist"
        | "badNonce"
        | "badPublicKey"
        | "badSignatureAlgorithm"
        | "externalAccountRequired"
        | "userActionRequired" => Blame::Ca,
        _ if problem.status.is_some_and(|status| status >= 500) => Blame::Ca,
        _ => Blame::Name,
    }
}

impl Method {
    fn kind(self) -> ChallengeType {
        match self {
            Self::Http01 => ChallengeType::Http01,
            Self::TlsAlpn01 => ChallengeType::TlsAlpn01,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_fault_it_is() {
        #[rustfmt::skip]
        let table = [
            // kind                                              status      blame
            ("urn:ietf:params:acme:error:unauthorized",          Some(403),  Blame::Name),
            ("urn:ietf:params:acme:error:connection",            Some(400),  Blame::Name),
            ("urn:ietf:params:acme:error:rejectedIdentifier",    Some(400),  Blame::Name),
            ("urn:ietf:params:acme:error:caa",                   Some(403),  Blame::Name),
            ("urn:ietf:params:acme:error:rateLimited",           Some(429),  Blame::Limited),
            ("urn:ietf:params:acme:error:serverInternal",        Some(500),  Blame::Ca),
            ("urn:ietf:params:acme:error:accountDoesNotExist",   Some(400),  Blame::Ca),
            ("about:blank",                                      Some(503),  Blame::Ca),
            ("about:blank",                                      None,       Blame::Name),
        ];
        for (kind, status, expected) in table {
            let kind = Some(kind.to_owned());
            let problem = Problem { r#type: kind, detail: None, status, subproblems: Vec::new() };
            assert_eq!(blame(&problem), expected, "{problem}");
        }
    }

    #[test]
    fn a_request_is_for_the_key_it_is_made_with() {
        let name = Name::parse("a.test").unwrap();
        let key = KeyPair::generate().unwrap();
        assert!(!signing_request(&name, &key.serialize_pem()).unwrap().is_empty());
        assert!(matches!(signing_request(&name, "no key"), Err(Stuck::Over(Blame::Name, _))));
    }
}
