//! Deployments to Debian's own `sshd`, on loopback, with keys that live as long as the test.
//!
//! Needs `openssh-server` and `openssh-client`; nobody has to be root.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use package::{Content, EntryPath, Limits, Manifest, Source};
use proxyd_deploy::{
    BadSettings, Deployer, Deployment, Failed, Host, HostKey, Refused, Root, Settings, Step,
};
use proxyd_e2e::Sshd;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Well at once.
const WELL: &str = "true";

/// A server of its own, and a folder of packages.
struct Ground {
    sshd: Sshd,
}

impl Ground {
    fn new() -> Self {
        let sshd = Sshd::start();
        fs::create_dir(sshd.path("packages")).unwrap();
        Self { sshd }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.sshd.path(name)
    }

    fn host(&self) -> Host {
        Host {
            name: "edge-1".to_owned(),
            address: "127.0.0.1".to_owned(),
            port: self.sshd.port(),
            user: self.sshd.user(),
            key: self.sshd.key(),
            host_key: HostKey::read(&self.sshd.fingerprint("host.pub")).unwrap(),
            root: Root::read(self.sshd.root().to_str().unwrap()).unwrap(),
        }
    }

    fn deployer(&self, hosts: Vec<Host>) -> Deployer {
        Deployer::new(Settings::new(hosts, self.path("packages"))).unwrap()
    }

    fn package(&self, version: &str, health: &str, ballast: usize) -> String {
        self.package_that(version, "", health, ballast)
    }

    /// Writes a package whose service is a process that sleeps, and gives its name.
    fn package_that(&self, version: &str, start: &str, health: &str, ballast: usize) -> String {
        let manifest = format!(
            "name: web\nversion: {version}\nrequires: {{ commands: [sleep, kill] }}\n\
             health: {{ script: scripts/health.sh, interval: 1, timeout: 3 }}\n"
        );
        let files = [
            ("manifest.yaml", manifest.into_bytes()),
            (
                "scripts/start.sh",
                format!("#!/bin/sh\n{start}\nsleep 1000 &\necho $! > pid\n").into_bytes(),
            ),
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

    /// The line of the `.pub` file of a new key.
    fn key(&self, kind: &str) -> String {
        let path = self.path(kind);
        let mut keygen = Command::new("ssh-keygen");
        let keygen = keygen.args(["-q", "-t", kind, "-N", "", "-f"]).arg(&path);
        assert!(keygen.status().unwrap().success());
        fs::read_to_string(path.with_extension("pub")).unwrap().trim().to_owned()
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

async fn ended(mut deployment: Deployment) -> (Vec<Step>, Result<Manifest, Failed>) {
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
    assert_eq!(first.host, ground.host());
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
        "rolled back: scripts/health.sh of web-2 did not succeed within 3 s; the log of web-2 ends: out of order"
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
    for pinned in [ground.sshd.fingerprint("other.pub"), other] {
        let host_key = HostKey::read(&pinned).unwrap();
        let deployer = ground.deployer(vec![Host { host_key, ..ground.host() }]);
        let (steps, end) = ended(deployer.deploy(&package, None).unwrap()).await;
        let failed = end.unwrap_err();
        let shown = ground.sshd.fingerprint("host.pub");
        assert!(matches!(&failed, Failed::HostKey(keys) if keys.contains(&shown)), "{failed:?}");
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

/// A server that lets in no more connections for a while drops some of those that ask for its keys.
#[tokio::test]
async fn a_key_that_was_not_shown_is_no_other_key() {
    let ground = Ground::new();
    let package = ground.package("1", WELL, 0);
    let whole = HostKey::read(&fs::read_to_string(ground.path("host.pub")).unwrap()).unwrap();
    let hash = ground.host().host_key;
    let rsa = ground.key("rsa");
    let says = |shown: &str, complaints: &str| {
        let keyscan = ground.path("keyscan");
        let text = format!("#!/bin/sh\necho 'host {shown}'\nprintf '{complaints}' >&2\n");
        fs::write(&keyscan, text).unwrap();
        fs::set_permissions(&keyscan, Permissions::from_mode(0o755)).unwrap();
        keyscan
    };
    let banner = "# 127.0.0.1:22 SSH-2.0-OpenSSH_9.2\\n";
    let dropped = format!("read (127.0.0.1): Connection reset by peer\\n{banner}").repeat(2);
    let all = banner.repeat(3);
    let denied = "ssh: ";
    let hung_up = "cannot reach the host: it hung up before it had shown all of its keys";
    let others = "the host shows other keys than the pinned one";
    #[rustfmt::skip]
    let table = [
        // pinned  complaints  begins      holds
        (&whole,   &dropped,   denied,     "Permission denied"),
        (&whole,   &all,       denied,     "Permission denied"),
        (&hash,    &dropped,   hung_up,    "try again"),
        (&hash,    &all,       others,     "write that one in `host_key`"),
    ];
    for (pinned, complaints, begins, holds) in table {
        let host = Host { key: ground.path("other"), host_key: pinned.clone(), ..ground.host() };
        let settings = Settings::new(vec![host], ground.path("packages"));
        let deployer =
            Deployer::new(Settings { keyscan: says(&rsa, complaints), ..settings }).unwrap();
        let failed = ended(deployer.deploy(&package, None).unwrap()).await.1.unwrap_err();
        let failed = failed.to_string();
        assert!(failed.starts_with(begins) && failed.contains(holds), "{failed}");
    }
}

#[tokio::test]
async fn a_host_without_a_key_of_the_pinned_kind_is_told_from_one_with_another_key() {
    let ground = Ground::new();
    let package = ground.package("1", WELL, 0);
    let host_key = HostKey::read(&ground.key("ecdsa")).unwrap();
    let deployer = ground.deployer(vec![Host { host_key, ..ground.host() }]);
    let failed = ended(deployer.deploy(&package, None).unwrap()).await.1.unwrap_err().to_string();
    let shown = ground.sshd.fingerprint("host.pub");
    let kind = "the host shows no key of the kind of the pinned one, ecdsa-sha2-nistp256, but ";
    assert!(failed.starts_with(&format!("{kind}{shown}")), "{failed}");
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
    assert!(failed.to_string().contains("Connection refused"), "{failed}");
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
    let unlocked = || {
        let mut flock = Command::new("flock");
        let lock = ground.path("opt/.proxyd-web.lock");
        flock.arg("-n").arg(lock).arg("true").status().unwrap().success()
    };
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
        ground.sshd.cut();
        if cut_well {
            fs::write(ground.path(&format!("opt/well-{version}")), "").unwrap();
        }
        let (_, end) = ended(deployment).await;
        assert_eq!(end.is_ok(), cut_well, "{end:?}");
        assert!(end.is_ok() || matches!(end, Err(Failed::RolledBack(_))), "{end:?}");
        ground.only_runs(runs);
    }
    let left = fs::read_dir(ground.path("opt")).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(left.into_iter().all(|name| !name.ends_with(".ended")));
}

/// Where the link leads does not tell whether what is there runs.
#[tokio::test]
async fn a_way_back_that_failed_is_told_with_the_logs_of_both() {
    for is_cut in [false, true] {
        let ground = Ground::new();
        let deployer = ground.deployer(vec![ground.host()]);
        let once = "[ ! -e started ] || { echo port is taken; exit 1; }\ntouch started";
        let first = ground.package_that("1", once, WELL, 0);
        ended(deployer.deploy(&first, None).unwrap()).await.1.unwrap();
        let sick = ground.package("2", "echo out of order\nexit 1", 0);
        let mut deployment = deployer.deploy(&sick, None).unwrap();
        reached(&mut deployment, Step::Health).await;
        if is_cut {
            ground.sshd.cut();
        }
        let (_, end) = ended(deployment).await;
        let Err(Failed::Broken(why)) = end else { panic!("{end:?}") };
        let logs = "and web-1 did not start again; the log of web-2 ends: out of order; the log of \
                    web-1 ends: port is taken";
        assert!(why.ends_with(logs), "{is_cut}: {why}");
    }
}
