//! Tunnels by name.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, crypto};

use super::*;
use crate::TcpProxy;

fn proxy(settings: TunnelSettings, catalog: &Handle) -> SocketAddr {
    let any = "127.0.0.1:0".parse().unwrap();
    let proxy = TcpProxy::bind(any, tunnels(settings, catalog)).unwrap();
    let address = proxy.address().unwrap();
    tokio::spawn(proxy.serve(std::future::pending()));
    address
}

/// Says this, and gives everything that comes back.
async fn say(at: SocketAddr, pieces: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in pieces {
        stream.write_all(piece).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stream.shutdown().await.unwrap();
    let mut back = Vec::new();
    let _ = stream.read_to_end(&mut back).await;
    String::from_utf8(back).unwrap()
}

#[tokio::test]
async fn names_and_payloads() {
    let (catalog, _store) = catalog(Config::default());
    put(&catalog, "Web", "a", &[echo("<a>").await]).await;
    put(&catalog, "db", "db", &[echo("<db>").await]).await;
    put(&catalog, "gone", "gone", &[nowhere().await]).await;
    put(&catalog, "none", "none", &[]).await;
    let ours = echo("").await;
    put(&catalog, "denied", "denied", &[([0, 0, 0, 0], ours.port()).into()]).await;
    let at = proxy(TunnelSettings::default(), &catalog);
    let mut padded = [0; 256];
    padded[..2].copy_from_slice(b"db");
    #[rustfmt::skip]
    let table: &[(&[&[u8]], &str)] = &[
        (&[b"web\nGET /"],              "<a>GET /"),
        (&[b"w", b"eb", b"\r\nGET /"],  "<a>GET /"),
        (&[b"WEB\n", b"x", b"y"],       "<a>xy"),
        (&[b"web"],                     "<a>"),
        (&[b"a.web\nx"],                "<a>x"),
        (&[b"web.internal.\nx"],        "<a>x"),
        (&[&padded, b"x"],              "<db>x"),
        (&[&padded[..9], &padded[9..], b"x"], "<db>x"),
        (&[b"db\0x"],                   "<db>x"),
        (&[b"db\0\0\0\0\x08"],          "<db>\0\0\0\x08"),
        (&[b"nobody\nx"],               ""),
        (&[b"b.web\nx"],                ""),
        (&[b"gone\nx"],                 ""),
        (&[b"none\nx"],                 ""),
        (&[b"denied\nx"],               ""),
        (&[b"\n"],                      ""),
        (&[],                           ""),
    ];
    for (pieces, want) in table {
        let shown: Vec<_> = pieces.iter().map(|piece| piece.escape_ascii().to_string()).collect();
        assert_eq!(say(at, pieces).await, *want, "{shown:?}");
    }
    // A service that speaks first is heard without an end of the name.
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(b"db").await.unwrap();
    let mut greeting = [0; 4];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"<db>");
}

#[tokio::test]
async fn endpoints_share_and_stand_in_for_each_other() {
    let (catalog, _store) = catalog(Config::default());
    let (one, two) = (echo("1").await, echo("2").await);
    put(&catalog, "web", "a", &[one, nowhere().await, nowhere().await]).await;
    put(&catalog, "web", "b", &[two]).await;
    let at = proxy(TunnelSettings::default(), &catalog);
    let mut seen = BTreeSet::new();
    while seen.len() < 2 {
        let said = say(at, &[b"web\n"]).await;
        assert!(said == "1" || said == "2", "{said:?}");
        seen.insert(said);
    }
    let ill = move |catalog: &mut Catalog, now| {
        catalog.check(
            &identity("web", "a"),
            &one.to_string(),
            catalog::Finding::new(catalog::Health::Ill, "down"),
            now,
        );
    };
    catalog.change(ill).await.unwrap();
    for _ in 0..20 {
        assert_eq!(say(at, &[b"web\n"]).await, "2", "the ill one is asked last");
    }
    assert_eq!(say(at, &[b"a.web\n"]).await, "1", "and asked when there is no other");
}

#[tokio::test]
async fn who_beats_may_listen_elsewhere() {
    let there = echo("<b>").await;
    let port = there.port().checked_sub(2000).unwrap();
    let (catalog, _store) = catalog(Config { ports: port..=port, ..Config::default() });
    let register = |catalog: &mut Catalog, now| {
        let name = identity("test-service-3", "test-service-3");
        catalog.register_heartbeat(&name, [127, 0, 0, 1].into(), now).unwrap();
    };
    catalog.change(register).await.unwrap();
    put(&catalog, "plain", "plain", &[there]).await;
    let settings = TunnelSettings { port_offset: 2000, ..TunnelSettings::default() };
    let at = proxy(settings, &catalog);
    assert_eq!(say(at, &[b"test-service-3\nx"]).await, "<b>x");
    assert_eq!(say(at, &[b"plain\nx"]).await, "<b>x", "others listen where they say");
}

/// What a client says first to a server of this name.
fn hello(server: &'static str) -> Vec<u8> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(server).unwrap();
    let mut hello = Vec::new();
    ClientConnection::new(Arc::new(config), name).unwrap().write_tls(&mut hello).unwrap();
    hello
}

#[tokio::test]
async fn a_tls_hello_names_the_service_and_arrives_as_it_was() {
    let (catalog, _store) = catalog(Config::default());
    put(&catalog, "web", "a", &[echo("").await]).await;
    let at = proxy(TunnelSettings::default(), &catalog);
    for (name, reaches) in
        [("web", true), ("web.internal", true), ("other.internal", false), ("127.0.0.1", false)]
    {
        let hello = hello(name);
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in [&hello[..1], &hello[1..3], &hello[3..100], &hello[100..]] {
            let _ = stream.write_all(piece).await;
            tokio::task::yield_now().await;
        }
        let _ = stream.shutdown().await;
        let mut back = Vec::new();
        let _ = stream.read_to_end(&mut back).await;
        assert_eq!(back == hello, reaches, "{name}");
    }
    assert_eq!(say(at, &[b"\x16\x03\x01\x00\x05hello"]).await, "", "no hello");
    assert_eq!(say(at, &[b"\x16"]).await, "", "no name either");
}

#[tokio::test]
async fn a_hello_that_comes_slowly_is_no_name() {
    let (catalog, _store) = catalog(Config::default());
    put(&catalog, "web", "a", &[echo("").await]).await;
    let at = proxy(TunnelSettings::default(), &catalog);
    let hello = hello("web");
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&hello[..1]).await.unwrap();
    // Longer than a name may be silent.
    tokio::time::sleep(Duration::from_millis(300)).await;
    stream.write_all(&hello[1..]).await.unwrap();
    let mut back = vec![0; hello.len()];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(back, hello);
}

#[tokio::test]
async fn a_tunnel_ends_when_nothing_moves() {
    let (catalog, _store) = catalog(Config::default());
    put(&catalog, "web", "a", &[echo("").await]).await;
    let idle_timeout = Duration::from_millis(300);
    let at = proxy(TunnelSettings { idle_timeout, ..TunnelSettings::default() }, &catalog);
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(b"web\n").await.unwrap();
    let mut byte = [0];
    // Longer than the bound, and never silent for as long.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.write_all(b"x").await.unwrap();
        stream.read_exact(&mut byte).await.unwrap();
    }
    assert_eq!(stream.read(&mut byte).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn much_goes_both_ways() {
    let (catalog, _store) = catalog(Config::default());
    put(&catalog, "web", "a", &[echo("").await]).await;
    let at = proxy(TunnelSettings::default(), &catalog);
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(b"web\n").await.unwrap();
    let sent: Vec<u8> = (0..4_000_000_u32).map(|n| n.to_le_bytes()[0] ^ 0x5a).collect();
    let (mut read, mut write) = stream.split();
    let mut back = Vec::new();
    let (wrote, got) = tokio::join!(
        async {
            write.write_all(&sent).await?;
            write.shutdown().await
        },
        read.read_to_end(&mut back)
    );
    wrote.unwrap();
    got.unwrap();
    assert!(back == sent, "{} of {} bytes", back.len(), sent.len());
}

#[tokio::test]
async fn open_tunnels_have_their_grace() {
    let (catalog, _store) = catalog(Config::default());
    put(&catalog, "web", "a", &[echo("").await]).await;
    let any = "127.0.0.1:0".parse().unwrap();
    let proxy = TcpProxy::bind(any, tunnels(TunnelSettings::default(), &catalog)).unwrap();
    let at = proxy.address().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(proxy.serve(async move { drop(stopped.await) }));
    let mut stream = TcpStream::connect(at).await.unwrap();
    let mut byte = [0];
    stream.write_all(b"web\nx").await.unwrap();
    stream.read_exact(&mut byte).await.unwrap();
    drop(stop);
    while TcpStream::connect(at).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(b"y").await.unwrap();
    stream.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"y");
    drop(stream);
    served.await.unwrap();
}
