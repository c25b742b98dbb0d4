//! A certificate authority of the tests' own: Debian's `pebble`, with a name server that sends
//! every name to loopback.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::{Program, free_port, wait_for};

/// Where it will listen. Known before it runs, so that a proxy can be told of it first.
#[derive(Debug)]
pub struct PebblePlan {
    folder: TempDir,
    listen: SocketAddr,
    management: SocketAddr,
}

/// A running authority.
#[derive(Debug)]
pub struct Pebble {
    folder: TempDir,
    management: SocketAddr,
    program: Program,
    _names: Program,
}

impl PebblePlan {
    /// Picks free ports, and makes the certificate that it shows as a server.
    ///
    /// # Panics
    ///
    /// When there are none.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let minted = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let write = |name: &str, text: String| {
            std::fs::write(folder.path().join(name), text).expect("a file");
        };
        write("server.pem", minted.cert.pem());
        write("key.pem", minted.signing_key.serialize_pem());
        Self { folder, listen: free_port(), management: free_port() }
    }

    /// The section `[acme]` for it, with these challenges (`"http-01"`).
    pub fn section(&self, challenges: &str) -> String {
        format!(
            "[acme]\naccept_terms = true\nemail = \"admin@example.com\"\n\
             directories = [\"{}\"]\nca = [{:?}]\nchallenges = [{challenges}]\n",
            self.directory(),
            self.folder.path().join("server.pem"),
        )
    }

    /// Its address.
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.listen.port())
    }

    /// Starts it. It looks at names on these ports, and its certificates are valid for so many
    /// seconds.
    ///
    /// # Panics
    ///
    /// When it is not installed.
    pub fn start(self, http: u16, tls: u16, seconds: u64) -> Pebble {
        self.start_wanting(None, http, tls, seconds)
    }

    /// The same, and new accounts must belong to the one with this id and key (URL-safe Base64).
    ///
    /// # Panics
    ///
    /// As [`PebblePlan::start`].
    pub fn start_wanting(
        self,
        account: Option<(&str, &str)>,
        http: u16,
        tls: u16,
        seconds: u64,
    ) -> Pebble {
        let keys: BTreeMap<_, _> = account.into_iter().collect();
        let Self { folder, listen, management } = self;
        let file = |name: &str| folder.path().join(name);
        let config = serde_json::json!({ "pebble": {
            "listenAddress": listen.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": file("server.pem"),
            "privateKey": file("key.pem"),
            "httpPort": http,
            "tlsPort": tls,
            "certificateValidityPeriod": seconds,
            "externalAccountBindingRequired": account.is_some(),
            "externalAccountMACKeys": keys,
        }});
        std::fs::write(file("pebble.json"), config.to_string()).expect("a file");
        let (dns, dns_management) = (free_port(), free_port());
        let mut names = Program::start(Command::new("pebble-challtestsrv").args([
            "-dns01",
            &dns.to_string(),
            "-management",
            &dns_management.to_string(),
            "-defaultIPv6=",
            "-http01=",
            "-https01=",
            "-tlsalpn01=",
        ]))
        .expect("pebble-challtestsrv is installed");
        names.wait_for("Starting management server");
        let program = Program::start(
            Command::new("pebble")
                .arg("-config")
                .arg(file("pebble.json"))
                .args(["-dnsserver", &dns.to_string()])
                .env("PEBBLE_VA_NOSLEEP", "1")
                .env("PEBBLE_WFE_NONCEREJECT", "0")
                .env("PEBBLE_AUTHZREUSE", "0"),
        )
        .expect("pebble is installed");
        for address in [listen, management] {
            wait_for("pebble to listen", || TcpStream::connect(address).ok());
        }
        Pebble { folder, management, program, _names: names }
    }
}

impl Default for PebblePlan {
    fn default() -> Self {
        Self::new()
    }
}

impl Pebble {
    /// A file with the certificate at the root of all it issues.
    ///
    /// # Panics
    ///
    /// When curl is not installed.
    pub fn root(&self) -> PathBuf {
        let file = self.folder.path().join("root.pem");
        let got = Command::new("curl")
            .args(["-sS", "-m", "20", "--cacert"])
            .arg(self.folder.path().join("server.pem"))
            .arg(format!("https://localhost:{}/roots/0", self.management.port()))
            .output()
            .expect("curl is installed");
        std::fs::write(&file, got.stdout).expect("a file");
        file
    }

    /// How many orders it was given.
    pub fn orders(&self) -> usize {
        self.program.said().matches("Added order").count()
    }

    /// Everything it said.
    pub fn said(&self) -> String {
        self.program.said()
    }

    /// Ends it. Its files stay, since the proxy reads one of them whenever it starts.
    pub fn stop(&self) {
        self.program.signal(9);
    }
}
