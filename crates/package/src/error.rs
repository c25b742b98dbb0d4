//! Why something is no package.

use std::io;

use crate::manifest::ManifestError;
use crate::path::PathError;

/// What is wrong with a package. The text is for whoever made it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// The manifest does not say what it should.
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    /// No manifest, or two.
    #[error("{0}")]
    NoManifest(&'static str),
    /// A file that has to be there is not.
    #[error("`{path}` is missing: {why}")]
    Missing {
        /// Where it should be.
        path: String,
        /// Who wants it.
        why: &'static str,
    },
    /// A path that may not be.
    #[error("`{path}` {source}")]
    Path {
        /// As it stands there, what cannot be printed escaped.
        path: String,
        /// What is wrong.
        source: PathError,
    },
    /// Neither a file nor a folder.
    #[error("`{path}` is {what}: only files and folders may be in a package")]
    Kind {
        /// Where.
        path: String,
        /// What it is.
        what: &'static str,
    },
    /// Twice the same path, or a file where a folder is.
    #[error("`{0}` is there twice")]
    Twice(String),
    /// More than [`Limits`](crate::Limits) allow.
    #[error("{what} is more than {max}")]
    TooLarge {
        /// What is counted.
        what: &'static str,
        /// The bound.
        max: u64,
    },
    /// A little that unpacks to a lot.
    #[error("unpacks to more than {0} times its size")]
    Bomb(u64),
    /// Not what `tar` and `gzip` write.
    #[error("no gzipped tar archive: {0}")]
    Malformed(&'static str),
    /// It cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
}
