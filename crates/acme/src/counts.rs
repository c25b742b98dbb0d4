//! What became of orders since the start, for whoever asks from outside.

use std::sync::atomic::{AtomicU64, Ordering};

/// Written by the task, read by anybody.
#[derive(Debug, Default)]
pub struct Counts {
    issued: AtomicU64,
    renewed: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    /// First certificates for a name.
    pub fn issued(&self) -> u64 {
        self.issued.load(Ordering::Relaxed)
    }

    /// Certificates for a name that had one.
    pub fn renewed(&self) -> u64 {
        self.renewed.load(Ordering::Relaxed)
    }

    /// Attempts without a certificate.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, is_issued: bool, is_renewal: bool) {
        let count = match (is_issued, is_renewal) {
            (true, false) => &self.issued,
            (true, true) => &self.renewed,
            (false, _) => &self.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}
