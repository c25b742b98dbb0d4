//! How a dialect asks and changes the catalog.

use std::sync::Arc;

use catalog::{Catalog, View};
use model::Now;
use runtime::Snapshot;
use tokio::sync::{mpsc, oneshot, watch};

use crate::Changes;

/// Changes that may wait for the task.
pub(crate) const WAITING_MAX: usize = 1024;

/// One change, for whoever asked for it.
pub(crate) trait Job: Send {
    /// Carries it out. Another time, if the first one cannot be saved along with others.
    fn run(&mut self, catalog: &mut Catalog, now: Now);

    /// Says whether it was saved.
    fn answer(self: Box<Self>, saved: Result<(), ChangeError>);
}

struct Change<F, R> {
    change: F,
    result: Option<R>,
    answer: oneshot::Sender<Result<R, ChangeError>>,
}

impl<R: Send, F: FnMut(&mut Catalog, Now) -> R + Send> Job for Change<F, R> {
    fn run(&mut self, catalog: &mut Catalog, now: Now) {
        // What was found before says nothing if it fails this time.
        self.result = None;
        self.result = Some((self.change)(catalog, now));
    }

    fn answer(self: Box<Self>, saved: Result<(), ChangeError>) {
        let Self { result, answer, .. } = *self;
        // Whoever is gone does not want to know.
        let _ = answer.send(saved.and_then(|()| result.ok_or(ChangeError::Failed)));
    }
}

/// Why a change did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// proxyd ends.
    #[error("proxyd is ending")]
    Ended,
    /// It cannot be saved.
    #[error("not saved: {0}")]
    Unsaved(String),
    /// A bug of ours.
    #[error("internal error: nothing was changed, and the log says more")]
    Failed,
}

/// Asks and changes the catalog. Cheap to clone; the task ends with the last one.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) jobs: mpsc::Sender<Box<dyn Job>>,
    pub(crate) view: Snapshot<View>,
    pub(crate) seq: watch::Receiver<u64>,
}

impl Handle {
    /// The catalog as it is.
    pub fn view(&self) -> Arc<View> {
        self.view.load()
    }

    /// The same for whoever only looks: the task does not wait for his end.
    pub fn shown(&self) -> Snapshot<View> {
        self.view.clone()
    }

    /// The same for whoever reads it all the time, from one thread.
    pub fn reader(&self) -> runtime::Reader<View> {
        self.view.reader()
    }

    /// Carries out a change, and waits until it is saved and shown. Changes are carried out one
    /// after the other, so what one of them finds in the catalog stays true until it ends. A
    /// refusal of the catalog is a result like any other. What cannot be saved along with other
    /// changes is carried out again alone, so that it is its own fault alone.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; then nothing has changed.
    pub async fn change<R, F>(&self, change: F) -> Result<R, ChangeError>
    where
        R: Send + 'static,
        F: FnMut(&mut Catalog, Now) -> R + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(Change { change, result: None, answer });
        self.jobs.send(job).await.map_err(|_| ChangeError::Ended)?;
        answered.await.map_err(|_| ChangeError::Ended)?
    }

    /// What happens from now on.
    pub fn changes(&self) -> Changes {
        let seq = self.view().seq();
        self.changes_after(seq)
    }

    /// What happened after the change of this number, and from now on.
    pub fn changes_after(&self, seq: u64) -> Changes {
        Changes::new(self.view.clone(), self.seq.clone(), seq)
    }
}
