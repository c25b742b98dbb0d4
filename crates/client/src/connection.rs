//! One connection to a registry: commands, their answers, and what comes unasked.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use model::{Line, Registration, Request, RouteId, RouteSpec, SessionId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::address::Stream;
use crate::said::Lines;
use crate::sync::{Goal, Start, Sync};
use crate::{Address, Desired, Refusal, Said, SaidError, TlsTrouble};

/// Lines nobody asked for that are kept; the oldest go first.
const PUSHES_MAX: usize = 1024;
const READ_BYTES: usize = 16 << 10;

/// One connection. It never reconnects.
pub struct Connection {
    stream: Box<dyn Stream>,
    lines: Lines,
    pushes: VecDeque<Said>,
    limit: Duration,
    /// Where it leads, if we opened it.
    address: Option<Address>,
    /// An answer may still come that nobody waits for: the next one would be taken for another's.
    is_broken: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// No connection came about.
    #[error("cannot reach {address}: {source}")]
    Unreachable {
        /// Where.
        address: Address,
        /// What the system says.
        source: std::io::Error,
    },
    /// We do not come to speak TLS. With TLS 1.3 it may show only when the server answers.
    #[error("{address}: {trouble}")]
    Tls {
        /// Where.
        address: Address,
        /// Why.
        trouble: TlsTrouble,
    },
    /// The connection broke, or the server closed it.
    #[error("the server closed the connection")]
    Lost,
    /// Nothing came in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// Whoever listens there is no registry.
    #[error("{} does not speak the registry protocol: {said}", shown(address.as_ref()))]
    NotRegistry {
        /// Where, if we opened it.
        address: Option<Address>,
        /// How that shows.
        said: SaidError,
    },
    /// The command has a line feed in it.
    #[error("a command is one line")]
    NotOneLine,
    /// The server said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Connection {
    /// Connects. The limit holds for this and for each answer.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Unreachable`], [`ConnectionError::Tls`] or [`ConnectionError::Timeout`].
    pub async fn open(address: &Address, limit: Duration) -> Result<Self, ConnectionError> {
        match timeout(limit, address.open()).await {
            Ok(Ok(stream)) => Ok(Self::with(stream, limit, Some(address.clone()))),
            Ok(Err(source)) => {
                let address = address.clone();
                Err(match TlsTrouble::of(&source) {
                    Some(trouble) => ConnectionError::Tls { address, trouble },
                    None => ConnectionError::Unreachable { address, source },
                })
            }
            Err(_) => Err(ConnectionError::Timeout(limit)),
        }
    }

    /// A connection over any stream of bytes.
    pub fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        limit: Duration,
    ) -> Self {
        Self::with(Box::new(stream), limit, None)
    }

    fn with(stream: Box<dyn Stream>, limit: Duration, address: Option<Address>) -> Self {
        let (lines, pushes) = (Lines::default(), VecDeque::new());
        Self { stream, lines, pushes, limit, address, is_broken: false }
    }

    /// Sends one line, as it is, and waits for its answer. A bare `ACK` and an empty line have
    /// none.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`]; an `ERROR` is an answer and none of them. After one the connection is
    /// of no more use.
    pub async fn ask(&mut self, line: &str) -> Result<Option<Said>, ConnectionError> {
        if line.contains(['\n', '\r']) {
            return Err(ConnectionError::NotOneLine);
        }
        if self.is_broken {
            return Err(ConnectionError::Lost);
        }
        let limit = self.limit;
        let exchange = async {
            let write = self.write(format!("{line}\n").as_bytes()).await;
            if line.is_empty() || line == "ACK" {
                return write.map(|()| None).map_err(|_| ConnectionError::Lost);
            }
            // A server that closes after its answer may do so before it has read all of ours.
            self.answer().await.map(Some)
        };
        let answer = timeout(limit, exchange).await.unwrap_or(Err(ConnectionError::Timeout(limit)));
        self.is_broken = answer.is_err();
        answer
    }

    /// Sends a command about a session and waits for its answer.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`]; an `ERROR` is an answer and none of them.
    pub async fn request(
        &mut self,
        session: Option<SessionId>,
        request: Request,
    ) -> Result<Option<Said>, ConnectionError> {
        let mut bytes = Vec::new();
        wire::encode_line(&Line { session, txn: None, request }, &mut bytes);
        let line = String::from_utf8_lossy(&bytes);
        self.ask(line.trim_end_matches('\n')).await
    }

    /// Sends the token that this registry wants first.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`].
    pub async fn authenticate(&mut self, token: &str) -> Result<(), ConnectionError> {
        let said = self.request(None, Request::Auth(token.into())).await?;
        refusal("AUTH", said.as_ref())
    }

    /// Registers, and gives the session.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`].
    pub async fn register(
        &mut self,
        registration: Registration,
    ) -> Result<SessionId, ConnectionError> {
        let said = self.request(None, Request::Register(registration)).await?;
        refusal("REGISTER", said.as_ref())?;
        let line = said.as_ref().map_or("", Said::line);
        let id = line.strip_prefix("ACK|").and_then(|id| SessionId::parse(id).ok());
        id.ok_or_else(|| self.not_registry(SaidError::foreign(line.as_bytes())))
    }

    /// Stages all that is desired in a fresh session, and has it validated. Nothing goes live.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`].
    pub async fn stage(
        &mut self,
        session: &SessionId,
        desired: &Desired,
    ) -> Result<Vec<(RouteId, RouteSpec)>, ConnectionError> {
        let mut sync = Sync::new(Arc::new(desired.clone()), Start::default(), Goal::Validated);
        loop {
            while let Some(request) = sync.next_request() {
                if let Some(said) = self.request(Some(session.clone()), request).await? {
                    sync.answered(&said);
                }
            }
            if let Some(outcome) = sync.outcome() {
                let routes = outcome?.routes.into_iter();
                return Ok(routes.map(|(spec, route)| (route.id, spec)).collect());
            }
        }
    }

    /// The next line nobody asked for, however long it takes; `None` when the server has closed.
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::NotRegistry`].
    pub async fn next_push(&mut self) -> Result<Option<Said>, ConnectionError> {
        if let Some(said) = self.pushes.pop_front() {
            return Ok(Some(said));
        }
        match self.next_said().await {
            Ok(said) => Ok(Some(said)),
            Err(ConnectionError::Lost) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await?;
        // With TLS it may wait inside.
        self.stream.flush().await
    }

    async fn answer(&mut self) -> Result<Said, ConnectionError> {
        loop {
            let said = self.next_said().await?;
            if !said.is_push() {
                return Ok(said);
            }
            if self.pushes.len() == PUSHES_MAX {
                self.pushes.pop_front();
            }
            self.pushes.push_back(said);
        }
    }

    async fn next_said(&mut self) -> Result<Said, ConnectionError> {
        loop {
            match self.lines.next_line() {
                Ok(Some(said)) => return Ok(said),
                Ok(None) => {}
                Err(said) => return Err(self.not_registry(said)),
            }
            let mut bytes = [0; READ_BYTES];
            match self.stream.read(&mut bytes).await {
                Ok(0) => {
                    let foreign = self.lines.foreign_rest();
                    return Err(
                        foreign.map_or(ConnectionError::Lost, |said| self.not_registry(said))
                    );
                }
                Err(error) => return Err(self.broken(&error)),
                Ok(count) => self.lines.push(bytes.get(..count).unwrap_or_default()),
            }
        }
    }
}

impl Connection {
    fn not_registry(&self, said: SaidError) -> ConnectionError {
        ConnectionError::NotRegistry { address: self.address.clone(), said }
    }

    fn broken(&self, error: &std::io::Error) -> ConnectionError {
        match (&self.address, TlsTrouble::of(error)) {
            (Some(address), Some(trouble)) => {
                ConnectionError::Tls { address: address.clone(), trouble }
            }
            (Some(_) | None, _) => ConnectionError::Lost,
        }
    }
}

fn shown(address: Option<&Address>) -> String {
    address.map_or_else(|| "the server".to_owned(), Address::to_string)
}

fn refusal(command: &'static str, said: Option<&Said>) -> Result<(), ConnectionError> {
    match said.and_then(Said::error) {
        Some(reason) => Err(Refusal { command, reason: reason.into() }.into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
