//! The command line as people meet it. Also what makes the binary be built beside the tests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};

fn regctl(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regctl"));
    for variable in
        ["REGCTL_ADDR", "REGCTL_SOCKET", "REGCTL_TOKEN", "REGCTL_TOKEN_FILE", "REGCTL_CACERT"]
    {
        command.env_remove(variable);
    }
    command.args(args).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// All that is for people.
fn text_of(output: &Output) -> String {
    text(&output.stderr)
}

#[test]
fn it_says_what_it_can_do() {
    let help = regctl(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let help = text(&help.stdout);
    for word in ["apply", "explain", "raw", "route-add", "sessions", "top", "Exit codes"] {
        assert!(help.contains(word), "{word} is missing: {help}");
    }
    assert!(text(&regctl(&["--version"]).stdout).starts_with("regctl "));
}

#[test]
fn shells_learn_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = regctl(&["completion", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let script = text(&output.stdout);
        for word in ["regctl", "apply", "route-add", "drain", "wait", "backends", "source"] {
            assert!(script.contains(word), "{shell}: {word} is missing");
        }
    }
}

#[test]
fn wrong_words_are_usage_errors() {
    for words in [&["frobnicate"][..], &["drain", "a/b"], &["ping", "-s", "a/b", "-r", "a/b"], &[]]
    {
        let output = regctl(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{words:?}");
    }
}

#[test]
fn files_for_tls_go_together() {
    #[rustfmt::skip]
    let table = [
        (&["--cert", "c"][..],              "--cert and --key go together"),
        (&["--ca", "c", "--key", "k"],      "--cert and --key go together"),
        (&["--cert", "c", "--key", "k"],    "--cert wants --ca"),
        (&["--ca", "/nowhere/ca.pem"],      "/nowhere/ca.pem: "),
        (&["--ca", "/dev/null"],            "/dev/null: holds no certificate"),
    ];
    for (words, says) in table {
        let output = regctl(&[words, &["raw", "PING|x"]].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(says), "{words:?}: {said}");
    }
}

/// The socket of this machine may be that of another proxyd than the one that was named.
#[test]
fn a_registry_alone_names_no_admin_socket() {
    for words in [
        &["services"][..],
        &["service", "a"],
        &["endpoints"],
        &["resolve", "a"],
        &["backends", "list"],
        &["ip", "list"],
        &["topology"],
        &["sessions"],
        &["package", "deploy", "web-1.tar.gz"],
        &["routes", "a/b"],
    ] {
        let output = regctl(&[&["--addr", "elsewhere:81"], words].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains("--addr elsewhere:81 is a registry"), "{words:?}: {said}");
        assert!(said.contains("--socket PATH or REGCTL_SOCKET"), "{words:?}: {said}");
    }
    let socket = format!("{}/nobody.sock", env!("CARGO_TARGET_TMPDIR"));
    let both = regctl(&["--addr", "elsewhere:81", "--socket", &socket, "services"]);
    assert_eq!(both.status.code(), Some(4), "where both are named, it is asked there");
}

#[test]
fn a_ping_says_whom_it_is_for() {
    let output = regctl(&["ping"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for word in ["--register", "`regctl sessions`", "`regctl backends ping NAME`"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn mistakes_in_a_file_say_where() {
    let name = format!("{}/mistake.toml", env!("CARGO_TARGET_TMPDIR"));
    let file = "service = \"a\"\ninstance = \"b\"\n[[route]]\ndomains = [\"a.example\"]\n\
                path = \"/\"\nbackend = \"nowhere\"\n";
    std::fs::write(&name, file).expect("a file");
    let output = regctl(&["apply", "-f", &name, "--dry-run"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("{name}:6:")), "{said}");
}

/// Somebody who says the same to everybody, and goes.
fn somebody(says: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).expect("a line");
            stream.write_all(says.as_bytes()).expect("it reads");
        }
    });
    address
}

#[test]
fn who_is_no_registry_is_told_by_what_it_says() {
    let web = somebody("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    let beats = somebody("FAILED|name must hold no spaces, pipes or control characters\0");
    let file = format!("{}/foreign.toml", env!("CARGO_TARGET_TMPDIR"));
    let text = "service = \"a\"\ninstance = \"b\"\n[[route]]\ndomains = [\"a.example\"]\npath = \"/\"\n\
                backend = \"http://127.0.0.1:1\"\n";
    std::fs::write(&file, text).expect("a file");
    for words in [
        &["raw", "PING|x"][..],
        &["-r", "a/b", "ping"],
        &["apply", "-f", &file, "--dry-run"],
        &["apply", "-f", &file, "--yes"],
    ] {
        for (address, said) in
            [(&web, "it said \"HTTP/1.1 400 Bad Request\""), (&beats, "it said \"FAILED|")]
        {
            let output = regctl(&[&["--addr", address], words].concat());
            let told = text_of(&output);
            assert_eq!(output.status.code(), Some(4), "{words:?}: {told}");
            for part in [address, "does not speak the registry protocol", said, "--addr"] {
                assert!(told.contains(part), "{words:?}: {part}: {told}");
            }
        }
    }
}

#[test]
fn exit_codes_of_packages() {
    let all = format!("{}/packaged", env!("CARGO_TARGET_TMPDIR"));
    for (file, text) in [
        ("good/manifest.yaml", "name: web\nversion: 1\n"),
        ("good/bin/web", ""),
        ("good/scripts/start.sh", ""),
        ("good/scripts/stop.sh", ""),
        ("bad/manifest.yaml", "name: web\nversoin: 1\n"),
    ] {
        let file = std::path::Path::new(&all).join(file);
        std::fs::create_dir_all(file.parent().expect("it is in one")).expect("a folder");
        std::fs::write(file, text).expect("a file");
    }
    let (folder, bad, missing) =
        (format!("{all}/good"), format!("{all}/bad"), format!("{all}/none"));
    let made = format!("{}/web-1.tar.gz", env!("CARGO_TARGET_TMPDIR"));
    let unwritable = format!("{folder}/manifest.yaml/web-1.tar.gz");
    let not_there = format!("{folder}/web-9.tar.gz");
    #[rustfmt::skip]
    let table = [
        (&["build", &folder, "-o", &made][..],         0, "warning: bin/web is not executable: chmod +x "),
        (&["build", &bad, "-o", &made],                2, "versoin"),
        (&["build", &missing, "-o", &made],            2, "No such file"),
        (&["build", &folder, "-o", &unwritable],       1, "Not a directory"),
        (&["deploy", &not_there],                      6, "No such file"),
    ];
    for (words, code, says) in table {
        let output = regctl(&[&["package"], words].concat());
        let told = text_of(&output);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {told}");
        assert!(told.contains(says), "{words:?}: {told}");
    }
}

#[test]
fn where_nobody_listens_is_exit_code_4_and_an_object_with_json() {
    let socket = format!("{}/nobody.sock", env!("CARGO_TARGET_TMPDIR"));
    let plain = regctl(&["--socket", &socket, "routes", "a/b"]);
    assert_eq!(plain.status.code(), Some(4));
    let said = text(&plain.stderr);
    assert!(
        plain.stdout.is_empty() && said.contains(&format!("the admin socket {socket}: No such"))
    );
    assert!(said.contains("--socket PATH") && !said.contains("--addr"), "{said}");
    let json = regctl(&["--json", "--socket", &socket, "routes", "a/b"]);
    assert_eq!(json.status.code(), Some(4));
    let said = format!("{}{}", text(&json.stdout), text(&json.stderr));
    assert!(said.contains(r#""ok":false"#) && said.contains(r#""code":4"#), "{said}");
}
