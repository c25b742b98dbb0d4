//! How large a package may be.

/// The manifest, in bytes.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 64 << 10;
/// Headers that carry a long name or attributes, in bytes.
pub(crate) const EXTENSION_BYTES_MAX: u64 = 64 << 10;
/// Below this many unpacked bytes the ratio says nothing: a small file of zeros is no bomb.
const RATIO_FROM_BYTES: u64 = 16 << 20;

/// Bounds of a package. A file that passes one is refused before more of it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The archive as it lies there, in bytes.
    pub packed_bytes_max: u64,
    /// All of it unpacked, headers included, in bytes.
    pub unpacked_bytes_max: u64,
    /// Files and folders.
    pub entries_max: usize,
    /// How many unpacked bytes one packed byte may stand for, over all; asked above 16 MiB.
    pub ratio_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packed_bytes_max: 512 << 20,
            unpacked_bytes_max: 2 << 30,
            entries_max: 10_000,
            ratio_max: 100,
        }
    }
}

impl Limits {
    /// Whether so many bytes may come out of so few.
    pub(crate) const fn is_bomb(&self, packed: u64, unpacked: u64) -> bool {
        unpacked > RATIO_FROM_BYTES && unpacked / self.ratio_max > packed
    }
}
