//! One deployment, from the file to its end.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use package::{Limits, Manifest, Package};
use tokio::sync::mpsc;

use crate::deployer::Settings;
use crate::failed::Failed;
use crate::heard::Heard;
use crate::host::Host;
use crate::known::{known, shows_others};
use crate::plan::{Plan, Task};
use crate::ssh::{Ended, SSH_FAILED, Way, Went};
use crate::step::{Progress, Step, Subject};

/// Messages that wait for a slow reader. More than a deployment has; what does not fit is lost, and
/// never waited for.
pub(crate) const WAITING_MAX: usize = 64;

/// Lines of each log in the message of the end.
const WORDS_SHOWN_MAX: usize = 3;

/// The script changed nothing and says why.
const REFUSED: i32 = 5;
/// It went back.
const ROLLED_BACK: i32 = 3;
/// It could not go back.
const BROKEN: i32 = 4;

/// What is deployed where.
pub(crate) struct Job {
    pub(crate) settings: Arc<Settings>,
    pub(crate) host: Host,
    pub(crate) file: PathBuf,
    pub(crate) progress: mpsc::Sender<Progress>,
    /// Told with every step, once the archive was read.
    pub(crate) subject: OnceLock<Subject>,
}

impl Job {
    /// Carries it out, and tells the end.
    ///
    /// # Errors
    ///
    /// [`Failed`]: the same that was told.
    pub(crate) async fn run(self) -> Result<Manifest, Failed> {
        let ended = self.carry_out().await;
        match &ended {
            Ok(package) => {
                let runs = format!("{} runs on {}", package.manifest.folder(), self.host.name);
                tracing::info!(host = self.host.name, "deployed: {runs}");
                self.tell(Step::Done, runs);
            }
            Err(failed) => {
                tracing::warn!(host = self.host.name, file = %self.file.display(), "not deployed: {failed}");
                self.tell(failed.step(), failed.to_string());
            }
        }
        ended.map(|package| package.manifest)
    }

    async fn carry_out(&self) -> Result<Package, Failed> {
        self.tell(Step::Check, format!("reading {}", self.file.display()));
        let (path, limits) = (self.file.clone(), self.settings.limits);
        let checked = tokio::task::spawn_blocking(move || check(&path, &limits)).await;
        let (package, archive) = checked.map_err(io::Error::other)??;
        let bytes = archive.metadata()?.len();
        let folder = package.manifest.folder();
        let (name, version) = (&package.manifest.name, &package.manifest.version);
        let (name, version) = (name.as_str().to_owned(), version.as_str().to_owned());
        let _ = self.subject.set(Subject { name, version });

        let host = &self.host;
        self.tell(Step::Connect, format!("{}, port {}", host.address, host.port));
        let times = self.settings.times;
        let key = known(&self.settings.keyscan, host, times.connect).await?;
        let way = Way::new(&self.settings.ssh, host, key, times.connect)?;
        let id = id()?;
        let plan = Plan::new(&package, (&host.root, self.settings.keep), &id, bytes, times);

        for task in plan.preparations() {
            let message = match task.step {
                Step::Upload => format!("{folder}, {bytes} bytes"),
                _ => folder.clone(),
            };
            self.tell(task.step, message);
            if let Err(failed) = self.prepare(&way, &task, &archive).await {
                // Nothing was uploaded before the first answer.
                if task.step != Step::Requires {
                    self.in_passing(&way, &plan.discarding(), &archive).await;
                }
                return Err(failed);
            }
        }
        self.activate(&way, &plan, &folder, &archive).await?;
        self.tell(Step::Clean, format!("keeping {} old versions", self.settings.keep));
        self.in_passing(&way, &plan.cleaning(), &archive).await;
        Ok(package)
    }

    async fn prepare(&self, way: &Way<'_>, task: &Task, archive: &File) -> Result<(), Failed> {
        let mut why = None;
        let went = way.run(task, archive, |heard| {
            if let Heard::Why(text) = heard {
                why = Some(text);
            }
        });
        let went = went.await?;
        let status = match went.ended {
            Ended::TooSlow => return Err(Failed::TooSlow(task.step)),
            Ended::Status(0) => return Ok(()),
            Ended::Status(status) => status,
        };
        if let Some(why) = why {
            return Err(Failed::Refused(why));
        }
        if task.step == Step::Requires && went.doubts_host_key() {
            let (keyscan, limit) = (&self.settings.keyscan, self.settings.times.connect);
            let others = shows_others(keyscan, &self.host, way.key(), limit).await;
            return Err(others.unwrap_or_else(|| Failed::Ssh(complaint(&went, status))));
        }
        Err(Failed::Ssh(complaint(&went, status)))
    }

    async fn activate(
        &self,
        way: &Way<'_>,
        plan: &Plan,
        folder: &str,
        archive: &File,
    ) -> Result<(), Failed> {
        let (mut why, mut step) = (Why::default(), Step::Unpack);
        let task = plan.activation();
        let went = way.run(&task, archive, |heard| match heard {
            Heard::Step(next) => {
                step = next;
                let message =
                    if next == Step::Rollback { why.text.clone() } else { folder.to_owned() };
                self.tell(next, message);
            }
            Heard::LogOf(folder) => why.log_of(folder),
            Heard::Log(line) => {
                why.log(line.clone());
                self.tell(step, line);
            }
            Heard::Why(text) => why.text = text,
            Heard::Ended(_) => {}
        });
        let went = went.await;
        let lost = match went {
            Ok(Went { ended: Ended::Status(status), .. }) if is_outcome(status) => {
                if status != 0 {
                    self.in_passing(way, &plan.discarding(), archive).await;
                }
                return outcome(status, why);
            }
            Ok(Went { ended: Ended::TooSlow, .. }) => Failed::TooSlow(step).to_string(),
            Ok(went @ Went { ended: Ended::Status(status), .. }) => complaint(&went, status),
            Err(failed) => failed.to_string(),
        };
        self.settle(way, plan, archive, lost).await
    }

    /// Asks how it ended. The script on the host went on without us.
    async fn settle(
        &self,
        way: &Way<'_>,
        plan: &Plan,
        archive: &File,
        lost: String,
    ) -> Result<(), Failed> {
        let (mut status, mut why) = (None, Why::default());
        let task = plan.settlement();
        let went = way.run(&task, archive, |heard| match heard {
            Heard::Ended(said) => status = Some(said),
            Heard::Why(text) => why.text = text,
            Heard::LogOf(folder) => why.log_of(folder),
            Heard::Log(line) => why.log(line),
            Heard::Step(_) => {}
        });
        let Ok(Went { ended: Ended::Status(0), .. }) = went.await else {
            return Err(Failed::Unknown(lost));
        };
        match status {
            Some(status) if is_outcome(status) => {
                let said = outcome(status, why);
                tracing::info!(host = self.host.name, lost, "the connection broke; asked again");
                said
            }
            Some(_) | None => Err(Failed::Unknown(lost)),
        }
    }

    /// What changes nothing about the outcome.
    async fn in_passing(&self, way: &Way<'_>, task: &Task, archive: &File) {
        match way.run(task, archive, |_| {}).await {
            Ok(Went { ended: Ended::Status(0), .. }) => {}
            other => {
                tracing::warn!(host = self.host.name, ?other, "cannot tidy up after a deployment")
            }
        }
    }

    fn tell(&self, step: Step, message: String) {
        // A reader that is gone or slow changes nothing for the host.
        let subject = self.subject.get().cloned();
        let _ = self.progress.try_send(Progress { step, message, subject });
    }
}

/// Whether the script came to an end of its own, and says so.
const fn is_outcome(status: i32) -> bool {
    matches!(status, 0 | ROLLED_BACK | BROKEN | REFUSED)
}

/// Why a version does not run.
#[derive(Debug, Default)]
struct Why {
    text: String,
    /// Of the versions whose scripts failed, in the order they came. That of the new one goes with it.
    logs: Vec<Log>,
}

/// The end of the log of a version.
#[derive(Debug)]
struct Log {
    folder: String,
    lines: Vec<String>,
}

impl Why {
    /// What is logged from here on is of that folder.
    fn log_of(&mut self, folder: String) {
        // Of one log the later end holds the earlier one.
        self.logs.retain(|log| log.folder != folder);
        self.logs.push(Log { folder, lines: Vec::new() });
    }

    fn log(&mut self, line: String) {
        if let Some(log) = self.logs.last_mut() {
            log.lines.push(line);
        }
    }

    /// All in one line.
    fn shown(self) -> String {
        self.logs.into_iter().fold(self.text, |shown, Log { folder, mut lines }| {
            // A script that is tried again and again says the same.
            lines.dedup();
            match lines.get(lines.len().saturating_sub(WORDS_SHOWN_MAX)..) {
                None | Some([]) => shown,
                Some(last) => format!("{shown}; the log of {folder} ends: {}", last.join(" / ")),
            }
        })
    }
}

/// What such an end means.
fn outcome(status: i32, why: Why) -> Result<(), Failed> {
    match status {
        0 => Ok(()),
        ROLLED_BACK => Err(Failed::RolledBack(why.shown())),
        BROKEN => Err(Failed::Broken(why.shown())),
        _ => Err(Failed::Refused(why.shown())),
    }
}

/// Reads a package and writes it again into a file without a name: what is uploaded is only ever
/// what we wrote.
fn check(path: &std::path::Path, limits: &Limits) -> Result<(Package, File), Failed> {
    let file = File::open(path)?;
    let checked = tempfile::tempfile()?;
    let package = package::rewrite(file, limits, io::BufWriter::new(&checked))?;
    Ok((package, checked))
}

fn complaint(went: &Went, status: i32) -> String {
    match (went.complaints.as_str(), status) {
        ("", SSH_FAILED) => "the connection broke".to_owned(),
        ("", status) => format!("the command ended with status {status}"),
        (complaints, _) => complaints.to_owned(),
    }
}

/// Tells this deployment's files from those of any other.
fn id() -> io::Result<String> {
    let seed = runtime::entropy::seed()?;
    Ok(seed.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_with_whose_words_they_are() {
        #[rustfmt::skip]
        let table = [
            (&["!it failed"][..],                                  "it failed"),
            (&["<web-2", "!it failed"],                            "it failed"),
            (&[">greeting", "!it failed"],                         "it failed"),
            (&["<web-2", ">a", ">b", ">b", ">c", ">d", "!why"],    "why; the log of web-2 ends: b / c / d"),
            (&["<web-2", ">a", "!why", "<web-1", ">b", "!why"],    "why; the log of web-2 ends: a; the log of web-1 ends: b"),
            (&["!why", "<web-2", "<web-1", ">b"],                  "why; the log of web-1 ends: b"),
            (&["<web-1", ">a", ">b", "!x", "<web-1", ">a", ">b", "!y"], "y; the log of web-1 ends: a / b"),
        ];
        for (lines, wanted) in table {
            let mut why = Why::default();
            for heard in lines.iter().filter_map(|line| Heard::read(line)) {
                match heard {
                    Heard::Why(text) => why.text = text,
                    Heard::LogOf(folder) => why.log_of(folder),
                    Heard::Log(line) => why.log(line),
                    Heard::Step(_) | Heard::Ended(_) => panic!("{heard:?}"),
                }
            }
            assert_eq!(why.shown(), wanted, "{lines:?}");
        }
    }
}
