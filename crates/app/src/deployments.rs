//! Deployments that the service API or an operator asks for, carried out over SSH, and what they do to
//! the catalog.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use catalog::{
    Catalog, Endpoint, Execution, Facts, Identity, Lease, Location, Protocol, Source, State,
};
use deploy::{Deployer, Host, Progress};
use discovery::Handle;
use model::{BackendHost, InstanceName, Now, Refusal, ServiceName};
use package::Manifest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service_api::ProgressSender;
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

/// Deployments that are remembered for operators who ask how they went on.
const RUNS_MAX: usize = 32;
/// Steps of one that are remembered. More than there are: the last one always is.
const STEPS_MAX: usize = 256;
/// Steps in one answer, so that it fits a line.
const STEPS_PAGE_MAX: usize = 32;
/// How long an operator who asks for news waits for some. Answers come within 4 s (SPEC 2.1).
const NEWS: Duration = Duration::from_secs(2);

/// Carries deployments out. Whoever asks for one, all who listen hear of it.
#[derive(Debug)]
pub(crate) struct Deployments {
    hands: Deployer,
    catalog: Handle,
    listeners: ProgressSender,
    runs: Mutex<Runs>,
    news: watch::Sender<()>,
    /// Those that have begun: proxyd does not end before them.
    running: TaskTracker,
}

#[derive(Debug, Default)]
struct Runs {
    last: u64,
    runs: VecDeque<Run>,
}

#[derive(Debug)]
struct Run {
    number: u64,
    steps: Vec<Step>,
    /// What came of it.
    end: Option<Result<Value, String>>,
}

/// A step, as operators are told it.
#[derive(Clone, Debug, Serialize)]
struct Step {
    service: String,
    version: Option<String>,
    target_node: String,
    stage: &'static str,
    percent: u8,
    message: String,
}

/// One that an operator wants.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    package: String,
    target: Option<String>,
}

/// One that an operator follows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Followed {
    deployment: u64,
    /// Steps that are known already.
    #[serde(default)]
    after: usize,
}

impl Deployments {
    pub(crate) fn new(hands: Deployer, catalog: Handle, listeners: ProgressSender) -> Arc<Self> {
        let (runs, news) = (Mutex::default(), watch::Sender::new(()));
        Arc::new(Self { hands, catalog, listeners, runs, news, running: TaskTracker::new() })
    }

    /// Carries out what the service API is asked for, until proxyd ends; what has begun, for whomever,
    /// comes to its end, well or taken back.
    pub(crate) async fn carry_out(
        self: Arc<Self>,
        mut orders: mpsc::Receiver<service_api::Deployment>,
        stop: impl Future<Output = ()>,
    ) {
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                order = orders.recv() => match order {
                    Some(order) => drop(self.running.spawn(Arc::clone(&self).obey(order))),
                    None => break,
                },
            }
        }
        self.hands.close().await;
        self.running.close();
        self.running.wait().await;
    }

    async fn obey(self: Arc<Self>, order: service_api::Deployment) {
        let service_api::Deployment { package_path, target_node, answer } = order;
        let said = match self.hands.deploy(&package_path, target_node.as_deref()) {
            Ok(begun) => {
                let number = self.number();
                self.follow(number, package_path, begun).await
            }
            Err(refused) => Err(refused.to_string()),
        };
        // Whoever is gone does not want to know.
        let _ = answer.send(said);
    }

    /// `deploy`: begins one, and gives its number.
    pub(crate) fn begin(self: &Arc<Self>, with: &str) -> Result<Value, Refusal> {
        let Wanted { package, target } = read(with)?;
        let begun = self.hands.deploy(&package, target.as_deref());
        let begun = begun.map_err(|refused| match refused {
            deploy::Refused::Package(package) => {
                let folder = self.hands.packages().display();
                Refusal::no_package(&package, format!("{folder} (`deploy_packages`)"))
            }
            other => Refusal::new(other.to_string()),
        })?;
        let target = begun.host.name.clone();
        let number = self.number();
        let all = Arc::clone(self);
        self.running.spawn(async move { drop(all.follow(number, package, begun).await) });
        Ok(json!({ "deployment": number, "target_node": target }))
    }

    /// `deployment`: what happened to one since, or what happens in the next moment.
    pub(crate) async fn since(&self, with: &str) -> Result<Value, Refusal> {
        let Followed { deployment, after } = read(with)?;
        let mut news = self.news.subscribe();
        let found = async {
            loop {
                match self.told(deployment, after) {
                    Some((steps, end)) if steps.is_empty() && end.is_null() => {}
                    other => return other,
                }
                if news.changed().await.is_err() {
                    return None;
                }
            }
        };
        let told = match tokio::time::timeout(NEWS, found).await {
            Ok(told) => told,
            Err(_) => self.told(deployment, after),
        };
        let unknown = || Refusal::new(format!("deployment {deployment} is not known"));
        let (steps, end) = told.ok_or_else(unknown)?;
        Ok(json!({ "deployment": deployment, "steps": steps, "end": end }))
    }

    /// Steps after some, and the end if these are all.
    fn told(&self, deployment: u64, after: usize) -> Option<(Vec<Step>, Value)> {
        let runs = self.runs();
        let run = runs.runs.iter().find(|run| run.number == deployment)?;
        let later = run.steps.get(after..).unwrap_or_default();
        let steps: Vec<_> = later.iter().take(STEPS_PAGE_MAX).cloned().collect();
        let end = match &run.end {
            Some(end) if steps.len() == later.len() => match end {
                Ok(result) => json!({ "ok": true, "result": result }),
                Err(why) => json!({ "ok": false, "error": why }),
            },
            Some(_) | None => Value::Null,
        };
        Some((steps, end))
    }

    /// A number for one that has begun.
    fn number(&self) -> u64 {
        let mut runs = self.runs();
        runs.last += 1;
        let number = runs.last;
        if runs.runs.len() >= RUNS_MAX
            && let Some(at) = runs.runs.iter().position(|run| run.end.is_some())
        {
            runs.runs.remove(at);
        }
        runs.runs.push_back(Run { number, steps: Vec::new(), end: None });
        number
    }

    /// Tells its steps as they come; then the catalog, if the new version runs.
    async fn follow(
        &self,
        number: u64,
        package: String,
        mut begun: deploy::Deployment,
    ) -> Result<Value, String> {
        let host = begun.host.clone();
        while let Some(progress) = begun.progress.recv().await {
            self.tell(number, &package, &host, progress);
        }
        let end = match begun.ended().await {
            Ok(manifest) => {
                self.register(&manifest, &host).await;
                Ok(json!({
                    "service": manifest.name.as_str(),
                    "version": manifest.version.as_str(),
                    "target_node": host.name,
                    "package": package,
                }))
            }
            Err(failed) => Err(failed.to_string()),
        };
        self.change(number, |run| run.end = Some(end.clone()));
        end
    }

    fn tell(&self, number: u64, package: &str, host: &Host, progress: Progress) {
        let Progress { step, message, subject } = progress;
        let (service, version) = match subject {
            Some(subject) => (subject.name, Some(subject.version)),
            None => (package.to_owned(), None),
        };
        self.listeners.tell(service_api::Progress {
            service: service.clone(),
            target_node: host.name.clone(),
            stage: step.name().to_owned(),
            percent: step.percent(),
            message: message.clone(),
            version: version.clone(),
            package: package.to_owned(),
        });
        let (stage, percent) = (step.name(), step.percent());
        let target_node = host.name.clone();
        let step = Step { service, version, target_node, stage, percent, message };
        self.change(number, |run| {
            if run.steps.len() >= STEPS_MAX {
                run.steps.pop();
            }
            run.steps.push(step);
        });
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Run)) {
        if let Some(run) = self.runs().runs.iter_mut().find(|run| run.number == number) {
            change(run);
        }
        self.news.send_replace(());
    }

    fn runs(&self) -> std::sync::MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever deployed it knows where it is. A service that names no ports says so itself.
    async fn register(&self, manifest: &Manifest, host: &Host) {
        let Some((identity, facts)) = entry(manifest, host) else { return };
        let shown = identity.to_string();
        let change =
            move |catalog: &mut Catalog, now: Now| put(catalog, &identity, facts.clone(), now);
        let changed = match self.catalog.change(change).await {
            Ok(changed) => changed.map_err(|refusal| refusal.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = changed {
            tracing::warn!(error, "{shown} was deployed and is not in the catalog");
        }
    }
}

fn read<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, Refusal> {
    serde_json::from_str(text).map_err(|error| Refusal::new(format!("json: {error}")))
}

/// What the catalog is to know of what a manifest and its host say; nothing if no port is named.
fn entry(manifest: &Manifest, host: &Host) -> Option<(Identity, Facts)> {
    let address = BackendHost::parse(&host.address).ok()?;
    let endpoints = manifest.service.ports.iter().map(|port| {
        let protocol = port.protocol.as_deref().and_then(Protocol::parse);
        let protocol = protocol.unwrap_or(Protocol::Tcp);
        Endpoint::new(&port.name, address.clone(), port.port.get(), protocol)
    });
    let endpoints: Vec<_> = endpoints.collect();
    if endpoints.is_empty() {
        return None;
    }
    let identity = Identity {
        service: ServiceName::parse(manifest.name.as_str()).ok()?,
        instance: InstanceName::parse(&host.name).ok()?,
    };
    let start = format!("{}/{}/scripts/start.sh", host.root.as_str(), manifest.name.as_str());
    let depends_on = manifest.depends_on.iter().filter_map(|name| ServiceName::parse(name).ok());
    let facts = Facts {
        endpoints,
        version: Some(manifest.version.as_str().into()),
        description: manifest.description.as_deref().map(Into::into),
        depends_on: depends_on.collect(),
        execution: Some(Execution::ManagedProcess {
            pid: None,
            command: start.into(),
            args: Vec::new(),
        }),
        location: Location::Remote {
            host: host.address.as_str().into(),
            ssh_user: host.user.as_str().into(),
            ssh_port: host.port,
        },
        ..Facts::default()
    };
    Some((identity, facts))
}

/// Registers it as running.
fn put(
    catalog: &mut Catalog,
    identity: &Identity,
    facts: Facts,
    now: Now,
) -> Result<(), catalog::Refusal> {
    catalog.put(identity, Source::Api, facts, now)?;
    // From wherever it was: each is tried, and taken where it may be.
    for to in [State::Stopped, State::Starting, State::Running] {
        let held = catalog.view().instance(identity);
        if held.is_some_and(|held| held.lease == Lease::Pinned && held.state.leads_to(to)) {
            catalog.set_state(identity, to, now)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use catalog::Config;
    use deploy::{HostKey, Root};
    use model::UnixMillis;
    use package::Format;

    use super::*;

    fn host() -> Host {
        Host {
            name: "edge-1".to_owned(),
            address: "10.0.0.7".to_owned(),
            port: 22,
            user: "deploy".to_owned(),
            key: "/k".into(),
            host_key: HostKey::read(&format!("SHA256:{}", "A".repeat(43))).unwrap(),
            root: Root::read("/opt").unwrap(),
        }
    }

    fn manifest(text: &str) -> Manifest {
        Manifest::parse(Format::Yaml, text).unwrap()
    }

    #[test]
    fn what_runs_is_in_the_catalog_with_the_ports_it_names() {
        let text = |version: u8| {
            manifest(&format!(
                "name: web\nversion: {version}\ndescription: The shop\ndepends_on: [db, 'a b']\n\
                 service: {{ ports: [{{ name: http, port: 8080, protocol: http }}, \
                 {{ name: debug, port: 9090, protocol: 'no protocol' }}] }}\n"
            ))
        };
        let now = Now { mono: model::Instant::from_nanos(0), wall: UnixMillis(1) };
        let mut catalog = Catalog::new(Config::default(), [1; 32]);
        for (version, state) in [(1, None), (2, Some(State::Stopping)), (3, Some(State::Failed))] {
            let (identity, facts) = entry(&text(version), &host()).unwrap();
            if let Some(state) = state {
                catalog.set_state(&identity, state, now).unwrap();
            }
            put(&mut catalog, &identity, facts, now).unwrap();
            let held = catalog.view().instance(&identity).unwrap();
            assert_eq!(
                (held.identity.to_string().as_str(), held.state),
                ("web/edge-1", State::Running)
            );
            assert_eq!(held.facts.version.as_deref(), Some(version.to_string().as_str()));
            assert_eq!(held.facts.depends_on.len(), 1);
            let shown =
                held.facts.endpoints.iter().map(|e| (&*e.name, e.port, e.protocol.as_str()));
            assert_eq!(shown.collect::<Vec<_>>(), [("http", 8080, "http"), ("debug", 9090, "tcp")]);
        }
        // One without ports says itself where it is.
        assert_eq!(entry(&manifest("name: web\nversion: 1\n"), &host()), None);
    }
}
