//! The backends file: `[[backend]]` tables in TOML, as the hub's registry has them.
//!
//! ```toml
//! [[backend]]
//! name = "plexus"
//! host = "127.0.0.1"
//! port = 4444
//! protocol = "ws"                 # the default
//! description = "Local hub"       # may be left out, as may namespace
//! ```

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::{Entry, EntryError};

/// Longest file, in bytes: a hundred thousand backends.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Why a backends file is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendsError {
    /// There is none.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("cannot read {}: {why}", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// It says something that is none.
    #[error("{}:{line}:{column}: {why}", .path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What was wanted.
        why: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    backend: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: Spanned<String>,
    host: Spanned<String>,
    port: Spanned<i64>,
    protocol: Option<Spanned<String>>,
    description: Option<String>,
    namespace: Option<String>,
}

/// Reads a backends file.
///
/// # Errors
///
/// [`BackendsError`].
pub fn read_backends(path: &Path) -> Result<Vec<Entry>, BackendsError> {
    parse(path, &content(path)?)
}

/// What is in the file.
pub(crate) fn content(path: &Path) -> Result<String, BackendsError> {
    let failed = |why: String| BackendsError::Read { path: path.to_owned(), why };
    let file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => BackendsError::Missing(path.to_owned()),
        _ => failed(error.to_string()),
    })?;
    // Of a pipe or a device there would be no end.
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(failed("it is no file".to_owned()));
    }
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    match read.map_err(|error| failed(error.to_string()))? {
        bytes if bytes as u64 > FILE_BYTES_MAX => {
            Err(failed(format!("it is longer than {FILE_BYTES_MAX} bytes")))
        }
        _ => Ok(text),
    }
}

/// What it says.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, BackendsError> {
    let wrong = |at: Option<Range<usize>>, why: String| {
        let (line, column) = place(text, at.map_or(0, |at| at.start));
        BackendsError::Content { path: path.to_owned(), line, column, why }
    };
    let document: Document = toml::from_str(text)
        .map_err(|error| wrong(error.span(), error.message().replace('\n', " ")))?;
    let mut names = BTreeSet::new();
    let mut entries = Vec::with_capacity(document.backend.len());
    for row in document.backend {
        let protocol = row.protocol.as_ref().map(|text| text.get_ref().as_str());
        let entry =
            Entry::new(row.name.get_ref(), row.host.get_ref(), *row.port.get_ref(), protocol)
                .and_then(|entry| {
                    entry.described(row.description.as_deref(), row.namespace.as_deref())
                })
                .map_err(|error| {
                    let at = match &error {
                        EntryError::Name(_) | EntryError::Facts(_) => Some(row.name.span()),
                        EntryError::Host => Some(row.host.span()),
                        EntryError::Port => Some(row.port.span()),
                        EntryError::Protocol => row.protocol.as_ref().map(Spanned::span),
                    };
                    wrong(at, error.to_string())
                })?;
        if !names.insert(entry.identity().clone()) {
            let why = "a backend of the same name stands before it".to_owned();
            return Err(wrong(Some(row.name.span()), why));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Line and column, each from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |feed| feed + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the hub's own documents.
    const SEED: &str = r#"
[[backend]]
name = "plexus"
host = "127.0.0.1"
port = 4444
protocol = "ws"
description = "Local Plexus instance"

[[backend]]
name = "prod"
host = "plexus.example.com"
port = 4444
protocol = "wss"
description = "Production Plexus hub"
"#;

    #[test]
    fn files() {
        let one = "[[backend]]\nname = \"a\"\nhost = \"b\"\n";
        #[rustfmt::skip]
        let table = [
            (SEED.to_owned(),                         Ok(2)),
            (String::new(),                           Ok(0)),
            (format!("{one}port = 1\n"),              Ok(1)),
            (format!("{one}port = 0\n"),              Err("f:4:8: port must be 1 to 65535")),
            (format!("{one}port = \"x\"\n"),          Err("f:4:8: invalid type: string \"x\", expected i64")),
            (one.to_owned(),                          Err("f:1:1: missing field `port`")),
            (format!("{one}port = 1\nprot = \"\"\n"), Err("f:5:1: unknown field `prot`, expected one of `name`, `host`, `port`, `protocol`, `description`, `namespace`")),
            (format!("{one}port = 1\nprotocol = 'ftp'\n"), Err("f:5:12: protocol must be one of ws, wss, http, https, h2c, grpc, grpcs, tcp")),
            (format!("{one}port = 1\n{one}port = 1\n"), Err("f:6:8: a backend of the same name stands before it")),
            ("[[backends]]\n".to_owned(),             Err("f:1:3: unknown field `backends`, expected `backend`")),
        ];
        for (text, want) in table {
            let read = parse(Path::new("f"), &text).map(|all| all.len()).map_err(|e| e.to_string());
            assert_eq!(read, want.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn what_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("latin"), [0xff]).unwrap();
        let long = File::create(at("long")).unwrap();
        long.set_len(FILE_BYTES_MAX + 1).unwrap();
        let shown = |path: PathBuf| {
            let error = read_backends(&path).unwrap_err().to_string();
            error.replace(&path.display().to_string(), "f")
        };
        #[rustfmt::skip]
        let table = [
            (at("absent"),       "f does not exist"),
            (at(""),             "cannot read f: it is no file"),
            ("/dev/zero".into(), "cannot read f: it is no file"),
            (at("latin"),        "cannot read f: stream did not contain valid UTF-8"),
            (at("long"),         "cannot read f: it is longer than 16777216 bytes"),
        ];
        for (path, want) in table {
            assert_eq!(shown(path), want);
        }
    }
}
