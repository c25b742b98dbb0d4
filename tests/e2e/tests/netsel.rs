//! The published programs of seed 003, unmodified: `service_b` registers and echoes, `test_client`
//! finds the echo, the tunnel reaches it by name, and `dig` finds its address. Their addresses are
//! fixed, so all of it runs in a network namespace of its own.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use proxyd_e2e::dialects::exchange;
use proxyd_e2e::{PATIENCE, Proxy, binary, wait_for};

const VERSION: &str = "netsel@0.1.2";
const NAME: &str = "test-service-3";
const HELLO: &str = "Hello, NetSel Service B!";
/// Where it echoes.
const ECHO: &str = "127.0.0.1:11000";

/// The addresses of upstream's own server, and the offset of the echo in `service_b`.
const SECTIONS: &str = "[heartbeat]\nlisten = \"127.0.0.1:9000\"\n\
                        [dns]\nlisten = \"127.0.0.1:5353\"\n\
                        [service_proxy]\ntcp = \"127.0.0.1:8080\"\nport_offset = 2000\n";

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

/// Whether somebody is connected to [`ECHO`], as the kernel of this network namespace has it: address
/// and port in hexadecimal digits, and 01 for an established connection (Linux,
/// Documentation/networking/proc_net_tcp.rst).
fn is_connected() -> bool {
    let all = std::fs::read_to_string("/proc/net/tcp").unwrap();
    all.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(2);
        (fields.next(), fields.next()) == (Some("0100007F:2AF8"), Some("01"))
    })
}

/// What comes back through the tunnel for these pieces. All but the first are sent when it is there:
/// a name ends without an end, too.
fn echo(pieces: &[&[u8]]) -> Option<String> {
    let mut stream = TcpStream::connect("127.0.0.1:8080").ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    for (at, piece) in pieces.iter().enumerate() {
        if at > 0 {
            wait_for("the tunnel", || is_connected().then_some(()));
        }
        stream.write_all(piece).ok()?;
    }
    stream.shutdown(Shutdown::Write).ok()?;
    let mut back = String::new();
    stream.read_to_string(&mut back).ok()?;
    Some(back)
}

fn said_by(program: &Path, arguments: &[&str]) -> String {
    let ran = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

#[test]
#[ignore = "runs in a network namespace that the other test makes"]
fn echo_by_name() {
    let proxy = Proxy::start_with(SECTIONS);
    let (first, answer) = service_b();
    assert_eq!(answer, "Registration response: SUCCESS|10.0.0.100|9000|86400");
    wait_for("the echo", || TcpStream::connect(ECHO).ok());
    let said = said_by(&programs().join("test_client"), &[]);
    assert!(said.contains("All tests passed"), "{said}");

    let dig = ["@127.0.0.1", "-p", "5353", "+short", NAME];
    assert_eq!(said_by(Path::new("dig"), &dig), "10.0.0.100\n");
    let socket = proxy.admin_socket().display().to_string();
    let services = said_by(&binary("regctl"), &["--socket", &socket, "services"]);
    assert!(services.contains(NAME), "{services}");

    let (name, hello) = (NAME.as_bytes(), HELLO.as_bytes());
    let glued = [name, b"\n", hello].concat();
    let mut frame = [0; 256];
    frame[..NAME.len()].copy_from_slice(name);
    for pieces in [&[name, hello][..], &[&glued], &[&frame, hello]] {
        wait_for("the last one to be over", || (!is_connected()).then_some(()));
        assert_eq!(echo(pieces).as_deref(), Some(HELLO), "{}", pieces.len());
    }
    assert_eq!(exchange("127.0.0.1:8080".parse().unwrap(), b"nobody\nHello"), "");

    // A restart gets its address again, at once.
    drop(first);
    let (_second, answer) = service_b();
    assert_eq!(answer, "Registration response: SUCCESS|10.0.0.100|9000|86400");
    wait_for("the echo of the second", || echo(&[&glued]).filter(|back| back == HELLO));
}
