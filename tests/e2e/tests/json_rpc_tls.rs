//! JSON-RPC over TLS: a certificate stands for the token, and the listener's own is read again.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use proxyd_e2e::dialects::exchange;
use proxyd_e2e::{Authority, PATIENCE, Pair, Proxy, quoted, wait_for};
use serde_json::{Value, json};

const TOKEN: &str = "s3cret";

/// What `programs/json_rpc.py` prints, or complains about.
fn call(
    proxy: &Proxy,
    ca: &Path,
    shows: Option<&Pair>,
    token: &str,
    method: &str,
    params: &Value,
) -> Result<Value, String> {
    let mut python = Command::new("python3");
    python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/programs/json_rpc.py"));
    python.arg(proxy.port("json_rpc").port().to_string()).arg(ca);
    match shows {
        Some(pair) => python.arg(&pair.cert).arg(&pair.key),
        None => python.args(["-", "-"]),
    };
    let output = python.args([token, method, &params.to_string()]).output().expect("python3");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).expect("JSON"))
}

#[test]
fn a_certificate_stands_for_the_token_and_the_listener_shows_what_is_in_its_files() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let pair = servers.issue("rpc", &["127.0.0.1", "localhost"]);
    let token = servers.ca().with_file_name("token");
    std::fs::write(&token, TOKEN).expect("a file");
    let section = format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n\
         [json_rpc]\nlisten = \"127.0.0.1:0\"\ncert = {}\nkey = {}\nclient_ca = [{}]\ntoken_file = {}\n",
        quoted(&pair.cert),
        quoted(&pair.key),
        quoted(&clients.ca()),
        quoted(&token),
    );
    let proxy = Proxy::start_with(&section);
    let (mine, foreign) = (clients.issue("ops", &[]), servers.issue("foreign", &[]));
    let dev = json!({ "name": "dev", "host": "127.0.0.1", "port": 4444 });
    let (register, list, none) = ("registry.register", "registry.list", json!({}));

    let said = call(&proxy, &servers.ca(), Some(&mine), "-", register, &dev);
    assert_eq!(said.map(|said| said["type"].clone()), Ok("backend_registered".into()));
    let said = call(&proxy, &servers.ca(), None, TOKEN, list, &none);
    assert_eq!(said.map(|said| said["backends"][0]["name"].clone()), Ok("dev".into()));
    // Neither; a token that is none; a certificate of somebody else's issuer, whose alert may be lost
    // with the connection.
    for (shows, token, says, reason) in [
        (None, "-", "401", "a token is wanted: Authorization: Bearer TOKEN"),
        (None, "guess", "401", "the token is wrong"),
        (Some(&foreign), TOKEN, "", "a client certificate that is not accepted"),
    ] {
        let why = call(&proxy, &servers.ca(), shows, token, list, &none).expect_err(says);
        assert!(why.to_lowercase().contains(says), "{token}: {why}");
        let told = proxy.refused(reason);
        assert!(told.contains("a JSON-RPC client") && told.contains("127.0.0.1"), "{told}");
    }
    // A client believes nobody that another authority vouches for.
    let why = call(&proxy, &clients.ca(), Some(&mine), "-", list, &none).expect_err("no trust");
    assert!(why.contains("CERTIFICATE_VERIFY_FAILED"), "{why}");

    let mut plain = TcpStream::connect(proxy.port("json_rpc")).expect("it listens");
    plain.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    plain.write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("an open connection");
    let mut text = String::new();
    plain.read_to_string(&mut text).expect("an answer");
    assert!(text.starts_with("HTTP/1.1 400 ") && text.contains("this port speaks TLS"), "{text}");
    proxy.refused("clear text where TLS is spoken");
    // The foreign certificate, the client that believes nobody, and this one.
    let counted = "proxyd_dialect_requests_total{dialect=\"json_rpc\",outcome=\"not_opened\"} 3";
    wait_for(counted, || {
        let asked = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        exchange(proxy.admin_http(), asked).contains(counted).then_some(())
    });

    // Another certificate in the same files.
    let others = Authority::new("others");
    let next = others.issue("rpc", &["127.0.0.1", "localhost"]);
    std::fs::copy(&next.key, &pair.key).expect("a file");
    std::fs::copy(&next.cert, &pair.cert).expect("a file");
    proxy.hang_up();
    wait_for("the new certificate", || {
        call(&proxy, &others.ca(), Some(&mine), "-", list, &none).ok()
    });
    assert!(proxy.log().contains("certificate of JSON-RPC renewed"), "{}", proxy.log());
}
