//! Questions over connections: each with its length in front, one after the other (RFC 7766).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use catalog::View;
use door::Door;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::Transport;
use crate::bounds::{QUESTION_BYTES_MAX, TCP_IDLE, TCP_STEP};
use crate::message::code;
use crate::outcome::Became;
use crate::server::{Shared, admits};

/// For the answers that are being written when the server ends.
const GRACE: Duration = TCP_STEP;

/// Accepts until `ended` is closed, and waits for the answers that are being written.
pub(crate) async fn run<V>(door: Door, shared: Arc<Shared<V>>, mut ended: watch::Receiver<()>)
where
    V: Fn() -> Arc<View> + Send + Sync + 'static,
{
    let of_each = ended.clone();
    let attend = move |stream, peer: SocketAddr| {
        let (shared, mut ended) = (shared.clone(), of_each.clone());
        async move {
            if !shared.serves(peer.ip()) {
                shared.outcomes.count(Became::Silenced);
            } else {
                // Whatever ends a connection concerns who asked, and nobody here.
                let _ = converse(stream, peer.ip(), &shared, &mut ended).await;
            }
        }
    };
    let stop = async move { drop(ended.changed().await) };
    door.serve(stop, GRACE, attend).await;
}

async fn converse<V>(
    stream: TcpStream,
    peer: IpAddr,
    shared: &Shared<V>,
    ended: &mut watch::Receiver<()>,
) -> io::Result<()>
where
    V: Fn() -> Arc<View>,
{
    let mut stream = BufReader::with_capacity(512, stream);
    let mut question = Vec::new();
    let (mut answer, mut framed) = (Vec::new(), Vec::new());
    loop {
        let bytes = tokio::select! {
            _ = ended.changed() => return Ok(()),
            bytes = timeout(TCP_IDLE, stream.read_u16()) => usize::from(bytes??),
        };
        if !admits(shared.tcp_pace.as_ref(), peer) {
            shared.outcomes.count(Became::Silenced);
            return Ok(());
        }
        if bytes > QUESTION_BYTES_MAX {
            shared.outcomes.count(Became::Malformed);
            return Ok(());
        }
        question.resize(bytes, 0);
        timeout(TCP_STEP, stream.read_exact(&mut question)).await??;
        let view = (shared.view)();
        let code = code(&shared.zone, &view, &question, Transport::Tcp, &mut answer);
        shared.outcomes.count(code.map_or(Became::Malformed, Became::of));
        if code.is_none() {
            return Ok(());
        }
        drop(view);
        let Ok(length) = u16::try_from(answer.len()) else { return Ok(()) };
        framed.clear();
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(&answer);
        timeout(TCP_STEP, stream.get_mut().write_all(&framed)).await??;
    }
}
