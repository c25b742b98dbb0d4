//! The port as its clients see it.

use std::net::SocketAddr;
use std::time::Duration;

use catalog::{Catalog, Config, Endpoint, Facts, Identity, Image, Protocol, Source, What};
use client::heartbeat::{Event, ServiceClient};
use discovery::{Feed, Handle};
use door::Bounds;
use model::BackendHost;
use runtime::Clock;
use store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;

use crate::{Listener, Settings};

struct Port {
    address: SocketAddr,
    catalog: Handle,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<()>,
    _store: Store,
}

fn port_with(config: Config, at: &str) -> Port {
    let store = Store::memory();
    let (catalog, _) = discovery::start(
        config,
        [7; 32],
        Image::default(),
        store.catalog(),
        Feed::default(),
        Clock::system(),
    );
    let settings = Settings { listen: at.parse().unwrap(), ..Settings::default() };
    let listener = Listener::bind(&settings, catalog.clone()).unwrap();
    let address = listener.address().unwrap();
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(listener.serve(async move {
        let _ = stopped.await;
    }));
    Port { address, catalog, stop, served, _store: store }
}

fn port() -> Port {
    port_with(Config::default(), "127.0.0.1:0")
}

/// What is answered to these pieces, sent one after the other, each once the one before it has
/// had its time to arrive.
async fn say(address: SocketAddr, pieces: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in pieces {
        stream.write_all(piece).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn frame(text: &str) -> [u8; 256] {
    let mut frame = [0; 256];
    frame[..text.len()].copy_from_slice(text.as_bytes());
    frame
}

#[tokio::test]
async fn a_request_may_be_written_in_many_ways() {
    let port = port();
    let add = |catalog: &mut Catalog, now| {
        catalog.put(&Identity::alone("added").unwrap(), Source::Manual, Facts::default(), now)
    };
    port.catalog.change(add).await.unwrap().unwrap();
    let whole = frame("whole");
    let too_long = [b'x'; 300];
    #[rustfmt::skip]
    let table: &[(&[&[u8]], &str)] = &[
        (&[&whole],                            "SUCCESS|10.0.0.100|9000|86400\0"),
        (&[&whole[..2], &whole[2..]],          "SUCCESS|10.0.0.100|9000|86400\0"),
        (&[b"whole\0", &[0; 250]],             "SUCCESS|10.0.0.100|9000|86400\0"),
        (&[b"li", b"ne\n"],                    "SUCCESS|10.0.0.101|9001|86400\0"),
        (&[b"line\r\n"],                       "SUCCESS|10.0.0.101|9001|86400\0"),
        (&[b"quiet"],                          "SUCCESS|10.0.0.102|9002|86400\0"),
        (&[&frame("HEARTBEAT|quiet")],         "HEARTBEAT_OK"),
        (&[b"HEARTBEAT|", b"quiet", b"\0"],    "HEARTBEAT_OK"),
        (&[b"HEARTBEAT|nobody\n"],             "HEARTBEAT_FAILED"),
        (&[b"LOOKUP|QUIET\n"],                 "FOUND|10.0.0.102|9002"),
        (&[&frame("DEREGISTER|quiet")],        "DEREGISTERED"),
        (&[b"DEREGISTER|quiet\n"],             "FAILED|quiet is not registered\0"),
        (&[b"DEREGISTER|added\n"],             "FAILED|added is not registered here: its source is manual, remove it there\0"),
        (&[b"DEREGISTER\n"],                   "FAILED|DEREGISTER wants a pipe and a name behind it\0"),
        (&[b"LOOKUP|quiet\n"],                 "NOT_FOUND"),
        (&[b"HEARTBEAT|quiet\n"],              "HEARTBEAT_FAILED"),
        (&[&[0; 256]],                         "FAILED|name must not be empty\0"),
        (&[b"\n"],                             "FAILED|name must not be empty\0"),
        (&[&too_long],                         "FAILED|name must be at most 245 bytes long\0"),
        (&[b"two words\n"],                    "FAILED|name must hold no spaces, pipes or control characters\0"),
    ];
    for (pieces, want) in table {
        let shown: Vec<_> = pieces.iter().map(|piece| piece.escape_ascii().to_string()).collect();
        assert_eq!(say(port.address, pieces).await, *want, "{shown:?}");
    }
    let names: Vec<_> = port.catalog.view().services().map(|s| s.name.to_string()).collect();
    assert_eq!(names, ["added", "line", "whole"]);
}

#[tokio::test]
async fn the_end_of_the_stream_ends_a_request() {
    let port = port();
    let mut stream = TcpStream::connect(port.address).await.unwrap();
    stream.write_all(b"web").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"SUCCESS|10.0.0.100|9000|86400\0");
    let mut silent = TcpStream::connect(port.address).await.unwrap();
    silent.shutdown().await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "who asks nothing is told nothing");
}

/// The first clients close as soon as a heartbeat is written.
#[tokio::test]
async fn who_does_not_read_is_heard_all_the_same() {
    let config = Config { heartbeat_max_age: Duration::from_millis(600), ..Config::default() };
    let port = port_with(config, "127.0.0.1:0");
    say(port.address, &[&frame("web")]).await;
    let last_seen = || {
        let identity = Identity::alone("web").unwrap();
        port.catalog.view().instance(&identity).and_then(|web| web.last_seen)
    };
    let registered = last_seen();
    while last_seen() == registered {
        let mut stream = TcpStream::connect(port.address).await.unwrap();
        stream.write_all(&frame("HEARTBEAT|web")).await.unwrap();
        drop(stream);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(last_seen().is_some());
    // Without heartbeats the name ends.
    while last_seen().is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn say_from(from: &str, address: SocketAddr, text: &str) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(&frame(text)).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_name_belongs_to_the_peer_that_registered_it() {
    let port = port();
    let at = port.address;
    assert_eq!(say_from("127.0.0.2", at, "web").await, "SUCCESS|10.0.0.100|9000|86400\0");
    assert_eq!(say_from("127.0.0.2", at, "web").await, "SUCCESS|10.0.0.100|9000|86400\0");
    let foreign = "FAILED|web/web is registered from another address until its heartbeats end\0";
    assert_eq!(say_from("127.0.0.3", at, "web").await, foreign);
    assert_eq!(say_from("127.0.0.3", at, "HEARTBEAT|web").await, "HEARTBEAT_FAILED");
    assert_eq!(say_from("127.0.0.3", at, "DEREGISTER|web").await, foreign);
    assert_eq!(say_from("127.0.0.3", at, "LOOKUP|web").await, "FOUND|10.0.0.100|9000");
    let endpoint = port.catalog.view().service("web").unwrap().endpoints()[0].endpoint.clone();
    assert_eq!(endpoint.host, BackendHost::Ip([127, 0, 0, 2].into()));
    assert_eq!(say_from("127.0.0.2", at, "DEREGISTER|web").await, "DEREGISTERED");
    assert_eq!(say_from("127.0.0.3", at, "web").await, "SUCCESS|10.0.0.100|9000|86400\0");
}

#[tokio::test]
async fn services_of_other_sources_are_found_at_their_best_endpoint() {
    let port = port();
    let host = |text: &str| match text.parse() {
        Ok(ip) => BackendHost::Ip(ip),
        Err(_) => BackendHost::Name(text.into()),
    };
    let put = |name: &str, hosts: &[&str]| {
        let endpoint = |at: &&str| {
            Endpoint::new(at, host(at), if *at == "::2" { 2 } else { 1 }, Protocol::Tcp)
        };
        let facts = Facts { endpoints: hosts.iter().map(endpoint).collect(), ..Facts::default() };
        let identity = Identity::alone(name).unwrap();
        port.catalog.change(move |catalog: &mut Catalog, now| {
            catalog.put(&identity, Source::Manual, facts.clone(), now).unwrap();
        })
    };
    put("two", &["::1", "::2"]).await.unwrap();
    put("named", &["localhost"]).await.unwrap();
    put("nowhere", &[]).await.unwrap();
    let two = Identity::alone("two").unwrap();
    let ill = move |catalog: &mut Catalog, now| {
        catalog.check(&two, "::1", catalog::Finding::new(catalog::Health::Ill, "down"), now)
    };
    assert_eq!(say(port.address, &[b"LOOKUP|two\n"]).await, "FOUND|::1|1");
    port.catalog.change(ill).await.unwrap();
    assert_eq!(say(port.address, &[b"LOOKUP|two\n"]).await, "FOUND|::2|2");
    let named = say(port.address, &[b"LOOKUP|named\n"]).await;
    assert!(["FOUND|127.0.0.1|1", "FOUND|::1|1"].contains(&named.as_str()), "{named}");
    assert_eq!(say(port.address, &[b"LOOKUP|nowhere\n"]).await, "NOT_FOUND");
}

#[tokio::test]
async fn who_asks_slowly_holds_up_nobody() {
    let store = Store::memory();
    let (catalog, _) = discovery::start(
        Config::default(),
        [7; 32],
        Image::default(),
        store.catalog(),
        Feed::default(),
        Clock::system(),
    );
    let settings = Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        bounds: Bounds { connections_max: 2, connections_per_peer_max: 1 },
    };
    let listener = Listener::bind(&settings, catalog).unwrap();
    let address = listener.address().unwrap();
    tokio::spawn(listener.serve(std::future::pending()));
    let slow = TcpStream::connect(address).await.unwrap();
    let want = "SUCCESS|10.0.0.100|9000|86400\0";
    assert_eq!(say(address, &[b"web\n"]).await, want);
    let second = TcpStream::connect(address).await.unwrap();
    let mut third = TcpStream::connect(address).await.unwrap();
    assert_eq!(third.read(&mut [0]).await.unwrap_or(0), 0, "two are all there may be");
    drop((slow, second));
}

#[tokio::test]
async fn a_client_keeps_its_name() {
    let port = port();
    let mut client = ServiceClient::new(port.address, "web".to_owned());
    assert_eq!(client.lookup("web").await.unwrap(), None);
    let given = client.register().await.unwrap();
    assert_eq!(given, ([10, 0, 0, 100].into(), 9000));
    client.send_heartbeat().await.unwrap();
    assert_eq!(client.lookup("WEB").await.unwrap(), Some(given));
    client.deregister().await.unwrap();
    assert!(client.send_heartbeat().await.is_err());

    let kept = client.with_interval(Duration::from_millis(30)).keep();
    let mut events = kept.events();
    let registered = Event::Registered(given.0, given.1);
    assert_eq!(*events.wait_for(Option::is_some).await.unwrap(), Some(registered));
    // Somebody takes the name out: it is registered anew.
    let mut changes = port.catalog.changes();
    say(port.address, &[b"DEREGISTER|web\n"]).await;
    let mut told = Vec::new();
    for _ in 0..2 {
        told.push(changes.next().await.unwrap().unwrap().what.clone());
    }
    assert!(matches!(&told[..], [What::Deregistered(..), What::Registered(..)]), "{told:?}");
    kept.shutdown().await;
    assert!(port.catalog.view().service("web").is_none(), "it said goodbye");
}

#[tokio::test]
async fn a_client_comes_back_after_the_server_did() {
    let first = port();
    let address = first.address;
    let client = ServiceClient::new(address, "web".to_owned());
    let kept = client.with_interval(Duration::from_millis(30)).keep();
    let mut events = kept.events();
    events.wait_for(Option::is_some).await.unwrap();
    first.stop.send(()).unwrap();
    first.served.await.unwrap();
    events.wait_for(|event| matches!(event, Some(Event::Lost(_)))).await.unwrap();
    let second = port_with(Config::default(), &address.to_string());
    events.wait_for(|event| matches!(event, Some(Event::Registered(..)))).await.unwrap();
    drop(kept);
    let mut changes = second.catalog.changes();
    while second.catalog.view().service("web").is_some() {
        changes.next().await.unwrap();
    }
}
