//! A name on the heartbeat port of a registry, kept for as long as a program runs.
//!
//! [`ServiceClient`] asks one thing at a time. [`ServiceClient::keep`] does the whole job in the
//! background: it registers, sends a heartbeat every ten seconds, registers anew when the registry
//! no longer knows the name, tries again when the registry is away, and says goodbye at the end.
//!
//! ```
//! # async fn server() -> std::io::Result<std::net::SocketAddr> {
//! #     use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! #     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! #     let address = listener.local_addr()?;
//! #     tokio::spawn(async move {
//! #         while let Ok((mut stream, _)) = listener.accept().await {
//! #             let mut frame = [0; 256];
//! #             stream.read_exact(&mut frame).await.unwrap();
//! #             let answer: &[u8] = match &frame[..5] {
//! #                 b"HEART" => b"HEARTBEAT_OK",
//! #                 b"DEREG" => b"DEREGISTERED",
//! #                 _ => b"SUCCESS|10.0.0.100|9000|86400\0",
//! #             };
//! #             stream.write_all(answer).await.unwrap();
//! #         }
//! #     });
//! #     Ok(address)
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let address = server().await?;
//! use proxyd_client::heartbeat::{Event, ServiceClient};
//!
//! let mut client = ServiceClient::new(address, "my-service".to_owned());
//! let (ip, port) = client.register().await?;
//! client.send_heartbeat().await?;
//! assert_eq!((ip.to_string(), port), ("10.0.0.100".to_owned(), 9000));
//!
//! let kept = client.keep();
//! let mut events = kept.events();
//! events.wait_for(|event| *event == Some(Event::Registered(ip, port))).await?;
//! kept.shutdown().await;
//! # Ok(())
//! # }
//! ```

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::{IdError, ServiceName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use wire::heartbeat::{Answer, Ask, NAME_BYTES_MAX, decode_answer, encode_ask};

use crate::link::Backoff;

/// Between two heartbeats: six of them before a name ends (seed 003).
const INTERVAL: Duration = Duration::from_secs(10);
/// For a connection and an answer together.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// No answer is that long.
const ANSWER_BYTES_MAX: usize = 512;
/// Attempts of one call before it fails.
const ATTEMPTS: u32 = 4;
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeartbeatError {
    /// The registry cannot be reached.
    #[error("cannot reach the registry: {0}")]
    Io(#[from] io::Error),
    /// No answer in time.
    #[error("no answer from the registry within 5 s")]
    TimedOut,
    /// Not an answer to this question.
    #[error("not an answer of a heartbeat port")]
    Unexpected,
    /// The registry says no, and why.
    #[error("refused: {0}")]
    Refused(Box<str>),
    /// The registry does not know the name, or knows it of another address.
    #[error("the name is not registered")]
    NotRegistered,
    /// No such name can be.
    #[error("name {0}")]
    Name(#[from] IdError),
}

impl HeartbeatError {
    /// Whether another attempt may end otherwise.
    const fn may_pass(&self) -> bool {
        matches!(self, Self::Io(_) | Self::TimedOut)
    }
}

/// How a kept name stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Registered, at this address and port.
    Registered(IpAddr, u16),
    /// The registry says no, and why. It is tried again.
    Refused(Box<str>),
    /// The registry is away, and why. It is tried again.
    Lost(Box<str>),
}

/// A name, and where it is registered.
#[derive(Clone, Debug)]
pub struct ServiceClient {
    server: SocketAddr,
    name: Box<str>,
    interval: Duration,
    assigned: Option<SocketAddr>,
}

impl ServiceClient {
    /// A client of the heartbeat port at `server`; asks nothing yet.
    pub fn new(server: SocketAddr, name: String) -> Self {
        Self { server, name: name.into(), interval: INTERVAL, assigned: None }
    }

    /// With another time between heartbeats than ten seconds.
    #[must_use]
    pub fn with_interval(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// Registers the name, and gives the address and port that were handed out. Where the registry
    /// is away it is tried four times, within a few seconds.
    ///
    /// # Errors
    ///
    /// [`HeartbeatError`].
    pub async fn register(&mut self) -> Result<(IpAddr, u16), HeartbeatError> {
        let given = self.insist(Ask::Register).await;
        let given = given.and_then(|answer| match answer {
            Answer::Registered(ip, port) => Ok((ip, port)),
            other => Err(refused(other)),
        });
        self.assigned = given.as_ref().ok().map(|(ip, port)| SocketAddr::new(*ip, *port));
        given
    }

    /// Says that the name lives.
    ///
    /// # Errors
    ///
    /// [`HeartbeatError::NotRegistered`] when it has to be registered anew;
    /// [`HeartbeatError`].
    pub async fn send_heartbeat(&self) -> Result<(), HeartbeatError> {
        match self.insist(Ask::Beat).await? {
            Answer::Beaten => Ok(()),
            other => Err(refused(other)),
        }
    }

    /// Gives the name back, at once.
    ///
    /// # Errors
    ///
    /// [`HeartbeatError`].
    pub async fn deregister(&mut self) -> Result<(), HeartbeatError> {
        self.assigned = None;
        match self.insist(Ask::Deregister).await? {
            Answer::Deregistered => Ok(()),
            other => Err(refused(other)),
        }
    }

    /// Where a service of any kind is; `None` if nobody has that name.
    ///
    /// # Errors
    ///
    /// [`HeartbeatError`].
    pub async fn lookup(&self, name: &str) -> Result<Option<(IpAddr, u16)>, HeartbeatError> {
        let other = Self { name: name.into(), ..self.clone() };
        match other.insist(Ask::Lookup).await? {
            Answer::Found(ip, port) => Ok(Some((ip, port))),
            Answer::NotFound => Ok(None),
            other => Err(refused(other)),
        }
    }

    /// What was handed out last.
    pub fn get_assigned_addr(&self) -> Option<SocketAddr> {
        self.assigned
    }

    /// Whether the last [`ServiceClient::register`] went well.
    pub fn is_registered(&self) -> bool {
        self.assigned.is_some()
    }

    /// Keeps the name registered in the background, until [`Kept::shutdown`] or until what this
    /// gives is dropped. Needs a runtime of tokio around it.
    pub fn keep(self) -> Kept {
        let (tell, events) = watch::channel(None);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(keep(self, tell, stopped));
        Kept { stop, task, events }
    }

    async fn insist(&self, ask: fn(ServiceName) -> Ask) -> Result<Answer, HeartbeatError> {
        let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        let mut attempt = 1;
        loop {
            match self.ask(ask).await {
                Err(error) if error.may_pass() && attempt < ATTEMPTS => {
                    attempt += 1;
                    sleep(backoff.next(draw())).await;
                }
                result => return result,
            }
        }
    }

    async fn ask(&self, ask: fn(ServiceName) -> Ask) -> Result<Answer, HeartbeatError> {
        let name = ServiceName::parse(&self.name)?;
        if self.name.len() > NAME_BYTES_MAX {
            return Err(IdError::TooLong(NAME_BYTES_MAX).into());
        }
        let frame = encode_ask(&ask(name));
        let answer = timeout(ANSWER_TIMEOUT, exchange(self.server, &frame)).await;
        let answer = answer.map_err(|_| HeartbeatError::TimedOut)??;
        decode_answer(&answer).ok_or(HeartbeatError::Unexpected)
    }
}

/// One frame there and one answer back, which is over at its NUL or with the stream.
async fn exchange(server: SocketAddr, frame: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(frame).await?;
    let mut answer = Vec::new();
    while answer.len() < ANSWER_BYTES_MAX && answer.last() != Some(&0) {
        if stream.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}

fn refused(answer: Answer) -> HeartbeatError {
    match answer {
        Answer::Failed(reason) => HeartbeatError::Refused(reason),
        Answer::NotBeaten => HeartbeatError::NotRegistered,
        Answer::Registered(..)
        | Answer::Beaten
        | Answer::Deregistered
        | Answer::Found(..)
        | Answer::NotFound => HeartbeatError::Unexpected,
    }
}

fn draw() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// A name that is kept registered. Dropping it gives the name back as well, without waiting for
/// that.
#[derive(Debug)]
pub struct Kept {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    events: watch::Receiver<Option<Event>>,
}

impl Kept {
    /// How the name stands; `None` until that is known.
    pub fn events(&self) -> watch::Receiver<Option<Event>> {
        self.events.clone()
    }

    /// Gives the name back, and waits until the registry has said so, at most some seconds.
    pub async fn shutdown(self) {
        drop(self.stop);
        // A task that failed has nothing to say.
        let _ = self.task.await;
    }
}

async fn keep(
    mut client: ServiceClient,
    tell: watch::Sender<Option<Event>>,
    mut stop: oneshot::Receiver<()>,
) {
    let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
    client.assigned = None;
    loop {
        let (event, wait) = match step(&mut client).await {
            Ok(given) => {
                backoff.reset();
                (Event::Registered(given.ip(), given.port()), client.interval)
            }
            Err(error) if error.may_pass() => {
                (Event::Lost(error.to_string().into()), backoff.next(draw()))
            }
            Err(error) => (Event::Refused(error.to_string().into()), backoff.next(draw())),
        };
        tell.send_if_modified(|told| {
            let event = Some(event);
            (*told != event).then(|| *told = event).is_some()
        });
        tokio::select! {
            _ = &mut stop => break,
            () = sleep(wait) => {}
        }
    }
    if client.is_registered() {
        // Without an answer the name ends with its heartbeats.
        let _ = client.ask(Ask::Deregister).await;
    }
}

/// A heartbeat of a name that is registered; a registration of one that is not, or no longer.
async fn step(client: &mut ServiceClient) -> Result<SocketAddr, HeartbeatError> {
    if let Some(given) = client.assigned {
        match client.ask(Ask::Beat).await? {
            Answer::Beaten => return Ok(given),
            Answer::NotBeaten => client.assigned = None,
            other => return Err(refused(other)),
        }
    }
    match client.ask(Ask::Register).await? {
        Answer::Registered(ip, port) => {
            let given = SocketAddr::new(ip, port);
            client.assigned = Some(given);
            Ok(given)
        }
        other => Err(refused(other)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Says these one after the other, a connection each.
    async fn server(answers: &'static [&'static str]) -> (SocketAddr, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut frame = [0; 256];
                stream.read_exact(&mut frame).await.unwrap();
                asked.push(String::from_utf8_lossy(&frame).trim_end_matches('\0').to_owned());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        (address, served)
    }

    #[tokio::test]
    async fn what_is_asked_and_what_comes_of_it() {
        let (address, served) = server(&[
            "FAILED|no free port\0",
            "SUCCESS|10.0.0.7|9001|86400\0",
            "HEARTBEAT_OK",
            "HEARTBEAT_FAILED",
            "NONSENSE",
            "DEREGISTERED",
        ])
        .await;
        let mut client = ServiceClient::new(address, "web".to_owned());
        let refused = client.register().await.unwrap_err();
        assert_eq!(refused.to_string(), "refused: no free port");
        assert_eq!(client.register().await.unwrap(), ([10, 0, 0, 7].into(), 9001));
        assert_eq!(client.get_assigned_addr(), Some(([10, 0, 0, 7], 9001).into()));
        client.send_heartbeat().await.unwrap();
        let beat = client.send_heartbeat().await;
        assert!(matches!(beat, Err(HeartbeatError::NotRegistered)));
        let beat = client.send_heartbeat().await;
        assert!(matches!(beat, Err(HeartbeatError::Unexpected)));
        client.deregister().await.unwrap();
        assert!(!client.is_registered());
        let asked = served.await.unwrap();
        let beat = "HEARTBEAT|web";
        assert_eq!(asked, ["web", "web", beat, beat, beat, "DEREGISTER|web"]);
        for bad in ["", "two words", &"x".repeat(246)] {
            let client = ServiceClient::new(address, bad.to_owned());
            assert!(matches!(client.send_heartbeat().await, Err(HeartbeatError::Name(_))));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_that_is_away_is_tried_four_times() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counted = tokio::spawn(async move {
            let mut count = 0;
            while let Ok(Ok((stream, _))) = timeout(Duration::from_mins(1), listener.accept()).await
            {
                // Without an answer.
                drop(stream);
                count += 1;
            }
            count
        });
        let mut client = ServiceClient::new(address, "web".to_owned());
        let failed = client.register().await.unwrap_err();
        assert!(matches!(failed, HeartbeatError::Io(_)), "{failed}");
        assert_eq!(counted.await.unwrap(), 4);
    }
}
