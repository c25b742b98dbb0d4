//! A folder on disk to a package beside it.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::build::{Content, Source, build};
use crate::contents::Package;
use crate::error::PackageError;
use crate::limits::Limits;
use crate::path::EntryPath;

/// A package that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Where it is.
    pub file: PathBuf,
    /// What it is.
    pub package: Package,
    /// Files in `bin/` that may not be executed on the host, as they may not here.
    pub not_executable: Vec<EntryPath>,
}

/// Packs a folder. Without `file` the package is written into the working directory under its own
/// name. It appears there whole or not at all, in place of an earlier one.
///
/// # Errors
///
/// [`PackageError`]; links are refused like everything that is neither a file nor a folder.
pub fn build_folder(
    folder: &Path,
    file: Option<&Path>,
    limits: &Limits,
) -> Result<Built, PackageError> {
    let mut files = Vec::new();
    walk(folder, &mut Vec::new(), limits, &mut files)?;
    let beside = file.and_then(Path::parent).filter(|parent| !parent.as_os_str().is_empty());
    let beside = beside.unwrap_or(Path::new("."));
    let is_program = |file: &&Source| file.path.as_str().starts_with("bin/") && !file.executable;
    let mut not_executable: Vec<_> =
        files.iter().filter(is_program).map(|file| file.path.clone()).collect();
    not_executable.sort();
    let mut unfinished = NamedTempFile::new_in(beside)?;
    let mut out = BufWriter::new(unfinished.as_file_mut());
    let package = build(files, limits, &mut out)?;
    out.flush()?;
    drop(out);
    let file = file.map_or_else(|| PathBuf::from(package.manifest.file()), Path::to_owned);
    let readable = fs::Permissions::from_mode(0o644);
    unfinished.as_file().set_permissions(readable)?;
    unfinished.persist(&file).map_err(|failed| failed.error)?;
    Ok(Built { file, package, not_executable })
}

fn walk(
    folder: &Path,
    inside: &mut Vec<u8>,
    limits: &Limits,
    files: &mut Vec<Source>,
) -> Result<(), PackageError> {
    let named =
        |wrong: io::Error| io::Error::new(wrong.kind(), format!("{}: {wrong}", folder.display()));
    for entry in fs::read_dir(folder).map_err(named)? {
        let entry = entry.map_err(named)?;
        let length = inside.len();
        if length > 0 {
            inside.push(b'/');
        }
        inside.extend(entry.file_name().as_bytes());
        let printed = || inside.escape_ascii().to_string();
        let path = EntryPath::read(inside)
            .map_err(|source| PackageError::Path { path: printed(), source })?;
        let metadata = entry.metadata().map_err(named)?;
        if metadata.is_dir() {
            walk(&entry.path(), inside, limits, files)?;
        } else if metadata.is_file() {
            let executable = metadata.permissions().mode() & 0o100 != 0;
            files.push(Source { path, executable, content: Content::File(entry.path()) });
        } else {
            let what = if metadata.is_symlink() { "a symbolic link" } else { "no file" };
            return Err(PackageError::Kind { path: printed(), what });
        }
        if files.len() > limits.entries_max {
            let max = limits.entries_max as u64;
            return Err(PackageError::TooLarge { what: "the number of files", max });
        }
        inside.truncate(length);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text, mode) in [
            ("bin/web", "#!/bin/sh\n", 0o700),
            ("bin/data", "", 0o640),
            ("manifest.yaml", "name: web\nversion: 1.2\n", 0o600),
            ("scripts/start.sh", "#!/bin/sh\n", 0o640),
            ("scripts/stop.sh", "#!/bin/sh\n", 0o777),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        folder
    }

    #[test]
    fn the_same_folder_gives_the_same_bytes() {
        let limits = Limits::default();
        let out = tempfile::tempdir().unwrap();
        let pack = |name: &str| {
            let file = out.path().join(name);
            let built = build_folder(folder().path(), Some(&file), &limits).unwrap();
            assert_eq!(built.package.manifest.file(), "web-1.2.tar.gz");
            let idle: Vec<_> = built.not_executable.iter().map(EntryPath::as_str).collect();
            assert_eq!(idle, ["bin/data"], "scripts are made executable");
            fs::read(file).unwrap()
        };
        let bytes = pack("a");
        assert_eq!(bytes, pack("b"));
        let read = crate::inspect(&*bytes, &limits).unwrap();
        assert_eq!((read.files, read.manifest.folder().as_str()), (5, "web-1.2"));
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 2, "nothing half done stays");
    }

    #[test]
    fn a_link_in_the_folder_is_refused() {
        let folder = folder();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("bin/x")).unwrap();
        let out = tempfile::tempdir().unwrap();
        let built = build_folder(folder.path(), Some(&out.path().join("a")), &Limits::default());
        assert_eq!(
            built.unwrap_err().to_string(),
            "`bin/x` is a symbolic link: only files and folders may be in a package"
        );
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
    }
}
