//! Questions to the writer thread, from anywhere, one after the other between two groups of
//! batches.

use std::fmt;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::store::Job;

/// Why something cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// It fails.
    #[error("the store fails: {0}")]
    Failed(String),
}

/// What the writer does for somebody. It has no transaction open then.
pub(crate) type Asked = Box<dyn FnOnce(&Connection) + Send>;

/// A way to ask. Cheap to clone; does not keep the store open. Without a writer there is a store
/// that forgets.
#[derive(Clone, Debug)]
pub(crate) struct Asking(pub(crate) Option<mpsc::WeakSender<Job>>);

impl Asking {
    /// Asks, and waits for the answer; `None` of a store that forgets.
    pub(crate) async fn ask<T, E>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<Option<T>, AskError>
    where
        T: Send + 'static,
        E: fmt::Display,
    {
        let Some(jobs) = &self.0 else { return Ok(None) };
        let jobs = jobs.upgrade().ok_or(AskError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let asked: Asked = Box::new(move |connection| {
            // Whoever is gone does not want to know.
            let _ = answer.send(question(connection).map_err(|error| error.to_string()));
        });
        jobs.send(Job::Ask(asked)).await.map_err(|_| AskError::Closed)?;
        drop(jobs);
        answered.await.map_err(|_| AskError::Closed)?.map_err(AskError::Failed).map(Some)
    }
}
