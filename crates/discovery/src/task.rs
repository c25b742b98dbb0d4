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

use crate::backlog::Backlog;
use crate::handle::{Job, WAITING_MAX};
use crate::{ChangeError, Feed, Handle};

/// Changes that are saved together.
const TOGETHER_MAX: usize = 128;
/// Of so many turns after which somebody waits again, names end after one nevertheless.
const RUSHES_MAX: u32 = 64;
/// A disk that takes so long to fail is in the way of all.
const BLOCKED: Duration = Duration::from_secs(1);
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
    let (shown, backlog) = (catalog.view().version(), Backlog::default());
    let view_of = view.clone();
    let task =
        Task { catalog, rows, feed, clock, view: view_of, tell, shown, backlog, is_failing: false };
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
    backlog: Backlog,
    /// Whether the last change could not be saved, so that this is said once.
    is_failing: bool,
}

impl Task {
    async fn run(mut self, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
        let mut rushes: u32 = 0;
        loop {
            let mut jobs = Vec::new();
            let (ends, retry) = (self.catalog.next_deadline(), self.backlog.due(self.clock.mono()));
            tokio::select! {
                biased;
                count = waiting.recv_many(&mut jobs, TOGETHER_MAX) => {
                    if count == 0 {
                        return;
                    }
                }
                () = self.feed.is_there() => {}
                () = self.clock.sleep_until(ends.into_iter().chain(retry).min()) => {}
            }
            self.hear();
            if !jobs.is_empty() {
                self.carry_out(jobs).await;
            }
            // Whoever waits may be about to beat: while the disk kept us, nobody was silent.
            rushes = if waiting.is_empty() { 0 } else { rushes.wrapping_add(1) };
            if rushes.is_multiple_of(RUSHES_MAX) && !self.expire() {
                // What fails at once again would leave no time for anything else.
                tokio::time::sleep(PAUSE).await;
            }
            if self.backlog.is_due(self.clock.mono()) {
                self.carry_out(Vec::new()).await;
            }
        }
    }

    /// What waits for nobody's disk.
    fn hear(&mut self) {
        let (now, news) = (self.clock.now(), self.feed.take());
        all_or_each(&mut self.catalog, &news, |catalog, news| news.tell(catalog, now));
        self.happened();
    }

    /// Ends what has ended. Gives whether that went well.
    fn expire(&mut self) -> bool {
        let now = self.clock.now();
        let expired = attempt(&mut self.catalog, |catalog| catalog.expire(now));
        for expired in expired.iter().flatten() {
            tell_end(expired, now);
        }
        self.happened();
        expired.is_some()
    }

    fn happened(&mut self) {
        self.backlog.add(self.catalog.take_records());
        self.show();
    }

    /// All of them together, or, if that cannot be saved, each alone.
    async fn carry_out(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        let now = self.clock.now();
        let mut next = self.catalog.clone();
        for job in &mut jobs {
            attempt(&mut next, |next| job.run(next, now));
        }
        let mut own = next.take_records();
        if own.is_empty() && !self.backlog.is_due(now.mono) {
            return self.accept(next, jobs);
        }
        let mut records = self.backlog.records().to_vec();
        records.append(&mut own);
        match self.save(records).await {
            Ok(()) => {
                self.backlog.saved();
                self.accept(next, jobs);
            }
            // Nothing else was tried.
            Err(_) if jobs.is_empty() => self.backlog.failed(self.clock.mono()),
            Err(_) => self.carry_out_alone(jobs).await,
        }
    }

    fn accept(&mut self, next: Catalog, jobs: Vec<Box<dyn Job>>) {
        self.catalog = next;
        self.show();
        jobs.into_iter().for_each(|job| job.answer(Ok(())));
    }

    /// What happened before goes first: on the disk nothing may be older than what is missing there.
    async fn carry_out_alone(&mut self, jobs: Vec<Box<dyn Job>>) {
        let mut before = self.save(self.backlog.records().to_vec()).await;
        match &before {
            Ok(()) => self.backlog.saved(),
            Err(_) => self.backlog.failed(self.clock.mono()),
        }
        for mut job in jobs {
            let now = self.clock.now();
            let mut next = self.catalog.clone();
            attempt(&mut next, |next| job.run(next, now));
            let records = next.take_records();
            let saved = match &before {
                Err(error) if !records.is_empty() => Err(error.clone()),
                Ok(()) | Err(_) => {
                    let began = self.clock.mono();
                    let saved = self.save(records).await;
                    // It is not about this one: all the others would wait as long.
                    if saved.is_err() && self.clock.mono().since(began) >= BLOCKED {
                        before.clone_from(&saved);
                    }
                    saved
                }
            };
            match saved {
                Ok(()) => self.accept(next, vec![job]),
                Err(error) => job.answer(Err(ChangeError::Unsaved(error))),
            }
        }
    }

    async fn save(&mut self, records: Vec<Record>) -> Result<(), String> {
        if records.is_empty() {
            return Ok(());
        }
        let saved = self.rows.write(records).await.map_err(|error| error.to_string());
        match &saved {
            Ok(()) if self.is_failing => tracing::info!("changes of the catalog are saved again"),
            Err(error) if !self.is_failing => {
                tracing::error!(%error, "changes of the catalog cannot be saved");
            }
            Ok(()) | Err(_) => {}
        }
        self.is_failing = saved.is_err();
        saved
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

/// Tells the catalog all of it, or, if that fails, whatever of it can be told.
fn all_or_each<T>(catalog: &mut Catalog, all: &[T], tell: impl Fn(&mut Catalog, &T)) {
    let told = attempt(catalog, |catalog| all.iter().for_each(|one| tell(catalog, one)));
    if told.is_none() {
        for one in all {
            attempt(catalog, |catalog| tell(catalog, one));
        }
    }
}

/// Changes the catalog, or, if that fails, leaves it as it was: a bug in one change must not end
/// the task that all dialects live by. What the bug has left behind is a copy that is thrown away.
fn attempt<R>(catalog: &mut Catalog, change: impl FnOnce(&mut Catalog) -> R) -> Option<R> {
    let mut next = catalog.clone();
    match catch_unwind(AssertUnwindSafe(|| change(&mut next))) {
        Ok(result) => {
            *catalog = next;
            Some(result)
        }
        Err(_) => {
            tracing::error!("a change of the catalog has failed: this is a bug of proxyd");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use catalog::{Facts, Identity, Source};

    use super::*;

    #[test]
    fn what_cannot_be_told_takes_nothing_along() {
        let mut catalog = Catalog::new(Config::default(), [7; 32]);
        all_or_each(&mut catalog, &["a", "bad", "c"], |catalog, name| {
            let name = Identity::alone(name).unwrap();
            catalog.put(&name, Source::File, Facts::default(), Now::default()).unwrap();
            assert_ne!(name.service.as_str(), "bad", "on purpose");
        });
        let names: Vec<_> =
            catalog.view().services().map(|service| service.name.to_string()).collect();
        assert_eq!((names, catalog.view().seq()), (vec!["a".into(), "c".into()], 2));
    }
}
