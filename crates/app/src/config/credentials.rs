//! Who may talk to the registry, and what each one may do (SPEC 10).

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use ::config::raw;
use door::Secret;
use ipnet::IpNet;
use model::{HostPattern, RoutePath};
use session::{Credential, Grants, ServicePattern};

use super::{ConfigError, read_token, value};

/// Credentials there may be: each is looked at when a token is shown.
const CREDENTIALS_MAX: usize = 1000;
/// Longest name of one, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// The name of whoever shows the token of `token_file`.
pub(crate) const TOKEN: &str = "token";

const KEY: &str = "registry.credentials";

/// A credential, and what has to be shown for it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Who it is, and what it may do.
    pub credential: Arc<Credential>,
    /// The token, and where it stands.
    pub token: Option<(PathBuf, Secret)>,
    /// A name in a client's certificate.
    pub certificate: Option<String>,
}

/// Reads all of them.
pub(super) fn read(
    raw: Vec<raw::Credential>,
    token_file: Option<&(PathBuf, Secret)>,
) -> Result<Vec<Shown>, ConfigError> {
    if raw.len() > CREDENTIALS_MAX {
        return Err(value(KEY, &format!("want at most {CREDENTIALS_MAX}")));
    }
    let mut names = BTreeSet::new();
    let mut all: Vec<Shown> = Vec::new();
    for (at, raw) in raw.into_iter().enumerate() {
        let this = format!("{KEY}[{at}]");
        let name = raw.name.clone();
        let bad_name = |message: &str| Err(value(&format!("{this}.name"), message));
        if !is_name(&name) {
            return bad_name("want 1 to 64 letters, digits, dots, underscores or hyphens");
        }
        if name == TOKEN {
            return bad_name("token is the name of whoever shows token_file's token; want another");
        }
        if !names.insert(name.clone()) {
            return bad_name(&format!("{name} is there twice"));
        }
        let shown = one(&this, raw)?;
        let token = shown.token.as_ref().map(|(_, token)| token);
        let is_it = |other: &(PathBuf, Secret)| Some(&other.1) == token;
        let same = |whose: &str| {
            let message = format!("{name} has the token of {whose}; want one of its own");
            Err(value(&format!("{this}.token_file"), &message))
        };
        if token_file.is_some_and(is_it) {
            return same("registry.token_file");
        }
        let has_it = |other: &Shown| other.token.as_ref().is_some_and(is_it);
        if let Some(other) = all.iter().find(|other| has_it(other)) {
            return same(&other.credential.name);
        }
        all.push(shown);
    }
    Ok(all)
}

/// A token, with where it stands.
pub(super) fn token(key: &str, file: PathBuf) -> Result<(PathBuf, Secret), ConfigError> {
    let token = read_token(key, &file)?;
    Ok((file, token))
}

/// `this` is its key.
fn one(this: &str, raw: raw::Credential) -> Result<Shown, ConfigError> {
    if raw.token_file.is_none() && raw.certificate.is_none() {
        return Err(value(this, &format!("{}: want a token_file or a certificate", raw.name)));
    }
    if raw.certificate.as_ref().is_some_and(|name| name.trim().is_empty()) {
        let key = format!("{this}.certificate");
        return Err(value(&key, "want a common name or an alternative name"));
    }
    let token = |file| token(&format!("{this}.token_file"), file);
    let token = raw.token_file.map(token).transpose()?;
    let key = |name: &str| format!("{this}.{name}");
    let grants = Grants {
        services: parsed(&key("services"), raw.services, |text| {
            ServicePattern::parse(text).ok_or("must be a name, or the beginning of one and *")
        })?,
        domains: parsed(&key("domains"), raw.domains, HostPattern::parse)?,
        paths: parsed(&key("paths"), raw.paths, RoutePath::parse)?,
        networks: named::<IpNet>(&key("networks"), raw.networks)?,
    };
    let credential = Arc::new(Credential { name: raw.name.into(), grants });
    Ok(Shown { credential, token, certificate: raw.certificate })
}

fn parsed<T, E: Display>(
    key: &str,
    texts: Option<Vec<String>>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, ConfigError> {
    let one = |(at, text): (usize, &String)| {
        parse(text).map_err(|error| value(&format!("{key}[{at}]"), &format!("{text:?} {error}")))
    };
    named(key, texts)?.iter().enumerate().map(one).collect()
}

/// Nothing named grants everything, so an empty list is one that somebody forgot to fill.
fn named<T>(key: &str, list: Option<Vec<T>>) -> Result<Vec<T>, ConfigError> {
    match list {
        None => Ok(Vec::new()),
        Some(list) if list.is_empty() => {
            Err(value(key, "name at least one, or leave it out to grant all"))
        }
        Some(list) => Ok(list),
    }
}

fn is_name(name: &str) -> bool {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    fits && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// As they would be written.
pub(super) fn show(all: &[Shown]) -> String {
    let mut out = String::new();
    for Shown { credential, token, certificate } in all {
        let grants = &credential.grants;
        // Writing into a String cannot fail.
        let _ = write!(out, "\n[[registry.credentials]]\nname = {:?}\n", credential.name);
        if let Some((file, _)) = token {
            let _ = writeln!(out, "token_file = {:?}", file.display().to_string());
        }
        if let Some(certificate) = certificate {
            let _ = writeln!(out, "certificate = {certificate:?}");
        }
        out.push_str(&listed("services", &grants.services));
        out.push_str(&listed("domains", &grants.domains));
        out.push_str(&listed("paths", &grants.paths));
        out.push_str(&listed("networks", &grants.networks));
    }
    out
}

fn listed<T: Display>(key: &str, values: &[T]) -> String {
    let quoted: Vec<String> =
        values.iter().map(|value| format!("{:?}", value.to_string())).collect();
    if quoted.is_empty() { String::new() } else { format!("{key} = [{}]\n", quoted.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, load_text, shown_again, without_place};

    /// `@` in the text is a folder with the tokens `a` and `b`, the certificate `ca.pem` of an issuer
    /// and its key, `key.pem`.
    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display().to_string();
        for (name, content) in [("a", "secret-a"), ("b", "secret-b"), ("none", "")] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let ca = certs::self_signed(&["ca"], model::UnixMillis(0)).unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.cert_pem).unwrap();
        std::fs::write(folder.path().join("key.pem"), ca.key_pem).unwrap();
        let config = load_text(&text.replace('@', &at)).map_err(|error| error.replace(&at, "@"))?;
        shown_again(&config);
        Ok(config)
    }

    #[test]
    fn a_credential_is_read_with_its_grants() {
        let config = load(
            "[[registry.credentials]]\nname = \"blue-team\"\ntoken_file = \"@/a\"\n\
             services = [\"blue\", \"blue-*\"]\ndomains = [\"*.Blue.example\"]\npaths = [\"/\"]\n\
             networks = [\"10.1.2.3/8\", \"fd00::1\"]\n\
             [[registry.credentials]]\nname = \"admin\"\ntoken_file = \"@/b\"\n",
        )
        .unwrap();
        let [blue, admin] = &*config.credentials else { panic!("two") };
        let grants = &blue.credential.grants;
        assert_eq!((&*blue.credential.name, grants.services.len()), ("blue-team", 2));
        assert_eq!(grants.domains[0].to_string(), "*.blue.example");
        assert_eq!(grants.networks[0].to_string(), "10.0.0.0/8");
        assert_eq!(grants.networks[1].to_string(), "fd00::1/128");
        assert!(blue.token.as_ref().unwrap().1.admits("secret-a"));
        assert!(admin.credential.grants.are_all());
    }

    #[test]
    fn mistakes() {
        let one = |rest: &str| format!("[[registry.credentials]]\nname = \"x\"\n{rest}\n");
        let with_token = |rest: &str| one(&format!("token_file = \"@/a\"\n{rest}"));
        let named = |name: &str| {
            format!("[[registry.credentials]]\nname = {name:?}\ntoken_file = \"@/a\"\n")
        };
        #[rustfmt::skip]
        let table = [
            (one(""),                                   "registry.credentials[0]: x: want a token_file or a certificate"),
            (one("token_file = \"@/gone\""),            "registry.credentials[0].token_file: cannot read @/gone: No such file"),
            (one("token_file = \"@/none\""),            "registry.credentials[0].token_file: @/none: want one line"),
            (one("certificate = \" \""),                "registry.credentials[0].certificate: want a common name"),
            (one("certificate = \"x\""),                "registry.credentials[0].certificate: is wanted with registry.tls and its client_ca"),
            (with_token("services = []"),               "registry.credentials[0].services: name at least one, or leave it out"),
            (with_token("networks = []"),               "registry.credentials[0].networks: name at least one, or leave it out"),
            (with_token("services = [\"a b\"]"),        "registry.credentials[0].services[0]: \"a b\" must be a name"),
            (with_token("domains = [\"a:80\"]"),        "registry.credentials[0].domains[0]: \"a:80\" must be a host name alone"),
            (with_token("paths = [\"x\"]"),             "registry.credentials[0].paths[0]: \"x\" must begin with /"),
            (with_token("networks = [\"10/8\"]"),       "registry.credentials[0].networks[0]: want an address or a network like 10.0.0.0/8"),
            (with_token("domain = []"),                 "unknown field `domain`, did you mean `domains`?"),
            (named(""),                                 "registry.credentials[0].name: want 1 to 64 letters"),
            (named("a b"),                              "registry.credentials[0].name: want 1 to 64 letters"),
            (named("cert:a"),                           "registry.credentials[0].name: want 1 to 64 letters"),
            (named(&"x".repeat(65)),                    "registry.credentials[0].name: want 1 to 64 letters"),
            (named("token"),                            "registry.credentials[0].name: token is the name of whoever shows token_file's"),
            (named("x") + &named("y"),                  "registry.credentials[1].token_file: y has the token of x"),
            ("[registry]\ntoken_file = \"@/a\"\n".to_owned() + &named("x"), "registry.credentials[0].token_file: x has the token of registry.token_file"),
            (named("x") + &named("x"),                  "registry.credentials[1].name: x is there twice"),
        ];
        for (text, says) in table {
            let error = load(&text).unwrap_err();
            assert!(without_place(&error).starts_with(says), "{text}: {error}");
        }
        assert!(load(&named(&"x".repeat(64))).is_ok());
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let many = |count: usize| {
            let credentials = (0..count).map(|at| {
                format!("[[registry.credentials]]\nname = \"c{at}\"\ncertificate = \"c{at}\"\n")
            });
            let tls = "[registry]\ntls = { cert = \"@/ca.pem\", key = \"@/key.pem\", client_ca = [\"@/ca.pem\"] }\n";
            load(&format!("{tls}{}", credentials.collect::<String>()))
        };
        assert_eq!(many(CREDENTIALS_MAX).unwrap().credentials.len(), CREDENTIALS_MAX);
        let error = many(CREDENTIALS_MAX + 1).unwrap_err();
        assert_eq!(without_place(&error), "registry.credentials: want at most 1000");
    }

    /// Off loopback a token or certificates are wanted, whoever has them.
    #[test]
    fn what_opens_the_registry_to_others() {
        let exposed = "[registry]\nlisten = [\"0.0.0.0:81\"]\n";
        let tls = "tls = { cert = \"@/ca.pem\", key = \"@/key.pem\" }\n";
        let mtls = |more: &str| {
            format!(
                "tls = {{ cert = \"@/ca.pem\", key = \"@/key.pem\", client_ca = [\"@/ca.pem\"]{more} }}\n"
            )
        };
        #[rustfmt::skip]
        let table = [
            (String::new(),                                          false),
            (tls.to_owned(),                                         false),
            (mtls(""),                                               true),
            (mtls(", client_certificates = \"optional\""),           true),
            ("token_file = \"@/a\"\n".to_owned(),                    true),
            ("[[registry.credentials]]\nname = \"x\"\ntoken_file = \"@/a\"\n".to_owned(), true),
        ];
        for (more, may) in table {
            let loaded = load(&format!("{exposed}{more}"));
            assert_eq!(loaded.is_ok(), may, "{more}: {loaded:?}");
        }
    }
}
