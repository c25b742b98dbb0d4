//! The published programs of seed 003, unmodified: `service_b` registers and echoes, `test_client`
//! finds the echo, and the tunnel reaches it by name. Their addresses are fixed, so all of it runs
//! in a network namespace of its own.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail it")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use catalog::{Config, Image};
use discovery::{Feed, Handle};
use probe::Policy;
use proxyd_service_proxy::{TcpProxy, TunnelSettings, Tunnels};
use runtime::Clock;
use store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const VERSION: &str = "netsel@0.1.2";
const NAME: &str = "test-service-3";

/// Built once, from the published source and by its own lock file.
fn programs() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("netsel");
    if !root.join("bin/test_client").exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["install", VERSION, "--debug", "--locked", "--quiet"])
            .args(["--example", "service_b", "--example", "test_client", "--root"])
            .arg(&root)
            .env_remove("CARGO_TARGET_DIR")
            .status()
            .expect("cargo runs");
        assert!(built.success(), "cannot fetch and build {VERSION} from crates.io");
    }
    root.join("bin")
}

#[test]
fn the_published_programs_run_unmodified() {
    programs();
    let inside = "echo_by_name";
    let script = format!(
        "ip link set lo up && exec '{}' --exact {inside} --ignored --nocapture",
        std::env::current_exe().unwrap().display()
    );
    let ran = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "sh", "-c", &script])
        .output()
        .expect("this test needs unshare, of util-linux");
    let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `service_b`, and gives what its registration was answered.
fn service_b() -> (Service, String) {
    let program = programs().join("service_b");
    let mut child = Command::new(program).stdout(Stdio::piped()).spawn().unwrap();
    let out = child.stdout.take().unwrap();
    let mut lines = BufReader::new(out).lines().map_while(Result::ok);
    let answer = lines.find(|line| line.starts_with("Registration response")).unwrap_or_default();
    // Somebody has to read what else it says.
    std::thread::spawn(move || lines.count());
    (Service(child), answer)
}

async fn echo(at: SocketAddr, pieces: &[&[u8]]) -> Option<String> {
    let mut stream = TcpStream::connect(at).await.ok()?;
    for piece in pieces {
        stream.write_all(piece).await.ok()?;
        // Longer than a name without an end is waited for.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    stream.shutdown().await.ok()?;
    let mut back = String::new();
    stream.read_to_string(&mut back).await.ok()?;
    Some(back)
}

async fn started() -> (Handle, SocketAddr, Store) {
    let (store, clock) = (Store::memory(), Clock::system());
    let (rows, feed) = (store.catalog(), Feed::default());
    let (catalog, _) =
        discovery::start(Config::default(), [7; 32], Image::default(), rows, feed, clock);
    let settings = heartbeat::Settings::default();
    let port = heartbeat::Listener::bind(&settings, catalog.clone()).unwrap();
    tokio::spawn(port.serve(std::future::pending()));
    let settings = TunnelSettings { port_offset: 2000, ..TunnelSettings::default() };
    let tunnels = Tunnels::new(settings, Policy::default(), clock, catalog.clone());
    let proxy = TcpProxy::bind("127.0.0.1:8080".parse().unwrap(), tunnels).unwrap();
    let address = proxy.address().unwrap();
    tokio::spawn(proxy.serve(std::future::pending()));
    (catalog, address, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs in a network namespace that the other test makes"]
async fn echo_by_name() {
    let (catalog, proxy, _store) = started().await;
    let (first, answer) = tokio::task::spawn_blocking(service_b).await.unwrap();
    assert_eq!(answer, "Registration response: SUCCESS|10.0.0.100|9000|86400");
    assert!(catalog.view().service(NAME).is_some());
    while TcpStream::connect("127.0.0.1:11000").await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let client = tokio::process::Command::new(programs().join("test_client"));
    let ran = { client }.output().await.unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success() && said.contains("All tests passed"), "{said}");

    let hello: &[u8] = b"Hello, NetSel Service B!";
    let glued = [NAME.as_bytes(), b"\n", hello].concat();
    let mut frame = [0; 256];
    frame[..NAME.len()].copy_from_slice(NAME.as_bytes());
    for pieces in [&[NAME.as_bytes(), hello][..], &[&glued], &[&frame, hello]] {
        let back = echo(proxy, pieces).await;
        assert_eq!(back.as_deref(), Some("Hello, NetSel Service B!"), "{}", pieces.len());
    }
    assert_eq!(echo(proxy, &[b"nobody\n", hello]).await.unwrap_or_default(), "");

    // A restart gets its address again, at once.
    drop(first);
    let (_second, answer) = tokio::task::spawn_blocking(service_b).await.unwrap();
    assert_eq!(answer, "Registration response: SUCCESS|10.0.0.100|9000|86400");
    while echo(proxy, &[&glued]).await.as_deref() != Some("Hello, NetSel Service B!") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
