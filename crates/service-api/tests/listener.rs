//! Who gets in, who is put out, and that nobody waits for another.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{Site, With};
use futures_util::SinkExt as _;
use proxyd_service_api::bounds::MESSAGE_BYTES_MAX;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};

#[tokio::test]
async fn whoever_does_not_shake_hands_blocks_nobody() {
    let mut site = Site::start(With::default());
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(TcpStream::connect(site.address).await.unwrap());
    }
    let mut half = TcpStream::connect(site.address).await.unwrap();
    half.write_all(&[22, 3, 1]).await.unwrap();
    let silent = site.tls().await;
    let mut raw = site.connect().await;
    assert_eq!(raw.ask("ping", json!({})).await.unwrap()["status"], "pong");
    // And they do not hold up the end.
    site.tell_stop();
    assert_eq!(raw.text().await.unwrap_err(), "1001 proxyd is ending");
    drop(raw);
    site.stop().await;
    drop((idle, half, silent));
}

#[tokio::test]
async fn who_speaks_no_tls_is_told() {
    let site = Site::start(With::default());
    let mut plain = TcpStream::connect(site.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut said = String::new();
    plain.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 400 ") && said.ends_with("wss:// works\n"), "{said}");
    site.stop().await;
}

#[tokio::test]
async fn who_asks_for_no_websocket_is_told() {
    let site = Site::start(With::default());
    #[rustfmt::skip]
    let table = [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    ];
    for asked in table {
        let mut stream = site.tls().await;
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut said = String::new();
        // Its end may come without TLS's own.
        let _ = stream.read_to_string(&mut said).await;
        assert!(said.starts_with("HTTP/1.1 426 ") && said.ends_with("13\n"), "{asked}: {said}");
    }
    site.stop().await;
}

#[tokio::test]
async fn pages_of_others_and_strangers_stay_out() {
    let site = Site::start(With { token: "s3cret", ..With::default() });
    #[rustfmt::skip]
    let table = [
        (&[][..],                                                              Some(401)),
        (&[("authorization", "Bearer guess")],                                 Some(401)),
        (&[("authorization", "Bearer s3cret")],                                None),
        (&[("authorization", "Bearer s3cret"), ("origin", "https://evil.test")], Some(403)),
    ];
    for (fields, want) in table {
        let status = match site.try_connect(fields).await {
            Ok(_) => None,
            Err(Error::Http(response)) => Some(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(status, want, "{fields:?}");
    }
    site.stop().await;
}

#[tokio::test]
async fn connections_are_counted() {
    let site = Site::start(With { connections_max: Some(2), ..With::default() });
    let first = site.connect().await;
    let _second = site.connect().await;
    let mut third = TcpStream::connect(site.address).await.unwrap();
    assert!(matches!(third.read(&mut [0]).await, Ok(0) | Err(_)), "it is closed at once");
    drop(first);
    // Its place is free as soon as it is known to be gone.
    loop {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut said = Vec::new();
        if stream.read_to_end(&mut said).await.is_ok_and(|_| said.starts_with(b"HTTP/1.1 400")) {
            break;
        }
    }
    site.stop().await;
}

#[tokio::test]
async fn messages_have_an_end() {
    let site = Site::start(With::default());
    let mut raw = site.connect().await;
    let padded = |bytes: usize| {
        let head = r#"{"id":"7","action":"ping","x":""#;
        format!("{head}{}\"}}", "x".repeat(bytes - head.len() - 2))
    };
    raw.send(padded(MESSAGE_BYTES_MAX)).await;
    assert_eq!(raw.next().await["data"]["status"], "pong");
    // It may be cut off before all of it is written.
    let _ = raw.socket.send(Message::text(padded(MESSAGE_BYTES_MAX + 1))).await;
    assert_eq!(raw.text().await.unwrap_err(), "1009 a message may be 1048576 bytes long");
    let mut raw = site.connect().await;
    raw.socket.send(Message::binary(vec![0])).await.unwrap();
    let answer = raw.next().await;
    assert_eq!(answer["error"]["message"], "not a request: requests are text messages");
    site.stop().await;
}

/// More changes than are kept come while a subscriber reads nothing.
#[tokio::test]
async fn who_reads_too_slowly_is_cut_off_with_the_reason() {
    let site = Site::start(With::default());
    let mut slow = site.connect().await;
    let mut quick = site.connect().await;
    slow.ask("subscribe", json!({"events": ["service_registered", "service_updated"]}))
        .await
        .unwrap();
    // Events of this size fill what the kernel takes long before the last.
    let name = "x".repeat(250);
    let mut turn = 0_u32;
    while turn < 60_000 {
        let from = turn;
        let name = name.clone();
        let done = site.handle.change(move |catalog, now| {
            for turn in from..from + 1000 {
                let identity = catalog::Identity::alone(&name).unwrap();
                let version = Some(turn.to_string().into());
                let facts = catalog::Facts { version, ..catalog::Facts::default() };
                catalog.put(&identity, catalog::Source::Manual, facts, now).unwrap();
            }
        });
        done.await.unwrap();
        turn += 1000;
        assert!(quick.ask("ping", json!({})).await.is_ok(), "nobody else waits");
    }
    let why = loop {
        if let Err(why) = slow.text().await {
            break why;
        }
    };
    assert!(why.starts_with("1008 too slow, connect again: "), "{why}");
    site.stop().await;
}
