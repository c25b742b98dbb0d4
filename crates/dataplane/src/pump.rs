//! Bodies on their way: read, looked at, written, with backpressure and without a buffer of
//! their own while nothing comes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use compression::Encoder;
use http1::{BodyError, Decoder, Step, encode};
use tokio::io::AsyncWrite;

use crate::buffers::{Buffer, poll_read_with};
use crate::coding::Place;
use crate::stream::Half;

/// Why a body did not get through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PumpError {
    /// Whoever sends it.
    #[error("reading: {0}")]
    Read(io::Error),
    /// Whoever gets it.
    #[error("writing: {0}")]
    Write(io::Error),
    /// Ended before its end, or malformed.
    #[error("{0}")]
    Body(#[from] BodyError),
    /// Larger than allowed.
    #[error("too large")]
    TooLarge,
    /// It could not be compressed.
    #[error(transparent)]
    Coding(#[from] compression::EncodeError),
}

/// How the receiver is told where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// As the sender tells it: the same bytes.
    Kept,
    /// By the end of the connection: payload alone.
    Bare,
    /// By chunks, where the sender had none.
    Chunked,
}

/// One body on its way.
#[derive(Debug)]
pub(crate) struct Pump {
    decoder: Decoder,
    framing: Framing,
    /// Whether the last chunk has been written.
    closed: bool,
    /// Those that came with the end of a stream.
    trailers: Vec<u8>,
    /// Whether the receiver's stream was told of the end.
    ended: bool,
    /// What the receiver had no room for.
    pending: Option<(Buffer, usize)>,
    /// Whether what it took waits to be written.
    flushing: bool,
    bytes_max: u64,
    coding: Option<Box<Coded>>,
    /// What was read so far, as it came, while it is little enough to be sent twice.
    replay: Option<Buffer>,
}

/// Most of a body that is kept to be sent a second time (SPEC 4: "replay buffer bounded").
const REPLAY_BYTES_MAX: usize = 64 * 1024;

/// A body that is compressed on its way; its framing is not [`Framing::Kept`].
#[derive(Debug)]
struct Coded {
    /// None when the body has ended.
    encoder: Option<Encoder>,
    out: Vec<u8>,
    /// Bytes that came out so far.
    bytes: u64,
    _place: Place,
}

/// How far a pump came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Something moved.
    Moved,
    /// All of it.
    Done,
}

impl Pump {
    pub(crate) fn new(decoder: Decoder, framing: Framing, bytes_max: Option<u64>) -> Self {
        let bytes_max = bytes_max.unwrap_or(u64::MAX);
        Self {
            decoder,
            framing,
            closed: false,
            trailers: Vec::new(),
            ended: false,
            pending: None,
            flushing: false,
            bytes_max,
            coding: None,
            replay: None,
        }
    }

    /// The same, compressed on its way; `framing` is not [`Framing::Kept`].
    pub(crate) fn coded(
        decoder: Decoder,
        framing: Framing,
        (encoder, place): (Encoder, Place),
    ) -> Self {
        let encoder = Some(encoder);
        let coded = Coded { encoder, out: Vec::new(), bytes: 0, _place: place };
        Self { coding: Some(Box::new(coded)), ..Self::new(decoder, framing, None) }
    }

    /// Keeps what is read from now on, so that it can be sent again.
    pub(crate) fn keep_for_replay(&mut self) {
        self.replay = Some(Buffer::none());
    }

    /// What was read since [`Pump::keep_for_replay`], if it was not too much.
    pub(crate) fn take_replay(&mut self) -> Option<Buffer> {
        self.replay.take()
    }

    /// Whether the whole body has been read; what was written may still be on its way.
    pub(crate) fn is_read(&self) -> bool {
        self.decoder.is_done()
    }

    /// Whether trailers may follow payload whose length is known.
    pub(crate) fn has_end_to_come(&self) -> bool {
        self.decoder.has_end_to_come()
    }

    /// Bytes of payload that have been read.
    pub(crate) fn payload_bytes(&self) -> u64 {
        self.decoder.payload_bytes()
    }

    /// Bytes of payload for the receiver.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.coding.as_ref().map_or(self.decoder.payload_bytes(), |coded| coded.bytes)
    }

    /// Whether it is the receiver that is waited for.
    pub(crate) fn is_blocked(&self) -> bool {
        self.pending.is_some() || self.flushing
    }

    /// Takes the bytes that came together with the head; what is to be sent goes to `out`.
    /// Returns how many of them were the body's.
    pub(crate) fn start(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, PumpError> {
        self.feed(bytes, |piece| out.extend_from_slice(piece))
    }

    /// What follows the body, in lines.
    pub(crate) fn trailers(&self) -> &[u8] {
        if self.trailers.is_empty() { self.decoder.trailers() } else { &self.trailers }
    }

    /// Tells the receiver's stream that the body has ended, once it has.
    pub(crate) fn end(&mut self, to: Half<'_, '_>) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        to.with(|to| to.end_message(self.trailers()))
    }

    /// Moves some of the body on, waiting for the sender or the receiver. `rest` gets what
    /// came after the body.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Half<'_, '_>,
        to: &mut Half<'_, '_>,
        rest: &mut Vec<u8>,
    ) -> Poll<Result<Progress, PumpError>> {
        let waited = self.pending.as_ref().map_or(0, |(_, at)| *at);
        if self.poll_pending(cx, to)?.is_pending() {
            // Some of it is progress: a slow receiver is not a dead one.
            let moved = self.pending.as_ref().is_some_and(|(_, at)| *at > waited);
            return if moved { Poll::Ready(Ok(Progress::Moved)) } else { Poll::Pending };
        }
        if self.decoder.is_done() {
            self.end(*to).map_err(PumpError::Write)?;
        }
        // Nothing waits inside the connection while more is waited for.
        self.flushing = true;
        ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(PumpError::Write)?;
        self.flushing = false;
        if self.decoder.is_done() {
            return Poll::Ready(Ok(Progress::Done));
        }
        let mut pending = None;
        let source = *from;
        let read = ready!(poll_read_with(from, cx, |bytes, cx| {
            if bytes.is_empty() {
                self.trailers = source.with(|from| from.trailers());
                let end = self.decoder.finish().map_err(PumpError::from);
                return end.and_then(|()| self.feed(b"", |piece| keep(&mut pending, piece)));
            }
            let verbatim = self.framing == Framing::Kept;
            let mut failed = None;
            let used = self.feed(bytes, |piece| {
                if !verbatim {
                    // Many small pieces: gathered first, written at once.
                    keep(&mut pending, piece);
                } else if failed.is_none() {
                    failed = offer(to, cx, piece, &mut pending).err();
                }
            })?;
            self.remember(bytes.get(..used).unwrap_or_default());
            rest.extend_from_slice(bytes.get(used..).unwrap_or_default());
            if let Some(error) = failed {
                return Err(PumpError::Write(error));
            }
            Ok(used)
        }))
        .map_err(PumpError::Read)?;
        self.pending = pending;
        read?;
        if self.decoder.is_done() && self.pending.is_none() {
            self.end(*to).map_err(PumpError::Write)?;
            // Mostly at once; if not, the next poll sees to it.
            if let Poll::Ready(flushed) = Pin::new(&mut *to).poll_flush(cx) {
                return Poll::Ready(flushed.map(|()| Progress::Done).map_err(PumpError::Write));
            }
        }
        Poll::Ready(Ok(Progress::Moved))
    }

    fn remember(&mut self, bytes: &[u8]) {
        let Some(replay) = &mut self.replay else { return };
        if replay.len() + bytes.len() > REPLAY_BYTES_MAX {
            self.replay = None;
        } else {
            replay.extend_from_slice(bytes);
        }
    }

    /// Looks at `bytes` and gives what is to be sent to `send`, piece by piece; returns how many
    /// were the body's.
    fn feed(&mut self, bytes: &[u8], mut send: impl FnMut(&[u8])) -> Result<usize, PumpError> {
        let mut used = 0;
        loop {
            let input = bytes.get(used..).unwrap_or_default();
            match self.framing {
                Framing::Kept => {
                    let pass = self.decoder.pass(input)?;
                    if !pass.out.is_empty() {
                        send(pass.out);
                    }
                    used += pass.consumed;
                    if pass.done || used == bytes.len() {
                        break;
                    }
                }
                Framing::Bare | Framing::Chunked => match self.decoder.decode(input)? {
                    Step::Payload(len) => {
                        let payload = input.get(..len).unwrap_or_default();
                        match &mut self.coding {
                            Some(coded) => coded.write(payload)?,
                            None if self.framing == Framing::Chunked => chunk(payload, &mut send),
                            None => send(payload),
                        }
                        used += len;
                    }
                    Step::Framing(len) => used += len,
                    Step::More | Step::Done => break,
                },
            }
        }
        if self.decoder.payload_bytes() > self.bytes_max {
            return Err(PumpError::TooLarge);
        }
        let done = self.decoder.is_done();
        if let Some(coded) = &mut self.coding {
            // What the backend has sent so far must not wait in here for the rest.
            coded.flush(done)?;
            if !coded.out.is_empty() {
                coded.bytes += coded.out.len() as u64;
                if self.framing == Framing::Chunked {
                    chunk(&coded.out, &mut send);
                } else {
                    send(&coded.out);
                }
                coded.out.clear();
            }
        }
        if self.framing == Framing::Chunked && done && !self.closed {
            self.closed = true;
            let mut last = Vec::new();
            encode::last_chunk(&mut last, self.trailers());
            send(&last);
        }
        Ok(used)
    }

    /// Writes what the receiver had no room for before.
    fn poll_pending<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
    ) -> Result<Poll<()>, PumpError> {
        while let Some((buffer, at)) = &mut self.pending {
            let left = buffer.get(*at..).unwrap_or_default();
            if left.is_empty() {
                self.pending = None;
                break;
            }
            let n = match Pin::new(&mut *to).poll_write(cx, left) {
                Poll::Ready(written) => written.map_err(PumpError::Write)?,
                Poll::Pending => return Ok(Poll::Pending),
            };
            if n == 0 {
                return Err(PumpError::Write(io::ErrorKind::WriteZero.into()));
            }
            *at += n;
        }
        Ok(Poll::Ready(()))
    }
}

impl Coded {
    fn write(&mut self, payload: &[u8]) -> Result<(), PumpError> {
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        Ok(encoder.write(payload, &mut self.out)?)
    }

    fn flush(&mut self, done: bool) -> Result<(), PumpError> {
        if done {
            let Some(encoder) = self.encoder.take() else { return Ok(()) };
            return Ok(encoder.finish(&mut self.out)?);
        }
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        Ok(encoder.flush(&mut self.out)?)
    }
}

fn chunk(payload: &[u8], send: &mut impl FnMut(&[u8])) {
    let mut size = Vec::with_capacity(20);
    encode::chunk_size(&mut size, payload.len());
    send(&size);
    send(payload);
    send(b"\r\n");
}

/// Writes what the receiver has room for now, keeps the rest.
fn offer<W: AsyncWrite + Unpin>(
    to: &mut W,
    cx: &mut Context<'_>,
    mut piece: &[u8],
    pending: &mut Option<(Buffer, usize)>,
) -> io::Result<()> {
    while pending.is_none() && !piece.is_empty() {
        match Pin::new(&mut *to).poll_write(cx, piece) {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(n)) => piece = piece.get(n..).unwrap_or_default(),
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => break,
        }
    }
    if !piece.is_empty() {
        keep(pending, piece);
    }
    Ok(())
}

fn keep(pending: &mut Option<(Buffer, usize)>, piece: &[u8]) {
    pending.get_or_insert_with(|| (Buffer::take(), 0)).0.extend_from_slice(piece);
}
