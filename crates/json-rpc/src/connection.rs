//! One connection: HTTP/1.1, of which one request may make a WebSocket.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use door::{Access, Caller, Refusals};
use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;

use crate::dialog::{Dialog, Transport};
use crate::error::Error;
use crate::outcome::Became;
use crate::refused::Refused;
use crate::websocket;

/// Longest head, in bytes. Of fields hyper takes a hundred.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What every connection of a listener shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dialog: Dialog,
    pub(crate) access: Access,
    /// Off loopback without a token or a certificate.
    pub(crate) insecure: bool,
    pub(crate) refusals: Refusals<Refused>,
    /// proxyd ends: connections finish what they do.
    pub(crate) end: CancellationToken,
}

/// Serves until one side has had enough.
pub(crate) async fn serve<S>(stream: S, caller: Caller, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    // Only the request that has this connection to itself can put something here.
    let upgrade: Mutex<Option<OnUpgrade>> = Mutex::default();
    let answering = service_fn(|request| async {
        Ok::<_, Infallible>(respond(request, caller, &shared, &upgrade).await)
    });
    {
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(shared.dialog.bounds.request_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), answering)
            .with_upgrades();
        let mut serving = pin!(serving);
        let served = tokio::select! {
            served = &mut serving => served,
            () = shared.end.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = served {
            tracing::debug!(%error, "a JSON-RPC connection ended");
        }
    }
    let upgrade = upgrade.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(upgrade) = upgrade
        && let Ok(upgraded) = upgrade.await
    {
        websocket::talk(TokioIo::new(upgraded), &shared).await;
    }
}

async fn respond(
    mut request: Request<Incoming>,
    caller: Caller,
    shared: &Shared,
    upgrade: &Mutex<Option<OnUpgrade>>,
) -> Response<Full<Bytes>> {
    if let Err(denied) = shared.access.check_caller(request.headers(), caller, shared.insecure) {
        shared.dialog.outcomes.count(Became::Denied);
        shared.refusals.tell(&caller.address, Refused::Denied(denied), None);
        let (status, challenge) = denied.answer();
        let field = challenge.map(|challenge| (WWW_AUTHENTICATE, challenge));
        return text(status, &denied.to_string(), field);
    }
    if has_token(request.headers(), UPGRADE, "websocket") {
        let response = handshake(&request);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let upgraded = hyper::upgrade::on(&mut request);
            *upgrade.lock().unwrap_or_else(PoisonError::into_inner) = Some(upgraded);
        }
        return response;
    }
    if request.method() != Method::POST {
        let words = "JSON-RPC 2.0: POST a request here, or open a WebSocket";
        return text(StatusCode::METHOD_NOT_ALLOWED, words, Some((ALLOW, "POST")));
    }
    post(request.into_body(), shared).await
}

async fn post(body: Incoming, shared: &Shared) -> Response<Full<Bytes>> {
    let bounds = &shared.dialog.bounds;
    let oversized = || {
        let error = Error::oversized(bounds.message_bytes_max);
        json(StatusCode::PAYLOAD_TOO_LARGE, shared.dialog.failed(None, &error))
    };
    if body.size_hint().lower() > bounds.message_bytes_max as u64 {
        return oversized();
    }
    let reading = Limited::new(body, bounds.message_bytes_max).collect();
    let body = match timeout(bounds.request_timeout, reading).await {
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the body took too long", None),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return oversized(),
        Ok(Err(error)) => return text(StatusCode::BAD_REQUEST, &error.to_string(), None),
        Ok(Ok(body)) => body.to_bytes(),
    };
    match std::str::from_utf8(&body) {
        Err(error) => {
            json(StatusCode::OK, shared.dialog.failed(None, &Error::parse(error.to_string())))
        }
        Ok(message) => match shared.dialog.answer(message, Transport::Post).await.text {
            Some(answer) => json(StatusCode::OK, answer),
            None => with_status(StatusCode::NO_CONTENT, Full::default()),
        },
    }
}

/// The answer to a client's handshake (RFC 6455, 4.2): 101, or why not.
fn handshake(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let headers = request.headers();
    if request.method() != Method::GET || !has_token(headers, CONNECTION, "upgrade") {
        let words = "a WebSocket begins with GET and Connection: Upgrade";
        return text(StatusCode::BAD_REQUEST, words, None);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let words = "WebSocket of version 13 is spoken here";
        let field = Some((SEC_WEBSOCKET_VERSION, "13"));
        return text(StatusCode::UPGRADE_REQUIRED, words, field);
    }
    // 16 bytes in base64.
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
    let accept = key.map(|key| derive_accept_key(key.as_bytes()));
    let Some(accept) = accept.and_then(|accept| accept.try_into().ok()) else {
        return text(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing", None);
    };
    let mut response = with_status(StatusCode::SWITCHING_PROTOCOLS, Full::default());
    let fields = response.headers_mut();
    fields.insert(UPGRADE, http::HeaderValue::from_static("websocket"));
    fields.insert(CONNECTION, http::HeaderValue::from_static("Upgrade"));
    fields.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// Whether one of a field's comma-separated words is this.
fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
}

fn text(
    status: StatusCode,
    words: &str,
    field: Option<(HeaderName, &'static str)>,
) -> Response<Full<Bytes>> {
    let mut response = with_status(status, Full::from(format!("{words}\n")));
    if let Some((name, value)) = field {
        response.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    response
}

fn json(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = with_status(status, Full::from(body));
    let kind = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn with_status(status: StatusCode, body: Full<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
