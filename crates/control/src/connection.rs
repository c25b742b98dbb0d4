//! One connection: bytes to commands, answers to bytes, and how long either may take.
//!
//! ```text
//!       +---> commands: frame, decode, ask the machine, one at a time
//!       |        |  no whole line is left
//!       |        v
//!       |     lines nobody asked for; write everything at once
//!       |        |
//!       |        v
//!       +---- wait: bytes | the machine speaks | a line takes too long
//! ```
//!
//! Answers of commands that came together go out together, in whole lines: some clients take one
//! read for one answer. While it waits it holds no buffer.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use certs::HANDSHAKE_RECORD;
use model::{Answer, ConnId, Instant, Line, Refusal, Reply, Request, TxnId};
use runtime::Clock;
use session::Peer;
use telemetry::Outcomes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;
use wire::{Dialect, Framer};

use crate::access::{Access, Verdict};
use crate::bounds::{
    COALESCE, FLUSH_BYTES, LINGER, LINGER_BYTES_MAX, READ_BYTES, READ_TIMEOUT, WRITE_TIMEOUT,
};
use crate::credentials::Credentials;
use crate::mailbox::{End, Mailbox, Outcome};
use crate::outcome::Became;
use crate::refusal::{Refusals, Refused, Witness};
use crate::task::Handle;

const TIMEOUT: &str = "timeout";
const NO_TLS: &str = "this port does not speak TLS";
const TOO_SLOW: &str = "too slow";

/// Serves one connection that was not accepted by a [`Listener`](crate::Listener), from its first
/// byte to [`session::Input::Lost`]. Counts against no bound.
pub async fn converse<S>(
    stream: S,
    peer: Peer,
    credentials: Arc<Credentials>,
    handle: Handle,
    clock: Clock,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mailbox = Arc::new(Mailbox::default());
    let (access, _) = credentials.access(&peer, None);
    let Ok(conn) = handle.connected(peer.clone(), mailbox.clone()).await else { return };
    let (refusals, outcomes) = (Refusals::new("registry", clock), Outcomes::default());
    let witness = Witness { peer, refusals, outcomes };
    Connection::new(stream, conn, mailbox, access, handle.clone(), clock, witness).run().await;
    // A registry that has ended knows.
    drop(handle.lost(conn).await);
}

/// One connection that was let in.
pub(crate) struct Connection<S> {
    stream: S,
    conn: ConnId,
    mailbox: Arc<Mailbox>,
    handle: Handle,
    clock: Clock,
    access: Access,
    witness: Witness,
    framer: Framer,
    dialect: Dialect,
    /// Whole lines, to be written.
    out: Vec<u8>,
    /// The client will send no more.
    is_half_closed: bool,
    /// When bytes came last.
    read_at: Instant,
    /// When the first byte of the line under way came.
    line_since: Option<Instant>,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// The peer closed it, or it broke.
    Gone,
    /// The peer does not take what we write.
    Slow,
    /// We have said all there is to say.
    Said,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) fn new(
        stream: S,
        conn: ConnId,
        mailbox: Arc<Mailbox>,
        access: Access,
        handle: Handle,
        clock: Clock,
        witness: Witness,
    ) -> Self {
        Self {
            stream,
            conn,
            mailbox,
            handle,
            clock,
            access,
            witness,
            framer: Framer::new(),
            dialect: Dialect::Fresh,
            out: Vec::new(),
            is_half_closed: false,
            read_at: Instant::default(),
            line_since: None,
        }
    }

    /// Serves it to its end and closes it.
    pub(crate) async fn run(mut self) {
        let cut = loop {
            if let Err(cut) = self.round().await {
                break cut;
            }
        };
        match cut {
            Cut::Gone => {}
            Cut::Slow => {
                self.witness.outcomes.count(Became::CutOff);
                tracing::debug!(conn = self.conn.0, "cut off: it does not read");
            }
            Cut::Said => drop(timeout(LINGER, self.linger()).await),
        }
    }

    async fn round(&mut self) -> Result<(), Cut> {
        self.commands().await?;
        self.speak().await?;
        if self.is_half_closed {
            return Err(Cut::Gone);
        }
        self.wait().await
    }

    /// Every command that is here.
    async fn commands(&mut self) -> Result<(), Cut> {
        while self.mailbox.end() == End::Open
            && let Some(line) = self.framer.next_line()
        {
            self.line_since = None;
            match line {
                Ok(text) => self.command(&text).await?,
                Err(error) => self.say(Answer {
                    txn: None,
                    reply: Reply::Refused(Refusal::new(error.to_string())),
                }),
            }
            if self.out.len() >= FLUSH_BYTES {
                self.flush().await?;
            }
        }
        self.line_since =
            self.framer.is_mid_line().then(|| self.line_since.unwrap_or(self.read_at));
        Ok(())
    }

    async fn command(&mut self, text: &str) -> Result<(), Cut> {
        let decoded = wire::decode(text, self.dialect);
        if let Ok(Line { request: Request::Auth(token), .. }) = &decoded {
            return self.authenticate(token).await;
        }
        match decoded {
            Ok(line) if !self.access.is_granted() => {
                self.refuse(line.txn, Refusal::AUTHENTICATION_REQUIRED, Became::Denied)
            }
            Err(error) if !self.access.is_granted() => {
                self.refuse(error.txn, Refusal::AUTHENTICATION_REQUIRED, Became::Denied)
            }
            Err(error) => self.say(Answer { txn: error.txn, reply: Reply::Refused(error.reason) }),
            // The one command that has no answer.
            Ok(line) if line.request == Request::Ack => self.send(line).await?,
            Ok(line) => self.ask(line).await?,
        }
        Ok(())
    }

    async fn authenticate(&mut self, token: &str) -> Result<(), Cut> {
        match self.access.show(token) {
            Verdict::Welcome => self.say(Answer { txn: None, reply: Reply::AuthOk }),
            Verdict::Known(credential) => {
                let known = self.handle.authenticated(self.conn, credential).await;
                known.map_err(|_| Cut::Gone)?;
                self.say(Answer { txn: None, reply: Reply::AuthOk });
            }
            Verdict::Wrong => {
                self.witness.tell(Refused::Token);
                self.refuse(None, Refusal::AUTHENTICATION_FAILED, Became::Denied);
            }
            Verdict::Enough => {
                self.witness.tell(Refused::Token);
                self.refuse(None, Refusal::AUTHENTICATION_FAILED, Became::Denied);
                self.flush().await?;
                return Err(Cut::Said);
            }
        }
        Ok(())
    }

    /// Sends a command to the machine and waits for its answer. Answers that are ready wait along,
    /// but not for one that takes its time.
    async fn ask(&mut self, line: Line) -> Result<(), Cut> {
        self.send(line).await?;
        if !self.out.is_empty() {
            if let Ok(outcome) = timeout(COALESCE, self.mailbox.answered()).await {
                self.heard(outcome);
                return Ok(());
            }
            self.flush().await?;
        }
        let outcome = self.mailbox.answered().await;
        self.heard(outcome);
        Ok(())
    }

    fn heard(&mut self, outcome: Outcome) {
        if let Outcome::Answer(answer, dialect) = outcome {
            if dialect != self.dialect {
                self.dialect = dialect;
                self.framer.set_dialect(dialect);
            }
            self.say(answer);
        }
    }

    async fn send(&self, line: Line) -> Result<(), Cut> {
        self.handle.line(self.conn, line).await.map_err(|_| Cut::Gone)
    }

    fn refuse(&mut self, txn: Option<TxnId>, reason: Refusal, became: Became) {
        let answer = Answer { txn, reply: Reply::Refused(reason) };
        self.say_as(&answer, became);
    }

    fn say(&mut self, answer: Answer) {
        let is_refused = matches!(answer.reply, Reply::Refused(_));
        let became = if is_refused { Became::Refused } else { Became::Answered };
        self.say_as(&answer, became);
    }

    fn say_as(&mut self, answer: &Answer, became: Became) {
        self.witness.outcomes.count(became);
        wire::encode_answer(answer, self.dialect, &mut self.out);
    }

    /// Lines nobody asked for, now that no command is unanswered; then everything is written.
    async fn speak(&mut self) -> Result<(), Cut> {
        let (pushes, end) = self.mailbox.take();
        for push in pushes {
            wire::encode_push(&push, &mut self.out);
            if self.out.len() >= FLUSH_BYTES {
                self.flush().await?;
            }
        }
        if end == End::Overrun {
            self.refuse(None, Refusal::new(TOO_SLOW), Became::CutOff);
        }
        self.flush().await?;
        match end {
            End::Open => Ok(()),
            End::Closed | End::Overrun => Err(Cut::Said),
        }
    }

    /// All that is to be written, by one write if its reader keeps up.
    async fn flush(&mut self) -> Result<(), Cut> {
        if self.out.is_empty() {
            return Ok(());
        }
        let writing = async {
            self.stream.write_all(&self.out).await?;
            // With TLS it may wait inside.
            self.stream.flush().await
        };
        let written = timeout(WRITE_TIMEOUT, writing).await;
        self.out.clear();
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Cut::Gone),
            Err(_) => Err(Cut::Slow),
        }
    }

    /// Waits for the next bytes, or for the machine to speak.
    async fn wait(&mut self) -> Result<(), Cut> {
        self.out = Vec::new();
        let is_new = self.read_at == Instant::default();
        let overdue = self.line_since.map(|since| since.after(READ_TIMEOUT));
        tokio::select! {
            biased;
            read = read(&mut self.stream, &mut self.framer) => match read {
                Ok(Read { count: 0, .. }) => self.is_half_closed = true,
                Ok(Read { first: Some(HANDSHAKE_RECORD), .. }) if is_new => {
                    self.witness.tell(Refused::NoTls);
                    self.refuse(None, Refusal::new(NO_TLS), Became::NotOpened);
                    self.flush().await?;
                    return Err(Cut::Said);
                }
                Ok(_) => self.read_at = self.clock.mono(),
                Err(_) => return Err(Cut::Gone),
            },
            () = self.mailbox.spoken() => {}
            () = self.clock.sleep_until(overdue) => {
                self.refuse(None, Refusal::new(TIMEOUT), Became::CutOff);
                self.flush().await?;
                return Err(Cut::Said);
            }
        }
        Ok(())
    }

    /// Closes so that what was said arrives: bytes nobody read make the kernel throw it away.
    async fn linger(&mut self) {
        let mut left = LINGER_BYTES_MAX;
        if self.stream.shutdown().await.is_err() {
            return;
        }
        while let Ok(read @ 1..) = discard(&mut self.stream).await
            && let Some(rest) = left.checked_sub(read)
        {
            left = rest;
        }
    }
}

thread_local! {
    /// Where bytes are read to before they are framed: one for all connections of a thread.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// What was read.
struct Read {
    count: usize,
    first: Option<u8>,
}

/// Reads what is there into the framer; holds no buffer while nothing is there.
async fn read<S: AsyncRead + Unpin>(stream: &mut S, framer: &mut Framer) -> io::Result<Read> {
    let mut first = None;
    let count = read_with(stream, |bytes| {
        first = bytes.first().copied();
        framer.push(bytes);
    });
    Ok(Read { count: count.await?, first })
}

async fn discard<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<usize> {
    read_with(stream, |_| {}).await
}

async fn read_with<S: AsyncRead + Unpin>(
    stream: &mut S,
    mut take: impl FnMut(&[u8]),
) -> io::Result<usize> {
    poll_fn(|context| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
            take(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
    })
    .await
}

#[cfg(test)]
mod tests;
