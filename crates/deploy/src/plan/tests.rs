//! The plan as a table, and its scripts in a shell of this machine: no SSH is needed to see what they do.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use package::{Content, EntryPath, Limits, Source};
use tempfile::TempDir;

use super::*;
use crate::heard::Heard;

/// The file of the lock, which stays.
const LOCK: &str = ".proxyd-web.lock";

/// A host that is a folder.
struct Ground {
    folder: TempDir,
}

/// What a task ended with, and the steps and reasons it told.
type Went = (i32, Vec<String>);

impl Ground {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Everything of one deployment; the scripts of the package append to `events`.
    fn deploy(&self, version: &str, health: &str, start: &str, stop: &str) -> Went {
        let (package, bytes) = archive(version, health, start, stop);
        self.deploy_package(&package, &bytes, version)
    }

    fn deploy_package(&self, package: &Package, bytes: &[u8], id: &str) -> Went {
        let plan = self.plan(package, bytes, id);
        for task in plan.preparations() {
            let (status, told) = run(&task, bytes);
            if status != 0 {
                return (status, told);
            }
        }
        let went = run(&plan.activation(), bytes);
        match went.0 {
            0 => assert_eq!(run(&plan.cleaning(), bytes).0, 0),
            _ => assert_eq!(run(&plan.discarding(), bytes).0, 0),
        }
        went
    }

    fn plan(&self, package: &Package, bytes: &[u8], id: &str) -> Plan {
        let root = Root::read(self.root().to_str().unwrap()).unwrap();
        let times = Times {
            stop: Duration::from_secs(2),
            start: Duration::from_secs(2),
            ..Times::default()
        };
        Plan::new(package, (&root, 1), id, bytes.len() as u64, times)
    }

    fn current(&self) -> Option<String> {
        let link = fs::read_link(self.root().join("web")).ok()?;
        Some(link.to_str().unwrap().to_owned())
    }

    fn events(&self) -> String {
        fs::read_to_string(self.root().join("events")).unwrap_or_default().replace('\n', " ")
    }

    /// Everything there, without what the scripts of packages wrote.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != "events" && name != LOCK);
        names.sort();
        names
    }
}

fn archive(version: &str, health: &str, start: &str, stop: &str) -> (Package, Vec<u8>) {
    let script = |what: &str, then: &str| {
        format!("#!/bin/sh\necho {what}-$PACKAGE_VERSION >> ../events\n{then}\n")
    };
    let manifest = format!(
        "name: web\nversion: {version}\nhealth: {{ script: well.sh, interval: 1, timeout: 1 }}\n"
    );
    let files = [
        ("manifest.yaml", manifest),
        ("well.sh", format!("#!/bin/sh\n{health}\n")),
        ("scripts/start.sh", script("start", start)),
        ("scripts/stop.sh", script("stop", stop)),
    ];
    let sources = files.map(|(path, text)| Source {
        path: EntryPath::read(path.as_bytes()).unwrap(),
        executable: path.ends_with(".sh"),
        content: Content::Bytes(text.into_bytes()),
    });
    let mut bytes = Vec::new();
    let package = package::build(sources.into(), &Limits::default(), &mut bytes).unwrap();
    (package, bytes)
}

/// As `sshd` would: the user's shell gets the command line, the script or the package come by pipe.
fn run(task: &Task, package: &[u8]) -> Went {
    let mut command = Command::new("sh");
    command.args(["-c", &task.command]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let input = match &task.input {
        Input::Script(script) => script.as_bytes(),
        Input::Package => package,
    };
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let told = said.lines().filter_map(Heard::read).filter_map(|heard| match heard {
        Heard::Step(step) => Some(step.name().to_owned()),
        Heard::Why(why) => Some(why),
        Heard::Ended(status) => Some(format!("ended {status}")),
        Heard::LogOf(_) | Heard::Log(_) => None,
    });
    (output.status.code().unwrap(), told.collect())
}

#[test]
fn tasks_come_in_order_and_with_bounds() {
    let (package, bytes) = archive("1", "true", "", "");
    let plan = Ground::new().plan(&package, &bytes, "id");
    let told = plan.preparations().map(|task| (task.step, task.limit.as_secs()));
    assert_eq!(told, [(Step::Requires, 20), (Step::Upload, 600), (Step::Unpack, 120)]);
    assert_eq!(plan.activation().limit.as_secs(), 2 * (2 + 2) + 1 + 30);
    assert_eq!(plan.settlement().limit, plan.activation().limit + Duration::from_secs(20));
}

#[test]
fn the_first_version_starts_and_the_next_replaces_it() {
    let ground = Ground::new();
    let (status, told) = ground.deploy("1", "true", "", "");
    assert_eq!((status, told.join(" ").as_str()), (0, "switch start health"));
    assert_eq!(ground.current().as_deref(), Some("web-1"));
    let (status, told) = ground.deploy("2", "true", "", "");
    assert_eq!((status, told.join(" ").as_str()), (0, "stop_old switch start health"));
    assert_eq!(ground.events(), "start-1 stop-1 start-2 ");
    assert_eq!(ground.names(), ["web", "web-1", "web-2"]);
    // One old version is kept.
    assert_eq!(ground.deploy("3", "true", "", "").0, 0);
    assert_eq!(ground.names(), ["web", "web-2", "web-3"]);
}

#[test]
fn whatever_fails_brings_the_old_version_back() {
    #[rustfmt::skip]
    let table = [
        // health       start       of the new one   what the scripts saw
        ("false",       "",         "",              "stop-1 start-2 stop-2 start-1 "),
        ("sleep 30",    "",         "",              "stop-1 start-2 stop-2 start-1 "),
        ("true",        "exit 1",   "",              "stop-1 start-2 stop-2 start-1 "),
        ("true",        "sleep 30", "",              "stop-1 start-2 stop-2 start-1 "),
        ("false",       "",         "exit 1",        "stop-1 start-2 stop-2 start-1 "),
    ];
    for (health, start, stop, saw) in table {
        let ground = Ground::new();
        assert_eq!(ground.deploy("1", "true", "", "").0, 0);
        let (status, told) = ground.deploy("2", health, start, stop);
        assert_eq!((status, told.last().unwrap().as_str()), (3, "rollback"), "{told:?}");
        assert_eq!(ground.current().as_deref(), Some("web-1"));
        assert_eq!(ground.events(), format!("start-1 {saw}"));
        assert_eq!(ground.names(), ["web", "web-1"], "nothing of the new one stays");
        // The same number again, mended.
        assert_eq!(ground.deploy("2", "true", "", "").0, 0);
    }
}

/// Whole seconds are all a shell has: one that begins right after the question is no second.
#[test]
fn a_service_is_asked_at_least_once() {
    let ground = Ground::new();
    let (package, bytes) = archive("1", "true", "", "");
    let plan = ground.plan(&package, &bytes, "id");
    for task in plan.preparations() {
        assert_eq!(run(&task, &bytes).0, 0);
    }
    let ticks = ground.root().join("events");
    let mut task = plan.activation();
    let Input::Script(script) = &mut task.input else { panic!("a script") };
    let clock = format!("date() {{ echo x >> {0}; wc -l < {0}; }}\n", ticks.display());
    script.insert_str(0, &clock);
    assert_eq!(run(&task, &bytes).0, 0);
}

#[test]
fn an_old_version_that_does_not_stop_stays() {
    let ground = Ground::new();
    assert_eq!(ground.deploy("1", "true", "", "exit 1").0, 0);
    let (status, told) = ground.deploy("2", "true", "", "");
    assert_eq!(status, 3);
    assert_eq!(told, ["stop_old", "scripts/stop.sh of web-1 failed", "rollback"]);
    assert_eq!(ground.events(), "start-1 stop-1 start-1 ");
    assert_eq!(ground.current().as_deref(), Some("web-1"));
}

#[test]
fn a_first_version_that_is_not_well_leaves_nothing() {
    let ground = Ground::new();
    assert_eq!(ground.deploy("1", "false", "", "").0, 3);
    assert_eq!(ground.events(), "start-1 stop-1 ");
    assert_eq!(ground.names(), [""; 0]);
}

#[test]
fn a_way_back_that_fails_is_told() {
    let ground = Ground::new();
    let once = "[ ! -e started ] || exit 1; touch started";
    assert_eq!(ground.deploy("1", "true", once, "").0, 0);
    let (status, told) = ground.deploy("2", "false", "", "");
    assert_eq!(status, 4);
    assert!(told.last().unwrap().ends_with("and web-1 did not start again"), "{told:?}");
    assert_eq!(ground.current().as_deref(), Some("web-1"));
}

#[test]
fn what_no_deployment_made_is_not_touched() {
    let made = |make: &dyn Fn(&Path)| {
        let ground = Ground::new();
        make(ground.root());
        let names = ground.names();
        let (status, told) = ground.deploy("1", "true", "", "");
        assert_eq!((status, ground.events().as_str()), (5, ""), "{told:?}");
        assert_eq!(ground.names(), names);
        told.concat()
    };
    let there = |told: String| assert!(told.contains("not put there"), "{told}");
    there(made(&|root| fs::create_dir(root.join("web")).unwrap()));
    there(made(&|root| fs::create_dir(root.join("web-1")).unwrap()));
    there(made(&|root| {
        // Another package whose name and version come to the same folder.
        fs::create_dir(root.join("web-1")).unwrap();
        fs::write(root.join("web-1/.proxyd-package"), "we b-1\n").unwrap();
    }));
}

#[test]
fn what_is_of_another_package_with_a_longer_name_stays() {
    let ground = Ground::new();
    let (theirs, ours) =
        ([".proxyd-web-admin.lock", ".proxyd-web-admin@1.x.tar.gz"], ".proxyd-web@0.9.x.tar.gz");
    for name in theirs.iter().chain([&ours]) {
        let file = fs::File::create(ground.root().join(name)).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }
    assert_eq!(ground.deploy("1", "", "", "").0, 0);
    let there = |name: &&str| ground.root().join(name).exists();
    assert!(theirs.iter().all(there) && !there(&ours), "{:?}", ground.names());
}

#[test]
fn one_at_a_time_and_a_lock_ends_with_who_held_it() {
    let ground = Ground::new();
    // Left by one that is gone.
    fs::write(ground.root().join(LOCK), "").unwrap();
    let (first, bytes) = archive("1", "true", "sleep 1000", "");
    let plan = ground.plan(&first, &bytes, "id");
    for task in plan.preparations() {
        assert_eq!(run(&task, &bytes).0, 0);
    }
    let task = plan.activation();
    let Input::Script(script) = &task.input else { panic!("a script") };
    // As long as the start takes, which is said to last a thousand seconds.
    let script = script.replace("start_seconds='2'", "start_seconds='1000'");
    let mut holder = Command::new("sh");
    holder.args(["-c", &task.command]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut holder = holder.spawn().unwrap();
    holder.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    while !ground.events().contains("start-1") {
        std::thread::yield_now();
    }
    let (status, told) = ground.deploy("2", "true", "", "");
    assert_eq!((status, ground.events().as_str()), (5, "start-1 "));
    assert!(told.concat().contains("another deployment of web is at work"), "{told:?}");

    // What it started goes on and holds nothing.
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(ground.deploy("2", "true", "", "").0, 0);
    assert_eq!(ground.current().as_deref(), Some("web-2"));
    let mut pkill = Command::new("sh");
    let folder = ground.root().join("web-1").display().to_string();
    let end =
        "for p in /proc/[0-9]*; do [ \"$(readlink $p/cwd)\" != \"$0\" ] || kill ${p#/proc/}; done";
    pkill.args(["-c", end, &folder]).status().unwrap();
}

#[test]
fn a_link_that_leads_elsewhere_is_refused() {
    for target in ["/etc", "..", "other-1", "web-1/../.."] {
        let ground = Ground::new();
        std::os::unix::fs::symlink(target, ground.root().join("web")).unwrap();
        assert_eq!(ground.deploy("1", "true", "", "").0, 5, "{target}");
        assert_eq!(ground.current().as_deref(), Some(target));
    }
}

#[test]
fn the_same_version_again_is_refused() {
    let ground = Ground::new();
    assert_eq!(ground.deploy("1", "true", "", "").0, 0);
    let (status, told) = ground.deploy("1", "true", "", "");
    assert_eq!((status, ground.events().as_str()), (5, "start-1 "));
    assert_eq!(told, ["web 1 is there already: what changed needs another version"]);
}

#[test]
fn a_host_that_lacks_something_is_asked_before_anything_is_sent() {
    let manifest = |requires: &str| format!("name: web\nversion: 1\nrequires: {{ {requires} }}\n");
    #[rustfmt::skip]
    let table = [
        ("commands: [sh, tar]",          0, ""),
        ("commands: [sh, no-such-tool]", 5, "the host has no no-such-tool"),
        ("libraries: [libc.so]",         0, ""),
        ("libraries: [libnone.so.9]",    5, "the host has no libnone.so.9"),
    ];
    for (requires, status, says) in table {
        let (mut package, bytes) = archive("1", "true", "", "");
        let text = manifest(requires);
        package.manifest = package::Manifest::parse(package::Format::Yaml, &text).unwrap();
        let ground = Ground::new();
        let [asked, ..] = ground.plan(&package, &bytes, "id").preparations();
        let (ended, told) = run(&asked, &bytes);
        assert_eq!((ended, told.concat().as_str()), (status, says));
    }
}

#[test]
fn half_an_upload_or_half_a_script_does_nothing() {
    let ground = Ground::new();
    let (package, bytes) = archive("1", "true", "", "");
    let plan = ground.plan(&package, &bytes, "id");
    let [_, upload, unpack] = plan.preparations();
    assert_eq!(run(&upload, &bytes[..bytes.len() / 2]).0, 0);
    assert_eq!(run(&unpack, &bytes), (5, vec!["the upload is not whole".to_owned()]));
    assert_eq!(run(&plan.discarding(), &bytes).0, 0);
    assert_eq!(ground.names(), [""; 0]);

    let mut cut = plan.activation();
    let Input::Script(script) = &mut cut.input else { panic!("a script") };
    script.truncate(script.len() - "\nmain </dev/null\n".len());
    run(&cut, &bytes);
    assert_eq!((ground.names(), ground.events().as_str()), (Vec::new(), ""));
}

#[test]
fn words_of_a_manifest_are_only_words() {
    let ground = Ground::new();
    let (mut package, _) = archive("1", "true", "", "");
    let script = "it's $(touch pwned) `touch pwned` \"; touch pwned #.sh";
    let health = package.manifest.health.as_mut().unwrap();
    health.script = EntryPath::read(script.as_bytes()).unwrap();
    let source = |path: &str, text: &str| Source {
        path: EntryPath::read(path.as_bytes()).unwrap(),
        executable: true,
        content: Content::Bytes(text.as_bytes().to_vec()),
    };
    let manifest = "name: web\nversion: 1\n";
    let sources = vec![
        source("manifest.yaml", manifest),
        source(script, "#!/bin/sh\n"),
        source("scripts/start.sh", "#!/bin/sh\n"),
        source("scripts/stop.sh", "#!/bin/sh\n"),
    ];
    let mut bytes = Vec::new();
    package::build(sources, &Limits::default(), &mut bytes).unwrap();
    assert_eq!(ground.deploy_package(&package, &bytes, "id").0, 0);
    assert_eq!(ground.names(), ["web", "web-1"]);
    assert!(!Path::new("pwned").exists());
    let mode = fs::metadata(ground.root().join("web-1")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
}

#[test]
fn how_it_ended_can_be_asked_afterwards() {
    let ground = Ground::new();
    // Start scripts of a package whose second start fails.
    let once = "[ ! -e started ] || exit 1; touch started";
    #[rustfmt::skip]
    let table = [
        // version  health    start  says
        ("1",       "true",   once,  ["ended 0", ""]),
        ("1",       "true",   "",    ["ended 5", "web 1 is there already"]),
        ("2",       "false",  "",    ["ended 4", "well.sh of web-2 did not succeed within 1 s; and web-1 did not start again"]),
        ("3",       "true",   "",    ["ended 0", ""]),
        ("4",       "false",  "",    ["ended 3", "well.sh of web-4 did not succeed within 1 s"]),
    ];
    for (version, health, start, says) in table {
        let (package, bytes) = archive(version, health, start, "");
        let plan = ground.plan(&package, &bytes, "id");
        let [_, upload, unpack] = plan.preparations();
        assert_eq!((run(&upload, &bytes).0, run(&unpack, &bytes).0), (0, 0));
        run(&plan.activation(), &bytes);
        let said = run(&plan.settlement(), &bytes);
        assert_eq!(said, (0, says.map(str::to_owned).to_vec()), "{version}");
        assert_eq!(run(&plan.discarding(), &bytes).0, 0);
    }
    // A way back that failed leaves what somebody may want to look at.
    assert_eq!(ground.names(), ["web", "web-1", "web-2", "web-3"]);
}

#[test]
fn what_did_not_begin_can_be_asked_and_does_not_begin_later() {
    let ground = Ground::new();
    let (package, bytes) = archive("1", "true", "", "");
    let plan = ground.plan(&package, &bytes, "id");
    let [_, upload, unpack] = plan.preparations();
    assert_eq!((run(&upload, &bytes).0, run(&unpack, &bytes).0), (0, 0));
    let never = (0, vec!["ended 5".to_owned(), "nothing was changed".to_owned()]);
    assert_eq!(run(&plan.settlement(), &bytes), never);
    assert_eq!(run(&plan.activation(), &bytes).0, 5);
    assert_eq!(run(&plan.discarding(), &bytes).0, 0);
    // Of one that was killed nobody knows.
    let unknown = (5, vec!["the host has not come to an end of it".to_owned()]);
    assert_eq!(run(&plan.settlement(), &bytes), unknown);
    assert_eq!((ground.names(), ground.events().as_str()), (Vec::new(), ""));
}
