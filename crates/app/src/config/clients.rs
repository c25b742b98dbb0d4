//! Whether clients show certificates of their own, and whose are believed.

use std::path::PathBuf;

use ::config::raw::{self, Demand};
use certs::{ClientRoots, Clients, PairPaths};

use super::{ConfigError, value};

/// Clients are asked for certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// The key in the file, for errors.
    key: &'static str,
    /// Files of certificates of the issuers that are believed.
    pub ca: Vec<PathBuf>,
    /// Whether one may come without.
    pub demand: Demand,
}

impl ClientCertificates {
    /// What `client_ca` and `client_certificates` of a section mean together.
    pub(super) fn of(
        key: &'static str,
        ca: Option<Vec<PathBuf>>,
        demand: Option<Demand>,
    ) -> Result<Option<Self>, ConfigError> {
        match (ca, demand) {
            (None, None) => Ok(None),
            (None, Some(_)) => {
                Err(value(key, "is wanted with client_certificates: whose are believed?"))
            }
            (Some(ca), demand) => Ok(Some(Self { key, ca, demand: demand.unwrap_or_default() })),
        }
    }

    /// How clients are asked. Reads files.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], for a file that cannot be read or holds no certificate of an issuer.
    pub fn load(&self) -> Result<Clients, ConfigError> {
        let roots = ClientRoots::load(&self.ca);
        let roots = roots.map_err(|error| value(self.key, &error.to_string()))?;
        Ok(match self.demand {
            Demand::Required => Clients::MustShow(roots),
            Demand::Optional => Clients::MayShow(roots),
        })
    }

    /// As it would be written, its two keys apart by `between`.
    pub(super) fn show(&self, between: &str) -> String {
        let files = self.ca.iter().map(|file| format!("{:?}", file.display().to_string()));
        let files = files.collect::<Vec<_>>().join(", ");
        let demand = match self.demand {
            Demand::Required => "required",
            Demand::Optional => "optional",
        };
        format!("client_ca = [{files}]{between}client_certificates = \"{demand}\"")
    }
}

/// TLS on the registry's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryTls {
    /// What clients are shown, whatever name they ask for.
    pub files: PairPaths,
    /// Whether they show certificates of their own.
    pub clients: Option<ClientCertificates>,
}

impl RegistryTls {
    pub(super) fn from_raw(raw: raw::RegistryTls) -> Result<Self, ConfigError> {
        let raw::RegistryTls { cert, key, client_ca, client_certificates } = raw;
        let clients =
            ClientCertificates::of("registry.tls.client_ca", client_ca, client_certificates)?;
        Ok(Self { files: PairPaths { cert, key }, clients })
    }

    /// As it would be written.
    pub(super) fn show(&self) -> String {
        let (cert, key) =
            (self.files.cert.display().to_string(), self.files.key.display().to_string());
        let clients = self.clients.as_ref().map(|clients| format!(", {}", clients.show(", ")));
        format!("tls = {{ cert = {cert:?}, key = {key:?}{} }}", clients.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{load_text, shown_again, without_place};

    #[test]
    fn what_is_wrong_is_named_with_file_and_reason() {
        let folder = tempfile::tempdir().unwrap();
        let bad = folder.path().join("bad.pem");
        std::fs::write(&bad, "hello").unwrap();
        let bad = bad.display().to_string();
        #[rustfmt::skip]
        let table = [
            (format!("client_ca = [{bad:?}]"),             format!("https.client_ca: {bad}: the file holds no certificate")),
            ("client_ca = [\"/gone.pem\"]".to_owned(),     "https.client_ca: cannot read /gone.pem: No such file".to_owned()),
            ("client_ca = []".to_owned(),                  "https.client_ca: want at least one file".to_owned()),
            ("client_certificates = \"optional\"".to_owned(), "https.client_ca: is wanted with client_certificates".to_owned()),
            ("client_ca = []\nclient_certificates = \"perhaps\"".to_owned(), "https.client_certificates: want \"required\" or \"optional\"".to_owned()),
        ];
        for (text, says) in table {
            let error = load_text(&format!("[https]\n{text}\n")).unwrap_err();
            assert!(without_place(&error).starts_with(&says), "{text}: {error}");
        }
    }

    #[test]
    fn certificates_are_required_unless_they_are_optional() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, certs::self_signed(&["ca"], model::UnixMillis(0)).unwrap().cert_pem)
            .unwrap();
        let section = format!("[https]\nclient_ca = [{:?}]\n", file.display().to_string());
        for (more, demand) in [
            ("", Demand::Required),
            ("client_certificates = \"required\"\n", Demand::Required),
            ("client_certificates = \"optional\"\n", Demand::Optional),
        ] {
            let config = load_text(&format!("{section}{more}")).unwrap();
            let clients = config.https.clone().unwrap().clients.unwrap();
            assert_eq!(clients.demand, demand);
            assert_eq!(shown_again(&config).https.unwrap().clients, Some(clients));
        }
    }
}
