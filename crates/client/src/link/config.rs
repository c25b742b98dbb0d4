//! What goes into a link and what comes out of it.

use std::sync::Arc;
use std::time::Duration;

use model::{EventKind, InstanceName, Request, ServiceName, SessionId};

use crate::Desired;
use crate::said::Said;
use crate::sync::Refusal;

/// Who registers, and how long things take.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// The service.
    pub service: ServiceName,
    /// This instance of it. One identity is for one process: a second one that registers it takes
    /// the session away from the first.
    pub instance: InstanceName,
    /// Where its maintenance page is.
    pub maintenance_port: u16,
    /// A JSON object, shown in SESSION_INFO.
    pub metadata: Option<Box<str>>,
    /// Sent first on each connection.
    pub token: Option<Box<str>>,
    /// What to be told; `None` is all.
    pub subscriptions: Vec<Option<EventKind>>,
    /// How long a connection or an answer may take. A registry answers within 4 s (SPEC 2.1).
    pub answer_timeout: Duration,
    /// How long to be silent before a PING.
    pub ping_interval: Duration,
    /// The first wait after a loss; doubles with each failure.
    pub backoff_min: Duration,
    /// The longest wait, and the pause before a refused configuration is tried again.
    pub backoff_max: Duration,
}

impl LinkConfig {
    /// Answers within 5 s, PING after 30 s, waits of 0.2 s to 10 s, subscribed to nothing.
    pub fn new(service: ServiceName, instance: InstanceName, maintenance_port: u16) -> Self {
        Self {
            service,
            instance,
            maintenance_port,
            metadata: None,
            token: None,
            subscriptions: Vec::new(),
            answer_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(30),
            backoff_min: Duration::from_millis(200),
            backoff_max: Duration::from_secs(10),
        }
    }
}

/// A proposal, numbered by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplyId(pub u64);

/// A question, numbered by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskId(pub u64);

/// What happens to a link.
#[derive(Clone, Debug)]
pub enum Input {
    /// The connection asked for is open.
    Connected,
    /// It is gone, or could not be opened.
    Lost {
        /// Why, for people.
        reason: Box<str>,
        /// Any number; the jitter of the next wait.
        draw: u64,
    },
    /// The server said something.
    Said(Said),
    /// The program wants this to be live, instead of what it wanted before.
    Apply(ApplyId, Arc<Desired>),
    /// The program wants to know, or do, one thing.
    Ask(AskId, Request),
    /// The program ends: say goodbye, so that the routes go at once.
    Shutdown,
}

/// What a link wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Open a connection; answered by `Connected` or `Lost`.
    Connect,
    /// Drop the connection, or the attempt; answered by `Lost`.
    Disconnect,
    /// Write this.
    Send(Vec<u8>),
    /// Tell the program.
    Event(Event),
    /// What came of a proposal.
    Applied(ApplyId, Result<(), ApplyError>),
    /// What came of a question.
    Answered(AskId, Result<Said, AskError>),
    /// Nothing more will come.
    Ended {
        /// Whether the server took the goodbye. If not, it keeps the routes for its grace.
        said_goodbye: bool,
    },
}

/// What a program is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new session.
    Registered(SessionId),
    /// The same session on a new connection; nothing was lost.
    Resumed,
    /// What is desired is live.
    Applied {
        /// Its routes.
        routes: usize,
    },
    /// The server refuses to have us or to replay what was accepted before. It is tried again.
    Refused(Refusal),
    /// The connection is gone, or there was none.
    Lost {
        /// Why, for people.
        reason: Box<str>,
        /// When the next attempt begins.
        retry_in: Duration,
    },
    /// The server said something by itself: `EVENT|...`, `MAINT_OK|...`, `SHUTDOWN`.
    Told(Said),
    /// So many events were dropped here because nobody took them.
    Missed(u64),
}

/// How a link stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Never yet registered.
    Connecting,
    /// Registered; what is desired is not live yet.
    Registered,
    /// Registered, and what is desired is live.
    Connected,
    /// The server refuses us or what we want; it is tried again.
    Refused(Refusal),
    /// The connection was lost.
    Reconnecting,
    /// Shut down.
    Ended,
}

/// Why something desired is not live.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The server said no. What was accepted before stays live, and is what is replayed.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// Too many wait already.
    #[error("too many applies are waiting")]
    Busy,
    /// The client was shut down.
    #[error("the client was shut down")]
    Ended,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There is no session now. Nothing was sent.
    #[error("not connected to the registry")]
    NotConnected,
    /// The connection broke before the answer. Whether it was done is not known.
    #[error("the connection was lost before the answer")]
    Lost,
    /// Too many wait already. Nothing was sent.
    #[error("too many requests are waiting")]
    Busy,
    /// The client registers, reconnects and says goodbye by itself. Nothing was sent.
    #[error("the client sends this command by itself")]
    Reserved,
    /// The client was shut down. Nothing was sent.
    #[error("the client was shut down")]
    Ended,
}
