//! Who may deploy what to where.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use package::{Limits, Manifest};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::failed::Failed;
use crate::host::{BadHost, Host};
use crate::job::{Job, WAITING_MAX};
use crate::plan::Times;
use crate::step::Progress;

/// Hosts that may be named.
const HOSTS_MAX: usize = 256;
/// Deployments at a time, to different hosts.
const RUNNING_MAX: usize = 8;

/// Where packages come from and may go to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where packages may be deployed. Empty: nowhere.
    pub hosts: Vec<Host>,
    /// The folder on this machine in which packages lie. Paths lead out of it nowhere.
    pub packages: PathBuf,
    /// How many versions stay on a host beside the one that runs.
    pub keep: usize,
    /// How large packages may be.
    pub limits: Limits,
    /// How long steps may take.
    pub times: Times,
    /// The program `ssh`.
    pub ssh: PathBuf,
    /// The program `ssh-keyscan`.
    pub keyscan: PathBuf,
}

impl Settings {
    /// The usual ones.
    pub fn new(hosts: Vec<Host>, packages: PathBuf) -> Self {
        Self {
            hosts,
            packages,
            keep: 2,
            limits: Limits::default(),
            times: Times::default(),
            ssh: "ssh".into(),
            keyscan: "ssh-keyscan".into(),
        }
    }
}

/// Why settings will not do.
#[derive(Debug, thiserror::Error)]
pub enum BadSettings {
    /// Two hosts have one name.
    #[error("two hosts are named `{0}`")]
    Twice(String),
    /// More hosts than allowed.
    #[error("more than {HOSTS_MAX} hosts")]
    TooMany,
    /// One host is wrong.
    #[error("host `{name}`: {setting} {source}")]
    Host {
        /// Its place in the list.
        at: usize,
        /// Which host.
        name: String,
        /// Which key of it.
        setting: &'static str,
        /// What is wrong.
        source: BadHost,
    },
    /// Where packages should lie.
    #[error("{}: {source}", .path.display())]
    Packages {
        /// As configured.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program is missing.
    #[error("`{}` is not here; install openssh-client", .0.display())]
    Program(PathBuf),
}

/// Why a deployment does not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// No host is allowed.
    #[error("deployment is off: no host is allowed (`deploy_hosts`)")]
    Off,
    /// This one is not.
    #[error("host `{0}` is not allowed (`deploy_hosts`)")]
    Host(String),
    /// Which one was meant?
    #[error("more than one host is allowed: name one")]
    Which,
    /// There is no such package, or it lies elsewhere.
    #[error("no package `{0}` in the folder of packages (`deploy_packages`)")]
    Package(String),
    /// One at a time to one host.
    #[error("a deployment to `{0}` is at work")]
    Busy(String),
    /// Too many at a time.
    #[error("{RUNNING_MAX} deployments are at work")]
    Full,
    /// proxyd ends.
    #[error("proxyd is ending")]
    Ending,
}

/// Deploys packages. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Deployer {
    settings: Arc<Settings>,
    running: Arc<Mutex<BTreeSet<String>>>,
    tasks: TaskTracker,
}

/// One that began. It goes on when this is dropped.
#[derive(Debug)]
pub struct Deployment {
    /// Where to.
    pub host: Host,
    /// What happens. The last one tells the end.
    pub progress: mpsc::Receiver<Progress>,
    task: JoinHandle<Result<Manifest, Failed>>,
}

impl Deployment {
    /// Waits for its end, and gives what the version that runs says about itself.
    ///
    /// # Errors
    ///
    /// Why the new version does not run.
    pub async fn ended(self) -> Result<Manifest, Failed> {
        self.task.await.map_err(io::Error::other)?
    }
}

impl Deployer {
    /// Looks at the settings, and whether the programs are there. Connects to nobody.
    ///
    /// # Errors
    ///
    /// [`BadSettings`], for whoever wrote them.
    pub fn new(mut settings: Settings) -> Result<Self, BadSettings> {
        if settings.hosts.len() > HOSTS_MAX {
            return Err(BadSettings::TooMany);
        }
        let mut names = BTreeSet::new();
        for (at, host) in settings.hosts.iter().enumerate() {
            let name = host.name.clone();
            host.check().map_err(|(setting, source)| {
                let name = name.clone();
                BadSettings::Host { at, name, setting, source }
            })?;
            if !names.insert(name) {
                return Err(BadSettings::Twice(host.name.clone()));
            }
        }
        if !settings.hosts.is_empty() {
            let path = settings.packages.clone();
            settings.packages =
                path.canonicalize().map_err(|source| BadSettings::Packages { path, source })?;
            for program in [&mut settings.ssh, &mut settings.keyscan] {
                *program = found(program).ok_or_else(|| BadSettings::Program(program.clone()))?;
            }
        }
        let (running, tasks) = (Arc::default(), TaskTracker::new());
        Ok(Self { settings: Arc::new(settings), running, tasks })
    }

    /// Begins to deploy `package`, a path in the folder of packages, to the host named `target`; to
    /// the only one if none is named. Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`Refused`]; then nothing happens.
    pub fn deploy(&self, package: &str, target: Option<&str>) -> Result<Deployment, Refused> {
        if self.tasks.is_closed() {
            return Err(Refused::Ending);
        }
        let host = self.host(target)?;
        let file = self.file(package)?;
        let turn = Turn::take(&self.running, &host.name)?;
        let (progress, receiver) = mpsc::channel(WAITING_MAX);
        let (settings, subject) = (self.settings.clone(), OnceLock::new());
        let job = Job { settings, host: host.clone(), file, progress, subject };
        let task = self.tasks.spawn(async move {
            let _turn = turn;
            job.run().await
        });
        Ok(Deployment { host: host.clone(), progress: receiver, task })
    }

    /// The folder on this machine in which packages lie.
    pub fn packages(&self) -> &Path {
        &self.settings.packages
    }

    /// Begins no more and waits for those at work. Whoever waits bounds it; a host whose
    /// deployment is abandoned comes to a good end by itself.
    pub async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn host(&self, target: Option<&str>) -> Result<&Host, Refused> {
        let hosts = &self.settings.hosts;
        match (target, &**hosts) {
            (_, []) => Err(Refused::Off),
            (Some(name), hosts) => hosts
                .iter()
                .find(|host| host.name == name)
                .ok_or_else(|| Refused::Host(name.chars().take(64).collect())),
            (None, [only]) => Ok(only),
            (None, _) => Err(Refused::Which),
        }
    }

    /// Where a package lies, links followed; not told apart for whoever asks: a file elsewhere and
    /// no file at all.
    fn file(&self, package: &str) -> Result<PathBuf, Refused> {
        let inside = self.settings.packages.join(package).canonicalize().ok();
        let inside = inside.filter(|file| file.starts_with(&self.settings.packages));
        inside
            .filter(|file| file.is_file())
            .ok_or_else(|| Refused::Package(package.chars().take(256).collect()))
    }
}

/// The right to deploy to one host, given back when dropped.
struct Turn {
    running: Arc<Mutex<BTreeSet<String>>>,
    host: String,
}

impl Turn {
    fn take(running: &Arc<Mutex<BTreeSet<String>>>, host: &str) -> Result<Self, Refused> {
        let mut hosts = running.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.contains(host) {
            return Err(Refused::Busy(host.to_owned()));
        }
        if hosts.len() >= RUNNING_MAX {
            return Err(Refused::Full);
        }
        hosts.insert(host.to_owned());
        Ok(Self { running: running.clone(), host: host.to_owned() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.host);
    }
}

/// The program itself, or where `PATH` has it.
fn found(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
