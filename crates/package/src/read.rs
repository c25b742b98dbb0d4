//! Archives from anybody.
//!
//! The headers are read here and not by the archive library's own extraction: it would follow what
//! a header says about lengths, links and names, and each of these is something to refuse.

use std::io::{self, Read, Write};

use flate2::bufread::GzDecoder;
use tar::{Entry, EntryType, PaxExtensions};

use crate::build::{Archive, read_small};
use crate::contents::{Contents, Kind, Package};
use crate::error::PackageError;
use crate::limits::{EXTENSION_BYTES_MAX, Limits};
use crate::manifest::Format;
use crate::path::EntryPath;

/// Reads a package to its end and says what it is.
///
/// # Errors
///
/// [`PackageError`]: whatever could hurt who unpacks it, and whatever is missing.
pub fn inspect(archive: impl Read, limits: &Limits) -> Result<Package, PackageError> {
    rewrite(archive, limits, io::sink())
}

/// Reads a package to its end and writes it again, plainly: files and folders only, owned by nobody,
/// with mode 0644 or 0755.
///
/// # Errors
///
/// As [`inspect`]; what was written by then is no package.
pub fn rewrite(
    archive: impl Read,
    limits: &Limits,
    out: impl Write,
) -> Result<Package, PackageError> {
    let packed = io::BufReader::new(Bounded::new(archive, limits.packed_bytes_max));
    let unpacked = Unpacked { gzip: GzDecoder::new(packed), given: 0, limits, broken: None };
    let mut tar = tar::Archive::new(unpacked);
    let mut contents = Contents::new(limits);
    let mut written = Archive::new(out);
    let read = entries(&mut tar, &mut contents, &mut written);
    let mut unpacked = tar.into_inner();
    // Why reading stopped is known better here than by what was being read.
    if let Some(broken) = unpacked.broken.take() {
        return Err(broken);
    }
    read?;
    unpacked.end()?;
    written.finish()?;
    contents.finish()
}

fn entries<R: Read, W: Write>(
    tar: &mut tar::Archive<R>,
    contents: &mut Contents,
    out: &mut Archive<W>,
) -> Result<(), PackageError> {
    let mut long_name: Option<Vec<u8>> = None;
    for entry in tar.entries().map_err(malformed)?.raw(true) {
        let mut entry = entry.map_err(malformed)?;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => {
                let name = read_extension(&mut entry)?;
                let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
                set_once(&mut long_name, name.get(..end).unwrap_or_default().to_vec())?;
                continue;
            }
            EntryType::XHeader => {
                if let Some(name) = name_of(&read_extension(&mut entry)?)? {
                    set_once(&mut long_name, name)?;
                }
                continue;
            }
            // For all entries: comments, as `git archive` writes them, are let pass.
            EntryType::XGlobalHeader => {
                if name_of(&read_extension(&mut entry)?)?.is_some() {
                    return Err(PackageError::Malformed("one name for all entries"));
                }
                continue;
            }
            _ => {}
        }
        let name = long_name.take().unwrap_or_else(|| entry.header().path_bytes().into_owned());
        one(&name, kind, &mut entry, contents, out)?;
    }
    match long_name {
        Some(_) => Err(PackageError::Malformed("a name without an entry")),
        None => Ok(()),
    }
}

fn one<R: Read, W: Write>(
    name: &[u8],
    kind: EntryType,
    entry: &mut Entry<'_, R>,
    contents: &mut Contents,
    out: &mut Archive<W>,
) -> Result<(), PackageError> {
    let printed = || name.escape_ascii().to_string();
    // The folder itself, as `tar -C folder .` writes it.
    if kind == EntryType::Directory && matches!(name, b"." | b"./") {
        return Ok(());
    }
    let path =
        EntryPath::read(name).map_err(|source| PackageError::Path { path: printed(), source })?;
    let bytes = entry.header().entry_size().map_err(malformed)?;
    match kind {
        EntryType::Directory if bytes == 0 => {
            contents.add(&path, Kind::Folder, 0)?;
            out.folder(&path)?;
        }
        EntryType::Regular if !name.ends_with(b"/") => {
            contents.add(&path, Kind::File, bytes)?;
            let executable = entry.header().mode().map_err(malformed)? & 0o100 != 0;
            match Format::of(&path) {
                Some(format) => {
                    let manifest = read_small(&mut *entry).map_err(unread)?;
                    contents.read_manifest(format, &manifest)?;
                    out.file(&path, false, bytes, &mut manifest.as_slice())?;
                }
                None => out.file(&path, executable, bytes, entry).map_err(malformed)?,
            }
        }
        EntryType::Directory => return Err(PackageError::Malformed("a folder with content")),
        EntryType::Regular => return Err(PackageError::Malformed("a file named like a folder")),
        _ => return Err(PackageError::Kind { path: printed(), what: word(kind) }),
    }
    Ok(())
}

fn word(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Link => "a hard link",
        EntryType::Symlink => "a symbolic link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a pipe",
        EntryType::GNUSparse => "a sparse file",
        _ => "of an unknown kind",
    }
}

fn read_extension<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, PackageError> {
    let mut bytes = Vec::new();
    entry.take(EXTENSION_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(malformed)?;
    if bytes.len() as u64 > EXTENSION_BYTES_MAX {
        let max = EXTENSION_BYTES_MAX;
        return Err(PackageError::TooLarge { what: "an extended header in bytes", max });
    }
    Ok(bytes)
}

/// The name in an extended header. What else stands there is about times and owners, or would change
/// how the archive is read.
fn name_of(header: &[u8]) -> Result<Option<Vec<u8>>, PackageError> {
    let mut name = None;
    for record in PaxExtensions::new(header) {
        let record = record.map_err(malformed)?;
        match record.key_bytes() {
            b"path" => set_once(&mut name, record.value_bytes().to_vec())?,
            b"size" => return Err(PackageError::Malformed("a size in an extended header")),
            key if key.starts_with(b"GNU.sparse") => {
                return Err(PackageError::Malformed("a sparse file"));
            }
            _ => {}
        }
    }
    Ok(name)
}

fn set_once(name: &mut Option<Vec<u8>>, to: Vec<u8>) -> Result<(), PackageError> {
    match name.replace(to) {
        None => Ok(()),
        Some(_) => Err(PackageError::Malformed("two names for one entry")),
    }
}

fn malformed(_: io::Error) -> PackageError {
    PackageError::Malformed("broken, or cut off")
}

fn unread(error: PackageError) -> PackageError {
    match error {
        PackageError::Io(error) => malformed(error),
        other => other,
    }
}

/// What comes out of gzip, counted.
struct Unpacked<'a, R: Read> {
    gzip: GzDecoder<io::BufReader<Bounded<R>>>,
    given: u64,
    limits: &'a Limits,
    /// Why nothing more comes; readers above would only say that they got no more.
    broken: Option<PackageError>,
}

impl<R: Read> Unpacked<'_, R> {
    /// Reads what is behind the archive, which must be nothing or zeros.
    fn end(mut self) -> Result<(), PackageError> {
        let mut rest = [0; 4096];
        loop {
            let read = self.read(&mut rest);
            if let Some(broken) = self.broken.take() {
                return Err(broken);
            }
            match read.map_err(malformed)? {
                0 => break,
                read if rest.iter().take(read).any(|&byte| byte != 0) => {
                    return Err(PackageError::Malformed("something behind its end"));
                }
                _ => {}
            }
        }
        let mut packed = self.gzip.into_inner();
        if packed.read(&mut rest)? > 0 {
            return Err(PackageError::Malformed("something behind its end"));
        }
        Ok(())
    }
}

impl<R: Read> Read for Unpacked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.gzip.read(buffer);
        let packed = self.gzip.get_ref().get_ref();
        if packed.passed {
            let max = self.limits.packed_bytes_max;
            self.broken = Some(PackageError::TooLarge { what: "its size in bytes", max });
        } else if let Ok(read) = read {
            self.given += read as u64;
            let max = self.limits.unpacked_bytes_max;
            if self.given > max {
                let what = "the unpacked size in bytes";
                self.broken = Some(PackageError::TooLarge { what, max });
            } else if self.limits.is_bomb(packed.given, self.given) {
                self.broken = Some(PackageError::Bomb(self.limits.ratio_max));
            }
        }
        if self.broken.is_some() { Err(io::Error::other("refused")) } else { read }
    }
}

/// What is read of the file, counted.
struct Bounded<R> {
    inner: R,
    given: u64,
    max: u64,
    passed: bool,
}

impl<R: Read> Bounded<R> {
    const fn new(inner: R, max: u64) -> Self {
        Self { inner, given: 0, max, passed: false }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.given += read as u64;
        self.passed |= self.given > self.max;
        if self.passed { Err(io::Error::other("refused")) } else { Ok(read) }
    }
}

#[cfg(test)]
mod tests;
