//! A client's connection: quiet most of its life, busy in bursts.
//!
//! While it is quiet it is one small task without a buffer. The state that a request needs is a
//! few kilobytes; it is made when the first byte comes and let go when nothing has come for a
//! moment.

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::TcpStream;

use crate::buffers::read_into_new;
use crate::exchange::{self, After};
use crate::identity::Client;
use crate::worker::Worker;

/// Serves a connection to its end.
pub(crate) async fn serve(worker: &Rc<Worker>, mut stream: TcpStream, peer: SocketAddr, port: u16) {
    // A connection that never says anything gets the time of a head, an old one more.
    let mut patience = worker.shared.config.header_timeout;
    loop {
        let first = tokio::time::timeout(patience, read_into_new(&mut stream)).await;
        let Ok(Ok(Some(input))) = first else { return };
        let client = Client::new(peer, port, worker.is_trusted(peer));
        match Box::pin(exchange::burst(worker, &mut stream, client, input)).await {
            After::Quiet => patience = worker.shared.config.idle_timeout,
            After::Close => return,
        }
    }
}
