//! A text with its name, read.

use crate::place::{Place, key_at, of_key};
use crate::raw::Raw;
use crate::{nearest, place};

/// Longest message, in characters: it may repeat what was typed.
const MESSAGE_CHARS_MAX: usize = 500;

/// A file's name and what is in it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// As it is shown to people.
    pub name: &'a str,
    /// All of it.
    pub text: &'a str,
}

/// Why a text is no configuration. Displays as what a person needs to mend it, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No TOML, an unknown key, or a value of the wrong form.
    #[error("{file}:{line}:{column}: {message}")]
    Text {
        /// Which.
        file: String,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
        /// The key where there is one, what is wrong and what was probably meant.
        message: String,
    },
    /// A variable of the environment.
    #[error("{variable}: {message}")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// What is wrong.
        message: String,
    },
}

impl Source<'_> {
    /// Reads the text.
    ///
    /// # Errors
    ///
    /// [`ReadError::Text`].
    pub fn read(&self) -> Result<Raw, ReadError> {
        let raw: Raw = toml::from_str(self.text).map_err(|error| self.say(&error))?;
        match raw.not_built_yet() {
            None => Ok(raw),
            Some((key, what)) => {
                let place = of_key(self.text, key).unwrap_or(Place { line: 1, column: 1 });
                Err(self.error(place, format!("{what} is not built yet; leave it out")))
            }
        }
    }

    /// The file, with line and column of a key such as `https.certificates[0].cert` if that, or what it
    /// would stand in, is there.
    pub fn place(&self, key: &str) -> String {
        match of_key(self.text, key) {
            Some(Place { line, column }) => format!("{}:{line}:{column}", self.name),
            None => self.name.to_owned(),
        }
    }

    fn say(&self, error: &toml::de::Error) -> ReadError {
        let byte = error.span().map_or(0, |span| span.start);
        let message = nearest::with_hint(error.message());
        let message = match key_at(self.text, byte) {
            Some(key) => format!("{key}: {message}"),
            None => message,
        };
        self.error(place::Place::at(self.text, byte), message)
    }

    fn error(&self, Place { line, column }: Place, message: String) -> ReadError {
        ReadError::Text { file: self.name.to_owned(), line, column, message: in_one_line(&message) }
    }
}

/// As a terminal shows it in a line, cut where nobody reads on.
fn in_one_line(message: &str) -> String {
    let mut out = String::new();
    for (count, char) in message.chars().enumerate() {
        if count == MESSAGE_CHARS_MAX {
            out.push('…');
            break;
        }
        if char.is_control() { out.extend(char.escape_default()) } else { out.push(char) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Raw, String> {
        Source { name: "F", text }.read().map_err(|error| error.to_string())
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        #[rustfmt::skip]
        let table = [
            ("workers = 1\nworkers = 2\n",               "F:2:1: duplicate key"),
            ("[http\n",                                  "F:1:6: "),
            ("workers = 1\n[http]\nlisen = []\n",        "F:3:1: unknown field `lisen`, did you mean `listen`?"),
            ("[registri]\n",                             "F:1:2: unknown field `registri`, did you mean `registry`?"),
            ("http = 3\n",                               "F:1:8: http: invalid type: integer `3`, expected a section: write [http]"),
            ("[http]\nlisten = \"abc\"\n",               "F:2:10: http.listen: \"abc\" is no address with a port: write it like \"127.0.0.1:80\" or"),
            ("[http]\nlisten = \"[::1]:80\"\n",          "F:2:10: http.listen: want a list: write [\"[::1]:80\"]"),
            ("[http]\nlisten = [\"a\"]\n",               "F:2:11: http.listen[0]: \"a\" is no address with a port"),
            ("[http]\nlisten = [8080]\n",                "F:2:11: http.listen[0]: write \"0.0.0.0:8080\""),
            ("[http]\nlisten = 8080\n",                  "F:2:10: http.listen: invalid type: integer `8080`, expected a list in brackets, each one an address"),
            ("[http]\nidle_timeout = 30\n",              "F:2:16: http.idle_timeout: a duration has a unit: write \"30s\""),
            ("[shutdown]\ngrace = true\n",               "F:2:9: shutdown.grace: invalid type: boolean `true`, expected a duration such as \"30s\""),
            ("[registry]\nroute_grace = \"soon\"\n",     "F:2:15: registry.route_grace: must be a duration such as"),
            ("[registry]\nroute_grace = \"0s\"\n",       "F:2:15: registry.route_grace: must be longer than zero"),
            ("workers = \"two\"\n",                      "F:1:11: workers: invalid type: string \"two\", expected a whole number, without quotes"),
            ("workers = -1\n",                           "F:1:11: workers: invalid value: integer `-1`, expected a whole number"),
            ("[store]\npath = 1\n",                      "F:2:8: store.path: invalid type: integer `1`, expected the path of a file, in quotes"),
            ("[https]\nhttp3 = \"yes\"\n",               "F:2:9: https.http3: invalid type: string \"yes\", expected a boolean"),
            ("[https]\ncertificates = [\"a.pem\"]\n",    "F:2:17: https.certificates[0]: invalid type: string \"a.pem\", expected { cert = \"FILE\", key = \"FILE\" }"),
            ("[https]\ncertificates = [{ cert = \"a\" }]\n", "F:2:17: https.certificates[0]: missing field `key`"),
            ("[https]\nclient_certificates = \"perhaps\"\n", "F:2:23: https.client_certificates: want \"required\" or \"optional\", not \"perhaps\""),
            ("[registry]\ntls = true\n",                 "F:2:7: registry.tls: invalid type: boolean `true`, expected { cert = \"FILE\", key = \"FILE\" }"),
            ("[[registry.credentials]]\nnetworks = [\"10/8\"]\n", "F:2:13: registry.credentials[0].networks[0]: want an address or a network like"),
            ("[dns]\nlisten = 5353\n",                    "F:2:10: "),
            ("[dns]\nlisten = [\"127.0.0.1:53\"]\n",      "F:2:10: dns.listen: want one value and no list: write \"127.0.0.1:53\""),
            ("[dns]\nlisten = []\n",                      "F:2:10: dns.listen: want one value and no list: an address with a port such as"),
            ("[store]\npath = [1]\n",                    "F:2:8: store.path: want one value and no list: the path of a file, in quotes"),
            ("[store]\netcd = []\n",                     "F:2:1: [store] etcd is not built yet; leave it out"),
            ("\"a\\nb\" = 1\n",                          "F:1:1: unknown field `a\\nb`"),
        ];
        for (text, shown) in table {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(shown), "{text}: {error}");
        }
    }

    #[test]
    fn messages_end_somewhere() {
        let error = read(&format!("{} = 1\n", "x".repeat(10_000))).unwrap_err();
        assert_eq!(error.chars().count(), "F:1:1: ".len() + MESSAGE_CHARS_MAX + 1);
    }
}
