//! HTTP for operators and their tools.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HOST, HeaderMap, WWW_AUTHENTICATE};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use door::{Bounds, Door, Guests, bearer};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::hosts::Hosts;
use crate::metrics;
use crate::source::Source;

/// Open connections, all and of one peer; loopback counts for all only.
const CONNECTIONS: Bounds = Bounds { connections_max: 64, connections_per_peer_max: 16 };
/// For the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// For one request from its connection to the end of its response.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A listener of its own; nobody accepts on it yet.
#[derive(Debug)]
pub struct Admin {
    door: Door,
    address: SocketAddr,
    hosts: Hosts,
}

#[derive(Clone, Debug)]
struct Served {
    source: Arc<dyn Source>,
    hosts: Arc<Hosts>,
    /// One at a time: they take memory.
    scrapes: Arc<Semaphore>,
}

impl Admin {
    /// Binds the address. Besides it and loopback, requests may name these hosts.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn bind(listen: SocketAddr, hosts: &[String]) -> io::Result<Self> {
        let door = Door::bind(listen, Guests::new("admin connections", CONNECTIONS))?;
        let address = door.address()?;
        Ok(Self { door, address, hosts: Hosts::new(listen.ip(), hosts) })
    }

    /// The address really bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers for ever, from what `source` says. A connection carries one request.
    pub async fn serve(self, source: Arc<dyn Source>) {
        let router = router(source, self.hosts);
        let attend = move |stream, _| answer(stream, router.clone());
        self.door.serve(std::future::pending(), Duration::ZERO, attend).await;
    }
}

async fn answer(stream: TcpStream, router: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).keep_alive(false);
    let served = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(REQUEST_TIMEOUT, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection to the admin port"),
        Err(_) => tracing::debug!("a connection to the admin port took too long"),
    }
}

fn router(source: Arc<dyn Source>, hosts: Hosts) -> Router {
    let served = Served { source, hosts: Arc::new(hosts), scrapes: Arc::new(Semaphore::new(1)) };
    Router::new()
        .route("/metrics", get(numbers))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/healthz", get(ready))
        .layer(middleware::from_fn_with_state(served.clone(), named))
        .with_state(served)
}

/// Lets requests through that name a host of ours.
async fn named(State(served): State<Served>, request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(HOST).iter();
    let is_ours = match (hosts.next().map(|host| host.to_str()), hosts.next()) {
        (Some(Ok(host)), None) => served.hosts.admits(host),
        _ => false,
    };
    // The target may name a host as well, and comes first where it does.
    let target = request.uri().authority().is_none_or(|a| served.hosts.admits(a.as_str()));
    if is_ours && target {
        return next.run(request).await;
    }
    let says =
        "this host is not the proxy's: ask for an address, localhost, or a name in [admin] hosts\n";
    (StatusCode::MISDIRECTED_REQUEST, says).into_response()
}

async fn ready(State(served): State<Served>) -> Response {
    if served.source.is_ready() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    }
}

async fn numbers(State(served): State<Served>, headers: HeaderMap) -> Response {
    if !served.source.admits(bearer(&headers)) {
        let wants = [(WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, wants, "want the token of [admin]\n").into_response();
    }
    // Never closed.
    let Ok(_turn) = served.scrapes.acquire().await else { return broken() };
    let source = Arc::clone(&served.source);
    // Beside the threads that have something better to do.
    match tokio::task::spawn_blocking(move || metrics::render(&source)).await {
        Ok(Ok(text)) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Ok(Err(_)) | Err(_) => broken(),
    }
}

fn broken() -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
