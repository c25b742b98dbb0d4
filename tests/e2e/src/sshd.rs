//! Debian's own `sshd` on loopback, with keys that live as long as the test; nobody has to be root.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A running `sshd` of a test's own. It ends with it, and so does what was deployed there: every
/// process whose number is in a file `pid` of a folder below [`Sshd::root`].
#[derive(Debug)]
pub struct Sshd {
    folder: TempDir,
    server: Child,
    port: u16,
}

impl Sshd {
    /// Starts one that lets in whoever has the key [`Sshd::key`].
    ///
    /// # Panics
    ///
    /// When `openssh-server` or `openssh-client` is not installed.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["host", "user", "other"] {
            let key = folder.path().join(name);
            let mut keygen = Command::new("ssh-keygen");
            let keygen = keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key);
            assert!(keygen.status().expect("ssh-keygen: install openssh-client").success());
        }
        std::fs::create_dir(folder.path().join("opt")).expect("a folder");
        let (server, port) = (0..10).find_map(|_| serve(folder.path())).expect("no free port");
        Self { folder, server, port }
    }

    /// Where it listens, on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// A place in its folder, which has room for more: keys are `host`, `user` and `other`, each
    /// with its `.pub`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The private key that is let in.
    pub fn key(&self) -> PathBuf {
        self.path("user")
    }

    /// What stands for `/opt` on the host.
    pub fn root(&self) -> PathBuf {
        self.path("opt")
    }

    /// Who logs in: whoever runs the tests.
    ///
    /// # Panics
    ///
    /// When the system does not know who that is.
    pub fn user(&self) -> String {
        let user = Command::new("id").arg("-un").output().expect("id").stdout;
        String::from_utf8_lossy(&user).trim().to_owned()
    }

    /// What `ssh-keygen -l` says of a key: `SHA256:...`.
    ///
    /// # Panics
    ///
    /// When there is no such key.
    pub fn fingerprint(&self, key: &str) -> String {
        let mut keygen = Command::new("ssh-keygen");
        let output = keygen.arg("-lf").arg(self.path(key)).output().expect("ssh-keygen");
        let line = String::from_utf8_lossy(&output.stdout).into_owned();
        line.split(' ').nth(1).expect("a fingerprint").to_owned()
    }

    /// Breaks every connection, as a cable would that is cut.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn cut(&self) {
        let server = self.server.id();
        let sessions = format!("/proc/{server}/task/{server}/children");
        let sessions = std::fs::read_to_string(sessions).expect("its children");
        assert!(!sessions.trim().is_empty(), "there was no connection");
        let mut kill = Command::new("kill");
        kill.arg("-KILL").args(sessions.split_ascii_whitespace());
        assert!(kill.status().expect("kill").success());
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.root()).into_iter().flatten().flatten() {
            if let Ok(pid) = std::fs::read_to_string(entry.path().join("pid")) {
                let _ = Command::new("kill").arg(pid.trim()).stderr(Stdio::null()).status();
            }
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// `None` if somebody took the port meanwhile.
fn serve(folder: &Path) -> Option<(Child, u16)> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = free.expect("a free port").port();
    let at = folder.display();
    let configuration = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {at}/host\nAuthorizedKeysFile {at}/user.pub\n\
         PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
         PermitRootLogin prohibit-password\n"
    );
    std::fs::write(folder.join("sshd_config"), configuration).expect("a file");
    // Where the server locks itself in before it knows who is there; the system's start makes it.
    let _ = std::fs::create_dir("/run/sshd");
    let mut server = Command::new("/usr/sbin/sshd");
    server.args(["-D", "-e", "-f"]).arg(folder.join("sshd_config"));
    server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut server = server.spawn().expect("/usr/sbin/sshd: install openssh-server");
    let errors = server.stderr.take().expect("it is a pipe");
    let mut lines = BufReader::new(errors).lines().map_while(Result::ok);
    let mut said = Vec::new();
    for line in lines.by_ref() {
        if line.contains("Server listening") {
            std::thread::spawn(move || lines.for_each(drop));
            return Some((server, port));
        }
        said.push(line);
    }
    let _ = server.wait();
    assert!(said.iter().any(|line| line.contains("in use")), "sshd does not start: {said:?}");
    None
}
