//! The task that owns the machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use model::{ConnId, Line, Version};
use runtime::Clock;
use session::{Credential, Input, Note, Output, Peer, Registry};
use store::{Report, Store};
use tokio::sync::mpsc;
use wire::Dialect;

use crate::bounds::{LINES_WAITING_MAX, ORDERS_WAITING_MAX, TURN};
use crate::effect::Effect;
use crate::mailbox::Mailbox;
use crate::unsaved::Unsaved;

/// Owns the machine: takes inputs, carries out outputs in order, wakes it when it is due.
///
/// It waits for nobody: not for the disk, whose answer is an input; not for a connection, whose
/// mailbox is bounded. When the disk does not keep up it takes no more commands until it does.
pub struct RegistryTask<F> {
    registry: Registry,
    store: Store,
    clock: Clock,
    effects: F,
    messages: mpsc::Receiver<Message>,
    orders: mpsc::Receiver<Input>,
    mailboxes: BTreeMap<ConnId, Arc<Mailbox>>,
    unsaved: Unsaved,
    /// For whoever asks from outside.
    sessions: Arc<AtomicUsize>,
    /// No handle is left.
    is_ending: bool,
}

/// What a connection says.
#[derive(Debug)]
pub(crate) enum Message {
    Connected(ConnId, Peer, Arc<Mailbox>),
    Authenticated(ConnId, Arc<Credential>),
    Line(ConnId, Line),
    Lost(ConnId),
}

/// A way to the machine. The task runs as long as one is left.
#[derive(Clone, Debug)]
pub struct Handle {
    messages: mpsc::Sender<Message>,
    orders: mpsc::Sender<Input>,
    last_conn: Arc<AtomicU64>,
}

/// A way to tell the machine what happened in the world. Does not keep the task running.
#[derive(Clone, Debug)]
pub struct Teller(mpsc::WeakSender<Input>);

/// The task has ended, or cannot take more right now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the registry has ended, or has too much to do")]
pub struct Gone;

impl<F: FnMut(Effect)> RegistryTask<F> {
    /// A task for this machine, and the first handle to it. `effects` is called from the task, in
    /// order, and must not block.
    pub fn new(registry: Registry, store: Store, clock: Clock, effects: F) -> (Self, Handle) {
        let (handle, messages, orders) = Handle::new();
        let mailboxes = BTreeMap::new();
        let unsaved = Unsaved::default();
        let sessions = Arc::new(AtomicUsize::new(registry.session_count()));
        let is_ending = false;
        let task = Self {
            registry,
            store,
            clock,
            effects,
            messages,
            orders,
            mailboxes,
            unsaved,
            sessions,
            is_ending,
        };
        (task, handle)
    }

    /// Carries out what the machine wants done before anything happens: what was remembered.
    pub fn begin(&mut self) {
        self.perform();
    }

    /// How many sessions there are, now and later.
    pub fn sessions(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.sessions)
    }

    /// Runs until no [`Handle`] is left and everything is saved.
    pub async fn run(mut self) -> Store {
        self.begin();
        while !self.is_ending || self.store.unreported() > 0 || !self.unsaved.is_empty() {
            self.turn().await;
        }
        self.store
    }

    /// Waits for something to happen, then gives everybody a turn.
    async fn turn(&mut self) {
        let free = self.unsaved.is_empty() && !self.is_ending;
        tokio::select! {
            biased;
            report = self.store.reported() => self.saved(report),
            order = self.orders.recv(), if free => self.order(order),
            message = self.messages.recv(), if free => self.message(message),
            () = self.clock.sleep_until(self.registry.poll_timeout()) => {}
        }
        let now = self.clock.now();
        if self.registry.poll_timeout().is_some_and(|due| due <= now.mono) {
            self.registry.handle_timeout(now);
            self.perform();
        }
        for _ in 0..TURN {
            let Ok(order) = self.orders.try_recv() else { break };
            self.input(order);
        }
        for _ in 0..TURN {
            if !self.unsaved.is_empty() {
                break;
            }
            let Ok(message) = self.messages.try_recv() else { break };
            self.message(Some(message));
        }
    }

    fn saved(&mut self, (seq, result): Report) {
        // There is room for at least one now.
        self.unsaved.retry(|batch| self.store.submit(batch));
        self.input(Input::Persisted(seq, result));
    }

    fn order(&mut self, order: Option<Input>) {
        match order {
            Some(input) => self.input(input),
            None => self.is_ending = true,
        }
    }

    fn message(&mut self, message: Option<Message>) {
        match message {
            Some(Message::Connected(conn, peer, mailbox)) => {
                self.mailboxes.insert(conn, mailbox);
                self.input(Input::Connected(conn, peer));
            }
            Some(Message::Authenticated(conn, credential)) => {
                self.input(Input::Authenticated(conn, credential));
            }
            Some(Message::Line(conn, line)) => self.input(Input::Line(conn, line)),
            Some(Message::Lost(conn)) => {
                self.mailboxes.remove(&conn);
                self.input(Input::Lost(conn));
            }
            None => self.is_ending = true,
        }
    }

    fn input(&mut self, input: Input) {
        self.registry.handle(input, self.clock.now());
        self.perform();
    }

    fn perform(&mut self) {
        self.sessions.store(self.registry.session_count(), Ordering::Relaxed);
        while let Some(output) = self.registry.poll_output() {
            match output {
                Output::Answer(conn, answer) => self.to(conn, |mailbox| mailbox.answer(answer)),
                Output::Push(conn, push) => self.to(conn, |mailbox| mailbox.push(push)),
                Output::Speaks(conn, version) => {
                    self.to(conn, |mailbox| mailbox.speaks(dialect(version)));
                }
                Output::Close(conn) => self.to(conn, Mailbox::close),
                Output::Persist(batch) => {
                    self.unsaved.add(batch, |batch| self.store.submit(batch));
                }
                Output::Publish(table) => (self.effects)(Effect::Publish(table)),
                Output::Presence(endpoints, connected) => {
                    (self.effects)(Effect::Presence(endpoints, connected));
                }
                Output::Failing(routes) => (self.effects)(Effect::Failing(routes)),
                Output::Drain(endpoints, drain) => (self.effects)(Effect::Drain(endpoints, drain)),
                Output::Maintenance(modes) => (self.effects)(Effect::Maintenance(modes)),
                Output::Watch(watch, what) => (self.effects)(Effect::Watch(watch, what)),
                Output::Query(id, query) => (self.effects)(Effect::Query(id, query)),
                Output::Member(service, instance, member) => {
                    (self.effects)(Effect::Member(service, instance, member));
                }
                Output::Checked(service, instance, backend, healthy, reason) => {
                    let effect = Effect::Checked(service, instance, backend, healthy, reason);
                    (self.effects)(effect);
                }
                Output::Note(note) => log(&note),
            }
        }
    }

    /// A connection that is gone is told nothing.
    fn to(&self, conn: ConnId, tell: impl FnOnce(&Mailbox)) {
        if let Some(mailbox) = self.mailboxes.get(&conn) {
            tell(mailbox);
        }
    }
}

impl Handle {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Message>, mpsc::Receiver<Input>) {
        let (messages, message_receiver) = mpsc::channel(LINES_WAITING_MAX);
        let (orders, order_receiver) = mpsc::channel(ORDERS_WAITING_MAX);
        let last_conn = Arc::new(AtomicU64::new(0));
        (Self { messages, orders, last_conn }, message_receiver, order_receiver)
    }

    /// Tells the machine what happened in the world, and waits until there is room for it.
    ///
    /// # Errors
    ///
    /// [`Gone`]: the task has ended.
    pub async fn tell(&self, input: Input) -> Result<(), Gone> {
        self.orders.send(input).await.map_err(|_| Gone)
    }

    /// For those who only tell, and for threads that may not wait.
    pub fn teller(&self) -> Teller {
        Teller(self.orders.downgrade())
    }

    /// Lets a connection in, under a number of its own.
    pub(crate) async fn connected(
        &self,
        peer: Peer,
        mailbox: Arc<Mailbox>,
    ) -> Result<ConnId, Gone> {
        let conn = ConnId(self.last_conn.fetch_add(1, Ordering::Relaxed) + 1);
        self.send(Message::Connected(conn, peer, mailbox)).await?;
        Ok(conn)
    }

    /// Tells who a connection is, before its next line.
    pub(crate) async fn authenticated(
        &self,
        conn: ConnId,
        credential: Arc<Credential>,
    ) -> Result<(), Gone> {
        self.send(Message::Authenticated(conn, credential)).await
    }

    pub(crate) async fn line(&self, conn: ConnId, line: Line) -> Result<(), Gone> {
        self.send(Message::Line(conn, line)).await
    }

    /// Has to be called once for each connection that was let in.
    pub(crate) async fn lost(&self, conn: ConnId) -> Result<(), Gone> {
        self.send(Message::Lost(conn)).await
    }

    async fn send(&self, message: Message) -> Result<(), Gone> {
        self.messages.send(message).await.map_err(|_| Gone)
    }
}

impl Teller {
    /// Tells the machine what happened in the world, from any thread, and waits until there is
    /// room for it.
    ///
    /// # Errors
    ///
    /// [`Gone`]: the task has ended.
    pub async fn tell(&self, input: Input) -> Result<(), Gone> {
        self.0.upgrade().ok_or(Gone)?.send(input).await.map_err(|_| Gone)
    }

    /// As [`Teller::tell`], at once or not at all.
    ///
    /// # Errors
    ///
    /// [`Gone`]: the task has ended, or there is no room.
    pub fn try_tell(&self, input: Input) -> Result<(), Gone> {
        self.0.upgrade().ok_or(Gone)?.try_send(input).map_err(|_| Gone)
    }
}

fn dialect(version: Version) -> Dialect {
    match version {
        Version::V1 => Dialect::V1,
        Version::V2 => Dialect::V2,
    }
}

/// In the words of the protocol's manual, which has `[registry]` before each line.
fn log(note: &Note) {
    if note.is_warning() {
        tracing::warn!(target: "registry", "[registry] {note}");
    } else {
        tracing::info!(target: "registry", "[registry] {note}");
    }
}
