//! Sockets that the registry listens on.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net as std_unix;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use session::Peer;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::bounds::KEEPALIVE;

/// Who may use a Unix socket: its owner and its group (SPEC 12).
const MODE: u32 = 0o660;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// Over TCP. Port 0 is any that is free.
    Tcp(SocketAddr),
    /// On this path.
    Unix(PathBuf),
}

/// As the ports file has it: `127.0.0.1:81`, `unix:/run/proxyd.sock`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A socket that listens. Dropping it closes it, and takes its file away.
#[derive(Debug)]
pub struct Socket(Inner);

#[derive(Debug)]
enum Inner {
    Tcp(TcpListener),
    Unix(UnixListener, File),
}

/// An accepted connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Begins to listen. Wants a tokio runtime around it. The file of a Unix socket that nobody
    /// listens on any more is replaced.
    ///
    /// # Errors
    ///
    /// The system's: the address is taken, not ours, or reserved.
    pub fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let listener = runtime::listen_alone(*address, KEEPALIVE)?;
                Ok(Self(Inner::Tcp(TcpListener::from_std(listener)?)))
            }
            Address::Unix(path) => {
                let (listener, file) = bind_unix(path)?;
                Ok(Self(Inner::Unix(UnixListener::from_std(listener)?, file)))
            }
        }
    }

    /// Where it really listens.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn address(&self) -> io::Result<Address> {
        match &self.0 {
            Inner::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Inner::Unix(_, file) => Ok(Address::Unix(file.path.clone())),
        }
    }

    /// The next connection, and who it is from.
    pub(crate) fn poll_accept(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(Stream, Peer)>> {
        match &self.0 {
            Inner::Tcp(listener) => listener.poll_accept(context).map_ok(|(stream, address)| {
                (Stream::Tcp(stream), Peer::Tcp(address.ip().to_canonical()))
            }),
            Inner::Unix(listener, _) => listener
                .poll_accept(context)
                .map_ok(|(stream, _)| (Stream::Unix(stream), Peer::Local)),
        }
    }
}

impl Stream {
    /// Says one line if that needs no waiting, and closes.
    pub(crate) fn dismiss(self, line: &[u8]) {
        use std::io::Write;
        // Whoever does not hear why is dismissed all the same.
        let _ = match self {
            Self::Tcp(stream) => stream.into_std().and_then(|mut stream| stream.write(line)),
            Self::Unix(stream) => stream.into_std().and_then(|mut stream| stream.write(line)),
        };
    }
}

/// The file of a Unix socket, and which one it was when it was made.
#[derive(Debug)]
struct File {
    path: PathBuf,
    identity: (u64, u64),
}

/// Somebody else may have put another in its place meanwhile.
impl Drop for File {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // Left behind it harms nobody: it is replaced when the next one listens there.
            drop(fs::remove_file(&self.path));
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// Made beside its place and moved there, so that it never stands open with the wrong mode.
fn bind_unix(path: &Path) -> io::Result<(std_unix::UnixListener, File)> {
    if std_unix::UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = std_unix::UnixListener::bind(&new)?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(MODE))?;
    fs::rename(&new, path)?;
    Ok((listener, File { path: path.to_owned(), identity: identity(path)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_unix_socket_is_for_owner_and_group_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.sock");
        let socket = Socket::bind(&Address::Unix(path.clone())).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert_eq!(socket.address().unwrap().to_string(), format!("unix:{}", path.display()));
        drop(socket);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.sock");
        drop(std_unix::UnixListener::bind(&path).unwrap());
        let live = Socket::bind(&Address::Unix(path.clone())).unwrap();
        let refused = Socket::bind(&Address::Unix(path.clone())).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        // What is not ours any more stays.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        drop(live);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn port_zero_is_told() {
        let any = Address::Tcp("127.0.0.1:0".parse().unwrap());
        let bound = Socket::bind(&any).unwrap().address().unwrap();
        assert!(matches!(bound, Address::Tcp(address) if address.port() != 0), "{bound}");
    }
}
