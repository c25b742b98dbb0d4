//! TLS towards clients: HTTP/1.1 and WebSocket over it, which certificate, which host (SPEC 6).

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use proxyd_e2e::{Backend, Proxy, Registry, wait_for};

/// A folder with `cert.pem` and `key.pem`.
struct Files(tempfile::TempDir);

impl Files {
    fn new(names: &[&str]) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.renew(names);
        files
    }

    /// Another certificate for these names, signed by itself. As most programs do: written beside,
    /// then renamed.
    fn renew(&self, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let minted = rcgen::generate_simple_self_signed(names).unwrap();
        for (name, pem) in
            [("cert.pem", minted.cert.pem()), ("key.pem", minted.signing_key.serialize_pem())]
        {
            let beside = self.0.path().join(format!("{name}.new"));
            std::fs::write(&beside, pem).unwrap();
            std::fs::rename(beside, self.path(name)).unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The section of the configuration.
    fn section(&self) -> String {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        format!(
            "[https]\nlisten = [\"127.0.0.1:0\"]\ncertificates = [{{ cert = {cert:?}, key = {key:?} }}]\n"
        )
    }
}

fn start(files: &Files, backend: &Backend, domains: &[&str]) -> (Proxy, Registry) {
    let proxy = Proxy::start_with(&files.section());
    let mut registry = proxy.registry();
    let url = backend.url();
    let routes: Vec<_> = domains.iter().map(|domain| (*domain, "/", &*url)).collect();
    registry.serve("web", "web.1", &routes);
    (proxy, registry)
}

/// What curl says of `https://host/path`: its exit code and its output.
fn curl(at: SocketAddr, ca: &Path, url: &str, more: &[&str]) -> (i32, String) {
    let host = url.split('/').nth(2).unwrap_or_default();
    let output = Command::new("curl")
        .args(["-sS", "-m", "20", "--http1.1", "-i", "--cacert"])
        .arg(ca)
        .args(["--connect-to", &format!("{host}:443:{at}")])
        .args(more)
        .arg(url)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().unwrap_or(-1), text + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn requests_come_with_tls_and_backends_are_told() {
    let files = Files::new(&["a.example.com", "*.b.example.com"]);
    let backend = Backend::start("web");
    let (proxy, _lease) = start(&files, &backend, &["a.example.com", "x.b.example.com"]);
    let ca = files.path("cert.pem");
    for host in ["a.example.com", "x.b.example.com"] {
        let (code, said) = curl(proxy.https(), &ca, &format!("https://{host}/p"), &[]);
        assert!(code == 0 && said.starts_with("HTTP/1.1 200"), "{code} {said}");
        let port = format!("X-Forwarded-Port: {}", proxy.https().port());
        for told in ["X-Forwarded-Proto: https", "X-Forwarded-For: 127.0.0.1", &port] {
            assert!(said.contains(told), "{told}: {said}");
        }
    }
    // Megabytes in both directions.
    let body = files.path("body");
    std::fs::write(&body, vec![b'x'; 3 << 20]).unwrap();
    let data = format!("@{}", body.display());
    let more = ["--data-binary", &data];
    let (code, said) = curl(proxy.https(), &ca, "https://a.example.com/", &more);
    assert!(
        code == 0 && said.contains("content-length: 3145728")
            || said.contains("Content-Length: 3145728"),
        "{code}"
    );
    for version in ["1.2", "1.3"] {
        let more = ["--tlsv1.2", "--tls-max", version];
        let (code, said) = curl(proxy.https(), &ca, "https://a.example.com/", &more);
        assert!(code == 0 && said.starts_with("HTTP/1.1 200"), "{version}: {said}");
    }
}

#[test]
fn who_is_not_meant_is_told_so() {
    let files = Files::new(&["a.example.com"]);
    let backend = Backend::start("web");
    let (proxy, _lease) = start(&files, &backend, &["a.example.com", "other.example.com"]);
    let ca = files.path("cert.pem");
    // SPEC 3: a name we do not serve with TLS is refused in the handshake.
    let (code, said) = curl(proxy.https(), &ca, "https://other.example.com/", &["-k"]);
    assert!(code == 35, "{code} {said}");
    // SPEC 3: an authority that the connection's certificate does not cover is 421.
    let more = ["-H", "Host: other.example.com"];
    let (code, said) = curl(proxy.https(), &ca, "https://a.example.com/", &more);
    assert!(code == 0 && said.starts_with("HTTP/1.1 421"), "{code} {said}");
    assert!(proxy.refused("no certificate for the name it asks for").contains("127.0.0.1:"));
}

/// With a body larger than every buffer the answer still arrives.
#[test]
fn clear_text_where_tls_is_spoken_is_told_so() {
    let files = Files::new(&["a.example.com"]);
    let proxy = Proxy::start_with(&files.section());
    let body = files.path("body");
    std::fs::write(&body, "x".repeat(50_000)).unwrap();
    let (url, data) = (format!("http://{}/", proxy.https()), format!("@{}", body.display()));
    for more in [&[][..], &["--data-binary", &data]] {
        let output =
            Command::new("curl").args(["-sS", "-i", "-m", "20", &url]).args(more).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{more:?}: {output:?}");
        assert!(said.contains("Connection: close\r\n"), "{said}");
        assert!(said.ends_with("\r\n\r\nthis port speaks TLS: use https://\n"), "{said}");
        assert!(output.status.success(), "nothing is missing, nothing too much: {output:?}");
    }
    proxy.refused("clear text where TLS is spoken");
    let ca = files.path("cert.pem");
    let (code, said) = curl(proxy.https(), &ca, "https://a.example.com/", &[]);
    assert!(code == 0 && said.starts_with("HTTP/1.1 404"), "{code} {said}");
}

/// SPEC 6: "http to https redirect where a certificate exists".
#[test]
fn clear_text_is_sent_to_tls_where_a_certificate_exists() {
    let files = Files::new(&["a.example.com"]);
    let backend = Backend::start("web");
    let (proxy, _lease) = start(&files, &backend, &["a.example.com", "other.example.com"]);
    let location = |host: &str, path: &str| {
        let answer = proxyd_e2e::curl(&proxy, host, path, &["-i"]);
        let line = answer.text.lines().find_map(|line| line.strip_prefix("Location: "));
        (answer.status, line.map(|line| line.trim().to_owned()))
    };
    let there = format!("https://a.example.com:{}/x/y?q=1", proxy.https().port());
    assert_eq!(location("a.example.com", "/x/../x/y?q=1"), (308, Some(there)));
    assert_eq!(location("other.example.com", "/"), (200, None));
    assert_eq!(location("a.example.com", "/.well-known/acme-challenge/t"), (200, None));
}

/// Certificates are swapped under load, by the files alone: not one request fails.
#[test]
fn a_certificate_is_renewed_under_load() {
    let files = Files::new(&["a.example.com"]);
    let backend = Backend::start("web");
    let (proxy, mut registry) = start(&files, &backend, &["a.example.com"]);
    registry.expect("SUBSCRIBE|$sid|cert_renewed", "SUBSCRIBE_OK");
    let old = files.path("old.pem");
    std::fs::copy(files.path("cert.pem"), &old).unwrap();
    let (stop, failed, asked) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let (code, said) = curl(proxy.https(), &old, "https://a.example.com/", &["-k"]);
                    let fine = code == 0 && said.starts_with("HTTP/1.1 200");
                    failed.fetch_add(usize::from(!fine), Ordering::SeqCst);
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        files.renew(&["a.example.com"]);
        let event = registry.line();
        assert!(
            event.starts_with(r#"EVENT|cert_renewed|{"domain":"a.example.com","expiry":""#),
            "{event}"
        );
        let ca = files.path("cert.pem");
        wait_for("the new certificate", || {
            (curl(proxy.https(), &ca, "https://a.example.com/", &[]).0 == 0).then_some(())
        });
        assert_eq!(curl(proxy.https(), &old, "https://a.example.com/", &[]).0, 60, "the old one");
        stop.store(true, Ordering::SeqCst);
    });
    assert_eq!(failed.load(Ordering::SeqCst), 0);
    assert!(asked.load(Ordering::SeqCst) > 0);
}

#[test]
fn without_a_certificate_one_stands_in() {
    let proxy = Proxy::start_with("[https]\nlisten = [\"127.0.0.1:0\"]\n");
    let mut registry = proxy.registry();
    let backend = Backend::start("web");
    registry.serve("web", "web.1", &[("anything.example.com", "/", &backend.url())]);
    let url = "https://anything.example.com/";
    let (code, said) = curl(proxy.https(), Path::new("/dev/null"), url, &["-k"]);
    assert!(code == 0 && said.starts_with("HTTP/1.1 200"), "{code} {said}");
}

/// Whoever was told to trust it need not be told again.
#[test]
fn the_one_that_stands_in_stays_the_same_over_a_restart() {
    let mut proxy = Proxy::start_with("[https]\nlisten = [\"127.0.0.1:0\"]\n");
    let shown = |proxy: &Proxy| {
        let more = ["-k", "-w", "%{certs}"];
        let (_, said) = curl(proxy.https(), Path::new("/dev/null"), "https://localhost/", &more);
        let begin = said.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("{said}"));
        said[begin..].to_owned()
    };
    let first = shown(&proxy);
    let trusted = proxy.folder().join("trusted.pem");
    std::fs::write(&trusted, &first).unwrap();
    proxy.kill_and_restart();
    assert_eq!(shown(&proxy), first);
    let (code, said) = curl(proxy.https(), &trusted, "https://localhost/", &[]);
    assert!(code == 0 && said.starts_with("HTTP/1.1 404"), "{code} {said}");
}
