//! What the environment says, over what the file says.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::forms::Form;
use crate::raw::Raw;
use crate::source::ReadError;

/// Variables and the keys they stand for.
const VARIABLES: [(&str, &str); 9] = [
    ("PROXYD_WORKERS", "workers"),
    ("PROXYD_HTTP_LISTEN", "http.listen"),
    ("PROXYD_REGISTRY_LISTEN", "registry.listen"),
    ("PROXYD_REGISTRY_SOCKET", "registry.socket"),
    ("PROXYD_REGISTRY_TOKEN_FILE", "registry.token_file"),
    ("PROXYD_STORE_PATH", "store.path"),
    ("PROXYD_ADMIN_SOCKET", "admin.socket"),
    ("PROXYD_ADMIN_LISTEN", "admin.listen"),
    ("PROXYD_ADMIN_TOKEN_FILE", "admin.token_file"),
];

/// The variable that stands for a key.
pub fn variable_of(key: &str) -> Option<&'static str> {
    VARIABLES.iter().find(|(_, stands_for)| *stands_for == key).map(|(variable, _)| *variable)
}

impl Raw {
    /// Takes what the environment says instead of what the file says.
    ///
    /// # Errors
    ///
    /// [`ReadError::Variable`].
    pub fn override_by(&mut self, environment: &BTreeMap<String, String>) -> Result<(), ReadError> {
        for (variable, key) in VARIABLES {
            let Some(text) = environment.get(variable) else { continue };
            let taken = match key {
                "workers" => put(&mut self.workers, text.parse().map_err(|_| number(text))),
                "http.listen" => put(&mut self.http.listen, addresses(text)),
                "registry.listen" => put(&mut self.registry.listen, addresses(text)),
                "registry.socket" => put(&mut self.registry.socket, Ok(text.into())),
                "registry.token_file" => put(&mut self.registry.token_file, Ok(text.into())),
                "store.path" => put(&mut self.store.path, Ok(text.into())),
                "admin.socket" => put(&mut self.admin.socket, Ok(text.into())),
                "admin.listen" => put(&mut self.admin.listen, SocketAddr::parse(text)),
                "admin.token_file" => put(&mut self.admin.token_file, Ok(text.into())),
                _ => unreachable!("each key of the table has its line"),
            };
            taken.map_err(|message| ReadError::Variable { variable, message })?;
        }
        self.move_json_rpc(environment)
    }

    /// The variables of seed 004, which say where its own port is: of no meaning without that.
    fn move_json_rpc(&mut self, environment: &BTreeMap<String, String>) -> Result<(), ReadError> {
        let Some(json_rpc) = &mut self.json_rpc else { return Ok(()) };
        let usual = SocketAddr::from(([127, 0, 0, 1], 4445));
        let mut listen = json_rpc.listen.unwrap_or(usual);
        if let Some(text) = environment.get("REGISTRY_PORT") {
            let message = format!("want a port, not {text:?}");
            let wrong = ReadError::Variable { variable: "REGISTRY_PORT", message };
            listen.set_port(text.parse().map_err(|_| wrong)?);
        }
        if let Some(text) = environment.get("REGISTRY_HOST") {
            let message = format!("want an address, not {text:?}");
            let wrong = ReadError::Variable { variable: "REGISTRY_HOST", message };
            listen.set_ip(text.parse().map_err(|_| wrong)?);
        }
        json_rpc.listen = Some(listen);
        Ok(())
    }
}

fn put<T>(into: &mut Option<T>, given: Result<T, String>) -> Result<(), String> {
    *into = Some(given?);
    Ok(())
}

fn number(text: &str) -> String {
    format!("want a whole number, not {text:?}")
}

/// Apart by commas.
fn addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    text.split(',').map(|one| SocketAddr::parse(one.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variable_has_its_key_and_says_what_it_wants() {
        #[rustfmt::skip]
        let table = [
            ("PROXYD_WORKERS",             "two",   "PROXYD_WORKERS: want a whole number, not \"two\""),
            ("PROXYD_WORKERS",             "2",     ""),
            ("PROXYD_HTTP_LISTEN",         ":80",   "PROXYD_HTTP_LISTEN: \":80\" is no address with a port"),
            ("PROXYD_HTTP_LISTEN",         "127.0.0.1:80, [::1]:80", ""),
            ("PROXYD_REGISTRY_LISTEN",     "",      "PROXYD_REGISTRY_LISTEN: \"\" is no address with a port"),
            ("PROXYD_REGISTRY_SOCKET",     "/x",    ""),
            ("PROXYD_REGISTRY_TOKEN_FILE", "/x",    ""),
            ("PROXYD_STORE_PATH",          "x.db",  ""),
            ("PROXYD_ADMIN_SOCKET",        "x",     ""),
            ("PROXYD_ADMIN_LISTEN",        "9180",  "PROXYD_ADMIN_LISTEN: \"9180\" is no address with a port"),
            ("PROXYD_ADMIN_LISTEN",        "[::1]:9180", ""),
            ("PROXYD_ADMIN_TOKEN_FILE",    "/x",    ""),
        ];
        for (variable, text, says) in table {
            let environment = BTreeMap::from([(variable.to_owned(), text.to_owned())]);
            let error = Raw::default().override_by(&environment).err();
            let error = error.map_or_else(String::new, |error| error.to_string());
            assert!(
                error.starts_with(says) && error.is_empty() == says.is_empty(),
                "{variable}={text}: {error}"
            );
        }
        for (variable, key) in VARIABLES {
            assert_eq!(variable_of(key), Some(variable));
        }
        assert_eq!(variable_of("https.listen"), None);
    }
}
