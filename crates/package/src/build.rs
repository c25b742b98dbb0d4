//! Files to a package: the same files give the same bytes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

use crate::contents::{Contents, Kind, Package, manifest_too_large, mode};
use crate::error::PackageError;
use crate::limits::{Limits, MANIFEST_BYTES_MAX};
use crate::manifest::Format;
use crate::path::EntryPath;

/// What a file of a package is made from.
#[derive(Clone, Debug)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// What this file holds when its turn comes.
    File(PathBuf),
}

/// One file of a package.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where in the package.
    pub path: EntryPath,
    /// Whether it is a program.
    pub executable: bool,
    /// What is in it.
    pub content: Content,
}

/// Writes a package. No time, owner or order of a disk comes into it.
///
/// # Errors
///
/// [`PackageError`]; what was written by then is no package.
pub fn build(
    mut files: Vec<Source>,
    limits: &Limits,
    out: impl Write,
) -> Result<Package, PackageError> {
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut contents = Contents::new(limits);
    let mut archive = Archive::new(out);
    for file in &files {
        let (bytes, mut content) = open(&file.content)?;
        contents.add(&file.path, Kind::File, bytes)?;
        if contents.bytes() > limits.unpacked_bytes_max {
            let max = limits.unpacked_bytes_max;
            return Err(PackageError::TooLarge { what: "the unpacked size in bytes", max });
        }
        if let Some(format) = Format::of(&file.path) {
            let manifest = read_small(&mut content)?;
            contents.read_manifest(format, &manifest)?;
            archive.file(&file.path, false, manifest.len() as u64, &mut &*manifest)?;
        } else {
            archive.file(&file.path, file.executable, bytes, &mut content)?;
        }
    }
    archive.finish()?;
    contents.finish()
}

/// The archive in the one form that we write.
pub(crate) struct Archive<W: Write>(tar::Builder<GzEncoder<W>>);

impl<W: Write> Archive<W> {
    pub(crate) fn new(out: W) -> Self {
        // 255: no system in particular.
        let gzip = GzBuilder::new().mtime(0).operating_system(255);
        Self(tar::Builder::new(gzip.write(out, Compression::default())))
    }

    /// Writes a file of exactly `bytes`.
    ///
    /// # Errors
    ///
    /// From reading and writing; that the content has another length than was said.
    pub(crate) fn file(
        &mut self,
        path: &EntryPath,
        executable: bool,
        bytes: u64,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        let mut header = header(EntryType::Regular, mode(path, executable));
        header.set_size(bytes);
        let mut content = Exactly { left: bytes, inner: content };
        self.0.append_data(&mut header, path.as_str(), &mut content)
    }

    /// Writes a folder, which otherwise follows from the files in it.
    ///
    /// # Errors
    ///
    /// From writing.
    pub(crate) fn folder(&mut self, path: &EntryPath) -> io::Result<()> {
        let mut header = header(EntryType::Directory, 0o755);
        header.set_size(0);
        self.0.append_data(&mut header, format!("{path}/"), io::empty())
    }

    pub(crate) fn finish(self) -> io::Result<()> {
        self.0.into_inner()?.finish()?.flush()
    }
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// A reader that must have so many bytes: a file that changes while it is packed would otherwise
/// shift everything behind it.
struct Exactly<'a> {
    left: u64,
    inner: &'a mut dyn Read,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let changed = || io::Error::other("a file changed while it was packed");
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(changed());
        }
        self.left = self.left.checked_sub(read as u64).ok_or_else(changed)?;
        Ok(read)
    }
}

fn open(content: &Content) -> io::Result<(u64, Box<dyn Read + '_>)> {
    match content {
        Content::Bytes(bytes) => Ok((bytes.len() as u64, Box::new(bytes.as_slice()))),
        Content::File(path) => {
            let named = |wrong: io::Error| {
                io::Error::new(wrong.kind(), format!("{}: {wrong}", path.display()))
            };
            let file = File::open(path).map_err(named)?;
            let bytes = file.metadata().map_err(named)?.len();
            Ok((bytes, Box::new(file)))
        }
    }
}

/// A manifest, whole.
///
/// # Errors
///
/// That it is larger than one may be.
pub(crate) fn read_small(content: impl Read) -> Result<Vec<u8>, PackageError> {
    let mut bytes = Vec::new();
    content.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MANIFEST_BYTES_MAX { Err(manifest_too_large()) } else { Ok(bytes) }
}
