//! The registry's port, from clients that write oddly, slowly, too much, or without leave.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use proxyd_e2e::{Proxy, Registry, binary};

fn registered(proxy: &Proxy, instance: &str) -> Registry {
    let mut registry = proxy.registry();
    let ack = registry.ask(&format!("REGISTER|odd|{instance}|0|{{}}"));
    assert!(ack.starts_with("ACK|"), "{ack}");
    registry
}

#[test]
fn a_line_may_come_in_pieces_and_many_at_once() {
    let proxy = Proxy::start();
    let mut registry = registered(&proxy, "pieces");
    let line = format!("PING|{}|in-pieces\r\n", registry.session);
    for piece in line.as_bytes().chunks(7) {
        registry.write(piece);
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(registry.line(), "PONG|in-pieces");

    let lines: Vec<String> =
        (0..500).map(|txn| format!("PING|{}|n{txn}\n", registry.session)).collect();
    registry.write(lines.concat().as_bytes());
    for txn in 0..500 {
        assert_eq!(registry.line(), format!("PONG|n{txn}"), "answers come in order");
    }
    registry.write(b"\n\r\n\n");
    registry.expect("PING|$sid", "PONG");
}

#[test]
fn what_is_no_line_of_ours_is_told_and_the_connection_goes_on() {
    let proxy = Proxy::start();
    let mut registry = registered(&proxy, "wrong");
    let ping = format!("PING|{}\n", registry.session);
    registry.write(&vec![b'x'; 20_000]);
    registry.write(b"\n");
    registry.write(ping.as_bytes());
    assert_eq!(registry.line(), "ERROR|line too long (max 16384 bytes)");
    assert_eq!(registry.line(), "PONG");
    // A megabyte is one line too, and nobody keeps it.
    registry.write(&vec![b'|'; 1 << 20]);
    registry.write(b"\n");
    assert_eq!(registry.line(), "ERROR|line too long (max 16384 bytes)");
    for bytes in
        [&b"PING|\xff\xfe\n"[..], b"PING|a\0b\n", b"PING|\x1b[0m\n", b"||||\n", b"ping|a\n"]
    {
        registry.write(bytes);
        let said = registry.line();
        assert!(said.starts_with("ERROR|"), "{bytes:?} gave {said}");
    }
    registry.expect("PING|$sid", "PONG");
}

#[test]
fn noise_hurts_nobody_else() {
    let proxy = Proxy::start();
    let mut quiet = registered(&proxy, "quiet");
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..20 {
        let mut noise = proxy.registry();
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .take(2_000)
        .flatten()
        .collect();
        noise.write(&bytes);
        noise.finish();
        while let Some(line) = noise.try_line() {
            assert!(line.starts_with("ERROR|"), "{line}");
        }
        quiet.expect("PING|$sid", "PONG");
    }
}

#[test]
fn a_client_that_stopped_sending_still_gets_its_answers() {
    let proxy = Proxy::start();
    let mut registry = proxy.registry();
    registry.write(b"REGISTER|half|closed|0|{}\nPING|nobody\nROUTE_LIST|nobody\n");
    registry.finish();
    assert!(registry.line().starts_with("ACK|"));
    assert_eq!(registry.line(), "ERROR|Invalid session");
    assert_eq!(registry.line(), "ERROR|Invalid session");
    assert_eq!(registry.line(), "", "and then the end");
}

#[test]
fn half_a_line_blocks_nobody() {
    let proxy = Proxy::start();
    let mut slow = registered(&proxy, "slow");
    let (half, rest) = ("PING|", format!("{}\n", slow.session));
    slow.write(half.as_bytes());
    // Nor do connections that never say anything.
    let silent: Vec<Registry> = (0..50).map(|_| proxy.registry()).collect();
    let mut quick = registered(&proxy, "quick");
    for _ in 0..30 {
        quick.expect("PING|$sid", "PONG");
        thread::sleep(Duration::from_millis(100));
    }
    slow.write(rest.as_bytes());
    assert_eq!(slow.line(), "PONG");
    drop(silent);
}

#[test]
fn a_token_is_wanted_where_one_is_configured() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret-and-long-enough\n").expect("a file");
    let section = format!("token_file = {:?}", token.display().to_string());
    let proxy = Proxy::start_with(&section);
    let mut registry = proxy.registry();
    registry.expect("REGISTER|a|b|0|{}", "ERROR|authentication required");
    registry.expect("PING|a", "ERROR|authentication required");
    let refused = registry.ask("AUTH|s3cret");
    assert!(refused.starts_with("ERROR|") && !refused.contains("s3cret"), "{refused}");

    let mut registry = proxy.registry();
    registry.expect("AUTH|s3cret-and-long-enough", "AUTH_OK");
    assert!(registry.ask("REGISTER|a|b|0|{}").starts_with("ACK|"));
    registry.expect("PING|$sid", "PONG");

    // The session is not taken up again without it.
    let mut other = proxy.registry();
    other.session.clone_from(&registry.session);
    other.expect("RECONNECT|$sid", "ERROR|authentication required");
    registry.expect("PING|$sid", "PONG");
}

#[test]
fn the_registry_is_not_opened_to_everybody_by_accident() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("proxyd.toml");
    let store = folder.path().join("proxyd.db").display().to_string();
    let run = |more: &str| {
        let text = format!(
            "[http]\nlisten = [\"127.0.0.1:0\"]\n[registry]\nlisten = [\"0.0.0.0:0\"]\n{more}\n\
             [store]\npath = {store:?}\n"
        );
        std::fs::write(&config, text).expect("a file");
        let command = if more.is_empty() { "run" } else { "check" };
        let mut proxyd = Command::new(binary("proxyd"));
        let output = proxyd.arg(command).arg("-c").arg(&config).stdin(Stdio::null()).output();
        output.expect("proxyd is built beside the tests")
    };
    let refused = run("");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(78), "{said}");
    assert!(said.contains("set a token") && said.matches("insecure").count() == 1, "{said}");
    assert_eq!(run("insecure = true").status.code(), Some(0));
}

/// A second proxy on the port of a running one would take half of its traffic and know no route.
#[test]
fn a_port_that_is_served_is_not_joined() {
    let proxy = Proxy::start();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let config = format!(
        "[http]\nlisten = [\"{}\"]\n[registry]\nlisten = [\"127.0.0.1:0\"]\n[store]\npath = {:?}\n",
        proxy.http(),
        path("other.db")
    );
    std::fs::write(path("proxyd.toml"), config).expect("a file");
    let second = std::process::Command::new(proxyd_e2e::binary("proxyd"))
        .args(["run", "-c"])
        .arg(path("proxyd.toml"))
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && said.contains("cannot listen on"), "{said}");
}
