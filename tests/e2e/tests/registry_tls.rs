//! The registry over TLS: who is let in by certificate, and what credentials may do (SPEC 10).

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};

use proxyd_e2e::{Authority, Backend, PATIENCE, Pair, Proxy, binary, get, quoted};

struct World {
    servers: Authority,
    clients: Authority,
    proxy: Proxy,
}

impl World {
    /// A registry with TLS. `@` in `registry` is whose clients are believed, `$` a folder with the
    /// files `blue.token` and `red.token`.
    fn start(tls: &str, registry: &str) -> Self {
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let pair = servers.issue("registry", &["127.0.0.1", "localhost"]).toml();
        let folder = servers.ca().parent().unwrap().to_owned();
        for (name, secret) in [("blue.token", "blue-secret"), ("red.token", "red-secret")] {
            std::fs::write(folder.join(name), secret).unwrap();
        }
        let fill = |text: &str| {
            let folder = folder.display().to_string();
            text.replace('@', &quoted(&clients.ca())).replace('$', &folder)
        };
        let extra = format!("tls = {{ {pair}{} }}\n{}", fill(tls), fill(registry));
        let proxy = Proxy::start_with(&extra);
        Self { servers, clients, proxy }
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.servers.ca().with_file_name(name)
    }

    fn regctl(&self, ca: &Path, shows: Option<&Pair>, more: &[&str]) -> Said {
        let mut regctl = Command::new(binary("regctl"));
        regctl.arg("--addr").arg(self.proxy.registry_address().to_string());
        regctl.env("REGCTL_CACERT", ca).args(["--timeout", "20s"]);
        if let Some(pair) = shows {
            regctl.arg("--cert").arg(&pair.cert).arg("--key").arg(&pair.key);
        }
        Said(regctl.args(more).output().unwrap())
    }

    /// Sends lines by `regctl raw`.
    fn raw(&self, shows: Option<&Pair>, lines: &[&str]) -> Said {
        self.regctl(&self.servers.ca(), shows, &[&["raw"][..], lines].concat())
    }
}

struct Said(Output);

impl Said {
    fn code(&self) -> i32 {
        self.0.status.code().unwrap_or(-1)
    }

    fn text(&self) -> String {
        let (out, err) = (&self.0.stdout, &self.0.stderr);
        String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(err)
    }
}

const REGISTER: &str = "REGISTER|blue|b1|0|";

#[test]
fn a_certificate_lets_in_and_nothing_else_does() {
    let world = World::start(", client_ca = [@]", "");
    let (blue, foreign) = (world.clients.issue("blue", &[]), world.servers.issue("foreign", &[]));
    let said = world.raw(Some(&blue), &[REGISTER, "PING|$sid"]);
    assert!(said.code() == 0 && said.text().contains("PONG"), "{}", said.text());
    for shows in [None, Some(&foreign)] {
        let said = world.raw(shows, &[REGISTER]);
        assert!(said.code() != 0 && !said.text().contains("ACK|"), "{}", said.text());
    }
    // A client believes no registry that another authority vouches for.
    let said = world.regctl(&world.clients.ca(), Some(&blue), &["raw", REGISTER]);
    assert_eq!(said.code(), 4, "{}", said.text());
    // Clear text is answered in clear text.
    let mut plain = TcpStream::connect(world.proxy.registry_address()).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(b"REGISTER|blue|b1|0|\n").unwrap();
    let mut text = String::new();
    plain.read_to_string(&mut text).unwrap();
    assert_eq!(text, "ERROR|this port speaks TLS\n");
}

/// Whoever opens connections and says nothing keeps nobody else out.
#[test]
fn slow_handshakes_block_nobody() {
    let world = World::start(", client_ca = [@]", "");
    let blue = world.clients.issue("blue", &[]);
    let address = world.proxy.registry_address();
    let mut slow: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(address).unwrap()).collect();
    for (at, stream) in slow.iter_mut().enumerate() {
        // Half of them begin a handshake.
        if at % 2 == 0 {
            stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1]).unwrap();
        }
    }
    let said = world.raw(Some(&blue), &[REGISTER, "PING|$sid"]);
    assert!(said.code() == 0 && said.text().contains("PONG"), "{}", said.text());
    drop(slow);
}

#[test]
fn routes_come_over_tls_and_serve() {
    let world = World::start(", client_ca = [@]", "");
    let backend = Backend::start("web");
    let manifest = world.file("routes.toml");
    let text = format!(
        "service = \"blue\"\ninstance = \"b1\"\n[[route]]\ndomains = [\"a.example.com\"]\npath = \"/\"\n\
         backend = \"{}\"\n",
        backend.url()
    );
    std::fs::write(&manifest, text).unwrap();
    let blue = world.clients.issue("blue", &[]);
    let mut regctl = Command::new(binary("regctl"));
    regctl.arg("--addr").arg(world.proxy.registry_address().to_string());
    regctl.arg("--ca").arg(world.servers.ca());
    regctl.arg("--cert").arg(&blue.cert).arg("--key").arg(&blue.key);
    let _held =
        proxyd_e2e::Program::start(regctl.args(["apply", "--yes", "-f"]).arg(&manifest)).unwrap();
    proxyd_e2e::wait_for("the route", || {
        (get(&world.proxy, "a.example.com", "/").status == 200).then_some(())
    });
}

const TEAMS: &str = r#"
[[registry.credentials]]
name = "blue-team"
certificate = "blue.example"
token_file = "$/blue.token"
services = ["blue", "blue-*"]
domains = ["*.blue.example"]
paths = ["/app"]
networks = ["127.0.0.0/8"]
[[registry.credentials]]
name = "red-team"
token_file = "$/red.token"
services = ["red"]
"#;

#[test]
fn what_is_not_granted_is_refused_by_name() {
    let tls = ", client_ca = [@], client_certificates = \"optional\"";
    let world = World::start(tls, TEAMS);
    let blue = world.clients.issue("ci", &["blue.example"]);
    let stranger = world.clients.issue("stranger", &[]);
    #[rustfmt::skip]
    let table = [
        // shows         lines                                                             said
        (Some(&blue),    &["REGISTER|green|g1|0|"][..],                                    "service green is not granted to credential blue-team"),
        (Some(&blue),    &[REGISTER, "ROUTE_ADD|$sid|x.example|/app|http://127.0.0.1:1|0"], "route: domain x.example is not granted to credential blue-team"),
        (Some(&blue),    &[REGISTER, "ROUTE_ADD|$sid|x.blue.example|/|http://127.0.0.1:1|0"], "route: path / is not granted to credential blue-team"),
        (Some(&blue),    &[REGISTER, "ROUTE_ADD|$sid|x.blue.example|/app|http://localhost:1|0"], "route: backend localhost must be an address in a network granted to credential blue-team"),
        (Some(&blue),    &[REGISTER, "BACKEND_TEST|$sid|http://10.0.0.1:1"],               "test: backend 10.0.0.1 is in no network granted to credential blue-team"),
        (Some(&blue),    &[REGISTER, "ROUTE_ADD|$sid|x.blue.example|/app|http://127.0.0.1:1|0"], "ROUTE_OK|r"),
        (None,           &["AUTH|blue-secret", "REGISTER|green|g1|0|"],                    "service green is not granted to credential blue-team"),
        (None,           &["AUTH|red-secret", "REGISTER|blue|b1|0|"],                      "service blue is not granted to credential red-team"),
        (None,           &["AUTH|red-secret", "REGISTER|red|r1|0|"],                       "ACK|red-"),
        (None,           &[REGISTER],                                                      "authentication required"),
        (Some(&stranger), &[REGISTER],                                                     "authentication required"),
        (Some(&stranger), &["AUTH|red-secret", "REGISTER|red|r1|0|"],                      "ACK|red-"),
    ];
    for (shows, lines, wanted) in table {
        let said = world.raw(shows, lines);
        assert!(said.text().contains(wanted), "{lines:?}: {}", said.text());
    }
}

/// What goes wrong is told with the object, the reason and the way out.
#[test]
fn whoever_cannot_speak_is_told_what_to_do() {
    let world = World::start(", client_ca = [@]", "");
    let open = World::start("", "token_file = \"$/blue.token\"\n");
    let plain = Proxy::start();
    let named = open.servers.issue("elsewhere", &["elsewhere.example"]);
    let elsewhere = Proxy::start_with(&format!("tls = {{ {} }}\n", named.toml()));
    let (ours, others) = (world.servers.ca(), world.clients.ca());
    let foreign = world.servers.issue("foreign", &[]);
    let wrong = world.file("red.token");
    let ca = |file: &Path| vec!["--ca".to_owned(), file.display().to_string()];
    let shown = |pair: &Pair| {
        let files = [&pair.cert, &pair.key].map(|file| file.display().to_string());
        let [cert, key] = files;
        [ca(&ours), vec!["--cert".to_owned(), cert, "--key".to_owned(), key]].concat()
    };
    let mut with_token = ca(&open.servers.ca());
    with_token.extend(["--token-file".to_owned(), wrong.display().to_string()]);
    std::fs::write(&wrong, "no-such-secret").unwrap();
    #[rustfmt::skip]
    let table = [
        // at               options                    code  reason                                             way out
        (&world.proxy,      vec![],                    3,    "this port speaks TLS",                            "--ca or REGCTL_CACERT"),
        (&plain,            ca(&ours),                 4,    "it speaks no TLS there",                          "leave out --ca"),
        (&world.proxy,      ca(&others),               4,    "its certificate was issued by nobody we believe", "--ca or REGCTL_CACERT"),
        (&elsewhere,        ca(&open.servers.ca()),    4,    "its certificate is for another host",             "--addr as its certificate does"),
        (&world.proxy,      ca(&ours),                 4,    "it wants a certificate of ours",                  "--cert and --key"),
        (&world.proxy,      shown(&foreign),           4,    "it does not believe our certificate",             "client_ca"),
        (&open.proxy,       with_token,                3,    "authentication failed",                           "--token-file"),
        (&open.proxy,       ca(&open.servers.ca()),    3,    "authentication required",                         "--token-file"),
    ];
    for (proxy, options, code, reason, way_out) in table {
        let address = proxy.registry_address().to_string();
        let mut regctl = Command::new(binary("regctl"));
        regctl.args(["--timeout", "20s", "--addr", &address, "-r", "blue/b1"]).args(&options);
        let said = Said(regctl.arg("session-info").output().unwrap());
        let text = said.text();
        assert_eq!(said.code(), code, "{options:?}: {text}");
        assert!(text.contains(reason) && text.contains(way_out), "{options:?}: {text}");
        assert!(code == 3 || text.contains(&address), "{options:?}: {text}");
    }
    // And so is whoever reads the log.
    #[rustfmt::skip]
    let table = [
        (&world.proxy, "clear text where TLS is spoken"),
        (&world.proxy, "a TLS handshake that failed"),
        (&world.proxy, "no client certificate"),
        (&world.proxy, "a client certificate that is not accepted"),
        (&plain,       "TLS where clear text is spoken"),
        (&open.proxy,  "authentication failed"),
    ];
    for (proxy, reason) in table {
        let line = proxy.refused(reason);
        assert!(line.contains("\"peer\":\"127.0.0.1\""), "{line}");
    }
}

/// The certificate is read again when its files change.
#[test]
fn the_registrys_certificate_is_renewed() {
    let world = World::start("", "");
    let others = Authority::new("others");
    let said = world.raw(None, &[REGISTER, "PING|$sid"]);
    assert!(said.text().contains("PONG"), "{}", said.text());
    let renewed = others.issue("registry", &["127.0.0.1"]);
    for (from, to) in [(&renewed.cert, "registry.cert.pem"), (&renewed.key, "registry.key.pem")] {
        let beside = world.file("new");
        std::fs::copy(from, &beside).unwrap();
        std::fs::rename(beside, world.file(to)).unwrap();
    }
    proxyd_e2e::wait_for("the new certificate", || {
        let said = world.regctl(&others.ca(), None, &["raw", REGISTER, "PING|$sid"]);
        said.text().contains("PONG").then_some(())
    });
}
