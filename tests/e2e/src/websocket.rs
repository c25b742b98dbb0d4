//! As much of RFC 6455 as an echo needs: the handshake, whole frames, masks, the close.
//!
//! Every handshake uses the key printed in the RFC, whose answer is printed there too.

use std::io::{BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::client::{field, read_head};
use crate::{Draw, PATIENCE};

/// What a server answers to a key (RFC 6455, 4.2.2).
pub fn accept(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// The key of RFC 6455, section 1.3.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What a server answers to [`KEY`].
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The opcode of a message of bytes.
pub(crate) const BINARY: u8 = 2;
/// The opcode of the last frame in each direction.
pub(crate) const CLOSE: u8 = 8;
/// "Going away".
pub(crate) const GOING_AWAY: [u8; 2] = 1001_u16.to_be_bytes();

/// No frame of a test is longer.
const FRAME_MAX: u64 = 1 << 20;

/// An open connection, the client's side of it.
#[derive(Debug)]
pub struct WebSocket {
    stream: BufReader<TcpStream>,
    masks: Draw,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// It came back unchanged.
    Whole,
    /// The server closed between two frames, in the proper way.
    Closed,
}

impl WebSocket {
    /// Connects and shakes hands.
    ///
    /// # Errors
    ///
    /// When the answer is no 101 with the right key, or none comes.
    pub fn connect(address: SocketAddr, host: &str, path: &str, masks: Draw) -> Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        )?;
        let mut stream = BufReader::new(stream);
        let head = read_head(&mut stream)?.ok_or(ErrorKind::UnexpectedEof)?;
        if !head.starts_with("HTTP/1.1 101 ")
            || field(&head, "sec-websocket-accept") != Some(ACCEPT)
        {
            return Err(Error::other(format!("refused: {head}")));
        }
        Ok(Self { stream, masks })
    }

    /// Sends a message and insists on having it back, or on a proper close.
    ///
    /// # Errors
    ///
    /// When a frame is broken or another one, or the connection ends without a close frame.
    pub fn echo(&mut self, message: &[u8]) -> Result<Echo> {
        self.send(BINARY, message)?;
        let frame = Frame::read(&mut self.stream, Side::Server)?;
        match frame.opcode {
            CLOSE => {
                self.send(CLOSE, &frame.payload)?;
                match self.stream.read(&mut [0])? {
                    0 => Ok(Echo::Closed),
                    _ => Err(Error::other("bytes after the close frame")),
                }
            }
            BINARY if frame.payload == message => Ok(Echo::Whole),
            opcode => Err(Error::other(format!(
                "not the echo: opcode {opcode}, {} bytes for {}",
                frame.payload.len(),
                message.len()
            ))),
        }
    }

    fn send(&mut self, opcode: u8, payload: &[u8]) -> Result<()> {
        let [a, b, c, d, ..] = self.masks.any().to_le_bytes();
        Frame { opcode, payload: payload.to_vec() }.write(self.stream.get_mut(), Some([a, b, c, d]))
    }
}

/// Who sent a frame: clients mask, servers must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// One frame that is a whole message.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// Reads one, unmasked.
    pub(crate) fn read(reader: &mut impl Read, from: Side) -> Result<Self> {
        let [first, second] = take(reader)?;
        let opcode = first & 0x0f;
        // FIN without a reserved bit, and an opcode that is used here.
        if first & 0xf0 != 0x80 || !matches!(opcode, BINARY | CLOSE) {
            return Err(Error::other(format!("broken frame: it begins with {first:#04x}")));
        }
        if (second & 0x80 != 0) != (from == Side::Client) {
            return Err(Error::other("broken frame: masked by the wrong side"));
        }
        let length = match second & 0x7f {
            126 => u16::from_be_bytes(take(reader)?).into(),
            127 => u64::from_be_bytes(take(reader)?),
            short => short.into(),
        };
        if length > FRAME_MAX {
            return Err(Error::other(format!("broken frame: {length} bytes long")));
        }
        let mask = if from == Side::Client { take(reader)? } else { [0; 4] };
        let mut payload = Vec::new();
        if reader.take(length).read_to_end(&mut payload)? as u64 != length {
            return Err(Error::other("broken frame: it ends early"));
        }
        apply(mask, &mut payload);
        Ok(Self { opcode, payload })
    }

    /// Writes it with one write.
    pub(crate) fn write(mut self, writer: &mut impl Write, mask: Option<[u8; 4]>) -> Result<()> {
        let mut bytes = vec![0x80 | self.opcode];
        let masked = if mask.is_some() { 0x80 } else { 0 };
        match self.payload.len() {
            length @ ..126 => bytes.push(masked | length as u8),
            length @ ..0x1_0000 => {
                bytes.push(masked | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(masked | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if let Some(mask) = mask {
            bytes.extend(mask);
            apply(mask, &mut self.payload);
        }
        bytes.append(&mut self.payload);
        writer.write_all(&bytes)
    }
}

fn apply(mask: [u8; 4], payload: &mut [u8]) {
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
}

fn take<const N: usize>(reader: &mut impl Read) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}
