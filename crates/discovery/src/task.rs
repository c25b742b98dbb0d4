//! The task that owns the catalog.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use catalog::{Catalog, Config, Expired, Image, Record, View};
use model::Now;
use runtime::{Clock, Snapshot};
use store::CatalogRows;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::handle::{Job, WAITING_MAX};
use crate::{ChangeError, Feed, Handle};

/// Changes that are saved together.
const TOGETHER_MAX: usize = 128;
/// After a failure that would come again at once.
const PAUSE: Duration = Duration::from_secs(1);

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
    let (shown, unsaved) = (catalog.view().version(), Vec::new());
    let task = Task { catalog, rows, feed, clock, view: view.clone(), tell, shown, unsaved };
    let task = tokio::spawn(task.run(waiting));
    (Handle { jobs, view, seq }, task)
}

/// A program that is looked for later on was here, and fell silent.
fn tell_end(expired: &Expired, now: Now) {
    let Expired { identity, given, last_seen } = expired;
    let silent = last_seen.map(|at| Duration::from_millis(now.wall.0.saturating_sub(at.0)));
    tracing::info!(
        name = %identity.service,
        address = given.map(|given| tracing::field::display(given.address)),
        port = given.map(|given| given.port),
        peer = given.map(|given| tracing::field::display(given.peer)),
        silent = silent.map(tracing::field::debug),
        "a name has ended: no heartbeats"
    );
}

struct Task {
    catalog: Catalog,
    rows: CatalogRows,
    feed: Feed,
    clock: Clock,
    view: Snapshot<View>,
    tell: watch::Sender<u64>,
    /// The version that is shown.
    shown: u64,
    /// What happened by itself and is not on the disk yet, the end of heartbeats for one.
    unsaved: Vec<Record>,
}

impl Task {
    async fn run(mut self, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
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
            if !self.happen() {
                // What fails at once again would leave no time for anything else.
                tokio::time::sleep(PAUSE).await;
            }
            if !jobs.is_empty() || !self.unsaved.is_empty() {
                self.carry_out(jobs).await;
            }
        }
    }

    /// What waits for nobody's disk. Gives whether that went well.
    fn happen(&mut self) -> bool {
        let now = self.clock.now();
        let (mut next, mut expired) = (self.catalog.clone(), Vec::new());
        let went_well = unless_it_panics(|| {
            self.feed.take(&mut next, now);
            expired = next.expire(now);
        });
        if went_well {
            self.catalog = next;
            expired.iter().for_each(|expired| tell_end(expired, now));
            self.unsaved.append(&mut self.catalog.take_records());
            self.show();
        }
        went_well
    }

    /// All of them together, or, if that cannot be saved, each alone.
    async fn carry_out(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        let now = self.clock.now();
        let mut next = self.catalog.clone();
        for job in &mut jobs {
            attempt(job, &mut next, now);
        }
        let mut records = self.unsaved.clone();
        records.append(&mut next.take_records());
        match self.save(records).await {
            Ok(()) => {
                self.unsaved.clear();
                self.catalog = next;
                self.show();
                jobs.into_iter().for_each(|job| job.answer(Ok(())));
            }
            Err(error) => self.carry_out_alone(jobs, error).await,
        }
    }

    async fn carry_out_alone(&mut self, jobs: Vec<Box<dyn Job>>, error: String) {
        tracing::error!(%error, "changes of the catalog cannot be saved together");
        if !self.unsaved.is_empty() && self.save(self.unsaved.clone()).await.is_ok() {
            self.unsaved.clear();
        }
        for mut job in jobs {
            let now = self.clock.now();
            let mut next = self.catalog.clone();
            attempt(&mut job, &mut next, now);
            let records = next.take_records();
            let saved = self.save(records.clone()).await;
            match &saved {
                Ok(()) => {
                    // What was not saved before must not be saved over it later.
                    let is_older = |old: &Record| records.iter().any(|new| new.is_in_place_of(old));
                    self.unsaved.retain(|old| !is_older(old));
                    self.catalog = next;
                    self.show();
                }
                Err(error) => tracing::error!(%error, "a change of the catalog cannot be saved"),
            }
            job.answer(saved.map_err(ChangeError::Unsaved));
        }
    }

    async fn save(&self, records: Vec<Record>) -> Result<(), String> {
        if records.is_empty() {
            return Ok(());
        }
        self.rows.write(records).await.map_err(|error| error.to_string())
    }

    /// Shows the catalog, if it is to be seen in another way.
    fn show(&mut self) {
        let view = self.catalog.view();
        if view.version() == self.shown {
            return;
        }
        self.shown = view.version();
        self.view.store(Arc::new(view.clone()));
        let seq = view.seq();
        self.tell.send_if_modified(|told| std::mem::replace(told, seq) != seq);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the catalog has ended: nobody can change it; traffic goes on");
        }
    }
}

/// Carries a change out, or, if it fails, leaves everything as it was.
fn attempt(job: &mut Box<dyn Job>, catalog: &mut Catalog, now: Now) {
    let mut next = catalog.clone();
    if unless_it_panics(|| job.run(&mut next, now)) {
        *catalog = next;
    }
}

/// A bug in one change must not end the task that all dialects live by. What it has left behind is
/// a copy that is thrown away.
fn unless_it_panics(work: impl FnOnce()) -> bool {
    let went_well = catch_unwind(AssertUnwindSafe(work)).is_ok();
    if !went_well {
        tracing::error!("a change of the catalog has failed: this is a bug of proxyd");
    }
    went_well
}
