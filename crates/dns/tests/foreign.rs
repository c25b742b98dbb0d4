//! The server on real sockets, asked by `dig` and by hand.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use catalog::{Catalog, Config, Endpoint, Facts, Identity, Protocol, Source};
use model::{BackendHost, Now};
use proxyd_dns::{BindError, Server, Settings};
use runtime::{Clock, Snapshot};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Nothing here takes long; who waits longer waits in vain.
const PATIENCE: Duration = Duration::from_secs(30);

/// A question for `web.proxyd.internal`, type A.
const QUESTION: &[u8] = b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\
    \x03web\x06proxyd\x08internal\x00\x00\x01\x00\x01";

struct Running {
    address: SocketAddr,
    catalog: Catalog,
    snapshot: Snapshot<catalog::View>,
    end: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

impl Running {
    fn start() -> Self {
        let catalog = Catalog::new(Config::default(), [7; 32]);
        let snapshot = Snapshot::new(Arc::new(catalog.view().clone()));
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(Settings { listen, ..Settings::default() }).unwrap();
        let address = server.address();
        let (end, ended) = oneshot::channel();
        let view = snapshot.clone();
        let served = tokio::spawn(
            server.serve(move || view.load(), Clock::system(), async { drop(ended.await) }),
        );
        Self { address, catalog, snapshot, end, served }
    }

    fn change(&mut self, change: impl FnOnce(&mut Catalog)) {
        change(&mut self.catalog);
        self.snapshot.store(Arc::new(self.catalog.view().clone()));
    }

    fn put(&mut self, service: &str, instances: u8) {
        self.change(|catalog| {
            for n in 1..=instances {
                let host = BackendHost::Ip([10, 0, 0, n].into());
                let endpoints = vec![Endpoint::new("main", host, 8080, Protocol::Tcp)];
                let mut name = Identity::alone(service).unwrap();
                name.instance = model::InstanceName::parse(&format!("i{n}")).unwrap();
                let facts = Facts { endpoints, ..Facts::default() };
                catalog.put(&name, Source::Manual, facts, Now::default()).unwrap();
            }
        });
    }

    /// What `dig` says, with one space for many.
    async fn dig(&self, arguments: &str) -> String {
        let mut dig = Command::new("dig");
        dig.args(["@127.0.0.1", "-p", &self.address.port().to_string()]);
        dig.args(["+tries=1", "+time=10", "+norecurse"]).args(arguments.split(' '));
        let said = tokio::task::spawn_blocking(move || dig.output()).await.unwrap();
        let said = said.expect("dig is there: apt-get install bind9-dnsutils");
        let said = String::from_utf8(said.stdout).unwrap();
        said.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    }

    async fn stop(self) {
        drop(self.end);
        tokio::time::timeout(PATIENCE, self.served).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn dig_finds_what_is_in_the_catalog() {
    let mut running = Running::start();
    running.put("web", 1);
    running.put("crowd", 100);
    #[rustfmt::skip]
    let table: &[(&str, &[&str])] = &[
        ("web.proxyd.internal A",                  &["status: NOERROR", "flags: qr aa;", "web.proxyd.internal. 5 IN A 10.0.0.1"]),
        ("+tcp web.proxyd.internal A",             &["status: NOERROR", "IN A 10.0.0.1", "(TCP)"]),
        ("WEB.proxyd.internal A",                  &["WEB.proxyd.internal. 5 IN A 10.0.0.1"]),
        ("web A",                                  &["web. 5 IN A 10.0.0.1"]),
        ("i1.web.proxyd.internal A",               &["IN A 10.0.0.1"]),
        ("_http._tcp.web.proxyd.internal SRV",     &["status: NOERROR", "ANSWER: 0", "IN SOA ns.proxyd.internal."]),
        ("_web._tcp.proxyd.internal SRV",          &["IN SRV 0 1 8080 i1.web.proxyd.internal.", "i1.web.proxyd.internal. 5 IN A 10.0.0.1"]),
        ("web.proxyd.internal TXT",                &["\"instance=i1\" \"health=good\" \"protocol=tcp\""]),
        ("-x 10.0.0.100",                          &["IN PTR i100.crowd.proxyd.internal."]),
        ("proxyd.internal SOA",                    &["IN SOA ns.proxyd.internal. hostmaster.proxyd.internal."]),
        ("proxyd.internal NS",                     &["IN NS ns.proxyd.internal.", "ns.proxyd.internal. 5 IN A 127.0.0.1"]),
        ("never.proxyd.internal A",                &["status: NXDOMAIN", "IN SOA"]),
        ("example.com A",                          &["status: REFUSED"]),
        ("+noedns +ignore crowd.proxyd.internal A", &["flags: qr aa tc;", "ANSWER: 0"]),
        ("+noedns crowd.proxyd.internal A",        &["Truncated, retrying in TCP mode", "ANSWER: 64"]),
        ("+bufsize=1232 crowd.proxyd.internal A",  &["ANSWER: 64", "udp: 1232", "(UDP)"]),
        ("+ednsopt=8:00011800c0a801 web.proxyd.internal A", &["IN A 10.0.0.1"]),
        ("+edns=1 +noednsneg web.proxyd.internal A", &["status: BADVERS"]),
    ];
    for (arguments, wanted) in table {
        let said = running.dig(arguments).await;
        for want in *wanted {
            assert!(said.contains(want), "dig {arguments}: no {want:?} in\n{said}");
        }
    }
    // What leaves is gone with the next question, and not denied.
    running.change(|catalog| {
        let mut name = Identity::alone("web").unwrap();
        name.instance = model::InstanceName::parse("i1").unwrap();
        catalog.remove(&name, Source::Manual, Now::default());
    });
    let said = running.dig("web.proxyd.internal A").await;
    assert!(said.contains("status: NOERROR") && said.contains("ANSWER: 0"), "{said}");
    running.stop().await;
}

#[tokio::test]
async fn many_questions_on_one_connection() {
    let mut running = Running::start();
    running.put("web", 1);
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let mut framed = u16::try_from(QUESTION.len()).unwrap().to_be_bytes().to_vec();
    framed.extend(QUESTION);
    stream.write_all(&framed.repeat(50)).await.unwrap();
    for _ in 0..50 {
        let bytes = stream.read_u16().await.unwrap();
        let mut answer = vec![0; usize::from(bytes)];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer[..2], QUESTION[..2]);
        assert_eq!(answer[answer.len() - 4..], [10, 0, 0, 1]);
    }
    // The end does not wait for a connection that asks nothing.
    running.stop().await;
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_no_question_ends_a_connection_and_no_other() {
    let mut running = Running::start();
    running.put("web", 1);
    for bytes in [&[0xFF, 0xFF][..], &[0, 1, 7], &[0, 0]] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0, "{bytes:?}");
    }
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for garbage in [&b""[..], b"x", &[0xFF; 4096]] {
        socket.send_to(garbage, running.address).await.unwrap();
    }
    socket.send_to(QUESTION, running.address).await.unwrap();
    let mut answer = [0; 512];
    let received = tokio::time::timeout(PATIENCE, socket.recv(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer[received - 4..received], [10, 0, 0, 1]);
    running.stop().await;
}

#[test]
fn off_loopback_who_may_ask_is_written_out() {
    let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let refused = Server::bind(Settings { listen, ..Settings::default() });
    assert!(matches!(refused, Err(BindError::Open(_))));
    let clients = vec!["10.0.0.0/8".parse().unwrap()];
    assert!(Server::bind(Settings { listen, clients, ..Settings::default() }).is_ok());
}
