//! What a package says about itself.

use serde::{Deserialize, Deserializer, de};

use crate::path::EntryPath;
use crate::text::{Id, Needed, Seconds};

/// Ports, dependencies, programs or libraries of one package.
const LIST_MAX: usize = 64;

/// How the manifest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `manifest.yaml`
    Yaml,
    /// `manifest.toml`
    Toml,
}

impl Format {
    /// Where such a manifest lies in a package.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Yaml => "manifest.yaml",
            Self::Toml => "manifest.toml",
        }
    }

    pub(crate) fn of(path: &EntryPath) -> Option<Self> {
        [Self::Yaml, Self::Toml].into_iter().find(|format| format.file() == path.as_str())
    }
}

/// Where a manifest is wrong, and what is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}:{column}: {what}", .format.file())]
pub struct ManifestError {
    /// Which file.
    pub format: Format,
    /// From 1.
    pub line: u64,
    /// From 1.
    pub column: u64,
    /// For people.
    pub what: String,
}

/// What a package says about itself. A key that is not here is an error: it was meant to do
/// something.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Who it is.
    #[serde(deserialize_with = "name")]
    pub name: Id,
    /// Which one.
    #[serde(deserialize_with = "version")]
    pub version: Id,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// What it serves.
    #[serde(default)]
    pub service: Service,
    /// Names of other services. Told on; nobody is started for it.
    #[serde(default, deserialize_with = "few")]
    pub depends_on: Vec<String>,
    /// What the host must have.
    #[serde(default)]
    pub requires: Requires,
    /// How its health is asked. Without it a service is well once its start script returned.
    #[serde(default)]
    pub health: Option<Health>,
}

/// What a package serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// A word of the package's own.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    /// Where it listens.
    #[serde(default, deserialize_with = "few")]
    pub ports: Vec<Port>,
}

/// One place where a service listens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Which of its ports.
    pub name: String,
    /// The number.
    pub port: std::num::NonZeroU16,
    /// `http`, `tcp` or another.
    #[serde(default)]
    pub protocol: Option<String>,
}

/// What the host must have before anything is uploaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requires {
    /// Programs, found by `command -v`.
    #[serde(default, deserialize_with = "few")]
    pub commands: Vec<Needed>,
    /// Libraries as the loader knows them: `libssl.so.3`, or the beginning of that.
    #[serde(default, deserialize_with = "few")]
    pub libraries: Vec<Needed>,
}

/// How the health of a service is asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// A script of the package; it succeeds when the service is well.
    pub script: EntryPath,
    /// Between one try and the next.
    #[serde(default = "two_seconds")]
    pub interval: Seconds,
    /// All tries together. Who is not well by then is rolled back.
    #[serde(default = "half_a_minute")]
    pub timeout: Seconds,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    ///
    /// [`ManifestError`], with its place.
    pub fn parse(format: Format, text: &str) -> Result<Self, ManifestError> {
        match format {
            Format::Yaml => from_yaml(text),
            Format::Toml => from_toml(text),
        }
    }

    /// `name-version`: the folder of this version and the beginning of the file's name.
    pub fn folder(&self) -> String {
        format!("{}-{}", self.name.as_str(), self.version.as_str())
    }

    /// `name-version.tar.gz`.
    pub fn file(&self) -> String {
        format!("{}.tar.gz", self.folder())
    }
}

fn from_yaml(text: &str) -> Result<Manifest, ManifestError> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let at = error.location();
        let what = error.render_with_formatter(&serde_saphyr::DefaultMessageFormatter);
        let line = at.map_or(1, |at| at.line());
        let column = at.map_or(1, |at| at.column());
        ManifestError { format: Format::Yaml, line, column, what }
    })
}

fn from_toml(text: &str) -> Result<Manifest, ManifestError> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or_default();
        let (lines, last) = before
            .rsplit_once('\n')
            .map_or((0, before), |(lines, last)| (lines.matches('\n').count() as u64 + 1, last));
        let column = last.chars().count() as u64 + 1;
        let what = error.message().to_owned();
        ManifestError { format: Format::Toml, line: lines + 1, column, what }
    })
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
    Id::name(&String::deserialize(deserializer)?)
        .map_err(|wrong| de::Error::custom(format_args!("name {wrong}")))
}

fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
    Id::version(&String::deserialize(deserializer)?)
        .map_err(|wrong| de::Error::custom(format_args!("version {wrong}")))
}

fn few<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let list = Vec::deserialize(from)?;
    if list.len() > LIST_MAX {
        return Err(de::Error::custom(format_args!("the list has more than {LIST_MAX} entries")));
    }
    Ok(list)
}

const fn two_seconds() -> Seconds {
    Seconds::of(2)
}

const fn half_a_minute() -> Seconds {
    Seconds::of(30)
}

#[cfg(test)]
mod tests;
