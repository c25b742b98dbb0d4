//! Clients that others wrote: ws for Node, websockets for Python, curl, and jsonrpsee's own.
//!
//! `.ci/run` installs them. Node looks for packages in `NODE_PATH`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::process::{Command, Output};
use std::sync::Arc;

use certs::{Certificates, Resolver, ServerOptions, self_signed};
use runtime::{Clock, Snapshot};
use serde_json::{Value, json};
use support::Running;

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

/// Runs a program to its end, beside the listener.
async fn run(mut command: Command) -> Output {
    let running = tokio::task::spawn_blocking(move || {
        let output = command.output();
        output.unwrap_or_else(|error| panic!("{command:?} does not run, see .ci/run: {error}"))
    });
    running.await.unwrap()
}

async fn does_well(mut command: Command) {
    let running = Running::start(|_| {});
    command.arg(format!("ws://{}", running.address));
    let output = run(command).await;
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.trim(), "well", "see .ci/run for what has to be installed: {complained}");
    running.end().await;
}

#[tokio::test]
async fn node() {
    let mut command = Command::new("node");
    command.arg(format!("{FOLDER}/tests/programs/client.mjs"));
    if std::env::var_os("NODE_PATH").is_none() {
        let cache = std::env::var("XDG_CACHE_HOME")
            .unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").unwrap_or_default()));
        command.env("NODE_PATH", format!("{cache}/proxyd-ci/node/node_modules"));
    }
    does_well(command).await;
}

#[tokio::test]
async fn python() {
    let mut command = Command::new("python3");
    command.arg(format!("{FOLDER}/tests/programs/client.py"));
    does_well(command).await;
}

/// A workspace of its own: its features would become ours, a second TLS provider among them.
#[tokio::test]
async fn jsonrpsee() {
    let folder = format!("{FOLDER}/../../tests/peers/jsonrpsee");
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--locked", "--manifest-path"]);
    command.arg(format!("{folder}/Cargo.toml")).env_remove("CARGO_TARGET_DIR").arg("--");
    does_well(command).await;
}

#[tokio::test]
async fn curl() {
    let running = Running::start(|_| {});
    let register = r#"{"jsonrpc":"2.0","id":1,"method":"registry.register","params":{"name":"a","host":"h","port":1}}"#;
    let list = r#"{"jsonrpc":"2.0","id":2,"method":"registry.list","params":{}}"#;
    for (body, kind) in [(register, "backend_registered"), (list, "backends")] {
        let mut command = Command::new("curl");
        command.args([
            "-sS",
            "--noproxy",
            "*",
            "-d",
            body,
            &format!("http://{}/", running.address),
        ]);
        let output = run(command).await;
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["result"]["type"], json!(kind), "{answer}");
    }
    running.end().await;
}

#[tokio::test]
async fn over_tls() {
    let clock = Clock::system();
    let made = self_signed(&["localhost"], clock.now().wall).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, made.cert_pem).unwrap();
    let certificates = Snapshot::new(Arc::new(Certificates::new(vec![Arc::new(made.pair)])));
    let options = ServerOptions { alpn: vec![b"http/1.1".to_vec()], ..ServerOptions::default() };
    let tls = options.tcp(&Resolver::new(certificates), clock).unwrap();
    let running = Running::start(|settings| settings.tls = Some(tls));
    let port = running.address.port();
    let mut python = Command::new("python3");
    python.arg(format!("{FOLDER}/tests/programs/client.py"));
    python.arg(format!("wss://localhost:{port}")).arg(&authority);
    let output = run(python).await;
    let complained = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "well", "{complained}");
    let get = r#"{"jsonrpc":"2.0","id":1,"method":"registry.get","params":["x"]}"#;
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--noproxy", "*", "-d", get, "--cacert"]).arg(&authority);
    curl.arg(format!("https://localhost:{port}/"));
    let answer: Value = serde_json::from_slice(&run(curl).await.stdout).unwrap();
    assert_eq!(answer["result"]["type"], "backend");
    running.end().await;
}
