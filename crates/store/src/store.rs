//! The writer thread, and the handles of those who use it.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use model::{Batch, Image, Record};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::acme::Acme;
use crate::ask::{Asked, Asking};
use crate::catalog::CatalogRows;
use crate::database::Database;
use crate::history::{self, HistoryBounds, HistoryEntry, Recent};
use crate::schema::OpenError;
use crate::write::Writer;

/// Batches that may wait for the writer. Who finds it full waits for a report before the next one.
pub const WAITING_MAX: usize = 1024;
/// Batches that share one transaction.
const GROUP_MAX: usize = 256;
/// Questions that are answered between two transactions.
const QUESTIONS_MAX: usize = 4;
/// How long a batch nobody waits for may wait for company (SPEC 8).
const WRITE_BEHIND: Duration = Duration::from_millis(50);
/// Entries of history that one question is answered with.
const HISTORY_PAGE_MAX: usize = 1000;

/// The fate of one batch: its number, and whether it is durable, or why it never will be.
pub type Report = (u64, Result<(), String>);

/// A store, in the hands of the one that writes to it.
///
/// Dropping it writes what was handed in, but nobody waits for that: see [`Store::close`].
#[derive(Debug)]
pub struct Store {
    kind: Kind,
    /// Batches without a report, oldest first; the writer keeps their order.
    unreported: VecDeque<u64>,
}

#[derive(Debug)]
enum Kind {
    Thread { jobs: mpsc::Sender<Job>, reports: mpsc::Receiver<Report>, thread: JoinHandle<()> },
    Memory(Arc<Mutex<Recent>>),
}

pub(crate) enum Job {
    Write(Batch),
    Ask(Asked),
    History { limit: usize, answer: oneshot::Sender<Result<Vec<HistoryEntry>, String>> },
}

/// Reads history. Cheap to clone; does not keep the store open.
#[derive(Clone, Debug)]
pub struct History(Source);

#[derive(Clone, Debug)]
enum Source {
    Thread(mpsc::WeakSender<Job>),
    Memory(Arc<Mutex<Recent>>),
}

/// Why there is no history to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The writer has too much to do; asking again may help.
    #[error("the store is busy, try again")]
    Busy,
    /// It cannot be read.
    #[error("history cannot be read: {0}")]
    Unreadable(String),
}

impl Store {
    /// Opens the file at `path`, or makes one, and reads everything. Blocks: call it before the
    /// runtime starts.
    ///
    /// # Errors
    ///
    /// [`OpenError`], saying what to do.
    pub fn open(path: &Path, history: HistoryBounds) -> Result<(Self, Image), OpenError> {
        let database = Database::open(path)?;
        let image = database.load()?;
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let (done, reports) = mpsc::channel(WAITING_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(OpenError::Thread)?;
        let thread = std::thread::Builder::new()
            .name("proxyd-store".to_owned())
            .spawn(move || runtime.block_on(run(&database, history, waiting, done)))
            .map_err(OpenError::Thread)?;
        let kind = Kind::Thread { jobs, reports, thread };
        Ok((Self { kind, unreported: VecDeque::new() }, image))
    }

    /// A store that forgets everything with the process: each batch is durable at once.
    pub fn memory() -> Self {
        Self { kind: Kind::Memory(Arc::default()), unreported: VecDeque::new() }
    }

    /// Hands in a batch. Exactly one [`Report`] will follow.
    ///
    /// # Errors
    ///
    /// The batch, if [`WAITING_MAX`] wait already: hand it in again after the next report.
    pub fn submit(&mut self, batch: Batch) -> Result<(), Batch> {
        let seq = batch.seq;
        match &self.kind {
            Kind::Memory(history) => remember(history, &batch),
            Kind::Thread { jobs, .. } => match jobs.try_send(Job::Write(batch)) {
                Err(TrySendError::Full(Job::Write(batch))) => return Err(batch),
                // Of a writer that died, `reported` tells.
                Ok(()) | Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {}
            },
        }
        self.unreported.push_back(seq);
        Ok(())
    }

    /// The next report, in the order of the batches. Cancelling it loses none; without a batch
    /// under way it waits for ever.
    pub async fn reported(&mut self) -> Report {
        let report = match &mut self.kind {
            Kind::Thread { reports, .. } => reports.recv().await,
            Kind::Memory(_) => self.unreported.front().map(|seq| (*seq, Ok(()))),
        };
        let oldest = self.unreported.pop_front();
        match (report, oldest) {
            (Some(report), _) => report,
            (None, Some(seq)) => (seq, Err("not saved: the store has ended".to_owned())),
            (None, None) => std::future::pending().await,
        }
    }

    /// Batches without a report.
    pub fn unreported(&self) -> usize {
        self.unreported.len()
    }

    /// Reads history, from anywhere.
    pub fn history(&self) -> History {
        History(match &self.kind {
            Kind::Thread { jobs, .. } => Source::Thread(jobs.downgrade()),
            Kind::Memory(history) => Source::Memory(history.clone()),
        })
    }

    /// What is remembered about certificate authorities, to be read and written from anywhere.
    pub fn acme(&self) -> Acme {
        Acme(self.asking())
    }

    /// What is remembered of the catalog, to be read and written from anywhere.
    pub fn catalog(&self) -> CatalogRows {
        CatalogRows(self.asking())
    }

    fn asking(&self) -> Asking {
        Asking(match &self.kind {
            Kind::Thread { jobs, .. } => Some(jobs.downgrade()),
            Kind::Memory(_) => None,
        })
    }

    /// Writes what was handed in and closes the file. Blocks: call it after the runtime ended.
    ///
    /// # Errors
    ///
    /// The writer died before; what it had reported is safe.
    pub fn close(self) -> io::Result<()> {
        match self.kind {
            Kind::Memory(_) => Ok(()),
            Kind::Thread { jobs, reports, thread } => {
                drop((jobs, reports));
                thread.join().map_err(|_| io::Error::other("the writer of the store died"))
            }
        }
    }
}

impl History {
    /// The newest entries, newest first, at most a thousand.
    ///
    /// # Errors
    ///
    /// [`HistoryError`].
    pub async fn newest(&self, limit: usize) -> Result<Vec<HistoryEntry>, HistoryError> {
        let limit = limit.min(HISTORY_PAGE_MAX);
        let jobs = match &self.0 {
            Source::Memory(history) => {
                let history = history.lock().unwrap_or_else(PoisonError::into_inner);
                return Ok(history.newest(limit));
            }
            Source::Thread(jobs) => jobs.upgrade().ok_or(HistoryError::Closed)?,
        };
        let (answer, answered) = oneshot::channel();
        jobs.try_send(Job::History { limit, answer }).map_err(|refused| match refused {
            TrySendError::Full(_) => HistoryError::Busy,
            TrySendError::Closed(_) => HistoryError::Closed,
        })?;
        drop(jobs);
        let answer = answered.await.map_err(|_| HistoryError::Closed)?;
        answer.map_err(HistoryError::Unreadable)
    }
}

fn remember(history: &Mutex<Recent>, batch: &Batch) {
    let mut history = history.lock().unwrap_or_else(PoisonError::into_inner);
    for record in &batch.records {
        if let Record::History(row) = record {
            history.add(HistoryEntry::of(row));
        }
    }
}

/// The writer: until nobody can hand in anything more.
async fn run(
    database: &Database,
    bounds: HistoryBounds,
    mut jobs: mpsc::Receiver<Job>,
    reports: mpsc::Sender<Report>,
) {
    let mut writer = match Writer::new(&database.connection, bounds) {
        Ok(writer) => writer,
        Err(error) => return tracing::error!(%error, "the store cannot be written to"),
    };
    let mut group = Vec::new();
    let mut questions = Vec::new();
    let mut is_failing = false;
    while next_group(&mut jobs, &mut group, &mut questions).await {
        if !group.is_empty() {
            let results = writer.write(&group);
            for (batch, result) in group.drain(..).zip(results) {
                let result = result.map_err(|error| error.to_string());
                tell_once(&mut is_failing, &result);
                // Whoever is gone does not want to know.
                drop(reports.send((batch.seq, result)).await);
            }
        }
        for question in questions.drain(..) {
            match question {
                Question::History(limit, answer) => {
                    let entries = history::newest(&database.connection, limit);
                    drop(answer.send(entries.map_err(|error| error.to_string())));
                }
                Question::Ask(asked) => asked(&database.connection),
            }
        }
    }
}

/// A full disk fails every command that comes: the log has it when it begins and when it ends.
fn tell_once(is_failing: &mut bool, result: &Result<(), String>) {
    let was_failing = std::mem::replace(is_failing, result.is_err());
    match result {
        Err(error) if !was_failing => tracing::error!(%error, "changes cannot be saved"),
        Ok(()) if was_failing => tracing::warn!("changes are saved again"),
        Ok(()) | Err(_) => {}
    }
}

/// What is done between two transactions.
enum Question {
    History(usize, oneshot::Sender<Result<Vec<HistoryEntry>, String>>),
    Ask(Asked),
}

/// Waits for work and takes all of it that waits. `false` when there will be none.
async fn next_group(
    jobs: &mut mpsc::Receiver<Job>,
    group: &mut Vec<Batch>,
    questions: &mut Vec<Question>,
) -> bool {
    let Some(job) = jobs.recv().await else { return false };
    let mut hurry = take(job, group, questions);
    let company = async {
        while !hurry && group.len() < GROUP_MAX {
            let Some(job) = jobs.recv().await else { return };
            hurry = take(job, group, questions);
        }
    };
    // Cancelling `recv` loses nothing, and over time is as good as in time.
    drop(tokio::time::timeout(WRITE_BEHIND, company).await);
    while group.len() < GROUP_MAX
        && questions.len() < QUESTIONS_MAX
        && let Ok(job) = jobs.try_recv()
    {
        take(job, group, questions);
    }
    true
}

/// Whether somebody waits for it.
fn take(job: Job, group: &mut Vec<Batch>, questions: &mut Vec<Question>) -> bool {
    match job {
        Job::Write(batch) => {
            let urgent = batch.urgent;
            group.push(batch);
            urgent
        }
        Job::History { limit, answer } => {
            questions.push(Question::History(limit, answer));
            true
        }
        Job::Ask(asked) => {
            questions.push(Question::Ask(asked));
            true
        }
    }
}
