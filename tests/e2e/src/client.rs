//! A client that keeps its connection, and says what became of every request.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};

use crate::PATIENCE;

/// One client with at most one connection.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

/// An answer that came whole.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Of the status line.
    pub status: u16,
    head: String,
    /// Without its framing.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects with the first request.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Asks with GET.
    ///
    /// # Errors
    ///
    /// When no whole answer comes; the next request then has a connection of its own.
    pub fn get(&mut self, host: &str, path: &str) -> Result<Reply> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes())
    }

    /// Sends a request as it is and takes the answer.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn ask(&mut self, request: &[u8]) -> Result<Reply> {
        self.ask_in_parts(&[request])
    }

    /// Sends a request in parts, each with a write of its own, and takes the answer.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn ask_in_parts(&mut self, parts: &[&[u8]]) -> Result<Reply> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        for part in parts {
            connection.get_mut().write_all(part)?;
        }
        let head = read_head(&mut connection)?.ok_or(ErrorKind::UnexpectedEof)?;
        let reply = Reply::read(head, &mut connection)?;
        if reply.field("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close")) {
            self.connection = Some(connection);
        }
        Ok(reply)
    }

    fn connect(&self) -> Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(BufReader::new(stream))
    }
}

impl Reply {
    fn read(head: String, connection: &mut impl Read) -> Result<Self> {
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| Error::other(format!("no status in {head:?}")))?;
        let mut reply = Self { status, head, body: Vec::new() };
        let length = reply.field("content-length").and_then(|length| length.parse().ok());
        let length = length.ok_or_else(|| Error::other(format!("no length in {reply:?}")))?;
        reply.body = vec![0; length];
        connection.read_exact(&mut reply.body)?;
        Ok(reply)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

/// The first field of this name in a head.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Reads a head up to its empty line; nothing when the peer ended before its first byte.
///
/// # Errors
///
/// When it ends early.
pub fn read_head(reader: &mut impl BufRead) -> Result<Option<String>> {
    let mut head = String::new();
    loop {
        let at = head.len();
        match reader.read_line(&mut head)? {
            0 if at == 0 => return Ok(None),
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            _ if head[at..].trim_end().is_empty() => return Ok(Some(head)),
            _ => {}
        }
    }
}
