//! One catalog: who is registered in one dialect is found in all others, and leaves everywhere (SPEC 1).

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output};

use proxyd_e2e::{Backend, Proxy, binary, wait_for};
use serde_json::{Value, json};

/// All of them, on free ports.
fn sections(folder: &Path) -> String {
    format!(
        "[heartbeat]\nlisten = \"127.0.0.1:0\"\nports = \"19000-19099\"\n\
         [dns]\nlisten = \"127.0.0.1:0\"\n\
         [service_proxy]\ntcp = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n\
         [service_api]\nlisten = \"127.0.0.1:0\"\nsubnets = [\"10.42.0.0/16\"]\n\
         [json_rpc]\nlisten = \"127.0.0.1:0\"\nbackends = {:?}\n",
        folder.join("backends.toml").display().to_string()
    )
}

/// What a peer says to `bytes` until it closes.
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(proxyd_e2e::PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The same to a peer that waits for more of us.
fn last_words(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(proxyd_e2e::PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut first = [0; 4096];
    let count = stream.read(&mut first).unwrap();
    String::from_utf8_lossy(&first[..count]).into_owned()
}

fn beat(proxy: &Proxy, frame: &str) -> String {
    exchange(proxy.port("heartbeat"), format!("{frame}\n").as_bytes())
}

fn rpc(proxy: &Proxy, method: &str, params: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let text = exchange(proxy.port("json_rpc"), request.as_bytes());
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

fn api(proxy: &Proxy, action: &str, params: Value) -> Value {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/service_api.py");
    let port = proxy.port("service_api").port().to_string();
    let said = Command::new("python3").args([program, &port, action, &params.to_string()]).output();
    serde_json::from_str(&printed(said.unwrap())).unwrap()
}

fn regctl(proxy: &Proxy, args: &[&str]) -> Value {
    let mut command = Command::new(binary("regctl"));
    command.arg("--json").arg("--socket").arg(proxy.admin_socket()).args(args);
    serde_json::from_str(&printed(command.output().unwrap())).unwrap()
}

fn dig(proxy: &Proxy, name: &str, kind: &str) -> String {
    let port = proxy.port("dns").port().to_string();
    let mut command = Command::new("dig");
    command.args(["@127.0.0.1", "-p", &port, "+noall", "+answer", "+comments", name, kind]);
    printed(command.output().unwrap())
}

fn printed(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

/// In which dialects a service is found.
fn found_in(proxy: &Proxy, name: &str) -> Vec<&'static str> {
    let named = |list: &Value| {
        list.as_array().unwrap().iter().any(|service| service["name"].as_str() == Some(name))
    };
    let mut found = Vec::new();
    if named(&regctl(proxy, &["services"])["data"]["services"]) {
        found.push("regctl");
    }
    if named(&rpc(proxy, "registry.list", json!({}))["result"]["backends"]) {
        found.push("json_rpc");
    }
    if named(&api(proxy, "list_services", json!({}))) {
        found.push("service_api");
    }
    if dig(proxy, &format!("{name}.proxyd.internal"), "A").contains("\tA\t") {
        found.push("dns");
    }
    if beat(proxy, &format!("LOOKUP|{name}")).starts_with("FOUND|") {
        found.push("heartbeat");
    }
    found
}

const EVERYWHERE: [&str; 5] = ["regctl", "json_rpc", "service_api", "dns", "heartbeat"];

fn is_everywhere(proxy: &Proxy, name: &str) {
    wait_for(name, || (found_in(proxy, name) == EVERYWHERE).then_some(()));
}

fn is_nowhere(proxy: &Proxy, name: &str) {
    wait_for(&format!("{name} to leave"), || found_in(proxy, name).is_empty().then_some(()));
}

#[test]
fn who_is_registered_in_one_dialect_is_found_in_all_and_leaves_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start_with(&sections(folder.path()));
    let backend = Backend::start("web");

    let mut registry = proxy.registry();
    registry.serve("line-svc", "line.1", &[("a.example.com", "/", &backend.url())]);
    is_everywhere(&proxy, "line-svc");

    assert!(beat(&proxy, "beat-svc").starts_with("SUCCESS|10.0.0.100|19000|86400"));
    is_everywhere(&proxy, "beat-svc");
    assert!(dig(&proxy, "beat-svc.proxyd.internal", "A").contains("10.0.0.100"));

    let address = backend.address();
    let params =
        json!({ "name": "rpc-svc", "host": "127.0.0.1", "port": address.port(), "protocol": "ws" });
    rpc(&proxy, "registry.register", params);
    is_everywhere(&proxy, "rpc-svc");

    let entry = json!({ "name": "api-svc", "version": "1.0", "endpoints": [
        { "name": "http", "address": address.to_string(), "protocol": "http", "metadata": {} },
    ] });
    api(&proxy, "register_service", entry);
    is_everywhere(&proxy, "api-svc");

    let file = folder.path().join("backends.toml");
    let text = format!(
        "[[backend]]\nname = \"file-svc\"\nhost = \"127.0.0.1\"\nport = {}\n",
        address.port()
    );
    std::fs::write(&file, text).unwrap();
    is_everywhere(&proxy, "file-svc");

    // By name through the service proxies, whatever the dialect.
    for name in ["line-svc", "api-svc", "rpc-svc", "file-svc"] {
        let request = format!("{name}\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let said = last_words(proxy.port("service_proxy.tcp"), request.as_bytes());
        assert!(said.starts_with("HTTP/1.1 200 "), "{name}: {said}");
    }
    let request = "GET /api-svc/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let said = last_words(proxy.port("service_proxy.http"), request.as_bytes());
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");

    registry.expect("CLIENT_SHUTDOWN|$sid", "SHUTDOWN_OK");
    is_nowhere(&proxy, "line-svc");
    assert_eq!(beat(&proxy, "DEREGISTER|beat-svc"), "DEREGISTERED");
    is_nowhere(&proxy, "beat-svc");
    rpc(&proxy, "registry.delete", json!({ "name": "rpc-svc" }));
    is_nowhere(&proxy, "rpc-svc");
    api(&proxy, "deregister_service", json!({ "name": "api-svc" }));
    is_nowhere(&proxy, "api-svc");
    std::fs::write(&file, "").unwrap();
    assert_eq!(regctl(&proxy, &["backends", "reload"])["data"]["count"], 0);
    is_nowhere(&proxy, "file-svc");
    // What left is not denied: resolvers would remember that.
    assert!(dig(&proxy, "line-svc.proxyd.internal", "A").contains("status: NOERROR"));
    assert!(dig(&proxy, "never.proxyd.internal", "A").contains("status: NXDOMAIN"));
}

#[test]
fn a_kill_loses_no_address_no_backend_and_no_allocation() {
    let folder = tempfile::tempdir().unwrap();
    let mut proxy = Proxy::start_with(&sections(folder.path()));
    assert!(beat(&proxy, "first").starts_with("SUCCESS|10.0.0.100|19000|"));
    assert!(beat(&proxy, "second").starts_with("SUCCESS|10.0.0.101|19001|"));
    let second = api(&proxy, "allocate_ip", json!({ "service": "db" }));
    regctl(&proxy, &["backends", "add", "dev", "--host", "10.9.9.9", "--port", "4444"]);
    api(&proxy, "register_service", json!({ "name": "kept", "endpoints": [] }));
    let before = regctl(&proxy, &["service", "dev"]);
    proxy.kill_and_move();
    assert_eq!(beat(&proxy, "LOOKUP|second"), "FOUND|10.0.0.101|19001");
    assert!(beat(&proxy, "second").starts_with("SUCCESS|10.0.0.101|19001|"));
    assert_eq!(api(&proxy, "allocate_ip", json!({ "service": "db" })), second);
    assert_eq!(regctl(&proxy, &["service", "dev"]), before);
    assert_eq!(regctl(&proxy, &["service", "kept"])["data"]["instances"][0]["source"], "api");
    assert!(beat(&proxy, "third").starts_with("SUCCESS|10.0.0.102|19002|"));
}
