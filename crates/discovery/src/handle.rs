//! How a dialect asks and changes the catalog.

use std::sync::Arc;

use catalog::{Catalog, View};
use model::Now;
use runtime::Snapshot;
use tokio::sync::{mpsc, oneshot, watch};

use crate::Changes;

/// Changes that may wait for the task.
pub(crate) const WAITING_MAX: usize = 1024;

/// What is done when a change was saved, or could not be.
pub(crate) type Then = Box<dyn FnOnce(Result<(), ChangeError>) + Send>;
/// One change.
pub(crate) type Job = Box<dyn FnOnce(&mut Catalog, Now) -> Then + Send>;

/// Why a change did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// proxyd ends.
    #[error("proxyd is ending")]
    Ended,
    /// It cannot be saved.
    #[error("not saved: {0}")]
    Unsaved(String),
}

/// Asks and changes the catalog. Cheap to clone; the task ends with the last one.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) jobs: mpsc::Sender<Job>,
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
    /// refusal of the catalog is a result like any other.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; then nothing has changed.
    pub async fn change<R, F>(&self, change: F) -> Result<R, ChangeError>
    where
        R: Send + 'static,
        F: FnOnce(&mut Catalog, Now) -> R + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |catalog, now| {
            let result = change(catalog, now);
            Box::new(move |saved| {
                // Whoever is gone does not want to know.
                let _ = answer.send(saved.map(|()| result));
            })
        });
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
