//! Clients that show certificates of their own to `[https]` (SPEC 6).

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::process::{Command, Stdio};

use proxyd_e2e::{Authority, Backend, Pair, Registry, Script, Tuned, binary, quoted};

const HOST: &str = "a.example.com";

struct World {
    servers: Authority,
    clients: Authority,
    proxy: Tuned,
    lease: Registry,
    _backend: Backend,
}

impl World {
    fn start(more: &str, http: &str) -> Self {
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let pair = servers.issue("server", &[HOST]).toml();
        let ca = quoted(&clients.ca());
        let extra = format!(
            "[https]\nlisten = [\"127.0.0.1:0\"]\ncertificates = [{{ {pair} }}]\n\
             client_ca = [{ca}]\n{more}\n"
        );
        let proxy = Tuned::start_with(2, http, &extra);
        let backend = Backend::start("web");
        let mut lease = proxy.registry();
        lease.serve("web", "web.1", &[(HOST, "/", &backend.url())]);
        Self { servers, clients, proxy, lease, _backend: backend }
    }

    /// curl's exit code and what it got; the backend shows the head it was sent.
    fn get(&self, shows: Option<&Pair>, more: &[&str]) -> (i32, String) {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-m", "20", "-i", "--http1.1", "--cacert"]).arg(self.servers.ca());
        curl.args(["--connect-to", &format!("{HOST}:443:{}", self.proxy.https())]).args(more);
        if let Some(pair) = shows {
            curl.arg("--cert").arg(&pair.cert).arg("--key").arg(&pair.key);
        }
        let output = curl.arg(format!("https://{HOST}/")).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().unwrap_or(-1), text + &String::from_utf8_lossy(&output.stderr))
    }
}

fn told(said: &str) -> Vec<&str> {
    let named = |line: &&str| line.to_ascii_lowercase().starts_with("x-forwarded-client-cert:");
    said.lines().filter(named).map(str::trim).collect()
}

const FORGED: [&str; 4] = [
    "-H",
    "X-Forwarded-Client-Cert: Hash=00;Subject=\"CN=admin\"",
    "-H",
    "X_Forwarded_Client_Cert: Hash=00;Subject=\"CN=admin\"",
];

#[test]
fn without_a_certificate_nobody_is_let_in_and_backends_are_told_whose_it_was() {
    let mut world = World::start("", "");
    let good = world.clients.issue("blue", &["blue.example"]);
    let foreign = world.servers.issue("foreign", &["blue.example"]);
    for refused in [None, Some(&foreign)] {
        let (code, said) = world.get(refused, &[]);
        assert!(code != 0 && !said.contains("HTTP/1.1 200"), "{code} {said}");
    }
    for more in [&[][..], &FORGED] {
        let (code, said) = world.get(Some(&good), more);
        assert!(code == 0 && said.starts_with("HTTP/1.1 200"), "{code} {said}");
        let told = told(&said);
        assert_eq!(told.len(), 1, "{said}");
        assert!(told[0].contains("Hash="), "{said}");
        assert!(told[0].ends_with(";Subject=\"CN=blue\";DNS=blue.example"), "{said}");
        assert!(!said.contains("CN=admin"), "{said}");
    }
    // Over HTTP/2 as well.
    let (code, said) = world.get(Some(&good), &[&FORGED[..], &["--http2"]].concat());
    assert!(code == 0 && said.starts_with("HTTP/2 200"), "{code} {said}");
    assert!(told(&said).len() == 1 && !said.contains("CN=admin"), "{said}");
    assert_ne!(world.get(None, &["--http2"]).0, 0);
    // A route that sets fields of its own does not take it away.
    world.lease.expect("HEADERS_SET|$sid|ALL|req:X-A|1", "HEADERS_OK");
    world.lease.expect("CONFIG_APPLY|$sid", "OK");
    let said = world.get(Some(&good), &FORGED).1;
    assert!(said.contains("X-A: 1") && told(&said).len() == 1, "{said}");
}

#[test]
fn where_it_is_optional_one_may_come_without_and_cannot_pretend() {
    let world = World::start("client_certificates = \"optional\"", "");
    let (code, said) = world.get(None, &FORGED);
    assert!(code == 0 && said.starts_with("HTTP/1.1 200"), "{code} {said}");
    assert_eq!(told(&said), Vec::<&str>::new(), "{said}");
    let good = world.clients.issue("blue", &[]);
    assert_eq!(told(&world.get(Some(&good), &[]).1).len(), 1);
    let foreign = world.servers.issue("foreign", &[]);
    assert_ne!(world.get(Some(&foreign), &[]).0, 0);
}

#[test]
fn http3_asks_for_certificates_as_well() {
    let world = World::start("client_certificates = \"required\"", "");
    let (good, foreign) =
        (world.clients.issue("blue", &["blue.example"]), world.servers.issue("foreign", &[]));
    let (port, ca) = (world.proxy.https().port().to_string(), world.servers.ca());
    let files = [&ca, &good.cert, &good.key, &foreign.cert, &foreign.key];
    let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let arguments: Vec<&str> =
        [&*port, HOST].into_iter().chain(files.iter().map(String::as_str)).collect();
    Script::run("http3.py", "shows_certificates", &arguments);
    for reason in ["no client certificate", "a client certificate that is not accepted"] {
        world.proxy.refused(reason);
    }
}

/// Sends on for a while after its side of the handshake is over, and says what it hears then.
/// Arguments: port, host, authority, certificate, key.
const SENDS_ON: &str = r#"
import socket, ssl, sys, time
port, host, ca, cert, key = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(cert, key)
try:
    client = context.wrap_socket(socket.create_connection(("127.0.0.1", int(port))), server_hostname=host)
    for _ in range(10):
        client.sendall(b"x" * 1000)
        time.sleep(0.02)
    print("heard", client.recv(1))
except OSError as error:
    print(error)
"#;

/// A client that is refused hears why. In TLS 1.3 it has sent its request by then, and a reset would
/// overtake the alert.
#[test]
fn who_is_refused_gets_an_alert() {
    let world = World::start("client_certificates = \"optional\"", "");
    let foreign = world.servers.issue("foreign", &[]);
    for version in ["-tls1_2", "-tls1_3"] {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-servername", HOST, version, "-connect"]);
        client.arg(world.proxy.https().to_string());
        client.arg("-cert").arg(&foreign.cert).arg("-key").arg(&foreign.key);
        let output = client.args(["-quiet"]).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("alert unknown ca"), "{version}: {said}");
    }
    let mut client = Command::new("python3");
    client.args(["-c", SENDS_ON, &world.proxy.https().port().to_string(), HOST]);
    let output = client.arg(world.servers.ca()).arg(&foreign.cert).arg(&foreign.key).output();
    let said = String::from_utf8_lossy(&output.unwrap().stdout).into_owned();
    assert!(said.contains("ALERT_UNKNOWN_CA"), "{said}");
}

/// A balancer is believed what it says of its clients if it shows who it is itself.
#[test]
fn a_trusted_peer_passes_it_on_if_it_shows_a_certificate_too() {
    let world =
        World::start("client_certificates = \"optional\"", r#"trusted_proxies = ["127.0.0.1"]"#);
    let said = world.get(None, &FORGED).1;
    assert_eq!(told(&said), Vec::<&str>::new(), "{said}");
    let balancer = world.clients.issue("balancer", &[]);
    let said = world.get(Some(&balancer), &FORGED[..2]).1;
    let told = told(&said);
    assert_eq!(told.len(), 2, "{said}");
    assert!(told[0].contains("CN=admin") && told[1].ends_with("CN=balancer\""), "{said}");
}

#[test]
fn check_names_the_file_and_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (config, bad) = (folder.path().join("proxyd.toml"), folder.path().join("bad.pem"));
    std::fs::write(&bad, "hello").unwrap();
    std::fs::write(&config, format!("[https]\nclient_ca = [{}]\n", quoted(&bad))).unwrap();
    let output =
        Command::new(binary("proxyd")).args(["check", "-c"]).arg(&config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    let reason = format!("https.client_ca: {}: the file holds no certificate", bad.display());
    assert!(said.contains(&reason), "{said}");
}
