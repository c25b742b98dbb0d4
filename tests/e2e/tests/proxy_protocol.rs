//! The PROXY protocol from trusted peers (SPEC 6): the backend hears of the client and not of the
//! proxy before us.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use proxyd_e2e::{Backend, Frames, PATIENCE, Proxy, Tuned, wait_for};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

fn start(http: &str) -> (Tuned, proxyd_e2e::Registry, Backend) {
    let proxy = Tuned::start(2, http);
    let mut registry = proxy.registry();
    let backend = Backend::start("web");
    registry.serve("web", "web.1", &[("a.test", "/", &backend.url())]);
    (proxy, registry, backend)
}

#[test]
fn a_trusted_peer_says_who_the_client_is() {
    let (proxy, _lease, _backend) =
        start("trusted_proxies = [\"127.0.0.0/8\"]\\nproxy_protocol = true");
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24".to_vec();
    v2.extend_from_slice(&"2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets());
    v2.extend_from_slice(&"2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    v2.extend_from_slice(&[0x13, 0x88, 0x00, 0x50]);
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    let v1 = b"PROXY TCP4 203.0.113.9 127.0.0.1 5000 8080\r\n".to_vec();
    // Whoever is trusted says the port itself.
    for (header, told, port) in
        [(v1, "203.0.113.9", Some(8080)), (v2, "2001:db8::7", Some(80)), (local, "127.0.0.1", None)]
    {
        let said = proxy.raw(&[&header, REQUEST].concat());
        assert!(said.starts_with("HTTP/1.1 200"), "{told}: {said}");
        let line = format!("X-Forwarded-For: {told}\r\n");
        assert!(said.contains(&line), "{told}: {said}");
        // The port that the client knows.
        let ports: Vec<_> =
            said.lines().filter(|line| line.starts_with("X-Forwarded-Port")).collect();
        let expected: Vec<_> =
            port.map(|port| format!("X-Forwarded-Port: {port}")).into_iter().collect();
        assert_eq!(ports, expected, "{told}");
    }
    for bad in [&b"PROXY TCP4 1.2.3.4 5.6.7.8 70000 80\r\n"[..], b"GET / HTTP/1.1\r\n"] {
        assert_eq!(proxy.raw(&[bad, REQUEST].concat()), "", "closed without a word");
    }
}

/// A client has so many connections and no more, whoever stands between; others are let in.
#[test]
fn a_client_may_have_so_many_connections() {
    let (proxy, _lease, _backend) = start(
        "trusted_proxies = [\"127.0.0.0/8\"]\\nproxy_protocol = true\\nconnections_per_peer_max = 2",
    );
    let open = |client: &str| {
        let mut stream = TcpStream::connect(proxy.http()).unwrap();
        let header = format!("PROXY TCP4 {client} 127.0.0.1 5000 80\r\n");
        let request = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
        let _ = stream.write_all([&header, request].concat().as_bytes());
        let mut answer = [0; 15];
        let answered = stream.read_exact(&mut answer).is_ok() && &answer == b"HTTP/1.1 200 OK";
        (stream, answered)
    };
    let (first, second) = (open("203.0.113.9"), open("203.0.113.9"));
    assert!(first.1 && second.1);
    assert!(!open("203.0.113.9").1, "one more is closed");
    assert!(open("203.0.113.10").1, "another client is none of its business");
    assert!(open("127.0.0.1").1 && open("127.0.0.1").1 && open("127.0.0.1").1);
    drop(first);
    wait_for("its place to be free", || open("203.0.113.9").1.then_some(()));
}

/// Whoever is not trusted is believed nothing: its header is a malformed request.
#[test]
fn a_stranger_is_not_believed() {
    let (proxy, _lease, _backend) =
        start("trusted_proxies = [\"10.0.0.0/8\"]\\nproxy_protocol = true");
    let said = proxy.raw(REQUEST);
    assert!(
        said.starts_with("HTTP/1.1 200") && said.contains("X-Forwarded-For: 127.0.0.1"),
        "{said}"
    );
    let header = b"PROXY TCP4 203.0.113.9 127.0.0.1 5000 80\r\n";
    let said = proxy.raw(&[&header[..], REQUEST].concat());
    assert!(said.starts_with("HTTP/1.1 400"), "{said}");
}

/// A backend that wants it is told of each client, on a connection that is for nobody else; our own
/// checks say that they are our own.
#[test]
fn a_backend_is_told_who_asks() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let (told, heard) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let told = told.clone();
            thread::spawn(move || {
                let mut header = [0; 16];
                stream.read_exact(&mut header).unwrap();
                let mut addresses = vec![0; usize::from(header[15])];
                stream.read_exact(&mut addresses).unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
                let _ = told.send((header, addresses, String::from_utf8_lossy(&head).into_owned()));
            });
        }
    });
    let proxy = Proxy::start();
    let mut registry = proxy.registry();
    let ack = registry.ask("REGISTER|web|web.1|9|{}");
    let sid = ack.strip_prefix("ACK|").unwrap();
    for (line, expected) in [
        (format!("ROUTE_ADD|{sid}|a.test|/|http://{at}|0"), "ROUTE_OK|r1"),
        (format!("OPTIONS_SET|{sid}|r1|proxy_protocol|true"), "OPTIONS_OK"),
        (format!("CONFIG_APPLY|{sid}"), "OK"),
    ] {
        assert_eq!(registry.ask(&line), expected, "{line}");
    }
    let mut client = TcpStream::connect(proxy.http()).unwrap();
    let from = client.local_addr().unwrap();
    let mut requests = 0;
    let mut checks = 0;
    client.write_all(b"GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    while requests < 2 || checks < 1 {
        let (header, addresses, head) = heard.recv_timeout(PATIENCE).unwrap();
        assert_eq!(header[..12], *b"\r\n\r\n\0\r\nQUIT\n");
        if head.contains("User-Agent: proxyd-health") {
            assert_eq!((header[12], header[13], addresses.len()), (0x20, 0, 0), "LOCAL");
            checks += 1;
            continue;
        }
        assert_eq!((header[12], header[13]), (0x21, 0x11), "PROXY, TCP over IPv4");
        let port = |at: usize| u16::from_be_bytes([addresses[at], addresses[at + 1]]);
        assert_eq!(addresses[..8], [127, 0, 0, 1, 127, 0, 0, 1]);
        assert_eq!((port(8), port(10)), (from.port(), proxy.http().port()));
        requests += 1;
        if requests == 1 {
            let mut answer = [0; 15];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
            client.write_all(b"GET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
        }
    }
    // Over HTTP/2 as well, whose streams have no address of their own.
    let mut client = Frames::connect(proxy.http()).unwrap();
    assert_eq!(client.get(1, "a.test", "/").unwrap().status(), 200);
    let addresses = loop {
        let (header, addresses, _) = heard.recv_timeout(PATIENCE).unwrap();
        if header[12] == 0x21 {
            break addresses;
        }
    };
    assert_eq!(addresses[..8], [127, 0, 0, 1, 127, 0, 0, 1]);
    assert_eq!(addresses[10..], proxy.http().port().to_be_bytes());
    let refused = "ERROR|route r1: proxy_protocol needs a backend that speaks HTTP/1.1";
    let line = format!("ROUTE_UPDATE|{sid}|r1|backend_url|grpc://{at}");
    assert!(registry.ask(&line).ends_with("_OK"), "it is only staged");
    assert_eq!(registry.ask(&format!("CONFIG_VALIDATE|{sid}")), refused);
    for line in ["r1|proxy_protocol|false", "ALL|proxy_protocol|true"] {
        assert_eq!(registry.ask(&format!("OPTIONS_SET|{sid}|{line}")), "OPTIONS_OK");
    }
    assert_eq!(registry.ask(&format!("CONFIG_VALIDATE|{sid}")), "OK", "its own setting holds");
    assert!(
        registry.ask(&format!("ROUTE_ADD|{sid}|b.test|/|h2c://{at}|0")).starts_with("ROUTE_OK")
    );
    let refused = "ERROR|route r2: proxy_protocol needs a backend that speaks HTTP/1.1";
    assert_eq!(registry.ask(&format!("CONFIG_VALIDATE|{sid}")), refused);
}
