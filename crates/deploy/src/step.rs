//! How far a deployment is.

/// A step of a deployment, or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The archive is read, here.
    Check,
    /// The host shows its key.
    Connect,
    /// Whether it has what the package needs.
    Requires,
    /// The package goes there.
    Upload,
    /// It becomes a folder.
    Unpack,
    /// The version that runs is stopped.
    StopOld,
    /// The link leads to the new one.
    Switch,
    /// The new one is started.
    Start,
    /// It is asked whether it is well.
    Health,
    /// It is not: back to the old one.
    Rollback,
    /// Versions beyond those that are kept are removed.
    Clean,
    /// The end: the new version runs.
    Done,
    /// The end: the old version runs again, or nothing does if there was none.
    RolledBack,
    /// The end: nothing was changed, or the way back failed too; the message says which.
    Failed,
}

impl Step {
    const ALL: [Self; 14] = [
        Self::Check,
        Self::Connect,
        Self::Requires,
        Self::Upload,
        Self::Unpack,
        Self::StopOld,
        Self::Switch,
        Self::Start,
        Self::Health,
        Self::Rollback,
        Self::Clean,
        Self::Done,
        Self::RolledBack,
        Self::Failed,
    ];

    /// One word for events; it never changes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Connect => "connect",
            Self::Requires => "requires",
            Self::Upload => "upload",
            Self::Unpack => "unpack",
            Self::StopOld => "stop_old",
            Self::Switch => "switch",
            Self::Start => "start",
            Self::Health => "health",
            Self::Rollback => "rollback",
            Self::Clean => "clean",
            Self::Done => "done",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }

    /// How much of it is over when the step begins, 0 to 100. A guess: uploads differ.
    pub const fn percent(self) -> u8 {
        match self {
            Self::Check => 0,
            Self::Connect => 5,
            Self::Requires => 10,
            Self::Upload => 15,
            Self::Unpack => 50,
            Self::StopOld => 60,
            Self::Switch => 65,
            Self::Start => 70,
            Self::Health => 75,
            Self::Rollback => 90,
            Self::Clean => 95,
            Self::Done | Self::RolledBack | Self::Failed => 100,
        }
    }

    /// Whether nothing comes after it.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::RolledBack | Self::Failed)
    }
}

/// Something happened in a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What begins, or how it ended.
    pub step: Step,
    /// For people.
    pub message: String,
    /// What is deployed; not known before the archive was read.
    pub subject: Option<Subject>,
}

/// Which version of which service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The service.
    pub name: String,
    /// Its version.
    pub version: String,
}
