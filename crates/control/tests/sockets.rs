//! The registry over real sockets, with the real machine behind them.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use door::Secret;
use model::{Image, RouteId};
use proxyd_control::{Address, Credentials, Effect, Limits, Listener, RegistryTask, Socket};
use runtime::Clock;
use session::{Config, Credential, Effects, Grants, Registry};
use store::{HistoryBounds, Store};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const V2: &str = r#"REGISTER|api|one|9001|{"version":"1"}"#;
const V1: &str = "REGISTER|web|host|9000|9001";

#[tokio::test]
async fn a_service_registers_and_its_route_is_published() {
    let registry = Running::start(Limits::default(), Credentials::default()).await;
    let mut client = registry.client().await;
    let session = client.register(V1).await;
    let route = format!("ROUTE|{session}|a.example|/|http://web:9000");
    assert_eq!(client.ask(&route).await, "ROUTE_OK");
    let published = registry.effects.lock().unwrap().iter().any(|effect| match effect {
        Effect::Publish(table) => table.get(RouteId(1)).is_some(),
        _ => false,
    });
    assert!(published);
    registry.stop().await;
}

#[tokio::test]
async fn a_thousand_commands_at_once_are_answered_in_order() {
    let registry = Running::start(Limits::default(), Credentials::default()).await;
    let mut client = registry.client().await;
    let session = client.register(V2).await;
    let mut lines = String::new();
    for number in 0..1000 {
        lines.push_str(&format!("PING|{session}|t{number}\n"));
    }
    client.send(&lines).await;
    for number in 0..1000 {
        assert_eq!(client.line().await, format!("PONG|t{number}"));
    }
    registry.stop().await;
}

#[tokio::test]
async fn a_new_connection_takes_a_session_over_and_the_old_one_is_closed() {
    let registry = Running::start(Limits::default(), Credentials::default()).await;
    let mut old = registry.client().await;
    let session = old.register(V2).await;
    let mut new = registry.client().await;
    assert_eq!(new.ask(&format!("RECONNECT|{session}")).await, "OK");
    assert_eq!(old.rest().await, "");
    assert_eq!(new.ask(&format!("PING|{session}")).await, "PONG");
    registry.stop().await;
}

#[tokio::test]
async fn half_a_connection_is_enough_to_hear_the_answers() {
    let registry = Running::start(Limits::default(), Credentials::default()).await;
    let mut client = registry.client().await;
    client.send(&format!("{V1}\nNONSENSE\n")).await;
    client.stream.shutdown().await.unwrap();
    let rest = client.rest().await;
    let lines: Vec<&str> = rest.lines().collect();
    assert!(lines[0].starts_with("ACK|host-9000-"), "{rest}");
    assert_eq!(lines[1..], ["ERROR|unknown command: NONSENSE"]);
    registry.stop().await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_the_next_one_gets_its_place() {
    let limits = Limits { connections_max: 2, ..Limits::default() };
    let registry = Running::start(limits, Credentials::default()).await;
    let mut first = registry.client().await;
    let mut second = registry.client().await;
    let session = first.register(V1).await;
    second.register(V2).await;
    let mut third = registry.client().await;
    assert_eq!(third.rest().await, "ERROR|too many connections\n");

    assert_eq!(first.ask(&format!("SHUTDOWN|{session}")).await, "GOODBYE");
    drop(first);
    // The place is free when the registry has seen the end, which nobody else is told.
    let mut fourth = loop {
        let mut client = registry.client().await;
        client.send("NONSENSE\n").await;
        if client.line().await == "ERROR|unknown command: NONSENSE" {
            break client;
        }
    };
    fourth.register(V1).await;
    registry.stop().await;
}

#[tokio::test]
async fn operators_get_in_when_everything_is_full_and_name_any_session() {
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let mut credentials = Credentials::default();
    let credential = Credential { name: "a".into(), grants: Grants::default() };
    credentials.add_token(Secret::new("secret").unwrap(), credential.into());
    let registry = Running::start(limits, credentials).await;
    let mut client = registry.client().await;
    assert_eq!(client.ask(V2).await, "ERROR|authentication required");
    assert_eq!(client.ask("AUTH|secret").await, "AUTH_OK");
    client.register(V2).await;
    let mut operator = Client::new(UnixStream::connect(&registry.operators).await.unwrap());
    let info = operator.ask("SESSION_INFO|api/one").await;
    assert!(info.starts_with("SESSION_OK|{"), "{info}");
    let all = operator.ask("SESSIONS").await;
    assert!(all.starts_with("SESSIONS_OK|[{") && all.contains(r#""instance_name":"one""#), "{all}");
    assert_eq!(client.ask("SESSIONS").await, "ERROR|operators only");
    registry.stop().await;
}

#[tokio::test]
async fn rubbish_hurts_nobody_else() {
    let registry = Running::start(Limits::default(), Credentials::default()).await;
    let mut good = registry.client().await;
    let session = good.register(V2).await;
    let mut bad = registry.client().await;
    let rubbish: Vec<u8> =
        (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let (mut reader, mut writer) = bad.stream.get_mut().split();
    let written = async {
        writer.write_all(&rubbish).await.unwrap();
        writer.write_all(b"\nNONSENSE\n").await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let read = async {
        let mut heard = String::new();
        reader.read_to_string(&mut heard).await.unwrap();
        heard
    };
    let (heard, ()) = tokio::join!(read, written);
    assert!(heard.lines().all(|line| line.starts_with("ERROR|")), "{heard}");
    assert!(heard.ends_with("ERROR|unknown command: NONSENSE\n"));
    assert_eq!(good.ask(&format!("PING|{session}")).await, "PONG");
    registry.stop().await;
}

#[tokio::test]
async fn at_the_end_v2_sessions_are_told_and_everybody_is_closed() {
    let registry = Running::start(Limits::default(), Credentials::default()).await;
    let (mut v1, mut v2) = (registry.client().await, registry.client().await);
    v1.register(V1).await;
    v2.register(V2).await;
    let address = registry.address;
    let stopped = registry.stop();
    let (v1, v2, ()) = tokio::join!(v1.rest(), v2.rest(), stopped);
    assert_eq!((v1.as_str(), v2.as_str()), ("", "SHUTDOWN\n"));
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn who_was_registered_before_a_restart_still_is_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxyd.db");
    let registry = Running::on(&path).await;
    let mut client = registry.client().await;
    let session = client.register(V2).await;
    let route = format!("ROUTE_ADD|{session}|a.example|/|http://api:3000|0");
    assert_eq!(client.ask(&route).await, "ROUTE_OK|r1");
    assert_eq!(client.ask(&format!("CONFIG_APPLY|{session}")).await, "OK");
    registry.stop().await;

    let registry = Running::on(&path).await;
    let mut client = registry.client().await;
    assert_eq!(client.ask(&format!("RECONNECT|{session}")).await, "OK");
    let list = client.ask(&format!("ROUTE_LIST|{session}")).await;
    assert!(list.contains(r#""route_id":"r1""#), "{list}");
    registry.stop().await;
}

/// As many as the store lets wait.
#[tokio::test]
async fn whatever_is_staged_at_once_is_on_disk_in_the_end() {
    let routes = store::WAITING_MAX;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxyd.db");
    let registry = Running::on(&path).await;
    let mut client = registry.client().await;
    let session = client.register(V2).await;
    let line = |n| format!("ROUTE_ADD|{session}|h{n}.example|/|http://api:3000|0\n");
    let lines: String = (0..routes).map(line).collect();
    let (reader, mut writer) = client.stream.into_inner().into_split();
    let sent = tokio::spawn(async move {
        writer.write_all(lines.as_bytes()).await.unwrap();
        writer
    });
    let mut answers = BufReader::new(reader).lines();
    for n in 1..=routes {
        let answer = answers.next_line().await.unwrap();
        assert_eq!(answer, Some(format!("ROUTE_OK|r{n}")));
    }
    drop(sent.await.unwrap());
    registry.stop().await;

    let (store, image) = Store::open(&path, HistoryBounds::USUAL).unwrap();
    assert_eq!(image.sessions[0].draft.routes.len(), routes);
    store.close().unwrap();
}

/// A registry that runs.
struct Running {
    address: SocketAddr,
    operators: PathBuf,
    effects: Arc<Mutex<Vec<Effect>>>,
    shutdown: oneshot::Sender<()>,
    listener: JoinHandle<()>,
    task: JoinHandle<Store>,
    _folder: tempfile::TempDir,
}

impl Running {
    async fn start(limits: Limits, credentials: Credentials) -> Self {
        Self::with(Store::memory(), Image::default(), limits, credentials)
    }

    async fn on(path: &Path) -> Self {
        let path = path.to_owned();
        let open = move || Store::open(&path, HistoryBounds::USUAL).unwrap();
        let (store, image) = tokio::task::spawn_blocking(open).await.unwrap();
        Self::with(store, image, Limits::default(), Credentials::default())
    }

    fn with(store: Store, image: Image, limits: Limits, credentials: Credentials) -> Self {
        let clock = Clock::system();
        let registry = Registry::new(config(), [7; 32], image, clock.now());
        let effects = Arc::new(Mutex::new(Vec::new()));
        let sink = effects.clone();
        let (task, handle) =
            RegistryTask::new(registry, store, clock, move |e| sink.lock().unwrap().push(e));
        let folder = tempfile::tempdir().unwrap();
        let operators = folder.path().join("admin.sock");
        let mut listener = Listener::new(handle, clock, limits, credentials.into());
        let socket = Socket::bind(&Address::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        let Address::Tcp(address) = socket.address().unwrap() else { panic!("no TCP") };
        listener.add(socket);
        listener.add_operators(Socket::bind(&Address::Unix(operators.clone())).unwrap());
        let (shutdown, down) = oneshot::channel();
        let grace = Duration::from_millis(100);
        let listener = tokio::spawn(listener.run(async { drop(down.await) }, grace));
        let task = tokio::spawn(task.run());
        Self { address, operators, effects, shutdown, listener, task, _folder: folder }
    }

    async fn client(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(self.address).await.unwrap())
    }

    async fn stop(self) {
        self.shutdown.send(()).unwrap();
        self.listener.await.unwrap();
        let store = self.task.await.unwrap();
        tokio::task::spawn_blocking(|| store.close()).await.unwrap().unwrap();
    }
}

fn config() -> Config {
    Config {
        session_expiry: Duration::from_secs(60),
        v1_route_grace: Duration::from_secs(60),
        route_grace: Duration::from_secs(300),
        staged_expiry: Duration::from_secs(1800),
        sessions_max: 100,
        routes_max: 10_000,
        routes_per_session_max: 10_000,
        sessions_per_peer_max: 10_000,
        effects: Effects::ALL,
    }
}

struct Client<S> {
    stream: BufReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    fn new(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        timeout(PATIENCE, read).await.expect("no answer").unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    async fn ask(&mut self, line: &str) -> String {
        self.send(&format!("{line}\n")).await;
        self.line().await
    }

    async fn register(&mut self, line: &str) -> String {
        let answer = self.ask(line).await;
        answer.strip_prefix("ACK|").unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Everything up to the end.
    async fn rest(&mut self) -> String {
        let mut text = String::new();
        let read = self.stream.read_to_string(&mut text);
        timeout(PATIENCE, read).await.expect("it stays open").unwrap();
        text
    }
}

/// So that a test that hangs ends.
const PATIENCE: Duration = Duration::from_secs(20);
