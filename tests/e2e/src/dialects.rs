//! How tests speak the dialects of the catalog, and find a service in each.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::{PATIENCE, Proxy, binary, wait_for};

/// What a peer says to `bytes` until it closes.
///
/// # Panics
///
/// When nobody listens.
pub fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The same to a peer that waits for more of us once it has given a whole answer of HTTP.
///
/// # Panics
///
/// When nobody listens.
pub fn last_words(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let (mut said, mut part) = (Vec::new(), [0; 4096]);
    while !is_whole(&said) {
        match stream.read(&mut part).unwrap() {
            0 => break,
            count => said.extend_from_slice(&part[..count]),
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// Whether this is an answer to the end of its body.
fn is_whole(said: &[u8]) -> bool {
    let said = String::from_utf8_lossy(said);
    let Some((head, body)) = said.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse().unwrap())
    });
    length.is_some_and(|length: usize| body.len() >= length)
}

/// What the heartbeat port answers to a frame.
///
/// # Panics
///
/// When nobody listens.
pub fn beat(proxy: &Proxy, frame: &str) -> String {
    exchange(proxy.port("heartbeat"), format!("{frame}\n").as_bytes())
}

/// What JSON-RPC answers over HTTP.
///
/// # Panics
///
/// When that is no JSON.
pub fn rpc(proxy: &Proxy, method: &str, params: Value) -> Value {
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

/// What the service API answers to an action.
///
/// # Panics
///
/// When it refuses.
pub fn api(proxy: &Proxy, action: &str, params: Value) -> Value {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/service_api.py");
    let port = proxy.port("service_api").port().to_string();
    let said = Command::new("python3").args([program, &port, action, &params.to_string()]).output();
    serde_json::from_str(&printed(said.unwrap())).unwrap()
}

/// What `regctl --json` prints.
///
/// # Panics
///
/// When it fails.
pub fn regctl(proxy: &Proxy, args: &[&str]) -> Value {
    let mut command = Command::new(binary("regctl"));
    command.arg("--json").arg("--socket").arg(proxy.admin_socket()).args(args);
    serde_json::from_str(&printed(command.output().unwrap())).unwrap()
}

/// What `dig` prints about a name.
///
/// # Panics
///
/// When it is not installed.
pub fn dig(proxy: &Proxy, name: &str, kind: &str) -> String {
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

/// Waits until every dialect knows a service.
pub fn is_everywhere(proxy: &Proxy, name: &str) {
    wait_for(name, || (found_in(proxy, name) == EVERYWHERE).then_some(()));
}

/// Waits until none does.
pub fn is_nowhere(proxy: &Proxy, name: &str) {
    wait_for(&format!("{name} to leave"), || found_in(proxy, name).is_empty().then_some(()));
}
