//! One request in HTTP/2, and the head of its response.

use std::pin::pin;

use h2::client::Builder;
use http::header::{ACCEPT, USER_AGENT};
use http::{Request, StatusCode, Uri};
use model::BackendUrl;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::exchange::{self, below_base};
use crate::failed::Failed;

/// A head with its fields (RFC 9113, 6.5.2).
const HEAD_BYTES_MAX: u32 = 64 * 1024;

/// Asks for `path` below the backend's base path; the status of the answer.
pub(crate) async fn exchange<S>(stream: S, url: &BackendUrl, path: &str) -> Result<u16, Failed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = request(url, path).ok_or(Failed::UnexpectedResponse("cannot be asked that"))?;
    let mut builder = Builder::new();
    builder.enable_push(false).max_header_list_size(HEAD_BYTES_MAX);
    let (mut send, connection) = builder.handshake::<_, &[u8]>(stream).await.map_err(failed)?;
    let (response, _) = send.send_request(request, true).map_err(failed)?;
    let mut response = pin!(response);
    // Without the connection there is no answer, unless its last words were one.
    let status = tokio::select! {
        biased;
        response = &mut response => response,
        _ = connection => response.await,
    };
    let status = status.map_err(failed)?.status();
    Ok(StatusCode::as_u16(&status))
}

fn request(url: &BackendUrl, path: &str) -> Option<Request<()>> {
    let target = below_base(url, path);
    let scheme = if url.scheme().is_tls() { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(url.authority()).path_and_query(target);
    let request = Request::get(uri.build().ok()?);
    request.header(USER_AGENT, exchange::USER_AGENT).header(ACCEPT, "*/*").body(()).ok()
}

fn failed(error: h2::Error) -> Failed {
    tracing::debug!(%error, "a check in HTTP/2 failed");
    if error.is_io() {
        Failed::ConnectionClosed
    } else {
        Failed::UnexpectedResponse("does not speak HTTP/2 as it should")
    }
}
