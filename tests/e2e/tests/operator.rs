//! regctl against a real proxyd.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use proxyd_e2e::{Backend, Program, Proxy, binary, get, wait_for};
use serde_json::Value;

/// regctl with nothing of our own environment.
fn command(proxy: &Proxy, args: &[&str]) -> Command {
    let mut command = Command::new(binary("regctl"));
    for variable in ["REGCTL_TOKEN", "REGCTL_TOKEN_FILE", "REGCTL_ADDR"] {
        command.env_remove(variable);
    }
    command.env("REGCTL_SOCKET", proxy.admin_socket());
    command.args(args).stdin(Stdio::null());
    command
}

/// At the admin socket.
fn operator(proxy: &Proxy, args: &[&str]) -> Output {
    command(proxy, args).output().expect("regctl is built beside the tests")
}

/// At the registry port.
fn program(proxy: &Proxy, args: &[&str]) -> Output {
    let mut command = command(proxy, args);
    command.env("REGCTL_ADDR", proxy.registry_address().to_string());
    command.output().expect("regctl is built beside the tests")
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

fn manifest(folder: &Path, host: &str, backend: &Backend) -> PathBuf {
    let file = folder.join("routes.toml");
    let text = format!(
        "service = \"shop\"\ninstance = \"shop.1\"\n[headers]\nX-Shop = \"yes\"\n\
         [[route]]\ndomains = [\"{host}\"]\npath = \"/\"\nbackend = \"{}\"\n",
        backend.url()
    );
    std::fs::write(&file, text).expect("a file");
    file
}

#[test]
fn a_lease_lasts_as_long_as_its_process() {
    let (proxy, backend) = (Proxy::start(), Backend::start("shop"));
    let file = manifest(proxy.folder(), "lease.example.com", &backend);
    let file = file.display().to_string();
    let shown = program(&proxy, &["apply", "-f", &file, "--dry-run"]);
    assert_eq!(shown.status.code(), Some(0), "{}", said(&shown));
    assert_eq!(get(&proxy, "lease.example.com", "/").status, 404, "shown, not applied");

    let mut apply = command(&proxy, &["apply", "-f", &file, "--yes"]);
    apply.env("REGCTL_ADDR", proxy.registry_address().to_string());
    let held = Program::start(&mut apply).expect("regctl is built beside the tests");
    let answer = wait_for("the route", || {
        let answer = get(&proxy, "lease.example.com", "/");
        (answer.status == 200).then_some(answer)
    });
    assert!(answer.text.contains("X-Shop: yes"), "{}", answer.text);
    held.signal(15);
    wait_for("nobody to be there", || {
        (get(&proxy, "lease.example.com", "/").status == 503).then_some(())
    });
}

#[test]
fn a_pinned_file_needs_nobody_to_hold_it() {
    let (mut proxy, backend) = (Proxy::start(), Backend::start("shop"));
    let file = manifest(proxy.folder(), "pin.example.com", &backend);
    let pin = operator(&proxy, &["apply", "-f", &file.display().to_string(), "--pin", "--yes"]);
    assert_eq!(pin.status.code(), Some(0), "{}", said(&pin));
    assert_eq!(get(&proxy, "pin.example.com", "/").status, 200);
    proxy.kill_and_restart();
    assert_eq!(get(&proxy, "pin.example.com", "/").status, 200);
    let gone = operator(&proxy, &["-s", "shop/shop.1", "client-shutdown"]);
    assert_eq!(gone.status.code(), Some(0), "{}", said(&gone));
    assert_eq!(get(&proxy, "pin.example.com", "/").status, 503);
}

#[test]
fn operators_see_every_session() {
    let (proxy, backend) = (Proxy::start(), Backend::start("shop"));
    let mut registry = proxy.registry();
    registry.serve("shop", "shop.1", &[("seen.example.com", "/v1", &backend.url())]);
    let json = |args: &[&str]| -> Value {
        let output = operator(&proxy, &[&["--json"], args].concat());
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).expect("one object")
    };
    let routes = json(&["routes", "shop/shop.1"]);
    assert_eq!(routes["data"][0]["route_id"], "r1", "{routes}");
    assert_eq!(routes["data"][0]["status"], "active", "{routes}");
    let session = json(&["session", &registry.session]);
    assert_eq!(session["data"]["instance_name"], "shop.1", "{session}");
    assert_eq!(session["data"]["routes_active"], 1, "{session}");
    let explained = json(&["explain", "GET", "seen.example.com", "/v1/x"]);
    assert_eq!(explained["data"]["route_id"], "r1", "{explained}");
    assert_eq!(json(&["ping", "shop/shop.1"])["ok"], true);

    let table = operator(&proxy, &["routes", "shop/shop.1"]);
    assert!(said(&table).contains("seen.example.com"), "{}", said(&table));
    assert!(!said(&table).contains('\x1b'), "no colour but on a terminal");
    registry.expect("PING|$sid", "PONG");
}

#[test]
fn lines_go_as_they_are() {
    let proxy = Proxy::start();
    let raw = program(
        &proxy,
        &[
            "raw",
            "REGISTER|a|b|0|",
            "ROUTE_ADD|$sid|raw.example.com|/|http://127.0.0.1:1",
            "PING|$sid|t1",
        ],
    );
    assert_eq!(raw.status.code(), Some(0), "{}", said(&raw));
    let out = String::from_utf8_lossy(&raw.stdout).into_owned();
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("ACK|a-0-"), "{out}");
    assert_eq!(lines[1..], ["ROUTE_OK|r1", "PONG|t1"], "{out}");

    let raw = program(&proxy, &["--json", "raw", "REGISTER|a|b|0|", "NONSENSE"]);
    assert_eq!(raw.status.code(), Some(3), "{}", said(&raw));
    let objects: Vec<Value> = String::from_utf8_lossy(&raw.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object a line"))
        .collect();
    assert_eq!(objects[0]["verb"], "ACK", "{objects:?}");
}

#[test]
fn an_instance_may_be_named_as_lists_print_it() {
    let (proxy, backend) = (Proxy::start(), Backend::start("shop"));
    let mut registry = proxy.registry();
    registry.serve("shop", "shop.1", &[("named.example.com", "/", &backend.url())]);
    wait_for("both in the catalog", || {
        (operator(&proxy, &["service", "shop"]).status.code() == Some(0)).then_some(())
    });
    #[rustfmt::skip]
    let table: [(&[&str], i32, &str); 10] = [
        (&["backends", "add", "dev/dev.1", "--host", "127.0.0.1", "--port", "4441"], 0, "done"),
        (&["backends", "add", "dev/dev.2", "--host", "127.0.0.1", "--port", "4442"], 0, "done"),
        (&["service", "dev/dev.2"],            0, "dev/dev.2"),
        (&["resolve", "dev/dev.2"],            0, "127.0.0.1:4442"),
        (&["service", "shop/shop.1"],          0, "shop/shop.1"),
        (&["service", "dev/none"],             6, "dev/none is not in the catalog"),
        (&["service", "none"],                 6, "service none is not in the catalog"),
        (&["backends", "update", "dev/dev.2", "--port", "4443"], 0, "done"),
        (&["backends", "rm", "dev/dev.2"],     0, "done"),
        (&["backends", "rm", "dev/dev.2"],     6, "dev/dev.2 is not in the catalog"),
    ];
    for (words, code, says) in table {
        let output = operator(&proxy, words);
        let told = said(&output);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {told}");
        assert!(told.contains(says), "{words:?}: {told}");
        assert!(words[0] == "backends" || !told.contains("dev.1"), "{words:?}: {told}");
    }
}

#[test]
fn exit_codes() {
    let proxy = Proxy::start();
    let code = |args: &[&str]| program(&proxy, args).status.code();
    assert_eq!(code(&["-r", "a/b", "ping"]), Some(0));
    assert_eq!(code(&["-r", "a/b", "route-add", "no-slash.example.com", "x", "http://b"]), Some(2));
    assert_eq!(code(&["-r", "a/b", "drain-cancel"]), Some(3), "no drain in progress");
    assert_eq!(code(&["-r", "a/b", "backend-test", "http://127.0.0.1:1"]), Some(1));
    assert_eq!(code(&["-r", "a/b", "route-remove", "r99"]), Some(6));
    assert_eq!(operator(&proxy, &["routes", "no/body"]).status.code(), Some(6));
    // A port that somebody had and nobody has now.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr());
    let closed = closed.expect("a port").to_string();
    assert_eq!(code(&["--addr", &closed, "-r", "a/b", "ping"]), Some(4));
}
