//! One value that many threads read and one replaces as a whole.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

/// The latest version of a value. Clones share it.
///
/// Readers never wait, not even for the writer; whoever holds a version keeps it while newer ones
/// are published.
pub struct Snapshot<T>(Arc<ArcSwap<T>>);

impl<T> Snapshot<T> {
    /// Begins with this version.
    pub fn new(value: Arc<T>) -> Self {
        Self(Arc::new(ArcSwap::new(value)))
    }

    /// The latest version.
    pub fn load(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Replaces it. Whoever loads from now on gets this version.
    pub fn store(&self, value: Arc<T>) {
        self.0.store(value);
    }

    /// A reader for one thread, cheaper than [`Snapshot::load`] where versions are read far more
    /// often than they are replaced.
    pub fn reader(&self) -> Reader<T> {
        Reader(Cache::new(self.0.clone()))
    }
}

impl<T> Clone for Snapshot<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: fmt::Debug> fmt::Debug for Snapshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Snapshot").field(&self.load()).finish()
    }
}

/// Reads a [`Snapshot`] from one thread. It keeps the version it saw last alive until it is asked
/// again, so one that is never asked should not be kept.
pub struct Reader<T>(Cache<Arc<ArcSwap<T>>, Arc<T>>);

impl<T> Reader<T> {
    /// The latest version: one load of an atomic word unless a new one was published.
    pub fn latest(&mut self) -> &Arc<T> {
        self.0.load()
    }
}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_version_stays_and_the_next_look_sees_the_new_one() {
        let snapshot = Snapshot::new(Arc::new(1));
        let mut reader = snapshot.reader();
        let held = snapshot.load();
        assert_eq!(**reader.latest(), 1);
        snapshot.clone().store(Arc::new(2));
        assert_eq!((*held, **reader.latest(), *snapshot.load()), (1, 2, 2));
    }

    #[test]
    fn nothing_old_is_kept_once_everybody_looked() {
        let old = Arc::new(1);
        let snapshot = Snapshot::new(old.clone());
        let mut reader = snapshot.reader();
        reader.latest();
        snapshot.store(Arc::new(2));
        reader.latest();
        assert_eq!(Arc::strong_count(&old), 1);
    }
}
