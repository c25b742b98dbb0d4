//! A client that keeps its connection.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};

use crate::PATIENCE;
use crate::client::field;

/// One connection to a proxy.
#[derive(Debug)]
pub struct Caller {
    /// For those who want to do more with it.
    pub stream: TcpStream,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its status.
    pub status: u16,
    /// Its head, without the blank line.
    pub head: String,
    /// Its body.
    pub body: String,
}

impl Said {
    /// The value of a field, if it came.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

impl Caller {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When nobody listens.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream })
    }

    /// Connects, asks once and goes.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub fn once(address: SocketAddr, host: &str, path: &str) -> Said {
        Self::connect(address)
            .and_then(|mut caller| caller.get(host, path, ""))
            .unwrap_or_else(|error| panic!("{host}{path}: {error}"))
    }

    /// The bodies of so many requests, each on a connection of its own and answered 200: who
    /// answers.
    ///
    /// # Panics
    ///
    /// When one is answered otherwise.
    pub fn bodies(address: SocketAddr, host: &str, count: usize) -> Vec<String> {
        let one = |_| {
            let said = Self::once(address, host, "/");
            assert_eq!(said.status, 200, "{}", said.head);
            said.body
        };
        (0..count).map(one).collect()
    }

    /// Asks with GET and more fields (`Name: value\r\n` each).
    ///
    /// # Errors
    ///
    /// When the connection ends before a whole response.
    pub fn get(&mut self, host: &str, path: &str, fields: &str) -> Result<Said> {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"))?;
        self.read()
    }

    /// Sends a request as it is.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub fn send(&mut self, request: &str) -> Result<()> {
        self.stream.write_all(request.as_bytes())
    }

    /// Reads one response with a length; of a 101 the head alone.
    ///
    /// # Errors
    ///
    /// When the connection ends before it is whole.
    pub fn read(&mut self) -> Result<Said> {
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let n = self.stream.read(&mut piece)?;
            if n == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            bytes.extend_from_slice(&piece[..n]);
            let text = String::from_utf8_lossy(&bytes);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let status = head.get(9..12).and_then(|status| status.parse().ok());
            let status = status.ok_or_else(|| Error::other(head.to_owned()))?;
            let said = Said { status, head: head.to_owned(), body: body.to_owned() };
            let length = said.field("content-length").and_then(|length| length.parse().ok());
            if status == 101 || body.len() >= length.unwrap_or(usize::MAX) {
                return Ok(said);
            }
        }
    }
}
