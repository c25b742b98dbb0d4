//! The PROXY protocol from trusted peers (SPEC 6): the backend hears of the client and not of the
//! proxy before us.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{Read, Write};
use std::net::TcpStream;

use proxyd_e2e::{Backend, PATIENCE, Proxy, Tuned};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

/// What comes for these bytes, to the end.
fn ask(proxy: &Proxy, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(proxy.http()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut got = Vec::new();
    let _ = stream.read_to_end(&mut got);
    String::from_utf8_lossy(&got).into_owned()
}

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
    let v1 = b"PROXY TCP4 203.0.113.9 127.0.0.1 5000 80\r\n".to_vec();
    for (header, told) in [(v1, "203.0.113.9"), (v2, "2001:db8::7"), (local, "127.0.0.1")] {
        let said = ask(&proxy, &[&header, REQUEST].concat());
        assert!(said.starts_with("HTTP/1.1 200"), "{told}: {said}");
        let line = format!("X-Forwarded-For: {told}\r\n");
        assert!(said.contains(&line), "{told}: {said}");
    }
    for bad in [&b"PROXY TCP4 1.2.3.4 5.6.7.8 70000 80\r\n"[..], b"GET / HTTP/1.1\r\n"] {
        assert_eq!(ask(&proxy, &[bad, REQUEST].concat()), "", "closed without a word");
    }
}

/// Whoever is not trusted is believed nothing: its header is a malformed request.
#[test]
fn a_stranger_is_not_believed() {
    let (proxy, _lease, _backend) =
        start("trusted_proxies = [\"10.0.0.0/8\"]\\nproxy_protocol = true");
    let said = ask(&proxy, REQUEST);
    assert!(
        said.starts_with("HTTP/1.1 200") && said.contains("X-Forwarded-For: 127.0.0.1"),
        "{said}"
    );
    let header = b"PROXY TCP4 203.0.113.9 127.0.0.1 5000 80\r\n";
    let said = ask(&proxy, &[&header[..], REQUEST].concat());
    assert!(said.starts_with("HTTP/1.1 400"), "{said}");
}
