//! One open database file.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use model::Image;
use rusqlite::{Connection, OpenFlags};

use crate::load::{self, LoadError};
use crate::lock::{Lock, Refused};
use crate::schema::{self, OpenError};

/// Open, checked, of our version, and locked against others.
#[derive(Debug)]
pub(crate) struct Database {
    /// Before the lock, so that it is closed before the lock is given back.
    pub(crate) connection: Connection,
    _lock: Lock,
    path: PathBuf,
}

impl Database {
    /// Opens the file, or makes it.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let lock = Lock::take(path).map_err(|refused| match refused {
            Refused::Held => OpenError::InUse(path.to_owned()),
            Refused::Io(source) => io(source),
        })?;
        // Session ids are bearer secrets. SQLite gives its log the permissions of the file.
        OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(io)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)
            .map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
        schema::prepare(&mut connection, path)?;
        Ok(Self { connection, _lock: lock, path: path.to_owned() })
    }

    /// Everything that is remembered.
    pub(crate) fn load(&self) -> Result<Image, OpenError> {
        load::image(&self.connection).map_err(|error| match error {
            LoadError::Sqlite(source) => OpenError::Sqlite { path: self.path.clone(), source },
            LoadError::Row { table, row, what } => OpenError::Row { table, row, what },
        })
    }
}
