//! A backend that is deployed: it says its version, echoes WebSocket messages, warms up and drains.

use std::io::{BufReader, Read, Result, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::client::{field, read_head};
use crate::server::{FREE, Server};
use crate::websocket::{ACCEPT, BINARY, CLOSE, Frame, GOING_AWAY, KEY, Side};

/// How many health checks it fails before it is warm.
const COLD_CHECKS: usize = 1;

/// One running version. Its health checks are those for `/health`.
#[derive(Debug)]
pub struct Release {
    server: Server,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    version: String,
    checks: AtomicUsize,
    /// Requests and handshakes that came before it was warm.
    early: AtomicUsize,
    draining: AtomicBool,
    /// It was told that nothing more will come.
    permitted: AtomicBool,
    /// Requests, handshakes and messages that came all the same.
    late: AtomicUsize,
}

impl Release {
    /// Listens on a free port.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn start(version: &str) -> Self {
        let state = Arc::new(State {
            version: version.to_owned(),
            checks: AtomicUsize::new(0),
            early: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            permitted: AtomicBool::new(false),
            late: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        let server = Server::start(FREE, move |stream| shared.serve(stream));
        Self { server, state }
    }

    /// What it answers.
    pub fn version(&self) -> &str {
        &self.state.version
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Closes WebSocket connections from now on, each after its next message.
    pub fn drain(&self) {
        self.state.draining.store(true, Ordering::SeqCst);
    }

    /// It may go: what still comes is counted by [`Self::late`].
    pub fn permit(&self) {
        self.state.permitted.store(true, Ordering::SeqCst);
    }

    /// How much came before a health check passed.
    pub fn early(&self) -> usize {
        self.state.early.load(Ordering::SeqCst)
    }

    /// How much came after it was permitted to go.
    pub fn late(&self) -> usize {
        self.state.late.load(Ordering::SeqCst)
    }
}

impl State {
    fn serve(&self, stream: TcpStream) {
        let _ = self.answer_all(&mut BufReader::new(stream));
    }

    fn answer_all(&self, stream: &mut BufReader<TcpStream>) -> Result<()> {
        stream.get_ref().set_nodelay(true)?;
        while let Some(head) = read_head(stream)? {
            if head.starts_with("GET /health ") {
                let passes = self.checks.fetch_add(1, Ordering::SeqCst) >= COLD_CHECKS;
                let answer =
                    if passes { "204 No Content" } else { "500 Cold\r\nContent-Length: 0" };
                write!(stream.get_mut(), "HTTP/1.1 {answer}\r\n\r\n")?;
                continue;
            }
            self.count();
            if field(&head, "upgrade").is_some() {
                return self.echo(stream, &head);
            }
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}",
                self.version.len(),
                self.version
            );
            stream.get_mut().write_all(answer.as_bytes())?;
        }
        Ok(())
    }

    fn count(&self) {
        if self.checks.load(Ordering::SeqCst) <= COLD_CHECKS {
            self.early.fetch_add(1, Ordering::SeqCst);
        }
        if self.permitted.load(Ordering::SeqCst) {
            self.late.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn echo(&self, stream: &mut BufReader<TcpStream>, head: &str) -> Result<()> {
        let accept = if field(head, "sec-websocket-key") == Some(KEY) { ACCEPT } else { "unknown" };
        write!(
            stream.get_mut(),
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )?;
        loop {
            let frame = Frame::read(stream, Side::Client)?;
            self.count();
            if frame.opcode == CLOSE {
                return frame.write(stream.get_mut(), None);
            }
            frame.write(stream.get_mut(), None)?;
            if self.draining.load(Ordering::SeqCst) {
                return close(stream);
            }
        }
    }
}

/// Closes first, and waits for the other side's close.
fn close(stream: &mut BufReader<TcpStream>) -> Result<()> {
    let frame = Frame { opcode: CLOSE, payload: GOING_AWAY.to_vec() };
    frame.write(stream.get_mut(), None)?;
    while Frame::read(stream, Side::Client)?.opcode == BINARY {}
    stream.get_ref().shutdown(Shutdown::Write)?;
    stream.read(&mut [0]).map(|_| ())
}
