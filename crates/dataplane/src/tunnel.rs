//! After the 101: bytes both ways until both ends are done (SPEC 6).

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use runtime::Clock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;

use crate::buffers::{Buffer, poll_read_with};
use crate::stream::{Half, Shared, Stream};

/// How long one side may go on after the other has ended: a WebSocket that is closed on one side
/// is over (RFC 6455, 7.1.1), and an instance that drains waits for its tunnels.
const HALF_OPEN_MAX: Duration = Duration::from_secs(10);

/// Joins two connections until both directions have ended or one has failed. While both are open
/// there is no time limit: a chat may be silent all night, and TCP keepalive finds peers that are
/// gone.
pub(crate) async fn join(
    clock: Clock,
    client: &mut Stream,
    backend: &mut Stream,
) -> io::Result<()> {
    let mut alone: Option<Pin<Box<Sleep>>> = None;
    let (client, backend) = (Shared::new(client), Shared::new(backend));
    let (mut client_read, mut client_write) = (Half::new(&client), Half::new(&client));
    let (mut backend_read, mut backend_write) = (Half::new(&backend), Half::new(&backend));
    let (mut up, mut down) = (Way::default(), Way::default());
    poll_fn(|cx| {
        let up = up.poll(cx, &mut client_read, &mut backend_write)?;
        let down = down.poll(cx, &mut backend_read, &mut client_write)?;
        match (up, down) {
            (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            (Poll::Pending, _) | (_, Poll::Pending) => {
                let end = || Box::pin(clock.timer(clock.mono().after(HALF_OPEN_MAX)));
                alone.get_or_insert_with(end).as_mut().poll(cx).map(Ok)
            }
        }
    })
    .await
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    /// What the receiver had no room for.
    pending: Option<(Buffer, usize)>,
    ended: bool,
    shut: bool,
}

impl Way {
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> io::Result<Poll<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        match self.poll_inner(cx, from, to) {
            Poll::Ready(Ok(())) => Ok(Poll::Ready(())),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(Poll::Pending),
        }
    }

    fn poll_inner<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            if let Some((buffer, at)) = &mut self.pending {
                let left = buffer.get(*at..).unwrap_or_default();
                if left.is_empty() {
                    self.pending = None;
                    continue;
                }
                let n = ready!(Pin::new(&mut *to).poll_write(cx, left))?;
                if n == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                *at += n;
                continue;
            }
            ready!(Pin::new(&mut *to).poll_flush(cx))?;
            if self.ended {
                if !self.shut {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.shut = true;
                }
                return Poll::Ready(Ok(()));
            }
            let pending = ready!(poll_read_with(from, cx, |bytes, cx| {
                if bytes.is_empty() {
                    self.ended = true;
                    return Ok(None);
                }
                // Mostly there is room, and nothing has to be kept.
                let n = match Pin::new(&mut *to).poll_write(cx, bytes) {
                    Poll::Ready(n) => n?,
                    Poll::Pending => 0,
                };
                let left = bytes.get(n..).unwrap_or_default();
                Ok::<_, io::Error>((!left.is_empty()).then(|| {
                    let mut buffer = Buffer::take();
                    buffer.extend_from_slice(left);
                    (buffer, 0)
                }))
            }))?;
            self.pending = pending?;
        }
    }
}
