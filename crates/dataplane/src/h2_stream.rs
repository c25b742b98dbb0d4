//! One stream of an HTTP/2 connection, a client's or a backend's: payload alone in both
//! directions, since where it ends the frames say.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use tokio::io::ReadBuf;

use crate::bounds::PIECE_BYTES_MAX;
use crate::h2_client::Sharing;
use crate::head::{Ending, Message, trailer_lines, trailers};

/// One stream.
#[derive(Debug)]
pub(crate) struct H2Stream {
    sending: Sending,
    receiving: Option<RecvStream>,
    /// Of a backend's, until its response is here.
    response: Option<ResponseFuture>,
    /// The rest of the last piece.
    came: Bytes,
    trailers: Vec<u8>,
    /// How what is sent ends.
    ending: Ending,
    /// The other side never looked at it (RFC 9113, 8.7).
    refused: bool,
    /// Its place on a backend's connection.
    place: Option<Sharing>,
}

/// What can be sent next.
#[derive(Debug)]
enum Sending {
    /// Interim responses, and the final one.
    Head(SendResponse<Bytes>),
    Body(SendStream<Bytes>),
    Nothing,
}

/// A response's head on a backend's stream.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) head: http::response::Parts,
    /// Whether the stream ended with it.
    pub(crate) ended: bool,
}

impl H2Stream {
    /// A request's, of a client.
    pub(crate) fn of_client(receiving: RecvStream, respond: SendResponse<Bytes>) -> Self {
        Self::new(Sending::Head(respond), Some(receiving), None, Ending::Told)
    }

    /// A request's, for a backend.
    pub(crate) fn of_backend(
        place: Sharing,
        response: ResponseFuture,
        body: SendStream<Bytes>,
        ending: Ending,
    ) -> Self {
        let sending = if ending == Ending::Now { Sending::Nothing } else { Sending::Body(body) };
        Self { place: Some(place), ..Self::new(sending, None, Some(response), ending) }
    }

    fn new(
        sending: Sending,
        receiving: Option<RecvStream>,
        response: Option<ResponseFuture>,
        ending: Ending,
    ) -> Self {
        let came = Bytes::new();
        Self {
            sending,
            receiving,
            response,
            came,
            trailers: Vec::new(),
            ending,
            refused: false,
            place: None,
        }
    }

    /// Whether the other side has said that it never looked at the request.
    pub(crate) fn was_refused(&self) -> bool {
        self.refused
    }

    /// Sends the head of a response.
    pub(crate) fn send_head(&mut self, message: Message, ending: Ending) -> io::Result<()> {
        let Sending::Head(mut respond) = std::mem::replace(&mut self.sending, Sending::Nothing)
        else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        self.ending = ending;
        let ended = ending == Ending::Now;
        let body = respond.send_response(message.into_response(), ended).map_err(failed)?;
        if !ended {
            self.sending = Sending::Body(body);
        }
        Ok(())
    }

    /// Sends an interim response.
    pub(crate) fn send_interim(&mut self, message: Message) -> io::Result<()> {
        match &mut self.sending {
            Sending::Head(respond) => {
                respond.send_informational(message.into_response()).map_err(failed)
            }
            Sending::Body(_) | Sending::Nothing => Ok(()),
        }
    }

    /// The next head of a backend's answer: interim ones, then the final one.
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Arrived>> {
        let Some(response) = &mut self.response else {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        };
        if let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
            let (head, ()) = interim.into_parts();
            return Poll::Ready(Ok(Arrived { head, ended: false }));
        }
        let response = ready!(Pin::new(response).poll(cx));
        self.response = None;
        self.tell_answered();
        let (head, body) = response.map_err(|error| self.note(error))?.into_parts();
        let ended = body.is_end_stream();
        self.receiving = Some(body);
        Poll::Ready(Ok(Arrived { head, ended }))
    }

    /// The trailers that came, as lines.
    pub(crate) fn trailers(&self) -> Vec<u8> {
        self.trailers.clone()
    }

    /// Whether the other side has given the stream up.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sending {
            Sending::Head(respond) => respond.poll_reset(cx).map(drop),
            Sending::Body(body) => body.poll_reset(cx).map(drop),
            Sending::Nothing => Poll::Pending,
        }
    }

    /// Gives the stream up in the middle.
    pub(crate) fn abort(&mut self) {
        match &mut self.sending {
            Sending::Head(respond) => respond.send_reset(Reason::INTERNAL_ERROR),
            Sending::Body(body) => body.send_reset(Reason::INTERNAL_ERROR),
            Sending::Nothing => {}
        }
        // It was we who gave it up.
        self.sending = Sending::Nothing;
    }

    /// Ends what is sent.
    pub(crate) fn end(&mut self, lines: &[u8]) -> io::Result<()> {
        let Sending::Body(mut body) = std::mem::replace(&mut self.sending, Sending::Nothing) else {
            return Ok(());
        };
        if lines.is_empty() {
            body.send_data(Bytes::new(), true).map_err(failed)
        } else {
            body.send_trailers(trailers(lines)).map_err(failed)
        }
    }

    /// Waits for the first payload or the end; whether it is the end.
    pub(crate) fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.came.is_empty() {
            let Some(receiving) = &mut self.receiving else { return Poll::Ready(Ok(true)) };
            match ready!(receiving.poll_data(cx)) {
                Some(Ok(piece)) => {
                    self.came = piece;
                    self.tell_answered();
                }
                Some(Err(error)) => return Poll::Ready(Err(self.note(error))),
                None => {
                    let fields =
                        ready!(receiving.poll_trailers(cx)).map_err(|error| self.note(error))?;
                    self.receiving = None;
                    if let Some(fields) = fields {
                        self.trailers = trailer_lines(&fields)?;
                    }
                }
            }
        }
        Poll::Ready(Ok(false))
    }

    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if ready!(self.poll_begun(cx))? {
            return Poll::Ready(Ok(()));
        }
        let len = self.came.len().min(into.remaining());
        into.put_slice(self.came.get(..len).unwrap_or_default());
        self.came.advance(len);
        let Some(receiving) = &mut self.receiving else { return Poll::Ready(Ok(())) };
        // What is taken from here is on its way: the sender may send as much again.
        let released = receiving.flow_control().release_capacity(len);
        Poll::Ready(released.map_err(|error| self.note(error)))
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let Sending::Body(body) = &mut self.sending else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        body.reserve_capacity(bytes.len().min(PIECE_BYTES_MAX));
        while body.capacity() == 0 {
            match ready!(body.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(self.note(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let len = bytes.len().min(body.capacity()).min(PIECE_BYTES_MAX);
        let piece = Bytes::copy_from_slice(bytes.get(..len).unwrap_or_default());
        let ended = self.ending.counts_down(len);
        body.send_data(piece, ended).map_err(failed)?;
        if ended {
            self.sending = Sending::Nothing;
        }
        Poll::Ready(Ok(len))
    }

    fn tell_answered(&self) {
        if let Some(place) = &self.place {
            place.answered();
        }
    }

    fn note(&mut self, error: h2::Error) -> io::Error {
        self.refused |= match error.reason() {
            // After a GOAWAY, whoever waits on a stream above its last is told so.
            Some(reason) => {
                reason == Reason::REFUSED_STREAM || (error.is_go_away() && error.is_remote())
            }
            None => false,
        };
        failed(error)
    }
}

fn failed(error: h2::Error) -> io::Error {
    if error.is_io() {
        error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
    } else {
        io::Error::other(error)
    }
}
