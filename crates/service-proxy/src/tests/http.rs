//! HTTP by name.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::*;
use crate::{HttpProxy, HttpSettings};

/// Answers each request with its name, and the path and host it was asked for.
async fn server(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                while let Some((path, host)) = request(&mut stream).await {
                    let body = format!("{name} {path} {host}");
                    let answer =
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    address
}

async fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let (mut path, mut host) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if path.is_empty() {
            path = line.split(' ').nth(1)?.to_owned();
        } else if line == "\r\n" {
            return Some((path, host));
        } else if let Some((_, value)) =
            line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            host = value.trim().to_owned();
        }
    }
}

/// A connection to the proxy that lasts for many requests.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn new(at: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(at).await.unwrap()))
    }

    /// Status and body.
    async fn get(&mut self, target: &str, host: &str) -> String {
        let request = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        self.0.write_all(request.as_bytes()).await.unwrap();
        let (mut status, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.unwrap();
            if status.is_empty() {
                status = line.split(' ').nth(1).unwrap().to_owned();
            } else if line == "\r\n" {
                break;
            } else if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        if status == "200" { String::from_utf8(body).unwrap() } else { status }
    }
}

struct Proxy {
    at: SocketAddr,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<Result<bool, dataplane::StartError>>,
}

fn proxy(catalog: &Handle) -> Proxy {
    let any = vec!["127.0.0.1:0".parse().unwrap()];
    let settings = HttpSettings {
        plane: dataplane::Config::new(any, 1),
        zone: "internal".into(),
        port_offset: 0,
    };
    let tls = probe::Tls::with_roots(probe::RootCertStore::empty());
    let proxy = HttpProxy::bind(settings, tls, Clock::system(), catalog.clone()).unwrap();
    let at = proxy.addresses()[0];
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move { drop(stopped.await) };
    let served = tokio::spawn(proxy.serve(stopped, Duration::from_secs(10)));
    Proxy { at, stop, served }
}

#[tokio::test]
async fn services_by_host_path_and_absolute_form() {
    let (catalog, _store) = catalog(Config::default());
    put(&catalog, "Web", "a", &[server("web").await]).await;
    let proxy = proxy(&catalog);
    for (name, says) in [("bal", "bal"), ("ümlaut", "u"), ("sl/ash", "sl"), ("sp%20x", "sp")] {
        put(&catalog, name, "a", &[server(says).await]).await;
    }
    // Comes while it serves.
    put(&catalog, "db", "a", &[server("db").await]).await;
    let mut client = Client::new(proxy.at).await;
    while client.get("/", "db").await != "db / db" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    #[rustfmt::skip]
    let table = [
        ("/a/b?c=d",                 "web",           "web /a/b?c=d web"),
        ("/",                        "WEB.internal",  "web / WEB.internal"),
        ("/web/a?c=d",               "localhost",     "web /a?c=d localhost"),
        ("/Web",                     "127.0.0.1",     "web / 127.0.0.1"),
        ("/BAL/X",                   "localhost",     "bal /X localhost"),
        ("/%62al/%78?%62",           "localhost",     "bal /%78?%62 localhost"),
        ("/x/../%42aL",              "localhost",     "bal / localhost"),
        ("/%C3%BCmlaut/x",           "localhost",     "u /x localhost"),
        ("/%c3%bcMLAUT/x",           "localhost",     "u /x localhost"),
        ("/%C3%9Cmlaut/x",           "localhost",     "404"),
        ("/sl%2Fash/x",              "localhost",     "sl /x localhost"),
        ("/sl/ash/x",                "localhost",     "404"),
        ("/sp%2520x/x",              "localhost",     "sp /x localhost"),
        ("/sp%20x/x",                "localhost",     "404"),
        ("/web/db/x",                "localhost:81",  "web /db/x localhost:81"),
        ("http://web.internal/x",    "web.internal",  "web /x web.internal"),
        ("http://web.internal/x",    "zzz",           "web /x web.internal"),
        ("http://bal/x?y",           "web:81",        "bal /x?y bal"),
        ("/",                        "localhost",     "404"),
        ("/nobody/x",                "localhost",     "404"),
    ];
    for (target, host, want) in table {
        assert_eq!(client.get(target, host).await, want, "{target} {host}");
    }

    let gone = |catalog: &mut Catalog, now| {
        catalog.remove(&identity("db", "a"), Source::Manual, now);
    };
    catalog.change(gone).await.unwrap();
    while client.get("/", "db").await != "404" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(proxy.stop);
    assert!(proxy.served.await.unwrap().unwrap());
}

#[tokio::test]
async fn http_2_and_balancing() {
    let (catalog, _store) = catalog(Config::default());
    put(&catalog, "web", "a", &[server("1").await]).await;
    put(&catalog, "web", "b", &[server("2").await]).await;
    let proxy = proxy(&catalog);
    let tcp = TcpStream::connect(proxy.at).await.unwrap();
    let (mut requests, connection) = h2::client::handshake(tcp).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut seen = BTreeSet::new();
    while seen.len() < 2 {
        let request = ::http::Request::get("http://web.internal/x").body(()).unwrap();
        let (response, _) = requests.send_request(request, true).unwrap();
        let mut body = response.await.unwrap().into_body();
        let mut text = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            text.extend_from_slice(&data);
        }
        seen.insert(String::from_utf8(text).unwrap());
    }
    let want = ["1 /x web.internal", "2 /x web.internal"];
    assert_eq!(seen, want.map(str::to_owned).into_iter().collect());
    drop(requests);
    connection.abort();
    drop(proxy.stop);
    proxy.served.await.unwrap().unwrap();
}
