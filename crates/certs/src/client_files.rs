//! Whose client certificates are believed, read from files.

use std::path::{Path, PathBuf};

use crate::files::{LoadError, read};
use crate::server::{ClientRoots, RootsError};

/// Why files name nobody to believe. Names the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientFilesError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] LoadError),
    /// It was read, and is no good.
    #[error("{}: {why}", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: RootsError,
    },
    /// No file was named.
    #[error("want at least one file with the certificates of the issuers of clients")]
    NoFile,
}

impl ClientRoots {
    /// Reads the certificates of issuers from all these files. Each must hold some, and no bad
    /// one.
    ///
    /// # Errors
    ///
    /// [`ClientFilesError`], for whoever wrote the files.
    pub fn load(files: &[PathBuf]) -> Result<Self, ClientFilesError> {
        let mut all = Vec::new();
        for path in files {
            let pem = read(path)?;
            Self::parse(&pem).map_err(|why| bad(path, why))?;
            all.extend_from_slice(&pem);
            all.push(b'\n');
        }
        match files.last() {
            None => Err(ClientFilesError::NoFile),
            Some(last) => Self::parse(&all).map_err(|why| bad(last, why)),
        }
    }
}

fn bad(path: &Path, why: RootsError) -> ClientFilesError {
    ClientFilesError::Roots { path: path.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Authority;

    #[test]
    fn each_file_is_looked_at_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let a = file("a.pem", &Authority::new("a").pem());
        // Without a line feed at its end it must not run into the next.
        let b = file("b.pem", Authority::new("b").pem().trim_end());
        let empty = file("empty.pem", "");
        let gone = folder.path().join("gone.pem");
        let at = folder.path().display().to_string();
        #[rustfmt::skip]
        let table = [
            (vec![a.clone()],            ""),
            (vec![b.clone(), a.clone()], ""),
            (vec![],                     "want at least one file"),
            (vec![a.clone(), empty],     "@/empty.pem: the file holds no certificate"),
            (vec![a.clone(), gone],      "cannot read @/gone.pem: No such file"),
            (vec![folder.path().into()], "cannot read @: it must be a file"),
        ];
        for (files, says) in table {
            let error = ClientRoots::load(&files).err().map(|error| error.to_string());
            let text = error.unwrap_or_default().replace(&at, "@");
            assert!(text.starts_with(says) && text.is_empty() == says.is_empty(), "{text}");
        }
    }
}
