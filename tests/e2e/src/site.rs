//! A host that is served with TLS by a proxy of its own.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;

use tempfile::TempDir;

use crate::{Origin, Proxy, Session, wait_for};

/// A folder with `cert.pem` and `key.pem`.
#[derive(Debug)]
pub struct Files(TempDir);

impl Files {
    /// A certificate for these names, signed by itself.
    ///
    /// # Panics
    ///
    /// When there is no folder for it.
    pub fn new(names: &[&str]) -> Self {
        let files = Self(tempfile::tempdir().expect("a folder"));
        files.renew(names);
        files
    }

    /// Another one. As most programs do: written beside, then renamed.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn renew(&self, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let minted = rcgen::generate_simple_self_signed(names).expect("names");
        for (name, pem) in
            [("cert.pem", minted.cert.pem()), ("key.pem", minted.signing_key.serialize_pem())]
        {
            let beside = self.path(&format!("{name}.new"));
            fs::write(&beside, pem).expect("our own folder");
            fs::rename(beside, self.path(name)).expect("our own folder");
        }
    }

    /// Where a file of the folder is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The section of the configuration, with more lines in it.
    pub fn section(&self, listen: SocketAddr, more: &str) -> String {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        format!(
            "[https]\nlisten = [\"{listen}\"]\n\
             certificates = [{{ cert = {cert:?}, key = {key:?} }}]\n{more}"
        )
    }
}

/// A proxy that serves `h3.test` from one [`Origin`].
#[derive(Debug)]
pub struct Site {
    /// The proxy.
    pub proxy: Proxy,
    /// The registry session that holds the route.
    pub session: Session,
    /// Its id.
    pub route: String,
    /// The backend.
    pub origin: Origin,
    /// The certificate.
    pub files: Files,
}

impl Site {
    /// Its host.
    pub const HOST: &str = "h3.test";
    /// Names of its certificate.
    pub const NAMES: [&str; 3] = [Self::HOST, "*.h3.test", Self::BY_NAME];
    /// The same site for programs that ask for what they connect to.
    pub const BY_NAME: &str = "localhost";

    /// Starts one.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts one with more lines in the section `https`.
    pub fn start_with(more: &str) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), more)
    }

    /// Starts one that listens there.
    pub fn start_at(listen: SocketAddr, more: &str) -> Self {
        let (origin, files) = (Origin::start(), Files::new(&Self::NAMES));
        let proxy = Proxy::start_with(&files.section(listen, more));
        let mut session = Session::register(&proxy, "web", "web.1");
        let route = session.stage(Self::HOST, "/", &origin.url());
        session.stage(Self::BY_NAME, "/", &origin.url());
        session.expect("CONFIG_APPLY|$sid", "OK");
        Self { proxy, session, route, origin, files }
    }

    /// Where clients connect with TLS.
    pub fn port(&self) -> String {
        self.proxy.https().port().to_string()
    }

    /// What the proxy logged, if it broke.
    ///
    /// # Panics
    ///
    /// When something in it has panicked, or there is no log.
    pub fn check(&self) {
        let log = fs::read_to_string(self.proxy.folder().join("log")).expect("a log");
        assert!(!log.contains("panicked"), "{log}");
    }

    /// The proxy's memory, in bytes.
    ///
    /// # Panics
    ///
    /// When it is gone.
    pub fn memory_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.proxy.pid()));
        let status = status.expect("the proxy runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok());
        kib.unwrap_or(0_u64) * 1024
    }
}

/// A port that is free for TCP and UDP, for a program that binds it a moment later. Below those that
/// the kernel hands to connections, so that none of them takes it meanwhile.
///
/// # Panics
///
/// When there is none.
pub fn free_port() -> SocketAddr {
    let mut draw = RandomState::new().hash_one(std::process::id());
    wait_for("a port that is free twice", || {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let port = u16::try_from(10_000 + (draw >> 33) % 20_000).expect("below 30 000");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let is_free = TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok();
        is_free.then_some(address)
    })
}
