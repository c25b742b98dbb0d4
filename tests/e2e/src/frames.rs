//! As much of HTTP/2 (RFC 9113) as it takes to break it: whole connections, or single bytes.
//!
//! What is sent is never compressed, so that a test reads as what goes over the wire. The server
//! is told to keep no table either: then every head can be read by itself.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::PATIENCE;

/// What a client sends first (section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames (section 6).
pub mod kind {
    #![expect(missing_docs, reason = "their names are those of the RFC")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Of DATA and HEADERS.
pub const END_STREAM: u8 = 1;
/// Of SETTINGS and PING.
pub const ACK: u8 = 1;
/// Of HEADERS and CONTINUATION.
pub const END_HEADERS: u8 = 4;
/// Of DATA and HEADERS.
pub const PADDED: u8 = 8;
/// Of HEADERS.
pub const WITH_PRIORITY: u8 = 0x20;

/// Error codes (section 7).
pub mod code {
    #![expect(missing_docs, reason = "their names are those of the RFC")]
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const STREAM_CLOSED: u32 = 5;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// Settings (section 6.5.2; RFC 8441, 3).
pub mod setting {
    #![expect(missing_docs, reason = "their names are those of the RFC")]
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// A frame that came.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// One of [`kind`].
    pub kind: u8,
    /// As its kind has them.
    pub flags: u8,
    /// 0 is the connection.
    pub stream: u32,
    /// Without the nine bytes before it.
    pub payload: Vec<u8>,
}

/// What became of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered to the end.
    Answer(Answered),
    /// The server gave it up for this reason.
    Reset(u32),
    /// The server ended the connection for this reason.
    GoAway(u32),
    /// The connection ended without a word.
    Closed,
}

/// An answer on a stream, as far as it came.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Answered {
    /// The final status.
    pub status: u16,
    /// The statuses before it.
    pub interim: Vec<u16>,
    /// Of the final head, without pseudo fields.
    pub fields: Vec<(String, String)>,
    /// The payload.
    pub body: Vec<u8>,
    /// What came after it.
    pub trailers: Vec<(String, String)>,
}

/// One connection to a server.
#[derive(Debug)]
pub struct Frames {
    /// For those who want to do more with it.
    pub socket: TcpStream,
    input: Vec<u8>,
    /// What the server announced.
    pub settings: BTreeMap<u16, u32>,
    /// Whether payload that comes may come again.
    grants: bool,
    /// What is known of streams that were not asked for yet.
    streams: BTreeMap<u32, Progress>,
    /// The last GOAWAY.
    goaway: Option<u32>,
    /// PING acknowledgements that came.
    pongs: usize,
    /// What the last one said.
    pong: Vec<u8>,
}

#[derive(Debug, Default)]
struct Progress {
    answer: Answered,
    /// A head that goes on in another frame.
    block: Vec<u8>,
    /// Whether the stream ends with the head.
    last: bool,
    /// How it ended.
    ended: Option<Outcome>,
}

/// A frame.
///
/// # Panics
///
/// When it is longer than can be said.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A frame SETTINGS.
pub fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = pairs
        .iter()
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(kind::SETTINGS, 0, 0, &payload)
}

/// Fields as literals that are not indexed (RFC 7541, 6.2.2).
pub fn fields<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_ref(), value.as_ref()] {
            number(&mut block, text.len(), 7, 0);
            block.extend_from_slice(text);
        }
    }
    block
}

/// An integer with so many bits of its first byte (RFC 7541, 5.1).
pub fn number(block: &mut Vec<u8>, value: usize, bits: u8, first: u8) {
    let max = (1 << bits) - 1;
    if value < max {
        return block.push(first | value as u8);
    }
    block.push(first | max as u8);
    let mut rest = value - max;
    while rest >= 128 {
        block.push(rest as u8 | 128);
        rest >>= 7;
    }
    block.push(rest as u8);
}

/// A head in as many frames as it takes.
pub fn head(stream: u32, block: &[u8], ends: bool) -> Vec<u8> {
    let flag = if ends { END_STREAM } else { 0 };
    let mut pieces: Vec<&[u8]> = block.chunks(16 * 1024).collect();
    if pieces.is_empty() {
        pieces.push(b"");
    }
    let last = pieces.len() - 1;
    let one = |(index, piece): (usize, &&[u8])| {
        let end = if index == last { END_HEADERS } else { 0 };
        let (kind, flag) = if index == 0 { (kind::HEADERS, flag) } else { (kind::CONTINUATION, 0) };
        frame(kind, flag | end, stream, piece)
    };
    pieces.iter().enumerate().flat_map(one).collect()
}

/// The pseudo fields of a request, and more fields.
pub fn request<'a>(
    method: &'a str,
    authority: &'a str,
    path: &'a str,
    more: &[(&'a str, &'a str)],
) -> Vec<u8> {
    let pseudo =
        [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path)];
    fields(&[&pseudo, more].concat())
}

/// A request without a body.
pub fn get(stream: u32, authority: &str, path: &str) -> Vec<u8> {
    head(stream, &request("GET", authority, path, &[]), true)
}

/// Payload in as many frames as it takes, the last of which ends the stream if `ends`.
pub fn data(stream: u32, payload: &[u8], ends: bool) -> Vec<u8> {
    let pieces: Vec<&[u8]> =
        if payload.is_empty() { vec![b""] } else { payload.chunks(16 * 1024).collect() };
    let last = pieces.len() - 1;
    let one = |(index, piece): (usize, &&[u8])| {
        let flag = if ends && index == last { END_STREAM } else { 0 };
        frame(kind::DATA, flag, stream, piece)
    };
    pieces.iter().enumerate().flat_map(one).collect()
}

/// A frame RST_STREAM.
pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// A frame WINDOW_UPDATE.
pub fn window_update(stream: u32, by: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

impl Frames {
    /// Connects with prior knowledge and shakes hands.
    ///
    /// # Errors
    ///
    /// When the server does not.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        Self::connect_with(address, &[])
    }

    /// The same, with settings.
    ///
    /// # Errors
    ///
    /// When the server does not.
    pub fn connect_with(address: SocketAddr, more: &[(u16, u32)]) -> Result<Self> {
        let mut frames = Self::bare(address)?;
        let ours = [&[(setting::HEADER_TABLE_SIZE, 0)], more].concat();
        frames.send(&[PREFACE, &settings(&ours)].concat())?;
        while frames.settings.is_empty() {
            frames.step()?;
        }
        Ok(frames)
    }

    /// Connects and says nothing.
    ///
    /// # Errors
    ///
    /// When nobody listens.
    pub fn bare(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let (settings, streams) = (BTreeMap::new(), BTreeMap::new());
        let input = Vec::new();
        Ok(Self {
            socket,
            input,
            settings,
            grants: true,
            streams,
            goaway: None,
            pongs: 0,
            pong: Vec::new(),
        })
    }

    /// Takes payload without letting more come.
    pub fn grant_nothing(&mut self) {
        self.grants = false;
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.socket.write_all(bytes)
    }

    /// Sends a request without a body, and waits for what becomes of it.
    ///
    /// # Errors
    ///
    /// As [`Self::outcome`].
    pub fn get(&mut self, stream: u32, authority: &str, path: &str) -> Result<Outcome> {
        self.send(&get(stream, authority, path))?;
        self.outcome(stream)
    }

    /// Waits for what becomes of a stream.
    ///
    /// # Errors
    ///
    /// When nothing does in time, or the server breaks the rules.
    pub fn outcome(&mut self, stream: u32) -> Result<Outcome> {
        loop {
            let ended = self.streams.get_mut(&stream).and_then(|known| known.ended.take());
            if let Some(outcome) = ended {
                self.streams.remove(&stream);
                return Ok(outcome);
            }
            if !self.step()? {
                return Ok(self.goaway.map_or(Outcome::Closed, Outcome::GoAway));
            }
        }
    }

    /// Waits for the end of the connection, and why it is.
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub fn end(&mut self) -> Result<Outcome> {
        while self.step()? {}
        Ok(self.goaway.map_or(Outcome::Closed, Outcome::GoAway))
    }

    /// Waits until the server has seen everything that was sent: whether it still answers.
    ///
    /// # Errors
    ///
    /// When it neither answers nor ends.
    pub fn is_alive(&mut self) -> Result<bool> {
        let before = self.pongs;
        if self.send(&frame(kind::PING, 0, 0, b"areyouok")).is_err() {
            return Ok(false);
        }
        while self.pongs == before {
            if !self.step()? {
                return Ok(false);
            }
        }
        Ok(self.goaway.is_none())
    }

    /// Waits for the next frame DATA of a stream.
    ///
    /// # Errors
    ///
    /// When the stream ends before one comes.
    pub fn payload(&mut self, stream: u32, bytes: usize) -> Result<Vec<u8>> {
        loop {
            let known = self.streams.entry(stream).or_default();
            if known.answer.body.len() >= bytes {
                return Ok(known.answer.body.drain(..bytes).collect());
            }
            if let Some(outcome) = &known.ended {
                return Err(Error::other(format!("ended: {outcome:?}")));
            }
            if !self.step()? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Waits for the final status on a stream.
    ///
    /// # Errors
    ///
    /// When the stream ends before one comes.
    pub fn status(&mut self, stream: u32) -> Result<u16> {
        loop {
            let known = self.streams.entry(stream).or_default();
            if known.answer.status != 0 {
                return Ok(known.answer.status);
            }
            if let Some(outcome) = &known.ended {
                return Err(Error::other(format!("ended: {outcome:?}")));
            }
            if !self.step()? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Whether the last PING that was acknowledged said this.
    pub fn has_pong(&self, said: &[u8]) -> bool {
        self.pong == said
    }

    /// Why the server said it will end the connection, as far as was read.
    pub fn goaway(&self) -> Option<u32> {
        self.goaway
    }

    /// Reads a frame and keeps what it says; false at the end of the connection.
    ///
    /// # Errors
    ///
    /// When none comes in time, or it is broken.
    pub fn step(&mut self) -> Result<bool> {
        let Some(frame) = self.read()? else { return Ok(false) };
        self.take(frame)?;
        Ok(true)
    }

    /// Takes what came already.
    ///
    /// # Errors
    ///
    /// When it is broken.
    pub fn look(&mut self) -> Result<()> {
        self.socket.set_read_timeout(Some(Duration::from_millis(1)))?;
        let looked = loop {
            match self.step() {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.socket.set_read_timeout(Some(PATIENCE))?;
        looked
    }

    /// Reads a frame; nothing at the end of the connection.
    fn read(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some((frame, length)) = self.whole() {
                self.input.drain(..length);
                return Ok(Some(frame));
            }
            let mut piece = [0; 16 * 1024];
            match self.socket.read(&mut piece) {
                Ok(0) => return Ok(None),
                Ok(length) => self.input.extend_from_slice(&piece[..length]),
                // What a server does that has nothing more to say to this client.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    fn whole(&self) -> Option<(Frame, usize)> {
        let head = self.input.get(..9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let payload = self.input.get(9..9 + length)?.to_vec();
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some((Frame { kind: head[3], flags: head[4], stream, payload }, 9 + length))
    }

    fn take(&mut self, frame: Frame) -> Result<()> {
        let Frame { kind, flags, stream, payload } = &frame;
        match *kind {
            kind::SETTINGS if flags & ACK == 0 => {
                for pair in payload.chunks_exact(6) {
                    let value = u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]]);
                    self.settings.insert(u16::from_be_bytes([pair[0], pair[1]]), value);
                }
                // A server that is gone says so when it is read from.
                let _ = self.send(&self::frame(kind::SETTINGS, ACK, 0, b""));
            }
            kind::PING if flags & ACK == 0 => {
                let _ = self.send(&self::frame(kind::PING, ACK, 0, payload));
            }
            kind::PING => {
                self.pongs += 1;
                self.pong.clone_from(payload);
            }
            kind::GOAWAY => self.goaway = payload.get(4..8).map(code_of),
            kind::RST_STREAM => {
                let known = self.streams.entry(*stream).or_default();
                // After a whole answer it says that no more of the request is wanted.
                known.ended.get_or_insert(Outcome::Reset(code_of(payload)));
            }
            kind::DATA => {
                let known = self.streams.entry(*stream).or_default();
                known.answer.body.extend_from_slice(payload);
                if flags & END_STREAM != 0 {
                    known.finish();
                }
                if self.grants && !payload.is_empty() {
                    let by = payload.len() as u32;
                    let updates = [window_update(0, by), window_update(*stream, by)].concat();
                    let _ = self.send(&updates);
                }
            }
            kind::HEADERS | kind::CONTINUATION => {
                let known = self.streams.entry(*stream).or_default();
                known.block.extend_from_slice(payload);
                if *kind == kind::HEADERS {
                    known.last = flags & END_STREAM != 0;
                }
                if flags & END_HEADERS != 0 {
                    known.head()?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Progress {
    fn head(&mut self) -> Result<()> {
        let mut fields = decode(&std::mem::take(&mut self.block))?;
        let status = fields.first().filter(|(name, _)| name == ":status");
        match status.and_then(|(_, status)| status.parse().ok()) {
            Some(status @ 100..=199) => self.answer.interim.push(status),
            Some(status) => {
                self.answer.status = status;
                fields.remove(0);
                self.answer.fields = fields;
            }
            None => self.answer.trailers = fields,
        }
        if self.last {
            self.finish();
        }
        Ok(())
    }

    fn finish(&mut self) {
        self.ended = Some(Outcome::Answer(std::mem::take(&mut self.answer)));
    }
}

impl Outcome {
    /// The status of the answer; 0 without one.
    pub fn status(&self) -> u16 {
        match self {
            Self::Answer(answer) => answer.status,
            Self::Reset(_) | Self::GoAway(_) | Self::Closed => 0,
        }
    }
}

impl Answered {
    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| &**value)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl std::fmt::Debug for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, interim, fields, body, trailers } = self;
        let text = String::from_utf8_lossy(body.get(..500).unwrap_or(body));
        write!(f, "{interim:?} {status} {fields:?} {} bytes {text:?} {trailers:?}", body.len())
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, flags, stream, payload } = self;
        write!(f, "frame {kind} {flags:#x} of {stream}: {}", payload.escape_ascii())
    }
}

fn code_of(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(u32::MAX, u32::from_be_bytes)
}

/// Reads a head that refers to no table but the static one.
fn decode(mut block: &[u8]) -> Result<Vec<(String, String)>> {
    let mut fields = Vec::new();
    while let Some(first) = block.first() {
        let bits = match first {
            0x80.. => 7,
            0x40.. => 6,
            0x20.. => 5,
            _ => 4,
        };
        let index = take_number(&mut block, bits)?;
        let known = || STATIC.get(index.wrapping_sub(1)).ok_or_else(broken);
        match bits {
            7 => {
                let (name, value) = known()?;
                fields.push(((*name).to_owned(), (*value).to_owned()));
            }
            // The size of a table that is not used.
            5 => {}
            _ => {
                let name = match index {
                    0 => take_text(&mut block)?,
                    _ => known()?.0.to_owned(),
                };
                fields.push((name, take_text(&mut block)?));
            }
        }
    }
    Ok(fields)
}

fn broken() -> Error {
    Error::other("a head that cannot be read")
}

fn take_number(block: &mut &[u8], bits: u8) -> Result<usize> {
    let mut next = || block.split_off_first().copied().ok_or_else(broken);
    let max = (1 << bits) - 1;
    let mut value = usize::from(next()?) & max;
    if value < max {
        return Ok(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = next()?;
        value += usize::from(byte & 127) << shift;
        if byte < 128 {
            return Ok(value);
        }
    }
    Err(broken())
}

fn take_text(block: &mut &[u8]) -> Result<String> {
    let coded = block.first().is_some_and(|byte| byte & 0x80 != 0);
    let length = take_number(block, 7)?;
    let bytes = block.split_off(..length).ok_or_else(broken)?;
    if !coded {
        return Ok(String::from_utf8_lossy(bytes).into_owned());
    }
    let (mut text, mut code, mut bits) = (String::new(), 0_u32, 0_u8);
    for byte in bytes {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(byte >> bit & 1);
            bits += 1;
            if let Some(index) = HUFFMAN.iter().position(|known| *known == (code, bits)) {
                text.push(char::from(b' ' + index as u8));
                (code, bits) = (0, 0);
            }
        }
    }
    // What is left is padding of ones.
    if bits < 8 && code == (1 << bits) - 1 { Ok(text) } else { Err(broken()) }
}

/// RFC 7541, appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"),
    (":path", "/index.html"), (":scheme", "http"), (":scheme", "https"), (":status", "200"),
    (":status", "204"), (":status", "206"), (":status", "304"), (":status", "400"),
    (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""),
    ("accept", ""), ("access-control-allow-origin", ""), ("age", ""), ("allow", ""),
    ("authorization", ""), ("cache-control", ""), ("content-disposition", ""),
    ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""),
    ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""),
    ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""),
    ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""),
    ("vary", ""), ("via", ""), ("www-authenticate", ""),
];

/// The codes of the characters from space to tilde, and their lengths (RFC 7541, appendix B).
#[rustfmt::skip]
const HUFFMAN: [(u32, u8); 95] = [
    (0x14, 6), (0x3f8, 10), (0x3f9, 10), (0xffa, 12), (0x1ff9, 13), (0x15, 6),
    (0xf8, 8), (0x7fa, 11), (0x3fa, 10), (0x3fb, 10), (0xf9, 8), (0x7fb, 11),
    (0xfa, 8), (0x16, 6), (0x17, 6), (0x18, 6), (0x0, 5), (0x1, 5),
    (0x2, 5), (0x19, 6), (0x1a, 6), (0x1b, 6), (0x1c, 6), (0x1d, 6),
    (0x1e, 6), (0x1f, 6), (0x5c, 7), (0xfb, 8), (0x7ffc, 15), (0x20, 6),
    (0xffb, 12), (0x3fc, 10), (0x1ffa, 13), (0x21, 6), (0x5d, 7), (0x5e, 7),
    (0x5f, 7), (0x60, 7), (0x61, 7), (0x62, 7), (0x63, 7), (0x64, 7),
    (0x65, 7), (0x66, 7), (0x67, 7), (0x68, 7), (0x69, 7), (0x6a, 7),
    (0x6b, 7), (0x6c, 7), (0x6d, 7), (0x6e, 7), (0x6f, 7), (0x70, 7),
    (0x71, 7), (0x72, 7), (0xfc, 8), (0x73, 7), (0xfd, 8), (0x1ffb, 13),
    (0x7fff0, 19), (0x1ffc, 13), (0x3ffc, 14), (0x22, 6), (0x7ffd, 15), (0x3, 5),
    (0x23, 6), (0x4, 5), (0x24, 6), (0x5, 5), (0x25, 6), (0x26, 6),
    (0x27, 6), (0x6, 5), (0x74, 7), (0x75, 7), (0x28, 6), (0x29, 6),
    (0x2a, 6), (0x7, 5), (0x2b, 6), (0x76, 7), (0x2c, 6), (0x8, 5),
    (0x9, 5), (0x2d, 6), (0x77, 7), (0x78, 7), (0x79, 7), (0x7a, 7),
    (0x7b, 7), (0x7ffe, 15), (0x7fc, 11), (0x3ffd, 14), (0x1ffd, 13),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7541, appendix C.
    #[test]
    fn heads_are_read() {
        let block = [
            &[0x88, 0x5c, 0x02, b'1', b'2'][..],
            // C.4.1: `www.example.com`, coded.
            &[0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff],
            &fields(&[("x-a", "y".repeat(300))]),
        ]
        .concat();
        let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = vec![
            text(":status", "200"),
            text("content-length", "12"),
            text(":authority", "www.example.com"),
            text("x-a", &"y".repeat(300)),
        ];
        assert_eq!(decode(&block).unwrap(), expected);
    }
}
