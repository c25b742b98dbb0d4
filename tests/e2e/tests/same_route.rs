//! One route, asked by every client there is: curl, gtlsclient, aioquic, Chromium, a WebSocket, and
//! gRPC beside it (SPEC 6).

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::process::{Command, Stdio};

use proxyd_e2e::{Origin, Script, Site};

/// What the backend was asked for, in the order in which it was.
fn asked(site: &Site) -> Vec<String> {
    let heads = site.origin.heads("raw");
    heads.iter().filter_map(|head| head.split(' ').nth(1).map(str::to_owned)).collect()
}

#[test]
fn curl_asks_over_http1_and_http2() {
    let site = Site::start();
    for (version, line) in [("--http1.1", "HTTP/1.1 200"), ("--http2", "HTTP/2 200")] {
        let output = Command::new("curl")
            .args(["-sS", "-i", "-m", "20", version, "--connect-to"])
            .arg(format!("{}:443:{}", Site::HOST, site.proxy.https()))
            .arg("--cacert")
            .arg(site.files.path("cert.pem"))
            .arg(format!("https://{}/bytes/5", Site::HOST))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.starts_with(line) && said.ends_with("\r\n\r\nxxxxx"), "{said}");
    }
    // With prior knowledge, in clear text: there it is sent to TLS.
    let output = Command::new("curl")
        .args(["-sS", "-i", "-m", "20", "--http2-prior-knowledge", "-H"])
        .arg(format!("Host: {}", Site::HOST))
        .arg(format!("http://{}/bytes/5", site.proxy.http()))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("HTTP/2 308"), "{output:?}");
    assert_eq!(asked(&site), ["/bytes/5"; 2]);
    site.check();
}

#[test]
fn gtlsclient_asks_over_http3() {
    let site = Site::start();
    let folder = tempfile::tempdir().unwrap();
    let body = site.files.path("body");
    std::fs::write(&body, vec![b'u'; 200_000]).unwrap();
    let ask = |more: &[&str], paths: &[&str]| {
        let at = |path: &&str| format!("https://{}{path}", Site::BY_NAME);
        let output = Command::new("gtlsclient")
            .args(["-q", "--no-quic-dump", "--no-http-dump", "--exit-on-all-streams-close"])
            .arg("--download")
            .arg(folder.path())
            .args(more)
            .args([Site::BY_NAME, &site.port()])
            .args(paths.iter().map(at))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let got = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    ask(&[], &["/bytes/5", "/stream/70000"]);
    assert_eq!(got("5"), b"xxxxx");
    assert_eq!(got("70000").len(), 70_000);
    ask(&["-m", "POST", "--data", &body.display().to_string()], &["/echo"]);
    assert!(String::from_utf8_lossy(&got("echo")).contains("\"length\": 200000"));
    site.check();
}

#[test]
fn aioquic_asks_over_http3() {
    let site = Site::start();
    Script::run("http3.py", "works", &[&site.port()]);
    site.check();
}

/// By what Chromium is told to trust the certificate: the hash of its key (RFC 7469, 2.4).
fn key_hash(site: &Site) -> String {
    let pipeline = "openssl x509 -pubkey -noout -in \"$1\" | openssl pkey -pubin -outform der \
                    | openssl dgst -sha256 -binary | openssl enc -base64";
    let output = Command::new("sh")
        .args(["-c", pipeline, "sh"])
        .arg(site.files.path("cert.pem"))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn browse(protocol: &str) -> Site {
    let site = Site::start();
    Script::run("browser.py", "over", &[protocol, &site.port(), &key_hash(&site)]);
    site.check();
    site
}

#[test]
fn chromium_asks_over_http3() {
    let site = browse("h3");
    let asked = asked(&site);
    assert!(asked.contains(&"/page".to_owned()) && asked.len() > 400, "{asked:?}");
}

#[test]
fn chromium_opens_a_websocket_over_http2() {
    let site = browse("h2");
    let sockets = site.origin.heads("raw");
    let sockets: Vec<_> = sockets.iter().filter(|head| head.contains("/socket")).collect();
    assert_eq!(sockets.len(), 3);
    for head in sockets {
        assert!(head.contains("Upgrade: websocket\r\n"), "{head}");
        assert!(head.contains("Sec-WebSocket-Key: "), "{head}");
    }
}

#[test]
fn grpc_calls_of_every_kind_go_through() {
    let mut site = Site::start();
    let server = Origin::start_program("grpc_server.py", &[]);
    let grpc = server.url().replace("http:", "grpc:");
    site.session.stage(Site::HOST, "/test.Echo", &grpc);
    site.session.expect("CONFIG_APPLY|$sid", "OK");
    let ca = site.files.path("cert.pem").display().to_string();
    Script::run("grpc_client.py", "calls", &[&site.port(), &ca]);
    site.check();
    // The deadline and the cancelled call reached the server.
    let cancelled = || server.told().iter().filter(|told| told["cancelled"] == true).count();
    proxyd_e2e::wait_for("calls to be cancelled", || (cancelled() == 2).then_some(()));
}

/// A client of gRPC reads no status but its own.
#[test]
fn grpc_clients_are_told_what_is_wrong_in_their_own_words() {
    let mut site = Site::start();
    let ca = site.files.path("cert.pem").display().to_string();
    let ask = |site: &Site, expected: &str| {
        Script::run("grpc_client.py", expected, &[&site.port(), &ca]);
    };
    site.session.expect(&format!("ROUTE_REMOVE|$sid|{}", site.route), "ROUTE_OK");
    site.session.stage(Site::HOST, "/elsewhere", &site.origin.url());
    site.session.expect("CONFIG_APPLY|$sid", "OK");
    ask(&site, "unimplemented");
    let server = Origin::start_program("grpc_server.py", &[]);
    let grpc = server.url().replace("http:", "grpc:");
    let route = site.session.stage(Site::HOST, "/test.Echo", &grpc);
    site.session.expect("CONFIG_APPLY|$sid", "OK");
    let said = site.session.ask(&format!("MAINT_ENTER|$sid|{route}|"));
    assert!(said.starts_with("ACK"), "{said}");
    let live = site.session.answer();
    assert!(live.starts_with("MAINT_OK"), "{live}");
    ask(&site, "unavailable");
    let said = site.session.ask(&format!("MAINT_EXIT|$sid|{route}"));
    assert!(said.starts_with("ACK"), "{said}");
    let live = site.session.answer();
    assert!(live.starts_with("MAINT_OK"), "{live}");
    drop(server);
    ask(&site, "unavailable");
    site.check();
}
