//! HTTP/3 from real clients: exchanges, cancelling, moving, ending (SPEC 6).

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;

use proxyd_e2e::{Files, Proxy, Script, Site, binary, free_port, wait_for};

fn run(function: &str) -> Site {
    let site = Site::start();
    Script::run("http3.py", function, &[&site.port()]);
    site.check();
    site
}

/// What curl says of `https://h3.test/`.
fn curl(proxy: &Proxy, more: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["-sS", "-k", "-i", "-m", "20", "--connect-to"])
        .arg(format!("{}:443:{}", Site::HOST, proxy.https()))
        .args(more)
        .arg(format!("https://{}/", Site::HOST))
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn heads_bodies_and_trailers_go_both_ways() {
    run("exchanges");
}

#[test]
fn megabytes_go_both_ways() {
    run("large");
}

#[test]
fn more_requests_than_may_be_open_are_all_answered() {
    run("many");
}

#[test]
fn what_a_client_gives_up_is_given_up_at_the_backend() {
    let site = run("cancelled");
    wait_for("eight requests to be cut", || {
        let cut = site.origin.heads("cut");
        assert!(cut.len() <= 8, "{cut:?}");
        (cut.len() == 8).then_some(())
    });
}

#[test]
fn a_connection_survives_that_its_client_moves() {
    run("moves");
}

#[test]
fn limits_follow_a_client_that_moves() {
    let mut site = Site::start();
    let route = &site.route;
    site.session.expect(&format!("RATELIMIT_SET|$sid|{route}|3|1m"), "RATELIMIT_OK");
    site.session.expect("CONFIG_APPLY|$sid", "OK");
    Script::run("http3.py", "limited", &[&site.port()]);
    site.check();
}

/// gtlsclient moves by itself: with a path that it validates, and as a NAT would have it.
#[test]
fn another_client_moves() {
    let site = Site::start();
    for more in [&[][..], &["--nat-rebinding"]] {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new("gtlsclient")
            .args(["-q", "--no-quic-dump", "--no-http-dump", "--exit-on-all-streams-close"])
            .args(["--change-local-addr=20ms", "--delay-stream=50ms"])
            .args(more)
            .arg("--download")
            .arg(folder.path())
            .args([Site::BY_NAME, &site.port()])
            .arg(format!("https://{}/stream/300000", Site::BY_NAME))
            .output()
            .unwrap();
        assert!(output.status.success(), "{more:?}: {output:?}");
        let got = std::fs::read(folder.path().join("300000")).unwrap();
        assert_eq!(got.len(), 300_000, "{more:?}");
    }
    site.check();
}

#[test]
fn early_data_is_not_taken() {
    let site = run("early");
    let count = site.origin.heads("raw").iter().filter(|head| head.contains("early-data")).count();
    assert_eq!(count, 1);
}

#[test]
fn clients_prove_their_address_when_many_handshakes_are_under_way() {
    run("crowded");
}

#[test]
fn applies_disturb_no_stream() {
    let mut site = Site::start();
    let mut script = Script::start("http3.py", "undisturbed", &[&site.port()]);
    script.wait_for("begun");
    for number in 0..20 {
        let route = site.session.stage("other.test", &format!("/{number}"), &site.origin.url());
        site.session.expect("CONFIG_APPLY|$sid", "OK");
        site.session.expect(&format!("ROUTE_REMOVE|$sid|{route}"), "ROUTE_OK");
        site.session.expect("CONFIG_APPLY|$sid", "OK");
    }
    script.tell("applied");
    script.finish();
    site.check();
}

#[test]
fn a_certificate_is_renewed_under_load() {
    let site = Site::start();
    let (old, new) = (site.files.path("old.pem"), site.files.path("cert.pem"));
    std::fs::copy(&new, &old).unwrap();
    let (old, new) = (old.display().to_string(), new.display().to_string());
    let mut script = Script::start("http3.py", "renewed", &[&site.port(), &old, &new]);
    script.wait_for("begun");
    site.files.renew(&Site::NAMES);
    script.tell("renewed");
    script.wait_for("seen");
    script.tell("enough");
    script.finish();
    site.check();
}

/// TERM: everything in flight is answered, and clients know what will not be.
#[test]
fn a_drain_lets_everything_in_flight_finish() {
    let mut site = Site::start();
    let mut script = Script::start("http3.py", "drained", &[&site.port()]);
    script.wait_for("begun");
    site.proxy.terminate();
    script.finish();
    assert!(site.proxy.wait(), "a good end");
    site.check();
    let late = site.origin.heads("raw").iter().any(|head| head.contains("/late"));
    assert!(!late, "what was rejected reached nobody");
}

#[test]
fn a_drain_lets_slow_clients_have_what_they_were_answered() {
    let mut site = Site::start();
    let mut script = Script::start("http3.py", "slow_to_the_end", &[&site.port()]);
    script.wait_for("begun");
    site.proxy.terminate();
    script.tell("terminated");
    script.finish();
    assert!(site.proxy.wait(), "a good end");
}

/// The keys of its connections die with a process. Whoever held one is told by a stateless reset
/// (RFC 9000, 10.3), and a new connection is served at once.
#[test]
fn after_a_kill_old_connections_are_reset_and_new_ones_served() {
    let mut site = Site::start_at(free_port(), "");
    let mut script = Script::start("http3.py", "killed", &[&site.port()]);
    script.wait_for("begun");
    site.proxy.kill_and_restart();
    script.tell("restarted");
    script.finish();
    site.check();
}

#[test]
fn clients_are_told_where_http3_is_spoken() {
    let mut site = Site::start();
    let told = |site: &Site| {
        let of = |version| {
            let said = curl(&site.proxy, &[version]).to_lowercase();
            assert!(said.contains(" 200"), "{said}");
            said.contains("alt-svc: h3=\":443\"; ma=3600\r\n")
        };
        (of("--http1.1"), of("--http2"))
    };
    assert_eq!(told(&site), (true, true));
    let clear = Command::new("curl")
        .args(["-s", "-i", "-H", "Host: other.test"])
        .arg(format!("http://{}/", site.proxy.http()))
        .output()
        .unwrap();
    assert!(!String::from_utf8_lossy(&clear.stdout).to_lowercase().contains("alt-svc"));
    let route = &site.route;
    site.session.expect(&format!("OPTIONS_SET|$sid|{route}|http3|false"), "OPTIONS_OK");
    site.session.expect("CONFIG_APPLY|$sid", "OK");
    assert_eq!(told(&site), (false, false));
    // A host that does not say so is served all the same.
    Script::run("http3.py", "works", &[&site.port()]);
}

/// Local addresses of UDP sockets (proc(5), `/proc/net/udp`).
fn has_udp(at: SocketAddr) -> bool {
    let table = std::fs::read_to_string("/proc/net/udp").unwrap();
    let address = format!("0100007F:{:04X}", at.port());
    table.lines().any(|line| line.split_whitespace().nth(1) == Some(&address))
}

#[test]
fn without_http3_no_datagram_socket_is_bound() {
    let site = Site::start();
    assert!(has_udp(site.proxy.https()));
    let site = Site::start_with("http3 = false\n");
    assert!(!has_udp(site.proxy.https()));
    let said = curl(&site.proxy, &["--http2"]);
    assert!(said.contains(" 200") && !said.to_lowercase().contains("alt-svc"), "{said}");
}

#[test]
fn a_port_that_is_taken_for_datagrams_is_named() {
    let (address, files, folder) =
        (free_port(), Files::new(&Site::NAMES), tempfile::tempdir().unwrap());
    let _taken = UdpSocket::bind(address).unwrap();
    let config = folder.path().join("proxyd.toml");
    let text = format!(
        "[http]\nlisten = [\"127.0.0.1:0\"]\n[registry]\nlisten = [\"127.0.0.1:0\"]\n{}[store]\npath = {:?}\n",
        files.section(address, ""),
        folder.path().join("db"),
    );
    std::fs::write(&config, text).unwrap();
    let run = Command::new(binary("proxyd")).arg("run").arg("--config").arg(&config).output();
    let output = run.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains(&format!("cannot listen on {address} for HTTP/3 (UDP)")), "{said}");
}
