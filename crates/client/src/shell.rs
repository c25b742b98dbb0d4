//! The task behind a client: carries out what the link says.

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use model::{Instant, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot, watch};

use crate::address::Stream;
use crate::said::Lines;
use crate::{
    ApplyError, ApplyId, AskError, AskId, Desired, Event, Input, Link, LinkConfig, Output, Said,
    SaidError, Status,
};

const READ_BYTES: usize = 16 << 10;

/// What a program orders.
#[derive(Debug)]
pub(crate) enum Order {
    Apply(Arc<Desired>, oneshot::Sender<Result<(), ApplyError>>),
    Ask(Request, oneshot::Sender<Result<Said, AskError>>),
    Shutdown(oneshot::Sender<bool>),
}

type Opening = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Runs until the link has ended.
pub(crate) async fn run<F>(
    config: LinkConfig,
    mut connect: impl FnMut() -> F,
    mut orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<Event>,
    status: watch::Sender<Status>,
) where
    F: Future<Output = io::Result<Box<dyn Stream>>> + Send + 'static,
{
    let clock = Clock::start();
    let mut link = Link::new(config, clock.now());
    let mut desk = Desk {
        events,
        missed: 0,
        applies: BTreeMap::new(),
        asks: BTreeMap::new(),
        shutdowns: Vec::new(),
        next: 0,
    };
    let mut wire = Wire::Closed;
    let mut ordering = true;
    loop {
        while let Some(output) = link.poll_output() {
            match output {
                Output::Connect => wire = Wire::Opening(Box::pin(connect())),
                Output::Disconnect => {
                    wire = Wire::Closed;
                    link.handle(lost("closed"), clock.now());
                }
                Output::Send(bytes) => wire.send(&bytes),
                Output::Ended { said_goodbye } => {
                    status.send_replace(Status::Ended);
                    return desk.close(said_goodbye);
                }
                Output::Event(_) | Output::Applied(..) | Output::Answered(..) => desk.take(output),
            }
        }
        status.send_if_modified(|shown| {
            let now = link.status();
            let changed = *shown != now;
            *shown = now;
            changed
        });
        tokio::select! {
            order = orders.recv(), if ordering => {
                let input = match order {
                    Some(order) => desk.put(order),
                    None => {
                        ordering = false;
                        Input::Shutdown
                    }
                };
                link.handle(input, clock.now());
            }
            news = wire.next() => match news {
                News::Open => link.handle(Input::Connected, clock.now()),
                News::Said(said) => link.handle(Input::Said(said), clock.now()),
                News::Lost(reason) => {
                    wire = Wire::Closed;
                    link.handle(lost(&reason), clock.now());
                }
            },
            () = clock.sleep_until(link.poll_timeout()) => link.handle_timeout(clock.now()),
        }
    }
}

/// What the program waits for.
struct Desk {
    events: mpsc::Sender<Event>,
    missed: u64,
    applies: BTreeMap<u64, oneshot::Sender<Result<(), ApplyError>>>,
    asks: BTreeMap<u64, oneshot::Sender<Result<Said, AskError>>>,
    shutdowns: Vec<oneshot::Sender<bool>>,
    next: u64,
}

impl Desk {
    fn put(&mut self, order: Order) -> Input {
        self.next += 1;
        match order {
            Order::Apply(desired, answer) => {
                self.applies.insert(self.next, answer);
                Input::Apply(ApplyId(self.next), desired)
            }
            Order::Ask(request, answer) => {
                self.asks.insert(self.next, answer);
                Input::Ask(AskId(self.next), request)
            }
            Order::Shutdown(answer) => {
                self.shutdowns.push(answer);
                Input::Shutdown
            }
        }
    }

    /// Whoever stopped waiting does not mind.
    fn take(&mut self, output: Output) {
        match output {
            Output::Event(event) => self.tell(event),
            Output::Applied(ApplyId(id), result) => {
                if let Some(answer) = self.applies.remove(&id) {
                    drop(answer.send(result));
                }
            }
            Output::Answered(AskId(id), result) => {
                if let Some(answer) = self.asks.remove(&id) {
                    drop(answer.send(result));
                }
            }
            Output::Connect | Output::Disconnect | Output::Send(_) | Output::Ended { .. } => {}
        }
    }

    fn tell(&mut self, event: Event) {
        if self.missed > 0 && self.events.try_send(Event::Missed(self.missed)).is_ok() {
            self.missed = 0;
        }
        if let Err(mpsc::error::TrySendError::Full(_)) = self.events.try_send(event) {
            self.missed += 1;
        }
    }

    fn close(self, said_goodbye: bool) {
        for answer in self.shutdowns {
            let _ = answer.send(said_goodbye);
        }
    }
}

/// The socket, as far as there is one.
enum Wire {
    Closed,
    Opening(Opening),
    Open(Box<Socket>),
}

struct Socket {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    lines: Lines,
    /// Not yet written. The link sends only so much without an answer.
    unsent: Vec<u8>,
    /// Whether something is to be written, or may still wait inside: with TLS it can.
    unflushed: bool,
}

enum News {
    Open,
    Said(Said),
    Lost(String),
}

impl Wire {
    fn send(&mut self, bytes: &[u8]) {
        if let Self::Open(socket) = self {
            socket.unsent.extend_from_slice(bytes);
            socket.unflushed = true;
        }
    }

    /// What happens next. Dropping the future loses nothing.
    async fn next(&mut self) -> News {
        match self {
            Self::Closed => std::future::pending().await,
            Self::Opening(opening) => match opening.await {
                Ok(stream) => {
                    let (reader, writer) = tokio::io::split(stream);
                    let (lines, unsent) = (Lines::default(), Vec::new());
                    *self = Self::Open(Box::new(Socket {
                        reader,
                        writer,
                        lines,
                        unsent,
                        unflushed: false,
                    }));
                    News::Open
                }
                Err(error) => News::Lost(error.to_string()),
            },
            Self::Open(socket) => socket.next().await,
        }
    }
}

impl Socket {
    async fn next(&mut self) -> News {
        let mut bytes = [0; READ_BYTES];
        loop {
            match self.lines.next_line() {
                Ok(Some(said)) => return News::Said(said),
                Ok(None) => {}
                Err(said) => return News::Lost(not_registry(&said)),
            }
            tokio::select! {
                read = self.reader.read(&mut bytes) => match read {
                    Ok(0) => return News::Lost(match self.lines.foreign_rest() {
                        Some(said) => not_registry(&said),
                        None => "the server closed the connection".to_owned(),
                    }),
                    Ok(count) => self.lines.push(bytes.get(..count).unwrap_or_default()),
                    Err(error) => return News::Lost(error.to_string()),
                },
                written = write(&mut self.writer, &self.unsent), if self.unflushed => {
                    match written {
                        Ok(Written::Nothing) => {
                            return News::Lost("the server closed the connection".to_owned());
                        }
                        Ok(Written::Some(count)) => drop(self.unsent.drain(..count)),
                        Ok(Written::All) => self.unflushed = false,
                        Err(error) => return News::Lost(error.to_string()),
                    }
                }
            }
        }
    }
}

fn not_registry(said: &SaidError) -> String {
    format!("it does not speak the registry protocol: {said}")
}

/// What became of bytes that were to be written.
enum Written {
    /// The other side takes none.
    Nothing,
    /// So many were.
    Some(usize),
    /// None are left, and none wait inside.
    All,
}

/// Dropping the future loses nothing.
async fn write(writer: &mut WriteHalf<Box<dyn Stream>>, unsent: &[u8]) -> io::Result<Written> {
    if unsent.is_empty() {
        return writer.flush().await.map(|()| Written::All);
    }
    writer.write(unsent).await.map(|count| match count {
        0 => Written::Nothing,
        count => Written::Some(count),
    })
}

fn lost(reason: &str) -> Input {
    // Jitter needs a number that others do not have, and no more.
    Input::Lost { reason: reason.into(), draw: RandomState::new().hash_one(0_u8) }
}

/// The only place here that reads a clock.
#[derive(Clone, Copy)]
struct Clock {
    origin: tokio::time::Instant,
}

impl Clock {
    fn start() -> Self {
        Self { origin: Self::read() }
    }

    fn now(self) -> Instant {
        let nanos = Self::read().duration_since(self.origin).as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    async fn sleep_until(self, at: Option<Instant>) {
        match at {
            Some(at) => tokio::time::sleep(at.since(self.now()).max(Duration::ZERO)).await,
            None => std::future::pending().await,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a client brings no runtime of ours along")]
    fn read() -> tokio::time::Instant {
        tokio::time::Instant::now()
    }
}

#[cfg(test)]
mod tests;
