//! Pairs in files, read once.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::pair::{Fingerprint, Pair, PairError};

/// In bytes. Nobody has a longer chain, and a wrong path may lead to anything.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a certificate and its key lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairPaths {
    /// PEM, the server's own certificate first.
    pub cert: PathBuf,
    /// PEM; the same file may hold both.
    pub key: PathBuf,
}

/// Why files give no pair. Names the file and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is not there, or we may not read it.
    #[error("cannot read {}: {why}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's word.
        why: String,
    },
    /// A folder, a device, a pipe.
    #[error("cannot read {}: it must be a file", path.display())]
    NoFile {
        /// What was named.
        path: PathBuf,
    },
    /// No certificate is that long.
    #[error("cannot read {}: it is longer than {FILE_BYTES_MAX} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The files are there, and no good.
    #[error("{} with {}: {why}", paths.cert.display(), paths.key.display())]
    Pair {
        /// The two files.
        paths: PairPaths,
        /// What is wrong with them.
        why: PairError,
    },
    /// The program is ending.
    #[error("reading certificates was broken off")]
    BrokenOff,
}

impl LoadError {
    /// The one file that is no good; `None` where it takes two.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Read { path, .. } | Self::NoFile { path } | Self::TooLong { path } => Some(path),
            Self::Pair { .. } | Self::BrokenOff => None,
        }
    }
}

/// Which bytes a path leads to, without reading them. Follows links, so that replacing one of them
/// is seen as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    file: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A pair and what it was read from.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) pair: Arc<Pair>,
    /// Of both files.
    pub(crate) content: [Fingerprint; 2],
}

/// Of every file, in order.
pub(crate) fn stamps(paths: &[PairPaths]) -> Result<Vec<Stamp>, LoadError> {
    let files = paths.iter().flat_map(|pair| [&pair.cert, &pair.key]);
    files.map(|path| metadata(path).map(|metadata| Stamp::of(&metadata))).collect()
}

impl PairPaths {
    /// Reads the pair, to find out whether it can be served.
    ///
    /// # Errors
    ///
    /// [`LoadError`], as when it is loaded to be served.
    pub fn check(&self) -> Result<(), LoadError> {
        load(self, None).map(drop)
    }
}

/// Reads one pair; what did not change since `before` is not parsed again.
pub(crate) fn load(paths: &PairPaths, before: Option<&Loaded>) -> Result<Loaded, LoadError> {
    let (cert, key) = (read(&paths.cert)?, read(&paths.key)?);
    let content = [Fingerprint::of(&cert), Fingerprint::of(&key)];
    if let Some(same) = before.filter(|before| before.content == content) {
        return Ok(same.clone());
    }
    let pair =
        Pair::parse(&cert, &key).map_err(|why| LoadError::Pair { paths: paths.clone(), why })?;
    Ok(Loaded { pair: Arc::new(pair), content })
}

/// Opening a pipe would wait for its writer, so it is asked first what the path leads to.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    metadata(path)?;
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|f| f.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(LoadError::TooLong { path: path.to_owned() });
    }
    Ok(bytes)
}

fn metadata(path: &Path) -> Result<Metadata, LoadError> {
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if metadata.is_file() { Ok(metadata) } else { Err(LoadError::NoFile { path: path.to_owned() }) }
}

fn unreadable(path: &Path, error: &io::Error) -> LoadError {
    LoadError::Read { path: path.to_owned(), why: error.to_string() }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}
