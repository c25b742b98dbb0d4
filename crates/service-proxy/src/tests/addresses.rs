//! Virtual addresses, in a network namespace of its own: nothing of this machine is touched.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::*;
use crate::{VirtualAddresses, forget_addresses};

const POOL: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(10, 0, 0, 100), Ipv4Addr::new(10, 0, 0, 103));

/// Runs another test of this program, ignored otherwise, below `unshare` with these arguments.
fn unshared(arguments: &[&str], test: &str) {
    let program = std::env::current_exe().unwrap();
    let ran = Command::new("unshare")
        .args(arguments)
        .arg(program)
        .args(["--exact", test, "--ignored", "--nocapture"])
        .output()
        .expect("this test needs unshare, of util-linux");
    let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn addresses_come_and_go_with_their_names() {
    unshared(&["--user", "--map-root-user", "--net"], "tests::addresses::inside_a_namespace");
}

/// A user namespace alone owns no network.
#[test]
fn without_the_capability_it_says_what_to_do() {
    unshared(&["--user"], "tests::addresses::without_the_capability");
}

fn ip(arguments: &str) -> String {
    let ran = Command::new("ip").args(arguments.split(' ')).output();
    let ran = ran.expect("this test needs ip, of iproute2");
    assert!(ran.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

/// The addresses of the loopback device that are not 127.0.0.1.
fn there() -> Vec<String> {
    let listed = ip("-4 -o address show dev lo");
    let address = |line: &str| line.split_whitespace().nth(3).map(str::to_owned);
    listed.lines().filter_map(address).filter(|address| address != "127.0.0.1/8").collect()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..500 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: {:?}", there());
}

async fn register(catalog: &Handle, name: &'static str) {
    let register = move |catalog: &mut Catalog, now| {
        catalog.register_heartbeat(&identity(name, name), [127, 0, 0, 1].into(), now).unwrap();
    };
    catalog.change(register).await.unwrap();
}

async fn deregister(catalog: &Handle, name: &'static str) {
    let remove = move |catalog: &mut Catalog, now| {
        catalog.remove(&identity(name, name), Source::Heartbeat, now);
    };
    catalog.change(remove).await.unwrap();
}

/// What comes back from an address.
async fn say(at: (Ipv4Addr, u16), text: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut back = String::new();
    stream.read_to_string(&mut back).await.unwrap();
    back
}

#[tokio::test]
#[ignore = "runs in a network namespace that another test makes"]
async fn inside_a_namespace() {
    ip("link set lo up");
    // Left behind by a proxyd that was killed, and put there by somebody else.
    ip("address add 10.0.0.103/32 dev lo label lo:proxyd-k1ll3");
    ip("address add 10.0.0.102/32 dev lo");
    let services = echo("<>").await;
    let port = services.port() - 2000;
    let known = || catalog(Config { addresses: POOL, ports: port..=port + 9, ..Config::default() });
    let settings = || TunnelSettings { port_offset: 2000, ..TunnelSettings::default() };
    let (catalog, _store) = known();
    register(&catalog, "first").await;
    let addresses = VirtualAddresses::start(POOL, tunnels(settings(), &catalog)).await.unwrap();
    assert_eq!(there(), ["10.0.0.102/32", "10.0.0.100/32"]);
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(addresses.serve(async move { drop(stopped.await) }));
    let first = (Ipv4Addr::new(10, 0, 0, 100), port);
    assert_eq!(say(first, "x").await, "<>x");

    register(&catalog, "second").await;
    until("a second one", || there().contains(&"10.0.0.101/32".to_owned())).await;
    // Another proxyd of this machine leaves alone what a living one has, with addresses of its own
    // and without. What both would have stays with the first.
    let both = there();
    forget_addresses(POOL).await;
    assert_eq!(there(), both, "for one that makes none");
    let (others, _others_store) = known();
    register(&others, "other").await;
    let other = VirtualAddresses::start(POOL, tunnels(settings(), &others)).await.unwrap();
    assert_eq!(there(), both, "for one that makes its own");
    other.serve(std::future::ready(())).await;
    assert_eq!(there(), both, "and when that one ends");
    assert_eq!(say(first, "x").await, "<>x");
    let mut open = TcpStream::connect(first).await.unwrap();
    let mut greeting = [0; 2];
    open.read_exact(&mut greeting).await.unwrap();
    deregister(&catalog, "first").await;
    until("the first one goes", || !there().contains(&"10.0.0.100/32".to_owned())).await;
    assert_eq!(open.read(&mut [0]).await.unwrap_or(0), 0, "and its tunnels with it");
    // Another name gets the address at once.
    register(&catalog, "third").await;
    until("it is there again", || std::net::TcpStream::connect(first).is_ok()).await;
    assert_eq!(say(first, "y").await, "<>y");

    let fourth = (Ipv4Addr::new(10, 0, 0, 102), port + 2);
    let taken = std::net::TcpListener::bind(fourth).unwrap();
    register(&catalog, "fourth").await;
    register(&catalog, "fifth").await;
    until("one after the other", || there().contains(&"10.0.0.103/32".to_owned())).await;
    drop(taken);
    assert!(TcpStream::connect(fourth).await.is_err(), "it could not be had");
    until("it listens on what was there", || std::net::TcpStream::connect(fourth).is_ok()).await;
    drop(stop);
    served.await.unwrap();
    assert_eq!(there(), ["10.0.0.102/32"], "what somebody else put there stays");

    // Killed, and started without.
    ip("address add 10.0.0.101/32 dev lo label lo:proxyd-k1ll3");
    ip("address add 10.9.0.1/32 dev lo label lo:proxyd-k1ll3");
    forget_addresses(POOL).await;
    assert_eq!(there(), ["10.0.0.102/32", "10.9.0.1/32"], "and what others hand out");
}

#[tokio::test]
#[ignore = "runs in a user namespace that another test makes"]
async fn without_the_capability() {
    let (catalog, _store) = catalog(Config::default());
    let started = VirtualAddresses::start(POOL, tunnels(TunnelSettings::default(), &catalog)).await;
    let error = started.unwrap_err().to_string();
    assert!(error.contains("CAP_NET_ADMIN"), "{error}");
    forget_addresses(POOL).await;
}
