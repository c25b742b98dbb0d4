//! How much of a head we are willing to read.

/// Bounds of one head. Passing one is an error that says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole head, the blank line included.
    pub head_bytes: usize,
    /// Bytes of the request target.
    pub target_bytes: usize,
    /// Fields in the head; at most [`Limits::FIELDS_MAX`], a larger number means that one.
    pub fields: usize,
    /// Whether a `Host` that differs from a target with a host in it is ignored, as RFC 9112, 3.2.2
    /// has it; otherwise it is refused.
    pub host_by_target: bool,
}

impl Limits {
    /// The most fields a [`HeadSpace`](crate::HeadSpace) has room for.
    pub const FIELDS_MAX: usize = 100;

    /// What proxyd promises to accept: 64 KiB and 100 fields, a target of 16 KiB.
    pub const STANDARD: Limits = Limits {
        head_bytes: 64 * 1024,
        target_bytes: 16 * 1024,
        fields: Limits::FIELDS_MAX,
        host_by_target: false,
    };
}
