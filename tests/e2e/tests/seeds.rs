//! The client programs printed in the first seed document, unchanged but for addresses.

#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::path::PathBuf;
use std::process::Command;

use proxyd_e2e::{Backend, Program, Proxy, get, wait_for};

/// The text of the document, if the folder with the seeds is there.
fn seed() -> Option<String> {
    let folder = std::env::var_os("PROXYD_SEEDS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/seeds"),
        PathBuf::from,
    );
    let entries = std::fs::read_dir(folder).ok()?;
    let first = entries.flatten().find(|e| e.file_name().to_string_lossy().starts_with("000_"))?;
    std::fs::read_to_string(first.path()).ok()
}

/// The code block of a language that holds `mark`.
fn program(seed: &str, language: &str, mark: &str) -> String {
    seed.split(&format!("```{language}\n"))
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .find(|block| block.contains(mark))
        .unwrap_or_else(|| panic!("a {language} program with {mark}"))
        .to_owned()
}

struct Client {
    language: &'static str,
    mark: &'static str,
    file: &'static str,
    command: &'static [&'static str],
    /// How the program writes the registry's address, and how it has to be written.
    address: fn(&str, &str) -> Vec<(String, String)>,
}

fn run(client: &Client) {
    let Some(seed) = seed() else {
        eprintln!("skipped: the folder with the seed documents is not here");
        return;
    };
    let (proxy, backend) = (Proxy::start(), Backend::start("api"));
    let port = proxy.registry_address().port().to_string();
    let mut text = program(&seed, client.language, client.mark);
    let url = backend.url();
    let mut changes = (client.address)("127.0.0.1", &port);
    changes.push(("http://api-v2:9000".to_owned(), url.clone()));
    changes.push(("http://api-v2:9001".to_owned(), url));
    for (from, to) in changes {
        assert!(text.contains(&from), "the program says {from}");
        text = text.replace(&from, &to);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(client.file);
    std::fs::write(&file, text).expect("a file");
    let mut command = Command::new(client.command[0]);
    command.args(&client.command[1..]).arg(&file).current_dir(folder.path());
    command.env("PROXY_HOST", "127.0.0.1").env("PROXY_PORT", &port);
    command.env("HOME", folder.path()).env("GOCACHE", std::env::temp_dir().join("proxyd-go-cache"));
    let Some(mut running) = Program::start(&mut command) else {
        eprintln!("skipped: {} is not installed", client.command[0]);
        return;
    };
    running.wait_for("Service running");
    for success in ["Registered with session: api-v2-9000-", "Route added"] {
        assert!(running.said().contains(success), "{success}: {}", running.said());
    }
    assert!(!running.said().contains('✗'), "{}", running.said());
    let answer = get(&proxy, "api.example.com", "/v2/users");
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.text.contains("X-API-Version: 2.0"), "{}", answer.text);
    assert_eq!(get(&proxy, "api.example.com", "/v2/admin/x").status, 200);
    assert_eq!(get(&proxy, "api.example.com", "/v3").status, 404);
    running.signal(2);
    running.wait_for("GOODBYE");
    wait_for("the route to go", || {
        (get(&proxy, "api.example.com", "/v2").status == 503).then_some(())
    });
}

#[test]
fn python() {
    run(&Client {
        language: "python",
        mark: "class ProxyRegistryClient",
        file: "client.py",
        command: &["python3", "-u"],
        address: |host, port| {
            vec![(
                "ProxyRegistryClient(host='proxy', port=81)".to_owned(),
                format!("ProxyRegistryClient(host='{host}', port={port})"),
            )]
        },
    });
}

#[test]
fn node() {
    run(&Client {
        language: "javascript",
        mark: "class ProxyRegistryClient",
        file: "client.js",
        command: &["node"],
        address: |host, port| {
            vec![(
                "new ProxyRegistryClient('proxy', 81)".to_owned(),
                format!("new ProxyRegistryClient('{host}', {port})"),
            )]
        },
    });
}

#[test]
fn go() {
    run(&Client {
        language: "go",
        mark: "package main",
        file: "client.go",
        command: &["go", "run"],
        address: |host, port| {
            vec![(
                "NewRegistryClient(\"proxy\", 81)".to_owned(),
                format!("NewRegistryClient(\"{host}\", {port})"),
            )]
        },
    });
}

#[test]
fn bash() {
    run(&Client {
        language: "bash",
        mark: "exec 3<>/dev/tcp/$PROXY_HOST",
        file: "client.sh",
        command: &["bash"],
        address: |_, _| vec![],
    });
}
