//! The task that owns the catalog.

use std::sync::Arc;

use catalog::{Catalog, Config, Image, Record, View};
use runtime::{Clock, Snapshot};
use store::CatalogRows;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::handle::{Job, Then, WAITING_MAX};
use crate::{ChangeError, Feed, Handle};

/// Changes that are saved together.
const TOGETHER_MAX: usize = 128;

/// Starts the task, with what was remembered. It ends when the last handle is gone.
pub fn start(
    config: Config,
    seed: [u8; 32],
    image: Image,
    rows: CatalogRows,
    feed: Feed,
    clock: Clock,
) -> (Handle, JoinHandle<()>) {
    let mut catalog = Catalog::new(config, seed);
    catalog.restore(image, clock.now());
    let (jobs, waiting) = mpsc::channel(WAITING_MAX);
    let view = Snapshot::new(Arc::new(catalog.view().clone()));
    let (tell, seq) = watch::channel(catalog.view().seq());
    let task = Task { catalog, rows, feed, clock, view: view.clone(), tell, unsaved: Vec::new() };
    let task = tokio::spawn(task.run(waiting));
    (Handle { jobs, view, seq }, task)
}

struct Task {
    catalog: Catalog,
    rows: CatalogRows,
    feed: Feed,
    clock: Clock,
    view: Snapshot<View>,
    tell: watch::Sender<u64>,
    /// What happened by itself and is not on the disk yet, the end of heartbeats for one.
    unsaved: Vec<Record>,
}

impl Task {
    async fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        loop {
            let mut jobs = Vec::new();
            tokio::select! {
                count = waiting.recv_many(&mut jobs, TOGETHER_MAX) => {
                    if count == 0 {
                        return;
                    }
                }
                () = self.feed.is_there() => {}
                () = self.clock.sleep_until(self.catalog.next_deadline()) => {}
            }
            self.happen();
            if !jobs.is_empty() || !self.unsaved.is_empty() {
                self.carry_out(jobs).await;
            }
        }
    }

    /// What waits for nobody's disk.
    fn happen(&mut self) {
        let now = self.clock.now();
        self.feed.take(&mut self.catalog, now);
        self.catalog.expire(now);
        self.unsaved.append(&mut self.catalog.take_records());
        self.show();
    }

    async fn carry_out(&mut self, jobs: Vec<Job>) {
        let now = self.clock.now();
        let mut next = self.catalog.clone();
        let thens: Vec<Then> = jobs.into_iter().map(|job| job(&mut next, now)).collect();
        let mut records = std::mem::take(&mut self.unsaved);
        let kept = records.len();
        records.append(&mut next.take_records());
        let saved = if records.is_empty() {
            Ok(())
        } else {
            self.rows.write(records.clone()).await.map_err(|error| error.to_string())
        };
        match saved {
            Ok(()) => {
                self.catalog = next;
                self.show();
            }
            Err(ref error) => {
                tracing::error!(%error, "a change of the catalog cannot be saved");
                records.truncate(kept);
                self.unsaved = records;
            }
        }
        let saved = saved.map_err(ChangeError::Unsaved);
        thens.into_iter().for_each(|then| then(saved.clone()));
    }

    fn show(&self) {
        self.view.store(Arc::new(self.catalog.view().clone()));
        let seq = self.catalog.view().seq();
        self.tell.send_if_modified(|told| std::mem::replace(told, seq) != seq);
    }
}
