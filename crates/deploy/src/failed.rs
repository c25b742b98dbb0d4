//! How a deployment ends that does not succeed.

use std::io;

use package::PackageError;

use crate::step::Step;

/// Why the new version does not run. The text is for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failed {
    /// The file is no package, or a hostile one. Nobody was asked anything.
    #[error("{0}")]
    Package(#[from] PackageError),
    /// Nobody answers there.
    #[error("cannot reach the host: {0}")]
    Unreachable(String),
    /// Somebody else answers, or the host has a new key. Nothing was sent.
    #[error(
        "the host shows other keys than the pinned one: {0}; if it is the right host and has a new \
         key, write that one in `host_key`"
    )]
    HostKey(String),
    /// The same, and the host does not show any key of that kind.
    #[error(
        "the host shows no key of the kind of the pinned one, {kind}, but {shown}; if it is the right \
         host, write that one in `host_key`"
    )]
    HostKeyKind {
        /// As OpenSSH names it.
        kind: &'static str,
        /// Those it shows.
        shown: String,
    },
    /// The connection broke, or was not let in; nothing was changed.
    #[error("ssh: {0}")]
    Ssh(String),
    /// The host cannot have it; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// A step took longer than it may.
    #[error("{} took longer than it may", .0.name())]
    TooSlow(Step),
    /// It was there and was not well. What ran before runs again.
    #[error("rolled back: {0}")]
    RolledBack(String),
    /// It was not well, and what ran before did not start again: somebody must look.
    #[error("NOT rolled back: {0}")]
    Broken(String),
    /// Nobody knows: the host does not answer any more.
    #[error("the connection broke, and how it ended is not known: {0}")]
    Unknown(String),
    /// This machine failed us.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Failed {
    /// The step to report.
    pub const fn step(&self) -> Step {
        match self {
            Self::RolledBack(_) => Step::RolledBack,
            _ => Step::Failed,
        }
    }
}
