//! When a file may have changed.
//!
//! The folder is watched and not the file: editors and Kubernetes replace files by renaming. Where
//! the path leads through links, the folder of each link is watched too. What no notice comes for,
//! on a network file system for one, is found by looking every few seconds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Between looks without a notice.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Links that are followed.
const LINKS_MAX: usize = 16;

/// Watches folders.
#[derive(Debug)]
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    noticed: Arc<Notify>,
    tick: Interval,
}

impl Watch {
    /// Watches nothing yet. Where the system has no notices left there are looks alone.
    pub(crate) fn new() -> Self {
        let noticed = Arc::new(Notify::new());
        let notice = Arc::clone(&noticed);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| is_change(event.kind)) {
                notice.notify_one();
            }
        });
        let watcher = watcher
            .inspect_err(
                |error| tracing::info!(%error, "backends files are looked at by time only"),
            )
            .ok();
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { watcher, folders: BTreeSet::new(), noticed, tick }
    }

    /// Watches these folders, and no others. One that was not watched until now may have changed
    /// since it was looked at: that counts as a notice.
    pub(crate) fn follow(&mut self, folders: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for folder in self.folders.difference(&folders) {
            // It may be gone.
            drop(watcher.unwatch(folder));
        }
        let held = std::mem::take(&mut self.folders);
        for folder in folders {
            if held.contains(&folder) {
                self.folders.insert(folder);
            } else if watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok() {
                self.folders.insert(folder);
                self.noticed.notify_one();
            }
            // One that cannot be watched, or not yet, is tried again at the next look.
        }
    }

    /// Until something may have changed. Cancelling it loses nothing.
    pub(crate) async fn changed(&mut self) {
        tokio::select! {
            () = self.noticed.notified() => {}
            _ = self.tick.tick() => {}
        }
    }
}

/// That a file is read is no news, least of all that we read it.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

/// The folders in which something may happen that changes what a path leads to.
pub(crate) fn folders(path: &Path) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    let mut ahead = vec![path.to_owned()];
    for _ in 0..LINKS_MAX {
        let Some(path) = ahead.pop() else { break };
        let mut whole = PathBuf::new();
        let mut parts = path.components();
        while let Some(part) = parts.next() {
            let folder =
                if whole.as_os_str().is_empty() { PathBuf::from(".") } else { whole.clone() };
            whole.push(part);
            if parts.as_path().as_os_str().is_empty() {
                folders.insert(folder.clone());
            }
            if let Ok(link) = std::fs::read_link(&whole) {
                folders.insert(folder.clone());
                ahead.push(folder.join(link).join(parts.as_path()));
                break;
            }
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// What happened between the first look and the first notice is looked for at once.
    #[tokio::test]
    async fn a_folder_that_is_new_counts_as_a_notice() {
        let home = tempfile::tempdir().unwrap();
        let mut watch = Watch::new();
        watch.changed().await;
        watch.follow(BTreeSet::from([home.path().to_owned()]));
        let at_once = LOOK_EVERY / 2;
        tokio::time::timeout(at_once, watch.changed()).await.expect("a notice");
        watch.follow(BTreeSet::from([home.path().to_owned()]));
        assert!(tokio::time::timeout(at_once / 10, watch.changed()).await.is_err(), "no news");
    }

    #[test]
    fn every_folder_with_a_link_on_the_way() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        for folder in ["etc", "mnt/..2026", "mnt/..2027"] {
            std::fs::create_dir_all(home.join(folder)).unwrap();
        }
        std::fs::write(home.join("mnt/..2026/file"), "").unwrap();
        symlink("..2026", home.join("mnt/..data")).unwrap();
        symlink("..data/file", home.join("mnt/file")).unwrap();
        symlink(home.join("mnt/file"), home.join("etc/file")).unwrap();
        symlink("loop", home.join("etc/loop")).unwrap();
        #[rustfmt::skip]
        let table: &[(&str, &[&str])] = &[
            ("mnt/..2026/file", &["mnt/..2026"]),
            ("mnt/file",        &["mnt", "mnt/..2026"]),
            ("etc/file",        &["etc", "mnt", "mnt/..2026"]),
            ("etc/absent",      &["etc"]),
            ("etc/loop",        &["etc"]),
        ];
        for (path, want) in table {
            let found = folders(&home.join(path));
            let want = want.iter().map(|folder| home.join(folder)).collect();
            assert_eq!(found, want, "{path}");
        }
        assert_eq!(folders(Path::new("absent")), BTreeSet::from([PathBuf::from(".")]));
    }
}
