//! Who may connect, and how much of everything there may be.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use catalog::{Facts, Identity, Source};
use door::{Access, Secret};
use serde_json::json;
use support::{PATIENCE, Running, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn who_may_connect() {
    let running = Running::start(|settings| {
        settings.access =
            Access { token: Secret::new("s3cret"), origins: vec!["https://ops.test".into()] };
    });
    let get = r#"{"jsonrpc":"2.0","id":1,"method":"registry.get","params":["x"]}"#;
    #[rustfmt::skip]
    let table = [
        ("",                                                                   401),
        ("Authorization: Bearer wrong\r\n",                                    401),
        ("Authorization: Bearer s3cret\r\n",                                   200),
        ("Authorization: Bearer s3cret\r\nOrigin: https://evil.test\r\n",      403),
        ("Authorization: Bearer s3cret\r\nOrigin: https://ops.test\r\n",       200),
    ];
    for (lines, status) in table {
        let (answered, body) = running.post(lines, get).await;
        assert_eq!(answered, status, "{lines}");
        let says = if lines.is_empty() { "a token is wanted" } else { "the token is wrong" };
        assert_eq!(body.contains(says), status == 401, "{lines}: {body}");
        let connected = running.connect_with(lines).await;
        match connected {
            Ok(_) => assert_eq!(status, 200, "{lines}"),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
                assert_eq!(response.status(), status, "{lines}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    running.end().await;
}

#[tokio::test]
async fn an_overlong_message_ends_its_connection_only() {
    let running = Running::start(|settings| settings.bounds.message_bytes_max = 1000);
    let (mut loud, mut calm) = (running.connect().await, running.connect().await);
    loud.send(&" ".repeat(1001)).await;
    let error = loud.next().await.unwrap();
    assert_eq!(
        error["error"],
        json!({"code": -32007, "message": "Request is too big", "data": "at most 1000 bytes"})
    );
    assert_eq!(loud.next().await, Err(1009));
    assert!(calm.listed(true).await.is_empty());
    // A length that is too much needs no body to be refused.
    let head =
        "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1001\r\n\r\n";
    let (status, body) = running.raw(head).await;
    assert!(status == 413 && body.contains("-32007"), "{status} {body}");
    running.end().await;
}

#[tokio::test]
async fn frames_that_are_none_are_answered_with_the_reason() {
    let running = Running::start(|_| {});
    let long_ping = [&b"\x89\xfe\x00\x7e"[..], &[0; 4 + 126]].concat();
    let (unmasked, meaningless) = (b"\x81\x00", b"\x83\x80\0\0\0\0");
    for frame in [&unmasked[..], meaningless, &long_ping] {
        let mut client = running.connect().await;
        client.smuggle(frame).await;
        assert_eq!(client.next().await, Err(1002), "{frame:?}");
    }
    running.end().await;
}

#[tokio::test]
async fn answers_to_a_batch_have_an_end() {
    let running = Running::start(|settings| settings.bounds.answers_bytes_max = 1000);
    let mut client = running.connect().await;
    let get = r#"{"jsonrpc":"2.0","id":1,"method":"registry.get","params":["x"]}"#;
    let batch = |count| format!("[{}]", vec![get; count].join(","));
    let most = 1000 / client.ask(get).await.to_string().len();
    assert_eq!(client.ask(&batch(most)).await.as_array().unwrap().len(), most);
    assert_eq!(client.ask(&batch(most + 1)).await["error"]["code"], -32011);
    running.end().await;
}

#[tokio::test]
async fn more_connections_than_there_may_be() {
    let running = Running::start(|settings| settings.bounds.connections_max = 2);
    let (one, mut two) = (running.connect().await, running.connect().await);
    let mut refused = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(refused.read(&mut [0]).await.unwrap_or(0), 0);
    assert!(two.listed(true).await.is_empty());
    drop(one);
    until("a place is free", async || running.connect_with("").await.is_ok()).await;
    running.end().await;
}

#[tokio::test]
async fn the_slow_are_cut_off_and_nobody_waits_for_them() {
    let running = Running::start(|settings| {
        settings.bounds.request_timeout = Duration::from_millis(200);
        settings.bounds.write_timeout = Duration::from_millis(200);
        settings.bounds.batch_max = 1000;
    });
    for beginning in
        ["", "POST / HTTP/1.1\r\nHo", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"]
    {
        let mut slow = TcpStream::connect(running.address).await.unwrap();
        slow.write_all(beginning.as_bytes()).await.unwrap();
        let ended = tokio::time::timeout(PATIENCE, slow.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "{beginning:?}");
    }
    // One that asks again and again and reads nothing.
    let mut client = running.connect().await;
    for n in 0..100 {
        let params = json!({"name": format!("n{n}"), "host": "h", "port": 1, "description": "x".repeat(10_000)});
        client.call("registry.register", params).await;
    }
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"registry.list"}"#;
    let batch = format!("[{}]", vec![list; 60].join(","));
    let mut deaf = running.connect().await;
    deaf.send(&batch).await;
    // Others are served meanwhile.
    assert_eq!(client.listed(true).await.len(), 100);
    let mut ended = false;
    while !ended {
        ended = tokio::time::timeout(Duration::from_millis(50), deaf.try_send(&batch))
            .await
            .is_ok_and(|sent| sent.is_err());
        if !ended {
            tokio::task::yield_now().await;
        }
    }
    running.end().await;
}

/// Hyper waits for ever for a peer that reads nothing. The kernel does not, and until then a connection
/// keeps two answers at most, however many are asked for: one on its way and the next.
#[tokio::test]
async fn who_posts_and_reads_nothing_is_given_up() {
    let running = Running::start(|settings| {
        settings.bounds.connections_max = 1;
        settings.bounds.write_timeout = Duration::from_millis(300);
    });
    // More than the kernel keeps for a connection.
    let many = |catalog: &mut catalog::Catalog, now| {
        let facts = Facts { description: Some("x".repeat(16_000).into()), ..Facts::default() };
        for n in 0..2000 {
            let name = Identity::alone(&format!("service-{n}")).unwrap();
            catalog.put(&name, Source::Manual, facts.clone(), now).unwrap();
        }
    };
    running.handle.change(many).await.unwrap();
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"registry.list","params":[false]}"#;
    let post =
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{list}", list.len());
    let mut deaf = TcpStream::connect(running.address).await.unwrap();
    deaf.write_all(post.repeat(20).as_bytes()).await.unwrap();
    let answered = || running.outcomes.each().find(|(name, _)| *name == "result").unwrap().1;
    until("an answer", async || answered() > 0).await;
    let mut refused = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(refused.read(&mut [0]).await.unwrap_or(0), 0, "the only place is taken");

    until("a place is free", async || running.connect_with("").await.is_ok()).await;
    assert!(answered() <= 2, "{} answers were kept", answered());
    let mut got = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, deaf.read_to_end(&mut got)).await.expect("an end");
    assert!(got.len() < 2000 * 16_000, "it got a part, and no whole answer: {}", got.len());
    running.end().await;
}

#[tokio::test]
async fn at_the_end_everybody_is_told() {
    let running = Running::start(|_| {});
    let mut client = running.connect().await;
    assert!(client.listed(true).await.is_empty());
    let ending = tokio::spawn(running.end());
    assert_eq!(client.next().await, Err(1001));
    ending.await.unwrap();
}
