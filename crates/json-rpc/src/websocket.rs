//! A WebSocket: messages one after the other.
//!
//! The next message is read when the last one is answered, so nobody makes us keep more than one.

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::connection::Shared;
use crate::dialog::Transport;
use crate::error;

/// Requests are short, and there may be many connections.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// The peer is gone, or too slow.
struct Gone;

/// Answers until the peer has gone or proxyd ends.
pub(crate) async fn talk<S>(stream: S, shared: &Shared)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let bytes_max = shared.dialog.bounds.message_bytes_max;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(Some(bytes_max))
        .max_frame_size(Some(bytes_max));
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    loop {
        let message = tokio::select! {
            biased;
            () = shared.end.cancelled() => {
                return close(&mut socket, shared, CloseCode::Away, "proxyd is ending").await;
            }
            message = socket.next() => message,
        };
        let done = match message {
            Some(Ok(Message::Text(text))) => answer(&mut socket, shared, &text).await,
            Some(Ok(Message::Binary(bytes))) => match std::str::from_utf8(&bytes) {
                Ok(text) => answer(&mut socket, shared, text).await,
                Err(error) => {
                    let error = error::Error::parse(error.to_string());
                    say(&mut socket, shared, shared.dialog.failed(None, &error)).await
                }
            },
            // Pongs and the answer to Close are written by the next read.
            Some(Ok(
                Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_),
            )) => Ok(()),
            Some(Err(Error::Capacity(_))) => {
                // The rest of it would be read as frames.
                let error = shared.dialog.failed(None, &error::Error::oversized(bytes_max));
                if say(&mut socket, shared, error).await.is_ok() {
                    let reason = "the message is too big";
                    close(&mut socket, shared, CloseCode::Size, reason).await;
                }
                return;
            }
            Some(Err(Error::Utf8(_))) => {
                let reason = "a text must be UTF-8";
                return close(&mut socket, shared, CloseCode::Invalid, reason).await;
            }
            Some(Err(Error::Protocol(_))) => {
                let reason = "against RFC 6455";
                return close(&mut socket, shared, CloseCode::Protocol, reason).await;
            }
            Some(Err(_)) | None => return,
        };
        if let Err(Gone) = done {
            return;
        }
    }
}

async fn answer<S>(socket: &mut WebSocketStream<S>, shared: &Shared, text: &str) -> Result<(), Gone>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answer = shared.dialog.answer(text, Transport::WebSocket).await;
    if let Some(text) = answer.text {
        say(socket, shared, text).await?;
    }
    for subscription in answer.subscriptions {
        for notification in shared.dialog.notifications(subscription).await {
            say(socket, shared, notification).await?;
        }
    }
    Ok(())
}

async fn say<S>(socket: &mut WebSocketStream<S>, shared: &Shared, text: String) -> Result<(), Gone>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let saying = socket.send(Message::Text(text.into()));
    match timeout(shared.dialog.bounds.write_timeout, saying).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Gone),
        Err(_) => {
            tracing::debug!("a JSON-RPC client does not read its answers");
            Err(Gone)
        }
    }
}

async fn close<S>(
    socket: &mut WebSocketStream<S>,
    shared: &Shared,
    code: CloseCode,
    reason: &'static str,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
    let closing = async {
        if socket.close(Some(frame)).await.is_ok() {
            // What is on its way is let go of, so that the peer gets to read the reason.
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    drop(timeout(shared.dialog.bounds.end_timeout, closing).await);
}
