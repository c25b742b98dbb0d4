//! The system's `ssh`, driven: one command on one host, within its time.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::failed::Failed;
use crate::heard::{Heard, printable};
use crate::host::{Host, PublicKey};
use crate::plan::{Input, Task};

/// What a command may say in all, in bytes; more ends it.
const SAID_BYTES_MAX: usize = 64 << 10;
/// What is kept of what `ssh` complains about, in bytes.
const COMPLAINTS_BYTES_MAX: usize = 4 << 10;
/// What `ssh` says last when a host shows another key of the pinned kind (OpenSSH, sshconnect.c).
const OTHER_KEY: &str = "Host key verification failed.";
/// The name under which the pinned key stands in our file of known hosts.
const ALIAS: &str = "pinned";

/// How a command on the host ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With this status.
    Status(i32),
    /// Nobody knows: it took too long.
    TooSlow,
}

/// The status `ssh` has for what is its own fault.
pub(crate) const SSH_FAILED: i32 = 255;

/// A way to one host whose key is known.
#[derive(Debug)]
pub(crate) struct Way<'a> {
    program: &'a Path,
    host: &'a Host,
    key: PublicKey,
    connect: Duration,
    /// Holds the file of known hosts with the one key.
    folder: TempDir,
}

/// How a command went.
#[derive(Debug)]
pub(crate) struct Went {
    pub(crate) ended: Ended,
    /// What `ssh` had to say.
    pub(crate) complaints: String,
}

impl Went {
    /// Whether it may have come to nothing for the key of the host. Where a host has none of the
    /// pinned kind, `ssh` says nothing at the level of its log that we ask for.
    pub(crate) fn doubts_host_key(&self) -> bool {
        self.ended == Ended::Status(SSH_FAILED)
            && (self.complaints.is_empty() || self.complaints.contains(OTHER_KEY))
    }
}

impl<'a> Way<'a> {
    /// # Errors
    ///
    /// No place for a small file.
    pub(crate) fn new(
        program: &'a Path,
        host: &'a Host,
        key: PublicKey,
        connect: Duration,
    ) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("known"), format!("{ALIAS} {key}\n"))?;
        Ok(Self { program, host, key, connect, folder })
    }

    /// The key that the host must prove to have.
    pub(crate) const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Carries out a task. What it says goes to `heard` as it comes.
    ///
    /// # Errors
    ///
    /// `ssh` cannot be started, or said more than it may.
    pub(crate) async fn run(
        &self,
        task: &Task,
        package: &File,
        mut heard: impl FnMut(Heard),
    ) -> Result<Went, Failed> {
        let mut child = self.command(&task.command).spawn()?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = async {
            let Some(mut stdin) = stdin else { return Ok(()) };
            match &task.input {
                Input::Script(script) => stdin.write_all(script.as_bytes()).await,
                Input::Package => {
                    let mut file = tokio::fs::File::from_std(package.try_clone()?);
                    tokio::io::AsyncSeekExt::rewind(&mut file).await?;
                    tokio::io::copy(&mut file, &mut stdin).await.map(|_| ())
                }
            }
            // Dropped here: the other side sees the end.
        };
        let all = async {
            // A command that ends early reads no more: its status says why, and not our pipe.
            let (_, said, complaints) =
                tokio::join!(write, lines(stdout, &mut heard), complaints(stderr));
            said?;
            Ok::<_, Failed>((child.wait().await?, complaints))
        };
        match timeout(task.limit, all).await {
            Ok(went) => {
                let (status, complaints) = went?;
                let ended = Ended::Status(status.code().unwrap_or(SSH_FAILED));
                Ok(Went { ended, complaints })
            }
            Err(_) => {
                end(&mut child).await;
                Ok(Went { ended: Ended::TooSlow, complaints: String::new() })
            }
        }
    }

    fn command(&self, remote: &str) -> Command {
        let known = self.folder.path().join("known");
        // In options, `%` begins a token; in command lines of configurations, quotes hold blanks.
        let percent = |path: &Path| path.display().to_string().replace('%', "%%");
        let options = [
            "BatchMode=yes".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            "UpdateHostKeys=no".to_owned(),
            "CheckHostIP=no".to_owned(),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            format!("UserKnownHostsFile=\"{}\"", percent(&known)),
            format!("HostKeyAlias={ALIAS}"),
            format!("HostKeyAlgorithms={}", self.key.algorithms()),
            format!("IdentityFile=\"{}\"", percent(&self.host.key)),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "PreferredAuthentications=publickey".to_owned(),
            "ControlMaster=no".to_owned(),
            "ControlPath=none".to_owned(),
            "ClearAllForwardings=yes".to_owned(),
            "ForwardAgent=no".to_owned(),
            "PermitLocalCommand=no".to_owned(),
            format!("ConnectTimeout={}", self.connect.as_secs().max(1)),
            "ConnectionAttempts=1".to_owned(),
            "ServerAliveInterval=5".to_owned(),
            "ServerAliveCountMax=3".to_owned(),
            "LogLevel=ERROR".to_owned(),
        ];
        let mut command = quiet(self.program);
        command.args(["-F", "none", "-T"]);
        command.args(options.iter().flat_map(|option| ["-o", option]));
        command.args(["-p", &self.host.port.to_string(), "-l", &self.host.user, "--"]);
        command.args([&*self.host.address, remote]);
        command
    }
}

/// A program with nothing of our environment but where programs are, which ends with us.
pub(crate) fn quiet(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn end(child: &mut Child) {
    if let Err(error) = child.kill().await {
        tracing::warn!(%error, "cannot end ssh");
    }
}

async fn lines(
    from: Option<impl AsyncRead + Unpin>,
    heard: &mut impl FnMut(Heard),
) -> Result<(), Failed> {
    let Some(mut from) = from else { return Ok(()) };
    let (mut line, mut said, mut buffer) = (Vec::new(), 0, [0; 1024]);
    let mut tell = |line: &[u8]| {
        if let Some(line) = Heard::read(&String::from_utf8_lossy(line)) {
            heard(line);
        }
    };
    loop {
        let read = from.read(&mut buffer).await?;
        said += read;
        if said > SAID_BYTES_MAX {
            return Err(Failed::Ssh("the host said more than it may".to_owned()));
        }
        for &byte in buffer.iter().take(read) {
            if byte == b'\n' {
                tell(&line);
                line.clear();
            } else {
                line.push(byte);
            }
        }
        if read == 0 {
            tell(&line);
            return Ok(());
        }
    }
}

/// The last lines of what is complained about, in one line.
async fn complaints(from: Option<impl AsyncRead + Unpin>) -> String {
    last_lines(&complained(from).await)
}

/// What is complained about, as far as it is kept. Reads on when it keeps no more: who complains must
/// not wait for us.
pub(crate) async fn complained(from: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut from) = from else { return String::new() };
    let (mut kept, mut buffer) = (Vec::new(), [0; 1024]);
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let room = COMPLAINTS_BYTES_MAX.saturating_sub(kept.len());
        kept.extend(buffer.iter().take(read.min(room)));
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// For people, in one line.
pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(3)..).unwrap_or_default();
    printable(&last.join("; "))
}
