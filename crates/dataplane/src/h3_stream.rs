//! One request's stream of an HTTP/3 connection: payload alone in both directions.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::server::RequestStream as H3RequestStream;
use tokio::io::ReadBuf;

use crate::bounds::PIECE_BYTES_MAX;
use crate::h3_transport::{Outgoing, RequestStream};
use crate::head::{Ending, Message, trailer_lines, trailers};

/// The type and the longest length of a DATA frame (RFC 9114, 7.2.1).
const FRAME_HEAD_BYTES_MAX: usize = 9;

/// One stream.
pub(crate) struct H3Stream {
    request: H3RequestStream<RequestStream, Bytes>,
    out: Rc<RefCell<Outgoing>>,
    /// The rest of the last piece.
    came: Bytes,
    /// Payload that its head announced and that has not come yet.
    expected: Option<u64>,
    received: bool,
    /// DATA frames without payload that h3 took for the end.
    empty: u32,
    trailers: Vec<u8>,
    /// Whether the final head was sent.
    answered: bool,
    /// How what is sent ends.
    ending: Ending,
    ended: bool,
    stopped: Stopped,
}

/// Whether the client wants no answer any more.
enum Stopped {
    /// Nobody has asked.
    Unknown,
    Waiting(Pin<Box<dyn Future<Output = ()>>>),
    Yes,
}

impl std::fmt::Debug for H3Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H3Stream").field("out", &self.out).finish_non_exhaustive()
    }
}

impl H3Stream {
    /// `expected` is how much payload the head says that there is.
    pub(crate) fn new(
        request: H3RequestStream<RequestStream, Bytes>,
        out: Rc<RefCell<Outgoing>>,
        expected: Option<u64>,
    ) -> Self {
        Self {
            request,
            out,
            came: Bytes::new(),
            expected,
            received: false,
            empty: 0,
            trailers: Vec::new(),
            answered: false,
            ending: Ending::Told,
            ended: false,
            stopped: Stopped::Unknown,
        }
    }

    pub(crate) fn send_head(&mut self, message: Message, ending: Ending) -> io::Result<()> {
        self.answered = true;
        self.ending = ending;
        now(self.request.send_response(message.into_response()))?;
        if ending == Ending::Now { self.end(b"") } else { Ok(()) }
    }

    pub(crate) fn send_interim(&mut self, message: Message) -> io::Result<()> {
        if self.answered {
            return Ok(());
        }
        now(self.request.send_response(message.into_response()))
    }

    /// The trailers that came, as lines.
    pub(crate) fn trailers(&self) -> Vec<u8> {
        self.trailers.clone()
    }

    /// Whether the client has given the stream up.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ended {
            return Poll::Pending;
        }
        loop {
            match &mut self.stopped {
                Stopped::Unknown => {
                    let stopped = self.out.borrow().stopped();
                    self.stopped = Stopped::Waiting(stopped);
                }
                Stopped::Waiting(stopped) => {
                    ready!(stopped.as_mut().poll(cx));
                    self.stopped = Stopped::Yes;
                }
                Stopped::Yes => return Poll::Ready(()),
            }
        }
    }

    pub(crate) fn abort(&mut self) {
        self.ended = true;
        self.out.borrow_mut().reset(Code::H3_INTERNAL_ERROR);
    }

    /// Ends what is sent; to be flushed.
    pub(crate) fn end(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.ended || !self.answered {
            return Ok(());
        }
        self.ended = true;
        if !lines.is_empty() {
            now(self.request.send_trailers(trailers(lines)))?;
        }
        self.out.borrow_mut().finish();
        Ok(())
    }

    /// Waits for the first payload or the end; whether it is the end.
    pub(crate) fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.came.is_empty() && !self.received {
            let piece = ready!(self.request.poll_recv_data(cx)).map_err(io::Error::other)?;
            match piece {
                Some(mut piece) => {
                    let len = piece.remaining();
                    if let Some(expected) = &mut self.expected {
                        let left = expected.checked_sub(len as u64);
                        *expected = left.ok_or_else(malformed)?;
                    }
                    self.came = piece.copy_to_bytes(len);
                }
                None if self.empty < self.out.borrow().came_empty() => self.empty += 1,
                None => {
                    let fields = ready!(self.request.poll_recv_trailers(cx));
                    if let Some(fields) = fields.map_err(io::Error::other)? {
                        self.trailers = trailer_lines(&fields)?;
                    }
                    self.received = true;
                }
            }
        }
        Poll::Ready(Ok(self.came.is_empty()))
    }

    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if ready!(self.poll_begun(cx))? {
            if self.expected.is_some_and(|expected| expected > 0) {
                return Poll::Ready(Err(malformed()));
            }
            return Poll::Ready(Ok(()));
        }
        let len = self.came.len().min(into.remaining());
        into.put_slice(self.came.get(..len).unwrap_or_default());
        self.came.advance(len);
        Poll::Ready(Ok(()))
    }

    /// Takes a piece once the one before is written.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.ended || !self.answered {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut out = self.out.borrow_mut();
        // A head waits for the first piece, so that both go together.
        let fits = matches!(self.ending, Ending::After(left) if left >= bytes.len() as u64);
        if !fits && out.is_blocked() {
            ready!(out.poll_flush(cx)).map_err(io::Error::other)?;
        }
        let len = bytes.len().min(PIECE_BYTES_MAX);
        out.push(data_frame(bytes.get(..len).unwrap_or_default()));
        if self.ending.counts_down(len) {
            self.ended = true;
            out.finish();
        }
        match out.poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(io::Error::other(error))),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(len)),
        }
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.out.borrow_mut().poll_flush(cx).map_err(io::Error::other)
    }
}

/// A client may still be sending what nobody reads any more (RFC 9114, 4.1).
impl Drop for H3Stream {
    fn drop(&mut self) {
        if !self.received {
            self.request.stop_sending(Code::H3_NO_ERROR);
        }
    }
}

fn data_frame(payload: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(payload.len() + FRAME_HEAD_BYTES_MAX);
    frame.push(0);
    match payload.len() {
        // A variable-length integer of one, two or four bytes (RFC 9000, 16).
        len @ 0..0x40 => frame.push(len as u8),
        len @ 0x40..0x4000 => frame.extend_from_slice(&(len as u16 | 0x4000).to_be_bytes()),
        len => frame.extend_from_slice(&(len as u32 | 0x8000_0000).to_be_bytes()),
    }
    frame.extend_from_slice(payload);
    frame.into()
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// Lets h3 write what goes into memory at once.
fn now<T>(write: impl Future<Output = Result<T, h3::error::StreamError>>) -> io::Result<T> {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(write).poll(&mut cx) {
        Poll::Ready(written) => written.map_err(io::Error::other),
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_say_how_long_they_are() {
        for (len, head) in [
            (1, &[0, 1][..]),
            (63, &[0, 63]),
            (64, &[0, 0x40, 64]),
            (16_383, &[0, 0x7f, 0xff]),
            (16_384, &[0, 0x80, 0, 0x40, 0]),
        ] {
            let frame = data_frame(&vec![7; len]);
            assert!(frame.starts_with(head) && frame.len() == head.len() + len, "{len}");
        }
    }
}
