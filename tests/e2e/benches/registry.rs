//! The registry of a release build from outside: many sessions, many commands, many routes.
//!
//! The proxy is `PROXYD_BIN`, or `proxyd` of the release profile. Without it nothing is measured.
#![expect(clippy::print_stdout, reason = "figures are what a benchmark is for")]

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proxyd_e2e::{Backend, PATIENCE, Proxy, Registry, binary};

const SESSIONS: usize = 10_000;
const PINGS: usize = 500_000;
const ROUTES: usize = 100_000;
/// As many as fit into one line.
const ROUTES_IN_A_LINE: usize = 150;
/// Routes added one by one, under load, when all the others are there.
const MORE: usize = 200;
const CLIENTS: usize = 4;

fn main() {
    let named = std::env::var_os("PROXYD_BIN").map(PathBuf::from);
    let program = named.unwrap_or_else(|| binary("proxyd"));
    if cfg!(debug_assertions) || !program.exists() {
        println!("skipped: no release build of proxyd, see PROXYD_BIN");
        return;
    }
    sessions(&program);
    pings(&program);
    routes(&program);
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}

/// 10 000 clients that come at the same time, and stay.
fn sessions(program: &Path) {
    let proxy = Proxy::start_program(program, "");
    let (memory, cpu) = (resident(&proxy), cpu(&proxy));
    let started = now();
    let mut clients: Vec<TcpStream> = Vec::with_capacity(SESSIONS);
    for index in 0..SESSIONS {
        let mut stream = TcpStream::connect(proxy.registry_address()).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let line = format!("REGISTER|service{index}|one|9000|{{}}\n");
        stream.write_all(line.as_bytes()).expect("open");
        clients.push(stream);
    }
    let connected = started.elapsed();
    for stream in &mut clients {
        let mut answer = [0; 256];
        let length = stream.read(&mut answer).expect("an answer");
        assert!(answer[..length].starts_with(b"ACK|"), "refused");
    }
    let took = started.elapsed();
    let (cpu, grown) = (self::cpu(&proxy) - cpu, resident(&proxy).saturating_sub(memory));
    println!(
        "sessions: {SESSIONS} connected in {connected:.2?}, all registered in {took:.2?}, \
         {cpu:.2?} of CPU; resident {} KiB each ({} MiB before, {} MiB more)",
        grown / SESSIONS / 1024,
        memory >> 20,
        grown >> 20
    );
}

/// One client that does not wait for answers.
fn pings(program: &Path) {
    let proxy = Proxy::start_program(program, "");
    let mut stream = TcpStream::connect(proxy.registry_address()).expect("it listens");
    stream.write_all(b"REGISTER|pings|one|9000|{}\n").expect("open");
    let mut answers = BufReader::with_capacity(1 << 16, stream.try_clone().expect("a socket"));
    let mut line = String::new();
    answers.read_line(&mut line).expect("an answer");
    let session = line.trim_end().strip_prefix("ACK|").expect("registered").to_owned();
    let batch = format!("PING|{session}\n").repeat(500);
    let (cpu, started) = (cpu(&proxy), now());
    let writer = thread::spawn(move || {
        for _ in 0..PINGS / 500 {
            stream.write_all(batch.as_bytes()).expect("open");
        }
    });
    for _ in 0..PINGS {
        line.clear();
        answers.read_line(&mut line).expect("an answer");
        assert_eq!(line, "PONG\n");
    }
    let (took, cpu) = (started.elapsed(), self::cpu(&proxy) - cpu);
    writer.join().expect("written");
    let rate = |time: Duration| PINGS as f64 / time.as_secs_f64();
    println!(
        "pings: {PINGS} pipelined on one connection in {took:.2?}: {:.0} per second, {:.0} per \
         second of proxyd's CPU",
        rate(took),
        rate(cpu)
    );
}

/// 100 000 routes, some more of them under load, and a start with them.
fn routes(program: &Path) {
    let backend = Backend::start("loaded");
    let mut proxy = Proxy::start_program(program, "routes_per_session_max = 110000");
    let memory = resident(&proxy);
    let mut registry = proxy.registry();
    assert!(registry.ask("REGISTER|many|one|9000|{}").starts_with("ACK|"));

    let started = now();
    let mut outstanding = VecDeque::new();
    for first in (0..ROUTES).step_by(ROUTES_IN_A_LINE) {
        let last = ROUTES.min(first + ROUTES_IN_A_LINE);
        registry.send(&bulk(first..last, &backend.url()));
        outstanding.push_back(last);
        // A server cuts off who sends and never reads.
        if outstanding.len() == 16 {
            outstanding.pop_front();
            staged(&mut registry);
        }
    }
    outstanding.iter().for_each(|_| staged(&mut registry));
    let staging = started.elapsed();
    let started = now();
    registry.expect("CONFIG_APPLY|$sid", "OK");
    let applied = started.elapsed();
    let grown = resident(&proxy).saturating_sub(memory);
    println!(
        "routes: {ROUTES} staged in {staging:.2?}, applied in {applied:.2?}; resident {} bytes each",
        grown / ROUTES
    );

    let one_more = change_under_load(&proxy, &mut registry, &backend);
    println!("{one_more}");

    proxy.kill();
    let started = now();
    proxy.kill_and_move();
    let bound = started.elapsed();
    let last = format!("h{}.example.com", ROUTES - 1);
    let mut client = Client::connect(proxy.http());
    assert_eq!(client.get(&last), Some(200));
    println!(
        "start: with {} routes after kill -9 the ports are there in {bound:.2?}, the first answer \
         in {:.2?}; resident {} bytes for each",
        ROUTES + MORE,
        started.elapsed(),
        resident(&proxy).saturating_sub(memory) / ROUTES
    );
}

fn bulk(range: std::ops::Range<usize>, backend: &str) -> String {
    let mut line = "ROUTE_ADD_BULK|$sid|[".to_owned();
    for index in range.clone() {
        let comma = if index == range.start { "" } else { "," };
        let _ = write!(
            line,
            r#"{comma}{{"domains":["h{index}.example.com"],"path":"/","backend_url":"{backend}","priority":0}}"#
        );
    }
    line + "]"
}

fn staged(registry: &mut Registry) {
    let said = registry.line();
    assert!(said.starts_with("ROUTE_BULK_OK|"), "{}", &said[..said.len().min(200)]);
}

/// Adds a few routes, each with an apply of its own, while clients ask for another one.
fn change_under_load(proxy: &Proxy, registry: &mut Registry, backend: &Backend) -> String {
    let http = proxy.http();
    let stop = AtomicBool::new(false);
    let (answered, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let slowest = Mutex::new(Duration::ZERO);
    let (mut to_ok, mut to_answer) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (stop, answered, failed, slowest) = (&stop, &answered, &failed, &slowest);
            scope.spawn(move || {
                let host = format!("h{number}.example.com");
                let mut client = Client::connect(http);
                while !stop.load(Ordering::Relaxed) {
                    let started = now();
                    if client.get(&host) == Some(200) {
                        answered.fetch_add(1, Ordering::Relaxed);
                    } else {
                        failed.fetch_add(1, Ordering::Relaxed);
                        client = Client::connect(http);
                    }
                    if let Ok(mut slowest) = slowest.lock() {
                        *slowest = started.elapsed().max(*slowest);
                    }
                }
            });
        }
        while answered.load(Ordering::Relaxed) < 1_000 {
            thread::sleep(Duration::from_millis(1));
        }
        for index in 0..MORE {
            let host = format!("more{index}.example.com");
            let line = format!("ROUTE_ADD|$sid|{host}|/|{}|0", backend.url());
            assert!(registry.ask(&line).starts_with("ROUTE_OK|"));
            let mut client = Client::connect(http);
            assert_eq!(client.get(&host), Some(404));
            let started = now();
            let asking = scope.spawn(move || {
                while client.get(&host) != Some(200) {}
                started.elapsed()
            });
            registry.expect("CONFIG_APPLY|$sid", "OK");
            to_ok.push(started.elapsed());
            to_answer.push(asking.join().expect("answered"));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let failed = failed.into_inner();
    assert_eq!(failed, 0, "no request fails because of a change");
    format!(
        "one more: {MORE} times one route more under {CLIENTS} clients: apply to OK {}, apply to \
         the first answer {}; {} requests, {failed} failed, slowest {:.2?}",
        spread(to_ok),
        spread(to_answer),
        answered.into_inner(),
        slowest.into_inner().unwrap_or_default()
    )
}

/// The middle one and the worst one.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let (middle, worst) = (times.get(times.len() / 2), times.last());
    format!(
        "{:.2?} (worst {:.2?})",
        middle.copied().unwrap_or_default(),
        worst.copied().unwrap_or_default()
    )
}

/// One kept connection.
struct Client {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Client {
    fn connect(http: SocketAddr) -> Self {
        let stream = TcpStream::connect(http).expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let answers = BufReader::new(stream.try_clone().expect("a socket"));
        Self { stream, answers }
    }

    /// Asks, reads the whole answer, and gives its status.
    fn get(&mut self, host: &str) -> Option<u16> {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        self.stream.write_all(request.as_bytes()).ok()?;
        let (mut status, mut length) = (None, 0);
        let mut line = String::new();
        loop {
            line.clear();
            self.answers.read_line(&mut line).ok()?;
            let text = line.trim_end().to_ascii_lowercase();
            if text.is_empty() {
                break;
            } else if let Some(value) = text.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            } else if let Some(rest) = text.strip_prefix("http/1.1 ") {
                status = rest.get(..3)?.parse().ok();
            }
        }
        let mut body = vec![0; length];
        self.answers.read_exact(&mut body).ok()?;
        status
    }
}

/// Bytes in memory.
fn resident(proxy: &Proxy) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid()));
    let status = status.expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024
}

/// Time on the processor, of all threads.
fn cpu(proxy: &Proxy) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", proxy.pid())).expect("it runs");
    let of = |task: std::fs::DirEntry| -> Option<u64> {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    };
    Duration::from_nanos(tasks.flatten().filter_map(of).sum())
}
