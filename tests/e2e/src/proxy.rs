//! A proxyd of the tests' own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::{PATIENCE, Registry, wait_for};

/// Any port that is free.
const FREE: &str = "127.0.0.1:0";

/// A running proxyd, killed when dropped.
#[derive(Debug)]
pub struct Proxy {
    program: PathBuf,
    child: Child,
    folder: TempDir,
    extra: String,
    ports: Value,
}

impl Proxy {
    /// Starts one with a database of its own.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts one with more lines in its configuration.
    pub fn start_with(extra: &str) -> Self {
        Self::start_program(&binary("proxyd"), extra)
    }

    /// Starts one of another build.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn start_program(program: &Path, extra: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (child, ports) = spawn(program, folder.path(), extra, &[FREE, FREE]);
        Self { program: program.to_owned(), child, folder, extra: extra.to_owned(), ports }
    }

    /// Kills it with -9 and starts it again on the same ports and database.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        let (http, registry) = (self.http().to_string(), self.registry_address().to_string());
        self.start_again(&[&http, &registry]);
    }

    /// Kills it with -9 and starts it again on the same database and new ports: the old ones may
    /// be somebody else's by then.
    pub fn kill_and_move(&mut self) {
        self.kill();
        self.start_again(&[FREE, FREE]);
    }

    /// Kills it with -9.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends TERM.
    pub fn terminate(&self) {
        let _ =
            Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
    }

    /// Sends HUP.
    pub fn hang_up(&self) {
        let _ = Command::new("sh").args(["-c", &format!("kill -HUP {}", self.child.id())]).status();
    }

    /// Waits for its end, and says whether it was a good one.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub fn wait(&mut self) -> bool {
        self.wait_code() == Some(0)
    }

    /// Waits for its end, and gives its exit code; `None` when a signal ended it.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub fn wait_code(&mut self) -> Option<i32> {
        wait_for("proxyd to end", || self.child.try_wait().ok()?).code()
    }

    /// Sends bytes as they are on a connection of their own, and reads to its end.
    ///
    /// # Panics
    ///
    /// When nobody listens.
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.http()).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(bytes).expect("an open connection");
        let mut got = Vec::new();
        // A reset after the answer is as good as an end.
        let _ = stream.read_to_end(&mut got);
        String::from_utf8_lossy(&got).into_owned()
    }

    /// What it logged since it was started.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits until it logs that a client is refused for this reason, and gives the line.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn refused(&self, reason: &str) -> String {
        let told = format!("client is refused: {reason}");
        wait_for(&told, || self.log().lines().find(|line| line.contains(&told)).map(str::to_owned))
    }

    /// Its folder, for more files of a test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where clients connect.
    pub fn http(&self) -> SocketAddr {
        self.address("http")
    }

    /// Where clients connect with TLS.
    pub fn https(&self) -> SocketAddr {
        self.address("https")
    }

    /// Where operators' tools ask, if the configuration says that they may.
    pub fn admin_http(&self) -> SocketAddr {
        self.address("admin.http")
    }

    /// Where backends register.
    pub fn registry_address(&self) -> SocketAddr {
        self.address("registry")
    }

    /// The operators' socket.
    pub fn admin_socket(&self) -> PathBuf {
        self.folder.path().join("proxyd.sock")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A new connection to the registry.
    pub fn registry(&self) -> Registry {
        Registry::connect(self.registry_address())
    }

    fn start_again(&mut self, listen: &[&str; 2]) {
        let (child, ports) = spawn(&self.program, self.folder.path(), &self.extra, listen);
        self.child = child;
        self.ports = ports;
    }

    fn address(&self, section: &str) -> SocketAddr {
        self.ports[section][0].as_str().and_then(|text| text.parse().ok()).expect("a bound address")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The binary beside this test's own.
///
/// # Panics
///
/// When the test does not know where it is itself.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("our own path");
    let folder = own.parent().and_then(Path::parent).expect("target/<profile>/deps");
    folder.join(name)
}

fn spawn(program: &Path, folder: &Path, extra: &str, listen: &[&str; 2]) -> (Child, Value) {
    let [http, registry] = listen;
    let config = folder.join("proxyd.toml");
    let ports = folder.join("ports.json");
    let _ = std::fs::remove_file(&ports);
    let text = format!(
        "workers = 2\n[http]\nlisten = [\"{http}\"]\n[registry]\nlisten = [\"{registry}\"]\n{extra}\n\
         [store]\npath = {:?}\n",
        folder.join("proxyd.db").display().to_string()
    );
    std::fs::write(&config, text).expect("a file");
    let log = std::fs::File::create(folder.join("log")).expect("a file");
    let mut child = Command::new(program)
        .arg("run")
        .arg("--config")
        .arg(&config)
        .arg("--ports-file")
        .arg(&ports)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("proxyd is built beside the tests");
    let bound = wait_for("the ports file", || {
        if let Ok(Some(status)) = child.try_wait() {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            panic!("proxyd ended with {status}: {log}");
        }
        let text = std::fs::read_to_string(&ports).ok()?;
        serde_json::from_str(&text).ok()
    });
    (child, bound)
}

/// What curl got.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 0 when there was none.
    pub status: u16,
    /// Heads and body as they came.
    pub text: String,
}

/// Asks the proxy with curl.
pub fn get(proxy: &Proxy, host: &str, path: &str) -> Answer {
    curl(proxy, host, path, &[])
}

/// Asks the proxy with curl and more arguments.
///
/// # Panics
///
/// When curl is not installed.
pub fn curl(proxy: &Proxy, host: &str, path: &str, more: &[&str]) -> Answer {
    let output = Command::new("curl")
        .args(["-s", "-i", "--path-as-is", "-m", "15", "-w", "\n%{http_code}", "-H"])
        .arg(format!("Host: {host}"))
        .args(more)
        .arg(format!("http://{}{path}", proxy.http()))
        .output()
        .expect("curl is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (text, code) = text.rsplit_once('\n').unwrap_or((&text, "0"));
    Answer { status: code.parse().unwrap_or(0), text: text.to_owned() }
}
