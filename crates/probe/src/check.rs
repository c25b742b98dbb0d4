//! One health check.

use std::time::Duration;

use model::{BackendUrl, Scheme};
use runtime::Clock;
use tokio::io::AsyncWriteExt;

use crate::connect::{Deadline, connect};
use crate::exchange::exchange;
use crate::failed::Failed;
use crate::frames;
use crate::policy::Policy;
use crate::tls::Tls;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// Whether a connection can be opened; with TLS or without, nothing is sent.
    Tcp,
    /// Whether a GET is answered well.
    Http {
        /// Below the base path of the backend's URL; may have a query.
        path: Box<str>,
        /// What passes.
        expect: Expect,
    },
}

/// Which statuses pass (SPEC 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Any below 500: for a path that nobody named.
    Below500,
    /// 200 to 399: for one that was set.
    Success,
}

/// How a connection begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Announce {
    /// As the protocol does.
    #[default]
    Nobody,
    /// With a header of the PROXY protocol that names no client: the check is our own.
    Ourselves,
}

/// A check that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The status, if one was asked for.
    pub status: Option<u16>,
    /// From the beginning, names included, to the response head or the connection.
    pub took: Duration,
}

impl Expect {
    const fn is_met(self, status: u16) -> bool {
        match self {
            Self::Below500 => matches!(status, 200..=499),
            Self::Success => matches!(status, 200..=399),
        }
    }
}

/// Checks a backend once, within `timeout` in all.
///
/// HTTP/1.1 is spoken to `http`, `ws` and `wss`, HTTP/2 to `h2c`, what it chooses to `https`. Of a gRPC backend, which
/// knows no GET, only the way there is checked: that `grpc` accepts a connection, that `grpcs`
/// completes the handshake.
///
/// # Errors
///
/// [`Failed`], saying why the backend is not well.
pub async fn check(
    clock: Clock,
    (url, announce): (&BackendUrl, Announce),
    check: &Check,
    timeout: Duration,
    tls: &Tls,
    policy: &Policy,
) -> Result<Passed, Failed> {
    let deadline = Deadline::new(clock, timeout);
    let status = match check {
        Check::Tcp => connect(url, policy, &deadline).await.map(|_| None)?,
        Check::Http { path, expect } => {
            match ask((url, announce), path, tls, policy, &deadline).await? {
                Some(status) if !expect.is_met(status) => return Err(Failed::BadStatus(status)),
                answer => answer,
            }
        }
    };
    Ok(Passed { status, took: deadline.spent() })
}

/// The status of the answer to a GET; none where nobody answers one.
pub(crate) async fn ask(
    (url, announce): (&BackendUrl, Announce),
    path: &str,
    tls: &Tls,
    policy: &Policy,
    deadline: &Deadline,
) -> Result<Option<u16>, Failed> {
    let mut stream = connect(url, policy, deadline).await?;
    let answer = async {
        if announce == Announce::Ourselves {
            let mut header = Vec::new();
            proxyproto::encode_v2_local(&mut header);
            stream.write_all(&header).await.map_err(|_| Failed::ConnectionClosed)?;
        }
        match url.scheme() {
            Scheme::Http | Scheme::Ws => exchange(&mut stream, url, path).await.map(Some),
            Scheme::Wss => {
                let mut stream = tls.text(stream, url.host()).await?;
                exchange(&mut *stream, url, path).await.map(Some)
            }
            Scheme::Https => {
                let mut stream = tls.either(stream, url.host()).await?;
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    frames::exchange(*stream, url, path).await.map(Some)
                } else {
                    exchange(&mut *stream, url, path).await.map(Some)
                }
            }
            Scheme::H2c => frames::exchange(stream, url, path).await.map(Some),
            Scheme::Grpc => Ok(None),
            Scheme::Grpcs => Ok(tls.grpc(stream, url.host()).await.map(|_| None)?),
        }
    };
    deadline.within(answer, Failed::Timeout).await?
}
