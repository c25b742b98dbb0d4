//! Two instances on one route: they balance, one dies, it returns.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proxyd_e2e::{PATIENCE, Program, Proxy, get, wait_for};

/// A service as people write them: a threaded HTTP server that registers itself, or reconnects
/// if it is given a session.
const INSTANCE: &str = r#"
import http.server, os, socket, sys, threading

name, registry, port, session = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = name.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass

class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128

server = Server(("127.0.0.1", port), Handler)
port = server.server_address[1]
threading.Thread(target=server.serve_forever, daemon=True).start()

line = socket.create_connection(("127.0.0.1", registry))
lines = line.makefile("rb")
def ask(text):
    line.sendall(text.encode() + b"\n")
    return lines.readline().decode().strip()

if session == "-":
    session = ask(f"REGISTER|shop|{name}|9|{{}}").split("|")[1]
    print("route", ask(f"ROUTE_ADD|{session}|shop.example.com|/|http://127.0.0.1:{port}|0"), flush=True)
    print("apply", ask(f"CONFIG_APPLY|{session}"), flush=True)
else:
    print("reconnect", ask(f"RECONNECT|{session}"), flush=True)
print(f"up {port} {session}", flush=True)
lines.readline()
"#;

struct Instance {
    program: Program,
    port: String,
    session: String,
}

fn start(proxy: &Proxy, name: &str, port: &str, session: &str) -> Instance {
    let registry = proxy.registry_address().port().to_string();
    let mut command = Command::new("python3");
    command.args(["-u", "-c", INSTANCE, name, &registry, port, session]);
    let mut program = Program::start(&mut command).expect("python3 is installed");
    program.wait_for("up ");
    let said = program.said();
    let up = said.lines().find_map(|line| line.strip_prefix("up ")).expect("it is up");
    let (port, session) = up.split_once(' ').expect("port and session");
    Instance { port: port.to_owned(), session: session.to_owned(), program }
}

/// Asks over a kept connection until told to stop; returns who answered how often, and failures.
fn load(http: SocketAddr, stop: &AtomicBool) -> (BTreeMap<String, usize>, Vec<String>) {
    let (mut answers, mut failures) = (BTreeMap::new(), Vec::new());
    let mut connection = None;
    while !stop.load(Ordering::SeqCst) {
        let mut stream: TcpStream = match connection.take() {
            Some(stream) => stream,
            None => match TcpStream::connect(http) {
                Ok(stream) => stream,
                Err(error) => {
                    failures.push(error.to_string());
                    continue;
                }
            },
        };
        match ask(&mut stream) {
            Ok((200, body)) => *answers.entry(body).or_default() += 1,
            Ok((status, body)) => failures.push(format!("{status} {body}")),
            Err(error) => {
                failures.push(error.to_string());
                continue;
            }
        }
        connection = Some(stream);
    }
    (answers, failures)
}

fn ask(stream: &mut TcpStream) -> std::io::Result<(u16, String)> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /x HTTP/1.1\r\nHost: shop.example.com\r\n\r\n")?;
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let n = stream.read(&mut piece)?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..n]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        if length.is_some_and(|length: usize| body.len() >= length) {
            return Ok((head[9..12].parse().unwrap_or(0), body.to_owned()));
        }
    }
}

#[test]
fn one_of_two_is_killed_and_returns() {
    let proxy = Proxy::start();
    let a = start(&proxy, "a", "0", "-");
    let b = start(&proxy, "b", "0", "-");
    let both = || {
        let seen: std::collections::BTreeSet<_> = (0..20)
            .filter_map(|_| {
                get(&proxy, "shop.example.com", "/").text.lines().last().map(str::to_owned)
            })
            .collect();
        (seen.len() == 2).then_some(())
    };
    wait_for("both to be asked", both);

    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (http, stop) = (proxy.http(), Arc::clone(&stop));
            thread::spawn(move || load(http, &stop))
        })
        .collect();
    let asked_b = || get(&proxy, "shop.example.com", "/").text.ends_with('b').then_some(());
    wait_for("load on b", asked_b);
    let (port, session) = (b.port.clone(), b.session.clone());
    b.program.signal(9);
    // From the moment it is dead every answer comes from a.
    for _ in 0..50 {
        let answer = get(&proxy, "shop.example.com", "/");
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    drop(b);
    let again = start(&proxy, "b", &port, &session);
    assert!(again.program.said().contains("reconnect OK"), "{}", again.program.said());
    wait_for("b to be asked again", asked_b);

    stop.store(true, Ordering::SeqCst);
    let mut asked = BTreeMap::new();
    for client in clients {
        let (answers, failures) = client.join().expect("no panic");
        // A response that b had begun when it was killed cannot be saved; its head and body are
        // small, so there is none.
        assert_eq!(failures, Vec::<String>::new());
        for (name, count) in answers {
            *asked.entry(name).or_insert(0) += count;
        }
    }
    assert_eq!(asked.len(), 2, "both were asked: {asked:?}");
    assert!(asked.values().sum::<usize>() > 50, "{asked:?}");
    drop(a);
}
