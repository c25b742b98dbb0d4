//! Deployments, carried out by somebody else.
//!
//! This crate knows how a deployment is asked for and how its steps are told; whoever has the
//! other end of the channel knows how it is done. Without anybody it is off.

use serde::Serialize;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::bounds::{DEPLOYMENTS_WAITING_MAX, PROGRESS_KEPT};

/// Where deployments are asked for. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Deployer {
    orders: mpsc::Sender<Deployment>,
    progress: broadcast::Sender<Progress>,
}

/// A deployment that somebody asked for.
#[derive(Debug)]
pub struct Deployment {
    /// The package, as the client names it: not looked at yet.
    pub package_path: String,
    /// Where to; `None`: wherever one is allowed.
    pub target_node: Option<String>,
    /// What came of it: what is answered as JSON text, or why not.
    pub answer: oneshot::Sender<Result<serde_json::Value, String>>,
}

/// Tells how a deployment goes on.
#[derive(Clone, Debug)]
pub struct ProgressSender(broadcast::Sender<Progress>);

/// A step of a deployment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Progress {
    /// The service that is deployed; the package as long as that is not known.
    pub service: String,
    /// Where to.
    pub target_node: String,
    /// Which step: `upload`, `start`, `health`.
    pub stage: String,
    /// How far, 0 to 100.
    pub percent: u8,
    /// For people.
    pub message: String,
    /// Which version, once that is known.
    pub version: Option<String>,
    /// The package, as whoever asked for it named it.
    pub package: String,
}

impl Deployer {
    /// Where to ask, and what carries out.
    pub fn new() -> (Self, mpsc::Receiver<Deployment>) {
        let (orders, waiting) = mpsc::channel(DEPLOYMENTS_WAITING_MAX);
        let (progress, _) = broadcast::channel(PROGRESS_KEPT);
        (Self { orders, progress }, waiting)
    }

    /// What all who subscribed are told with.
    pub fn listeners(&self) -> ProgressSender {
        ProgressSender(self.progress.clone())
    }

    /// Asks for a deployment; what came of it is there later. `None` if too many wait, or nobody
    /// carries them out any more.
    pub(crate) fn ask(
        &self,
        package_path: String,
        target_node: Option<String>,
    ) -> Option<oneshot::Receiver<Result<serde_json::Value, String>>> {
        let (answer, answered) = oneshot::channel();
        let order = Deployment { package_path, target_node, answer };
        self.orders.try_send(order).ok().map(|()| answered)
    }

    pub(crate) fn progress(&self) -> broadcast::Receiver<Progress> {
        self.progress.subscribe()
    }
}

impl ProgressSender {
    /// Tells a step. Never waits.
    pub fn tell(&self, progress: Progress) {
        // Nobody may be listening.
        let _ = self.0.send(progress);
    }
}
