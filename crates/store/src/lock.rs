//! Keeps a second proxyd away from a store.
//!
//! Two processes with one store would each publish its own half, and both could listen: addresses
//! are shared with SO_REUSEPORT. The lock is the kernel's and ends with the process, however it
//! ends; the file stays.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Held as long as it lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Why there is no lock.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Another process holds it.
    Held,
    /// The file cannot be made or locked.
    Io(io::Error),
}

impl Lock {
    /// Takes the lock of the store at `store`.
    pub(crate) fn take(store: &Path) -> Result<Self, Refused> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path_of(store)).map_err(Refused::Io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Refused::Held),
            Err(TryLockError::Error(error)) => Err(Refused::Io(error)),
        }
    }
}

/// `proxyd.db` is locked by `proxyd.db.lock`.
fn path_of(store: &Path) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}
