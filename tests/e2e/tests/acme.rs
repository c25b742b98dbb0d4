//! Certificates from an authority, against a real one (SPEC 6).

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proxyd_e2e::{Backend, Client, Pebble, PebblePlan, Proxy, Registry, wait_for};

/// Ninety days.
const USUAL: u64 = 90 * 86_400;

/// A proxy whose certificates come from an authority.
fn start(challenges: &str, seconds: u64, more: &str) -> (Proxy, Pebble) {
    let plan = PebblePlan::new();
    let section = plan.section(challenges);
    let https = format!("[https]\nlisten = [\"127.0.0.1:0\"]\n{more}\n{section}");
    let proxy = Proxy::start_with(&https);
    let pebble = plan.start(proxy.http().port(), proxy.https().port(), seconds);
    (proxy, pebble)
}

/// A session that has heard of its certificate, and the event.
fn issued(proxy: &Proxy, backend: &Backend, domain: &str) -> (Registry, String) {
    let mut registry = proxy.registry();
    registry.serve("web", "web.1", &[("other.example.com", "/x", &backend.url())]);
    registry.expect("SUBSCRIBE|$sid|cert_renewed", "SUBSCRIBE_OK");
    let url = backend.url();
    registry.send(&format!("ROUTE_ADD|$sid|{domain}|/|{url}|0"));
    assert!(registry.line().starts_with("ROUTE_OK|"));
    registry.expect("CONFIG_APPLY|$sid", "OK");
    let event = loop {
        let line = registry.line();
        if line.contains(domain) {
            break line;
        }
    };
    (registry, event)
}

/// What curl says of `https://host/`: its exit code, its output, and what it was shown.
fn curl(proxy: &Proxy, root: &Path, host: &str) -> (i32, String) {
    let output = Command::new("curl")
        .args(["-sS", "-v", "-m", "20", "--http1.1", "-i", "--cacert"])
        .arg(root)
        .args(["--connect-to", &format!("{host}:443:{}", proxy.https())])
        .arg(format!("https://{host}/"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().unwrap_or(-1), text + &String::from_utf8_lossy(&output.stderr))
}

fn a_registered_domain_is_issued(challenge: &str, in_clear_text: bool) {
    let (mut proxy, pebble) = start(&format!("{challenge:?}"), USUAL, "");
    let backend = Backend::start("web");
    let (_lease, event) = issued(&proxy, &backend, "a.example.com");
    assert!(event.starts_with("EVENT|cert_renewed|{\"domain\":\"a.example.com\",\"expiry\":\""));
    let root = pebble.root();
    let (code, said) = curl(&proxy, &root, "a.example.com");
    assert!(code == 0 && said.contains("HTTP/1.1 200"), "{code} {said}");
    assert_eq!(pebble.said().contains("validate w/ HTTP"), in_clear_text, "{}", pebble.said());

    // SPEC 3: a name nobody registered is refused, and asking for it orders nothing.
    let orders = pebble.orders();
    assert_eq!(orders, 2, "one for each registered domain: {}", pebble.said());
    let (code, said) = curl(&proxy, &root, "stranger.example.com");
    assert!(code == 35, "{code} {said}");
    assert_eq!(proxyd_e2e::get(&proxy, "stranger.example.com", "/").status, 404);
    assert!(!pebble.said().contains("stranger"));

    // The certificate is there after a restart, at once, and without the authority.
    pebble.stop();
    proxy.kill_and_restart();
    let (code, said) = curl(&proxy, &root, "a.example.com");
    assert!(code == 0 && said.contains("HTTP/1.1 200"), "{code} {said}");
}

#[test]
fn http_01_issues_for_a_registered_domain() {
    a_registered_domain_is_issued("http-01", true);
}

#[test]
fn tls_alpn_01_issues_for_a_registered_domain() {
    a_registered_domain_is_issued("tls-alpn-01", false);
}

#[test]
fn files_come_first_and_wildcards_are_nobodys() {
    let folder = tempfile::tempdir().unwrap();
    let minted = rcgen::generate_simple_self_signed(vec!["file.example.com".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, minted.cert.pem()).unwrap();
    std::fs::write(&key, minted.signing_key.serialize_pem()).unwrap();
    let files = format!("certificates = [{{ cert = {cert:?}, key = {key:?} }}]");
    let (proxy, pebble) = start("\"http-01\"", USUAL, &files);
    let backend = Backend::start("web");
    let mut registry = proxy.registry();
    let url = backend.url();
    let domains =
        ["file.example.com", "*.wild.example.com", "localhost", "127.0.0.1", "printer.local"];
    let routes: Vec<_> = domains.iter().map(|domain| (*domain, "/", &*url)).collect();
    registry.serve("files", "files.1", &routes);
    let (_lease, _) = issued(&proxy, &backend, "a.example.com");
    assert_eq!(pebble.orders(), 2, "{}", pebble.said());
    let (code, said) = curl(&proxy, &cert, "file.example.com");
    assert!(code == 0 && said.contains("HTTP/1.1 200"), "{code} {said}");
}

/// Nobody answers at the first authority.
#[test]
fn the_next_authority_is_asked_when_one_is_away() {
    let plan = PebblePlan::new();
    let both = plan
        .section("\"http-01\"")
        .replace("directories = [", "directories = [\"https://localhost:1/dir\", ");
    let proxy = Proxy::start_with(&format!("[https]\nlisten = [\"127.0.0.1:0\"]\n{both}"));
    let pebble = plan.start(proxy.http().port(), proxy.https().port(), USUAL);
    let backend = Backend::start("web");
    let (_lease, _) = issued(&proxy, &backend, "a.example.com");
    let (code, said) = curl(&proxy, &pebble.root(), "a.example.com");
    assert!(code == 0 && said.contains("HTTP/1.1 200"), "{code} {said}");
    let log = proxy.log();
    assert!(
        log.contains("no certificate; trying again") && log.contains("localhost:1/dir"),
        "{log}"
    );
}

/// The account is to belong to one that was opened elsewhere, and is found again after a restart.
#[test]
fn an_account_is_bound_to_another() {
    // 32 bytes, as `openssl rand` gives them.
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wE";
    let plan = PebblePlan::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, format!("{KEY}\n")).unwrap();
    let eab = format!("eab = {{ key_id = \"kid-1\", hmac_key_file = {file:?} }}\n");
    let section = plan.section("\"http-01\"");
    let mut proxy =
        Proxy::start_with(&format!("[https]\nlisten = [\"127.0.0.1:0\"]\n{section}{eab}"));
    let (http, tls) = (proxy.http().port(), proxy.https().port());
    let pebble = plan.start_wanting(Some(("kid-1", KEY)), http, tls, USUAL);
    let backend = Backend::start("web");
    let (lease, _) = issued(&proxy, &backend, "a.example.com");
    let (code, said) = curl(&proxy, &pebble.root(), "a.example.com");
    assert!(code == 0 && said.contains("HTTP/1.1 200"), "{code} {said}");
    drop(lease);
    let accounts = || pebble.said().matches("accounts in memory").count();
    assert_eq!(accounts(), 1, "{}", pebble.said());
    proxy.kill_and_restart();
    let (_lease, _) = issued(&proxy, &backend, "b.example.com");
    assert_eq!(accounts(), 1, "it is the same one: {}", pebble.said());
}

/// A challenge that a backend has set for itself is the backend's (SPEC 4).
#[test]
fn challenges_of_others_pass() {
    let (proxy, _pebble) = start("\"http-01\"", USUAL, "");
    let backend = Backend::start("web");
    let (_lease, _) = issued(&proxy, &backend, "a.example.com");
    let answer = proxyd_e2e::get(&proxy, "a.example.com", "/.well-known/acme-challenge/theirs");
    assert_eq!(answer.status, 200);
    assert!(answer.text.contains("web"), "{}", answer.text);
}

/// At two thirds of its life.
#[test]
fn a_certificate_is_renewed() {
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"";
    let (proxy, pebble) = start("\"http-01\", \"tls-alpn-01\"", 12, admin);
    let backend = Backend::start("web");
    let (mut registry, first) = issued(&proxy, &backend, "a.example.com");
    let second = loop {
        let line = registry.line();
        if line.contains("a.example.com") {
            break line;
        }
    };
    assert_ne!(first, second, "it expires later");
    let (code, said) = curl(&proxy, &pebble.root(), "a.example.com");
    assert!(code == 0 && said.contains("HTTP/1.1 200"), "{code} {said}");
    let numbers = Client::new(proxy.admin_http()).get("localhost", "/metrics").unwrap().text();
    // How far the other name is, nobody has waited for.
    for counter in ["issued", "renewed"] {
        let none = format!("proxyd_acme_{counter}_total 0\n");
        assert!(!numbers.contains(&none), "{numbers}\n{}", proxy.log());
    }
    let expiry = "proxyd_certificate_expiry_timestamp_seconds{name=\"a.example.com\"} ";
    assert!(numbers.contains(expiry), "{numbers}");
    let log = proxy.log();
    assert!(log.contains("certificate issued") && log.contains("certificate renewed"), "{log}");
}

/// The authority cannot see that the name leads here, and the proxy is killed and started a
/// hundred times. Each time somebody says that it is mended, which ends every wait; what is left
/// is the ledger, and it allows four failures in an hour.
#[test]
fn a_hundred_starts_order_no_more_than_the_ledger_allows() {
    let plan = PebblePlan::new();
    let https = format!("[https]\nlisten = [\"127.0.0.1:0\"]\n{}", plan.section("\"http-01\""));
    let mut proxy = Proxy::start_with(&https);
    // It asks at ports where nobody is.
    let pebble = plan.start(1, 1, USUAL);
    let backend = Backend::start("web");
    let mut registry = proxy.registry();
    registry.serve("web", "web.1", &[("a.example.com", "/", &backend.url())]);
    for start in 0..100 {
        // Every other one is killed wherever it is.
        if start % 2 == 0 {
            wait_for("a failure, or a full ledger", || {
                let is_over = proxy.log().contains("no certificate") || ledger(&proxy) >= 4;
                is_over.then_some(())
            });
        }
        proxy.kill_and_restart();
        proxy.hang_up();
    }
    let (orders, entries) = (pebble.orders(), ledger(&proxy));
    assert!(orders >= 1 && orders <= entries && entries == 4, "{orders} of {entries}");
    wait_for("the routes", || {
        (proxyd_e2e::get(&proxy, "a.example.com", "/").status == 200).then_some(())
    });
}

/// Orders that are written down.
fn ledger(proxy: &Proxy) -> usize {
    let output = Command::new("sqlite3")
        .arg(proxy.folder().join("proxyd.db"))
        .arg("SELECT count(*) FROM acme_ledger")
        .output()
        .unwrap();
    // Nothing while somebody writes.
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(0)
}

/// A door in front of the proxy: who comes before it is opened waits.
struct Door {
    port: u16,
    open: Arc<AtomicBool>,
}

impl Door {
    fn to(proxy: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(AtomicBool::new(false));
        let opened = Arc::clone(&open);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let open = Arc::clone(&opened);
                thread::spawn(move || {
                    wait_for("the door", || open.load(Ordering::SeqCst).then_some(()));
                    let server = TcpStream::connect(proxy)?;
                    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
                    thread::spawn(move || std::io::copy(&mut from, &mut to));
                    std::io::copy(&mut &server, &mut &client)
                });
            }
        });
        Self { port, open }
    }
}

/// Killed while the authority looks: the order goes on after the restart, and no other is placed.
#[test]
fn an_order_survives_a_kill() {
    let plan = PebblePlan::new();
    let https = format!("[https]\nlisten = [\"127.0.0.1:0\"]\n{}", plan.section("\"http-01\""));
    let mut proxy = Proxy::start_with(&https);
    let door = Door::to(proxy.http());
    let pebble = plan.start(door.port, 1, USUAL);
    let backend = Backend::start("web");
    let mut registry = proxy.registry();
    registry.serve("web", "web.1", &[("a.example.com", "/", &backend.url())]);
    let asked = || pebble.said().matches("POST /my-order/").count();
    wait_for("the authority to look", || pebble.said().contains("validate w/ HTTP").then_some(()));
    proxy.kill();
    let before = asked();
    proxy.kill_and_restart();
    // Once to resume it; again when the challenge is answered.
    wait_for("the order to be resumed", || (asked() >= before + 2).then_some(()));
    door.open.store(true, Ordering::SeqCst);
    let root = pebble.root();
    wait_for("a certificate", || (curl(&proxy, &root, "a.example.com").0 == 0).then_some(()));
    assert_eq!(pebble.orders(), 1, "{}", pebble.said());
}
