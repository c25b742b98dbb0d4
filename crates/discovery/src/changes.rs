//! What happens in the catalog, one after the other, for one reader.

use std::collections::VecDeque;
use std::sync::Arc;

use catalog::{Change, View};
use runtime::Snapshot;
use tokio::sync::watch;

/// The reader was too slow, or asked for what never happened: it has to read the whole catalog
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("changes after number {0} are not known any more")]
pub struct Missed(pub u64);

/// The changes after a certain one. The catalog keeps the newest ones for everybody, so a slow
/// reader costs nothing.
#[derive(Debug)]
pub struct Changes {
    view: Snapshot<View>,
    seq: watch::Receiver<u64>,
    at: u64,
    waiting: VecDeque<Arc<Change>>,
}

impl Changes {
    pub(crate) fn new(view: Snapshot<View>, seq: watch::Receiver<u64>, at: u64) -> Self {
        Self { view, seq, at, waiting: VecDeque::new() }
    }

    /// The next change, as soon as there is one; `None` when proxyd ends. Cancelling it loses
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`Missed`], and again each time.
    pub async fn next(&mut self) -> Result<Option<Arc<Change>>, Missed> {
        loop {
            if let Some(change) = self.next_at_hand() {
                return Ok(Some(change));
            }
            self.seq.borrow_and_update();
            let view = self.view.load();
            let changes = view.changes_after(self.at).ok_or(Missed(self.at))?;
            // A part of them at a time: they are kept here while the reader is busy.
            self.waiting.extend(changes.take(64).cloned());
            if self.waiting.is_empty() && self.seq.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// The next change, if it was fetched along with the last one: for whoever does the same after
    /// many as after one.
    pub fn next_at_hand(&mut self) -> Option<Arc<Change>> {
        let change = self.waiting.pop_front()?;
        self.at = change.seq;
        Some(change)
    }
}
