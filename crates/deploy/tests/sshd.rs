//! Deployments to Debian's own `sshd`, on loopback, with keys that live as long as the test.
//!
//! Needs `openssh-server` and `openssh-client`; nobody has to be root.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use package::{Content, EntryPath, Limits, Source};
use proxyd_deploy::{
    BadSettings, Deployer, Deployment, Failed, Host, HostKey, Refused, Root, Settings, Step,
};
use tempfile::TempDir;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Well at once.
const WELL: &str = "true";

/// A server of its own, a folder of packages, and the folder that stands for `/opt`.
struct Ground {
    folder: TempDir,
    server: Child,
    port: u16,
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["host", "user", "other"] {
            let key = folder.path().join(name);
            let mut keygen = Command::new("ssh-keygen");
            let keygen = keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key);
            assert!(keygen.status().expect("ssh-keygen: install openssh-client").success());
        }
        for name in ["opt", "packages"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let (server, port) = (0..10).find_map(|_| serve(folder.path())).expect("no free port");
        Self { folder, server, port }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn fingerprint(&self, key: &str) -> String {
        let mut keygen = Command::new("ssh-keygen");
        let output = keygen.arg("-lf").arg(self.path(key)).output().unwrap();
        let line = String::from_utf8(output.stdout).unwrap();
        line.split(' ').nth(1).unwrap().to_owned()
    }

    fn host(&self) -> Host {
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        Host {
            name: "edge-1".to_owned(),
            address: "127.0.0.1".to_owned(),
            port: self.port,
            user: String::from_utf8(user).unwrap().trim().to_owned(),
            key: self.path("user"),
            host_key: HostKey::read(&self.fingerprint("host.pub")).unwrap(),
            root: Root::read(self.path("opt").to_str().unwrap()).unwrap(),
        }
    }

    fn deployer(&self, hosts: Vec<Host>) -> Deployer {
        Deployer::new(Settings::new(hosts, self.path("packages"))).unwrap()
    }

    /// Writes a package whose service is a process that sleeps, and gives its name.
    fn package(&self, version: &str, health: &str, ballast: usize) -> String {
        let manifest = format!(
            "name: web\nversion: {version}\nrequires: {{ commands: [sleep, kill] }}\n\
             health: {{ script: scripts/health.sh, interval: 1, timeout: 3 }}\n"
        );
        let files = [
            ("manifest.yaml", manifest.into_bytes()),
            ("scripts/start.sh", b"#!/bin/sh\nsleep 1000 &\necho $! > pid\n".to_vec()),
            (
                "scripts/stop.sh",
                b"#!/bin/sh\n[ ! -e pid ] || kill \"$(cat pid)\"\nrm -f pid\n".to_vec(),
            ),
            ("scripts/health.sh", format!("#!/bin/sh\n{health}\n").into_bytes()),
            ("lib/ballast", noise(ballast)),
        ];
        let sources = files.map(|(path, bytes)| Source {
            path: EntryPath::read(path.as_bytes()).unwrap(),
            executable: false,
            content: Content::Bytes(bytes),
        });
        let file = format!("web-{version}.tar.gz");
        let out = fs::File::create(self.path("packages").join(&file)).unwrap();
        package::build(sources.into(), &Limits::default(), out).unwrap();
        file
    }

    /// Where the link leads.
    fn current(&self) -> Option<PathBuf> {
        fs::read_link(self.path("opt/web")).ok()
    }

    fn runs(&self, version: &str) -> bool {
        let pid = fs::read_to_string(self.path(&format!("opt/web-{version}/pid")));
        let stat = pid.and_then(|pid| fs::read_to_string(format!("/proc/{}/stat", pid.trim())));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    fn only_runs(&self, version: &str) {
        assert_eq!(self.current(), Some(PathBuf::from(format!("web-{version}"))));
        assert!(self.runs(version), "{version} should run");
    }

    /// Breaks every connection, as a cable would that is cut.
    fn cut(&self) {
        let server = self.server.id();
        let sessions =
            fs::read_to_string(format!("/proc/{server}/task/{server}/children")).unwrap();
        assert!(!sessions.trim().is_empty(), "there was no connection");
        let mut kill = Command::new("kill");
        kill.arg("-KILL").args(sessions.split_ascii_whitespace());
        assert!(kill.status().unwrap().success());
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.path("opt")).unwrap() {
            if let Ok(pid) = fs::read_to_string(entry.unwrap().path().join("pid")) {
                let _ = Command::new("kill").arg(pid.trim()).stderr(Stdio::null()).status();
            }
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// `None` if somebody took the port meanwhile.
fn serve(folder: &Path) -> Option<(Child, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let at = folder.display();
    let configuration = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {at}/host\nAuthorizedKeysFile {at}/user.pub\n\
         PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
         PermitRootLogin prohibit-password\n"
    );
    fs::write(folder.join("sshd_config"), configuration).unwrap();
    // Where the server locks itself in before it knows who is there; the system's start makes it.
    let _ = fs::create_dir("/run/sshd");
    let mut server = Command::new("/usr/sbin/sshd");
    server.args(["-D", "-e", "-f"]).arg(folder.join("sshd_config"));
    server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut server = server.spawn().expect("/usr/sbin/sshd: install openssh-server");
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut said = Vec::new();
    for line in lines.by_ref() {
        if line.contains("Server listening") {
            std::thread::spawn(move || lines.for_each(drop));
            return Some((server, port));
        }
        said.push(line);
    }
    server.wait().unwrap();
    assert!(said.iter().any(|line| line.contains("in use")), "sshd does not start: {said:?}");
    None
}

/// What does not get smaller by packing.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

async fn ended(mut deployment: Deployment) -> (Vec<Step>, Result<(), Failed>) {
    let mut steps = Vec::new();
    while let Some(progress) = deployment.progress.recv().await {
        if steps.last() != Some(&progress.step) {
            steps.push(progress.step);
        }
    }
    (steps, deployment.ended().await)
}

async fn reached(deployment: &mut Deployment, step: Step) {
    while let Some(progress) = deployment.progress.recv().await {
        if progress.step == step {
            return;
        }
    }
    panic!("{step:?} was not reached");
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what} did not come"));
}

#[tokio::test]
async fn a_version_replaces_another_and_one_that_is_not_well_does_not() {
    let ground = Ground::new();
    let deployer = ground.deployer(vec![ground.host()]);
    let first = deployer.deploy(&ground.package("1", WELL, 0), None).unwrap();
    assert_eq!(first.host, "edge-1");
    let (steps, end) = ended(first).await;
    end.unwrap();
    use Step::*;
    assert_eq!(
        steps,
        [Check, Connect, Requires, Upload, Unpack, Switch, Start, Health, Clean, Done]
    );
    ground.only_runs("1");

    let sick = ground.package("2", "echo out of order\nexit 1", 0);
    let (steps, end) = ended(deployer.deploy(&sick, Some("edge-1")).unwrap()).await;
    assert_eq!(
        end.unwrap_err().to_string(),
        "rolled back: scripts/health.sh of web-2 did not succeed within 3 s"
    );
    assert_eq!(steps[5..], [StopOld, Switch, Start, Health, Rollback, RolledBack]);
    ground.only_runs("1");

    let better = ground.package("3", WELL, 0);
    ended(deployer.deploy(&better, None).unwrap()).await.1.unwrap();
    ground.only_runs("3");
    assert!(!ground.runs("1"));
    deployer.close().await;
    assert_eq!(deployer.deploy(&better, None).unwrap_err(), Refused::Ending);
}

#[tokio::test]
async fn another_host_key_is_refused_before_anything_is_sent() {
    let ground = Ground::new();
    let package = ground.package("1", WELL, 0);
    let other = fs::read_to_string(ground.path("other.pub")).unwrap();
    for pinned in [ground.fingerprint("other.pub"), other] {
        let host_key = HostKey::read(&pinned).unwrap();
        let deployer = ground.deployer(vec![Host { host_key, ..ground.host() }]);
        let (steps, end) = ended(deployer.deploy(&package, None).unwrap()).await;
        let failed = end.unwrap_err();
        assert!(matches!(failed, Failed::HostKey(_) | Failed::Ssh(_)), "{failed:?}");
        assert!(!steps.contains(&Step::Upload), "{steps:?}");
        assert_eq!(fs::read_dir(ground.path("opt")).unwrap().count(), 0);
    }
    // The right one, all of it.
    let whole = fs::read_to_string(ground.path("host.pub")).unwrap();
    let host_key = HostKey::read(&whole).unwrap();
    let deployer = ground.deployer(vec![Host { host_key, ..ground.host() }]);
    ended(deployer.deploy(&package, None).unwrap()).await.1.unwrap();
    ground.only_runs("1");
}

#[tokio::test]
async fn who_is_not_let_in_changes_nothing() {
    let ground = Ground::new();
    let package = ground.package("1", WELL, 0);
    let deployer = ground.deployer(vec![Host { key: ground.path("other"), ..ground.host() }]);
    let failed = ended(deployer.deploy(&package, None).unwrap()).await.1.unwrap_err();
    assert!(failed.to_string().contains("Permission denied"), "{failed}");

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let deployer = ground.deployer(vec![Host { port: nobody, ..ground.host() }]);
    let failed = ended(deployer.deploy(&package, None).unwrap()).await.1.unwrap_err();
    assert!(matches!(failed, Failed::Unreachable(_)), "{failed:?}");
}

#[tokio::test]
async fn only_what_is_allowed_is_deployed_to_where_it_is_allowed() {
    let ground = Ground::new();
    let package = ground.package("1", WELL, 0);
    let off = ground.deployer(Vec::new());
    assert_eq!(off.deploy(&package, None).unwrap_err(), Refused::Off);
    assert_eq!(off.deploy(&package, Some("edge-1")).unwrap_err(), Refused::Off);

    let host = ground.host();
    let two = ground.deployer(vec![host.clone(), Host { name: "edge-2".to_owned(), ..host }]);
    assert_eq!(two.deploy(&package, None).unwrap_err(), Refused::Which);
    for other in ["edge-3", "127.0.0.1", ""] {
        let refused = two.deploy(&package, Some(other)).unwrap_err();
        assert_eq!(refused, Refused::Host(other.to_owned()));
    }
    std::os::unix::fs::symlink("/etc/passwd", ground.path("packages/link")).unwrap();
    fs::write(ground.path("outside"), "x").unwrap();
    for path in ["/etc/passwd", "../outside", "link", "none.tar.gz", "", "."] {
        let refused = two.deploy(path, Some("edge-1")).unwrap_err();
        assert_eq!(refused, Refused::Package(path.to_owned()));
    }
    let missing = Settings::new(vec![ground.host()], ground.path("nowhere"));
    assert!(matches!(Deployer::new(missing), Err(BadSettings::Packages { .. })));
    let settings = Settings::new(vec![ground.host()], ground.path("packages"));
    let missing = Settings { ssh: "no-such-ssh".into(), ..settings };
    assert!(matches!(Deployer::new(missing), Err(BadSettings::Program(_))));

    fs::write(ground.path("packages/bad.tar.gz"), "no archive").unwrap();
    let (steps, end) = ended(two.deploy("bad.tar.gz", Some("edge-1")).unwrap()).await;
    assert_eq!(steps, [Step::Check, Step::Failed]);
    assert!(matches!(end, Err(Failed::Package(_))));
    let first = two.deploy(&package, Some("edge-1")).unwrap();
    let refused = two.deploy(&package, Some("edge-1")).unwrap_err();
    assert_eq!(refused, Refused::Busy("edge-1".to_owned()));
    ended(first).await.1.unwrap();
}

/// Deploys until a step begins, and is gone then with everything it had, as a killed process is.
async fn killed_at(ground: &Ground, package: &str, step: Step) {
    let deployer = ground.deployer(vec![ground.host()]);
    let package = package.to_owned();
    let elsewhere = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut deployment = deployer.deploy(&package, None).unwrap();
            tokio::time::timeout(PATIENCE, reached(&mut deployment, step)).await.unwrap();
        });
        runtime.shutdown_background();
    });
    elsewhere.await.unwrap();
}

#[tokio::test]
async fn who_is_killed_in_the_middle_leaves_the_old_version() {
    let ground = Ground::new();
    let deployer = ground.deployer(vec![ground.host()]);
    let first = ground.package("1", WELL, 0);
    ended(deployer.deploy(&first, None).unwrap()).await.1.unwrap();

    let heavy = ground.package("2", WELL, 8 << 20);
    killed_at(&ground, &heavy, Step::Upload).await;
    ground.only_runs("1");

    // The old one is stopped by then; the host goes on alone, finds the new one sick, and goes back.
    let sick = ground.package("3", "exit 1", 0);
    killed_at(&ground, &sick, Step::Health).await;
    let back = || ground.current() == Some("web-1".into()) && ground.runs("1");
    until("the old version", back).await;
    let unlocked = || !ground.path("opt/.proxyd-web.lock").is_symlink();
    until("the end of the lock", unlocked).await;

    ended(deployer.deploy(&heavy, None).unwrap()).await.1.unwrap();
    ground.only_runs("2");
}

#[tokio::test]
async fn after_a_broken_connection_the_host_is_asked_how_it_ended() {
    let ground = Ground::new();
    let deployer = ground.deployer(vec![ground.host()]);
    let first = ground.package("1", WELL, 0);
    ended(deployer.deploy(&first, None).unwrap()).await.1.unwrap();
    for (version, cut_well, runs) in [("2", true, "2"), ("3", false, "2")] {
        let package = ground.package(version, &format!("[ -e ../well-{version} ]"), 0);
        let mut deployment = deployer.deploy(&package, None).unwrap();
        reached(&mut deployment, Step::Health).await;
        ground.cut();
        if cut_well {
            fs::write(ground.path(&format!("opt/well-{version}")), "").unwrap();
        }
        let (_, end) = ended(deployment).await;
        assert_eq!(end.is_ok(), cut_well, "{end:?}");
        assert!(end.is_ok() || matches!(end, Err(Failed::RolledBack(_))), "{end:?}");
        ground.only_runs(runs);
    }
}
