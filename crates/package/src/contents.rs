//! What a package is made of, collected entry by entry.

use std::collections::BTreeMap;

use crate::error::PackageError;
use crate::limits::{Limits, MANIFEST_BYTES_MAX};
use crate::manifest::{Format, Manifest, ManifestError};
use crate::path::EntryPath;

/// Starts the service and returns.
pub(crate) const START: &str = "scripts/start.sh";
/// Ends it.
pub(crate) const STOP: &str = "scripts/stop.sh";

/// A package that was read or made, without its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// What it says about itself.
    pub manifest: Manifest,
    /// Files in it.
    pub files: usize,
    /// All files together, in bytes.
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File,
}

/// Which paths there are so far. Order does not matter: folders may come after what is in them.
#[derive(Debug)]
pub(crate) struct Contents {
    entries_max: usize,
    /// What each path is, and whether the archive said so or it only follows from a path below.
    paths: BTreeMap<String, (Kind, Named)>,
    manifest: Option<Manifest>,
    files: usize,
    bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Outright,
    Below,
}

impl Contents {
    pub(crate) const fn new(limits: &Limits) -> Self {
        let paths = BTreeMap::new();
        Self { entries_max: limits.entries_max, paths, manifest: None, files: 0, bytes: 0 }
    }

    /// Takes note of an entry.
    ///
    /// # Errors
    ///
    /// [`PackageError::Twice`], or [`PackageError::TooLarge`] for one too many.
    pub(crate) fn add(
        &mut self,
        path: &EntryPath,
        kind: Kind,
        bytes: u64,
    ) -> Result<(), PackageError> {
        for folder in path.folders() {
            match self.paths.get(folder) {
                Some((Kind::File, _)) => return Err(PackageError::Twice(folder.to_owned())),
                Some((Kind::Folder, _)) => {}
                None => self.put(folder, Kind::Folder, Named::Below)?,
            }
        }
        match (self.paths.get(path.as_str()), kind) {
            (None, _) | (Some((Kind::Folder, Named::Below)), Kind::Folder) => {
                self.put(path.as_str(), kind, Named::Outright)?;
            }
            (Some(_), _) => return Err(PackageError::Twice(path.to_string())),
        }
        if kind == Kind::File {
            self.files += 1;
            self.bytes += bytes;
        }
        Ok(())
    }

    /// All files so far together.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the manifest.
    ///
    /// # Errors
    ///
    /// That there are two, that it is too large, or what is wrong in it.
    pub(crate) fn read_manifest(
        &mut self,
        format: Format,
        bytes: &[u8],
    ) -> Result<(), PackageError> {
        if bytes.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(manifest_too_large());
        }
        let text = str::from_utf8(bytes).map_err(|wrong| {
            let before = bytes.get(..wrong.valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
            ManifestError { format, line, column: 1, what: "not UTF-8".to_owned() }
        })?;
        if self.manifest.replace(Manifest::parse(format, text)?).is_some() {
            return Err(PackageError::NoManifest("there is a manifest.yaml and a manifest.toml"));
        }
        Ok(())
    }

    /// The package, if nothing is missing.
    ///
    /// # Errors
    ///
    /// [`PackageError::NoManifest`], [`PackageError::Missing`].
    pub(crate) fn finish(self) -> Result<Package, PackageError> {
        let Some(manifest) = self.manifest else {
            let why = "no manifest.yaml or manifest.toml at the top; pack what is in the folder, not the folder";
            return Err(PackageError::NoManifest(why));
        };
        let health = manifest.health.as_ref().map(|health| health.script.as_str());
        let wanted = [(START, "every package has it"), (STOP, "every package has it")];
        let wanted = wanted.into_iter().chain(health.map(|path| (path, "`health.script` is it")));
        for (path, why) in wanted {
            if !matches!(self.paths.get(path), Some((Kind::File, _))) {
                return Err(PackageError::Missing { path: path.to_owned(), why });
            }
        }
        Ok(Package { manifest, files: self.files, bytes: self.bytes })
    }

    fn put(&mut self, path: &str, kind: Kind, named: Named) -> Result<(), PackageError> {
        self.paths.insert(path.to_owned(), (kind, named));
        if self.paths.len() > self.entries_max {
            let max = self.entries_max as u64;
            return Err(PackageError::TooLarge { what: "the number of files and folders", max });
        }
        Ok(())
    }
}

pub(crate) fn manifest_too_large() -> PackageError {
    PackageError::TooLarge { what: "the manifest in bytes", max: MANIFEST_BYTES_MAX }
}

/// The one mode that a path gets: 0755 for what was executable and for scripts of a life cycle,
/// which archives from systems without such modes would lose.
pub(crate) fn mode(path: &EntryPath, executable: bool) -> u32 {
    if executable || path.as_str().starts_with("scripts/") { 0o755 } else { 0o644 }
}
