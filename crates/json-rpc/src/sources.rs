//! What files, the environment and proxyd itself say goes into the catalog from here.
//!
//! The file is read again when it changes, and taken as a whole or not at all: while it is missing
//! or broken, what it said before stands.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use catalog::{Refusal, Source};
use discovery::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use crate::Entry;
use crate::backends_file::{BackendsError, content, parse};
use crate::watch::{Watch, folders};

/// A file that is still being written is read again after this pause, so often at most.
const REST: Duration = Duration::from_millis(100);
const RESTS_MAX: usize = 50;
/// Reloads that may wait.
const RELOADS_MAX: usize = 16;

type Answer = oneshot::Sender<Result<usize, String>>;

/// Asks for the file to be read again. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reload(mpsc::Sender<Answer>);

impl Reload {
    /// How many backends the file has now, or why it was not taken.
    ///
    /// # Errors
    ///
    /// Why, for a person.
    pub async fn ask(&self) -> Result<usize, String> {
        let ended = |_| "proxyd is ending".to_owned();
        let (answer, answered) = oneshot::channel();
        self.0.send(answer).await.map_err(|_| ended(()))?;
        answered.await.map_err(|_| ended(()))?
    }
}

/// Everything that is not said over a connection.
#[derive(Debug)]
pub(crate) struct Sources {
    handle: Handle,
    path: Option<PathBuf>,
    environment: Vec<Entry>,
    own: Option<Entry>,
    /// What was in the file when it was looked at last.
    seen: Option<Result<String, BackendsError>>,
    /// Whether it was ever taken.
    is_taken: bool,
    asked: mpsc::Receiver<Answer>,
}

impl Sources {
    pub(crate) fn new(
        path: Option<PathBuf>,
        environment: Vec<Entry>,
        own: Option<Entry>,
        handle: Handle,
    ) -> (Self, Reload) {
        let (ask, asked) = mpsc::channel(RELOADS_MAX);
        let seen = None;
        (Self { handle, path, environment, own, seen, is_taken: false, asked }, Reload(ask))
    }

    /// Says everything for the first time.
    pub(crate) async fn begin(&mut self) {
        let environment = std::mem::take(&mut self.environment);
        if let Err(error) = put_all(&self.handle, Source::Env, environment).await {
            tracing::error!(%error, "backends of the environment are not in the catalog");
        }
        let own = self.own.take();
        let put = self.handle.change(move |catalog, now| match &own {
            Some(own) => catalog.put(own.identity(), Source::Auto, own.facts(), now),
            None => Ok(()),
        });
        if let Err(error) = flat(put.await) {
            tracing::error!(%error, "proxyd's own entry is not in the catalog");
        }
        if let Some(path) = self.path.clone() {
            let (_, found) = look(&path).await;
            self.take(&path, found).await;
        }
    }

    /// Reads the file whenever it changes or somebody asks for it.
    pub(crate) async fn run(mut self) {
        let Some(path) = self.path.clone() else {
            while let Some(answer) = self.asked.recv().await {
                let _ = answer.send(Err("no backends file is configured".to_owned()));
            }
            return;
        };
        let mut watch = Watch::new();
        loop {
            tokio::select! {
                answer = self.asked.recv() => {
                    let Some(answer) = answer else { return };
                    let (_, found) = look(&path).await;
                    // Whoever is gone does not want to know.
                    let _ = answer.send(self.reload(&path, found).await);
                }
                () = watch.changed() => {
                    let (folders, found) = look(&path).await;
                    watch.follow(folders);
                    if self.seen.as_ref() != Some(&found) {
                        let found = rested(&path, found).await;
                        self.take(&path, found).await;
                    }
                }
            }
        }
    }

    /// Takes what was found, and tells the log.
    async fn take(&mut self, path: &Path, found: Result<String, BackendsError>) {
        if self.seen.as_ref() == Some(&found) {
            return;
        }
        let was_taken = self.is_taken;
        let is_missing = matches!(found, Err(BackendsError::Missing(_)));
        match self.reload(path, found).await {
            Ok(count) if is_missing => {
                tracing::debug!(path = %path.display(), count, "no backends file yet");
            }
            Ok(count) => tracing::info!(path = %path.display(), count, "backends file read"),
            Err(error) if was_taken => {
                tracing::warn!(%error, "backends stay as they were until their file is good");
            }
            Err(error) => tracing::warn!(%error, "no backends until their file is good"),
        }
    }

    /// Takes what was found; gives how many backends there are.
    async fn reload(
        &mut self,
        path: &Path,
        found: Result<String, BackendsError>,
    ) -> Result<usize, String> {
        self.seen = Some(found.clone());
        let text = match found {
            Ok(text) => text,
            // A file that never was is one without backends.
            Err(BackendsError::Missing(_)) if !self.is_taken => return Ok(0),
            Err(error) => return Err(error.to_string()),
        };
        let entries = parse(path, &text).map_err(|error| error.to_string())?;
        let count = entries.len();
        if let Err(error) = put_all(&self.handle, Source::File, entries).await {
            // A full disk says nothing about the file: it is tried again.
            self.seen = None;
            return Err(error);
        }
        self.is_taken = true;
        Ok(count)
    }
}

async fn put_all(handle: &Handle, source: Source, entries: Vec<Entry>) -> Result<(), String> {
    let entries = entries.into_iter().map(|entry| (entry.identity().clone(), entry.facts()));
    let entries: Vec<_> = entries.collect();
    let put = handle.change(move |catalog, now| catalog.put_all(source, entries.clone(), now));
    flat(put.await.map(|put| put.map(|_| ())))
}

fn flat(put: Result<Result<(), Refusal>, discovery::ChangeError>) -> Result<(), String> {
    put.map_err(|error| error.to_string())?.map_err(|refusal| refusal.to_string())
}

/// What is in the file, and where that may change.
async fn look(path: &Path) -> (BTreeSet<PathBuf>, Result<String, BackendsError>) {
    let (path, of) = (path.to_owned(), path.to_owned());
    let looking = tokio::task::spawn_blocking(move || (folders(&path), content(&path)));
    looking.await.unwrap_or_else(|_| {
        let why = "reading was broken off".to_owned();
        (BTreeSet::new(), Err(BackendsError::Read { path: of, why }))
    })
}

/// What is in the file when nobody writes to it any more.
async fn rested(
    path: &Path,
    mut found: Result<String, BackendsError>,
) -> Result<String, BackendsError> {
    for _ in 0..RESTS_MAX {
        sleep(REST).await;
        let (_, again) = look(path).await;
        if std::mem::replace(&mut found, again) == found {
            break;
        }
    }
    found
}
