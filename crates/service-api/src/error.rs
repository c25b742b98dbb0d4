//! What can go wrong for whoever uses the library.

use std::io;

use crate::fault::Fault;

/// Why something did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file of the registry cannot be opened or read.
    #[error("{0}")]
    Store(String),
    /// The certificate of the server, or those of issuers, cannot be used.
    #[error("{0}")]
    Tls(String),
    /// The address cannot be listened on, or not be connected to.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What answered speaks no WebSocket, or refuses us.
    #[error("no WebSocket: {0}")]
    Handshake(String),
    /// The registry refuses what was asked for.
    #[error(transparent)]
    Refused(#[from] Fault),
    /// The answer is not what was asked for.
    #[error("the answer cannot be read: {0}")]
    Answer(String),
    /// The connection has ended, or the registry has.
    #[error("the connection has ended: {0}")]
    Ended(String),
    /// Too many requests wait for their answers.
    #[error("too many requests wait for their answers")]
    Busy,
    /// The reader was too slow: list again, then subscribe again.
    #[error("{0} events were missed: list again, then subscribe")]
    Missed(u64),
}

/// The bytes of a file that is named by a user.
pub(crate) async fn read(path: &std::path::Path) -> Result<Vec<u8>, Error> {
    let failed = |error| Error::Tls(format!("cannot read {}: {error}", path.display()));
    tokio::fs::read(path).await.map_err(failed)
}
