//! The task that gets certificates.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use certs::{Certificates, Challenges, Pair};
use model::{Instant, UnixMillis};
use probe::Tls;
use routing::Table;
use runtime::Clock;
use store::{Acme as Kept, AcmeAccount, AcmeCertificate, AcmeChange, AcmeOrder, AskError};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};

use crate::authority::{Authority, Binding};
use crate::counts::Counts;
use crate::issuer::{Issuer, Job, KEPT_EXPIRED, Method, Outcome, Start, Waiting};
use crate::job::{self, Report, Tools};
use crate::ledger::{Ca, REMEMBERED};
use crate::memory::{self, Recalled};
use crate::name::Name;
use crate::wanted::{Change, Wanted};

/// Wall time may be set: deadlines in it are looked at again after so long at the latest.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Between two times that old rows are forgotten.
const SETTLE_EVERY: Duration = Duration::from_hours(1);

/// Which authorities, and how they see that names lead here.
#[derive(Clone, Debug)]
pub struct Config {
    /// The first one is asked first, the others when it fails.
    pub directories: Vec<Box<str>>,
    /// Accounts that ours are to belong to, by directory.
    pub bindings: BTreeMap<Box<str>, Binding>,
    /// Whom authorities may write to.
    pub email: Option<Box<str>>,
    /// In the order they are tried.
    pub methods: Vec<Method>,
    /// Whom we believe to be an authority.
    pub tls: Tls,
}

/// What is told to the task.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Every table that is published.
    pub tables: watch::Receiver<Arc<Table>>,
    /// Certificates from files: what they cover is not ordered.
    pub files: watch::Receiver<Arc<Certificates>>,
    /// Somebody mended something: nobody waits for the end of a back-off.
    pub hurry: Arc<Notify>,
}

/// Why nothing can be ordered.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What is remembered cannot be read or written.
    #[error("certificates cannot be ordered: {0}")]
    Store(#[from] AskError),
    /// There is no key for an account.
    #[error("certificates cannot be ordered: no key for an account could be made: {0}")]
    Key(String),
}

/// Certificates from authorities, ready to be ordered.
pub struct Acme {
    issuer: Issuer,
    authorities: Vec<Arc<Authority>>,
    kept: Kept,
    clock: Clock,
    /// As the issuer knows them, with what they need to be resumed.
    orders: BTreeMap<Name, AcmeOrder>,
    counts: Arc<Counts>,
}

impl Acme {
    /// Reads what an earlier life left: the certificates are given back, to be served at once.
    ///
    /// # Errors
    ///
    /// [`StartError`]; without a memory nothing may be ordered.
    pub async fn load(
        config: Config,
        kept: Kept,
        clock: Clock,
    ) -> Result<(Self, Vec<Arc<Pair>>), StartError> {
        let rows = kept.load().await?;
        let mut authorities = Vec::new();
        for directory in &config.directories {
            let known = rows.accounts.iter().find(|account| account.directory == *directory);
            let key = match known {
                Some(account) => account.key.clone(),
                None => new_key(directory, &kept).await?,
            };
            let (email, tls) = (config.email.clone(), config.tls.clone());
            let binding = config.bindings.get(directory).cloned();
            let authority = Authority::new(directory.clone(), email, binding, key, tls);
            authorities.push(Arc::new(authority));
        }
        let mut issuer = Issuer::new(config.directories.len(), config.methods);
        let now = clock.now().wall;
        let Recalled { pairs, orders } =
            memory::recall(rows, &config.directories, &mut issuer, now);
        let counts = Arc::default();
        Ok((Self { issuer, authorities, kept, clock, orders, counts }, pairs))
    }

    /// What becomes of orders, now and later.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Orders and renews for ever: what is registered and not in files. `issued` gets every new
    /// certificate; the task ends when nobody takes them any more.
    pub async fn run(
        self,
        challenges: Challenges,
        inputs: Inputs,
        issued: mpsc::Sender<Arc<Pair>>,
    ) {
        let settled = self.clock.mono();
        let running = Running {
            acme: self,
            challenges,
            issued,
            wanted: Wanted::default(),
            table: Arc::default(),
            files: Arc::default(),
            tasks: JoinSet::new(),
            names: HashMap::new(),
            settled,
        };
        running.run(inputs).await;
    }
}

async fn new_key(directory: &str, kept: &Kept) -> Result<Box<str>, StartError> {
    let key = Authority::new_key().map_err(|error| StartError::Key(error.to_string()))?;
    let account = AcmeAccount { directory: directory.into(), key: key.clone() };
    kept.write(vec![AcmeChange::PutAccount(account)]).await?;
    Ok(key)
}

struct Running {
    acme: Acme,
    challenges: Challenges,
    issued: mpsc::Sender<Arc<Pair>>,
    wanted: Wanted,
    table: Arc<Table>,
    files: Arc<Certificates>,
    /// As many as the issuer lets be in flight.
    tasks: JoinSet<Report>,
    names: HashMap<Id, Name>,
    settled: Instant,
}

impl Running {
    async fn run(mut self, mut inputs: Inputs) {
        inputs.tables.mark_changed();
        inputs.files.mark_changed();
        loop {
            self.begin_all();
            let (now, timeout) = (self.acme.clock.now(), self.acme.issuer.poll_timeout());
            let wait = timeout.map_or(LOOK_EVERY, |at| at.since(now.wall).min(LOOK_EVERY));
            tokio::select! {
                changed = inputs.tables.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let table = Arc::clone(&inputs.tables.borrow_and_update());
                    self.follow(table);
                }
                changed = inputs.files.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.files = Arc::clone(&inputs.files.borrow_and_update());
                    self.want_all();
                }
                () = inputs.hurry.notified() => {
                    let now = self.now();
                    self.acme.issuer.hurry(now);
                }
                Some(ended) = self.tasks.join_next_with_id() => {
                    if self.ended(ended).await.is_err() {
                        return;
                    }
                }
                () = self.acme.clock.sleep_until(Some(now.mono.after(wait))) => self.settle().await,
            }
        }
    }

    fn begin_all(&mut self) {
        while let Some(job) = self.acme.issuer.next(self.now(), fastrand::u64(..)) {
            let Some(authority) = self.acme.authorities.get(job.ca.0).cloned() else { continue };
            log_start(&job, &authority);
            let earlier = self.acme.orders.get(&job.name).cloned();
            let name = job.name.clone();
            let tools = Tools {
                authority,
                challenges: self.challenges.clone(),
                kept: self.acme.kept.clone(),
                clock: self.acme.clock,
            };
            let task = self.tasks.spawn(job::carry_out(job, earlier, tools));
            self.names.insert(task.id(), name);
        }
    }

    fn follow(&mut self, table: Arc<Table>) {
        let now = self.now();
        for change in self.wanted.follow(&self.table, &table) {
            match change {
                Change::Came(name) if !self.files.serves(name.as_str()) => {
                    self.acme.issuer.want(&name, now);
                }
                Change::Came(_) => {}
                Change::Left(name) => self.acme.issuer.unwant(&name),
                Change::Passed(address) => {
                    tracing::debug!(%address, "no certificate is ordered for an address");
                }
            }
        }
        self.table = table;
    }

    fn want_all(&mut self) {
        let now = self.now();
        for name in self.wanted.names() {
            if self.files.serves(name.as_str()) {
                self.acme.issuer.unwant(name);
            } else {
                self.acme.issuer.want(name, now);
            }
        }
    }

    /// Takes what became of a job, writes it down, and hands on the certificate. Fails when nobody
    /// takes those any more.
    async fn ended(&mut self, ended: Result<(Id, Report), JoinError>) -> Result<(), Gone> {
        let report = match ended {
            Ok((id, report)) => {
                self.names.remove(&id);
                report
            }
            Err(error) => {
                let Some(name) = self.names.remove(&error.id()) else { return Ok(()) };
                Report::without(&name, Outcome::Unfinished, error.to_string())
            }
        };
        let Report { name, outcome, why, placed, given } = report;
        let now = self.now();
        if let Some(order) = placed {
            self.acme.issuer.placed(&name);
            self.acme.orders.insert(name.clone(), order);
        }
        let Some(finished) = self.acme.issuer.finish(&name, outcome, now, fastrand::u64(..)) else {
            return Ok(());
        };
        let directory = self.directory(finished.ca);
        let entry = finished.entry.as_ref().map(|entry| memory::row(entry, &directory));
        let mut changes: Vec<_> = entry.map(AcmeChange::PutEntry).into_iter().collect();
        if finished.is_over && self.acme.orders.remove(&name).is_some() {
            changes.push(AcmeChange::RemoveOrder(name.as_str().into()));
        }
        let pair = given.map(|(given, key)| {
            changes.push(AcmeChange::PutCertificate(AcmeCertificate {
                name: name.as_str().into(),
                directory: directory.clone(),
                chain: given.chain.into(),
                key,
                not_after: given.pair.not_after(),
            }));
            Arc::new(given.pair)
        });
        if let Err(error) = self.acme.kept.write(changes).await {
            tracing::error!(%name, %error, "what became of an order cannot be saved");
        }
        let again = match finished.again_at {
            Some(at) => format!("in {:?}", left(at, now)),
            None => "when the name is registered again".to_owned(),
        };
        self.acme.counts.add(pair.is_some(), finished.is_renewal);
        if let Some(Waiting { count, names, until }) = &finished.waiting {
            let names: Vec<_> = names.iter().map(Name::as_str).collect();
            let again = format!("in {:?}", left(*until, now));
            tracing::warn!(%directory, count, ?names, %again, "the authority is left alone, and these names wait");
        }
        match pair {
            Some(pair) => {
                let expiry = pair.not_after();
                let what = if finished.is_renewal { "renewed" } else { "issued" };
                tracing::info!(%name, %directory, %expiry, renewal = %again, "certificate {what}");
                self.issued.send(pair).await.map_err(|_| Gone)
            }
            None => {
                tracing::warn!(%name, %directory, %why, %again, "no certificate; trying again");
                Ok(())
            }
        }
    }

    async fn settle(&mut self) {
        let now = self.acme.clock.now();
        if now.mono.since(self.settled) < SETTLE_EVERY {
            return;
        }
        self.settled = now.mono;
        self.acme.issuer.settle(now.wall);
        let before = |age| UnixMillis(now.wall.0.saturating_sub(millis(age)));
        let old = vec![
            AcmeChange::ForgetEntries(before(REMEMBERED)),
            AcmeChange::ForgetCertificates(before(KEPT_EXPIRED)),
        ];
        if let Err(error) = self.acme.kept.write(old).await {
            tracing::warn!(%error, "old orders cannot be forgotten");
        }
    }

    fn directory(&self, ca: Ca) -> Box<str> {
        self.acme
            .authorities
            .get(ca.0)
            .map(|authority| authority.directory.clone())
            .unwrap_or_default()
    }

    fn now(&self) -> UnixMillis {
        self.acme.clock.now().wall
    }
}

/// Nobody takes certificates any more.
struct Gone;

fn log_start(job: &Job, authority: &Authority) {
    let (name, directory) = (&job.name, &authority.directory);
    match &job.start {
        Start::Order(_) => tracing::debug!(%name, %directory, "ordering a certificate"),
        Start::Resume { .. } => tracing::debug!(%name, %directory, "resuming an order"),
    }
}

/// Until then, in whole seconds.
fn left(at: UnixMillis, now: UnixMillis) -> Duration {
    Duration::from_secs(at.since(now).as_secs())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
