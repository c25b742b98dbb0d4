//! What operators and their tools ask over HTTP (SPEC 9).

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use proxyd_e2e::dialects::{api, beat, dig, exchange, rpc};
use proxyd_e2e::{Backend, Proxy, get, wait_for};
use serde_json::json;

const LISTEN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// Asks the admin port, with these fields, and reads to the end.
fn ask(admin: SocketAddr, path: &str, fields: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(admin) else { return String::new() };
    stream.set_read_timeout(Some(proxyd_e2e::PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\n{fields}\r\n").unwrap();
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

/// The status of `path`; 0 if nobody answers.
fn status(admin: SocketAddr, path: &str, fields: &str) -> u16 {
    ask(admin, path, fields).get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0)
}

fn metrics(proxy: &Proxy) -> String {
    ask(proxy.admin_http(), "/metrics", "Host: localhost\r\n")
}

#[test]
fn numbers_of_certificates_routes_and_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["a.example.com".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let (cert_file, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert_file, params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    let files = format!("[{{ cert = {cert_file:?}, key = {key_file:?} }}]");
    let proxy = Proxy::start_with(&format!(
        "[https]\nlisten = [\"127.0.0.1:0\"]\nredirect = false\ncertificates = {files}\n{LISTEN}"
    ));
    let backend = Backend::start("web");
    let mut registry = proxy.registry();
    registry.serve("web", "web.1", &[("a.example.com", "/", &backend.url())]);
    for _ in 0..3 {
        assert_eq!(get(&proxy, "a.example.com", "/x?secret").status, 200);
    }
    // A request counts when its response has ended.
    let text = wait_for("three requests", || {
        let text = metrics(&proxy);
        text.contains("proxyd_requests_total{route=\"r1\",code=\"2xx\"} 3\n").then_some(text)
    });
    // 2040-01-01, by `date -u -d 2040-01-01 +%s`.
    for line in [
        "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r",
        "proxyd_certificate_expiry_timestamp_seconds{name=\"a.example.com\"} 2208988800",
        "proxyd_request_duration_seconds_count{route=\"r1\"} 3",
        "proxyd_routes 1",
        "proxyd_sessions 1",
        "proxyd_requests_in_flight 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line.trim_end_matches('\r')), "{line} in {text}");
    }
    assert!(!text.contains("secret") && !text.contains("/x"), "labels are no paths: {text}");

    // What is gone is counted no more.
    registry.expect("CLIENT_SHUTDOWN|$sid", "SHUTDOWN_OK");
    wait_for("the route to go", || {
        let text = metrics(&proxy);
        (text.contains("proxyd_routes 0\n") && !text.contains("\"r1\"")).then_some(())
    });
}

/// Each dialect by what became of its requests, and the catalog by source.
#[test]
fn numbers_of_dialects_and_the_catalog() {
    let proxy = Proxy::start_with(&format!(
        "{LISTEN}[heartbeat]\nlisten = \"127.0.0.1:0\"\nports = \"19000-19099\"\n\
         [dns]\nlisten = \"127.0.0.1:0\"\n\
         [service_proxy]\ntcp = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n\
         [service_api]\nlisten = \"127.0.0.1:0\"\nsubnets = [\"10.42.0.0/16\"]\n\
         [json_rpc]\nlisten = \"127.0.0.1:0\"\n"
    ));
    assert!(beat(&proxy, "beat-svc").starts_with("SUCCESS|"));
    assert_eq!(beat(&proxy, "HEARTBEAT|nobody"), "HEARTBEAT_FAILED");
    let backend = Backend::start("web");
    let params =
        json!({ "name": "rpc-svc", "host": "127.0.0.1", "port": backend.address().port() });
    rpc(&proxy, "registry.register", params);
    rpc(&proxy, "registry.nothing", json!({}));
    api(&proxy, "allocate_ip", json!({ "service": "api-svc" }));
    dig(&proxy, "never.proxyd.internal", "A");
    let tcp =
        |name: &str| exchange(proxy.port("service_proxy.tcp"), format!("{name}\n").as_bytes());
    assert_eq!(tcp("never"), "");
    let http = |path: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        exchange(proxy.port("service_proxy.http"), request.as_bytes())
    };
    assert!(http("/rpc-svc/").starts_with("HTTP/1.1 200 "));
    assert!(http("/never/").starts_with("HTTP/1.1 404 "));
    let requests = |dialect: &str, outcome: &str, count: u64| {
        format!(
            "proxyd_dialect_requests_total{{dialect=\"{dialect}\",outcome=\"{outcome}\"}} {count}"
        )
    };
    let clear = exchange(proxy.port("service_api"), b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(clear.contains("this port speaks TLS"), "{clear}");
    let told = proxy.refused("clear text where TLS is spoken");
    assert!(told.contains("a service API client"), "{told}");
    let mut registry = proxy.registry();
    registry.expect("PING|nobody", "ERROR|no session");
    registry.ask("REGISTER|line-svc|line.1|9|{}");
    let lines = [
        requests("registry", "refused", 1),
        requests("registry", "answered", 1),
        "proxyd_dialect_connections{dialect=\"registry\"} 1".to_owned(),
        requests("heartbeat", "registered", 1),
        requests("heartbeat", "heartbeat_failed", 1),
        requests("json_rpc", "result", 1),
        requests("json_rpc", "unknown_method", 1),
        requests("service_api", "answered", 1),
        requests("service_api", "not_opened", 1),
        requests("dns", "nxdomain", 1),
        requests("service_proxy_tcp", "unknown", 1),
        requests("service_proxy_http", "2xx", 1),
        requests("service_proxy_http", "4xx", 1),
        "proxyd_dialect_refused_connections_total{dialect=\"heartbeat\"} 0".to_owned(),
        "proxyd_dialect_connections{dialect=\"service_api\"} 0".to_owned(),
        "proxyd_catalog_services 3".to_owned(),
        "proxyd_catalog_instances{source=\"heartbeat\",health=\"good\"} 1".to_owned(),
        "proxyd_catalog_instances{source=\"manual\",health=\"good\"} 1".to_owned(),
        "proxyd_catalog_allocations 1".to_owned(),
    ];
    wait_for("every number", || {
        let text = metrics(&proxy);
        let is_there = |line: &String| text.lines().any(|found| found == line);
        lines.iter().all(is_there).then_some(())
    });
}

#[test]
fn ready_until_it_drains() {
    let backend = Backend::start_slow("slow", Duration::from_secs(2));
    let mut proxy = Proxy::start_with(&format!("[https]\nlisten = [\"127.0.0.1:0\"]\n{LISTEN}"));
    let admin = proxy.admin_http();
    let local = "Host: localhost\r\n";
    let mut registry = proxy.registry();
    registry.serve("slow", "slow.1", &[("slow.example.com", "/", &backend.url())]);
    assert_eq!(["/livez", "/readyz", "/healthz"].map(|path| status(admin, path, local)), [200; 3]);
    assert_eq!(status(admin, "/", local), 404);
    let stands_in = "proxyd_certificate_expiry_timestamp_seconds{name=\"localhost\"} ";
    assert!(metrics(&proxy).contains(stands_in), "{}", metrics(&proxy));
    thread::scope(|scope| {
        let client = scope.spawn(|| get(&proxy, "slow.example.com", "/").status);
        wait_for("the request", || (backend.requests() == 1).then_some(()));
        assert!(metrics(&proxy).contains("proxyd_requests_in_flight 1\n"));
        proxy.terminate();
        wait_for("503", || (status(admin, "/readyz", local) == 503).then_some(()));
        assert_eq!(status(admin, "/healthz", local), 503);
        assert_eq!(status(admin, "/livez", local), 200);
        assert_eq!(client.join().unwrap(), 200);
    });
    assert_eq!(proxy.wait_code(), Some(0));
}

/// A page in a browser sends its own host here (DNS rebinding), and reads nothing.
#[test]
fn only_who_asks_for_us_is_answered() {
    let proxy = Proxy::start_with(&format!("{LISTEN}hosts = [\"edge.example\"]\n"));
    let admin = proxy.admin_http();
    #[rustfmt::skip]
    let table = [
        ("Host: 127.0.0.1:9180\r\n",                   200),
        ("Host: edge.example\r\n",                     200),
        ("Host: evil.example\r\n",                     421),
        ("Host: localhost\r\nHost: evil.example\r\n",  421),
        ("",                                           421),
    ];
    for (fields, expected) in table {
        for path in ["/metrics", "/readyz"] {
            assert_eq!(status(admin, path, fields), expected, "{path} {fields}");
        }
    }
    assert_eq!(status(admin, "http://evil.example/metrics", "Host: localhost\r\n"), 421);
}

#[test]
fn a_token_is_for_the_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "open-sesame\n").unwrap();
    let proxy = Proxy::start_with(&format!("{LISTEN}token_file = {file:?}\n"));
    let admin = proxy.admin_http();
    #[rustfmt::skip]
    let table = [
        ("",                                        401),
        ("Authorization: Bearer open\r\n",          401),
        ("Authorization: Basic open-sesame\r\n",    401),
        ("Authorization: Bearer open-sesame\r\n",   200),
    ];
    for (field, expected) in table {
        let fields = format!("Host: localhost\r\n{field}");
        assert_eq!(status(admin, "/metrics", &fields), expected, "{field}");
        assert_eq!(status(admin, "/readyz", &fields), 200, "{field}");
    }
}
