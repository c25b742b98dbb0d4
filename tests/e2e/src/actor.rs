//! A backend that plays what a test tells it to.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its head, without the blank line.
    pub head: String,
    /// Its body, by its length.
    pub body: Vec<u8>,
    /// How many came before it, health checks not counted.
    pub number: usize,
}

impl Asked {
    /// Whether proxyd asks for itself.
    pub fn is_check(&self) -> bool {
        self.head.contains("User-Agent: proxyd-health")
    }

    /// The target.
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

/// What it does about one.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers with this status, these fields (`Name: value\r\n` each) and this body.
    Answer(u16, &'static str, String),
    /// Closes without a word.
    HangUp,
    /// Says 101 and echoes until the end.
    Echo,
}

impl Act {
    /// An answer that says only this.
    pub fn say(status: u16, body: &str) -> Self {
        Self::Answer(status, "", body.to_owned())
    }
}

type Role = dyn Fn(&Asked) -> Act + Send + Sync;

/// A backend with a role; a thread per connection.
#[derive(Debug)]
pub struct Actor {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    role: Box<Role>,
    requests: AtomicUsize,
    checks: AtomicUsize,
    now: AtomicUsize,
    peak: AtomicUsize,
    stopped: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("requests", &self.requests).finish_non_exhaustive()
    }
}

impl Actor {
    /// Listens on a free port.
    pub fn start(role: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", role)
    }

    /// One whose health checks always pass, and that answers everything else with its name.
    pub fn named(name: &'static str) -> Self {
        Self::start(move |_| Act::say(200, name))
    }

    /// Listens there.
    ///
    /// # Panics
    ///
    /// When somebody else does.
    pub fn start_at(address: &str, role: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let zero = || AtomicUsize::new(0);
        let state = Arc::new(State {
            role: Box::new(role),
            requests: zero(),
            checks: zero(),
            now: zero(),
            peak: zero(),
            stopped: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || drop(play(stream, &shared)));
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

    /// Requests that arrived, health checks not counted.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Health checks that arrived.
    pub fn checks(&self) -> usize {
        self.state.checks.load(Ordering::SeqCst)
    }

    /// The most requests that were here at a time.
    pub fn peak(&self) -> usize {
        self.state.peak.load(Ordering::SeqCst)
    }
}

impl Drop for Actor {
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

fn play(stream: TcpStream, state: &State) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    if let Ok(mut open) = state.open.lock() {
        open.push(stream.try_clone()?);
    }
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader, state)? {
        let at_once = state.now.fetch_add(1, Ordering::SeqCst) + 1;
        if !asked.is_check() {
            state.peak.fetch_max(at_once, Ordering::SeqCst);
        }
        let act = (state.role)(&asked);
        state.now.fetch_sub(1, Ordering::SeqCst);
        match act {
            Act::Answer(status, fields, body) => {
                let length = body.len();
                let text = format!(
                    "HTTP/1.1 {status} -\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
                );
                writer.write_all(text.as_bytes())?;
            }
            Act::HangUp => return writer.shutdown(Shutdown::Both),
            Act::Echo => {
                writer.write_all(
                    b"HTTP/1.1 101 -\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
                )?;
                std::io::copy(&mut reader, &mut writer)?;
                return writer.shutdown(Shutdown::Both);
            }
        }
    }
    Ok(())
}

fn read(reader: &mut impl BufRead, state: &State) -> std::io::Result<Option<Asked>> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let at = head.len();
        if reader.read_line(&mut head)? == 0 {
            return Ok(None);
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
    let mut asked = Asked { head, body, number: 0 };
    let counter = if asked.is_check() { &state.checks } else { &state.requests };
    asked.number = counter.fetch_add(1, Ordering::SeqCst);
    Ok(Some(asked))
}
