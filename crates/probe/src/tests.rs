//! Against real servers on this machine.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use model::{BackendReport, BackendUrl};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use runtime::Clock;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::*;

/// Long enough for a busy machine; nothing waits for it but what hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// For what has to run into it.
const SHORT: Duration = Duration::from_millis(300);

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// Answers every request in the same way, and tells what it was asked.
struct Server {
    address: SocketAddr,
    asked: mpsc::UnboundedReceiver<String>,
}

impl Server {
    async fn clear(answer: &str) -> Self {
        Self::start(answer, None).await
    }

    async fn tls(answer: &str, config: ServerConfig) -> Self {
        Self::start(answer, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start(answer: &str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = mpsc::unbounded_channel();
        let answer: Arc<str> = answer.into();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, answer, tell) = (tls.clone(), Arc::clone(&answer), tell.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &answer, &tell).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &answer, &tell).await,
                            Err(error) => drop(tell.send(error.to_string())),
                        },
                    }
                });
            }
        });
        Self { address, asked }
    }

    fn url(&self, scheme: &str, base: &str) -> BackendUrl {
        url(&format!("{scheme}://{}{base}", self.address))
    }
}

/// An empty answer is none, ever.
async fn serve<S>(mut stream: S, answer: &str, tell: &mpsc::UnboundedSender<String>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut request).await, Ok(1..)) {
            break;
        }
    }
    let _ = tell.send(String::from_utf8_lossy(&request).into_owned());
    if answer.is_empty() {
        std::future::pending::<()>().await;
    }
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    // Until the other side has gone: an end with bytes unread would be a reset.
    let _ = stream.read_to_end(&mut request).await;
}

/// A port of this machine nobody listens on.
async fn refusing() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    listener.local_addr().unwrap()
}

/// A listener whose queue is full: the kernel drops who comes next. Full as long as it is held.
async fn overrun() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = tokio::time::timeout(SHORT, TcpStream::connect(address)).await {
        queue.push(stream.unwrap());
    }
    (listener, queue)
}

fn url(text: &str) -> BackendUrl {
    BackendUrl::parse(text).unwrap()
}

fn get(path: &str, expect: Expect) -> Check {
    Check::Http { path: path.into(), expect }
}

fn nobody() -> Tls {
    Tls::with_roots(RootCertStore::empty())
}

async fn ask_within(timeout: Duration, url: &BackendUrl, what: &Check) -> Result<Passed, Failed> {
    check(Clock::system(), (url, Announce::Nobody), what, timeout, &nobody(), &Policy::default())
        .await
}

async fn ask(url: &BackendUrl, what: &Check) -> Result<Passed, Failed> {
    ask_within(PATIENCE, url, what).await
}

#[tokio::test]
async fn statuses_pass_or_not() {
    #[rustfmt::skip]
    let table = [
        // status  below 500  success
        (200,      true,      true),
        (204,      true,      true),
        (301,      true,      true),
        (399,      true,      true),
        (404,      true,      false),
        (499,      true,      false),
        (500,      false,     false),
        (503,      false,     false),
        (999,      false,     false),
    ];
    for (status, below_500, success) in table {
        let answer = format!("HTTP/1.1 {status} So\r\nLocation: http://192.0.2.1/\r\n\r\n");
        let server = Server::clear(&answer).await;
        for (expect, passes) in [(Expect::Below500, below_500), (Expect::Success, success)] {
            let found = ask(&server.url("http", ""), &get("/", expect)).await;
            let found = found.map(|passed| passed.status);
            let wanted = if passes { Ok(Some(status)) } else { Err(Failed::BadStatus(status)) };
            assert_eq!(found, wanted, "{status} {expect:?}");
        }
    }
}

#[tokio::test]
async fn answers_are_read_strictly_and_to_their_head() {
    let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "a".repeat(65 * 1024));
    let interims = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(17) + OK;
    #[rustfmt::skip]
    let table = [
        // answer                                                 reason
        (OK,                                                      "200"),
        ("HTTP/1.0 200 OK\r\n\r\n",                               "200"),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",  "200"),
        ("HTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 204\r\n\r\n", "204"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi",        "200"),
        ("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",          "malformed_response"),
        ("SSH-2.0-OpenSSH_9.9\r\n",                               "malformed_response"),
        ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n",                      "malformed_response"),
        ("HTTP/2 200\r\n\r\n",                                    "malformed_response"),
        (&long,                                                   "malformed_response"),
        (&interims,                                               "malformed_response"),
        ("HTTP/1.1 200 OK\r\nA: b\r\n",                           "connection_closed"),
        ("HTTP/1.1 100 Continue\r\n\r\n",                         "connection_closed"),
    ];
    for (answer, wanted) in table {
        let server = Server::clear(answer).await;
        let found = match ask(&server.url("http", ""), &get("/", Expect::Success)).await {
            Ok(passed) => passed.status.unwrap().to_string(),
            Err(failed) => failed.reason().to_owned(),
        };
        assert_eq!(found, wanted, "{:.60}", answer);
    }
}

#[tokio::test]
async fn the_request_is_small_and_honest() {
    #[rustfmt::skip]
    let table = [
        // base    path           target
        ("",       "/",           "/"),
        ("",       "/health?a=b", "/health?a=b"),
        ("/api",   "/",           "/api/"),
        ("/api/",  "/health",     "/api/health"),
        ("/api",   "health",      "/api/health"),
    ];
    for (base, path, target) in table {
        let mut server = Server::clear(OK).await;
        ask(&server.url("ws", base), &get(path, Expect::Success)).await.unwrap();
        let wanted = format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: proxyd-health/{}\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n",
            server.address,
            env!("CARGO_PKG_VERSION"),
        );
        assert_eq!(server.asked.recv().await.unwrap(), wanted);
    }
}

#[tokio::test]
async fn a_backend_that_is_not_there_says_why() {
    let refused = refusing().await;
    let silent = Server::clear("").await;
    let (full, _queue) = overrun().await;
    let full_at = full.local_addr().unwrap();
    #[rustfmt::skip]
    let table = [
        // url                                   reason
        (format!("http://{refused}"),            "connection_refused"),
        (format!("https://{refused}"),           "connection_refused"),
        (format!("grpc://{refused}"),            "connection_refused"),
        (format!("http://{full_at}"),            "connection_timeout"),
        (format!("http://{}", silent.address),   "timeout"),
        (format!("https://{}", silent.address),  "timeout"),
        ("http://no-such-name.invalid".into(),   "name_not_resolved"),
        ("http://169.254.169.254/latest".into(), "destination_denied"),
        ("http://0.0.0.0:80".into(),             "destination_denied"),
    ];
    for (text, reason) in table {
        let found = ask_within(SHORT, &url(&text), &get("/", Expect::Below500)).await;
        assert_eq!(found.unwrap_err().reason(), reason, "{text}");
    }
}

#[tokio::test]
async fn a_connection_is_enough_where_nothing_is_asked() {
    let silent = Server::clear("").await;
    for scheme in ["http", "https", "h2c", "grpc", "grpcs"] {
        let passed = ask(&silent.url(scheme, ""), &Check::Tcp).await.unwrap();
        assert_eq!(passed.status, None, "{scheme}");
    }
    let passed = ask(&silent.url("grpc", ""), &get("/", Expect::Success)).await.unwrap();
    assert_eq!(passed.status, None);
    let found = ask(&url(&format!("http://{}", refusing().await)), &Check::Tcp).await;
    assert_eq!(found, Err(Failed::ConnectionRefused));
}

#[tokio::test]
async fn http2_backends_are_asked_in_their_own_protocol() {
    let authority = Authority::new("one");
    let config = authority.server("127.0.0.1", VALID, &["h2"]);
    for (scheme, tls) in [("h2c", None), ("https", Some(TlsAcceptor::from(Arc::new(config))))] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                match &tls {
                    None => well_at_base_health(stream, at).await,
                    Some(tls) => well_at_base_health(tls.accept(stream).await.unwrap(), at).await,
                }
            }
        });
        let (url, trusted) = (url(&format!("{scheme}://{at}/base")), authority.trusted());
        let (clock, policy) = (Clock::system(), Policy::default());
        for (path, expected) in [("/health", Ok(Some(204))), ("/", Err(Failed::BadStatus(503)))] {
            let (what, url) = (get(path, Expect::Success), (&url, Announce::Nobody));
            let found = check(clock, url, &what, PATIENCE, &trusted, &policy).await;
            assert_eq!(found.map(|passed| passed.status), expected, "{scheme} {path}");
        }
    }
}

async fn well_at_base_health(stream: impl AsyncRead + AsyncWrite + Unpin, at: SocketAddr) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let uri = request.uri();
        let authority = uri.authority().map(ToString::to_string);
        let is_well = (authority, uri.path()) == (Some(at.to_string()), "/base/health");
        let status = if is_well { 204 } else { 503 };
        let response = http::Response::builder().status(status).body(()).unwrap();
        respond.send_response(response, true).unwrap();
    }
}

#[tokio::test]
async fn a_name_is_resolved_and_each_address_judged() {
    let server = Server::clear(OK).await;
    let named = url(&format!("http://localhost:{}", server.address.port()));
    let passed = ask(&named, &get("/", Expect::Success)).await.unwrap();
    assert_eq!(passed.status, Some(200));

    let ours = [format!("0.0.0.0:{}", server.address.port()).parse().unwrap()];
    let policy = Policy::new(ours.to_vec());
    let found = check(
        Clock::system(),
        (&named, Announce::Nobody),
        &Check::Tcp,
        PATIENCE,
        &nobody(),
        &policy,
    )
    .await;
    assert_eq!(found, Err(Failed::Denied(Denied::Control)));
}

/// Signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    roots: RootCertStore,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(params.self_signed(&key).unwrap().der().clone()).unwrap();
        Self { issuer: Issuer::new(params, key), roots }
    }

    /// A server with a certificate for `name`, valid in those years, that knows those protocols.
    fn server(&self, name: &str, years: (i32, i32), alpn: &[&str]) -> ServerConfig {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    fn trusted(&self) -> Tls {
        Tls::with_roots(self.roots.clone())
    }
}

const VALID: (i32, i32) = (2020, 4000);

#[tokio::test]
async fn certificates_are_verified() {
    let (authority, other) = (Authority::new("one"), Authority::new("other"));
    let (trusted, stranger) = (authority.trusted(), other.trusted());
    let here = "127.0.0.1";
    #[rustfmt::skip]
    let table = [
        // for        years         trusting   found
        (here,        VALID,        &trusted,  None),
        (here,        VALID,        &stranger, Some(TlsFailed::UnknownIssuer)),
        (here,        (2020, 2021), &trusted,  Some(TlsFailed::Expired)),
        (here,        (3999, 4000), &trusted,  Some(TlsFailed::NotYetValid)),
        ("127.0.0.2", VALID,        &trusted,  Some(TlsFailed::WrongName)),
        ("a.example", VALID,        &trusted,  Some(TlsFailed::WrongName)),
    ];
    for (name, years, tls, wanted) in table {
        let config = authority.server(name, years, &["http/1.1"]);
        let server = Server::tls(OK, config).await;
        let url = server.url("https", "");
        let what = get("/", Expect::Success);
        let policy = Policy::default();
        let found =
            check(Clock::system(), (&url, Announce::Nobody), &what, PATIENCE, tls, &policy).await;
        let report = backend_test(Clock::system(), &url, "/", tls, &policy).await;
        match wanted {
            None => {
                assert_eq!(found.map(|passed| passed.status), Ok(Some(200)), "{name}");
                assert!(matches!(
                    report,
                    BackendReport::Reachable { status_code: 200, tls_valid: true, .. }
                ));
            }
            Some(why) => {
                let error = format!("TLS failed: {why}");
                assert_eq!(found, Err(Failed::Tls(why)), "{name} {years:?}");
                assert_eq!(report, BackendReport::Unreachable { error });
            }
        }
    }
}

#[tokio::test]
async fn names_are_verified_as_names() {
    let authority = Authority::new("one");
    let server = Server::tls(OK, authority.server("localhost", VALID, &[])).await;
    let url = url(&format!("wss://localhost:{}", server.address.port()));
    let (what, tls, policy) = (get("/", Expect::Success), authority.trusted(), Policy::default());
    let found =
        check(Clock::system(), (&url, Announce::Nobody), &what, PATIENCE, &tls, &policy).await;
    assert_eq!(found.unwrap().status, Some(200));
}

#[tokio::test]
async fn protocols_are_agreed_on() {
    let authority = Authority::new("one");
    #[rustfmt::skip]
    let table = [
        // scheme  the server's  reason or status
        ("https",  "http/1.1",   "200"),
        ("wss",    "http/1.1",   "200"),
        ("wss",    "h2",         "tls_failed"),
        ("grpcs",  "h2",         "-"),
        ("grpcs",  "http/1.1",   "tls_failed"),
    ];
    for (scheme, alpn, wanted) in table {
        let server = Server::tls(OK, authority.server("127.0.0.1", VALID, &[alpn])).await;
        let (what, policy) = (get("/", Expect::Success), Policy::default());
        let (url, tls) = (server.url(scheme, ""), authority.trusted());
        let found =
            match check(Clock::system(), (&url, Announce::Nobody), &what, PATIENCE, &tls, &policy)
                .await
            {
                Ok(passed) => passed.status.map_or("-".to_owned(), |status| status.to_string()),
                Err(failed) => failed.reason().to_owned(),
            };
        assert_eq!(found, wanted, "{scheme} {alpn}");
    }
}

#[tokio::test]
async fn what_does_not_speak_tls_is_told_apart() {
    let greets = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = greets.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = greets.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    });
    let found = ask(&url(&format!("https://{address}")), &get("/", Expect::Success)).await;
    assert_eq!(found, Err(Failed::Tls(TlsFailed::NotTls)));
}

#[tokio::test]
async fn backend_test_reports() {
    let here = Server::clear("HTTP/1.1 503 No\r\nLocation: /elsewhere\r\n\r\n").await;
    let (tls, policy) = (nobody(), Policy::default());
    let report = backend_test(Clock::system(), &here.url("http", "/api"), "/", &tls, &policy).await;
    let BackendReport::Reachable { status_code, tls_valid, response_time } = report else {
        panic!("{report:?}");
    };
    assert_eq!((status_code, tls_valid), (503, false));
    assert!(response_time <= PATIENCE);

    let refused = refusing().await;
    #[rustfmt::skip]
    let table = [
        // url                                error
        (format!("http://{refused}"),         "connection refused"),
        ("http://169.254.169.254".to_owned(), "link-local addresses are not allowed for backends"),
    ];
    for (text, error) in table {
        let report = backend_test(Clock::system(), &url(&text), "/", &tls, &policy).await;
        assert_eq!(report, BackendReport::Unreachable { error: error.to_owned() }, "{text}");
    }
}

#[test]
fn the_systems_roots_load() {
    drop(Tls::new());
}
