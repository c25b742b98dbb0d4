//! Packages, from a folder to a service that runs on a host of its own: Debian's `sshd` on loopback.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use proxyd_e2e::dialects::{api, is_everywhere, last_words, regctl};
use proxyd_e2e::{Proxy, Sshd, binary, free_port, wait_for};
use serde_json::Value;
use tempfile::TempDir;

/// A proxy that may deploy to a host, and to one that shows another key than it should.
struct Ground {
    proxy: Proxy,
    sshd: Sshd,
    folder: TempDir,
    port: u16,
}

impl Ground {
    fn new() -> Self {
        let (sshd, folder) = (Sshd::start(), tempfile::tempdir().unwrap());
        fs::create_dir(folder.path().join("packages")).unwrap();
        let host = |name: &str, key: &str| {
            format!(
                "[[service_api.deploy_hosts]]\nname = {name:?}\naddress = \"127.0.0.1\"\n\
                 port = {}\nuser = {:?}\nkey = {:?}\nhost_key = {:?}\nroot = {:?}\n",
                sshd.port(),
                sshd.user(),
                sshd.key(),
                sshd.fingerprint(key),
                sshd.root(),
            )
        };
        let sections = format!(
            "[heartbeat]\nlisten = \"127.0.0.1:0\"\n[dns]\nlisten = \"127.0.0.1:0\"\n\
             [service_proxy]\ntcp = \"127.0.0.1:0\"\n\
             [json_rpc]\nlisten = \"127.0.0.1:0\"\nbackends = {:?}\n\
             [service_api]\nlisten = \"127.0.0.1:0\"\ndeploy_packages = {:?}\n{}{}",
            folder.path().join("backends.toml"),
            folder.path().join("packages"),
            host("edge-1", "host.pub"),
            host("edge-2", "other.pub"),
        );
        let proxy = Proxy::start_with(&sections);
        Self { proxy, sshd, folder, port: free_port().port() }
    }

    fn packages(&self, file: &str) -> PathBuf {
        self.folder.path().join("packages").join(file)
    }

    /// Has `regctl` make a package of a folder. Its service answers HTTP with its version.
    fn build(&self, version: &str, health: &str, seconds: u8) {
        let source = self.folder.path().join(format!("source-{version}"));
        let manifest = format!(
            "name: web\nversion: {version}\nrequires: {{ commands: [python3] }}\n\
             service: {{ ports: [{{ name: http, port: {}, protocol: http }}] }}\n\
             health: {{ script: scripts/health.sh, interval: 1, timeout: {seconds} }}\n",
            self.port
        );
        let server = "import http.server, sys\n\
            class Answer(http.server.BaseHTTPRequestHandler):\n    \
            protocol_version = 'HTTP/1.1'\n    \
            def do_GET(self):\n        \
            body = b'web ' + sys.argv[2].encode()\n        \
            self.send_response(200)\n        \
            self.send_header('Content-Length', str(len(body)))\n        \
            self.end_headers()\n        \
            self.wfile.write(body)\n\
            http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Answer).serve_forever()\n";
        let start = format!(
            "#!/bin/sh\npython3 bin/web {} \"$PACKAGE_VERSION\" >> web.log 2>&1 &\necho $! > pid\n",
            self.port
        );
        let stop = "#!/bin/sh\n[ -e pid ] || exit 0\nkill \"$(cat pid)\" 2>/dev/null\n\
            while kill -0 \"$(cat pid)\" 2>/dev/null; do sleep 1; done\nrm -f pid\n";
        let health = format!("#!/bin/sh\n{health}\n");
        let files = [
            ("manifest.yaml", &*manifest),
            ("bin/web", server),
            ("scripts/start.sh", &start),
            ("scripts/stop.sh", stop),
            ("scripts/health.sh", &health),
        ];
        for (path, text) in files {
            let path = source.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let file = self.packages(&format!("web-{version}.tar.gz"));
        let (source, file) = (source.to_str().unwrap(), file.to_str().unwrap());
        let built = regctl(&self.proxy, &["package", "build", source, "-o", file]);
        assert_eq!(built["data"]["file"], file);
    }

    /// The answers of the host's service.
    fn well(&self) -> String {
        format!("exec curl -sf -m 2 http://127.0.0.1:{}/", self.port)
    }

    /// Through the service API, with Python's websockets: what `programs/deployment.py` prints.
    fn by_api(&self, package: &str, target: &str) -> Value {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/deployment.py");
        let port = self.proxy.port("service_api").port().to_string();
        let output = Command::new("python3").args([program, &port, package, target]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Through `regctl`: its exit code, the stages, and its last line.
    fn by_regctl(&self, package: &str, more: &[&str]) -> (i32, Vec<String>, Value) {
        let mut command = Command::new(binary("regctl"));
        command.arg("--json").arg("--socket").arg(self.proxy.admin_socket());
        let output = command.args(["package", "deploy", package]).args(more).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let last = lines.pop().unwrap();
        (output.status.code().unwrap(), lines.iter().map(stage).collect(), last)
    }

    /// Which version runs: where the link leads, what answers there and by its name through the
    /// proxy, and what the catalog says.
    fn runs(&self, version: &str) {
        let link = fs::read_link(self.sshd.root().join("web")).unwrap();
        assert_eq!(link, PathBuf::from(format!("web-{version}")));
        let request = b"web\nGET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
        let wanted = format!("web {version}");
        wait_for(&wanted, || {
            let said = last_words(self.proxy.port("service_proxy.tcp"), request);
            said.contains(&wanted).then_some(())
        });
        let web = regctl(&self.proxy, &["service", "web"]);
        let [web] = web["data"]["instances"].as_array().unwrap().as_slice() else {
            panic!("{web}")
        };
        assert_eq!((&web["instance"], &web["state"]), (&"edge-1".into(), &"running".into()));
        assert_eq!((&web["version"], &web["source"]), (&version.into(), &"api".into()));
        wait_for("its health", || {
            let resolved = &regctl(&self.proxy, &["resolve", "web"])["data"]["endpoints"][0];
            (resolved["standing"] == "good" && resolved["healthy"] == true).then_some(())
        });
    }

    /// What is there, without what is hidden.
    fn deployed(&self) -> Vec<String> {
        let entries = fs::read_dir(self.sshd.root()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }
}

fn stage(line: &Value) -> String {
    let data = if line["event"] == "deployment_progress" { &line["data"] } else { line };
    data["stage"].as_str().unwrap().to_owned()
}

/// Each once: scripts may tell more than a line.
fn stages(events: &Value) -> Vec<String> {
    let mut stages: Vec<_> = events.as_array().unwrap().iter().map(stage).collect();
    stages.dedup();
    stages
}

const WHOLE: [&str; 10] = [
    "check", "connect", "requires", "upload", "unpack", "switch", "start", "health", "clean",
    "done",
];

/// What proxyd knows of the service, but for what checks find anew after a restart.
fn remembered(proxy: &Proxy) -> Value {
    let mut shown = regctl(proxy, &["service", "web"])["data"].take();
    for instance in shown["instances"].as_array_mut().unwrap() {
        instance["last_seen"].take();
        for endpoint in instance["endpoints"].as_array_mut().unwrap() {
            for key in ["standing", "healthy", "reason", "checked_at"] {
                endpoint[key].take();
            }
        }
    }
    shown
}

#[test]
fn a_package_runs_is_found_everywhere_and_one_that_is_not_well_goes_back() {
    let mut ground = Ground::new();
    ground.build("1", &ground.well(), 20);
    let said = ground.by_api("web-1.tar.gz", "edge-1");
    assert_eq!(said["error"], Value::Null);
    assert_eq!(stages(&said["events"]), WHOLE);
    let events = said["events"].as_array().unwrap();
    let (first, last) = (&events[0], events.last().unwrap());
    assert_eq!((&first["service"], &first["version"]), (&"web-1.tar.gz".into(), &Value::Null));
    assert_eq!((&last["service"], &last["version"]), (&"web".into(), &"1".into()));
    assert_eq!((&last["target_node"], &last["percent"]), (&"edge-1".into(), &100.into()));
    assert_eq!(said["result"]["service"], "web");
    is_everywhere(&ground.proxy, "web");
    ground.runs("1");

    // Its own script says that it is not well.
    ground.build("2", "echo out of order\nexit 1", 2);
    let (code, stages, end) = ground.by_regctl("web-2.tar.gz", &["--target", "edge-1"]);
    assert_eq!((code, end["ok"].as_bool()), (1, Some(false)));
    let why = end["error"].as_str().unwrap();
    assert_eq!(
        why,
        "rolled back: scripts/health.sh of web-2 did not succeed within 2 s; the log of web-2 ends: out of order"
    );
    assert_eq!(stages.last().unwrap(), "rolled_back");
    assert!(stages.contains(&"stop_old".to_owned()), "{stages:?}");
    ground.runs("1");
    assert_eq!(ground.deployed(), ["web", "web-1"]);

    let before = remembered(&ground.proxy);
    ground.proxy.kill_and_move();
    assert_eq!(remembered(&ground.proxy), before);
    ground.runs("1");
    let (code, _, end) = ground.by_regctl("web-1.tar.gz", &["--target", "edge-1"]);
    assert_eq!(code, 1);
    assert!(end["error"].as_str().unwrap().contains("web 1 is there already"), "{end}");

    ground.build("3", &ground.well(), 20);
    let path = ground.packages("web-3.tar.gz");
    let (code, mut stages, end) = ground.by_regctl(path.to_str().unwrap(), &["--target", "edge-1"]);
    stages.dedup();
    assert_eq!((code, &end["data"]["version"]), (0, &"3".into()), "{end}");
    let mut whole = WHOLE.to_vec();
    whole.insert(5, "stop_old");
    assert_eq!(stages, whole);
    ground.runs("3");
    is_everywhere(&ground.proxy, "web");
}

#[test]
fn what_may_not_be_deployed_changes_nothing() {
    let ground = Ground::new();
    ground.build("1", &ground.well(), 20);
    let hostile = "import io, sys, tarfile\n\
        with tarfile.open(sys.argv[1], 'w:gz') as archive:\n    \
        info = tarfile.TarInfo('../escaped')\n    \
        info.size = 1\n    \
        archive.addfile(info, io.BytesIO(b'x'))\n";
    let made = Command::new("python3")
        .args(["-c", hostile])
        .arg(ground.packages("evil-1.tar.gz"))
        .status()
        .unwrap();
    assert!(made.success());
    let folder = ground.folder.path().join("packages").canonicalize().unwrap();
    let none = format!("no package `web-9.tar.gz` in {} (`deploy_packages`)", folder.display());
    let outside = ground.folder.path().join("evil-1.tar.gz");
    fs::copy(ground.packages("evil-1.tar.gz"), &outside).unwrap();
    let outside = outside.to_str().unwrap();

    let (edge, wrong) = (["--target", "edge-1"], ["--target", "edge-2"]);
    #[rustfmt::skip]
    let table: [(&str, &[&str], i32, &str); 6] = [
        ("evil-1.tar.gz", &edge,                   1, ".."),
        ("web-1.tar.gz",  &wrong,                  1, "the host shows other keys than the pinned one"),
        ("web-1.tar.gz",  &["--target", "edge-3"], 3, "host `edge-3` is not allowed (`deploy_hosts`)"),
        ("web-1.tar.gz",  &[],                     3, "more than one host is allowed: name one"),
        ("web-9.tar.gz",  &edge,                   6, &none),
        (outside,         &edge,                   6, "/packages (`deploy_packages`)"),
    ];
    for (package, more, code, says) in table {
        let (ended, stages, end) = ground.by_regctl(package, more);
        let error = end["error"].as_str().unwrap();
        assert!(error.contains(says), "{package} {more:?}: {error}");
        assert_eq!((ended, end["code"].as_i64()), (code, Some(code.into())), "{package} {more:?}");
        assert!(!stages.contains(&"upload".to_owned()), "{stages:?}");
    }
    for (package, target) in [("evil-1.tar.gz", "edge-1"), ("web-1.tar.gz", "edge-2")] {
        let said = ground.by_api(package, target);
        let message = said["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("Package error: "), "{message}");
        assert_eq!(stages(&said["events"]).last().unwrap(), "failed");
    }
    assert_eq!(ground.deployed(), [""; 0]);
    assert_eq!(api(&ground.proxy, "list_services", serde_json::json!({})), serde_json::json!([]));
}
