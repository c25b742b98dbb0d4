//! Pairs in files, read again when they change.
//!
//! Files are looked at every second and not subscribed to: what a system tells about changes is
//! lost on overlay and network file systems, and is about the wrong file where links are replaced.
//! A look asks for metadata alone; only what has changed since, and has rested for one look, is
//! read. Once a minute everything is read, whatever the metadata say.
//!
//! ```text
//!             changed               rests, and every pair parses
//!   same ----------------> settling ----------------------------> same, told
//!    ^                      |  ^ |
//!    +------ put back ------+  +-+ changes again, or does not parse
//! ```

use std::sync::Arc;
use std::time::Duration;

use model::Instant;
use runtime::Clock;

use crate::files::{self, LoadError, Loaded, PairPaths, Stamp};
use crate::pair::Pair;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Every so many looks the contents are compared.
const THOROUGH_EVERY: u32 = 60;

/// Keeps pairs as they are in files.
///
/// Either all pairs are replaced or none: while one file is missing, half-written or does not fit
/// the other, the pairs that were read last stay, and that is logged once.
#[derive(Debug)]
pub struct Watcher {
    clock: Clock,
    paths: Arc<[PairPaths]>,
    seen: Arc<Seen>,
    /// When to look next. Kept, so that a caller who stops waiting does not put the look off.
    next: Instant,
    looks: u32,
    /// What is wrong with the files, as it was logged.
    complaint: Option<LoadError>,
}

/// What changed in the files.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// All pairs, in the order of their paths: the set to publish.
    pub pairs: Vec<Arc<Pair>>,
    /// Those of them with another certificate than before, to be told (`cert_renewed`). Empty
    /// where only the issuers below it changed.
    pub renewed: Vec<Arc<Pair>>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    /// When [`Seen::loaded`] was read.
    stamps: Vec<Stamp>,
    /// At the last look.
    latest: Vec<Stamp>,
    loaded: Vec<Loaded>,
}

enum Look {
    Same,
    /// Something changes; not to be read before it rests.
    Settling(Vec<Stamp>),
    Read(Seen),
}

impl Watcher {
    /// Reads all pairs, in the order of `paths`.
    ///
    /// # Errors
    ///
    /// [`LoadError`] for the first file that is no good: a start with some of the certificates
    /// would refuse clients who knows when.
    pub async fn load(
        paths: Vec<PairPaths>,
        clock: Clock,
    ) -> Result<(Self, Vec<Arc<Pair>>), LoadError> {
        let mut watcher = Self {
            clock,
            paths: paths.into(),
            seen: Arc::default(),
            next: clock.mono().after(INTERVAL),
            looks: 0,
            complaint: None,
        };
        watcher.reload().await?;
        let pairs = watcher.seen.pairs();
        Ok((watcher, pairs))
    }

    /// Waits until the files have changed and are good again. Waiting may be broken off at any
    /// time and nothing is lost.
    pub async fn reloaded(&mut self) -> Reloaded {
        loop {
            self.clock.sleep_until(Some(self.next)).await;
            let thorough = (self.looks + 1).is_multiple_of(THOROUGH_EVERY);
            let looked = self.look(thorough).await;
            self.looks = self.looks.wrapping_add(1);
            self.next = self.clock.mono().after(INTERVAL);
            match looked {
                Ok(Some(reloaded)) => return reloaded,
                Ok(None) => {}
                Err(error) => self.complain(error),
            }
        }
    }

    /// Reads everything now, because somebody asks for it; `None` if nothing changed.
    ///
    /// # Errors
    ///
    /// [`LoadError`], to be answered to whoever asked. The pairs stay as they were.
    pub async fn reload(&mut self) -> Result<Option<Reloaded>, LoadError> {
        self.look(true).await
    }

    async fn look(&mut self, thorough: bool) -> Result<Option<Reloaded>, LoadError> {
        let (paths, seen) = (self.paths.clone(), self.seen.clone());
        let looking = tokio::task::spawn_blocking(move || look(&paths, &seen, thorough));
        let look = looking.await.map_err(|_| LoadError::BrokenOff)??;
        match look {
            Look::Settling(latest) => {
                Arc::make_mut(&mut self.seen).latest = latest;
                Ok(None)
            }
            Look::Same => {
                self.complaint = None;
                Ok(None)
            }
            Look::Read(seen) => {
                self.complaint = None;
                let before = std::mem::replace(&mut self.seen, Arc::new(seen));
                Ok(self.seen.since(&before))
            }
        }
    }

    fn complain(&mut self, error: LoadError) {
        if self.complaint.as_ref() != Some(&error) {
            tracing::warn!(%error, "certificates stay as they were until their files are good");
            self.complaint = Some(error);
        }
    }
}

/// Stamps come first: what changes while files are read is then seen at the next look.
fn look(paths: &[PairPaths], seen: &Seen, thorough: bool) -> Result<Look, LoadError> {
    let stamps = files::stamps(paths)?;
    if !thorough && stamps == seen.stamps {
        return Ok(Look::Same);
    }
    if !thorough && stamps != seen.latest {
        return Ok(Look::Settling(stamps));
    }
    let read = paths.iter().enumerate().map(|(at, paths)| files::load(paths, seen.loaded.get(at)));
    let loaded = read.collect::<Result<_, _>>()?;
    Ok(Look::Read(Seen { latest: stamps.clone(), stamps, loaded }))
}

impl Seen {
    fn pairs(&self) -> Vec<Arc<Pair>> {
        self.loaded.iter().map(|loaded| loaded.pair.clone()).collect()
    }

    fn since(&self, before: &Self) -> Option<Reloaded> {
        let both = || self.loaded.iter().zip(&before.loaded);
        if both().all(|(now, before)| now.content == before.content) {
            return None;
        }
        let renewed = both().filter(|(n, b)| n.pair.fingerprint() != b.pair.fingerprint());
        let renewed = renewed.map(|(now, _)| now.pair.clone()).collect();
        Some(Reloaded { pairs: self.pairs(), renewed })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;
    use crate::fixture::{Kind, Pem, pem};
    use crate::pair::PairError;

    struct Folder(TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, pem: &Pem) {
            fs::create_dir_all(self.path(name)).unwrap();
            fs::write(self.path(name).join("cert.pem"), &pem.cert).unwrap();
            fs::write(self.path(name).join("key.pem"), &pem.key).unwrap();
        }

        async fn watch(&self, names: &[&str]) -> Watcher {
            let paths = names.iter().map(|name| paths(&self.path(name))).collect();
            let clock = Clock::starting_at(crate::fixture::NOW);
            Watcher::load(paths, clock).await.unwrap().0
        }
    }

    fn paths(folder: &Path) -> PairPaths {
        PairPaths { cert: folder.join("cert.pem"), key: folder.join("key.pem") }
    }

    /// What a watcher tells within that many seconds.
    async fn told(watcher: &mut Watcher, seconds: u64) -> Option<Reloaded> {
        let told = tokio::time::timeout(Duration::from_secs(seconds), watcher.reloaded());
        told.await.ok()
    }

    fn names(pairs: &[Arc<Pair>]) -> Vec<String> {
        pairs.iter().map(|pair| pair.names()[0].to_string()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewed_pair_is_told_with_all_others() {
        let folder = Folder::new();
        let (a, b) = (pem(Kind::Ecdsa, &["a.test"]), pem(Kind::Ecdsa, &["b.test"]));
        folder.write("a", &a);
        folder.write("b", &b);
        let mut watcher = folder.watch(&["a", "b"]).await;
        assert!(told(&mut watcher, 150).await.is_none(), "nothing happened");

        let renewed = pem(Kind::Ecdsa, &["b.test", "c.test"]);
        folder.write("b", &renewed);
        let reloaded = told(&mut watcher, 4).await.expect("it is good");
        assert_eq!(names(&reloaded.pairs), ["a.test", "b.test"]);
        assert_eq!(names(&reloaded.renewed), ["b.test"]);
        assert!(reloaded.renewed[0].covers("c.test"));
        assert_eq!(reloaded.renewed[0].fingerprint(), renewed.pair().fingerprint());
        assert!(told(&mut watcher, 150).await.is_none(), "it is told once");
    }

    #[tokio::test(start_paused = true)]
    async fn touched_files_are_no_news() {
        let folder = Folder::new();
        let a = pem(Kind::Ecdsa, &["a.test"]);
        folder.write("a", &a);
        let mut watcher = folder.watch(&["a"]).await;
        folder.write("a", &a);
        assert!(told(&mut watcher, 150).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn another_chain_is_swapped_and_no_renewal() {
        let folder = Folder::new();
        let mut a = pem(Kind::Ecdsa, &["a.test"]);
        folder.write("a", &a);
        let mut watcher = folder.watch(&["a"]).await;
        a.cert += &pem(Kind::Ecdsa, &["issuer.test"]).cert;
        folder.write("a", &a);
        let reloaded = told(&mut watcher, 4).await.expect("it is another chain");
        assert_eq!(names(&reloaded.pairs), ["a.test"]);
        assert!(reloaded.renewed.is_empty());
    }

    /// Everything a writer may leave behind for a while: nothing is told, and when it is done
    /// everything is.
    #[tokio::test(start_paused = true)]
    async fn half_of_a_pair_waits_for_the_other_half() {
        let (old, new) = (pem(Kind::Ecdsa, &["old.test"]), pem(Kind::Ecdsa, &["new.test"]));
        let half = |text: &str| text[..text.len() / 2].to_owned();
        #[rustfmt::skip]
        let table = [
            // cert                   key                    what
            (Some(new.cert.clone()),  Some(old.key.clone()), "the certificate is new"),
            (Some(old.cert.clone()),  Some(new.key.clone()), "the key is new"),
            (Some(half(&new.cert)),   Some(new.key.clone()), "half a certificate"),
            (Some(new.cert.clone()),  Some(half(&new.key)),  "half a key"),
            (Some(String::new()),     Some(new.key.clone()), "an empty certificate"),
            (Some(new.cert.clone()),  Some(String::new()),   "an empty key"),
            (None,                    Some(new.key.clone()), "no certificate"),
            (Some(new.cert.clone()),  None,                  "no key"),
        ];
        for (cert, key, what) in table {
            let folder = Folder::new();
            folder.write("a", &old);
            let mut watcher = folder.watch(&["a"]).await;
            let paths = paths(&folder.path("a"));
            for (path, text) in [(&paths.cert, cert), (&paths.key, key)] {
                match text {
                    Some(text) => fs::write(path, text).unwrap(),
                    None => fs::remove_file(path).unwrap(),
                }
            }
            assert!(told(&mut watcher, 150).await.is_none(), "{what}");
            assert!(watcher.complaint.is_some(), "{what}");
            assert!(watcher.reload().await.is_err(), "{what}");
            folder.write("a", &new);
            let reloaded = told(&mut watcher, 4).await.expect(what);
            assert_eq!(names(&reloaded.renewed), ["new.test"], "{what}");
            assert_eq!(watcher.complaint, None, "{what}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_bad_pair_holds_all_back() {
        let folder = Folder::new();
        for name in ["a", "b"] {
            folder.write(name, &pem(Kind::Ecdsa, &[&format!("{name}.test")]));
        }
        let mut watcher = folder.watch(&["a", "b"]).await;
        folder.write("a", &pem(Kind::Ecdsa, &["new.test"]));
        fs::write(folder.path("b").join("key.pem"), "").unwrap();
        assert!(told(&mut watcher, 150).await.is_none());
        folder.write("b", &pem(Kind::Ecdsa, &["b.test"]));
        let reloaded = told(&mut watcher, 4).await.expect("both are good");
        assert_eq!(names(&reloaded.renewed), ["new.test", "b.test"]);
    }

    /// A writer that is seen between the certificate and its issuers: the part would do, yet
    /// clients want the whole.
    #[tokio::test(start_paused = true)]
    async fn files_are_read_when_they_rest() {
        let folder = Folder::new();
        folder.write("a", &pem(Kind::Ecdsa, &["old.test"]));
        let mut watcher = folder.watch(&["a"]).await;
        let mut new = pem(Kind::Ecdsa, &["much.newer.example.test"]);
        folder.write("a", &new);
        // Looks are then in the middle of what is waited for.
        tokio::time::sleep(INTERVAL / 2).await;
        assert!(told(&mut watcher, 1).await.is_none(), "it may not be all");
        for _ in 0..3 {
            new.cert += &pem(Kind::Ecdsa, &["issuer.test"]).cert;
            folder.write("a", &new);
            assert!(told(&mut watcher, 1).await.is_none(), "it was not");
        }
        let reloaded = told(&mut watcher, 2).await.expect("now it is");
        assert_eq!(reloaded.pairs[0].certified().cert.len(), 4);
        assert_eq!(names(&reloaded.renewed), ["much.newer.example.test"]);
    }

    /// As an editor saves: a new file takes the name of the old one.
    #[tokio::test(start_paused = true)]
    async fn renamed_files() {
        let folder = Folder::new();
        folder.write("a", &pem(Kind::Ecdsa, &["old.test"]));
        folder.write("next", &pem(Kind::Ecdsa, &["new.test"]));
        let mut watcher = folder.watch(&["a"]).await;
        for file in ["key.pem", "cert.pem"] {
            fs::rename(folder.path("next").join(file), folder.path("a").join(file)).unwrap();
        }
        let reloaded = told(&mut watcher, 4).await.expect("it is good");
        assert_eq!(names(&reloaded.renewed), ["new.test"]);
    }

    /// As a mounted secret is replaced: `a/cert.pem` leads to `..data/cert.pem`, and `..data` is a
    /// link to a folder that another one replaces by renaming.
    #[tokio::test(start_paused = true)]
    async fn links_that_are_replaced() {
        let folder = Folder::new();
        folder.write("..2026_01", &pem(Kind::Ecdsa, &["old.test"]));
        folder.write("..2026_02", &pem(Kind::Ecdsa, &["new.test"]));
        symlink("..2026_01", folder.path("..data")).unwrap();
        fs::create_dir(folder.path("a")).unwrap();
        for file in ["cert.pem", "key.pem"] {
            symlink(format!("../..data/{file}"), folder.path("a").join(file)).unwrap();
        }
        let mut watcher = folder.watch(&["a"]).await;
        symlink("..2026_02", folder.path("..data_tmp")).unwrap();
        fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
        fs::remove_dir_all(folder.path("..2026_01")).unwrap();
        let reloaded = told(&mut watcher, 4).await.expect("it is good");
        assert_eq!(names(&reloaded.renewed), ["new.test"]);
    }

    /// A file system that shows the old metadata for what is new.
    #[tokio::test(start_paused = true)]
    async fn once_a_minute_metadata_are_not_believed() {
        let folder = Folder::new();
        folder.write("a", &pem(Kind::Ecdsa, &["old.test"]));
        let mut watcher = folder.watch(&["a"]).await;
        folder.write("a", &pem(Kind::Ecdsa, &["new.test"]));
        let stamps = files::stamps(&watcher.paths).unwrap();
        Arc::make_mut(&mut watcher.seen).stamps = stamps;
        assert!(told(&mut watcher, 50).await.is_none());
        let reloaded = told(&mut watcher, 11).await.expect("the contents differ");
        assert_eq!(names(&reloaded.renewed), ["new.test"]);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_is_answered_at_once() {
        let folder = Folder::new();
        folder.write("a", &pem(Kind::Ecdsa, &["old.test"]));
        let mut watcher = folder.watch(&["a"]).await;
        assert!(watcher.reload().await.unwrap().is_none());
        folder.write("a", &pem(Kind::Ecdsa, &["new.test"]));
        let reloaded = watcher.reload().await.unwrap().expect("it is another one");
        assert_eq!(names(&reloaded.renewed), ["new.test"]);
        assert!(told(&mut watcher, 150).await.is_none(), "it is told once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_is_busy_does_not_put_looks_off() {
        let folder = Folder::new();
        folder.write("a", &pem(Kind::Ecdsa, &["old.test"]));
        let mut watcher = folder.watch(&["a"]).await;
        folder.write("a", &pem(Kind::Ecdsa, &["much.newer.example.test"]));
        for _ in 0..40 {
            let told = tokio::time::timeout(Duration::from_millis(100), watcher.reloaded());
            if told.await.is_ok() {
                return;
            }
        }
        panic!("not seen in four seconds");
    }

    #[tokio::test]
    async fn files_that_are_none() {
        let folder = Folder::new();
        folder.write("a", &pem(Kind::Ecdsa, &["a.test"]));
        let good = paths(&folder.path("a"));
        let long = folder.path("long");
        fs::write(&long, vec![b'\n'; 1 << 20]).unwrap();
        let longer = folder.path("longer");
        fs::write(&longer, vec![b'\n'; (1 << 20) + 1]).unwrap();
        let absent = folder.path("absent");
        let why = "No such file or directory (os error 2)".to_owned();
        let no_certificate = |cert: &Path| {
            let paths = PairPaths { cert: cert.to_owned(), key: good.key.clone() };
            LoadError::Pair { paths, why: PairError::NoCertificate }
        };
        #[rustfmt::skip]
        let table = [
            (absent.clone(),        LoadError::Read { path: absent, why }),
            (folder.path("a"),      LoadError::NoFile { path: folder.path("a") }),
            ("/dev/zero".into(),    LoadError::NoFile { path: "/dev/zero".into() }),
            (long.clone(),          no_certificate(&long)),
            (longer.clone(),        LoadError::TooLong { path: longer }),
        ];
        for (cert, expected) in table {
            let paths = PairPaths { cert, key: good.key.clone() };
            let error = Watcher::load(vec![paths], Clock::system()).await.unwrap_err();
            assert_eq!(error, expected);
        }
    }
}
