//! A connection, in clear text or with TLS, or one stream of a connection that has many.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::h2_stream::{Arrived, H2Stream};
use crate::h3_stream::H3Stream;
use crate::head::{Ending, Message};

/// A connection to a client or to a backend.
///
/// What is written with TLS may wait inside until it is flushed: whoever writes flushes before it
/// waits for anything else. In clear text that costs nothing.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// One stream of a connection.
    H2(Box<H2Stream>),
    H3(Box<H3Stream>),
}

impl Stream {
    /// The socket underneath, if nobody else uses it.
    pub(crate) fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(tcp) => Some(tcp),
            Self::Tls(tls) => Some(tls.get_ref().0),
            Self::H2(_) | Self::H3(_) => None,
        }
    }

    /// Whether it is a stream, whose messages come in frames.
    pub(crate) fn is_message(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Tls(_) => false,
            Self::H2(_) | Self::H3(_) => true,
        }
    }

    /// The next head of a backend's answer on a stream.
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Arrived>> {
        match self {
            Self::Plain(_) | Self::Tls(_) | Self::H3(_) => {
                Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
            }
            Self::H2(stream) => stream.poll_head(cx),
        }
    }

    /// Waits for the first payload on a client's stream, or the end; whether it is the end.
    pub(crate) fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        match self {
            Self::Plain(_) | Self::Tls(_) => Poll::Ready(Ok(false)),
            Self::H2(stream) => stream.poll_begun(cx),
            Self::H3(stream) => stream.poll_begun(cx),
        }
    }

    /// Sends the head of a response on a stream.
    pub(crate) fn send_head(&mut self, message: Message, ending: Ending) -> io::Result<()> {
        match self {
            Self::Plain(_) | Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
            Self::H2(stream) => stream.send_head(message, ending),
            Self::H3(stream) => stream.send_head(message, ending),
        }
    }

    /// Sends an interim response on a stream.
    pub(crate) fn send_interim(&mut self, message: Message) -> io::Result<()> {
        match self {
            Self::Plain(_) | Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
            Self::H2(stream) => stream.send_interim(message),
            Self::H3(stream) => stream.send_interim(message),
        }
    }

    /// Ends a message, with trailers in lines. In text it has ended when its last byte is
    /// written.
    pub(crate) fn end_message(&mut self, trailers: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(_) | Self::Tls(_) => Ok(()),
            Self::H2(stream) => stream.end(trailers),
            Self::H3(stream) => stream.end(trailers),
        }
    }

    /// The trailers that came on a stream, as lines.
    pub(crate) fn trailers(&self) -> Vec<u8> {
        match self {
            Self::Plain(_) | Self::Tls(_) => Vec::new(),
            Self::H2(stream) => stream.trailers(),
            Self::H3(stream) => stream.trailers(),
        }
    }

    /// Ends in the middle of a message, so that nobody takes what was sent for all of it.
    pub(crate) fn abort(&mut self) {
        match self {
            Self::Plain(_) | Self::Tls(_) => {
                // To whom the end of the connection is the end of the body, a reset is not.
                let tcp = self.tcp().map(SockRef::from);
                let _ = tcp.map(|tcp| tcp.set_linger(Some(Duration::ZERO)));
            }
            Self::H2(stream) => stream.abort(),
            Self::H3(stream) => stream.abort(),
        }
    }

    /// Whether the other side has sent something already, as far as can be told without taking it.
    pub(crate) fn has_said_something(&self) -> bool {
        self.tcp().is_some_and(|tcp| matches!(tcp.try_read(&mut [0]), Ok(1..)))
    }

    /// Whether it never reached whoever could have worked on it.
    pub(crate) fn was_refused(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Tls(_) | Self::H3(_) => false,
            Self::H2(stream) => stream.was_refused(),
        }
    }

    /// Looks at what comes without taking it; at the bytes of a socket, whatever they mean. `Ok(0)`
    /// is the end, or a stream that was given up.
    pub(crate) fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut byte = [0];
        match self {
            Self::Plain(tcp) => tcp.poll_peek(cx, &mut ReadBuf::new(&mut byte)),
            Self::Tls(tls) => tls.get_ref().0.poll_peek(cx, &mut ReadBuf::new(&mut byte)),
            Self::H2(stream) => stream.poll_reset(cx).map(|()| Ok(0)),
            Self::H3(stream) => stream.poll_reset(cx).map(|()| Ok(0)),
        }
    }

    /// Writes all of it, and sees to it that nothing waits inside.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes).await?;
        self.flush().await
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, into),
            // An end without `close_notify` is the end all the same: how long a body is, its
            // framing says, and nothing that ends by the connection alone is trusted further.
            Self::Tls(tls) => match Pin::new(tls).poll_read(cx, into) {
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Poll::Ready(Ok(()))
                }
                read => read,
            },
            Self::H2(stream) => stream.poll_read(cx, into),
            Self::H3(stream) => stream.poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
            Self::H2(stream) => stream.poll_write(cx, bytes),
            Self::H3(stream) => stream.poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // Frames are written by whoever drives their connection.
            Self::Plain(_) | Self::H2(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
            Self::H3(stream) => stream.poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
            Self::H2(stream) => Poll::Ready(stream.end(b"")),
            Self::H3(stream) => {
                stream.end(b"")?;
                stream.poll_flush(cx)
            }
        }
    }
}

/// One connection for two parts of a task, one that reads and one that writes.
pub(crate) type Shared<'s> = RefCell<&'s mut Stream>;

/// One of the two. Borrows for as long as a poll takes and never across one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Half<'h, 's>(&'h Shared<'s>);

impl<'h, 's> Half<'h, 's> {
    pub(crate) fn new(shared: &'h Shared<'s>) -> Self {
        Self(shared)
    }

    /// As [`Stream::poll_peek`].
    pub(crate) fn poll_peek(self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_peek(cx)
    }

    /// Uses the whole of it for a moment.
    pub(crate) fn with<T>(self, use_it: impl FnOnce(&mut Stream) -> T) -> T {
        use_it(&mut self.0.borrow_mut())
    }
}

impl AsyncRead for Half<'_, '_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.borrow_mut()).poll_read(cx, into)
    }
}

impl AsyncWrite for Half<'_, '_> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut **self.0.borrow_mut()).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.borrow_mut()).poll_shutdown(cx)
    }
}
