//! The machine behind a connection in virtual time: what the two owe each other.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::time::Duration;

use model::{Event, Image, UnixMillis};
use proxyd_control::{Handle, RegistryTask, converse};
use runtime::Clock;
use session::{Config, Effects, Input, Peer, Registry};
use store::Store;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::time::{sleep, timeout};

const V1: &str = "REGISTER|web|host|9000|9001";
const V2: &str = "REGISTER|api|one|9001|";

#[tokio::test(start_paused = true)]
async fn without_a_session_a_connection_lasts_five_minutes() {
    let world = World::start();
    let mut client = world.client();
    client.pass(299).await;
    assert_eq!(client.ask("NONSENSE").await, "ERROR|unknown command: NONSENSE");
    client.pass(2).await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test(start_paused = true)]
async fn with_a_session_it_may_be_silent_for_a_day() {
    let world = World::start();
    let mut client = world.client();
    let session = client.register(V2).await;
    client.pass(24 * 3600).await;
    assert_eq!(client.ask(&format!("PING|{session}")).await, "PONG");
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_told_to_the_machine() {
    let world = World::start();
    let mut client = world.client();
    let session = client.register(V2).await;
    drop(client);
    let mut client = world.client();
    client.pass(59).await;
    assert_eq!(client.ask(&format!("RECONNECT|{session}")).await, "OK");
    drop(client);
    let mut client = world.client();
    client.pass(61).await;
    assert_eq!(client.ask(&format!("RECONNECT|{session}")).await, "REREGISTER");
}

#[tokio::test(start_paused = true)]
async fn events_go_to_those_who_subscribed() {
    let world = World::start();
    let (mut v1, mut silent, mut curious) = (world.client(), world.client(), world.client());
    v1.register(V1).await;
    silent.register(V2).await;
    let session = curious.register("REGISTER|api|two|9001|").await;
    let subscribe = format!("SUBSCRIBE|{session}|all");
    assert_eq!(curious.ask(&subscribe).await, "SUBSCRIBE_OK");
    let event = Event::GlobalConfigChanged { reason: "admin_update".into() };
    world.handle.tell(Input::Happened(event)).await.unwrap();
    let line = curious.line().await;
    assert!(line.starts_with("EVENT|global_config_changed|{"), "{line}");
    // What comes to the others next is the end.
    world.handle.tell(Input::Shutdown).await.unwrap();
    assert_eq!(curious.line().await, "SHUTDOWN");
    assert_eq!(silent.line().await, "SHUTDOWN");
    assert!(v1.hears_nothing().await);
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_its_last_handle() {
    let clock = Clock::starting_at(UnixMillis(1_700_000_000_000));
    let registry = Registry::new(config(), [7; 32], Image::default(), clock.now());
    let (task, handle) = RegistryTask::new(registry, Store::memory(), clock, |_| {});
    let task = tokio::spawn(task.run());
    let teller = handle.teller();
    teller.tell(Input::Shutdown).await.unwrap();
    drop(handle);
    task.await.unwrap().close().unwrap();
    assert!(teller.tell(Input::Shutdown).await.is_err());
    assert!(teller.try_tell(Input::Shutdown).is_err());
}

struct World {
    handle: Handle,
    clock: Clock,
}

impl World {
    fn start() -> Self {
        let clock = Clock::starting_at(UnixMillis(1_700_000_000_000));
        let registry = Registry::new(config(), [7; 32], Image::default(), clock.now());
        let (task, handle) = RegistryTask::new(registry, Store::memory(), clock, |_| {});
        tokio::spawn(task.run());
        Self { handle, clock }
    }

    fn client(&self) -> Client {
        let (client, server) = duplex(64 << 10);
        tokio::spawn(converse(
            server,
            Peer::Local,
            Default::default(),
            self.handle.clone(),
            self.clock,
        ));
        Client { stream: BufReader::new(client) }
    }
}

fn config() -> Config {
    Config {
        session_expiry: Duration::from_secs(60),
        v1_route_grace: Duration::from_secs(60),
        route_grace: Duration::from_secs(300),
        staged_expiry: Duration::from_secs(1800),
        sessions_max: 100,
        routes_max: 1000,
        routes_per_session_max: 1000,
        sessions_per_peer_max: 10_000,
        effects: Effects::ALL,
    }
}

struct Client {
    stream: BufReader<DuplexStream>,
}

impl Client {
    async fn pass(&self, seconds: u64) {
        sleep(Duration::from_secs(seconds)).await;
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(LONG, self.stream.read_line(&mut line)).await.expect("no line came").unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    async fn ask(&mut self, line: &str) -> String {
        self.stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        self.line().await
    }

    async fn register(&mut self, line: &str) -> String {
        let answer = self.ask(line).await;
        answer.strip_prefix("ACK|").unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    async fn rest(&mut self) -> String {
        let mut text = String::new();
        let read = self.stream.read_to_string(&mut text);
        timeout(LONG, read).await.expect("it stays open").unwrap();
        text
    }

    async fn hears_nothing(&mut self) -> bool {
        timeout(LONG, self.stream.read_u8()).await.is_err()
    }
}

/// Longer than any limit here.
const LONG: Duration = Duration::from_hours(1);
