//! Clients that are not ours: Python's `websockets` and Node's `ws`, over TLS.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use std::process::Stdio;

use common::{Site, With};
use tokio::process::Command;

/// What both clients do, each in its own language, and print when all of it was right.
const SAYS: &str = "registered, listed, restarted, told, deregistered\n";

async fn run(mut command: Command, what: &str) {
    let ran = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let ran = ran.unwrap_or_else(|error| panic!("{what}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && out == SAYS, "{what} (see .ci/run): {out}{err}");
}

fn script(name: &str) -> String {
    format!("{}/tests/clients/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test]
async fn python_websockets() {
    let site = Site::start(With { token: "s3cret", ..With::default() });
    let mut command = Command::new("python3");
    command.arg(script("client.py")).arg(site.address.port().to_string()).arg(site.ca());
    run(command, "python3 with websockets").await;
    site.stop().await;
}

#[tokio::test]
async fn node_ws() {
    let site = Site::start(With { token: "s3cret", ..With::default() });
    let mut command = Command::new("node");
    command.arg(script("client.cjs")).arg(site.address.port().to_string()).arg(site.ca());
    if std::env::var_os("NODE_PATH").is_none() {
        let cache = std::env::var("XDG_CACHE_HOME")
            .unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").unwrap_or_default()));
        command.env("NODE_PATH", format!("{cache}/proxyd-ci/node/node_modules"));
    }
    run(command, "node with ws").await;
    site.stop().await;
}

/// A certificate instead of a token, made and shown by others.
#[tokio::test]
async fn client_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("sh")
        .arg("-ec")
        .arg(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 \
             -subj /CN=clients -keyout ca.key -out ca.crt
             openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ops \
             -keyout client.key -out client.csr
             printf 'extendedKeyUsage=clientAuth\n' > ext
             openssl x509 -req -extfile ext -in client.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 1 \
             -out client.crt",
        )
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    let roots = std::fs::read(folder.path().join("ca.crt")).unwrap();
    let clients = certs::Clients::MustShow(certs::ClientRoots::parse(&roots).unwrap());
    let site = Site::start(With { token: "s3cret", clients, ..With::default() });
    let with = |certificate: bool| {
        let mut command = Command::new("python3");
        command.arg(script("client.py")).arg(site.address.port().to_string()).arg(site.ca());
        if certificate {
            command.args(["client.crt", "client.key"]).current_dir(folder.path());
        }
        command
    };
    run(with(true), "python3 with a certificate").await;
    let refused = with(false).output().await.unwrap();
    assert!(!refused.status.success(), "nobody gets in without one, the token or not");
    site.stop().await;
}
