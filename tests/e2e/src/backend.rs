//! A small HTTP/1.1 server that says its name.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::client::{field, read_head};
use crate::server::{FREE, Server};

/// Answers every request with its name and what it was asked; keeps connections open.
#[derive(Debug)]
pub struct Backend {
    server: Server,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    name: String,
    /// How long an answer takes.
    delay: Duration,
    requests: AtomicUsize,
}

impl Backend {
    /// Listens on a free port.
    pub fn start(name: &str) -> Self {
        Self::start_slow(name, Duration::ZERO)
    }

    /// One that thinks for a while before it answers.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub fn start_slow(name: &str, delay: Duration) -> Self {
        let state = Arc::new(State { name: name.to_owned(), delay, requests: AtomicUsize::new(0) });
        let shared = Arc::clone(&state);
        let server = Server::start(FREE, move |stream| drop(serve(stream, &shared)));
        Self { server, state }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Requests answered, health checks not counted.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }
}

fn serve(stream: TcpStream, state: &State) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(head) = read_head(&mut reader)? {
        let length = field(&head, "content-length").and_then(|length| length.parse().ok());
        reader.read_exact(&mut vec![0; length.unwrap_or(0)])?;
        if head.contains("User-Agent: proxyd-health") {
            writer.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
            continue;
        }
        state.requests.fetch_add(1, Ordering::SeqCst);
        thread::sleep(state.delay);
        let said = format!("{}\n{head}", state.name);
        let (length, name) = (said.len(), &state.name);
        // An answer to HEAD ends with its head.
        let body = if head.starts_with("HEAD ") { "" } else { &said };
        write!(
            writer,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX-Backend: {name}\r\n\r\n{body}"
        )?;
    }
    Ok(())
}
