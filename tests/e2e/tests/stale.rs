//! A backend that closes kept connections at any moment costs no request and repeats none.
//!
//! `REQUESTS=10000` in the environment sends that many, `SEED` draws the same once more.

use std::collections::BTreeMap;
use std::io::{BufReader, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use proxyd_e2e::{Client, Draw, Proxy};

const HOST: &str = "stale.example.com";
const CLIENTS: usize = 8;
/// Idle connections end within this time.
const IDLE_MAX_MICROS: u64 = 5_000;
/// A closing connection looks for a last request this long before it ends, and then no more.
const LOOK: Duration = Duration::from_micros(100);
/// Bodies are shorter.
const BODY_END: u64 = 4_096;

/// A backend that is impatient, and keeps books.
#[derive(Debug, Default)]
struct Impatient {
    /// How often each request was executed.
    executed: Mutex<BTreeMap<String, usize>>,
    /// Connections that were closed.
    closed: AtomicUsize,
    /// Those that had, or got, a request that was not read before the close.
    crossed: AtomicUsize,
}

impl Impatient {
    /// Listens on a free port, until the test ends.
    fn start(seed: u64) -> (SocketAddr, Arc<Self>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let books = Arc::new(Self::default());
        let shared = Arc::clone(&books);
        thread::spawn(move || {
            let mut seeds = Draw::new(seed);
            for stream in listener.incoming().flatten() {
                let (shared, draw) = (Arc::clone(&shared), Draw::new(seeds.any()));
                thread::spawn(move || shared.serve(stream, draw));
            }
        });
        (address, books)
    }

    fn serve(&self, stream: TcpStream, mut draw: Draw) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        while let Some((id, body)) = read_request(&mut stream)? {
            let mut executed = self.executed.lock().unwrap_or_else(PoisonError::into_inner);
            *executed.entry(id.clone()).or_default() += 1;
            drop(executed);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{id} {body}",
                id.len() + 1 + body.to_string().len()
            );
            stream.get_mut().write_all(answer.as_bytes())?;
            let patience = Duration::from_micros(draw.below(IDLE_MAX_MICROS));
            if !is_asked_within(stream.get_ref(), patience)? {
                return self.close(stream.into_inner(), draw.below(2) == 0);
            }
        }
        Ok(())
    }

    /// Ends the connection with a FIN, and reads nothing of what comes now or came before.
    fn close(&self, mut stream: TcpStream, lingers: bool) -> Result<()> {
        stream.shutdown(Shutdown::Write)?;
        self.closed.fetch_add(1, Ordering::SeqCst);
        if !lingers {
            stream.set_nonblocking(true)?;
        }
        if matches!(stream.read(&mut [0]), Ok(1..)) {
            self.crossed.fetch_add(1, Ordering::SeqCst);
        }
        while lingers && stream.read(&mut [0; 4096])? > 0 {}
        Ok(())
    }
}

/// Whether a request comes in time. One that comes at the very end is not noticed any more.
#[expect(clippy::disallowed_methods, reason = "these tests run in real time")]
fn is_asked_within(stream: &TcpStream, patience: Duration) -> Result<bool> {
    let until = Instant::now() + patience;
    stream.set_nonblocking(true)?;
    while Instant::now() < until {
        match stream.peek(&mut [0]) {
            Ok(_) => return stream.set_nonblocking(false).map(|()| true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(LOOK),
            Err(error) => return Err(error),
        }
    }
    stream.set_nonblocking(false).map(|()| false)
}

/// The id and the length of the body of the next request.
fn read_request(stream: &mut BufReader<TcpStream>) -> Result<Option<(String, usize)>> {
    let Some(head) = proxyd_e2e::read_head(stream)? else { return Ok(None) };
    let field = |name| proxyd_e2e::field(&head, name).unwrap_or_default();
    let length = field("content-length").parse().unwrap_or(0);
    stream.read_exact(&mut vec![0; length])?;
    Ok(Some((field("x-id").to_owned(), length)))
}

/// How a client sends a request with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writes {
    /// With one write.
    Whole,
    /// The head with one write, the body with another: as most HTTP libraries do.
    Apart,
}

/// Sends so many requests and returns what went wrong.
fn ask(
    http: SocketAddr,
    first: usize,
    count: usize,
    writes: Writes,
    mut draw: Draw,
) -> Vec<String> {
    let mut client = Client::new(http);
    let mut faults = Vec::new();
    for number in first..first + count {
        let length = if number % 2 == 0 { 0 } else { draw.below(BODY_END) as usize };
        let (verb, id) = if number % 2 == 0 {
            ("GET", format!("get-{number}"))
        } else {
            ("POST", format!("post-{number}"))
        };
        let mut request = format!("{verb} /{number} HTTP/1.1\r\nHost: {HOST}\r\nX-Id: {id}\r\n");
        if verb == "POST" {
            request += &format!("Content-Length: {length}\r\n");
        }
        let (head, body) = ((request + "\r\n").into_bytes(), draw.bytes(length));
        let answer = match writes {
            Writes::Whole => client.ask(&[head, body].concat()),
            Writes::Apart => client.ask_in_parts(&[&head, &body]),
        };
        match answer {
            Ok(reply) if reply.status == 200 && reply.text() == format!("{id} {length}") => {}
            Ok(reply) => faults.push(format!("{id}: {} {}", reply.status, reply.text())),
            Err(error) => faults.push(format!("{id}: {error}")),
        }
        // Some connections idle as long as the backend keeps them, most not at all.
        if draw.below(4) == 0 {
            thread::sleep(Duration::from_micros(draw.below(IDLE_MAX_MICROS)));
        }
    }
    faults
}

#[test]
fn connections_that_end_while_idle_cost_no_request_and_repeat_none() {
    run(Writes::Whole);
}

#[test]
fn bodies_that_come_after_their_heads_are_sent_again_too() {
    run(Writes::Apart);
}

#[expect(clippy::print_stdout, reason = "a test of chance prints its seed")]
fn run(writes: Writes) {
    let named = std::env::var("REQUESTS").ok().and_then(|requests| requests.parse().ok());
    let each = named.unwrap_or(2_000) / CLIENTS;
    let seed = Draw::seed();
    println!("SEED={seed} REQUESTS={}", each * CLIENTS);
    let (backend, books) = Impatient::start(seed);
    let proxy = Proxy::start();
    let mut registry = proxy.registry();
    registry.serve("stale", "stale.1", &[(HOST, "/", &format!("http://{backend}"))]);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (http, draw) = (proxy.http(), Draw::new(seed ^ ((client as u64 + 1) << 32)));
            thread::spawn(move || ask(http, client * each, each, writes, draw))
        })
        .collect();
    let faults: Vec<String> =
        clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect();
    let executed = books.executed.lock().expect("no panic");
    let again = |kind: &str| {
        executed.iter().filter(|(id, times)| id.starts_with(kind) && **times > 1).count()
    };
    println!(
        "{:?} connections closed, {:?} of them crossed by a request; {} GETs executed again",
        books.closed,
        books.crossed,
        again("get")
    );
    assert_eq!(faults, Vec::<String>::new(), "SPEC 11: stale keep-alive: 0 errors");
    assert_eq!(again("post"), 0, "SPEC 4, retries: none may be repeated once it was executed");
    assert_eq!(executed.len(), each * CLIENTS, "every request was executed");
    assert!(books.crossed.load(Ordering::SeqCst) > 0, "no request ever met a close");
}
