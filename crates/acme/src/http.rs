//! Requests to authorities: one connection each, every wait and every answer bounded.

use std::error::Error as StdError;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use model::BackendHost;
use probe::{Offer, Tls};
use tokio::net::TcpStream;

/// A directory and an order are a few kilobytes, a chain of certificates a few more.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// For a connection and the handshake on it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For everything. Let's Encrypt answers most requests within one second.
const TIMEOUT: Duration = Duration::from_secs(30);

type BoxError = Box<dyn StdError + Send + Sync>;

/// How authorities are spoken to.
#[derive(Clone, Debug)]
pub(crate) struct Http(Tls);

impl Http {
    pub(crate) fn new(tls: Tls) -> Self {
        Self(tls)
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let tls = self.0.clone();
        Box::pin(async move {
            let asked = tokio::time::timeout(TIMEOUT, ask(&tls, request)).await;
            let answer = asked.unwrap_or_else(|_| Err("no answer in time".into()));
            answer.map(BytesResponse::from).map_err(Error::Other)
        })
    }
}

async fn ask(
    tls: &Tls,
    request: Request<BodyWrapper<Bytes>>,
) -> Result<Response<Full<Bytes>>, BoxError> {
    let request = for_the_wire(request)?;
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, connect(tls, request.uri()));
    let stream = connecting.await.map_err(|_| "no connection in time")??;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with its sender, at the end of this function.
    let connection = tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    parts.uri = origin_form(&parts.uri)?;
    let answer = sender.send_request(Request::from_parts(parts, body)).await?;
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
    connection.abort();
    Ok(Response::from_parts(parts, Full::new(body)))
}

/// With the host it is for, which HTTP/1.1 wants in a field.
fn for_the_wire(
    mut request: Request<BodyWrapper<Bytes>>,
) -> Result<Request<BodyWrapper<Bytes>>, BoxError> {
    let authority = request.uri().authority().ok_or("the authority's address has no host")?;
    let host = HeaderValue::from_str(authority.as_str())?;
    request.headers_mut().insert(HOST, host);
    Ok(request)
}

async fn connect(
    tls: &Tls,
    uri: &Uri,
) -> Result<impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + use<>, BoxError> {
    if uri.scheme() != Some(&Scheme::HTTPS) {
        return Err("the authority's address is not https".into());
    }
    let host = uri.host().ok_or("the authority's address has no host")?;
    let host = host.trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(443);
    let stream = TcpStream::connect((host, port)).await?;
    let host = match host.parse::<IpAddr>() {
        Ok(address) => BackendHost::Ip(address),
        Err(_) => BackendHost::Name(host.into()),
    };
    Ok(tls.connect(stream, &host, Offer::Text).await?)
}

fn origin_form(uri: &Uri) -> Result<Uri, BoxError> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok(path.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_on_the_wire() {
        #[rustfmt::skip]
        let table = [
            // address                        host              target
            ("https://ca.test/dir?x=1",       "ca.test",        "/dir?x=1"),
            ("https://ca.test:14000",         "ca.test:14000",  "/"),
            ("https://[2001:db8::1]:444/dir", "[2001:db8::1]:444", "/dir"),
        ];
        for (address, host, target) in table {
            let request = Request::builder().uri(address).body(BodyWrapper::default()).unwrap();
            let request = for_the_wire(request).unwrap();
            assert_eq!(request.headers()[HOST], host, "{address}");
            assert_eq!(origin_form(request.uri()).unwrap(), target, "{address}");
        }
    }

    #[tokio::test]
    async fn nothing_is_asked_in_clear_text() {
        let tls = Tls::with_roots(probe::RootCertStore::empty());
        let uri = Uri::from_static("http://127.0.0.1:1/dir");
        let error = connect(&tls, &uri).await.err().unwrap();
        assert_eq!(error.to_string(), "the authority's address is not https");
    }
}
