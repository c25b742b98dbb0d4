//! A session held for as long as a program runs.

use std::sync::Arc;

use model::Request;
use tokio::sync::{mpsc, oneshot, watch};

use crate::builder::Builder;
use crate::shell::{self, Order};
use crate::{Address, ApplyError, AskError, Desired, Event, LinkConfig, Said, Status};

/// Orders that wait for the task, and events that wait for the program.
const ORDERS_MAX: usize = 64;
const EVENTS_MAX: usize = 256;

/// What a client tells its program. Bounded: who does not read them gets an [`Event::Missed`]
/// with their number later, and never holds up the client.
pub type Events = mpsc::Receiver<Event>;

/// A session with a registry, held by a task in the background. Clones share it; when the last
/// one is dropped it says goodbye.
#[derive(Clone, Debug)]
pub struct Client {
    orders: mpsc::Sender<Order>,
    status: watch::Receiver<Status>,
}

impl Client {
    /// A client of the registry at `address`.
    pub fn builder(address: Address) -> Builder {
        Builder::new(address)
    }

    pub(crate) fn start(address: Address, config: LinkConfig) -> (Self, Events) {
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let (event_sender, events) = mpsc::channel(EVENTS_MAX);
        let (status_sender, status) = watch::channel(Status::Connecting);
        let connect = move || {
            let address = address.clone();
            async move { address.open().await }
        };
        tokio::spawn(shell::run(config, connect, inbox, event_sender, status_sender));
        (Self { orders, status }, events)
    }

    /// Makes this live instead of what was live before, in one step, and keeps it so: it is
    /// replayed whenever the session is lost. Waits while the registry is away; put a limit of
    /// time around it if that is too long (the proposal then stands all the same).
    ///
    /// # Errors
    ///
    /// [`ApplyError`]; then what was accepted before stays.
    pub async fn apply(&self, desired: Desired) -> Result<(), ApplyError> {
        let (answer, answered) = oneshot::channel();
        let order = Order::Apply(Arc::new(desired), answer);
        self.orders.send(order).await.map_err(|_| ApplyError::Ended)?;
        answered.await.unwrap_or(Err(ApplyError::Ended))
    }

    /// Sends one command about this session and gives its answer, which may be an `ERROR`.
    ///
    /// What is staged this way goes live with whichever apply comes next, and is not replayed.
    ///
    /// # Errors
    ///
    /// [`AskError`]; it says whether something was sent.
    pub async fn request(&self, request: Request) -> Result<Said, AskError> {
        let (answer, answered) = oneshot::channel();
        let order = Order::Ask(request, answer);
        self.orders.send(order).await.map_err(|_| AskError::Ended)?;
        answered.await.unwrap_or(Err(AskError::Ended))
    }

    /// How things stand, and every change of it.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Says goodbye, so that the routes go at once, and ends the client for all its clones. True
    /// if the server took the goodbye; if not, it keeps the routes for its grace.
    pub async fn shutdown(self) -> bool {
        let (answer, answered) = oneshot::channel();
        match self.orders.send(Order::Shutdown(answer)).await {
            Ok(()) => answered.await.unwrap_or(false),
            Err(_) => false,
        }
    }
}
