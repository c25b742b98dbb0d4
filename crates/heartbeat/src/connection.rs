//! One connection: a request in, an answer out.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use discovery::Handle;
use telemetry::Outcomes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use wire::heartbeat::{FRAME_BYTES_MAX, decode, encode, whole};

use crate::answer::answer;
use crate::outcome::Became;

/// For a whole request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A request without an end is over when nothing more comes for that long. A lost packet is sent
/// again after a fifth of a second.
const QUIET: Duration = Duration::from_millis(500);
/// For the peer to take the answer and close.
const LINGER: Duration = Duration::from_secs(1);
/// What is read, and thrown away, behind a request: closed over unread bytes, a connection is
/// reset, and the answer is lost.
const BEHIND_BYTES_MAX: usize = 4 * FRAME_BYTES_MAX;

/// Answers one request. Who goes away meanwhile is no news: the first clients never read what a
/// heartbeat is answered.
pub(crate) async fn attend(
    mut stream: TcpStream,
    peer: SocketAddr,
    catalog: Handle,
    outcomes: Outcomes<Became>,
) {
    let request = match timeout(REQUEST_TIMEOUT, request(&mut stream)).await {
        Ok(Ok(Some(request))) => request,
        Ok(Ok(None) | Err(_)) => return outcomes.count(Became::Unread),
        Err(_) => {
            outcomes.count(Became::Unread);
            tracing::debug!(%peer, "no whole request on the heartbeat port in time");
            return;
        }
    };
    let answer = match decode(&request) {
        Ok(ask) => answer(ask, peer.ip(), &catalog).await,
        Err(answer) => {
            tracing::debug!(%peer, ?answer, "no request");
            answer
        }
    };
    outcomes.count(Became::from(&answer));
    let _ = timeout(LINGER, say(&mut stream, &encode(&answer))).await;
}

/// The request without its end; `None` from somebody who asks nothing.
async fn request(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut held = [0; FRAME_BYTES_MAX];
    let mut len = 0;
    loop {
        let room = held.get_mut(len..).unwrap_or_default();
        let read = match len {
            0 => stream.read(room).await?,
            // Silence ends a request as the end of the stream does.
            _ => timeout(QUIET, stream.read(room)).await.unwrap_or(Ok(0))?,
        };
        len += read;
        let so_far = held.get(..len).unwrap_or_default();
        if let Some(end) = whole(so_far) {
            return Ok(Some(so_far.get(..end).unwrap_or_default().to_vec()));
        }
        if read == 0 {
            return Ok((len > 0).then(|| so_far.to_vec()));
        }
    }
}

async fn say(stream: &mut TcpStream, answer: &[u8]) -> io::Result<()> {
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    let mut behind = [0; FRAME_BYTES_MAX];
    let mut read = 0;
    while read < BEHIND_BYTES_MAX {
        match stream.read(&mut behind).await? {
            0 => break,
            n => read += n,
        }
    }
    Ok(())
}
