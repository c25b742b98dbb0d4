//! One request, and the head of its response.

use http1::{HeadSpace, Limits, Scan, Verb, encode, parse_response};
use model::BackendUrl;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::failed::Failed;
use crate::tls::TlsFailed;

/// Who asks, for the backend's log.
pub(crate) const USER_AGENT: &str = concat!("proxyd-health/", env!("CARGO_PKG_VERSION"));
/// Interim responses before a final one.
const INTERIM_MAX: usize = 16;

/// What a look at the bytes from the backend says.
enum Look {
    More,
    /// An interim response of that many bytes.
    Interim(usize),
    /// The status.
    Final(u16),
}

/// Asks for `path` below the backend's base path; the status of the answer.
pub(crate) async fn exchange<S>(stream: &mut S, url: &BackendUrl, path: &str) -> Result<u16, Failed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&request(url, path)).await.map_err(|error| ended(&error))?;
    stream.flush().await.map_err(|error| ended(&error))?;
    status(stream).await
}

/// A path below the base path of a backend.
pub(crate) fn below_base(url: &BackendUrl, path: &str) -> String {
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{}{slash}{path}", url.base())
}

fn request(url: &BackendUrl, path: &str) -> Vec<u8> {
    let target = below_base(url, path);
    let mut out = Vec::new();
    encode::request_line(&mut out, b"GET", target.as_bytes());
    encode::field(&mut out, b"Host", url.authority().as_bytes());
    encode::field(&mut out, b"User-Agent", USER_AGENT.as_bytes());
    encode::field(&mut out, b"Accept", b"*/*");
    encode::field(&mut out, b"Connection", b"close");
    encode::blank_line(&mut out);
    out
}

/// Reads until a final head is complete. What comes after it is of no interest.
async fn status<S: AsyncRead + Unpin>(stream: &mut S) -> Result<u16, Failed> {
    let mut input = Vec::with_capacity(4096);
    let mut scan = Scan::new();
    let mut interims = 0;
    loop {
        match look(&input, &mut scan)? {
            Look::Final(status) => return Ok(status),
            Look::Interim(len) => {
                interims += 1;
                if interims > INTERIM_MAX {
                    return Err(Failed::UnexpectedResponse("never gets past interim responses"));
                }
                input.drain(..len);
                scan = Scan::new();
            }
            // The parser refuses a head that is too long, so this ends.
            Look::More => match stream.read_buf(&mut input).await {
                Ok(0) => return Err(Failed::ConnectionClosed),
                Ok(_) => {}
                Err(error) => return Err(ended(&error)),
            },
        }
    }
}

fn look(input: &[u8], scan: &mut Scan) -> Result<Look, Failed> {
    if input.is_empty() {
        return Ok(Look::More);
    }
    let mut space = HeadSpace::new();
    let head = parse_response(input, Verb::Get, scan, &Limits::STANDARD, &mut space)?;
    Ok(match head {
        None => Look::More,
        Some(head) if head.is_interim() => Look::Interim(head.len),
        Some(head) if head.is_upgrade() => {
            return Err(Failed::UnexpectedResponse("changes the protocol unasked"));
        }
        Some(head) => Look::Final(head.status),
    })
}

/// In TLS 1.3 a server that wants a certificate of ours says so after the handshake.
fn ended(error: &std::io::Error) -> Failed {
    TlsFailed::of(error).map_or(Failed::ConnectionClosed, Failed::Tls)
}
