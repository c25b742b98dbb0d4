//! Memory lent for the time of a request, so that an idle connection holds none.
//!
//! Per thread: a scratch space that every read goes to first, and a few buffers for what has to
//! be kept across a wait. nginx holds 0.6 KiB per idle connection; a buffer of 16 KiB in each
//! would be twenty times that (docs/PERFORMANCE.md).

use std::cell::RefCell;
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes read from a socket at once.
pub(crate) const SCRATCH_BYTES: usize = 64 * 1024;
/// What a fresh buffer holds without growing: nearly every head.
const BUFFER_BYTES: usize = 16 * 1024;
/// A buffer that grew beyond this is given back to the allocator.
const BUFFER_BYTES_KEPT_MAX: usize = 64 * 1024;
/// Buffers kept per thread.
const BUFFERS_KEPT_MAX: usize = 64;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer lent by the thread.
#[derive(Debug)]
pub(crate) struct Buffer(Vec<u8>);

impl Buffer {
    /// No buffer at all; grows like any other.
    pub(crate) const fn none() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn take() -> Self {
        let free = FREE.with_borrow_mut(Vec::pop);
        Self(free.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES)))
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0);
        if bytes.capacity() > BUFFER_BYTES_KEPT_MAX || bytes.capacity() == 0 {
            return;
        }
        bytes.clear();
        // At the end of a thread the list may be gone already; the buffer then just goes too.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < BUFFERS_KEPT_MAX {
                free.push(bytes);
            }
        });
    }
}

/// Reads once into the thread's scratch space and hands over what came, nothing at the end of
/// the stream. `take` must not read itself.
pub(crate) fn poll_read_with<S: AsyncRead + Unpin, T>(
    from: &mut S,
    cx: &mut Context<'_>,
    take: impl FnOnce(&[u8], &mut Context<'_>) -> T,
) -> Poll<io::Result<T>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut read = ReadBuf::new(scratch);
        ready!(Pin::new(from).poll_read(cx, &mut read))?;
        Poll::Ready(Ok(take(read.filled(), cx)))
    })
}

/// Waits for bytes without holding a buffer; `None` at the end of the stream.
pub(crate) async fn read_into_new<S: AsyncRead + Unpin>(
    from: &mut S,
) -> io::Result<Option<Buffer>> {
    std::future::poll_fn(|cx| poll_read_into_new(from, cx)).await
}

/// As [`read_into_new`].
pub(crate) fn poll_read_into_new<S: AsyncRead + Unpin>(
    from: &mut S,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Option<Buffer>>> {
    poll_read_with(from, cx, |bytes, _| {
        (!bytes.is_empty()).then(|| {
            let mut buffer = Buffer::take();
            buffer.extend_from_slice(bytes);
            buffer
        })
    })
}

/// Waits for bytes and appends them, at most as many as a fresh buffer holds; 0 at the end of the
/// stream. While it waits an empty buffer need not be one.
pub(crate) async fn read_into<S: AsyncRead + Unpin>(
    from: &mut S,
    buffer: &mut Buffer,
) -> io::Result<usize> {
    std::future::poll_fn(|cx| {
        SCRATCH.with_borrow_mut(|scratch| {
            let scratch = scratch.get_mut(..BUFFER_BYTES).unwrap_or_default();
            let mut read = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *from).poll_read(cx, &mut read))?;
            let bytes = read.filled();
            if buffer.capacity() == 0 && !bytes.is_empty() {
                *buffer = Buffer::take();
            }
            buffer.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        })
    })
    .await
}
