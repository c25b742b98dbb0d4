//! The PROXY protocol from trusted peers (SPEC 6): the backend hears of the client and not of the
//! proxy before us.

use proxyd_e2e::{Backend, Tuned};

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
    let v1 = b"PROXY TCP4 203.0.113.9 127.0.0.1 5000 80\r\n".to_vec();
    for (header, told) in [(v1, "203.0.113.9"), (v2, "2001:db8::7"), (local, "127.0.0.1")] {
        let said = proxy.raw(&[&header, REQUEST].concat());
        assert!(said.starts_with("HTTP/1.1 200"), "{told}: {said}");
        let line = format!("X-Forwarded-For: {told}\r\n");
        assert!(said.contains(&line), "{told}: {said}");
    }
    for bad in [&b"PROXY TCP4 1.2.3.4 5.6.7.8 70000 80\r\n"[..], b"GET / HTTP/1.1\r\n"] {
        assert_eq!(proxy.raw(&[bad, REQUEST].concat()), "", "closed without a word");
    }
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
