//! A backend that plays what a test tells it to.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::client::{field, read_head};
use crate::server::{FREE, Server};
use crate::websocket::accept;

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
    server: Server,
    state: Arc<State>,
}

struct State {
    role: Box<Role>,
    requests: AtomicUsize,
    checks: AtomicUsize,
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("requests", &self.requests).finish_non_exhaustive()
    }
}

impl Actor {
    /// Listens on a free port.
    pub fn start(role: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        Self::start_at(FREE, role)
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
        let zero = || AtomicUsize::new(0);
        let state = Arc::new(State {
            role: Box::new(role),
            requests: zero(),
            checks: zero(),
            now: zero(),
            peak: zero(),
        });
        let shared = Arc::clone(&state);
        let server = Server::start(address, move |stream| drop(play(stream, &shared)));
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

fn play(stream: TcpStream, state: &State) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
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
                let key = field(&asked.head, "sec-websocket-key").unwrap_or_default();
                let text = format!(
                    "HTTP/1.1 101 -\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Accept: {}\r\n\r\n",
                    accept(key)
                );
                writer.write_all(text.as_bytes())?;
                std::io::copy(&mut reader, &mut writer)?;
                return writer.shutdown(Shutdown::Both);
            }
        }
    }
    Ok(())
}

fn read(reader: &mut impl BufRead, state: &State) -> std::io::Result<Option<Asked>> {
    let Some(head) = read_head(reader)? else { return Ok(None) };
    let length = field(&head, "content-length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let mut asked = Asked { head, body, number: 0 };
    let counter = if asked.is_check() { &state.checks } else { &state.requests };
    asked.number = counter.fetch_add(1, Ordering::SeqCst);
    Ok(Some(asked))
}
