//! Backends that are spoken to with TLS: `https` and `wss` (SPEC 5 and 6).

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::Path;
use std::process::Command;

use proxyd_e2e::{Caller, Program, Proxy, Session, wait_for};

const HOST: &str = "secure.example.com";

/// An HTTPS server, and a WebSocket of sorts: it says 101 and echoes. Python's own TLS, so that
/// both sides are not the same library.
const SERVER: &str = r#"
import ssl, socket, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
context.set_alpn_protocols(["http/1.1"])
listener = socket.create_server(("127.0.0.1", 0))
print("port", listener.getsockname()[1], flush=True)
def serve(plain):
    try:
        with context.wrap_socket(plain, server_side=True) as s:
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    more = s.recv(65536)
                    if not more: return
                    data += more
                head, data = data.split(b"\r\n\r\n", 1)
                if b"upgrade: websocket" in head.lower():
                    s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n" + b"hello")
                    while True:
                        more = s.recv(65536)
                        if not more: return
                        s.sendall(more)
                size = int(dict(l.lower().split(b": ", 1) for l in head.split(b"\r\n")[1:]).get(b"content-length", b"0"))
                while len(data) < size: data += s.recv(65536)
                body, data = data[:size], data[size:]
                reply = s.version().encode() + b" " + (body[::-1] if body else b"-") + b"x" * (300000 if b"/large" in head else 0)
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(reply) + reply)
    except (OSError, ssl.SSLError):
        pass
while True:
    c, _ = listener.accept()
    threading.Thread(target=serve, args=(c,), daemon=True).start()
"#;

/// A certificate for these names, signed by itself, in a folder.
fn certificate(folder: &Path, names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let minted = rcgen::generate_simple_self_signed(names).unwrap();
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, minted.cert.pem()).unwrap();
    std::fs::write(&key, minted.signing_key.serialize_pem()).unwrap();
    let text = |path: &Path| path.display().to_string();
    (text(&certificate), text(&key))
}

fn server(certificate: &str, key: &str) -> (Program, u16) {
    let mut command = Command::new("python3");
    let program = Program::start(command.args(["-c", SERVER, certificate, key])).unwrap();
    let port = wait_for("the port of the server", || {
        let said = program.said();
        said.lines().find_map(|line| line.strip_prefix("port ")?.parse().ok())
    });
    (program, port)
}

#[test]
fn requests_bodies_and_tunnels_go_through_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(folder.path(), &["127.0.0.1"]);
    let (_server, port) = server(&certificate, &key);
    let proxy = Proxy::start_with(&format!("[backends]\nca = [{certificate:?}]\n"));
    let mut session = Session::register(&proxy, "secure", "secure.1");
    session.add(HOST, "/", &format!("https://127.0.0.1:{port}"));
    session.add("ws.example.com", "/", &format!("wss://127.0.0.1:{port}"));
    session.expect("CONFIG_APPLY|$sid", "OK");
    let mut caller = Caller::connect(proxy.http()).unwrap();
    for _ in 0..3 {
        let said = caller.get(HOST, "/", "").unwrap();
        assert_eq!((said.status, &*said.body), (200, "TLSv1.3 -"));
    }
    let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 3\r\n\r\nabc");
    caller.send(&head).unwrap();
    assert_eq!(caller.read().unwrap().body, "TLSv1.3 cba");
    let large = caller.get(HOST, "/large", "").unwrap();
    assert_eq!(large.body.len(), "TLSv1.3 -".len() + 300_000);
    let handshake = "GET / HTTP/1.1\r\nHost: ws.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut tunnel = std::net::TcpStream::connect(proxy.http()).unwrap();
    tunnel.set_read_timeout(Some(proxyd_e2e::PATIENCE)).unwrap();
    std::io::Write::write_all(&mut tunnel, handshake.as_bytes()).unwrap();
    let mut got = Vec::new();
    let mut until = |end: &[u8]| {
        let mut byte = [0];
        while !got.ends_with(end) {
            std::io::Read::read_exact(&mut tunnel, &mut byte).unwrap();
            got.push(byte[0]);
        }
        tunnel.try_clone().unwrap()
    };
    let mut writer = until(b"\r\n\r\nhello");
    std::io::Write::write_all(&mut writer, b"frame").unwrap();
    until(b"frame");
}

/// Whoever cannot show who it is gets nothing, and the client is told no address.
#[test]
fn a_certificate_that_does_not_verify_is_a_failure() {
    for (names, trusted, why) in
        [(["127.0.0.1"], false, "unknown issuer"), (["other.example.com"], true, "another name")]
    {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = certificate(folder.path(), &names);
        let (_server, port) = server(&certificate, &key);
        let extra = format!("[backends]\nca = [{certificate:?}]\n");
        let proxy = Proxy::start_with(if trusted { &extra } else { "" });
        let url = format!("https://127.0.0.1:{port}");
        let (mut session, _) = Session::serve(&proxy, "secure", "secure.1", (HOST, &url));
        let said = Caller::once(proxy.http(), HOST, "/");
        assert_eq!(said.status, 502, "{why}");
        let status = said.field("proxy-status").unwrap().to_owned();
        assert_eq!(status, "proxyd; error=tls_certificate_error", "{why}");
        let tested = session.ask(&format!("BACKEND_TEST|$sid|{url}"));
        assert!(tested.starts_with("BACKEND_FAIL|") && tested.contains(why), "{tested}");
    }
}
