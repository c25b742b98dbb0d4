//! `[admin] listen`: HTTP for operators and their tools.

use std::net::SocketAddr;
use std::path::PathBuf;

use ::config::raw;
use door::Secret;
use model::normalize_authority;

use super::credentials::token;
use super::{ConfigError, value};

/// Hosts there may be: each is looked at with every request.
const HOSTS_MAX: usize = 100;

/// HTTP for operators and their tools.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Where.
    pub listen: SocketAddr,
    /// What whoever wants the numbers must show, and where it stands.
    pub token: Option<(PathBuf, Secret)>,
    /// Names that requests may ask for, besides the address and loopback.
    pub hosts: Vec<String>,
}

impl AdminConfig {
    /// Nothing, unless somebody says where.
    pub(super) fn from_raw(raw: raw::Admin) -> Result<Option<Self>, ConfigError> {
        let Some(listen) = raw.listen else {
            return match (raw.token_file, raw.hosts) {
                (None, None) => Ok(None),
                _ => Err(value("admin.listen", "is wanted with token_file and hosts")),
            };
        };
        let token = raw.token_file.map(|file| token("admin.token_file", file)).transpose()?;
        let hosts = raw.hosts.unwrap_or_default();
        let is_name = |host: &String| {
            let normal = normalize_authority(host.as_bytes());
            normal.is_some_and(|normal| host.eq_ignore_ascii_case(&normal))
        };
        if hosts.len() > HOSTS_MAX || !hosts.iter().all(is_name) {
            return Err(value("admin.hosts", "want at most 100 host names, without ports"));
        }
        if token.is_none() && !listen.ip().to_canonical().is_loopback() {
            let message = format!(
                "may not be {listen}, which others can reach: set token_file in [admin], or listen \
                 on a loopback address"
            );
            return Err(value("admin.listen", &message));
        }
        Ok(Some(Self { listen, token, hosts }))
    }

    /// As it would be written.
    pub(super) fn show(&self) -> String {
        let mut out = format!("listen = \"{}\"\nhosts = {:?}\n", self.listen, self.hosts);
        if let Some((file, _)) = &self.token {
            out.push_str(&format!("token_file = {:?}\n", file.display().to_string()));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, load_text, shown_again};

    /// `@` in the text is a folder with a token.
    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display().to_string();
        std::fs::write(folder.path().join("token"), "secret\n").unwrap();
        std::fs::write(folder.path().join("none"), "").unwrap();
        let text = format!("[admin]\n{}\n", text.replace('@', &at));
        let config = load_text(&text).map_err(|error| error.replace(&at, "@"))?;
        shown_again(&config);
        Ok(config)
    }

    #[test]
    fn off_unless_somebody_says_where() {
        assert!(load("").unwrap().admin.is_none());
        let admin = load("listen = \"127.0.0.1:9180\"").unwrap().admin.unwrap();
        assert!(admin.token.is_none() && admin.listen.port() == 9180);
        let both = "listen = \"0.0.0.0:9180\"\ntoken_file = \"@/token\"\nhosts = [\"a.test\"]";
        let admin = load(both).unwrap().admin.unwrap();
        assert!(admin.token.unwrap().1.admits("secret"));
    }

    #[test]
    fn mistakes() {
        let on = |more: &str| format!("listen = \"[::1]:9180\"\n{more}");
        let open =
            "F:2:10: admin.listen: may not be 0.0.0.0:9180, which others can reach: set token_file";
        #[rustfmt::skip]
        let table = [
            ("listen = \"0.0.0.0:9180\"".to_owned(),  open),
            ("listen = \"9180\"".to_owned(),          "F:2:10: "),
            ("token_file = \"@/token\"".to_owned(),   "F:1:2: admin.listen: is wanted with token_file and hosts"),
            ("hosts = []".to_owned(),                 "F:1:2: admin.listen: is wanted with token_file and hosts"),
            (on("token_file = \"@/gone\""),           "F:3:14: admin.token_file: cannot read @/gone: "),
            (on("token_file = \"@/none\""),           "F:3:14: admin.token_file: @/none: want one line of 1 to 1024 bytes"),
            (on("hosts = [\"a.test:80\"]"),           "F:3:1: admin.hosts: want at most 100 host names"),
            (on("hosts = [\"a b\"]"),                 "F:3:1: admin.hosts: want at most 100 host names"),
            (on("token = \"secret\""),                "F:3:1: unknown field `token`"),
        ];
        for (text, says) in table {
            let error = load(&text).unwrap_err();
            assert!(error.starts_with(says), "{text}: {error}");
        }
    }
}
