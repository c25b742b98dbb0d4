//! QUIC streams as the h3 crate wants them. Ours and not h3-quinn, whose streams panic when
//! reading is given up while a read waits, and let a frame announce any length.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{
    self, ConnectionErrorIncoming, OpenStreams, StreamErrorIncoming, StreamId, WriteBuf,
};
use http1::{H3Guard, H3Refused, H3StreamKind};
use quinn::{ConnectionError, ReadError, VarInt, WriteError};

/// What is read from a stream at once.
const READ_BYTES_MAX: usize = 64 * 1024;
/// Pieces written at once.
const PIECES_MAX: usize = 4;

type Accepting<T> = Pin<Box<dyn Future<Output = Result<T, ConnectionError>>>>;

/// Where the requests of a connection come in.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// The sending side of the request that came last.
    latest: RefCell<Option<Rc<RefCell<Outgoing>>>>,
    /// How many came.
    begun: Cell<u32>,
    closed: Cell<bool>,
}

/// One connection.
pub(crate) struct Transport {
    quic: quinn::Connection,
    gate: Rc<Gate>,
    requests: Option<Accepting<(quinn::SendStream, quinn::RecvStream)>>,
    one_way: Option<Accepting<quinn::RecvStream>>,
    opening: Option<Accepting<quinn::SendStream>>,
}

/// Opens streams of a connection.
pub(crate) struct Opener {
    quic: quinn::Connection,
    opening: Option<Accepting<quinn::SendStream>>,
}

/// What is sent on a request's stream. Shared, so that payload can be written without a detour.
#[derive(Debug)]
pub(crate) struct Outgoing {
    stream: quinn::SendStream,
    pending: VecDeque<Bytes>,
    /// Nothing more comes; told when nothing is pending.
    finishing: bool,
    finished: bool,
    /// Given up in the middle.
    reset: bool,
    /// DATA frames without payload that came in the other direction.
    came_empty: u32,
}

/// A request's stream.
#[derive(Debug)]
pub(crate) struct RequestStream {
    out: Rc<RefCell<Outgoing>>,
    incoming: Incoming,
}

/// The sending side of a stream of one direction.
pub(crate) struct OneWay(Outgoing);

/// The receiving side of a stream.
#[derive(Debug)]
pub(crate) struct Incoming {
    stream: quinn::RecvStream,
    guard: H3Guard,
    quic: quinn::Connection,
    /// Who counts requests, on a stream of one direction.
    gate: Option<Rc<Gate>>,
    refused: Option<H3Refused>,
}

impl Gate {
    /// The sending side of the request that was accepted last, once.
    pub(crate) fn latest(&self) -> Option<Rc<RefCell<Outgoing>>> {
        self.latest.take()
    }

    /// From now on requests are rejected: their client may send them elsewhere (RFC 9114, 4.1.1).
    pub(crate) fn close(&self) {
        self.closed.set(true);
    }
}

impl Transport {
    pub(crate) fn new(quic: quinn::Connection, gate: Rc<Gate>) -> Self {
        Self { quic, gate, requests: None, one_way: None, opening: None }
    }
}

impl Outgoing {
    fn new(stream: quinn::SendStream) -> Self {
        let pending = VecDeque::new();
        Self { stream, pending, finishing: false, finished: false, reset: false, came_empty: 0 }
    }

    /// Whether something waits to be written.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes bytes to be written; [`Outgoing::poll_flush`] does it.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.pending.push_back(bytes);
        }
    }

    pub(crate) fn finish(&mut self) {
        self.finishing = true;
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        while !self.pending.is_empty() {
            let mut pieces: [Bytes; PIECES_MAX] = Default::default();
            let count = self.pending.len().min(PIECES_MAX);
            for (piece, pending) in pieces.iter_mut().zip(&self.pending) {
                *piece = pending.clone();
            }
            let pieces = pieces.get_mut(..count).unwrap_or_default();
            let written = ready!(pin!(self.stream.write_chunks(pieces)).poll(cx))?;
            let mut left = written.bytes;
            while left > 0
                && let Some(first) = self.pending.front_mut()
            {
                let len = left.min(first.len());
                first.advance(len);
                left -= len;
                if first.is_empty() {
                    self.pending.pop_front();
                }
            }
        }
        if self.finishing && !self.finished {
            self.finished = true;
            // It fails only for what is closed already.
            let _ = self.stream.finish();
        }
        Poll::Ready(Ok(()))
    }

    /// How many DATA frames without payload came: h3 says of each that the payload has ended.
    pub(crate) fn came_empty(&self) -> u32 {
        self.came_empty
    }

    /// Gives up in the middle.
    pub(crate) fn reset(&mut self, code: Code) {
        self.pending.clear();
        self.finished = true;
        self.reset = true;
        let _ = self.stream.reset(varint(code.value()));
    }

    /// Waits until the other side has all of it, or wants no more.
    pub(crate) fn stopped(&self) -> Pin<Box<dyn Future<Output = ()>>> {
        let stopped = self.stream.stopped();
        Box::pin(async move {
            let _ = stopped.await;
        })
    }

    /// Waits until the other side has all of what was finished; nothing to wait for otherwise, since
    /// nobody is told when a reset has arrived.
    pub(crate) fn heard(&self) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
        (self.finished && !self.reset).then(|| self.stopped())
    }

    fn id(&self) -> StreamId {
        stream_id(u64::from(self.stream.id()))
    }
}

/// Dropped before its end, a stream must not look as if it had one.
impl Drop for Outgoing {
    fn drop(&mut self) {
        if !self.finished {
            self.reset(Code::H3_INTERNAL_ERROR);
        }
    }
}

impl Incoming {
    fn of_request(stream: quinn::RecvStream, quic: quinn::Connection) -> Self {
        Self { stream, guard: H3Guard::new(H3StreamKind::Request), quic, gate: None, refused: None }
    }

    fn one_way(stream: quinn::RecvStream, quic: quinn::Connection, gate: Rc<Gate>) -> Self {
        let (guard, gate) = (H3Guard::new(H3StreamKind::OneWay), Some(gate));
        Self { stream, guard, quic, gate, refused: None }
    }

    fn refuse(&mut self, refused: H3Refused) -> StreamErrorIncoming {
        self.refused = Some(refused);
        // Without its control stream, a connection is of no use either (RFC 9114, 6.2.1).
        if refused.ends_connection() || self.gate.is_some() {
            tracing::debug!(client = %self.quic.remote_address(), %refused, "not HTTP/3");
            self.quic.close(varint(refused.code()), refused.to_string().as_bytes());
        } else {
            let _ = self.stream.stop(varint(refused.code()));
        }
        StreamErrorIncoming::Unknown(Box::new(refused))
    }
}

impl quic::RecvStream for Incoming {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        if let Some(refused) = self.refused {
            return Poll::Ready(Err(StreamErrorIncoming::Unknown(Box::new(refused))));
        }
        // Made anew for each poll: nothing is lost between two, and the stream stays at hand.
        let chunk = ready!(pin!(self.stream.read_chunk(READ_BYTES_MAX, true)).poll(cx));
        let chunk = chunk.map_err(read_failed)?;
        if let Some(gate) = &self.gate {
            self.guard.set_requests(gate.begun.get());
        }
        let looked_at = match &chunk {
            Some(chunk) => self.guard.take(&chunk.bytes),
            None => self.guard.end(),
        };
        if let Err(refused) = looked_at {
            return Poll::Ready(Err(self.refuse(refused)));
        }
        Poll::Ready(Ok(chunk.map(|chunk| chunk.bytes)))
    }

    fn stop_sending(&mut self, error_code: u64) {
        let _ = self.stream.stop(varint(error_code));
    }

    fn recv_id(&self) -> StreamId {
        stream_id(u64::from(self.stream.id()))
    }
}

impl quic::RecvStream for RequestStream {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        let data = ready!(self.incoming.poll_data(cx));
        self.out.borrow_mut().came_empty = self.incoming.guard.empty_payloads();
        if let (Err(_), Some(refused)) = (&data, self.incoming.refused) {
            self.out.borrow_mut().reset(Code::from(refused.code()));
        }
        Poll::Ready(data)
    }

    fn stop_sending(&mut self, error_code: u64) {
        self.incoming.stop_sending(error_code);
    }

    fn recv_id(&self) -> StreamId {
        self.incoming.recv_id()
    }
}

/// Heads and trailers come through here. They are taken at once, being bounded, and written with
/// the payload by whoever owns the stream.
impl quic::SendStream<Bytes> for RequestStream {
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.out.borrow_mut().push(whole(data));
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.out.borrow_mut().finish();
        Poll::Ready(Ok(()))
    }

    fn reset(&mut self, reset_code: u64) {
        self.out.borrow_mut().reset(Code::from(reset_code));
    }

    fn send_id(&self) -> StreamId {
        self.out.borrow().id()
    }
}

impl quic::SendStream<Bytes> for OneWay {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.0.poll_flush(cx).map_err(write_failed)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.0.push(whole(data));
        Ok(())
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.0.finish();
        self.0.poll_flush(cx).map_err(write_failed)
    }

    fn reset(&mut self, reset_code: u64) {
        self.0.reset(Code::from(reset_code));
    }

    fn send_id(&self) -> StreamId {
        self.0.id()
    }
}

impl quic::Connection<Bytes> for Transport {
    type RecvStream = Incoming;
    type OpenStreams = Opener;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Incoming, ConnectionErrorIncoming>> {
        let quic = &self.quic;
        let accept = || -> Accepting<quinn::RecvStream> {
            let quic = quic.clone();
            Box::pin(async move { quic.accept_uni().await })
        };
        let accepted = ready!(self.one_way.get_or_insert_with(accept).as_mut().poll(cx));
        self.one_way = None;
        let stream = accepted.map_err(connection_failed)?;
        let gate = Rc::clone(&self.gate);
        Poll::Ready(Ok(Incoming::one_way(stream, self.quic.clone(), gate)))
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<RequestStream, ConnectionErrorIncoming>> {
        let quic = &self.quic;
        let accept = || -> Accepting<(quinn::SendStream, quinn::RecvStream)> {
            let quic = quic.clone();
            Box::pin(async move { quic.accept_bi().await })
        };
        loop {
            let accepted = ready!(self.requests.get_or_insert_with(accept).as_mut().poll(cx));
            self.requests = None;
            let (out, mut incoming) = accepted.map_err(connection_failed)?;
            let mut out = Outgoing::new(out);
            if self.gate.closed.get() {
                let _ = incoming.stop(varint(Code::H3_REQUEST_REJECTED.value()));
                out.reset(Code::H3_REQUEST_REJECTED);
                continue;
            }
            let out = Rc::new(RefCell::new(out));
            self.gate.latest.replace(Some(Rc::clone(&out)));
            self.gate.begun.set(self.gate.begun.get().saturating_add(1));
            let incoming = Incoming::of_request(incoming, self.quic.clone());
            return Poll::Ready(Ok(RequestStream { out, incoming }));
        }
    }

    fn opener(&self) -> Opener {
        Opener { quic: self.quic.clone(), opening: None }
    }
}

impl OpenStreams<Bytes> for Transport {
    type BidiStream = RequestStream;
    type SendStream = OneWay;

    fn poll_open_bidi(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<Result<RequestStream, StreamErrorIncoming>> {
        Poll::Ready(Err(a_server_opens_none()))
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<OneWay, StreamErrorIncoming>> {
        poll_open(&self.quic, &mut self.opening, cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.quic.close(varint(code.value()), reason);
    }
}

impl OpenStreams<Bytes> for Opener {
    type BidiStream = RequestStream;
    type SendStream = OneWay;

    fn poll_open_bidi(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<Result<RequestStream, StreamErrorIncoming>> {
        Poll::Ready(Err(a_server_opens_none()))
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<OneWay, StreamErrorIncoming>> {
        poll_open(&self.quic, &mut self.opening, cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.quic.close(varint(code.value()), reason);
    }
}

fn poll_open(
    quic: &quinn::Connection,
    opening: &mut Option<Accepting<quinn::SendStream>>,
    cx: &mut Context<'_>,
) -> Poll<Result<OneWay, StreamErrorIncoming>> {
    let open = || -> Accepting<quinn::SendStream> {
        let quic = quic.clone();
        Box::pin(async move { quic.open_uni().await })
    };
    let opened = ready!(opening.get_or_insert_with(open).as_mut().poll(cx));
    *opening = None;
    let failed = |error| StreamErrorIncoming::ConnectionErrorIncoming {
        connection_error: connection_failed(error),
    };
    Poll::Ready(opened.map(|stream| OneWay(Outgoing::new(stream))).map_err(failed))
}

fn a_server_opens_none() -> StreamErrorIncoming {
    StreamErrorIncoming::Unknown("a server opens no requests".into())
}

/// All of what h3 wants to have written.
fn whole(data: impl Into<WriteBuf<Bytes>>) -> Bytes {
    let mut data: WriteBuf<Bytes> = data.into();
    data.copy_to_bytes(data.remaining())
}

pub(crate) fn varint(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

fn stream_id(id: u64) -> StreamId {
    StreamId::try_from(id).expect("an id is a variable-length integer in both")
}

fn read_failed(error: ReadError) -> StreamErrorIncoming {
    match error {
        ReadError::Reset(code) => {
            StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
        }
        ReadError::ConnectionLost(error) => StreamErrorIncoming::ConnectionErrorIncoming {
            connection_error: connection_failed(error),
        },
        error => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}

fn write_failed(error: WriteError) -> StreamErrorIncoming {
    match error {
        WriteError::Stopped(code) => {
            StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
        }
        WriteError::ConnectionLost(error) => StreamErrorIncoming::ConnectionErrorIncoming {
            connection_error: connection_failed(error),
        },
        error => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}

fn connection_failed(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into_inner() }
        }
        ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        error => ConnectionErrorIncoming::Undefined(Arc::new(error)),
    }
}
