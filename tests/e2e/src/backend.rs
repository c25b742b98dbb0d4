//! A small HTTP/1.1 server that says its name.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Answers every request with its name and what it was asked; keeps connections open.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    name: String,
    /// How long an answer takes.
    delay: Duration,
    requests: AtomicUsize,
    stopped: AtomicBool,
    /// Open connections, to be cut when it stops.
    open: Mutex<Vec<TcpStream>>,
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
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(State {
            name: name.to_owned(),
            delay,
            requests: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            open: Mutex::new(Vec::new()),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let _ = serve(stream, &shared);
                });
            }
        });
        Self { address, state }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests answered, health checks not counted.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        // Wakes the accept loop.
        drop(TcpStream::connect(self.address));
        if let Ok(open) = self.state.open.lock() {
            for stream in open.iter() {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

fn serve(stream: TcpStream, state: &State) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    if let Ok(mut open) = state.open.lock() {
        open.push(stream.try_clone()?);
    }
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        let mut length = 0;
        loop {
            let at = head.len();
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
            let line = head[at..].trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
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
}
