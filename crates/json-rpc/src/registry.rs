//! Carries calls out in the catalog.
//!
//! What is registered here is [`Source::Manual`], under the service's own name. It goes before files,
//! the environment and proxyd's own entry, and behind whoever is live: what a session, the service
//! API or heartbeats say is changed there.

use std::sync::Arc;

use catalog::{Catalog, Facts, Identity, Refusal, Service, Source, View};
use discovery::{ChangeError, Handle};
use model::Now;
use serde::Serialize;
use tokio::sync::Mutex;

use crate::Entry;
use crate::backend::{Backend, backend};
use crate::environment::VARIABLE;
use crate::error::Error;
use crate::lists::Lists;
use crate::params::Given;
use crate::request::{Call, Update};
use crate::sources::Reload;

/// Instances that are told to who has to name one.
const INSTANCES_TOLD_MAX: usize = 16;

/// What is answered: JSON.
pub(crate) type Content = Arc<str>;

/// Contents, each with its name under `type`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said<'a> {
    BackendRegistered(Changed<'a>),
    Backend { backend: Option<Backend<'a>> },
    BackendUpdated(Changed<'a>),
    BackendDeleted { name: &'a str },
    Ping { name: &'a str, success: bool, message: String },
    Reloaded { count: usize },
    Error { message: &'a str, reason: &'a str },
}

/// A backend after a change, and what of the parameters meant nothing.
#[derive(Serialize)]
struct Changed<'a> {
    backend: Backend<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ignored: &'a [Box<str>],
}

/// Why a call was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// What was wanted cannot be: the words of the hub, and what to do about it.
    Refused { message: String, reason: String },
    /// Our own fault.
    Ours(String),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused { message, reason } => Self::refused(message, reason),
            Failure::Ours(reason) => Self::internal(reason),
        }
    }
}

/// Asks and changes the catalog.
#[derive(Debug)]
pub(crate) struct Registry {
    handle: Handle,
    reload: Reload,
    /// Whoever finds it taken has its list written by somebody else meanwhile.
    lists: Mutex<Lists>,
}

impl Registry {
    pub(crate) fn new(handle: Handle, reload: Reload) -> Self {
        Self { handle, reload, lists: Mutex::default() }
    }

    pub(crate) async fn perform(&self, call: Call) -> Result<Content, Failure> {
        match call {
            Call::List { active_only } => {
                let mut lists = self.lists.lock().await;
                let list = lists.list(&self.handle.view(), active_only);
                list.map_err(|error| Failure::Ours(error.to_string()))
            }
            Call::Get { name } => get(&self.handle.view(), &name),
            call @ (Call::Register(..)
            | Call::Update(_)
            | Call::Delete { .. }
            | Call::Ping { .. }) => {
                self.change(move |catalog, now| carry_out(catalog, &call, now)).await
            }
            Call::Reload => match self.reload.ask().await {
                Ok(count) => content(&Said::Reloaded { count }),
                Err(reason) => {
                    let message = format!("Failed to reload config: {reason}");
                    Err(Failure::Refused { message, reason })
                }
            },
        }
    }

    async fn change<F>(&self, change: F) -> Result<Content, Failure>
    where
        F: FnMut(&mut Catalog, Now) -> Result<Content, Failure> + Send + 'static,
    {
        let changed = self.handle.change(change).await;
        changed.map_err(|error: ChangeError| Failure::Ours(error.to_string()))?
    }
}

/// Carries out what changes the catalog. Lists and files are read elsewhere: of them nothing is told.
pub(crate) fn carry_out(catalog: &mut Catalog, call: &Call, now: Now) -> Result<Content, Failure> {
    match call {
        Call::Register(entry, ignored) => register(catalog, entry, ignored, now),
        Call::Update(update) => change(catalog, update, now),
        Call::Delete { name, instance } => delete(catalog, name, instance.as_deref(), now),
        Call::Ping { name } => ping(catalog, name, now),
        Call::Get { name } => get(catalog.view(), name),
        Call::List { .. } | Call::Reload => Ok("null".into()),
    }
}

fn get(view: &View, name: &str) -> Result<Content, Failure> {
    let backend = view.service(name).and_then(|service| backend(service));
    content(&Said::Backend { backend })
}

/// What is told in a subscription instead of an error.
pub(crate) fn complaint(failure: &Failure) -> Content {
    let (message, reason) = match failure {
        Failure::Refused { message, reason } => (message, reason),
        Failure::Ours(reason) => (reason, reason),
    };
    content(&Said::Error { message, reason }).unwrap_or_else(|_| "null".into())
}

fn content(said: &Said<'_>) -> Result<Content, Failure> {
    match serde_json::to_string(said) {
        Ok(text) => Ok(text.into()),
        Err(error) => Err(Failure::Ours(error.to_string())),
    }
}

fn register(
    catalog: &mut Catalog,
    entry: &Entry,
    ignored: &[Box<str>],
    now: Now,
) -> Result<Content, Failure> {
    let refused = |cause: &str, reason: String| {
        let message = format!("Failed to register backend: {cause}");
        Failure::Refused { message, reason }
    };
    let identity = entry.identity();
    let name = identity.service.as_str();
    if let Some(service) = catalog.view().service(name)
        && let Some(first) = service.owner()
    {
        if first.source < Source::Manual {
            let (cause, reason) = owned(name, first.source);
            return Err(refused(&cause, reason));
        }
        if is_ours(service, identity) {
            // As the hub's database words it: its clients may look for that.
            let cause = "error returned from database: (code: 2067) UNIQUE constraint failed: \
                         backends.name";
            let reason = format!("{name} is registered already: change it with registry.update");
            return Err(refused(cause, reason));
        }
    }
    put(catalog, identity, entry.facts(), now).map_err(|why| refused(&why, why.clone()))?;
    shown(catalog, name, |backend| Said::BackendRegistered(Changed { backend, ignored }))
}

fn change(catalog: &mut Catalog, update: &Update, now: Now) -> Result<Content, Failure> {
    let name = update.name.as_str();
    let service = catalog.view().service(name).ok_or_else(|| not_found(name))?;
    let first = service.owner().ok_or_else(|| not_found(name))?;
    let refused = |cause: &str, reason: String| {
        let message = format!("Failed to update backend: {cause}");
        Failure::Refused { message, reason }
    };
    if first.source != Source::Manual {
        let (cause, reason) = owned(name, first.source);
        return Err(refused(&cause, reason));
    }
    let identity = first.identity.clone();
    let mut facts = Facts::clone(&first.facts);
    if let Some(endpoint) = facts.endpoints.first_mut() {
        endpoint.host = update.host.clone().unwrap_or_else(|| endpoint.host.clone());
        endpoint.port = update.port.unwrap_or(endpoint.port);
        endpoint.protocol = update.protocol.clone().unwrap_or_else(|| endpoint.protocol.clone());
    }
    replace(&mut facts.description, &update.description);
    replace(&mut facts.namespace, &update.namespace);
    put(catalog, &identity, facts, now).map_err(|why| refused(&why, why.clone()))?;
    let ignored = &update.ignored;
    shown(catalog, &update.name, |backend| Said::BackendUpdated(Changed { backend, ignored }))
}

/// Takes back what was added by hand: under the instance that is named, else under the service's own
/// name, else the only one there is.
fn delete(
    catalog: &mut Catalog,
    name: &str,
    instance: Option<&str>,
    now: Now,
) -> Result<Content, Failure> {
    let service = catalog.view().service(name).ok_or_else(|| not_found(name))?;
    let refused = |cause: &str, reason: String| {
        let message = format!("Failed to delete backend: {cause}");
        Failure::Refused { message, reason }
    };
    let by_hand = || {
        let all = service.instances.iter();
        all.filter(|held| held.sources.contains(&Source::Manual)).map(|held| &held.identity)
    };
    let named = |wanted: &str| by_hand().find(|held| held.instance.as_str() == wanted);
    let found = match instance {
        Some(wanted) => named(wanted),
        None => named(name).or_else(|| by_hand().next().filter(|_| by_hand().count() == 1)),
    };
    let Some(identity) = found.cloned() else {
        let others: Vec<_> =
            by_hand().take(INSTANCES_TOLD_MAX).map(|it| it.instance.as_str()).collect();
        if !others.is_empty() {
            let cause = format!("{name} was added by hand under several instances");
            let cause = match instance {
                Some(wanted) => format!("{name}/{wanted} was not added by hand"),
                None => cause,
            };
            let reason = format!("{cause}: name one with instance: {}", others.join(", "));
            return Err(refused(&cause, reason));
        }
        let first = service.owner().ok_or_else(|| not_found(name))?;
        let (cause, reason) = owned(name, first.source);
        return Err(refused(&cause, reason));
    };
    catalog.remove(&identity, Source::Manual, now);
    content(&Said::BackendDeleted { name })
}

fn ping(catalog: &mut Catalog, name: &str, now: Now) -> Result<Content, Failure> {
    let first = catalog.view().service(name).and_then(|service| service.owner());
    let identity = first.map(|first| first.identity.clone());
    let success = identity.is_some_and(|identity| catalog.touch(&identity, now).is_ok());
    let message = if success {
        "Backend health check updated".to_owned()
    } else {
        format!("Backend not found: {name}")
    };
    content(&Said::Ping { name, success, message })
}

fn put(catalog: &mut Catalog, identity: &Identity, facts: Facts, now: Now) -> Result<(), String> {
    catalog
        .put(identity, Source::Manual, facts, now)
        .map_err(|refusal: Refusal| refusal.to_string())
}

/// A backend as it is after a change.
fn shown<'a>(
    catalog: &'a Catalog,
    name: &str,
    said: impl FnOnce(Backend<'a>) -> Said<'a>,
) -> Result<Content, Failure> {
    let service = catalog.view().service(name);
    let backend = service.and_then(|service| backend(service)).ok_or_else(|| not_found(name))?;
    content(&said(backend))
}

/// Whether something was registered here under this name, believed or not.
fn is_ours(service: &Service, identity: &Identity) -> bool {
    let instance = service.instance(identity.instance.as_str());
    instance.is_some_and(|instance| instance.sources.contains(&Source::Manual))
}

fn replace(text: &mut Option<Box<str>>, given: &Given<Box<str>>) {
    match given {
        Given::No => {}
        Given::Null => *text = None,
        Given::Value(new) => *text = Some(new.clone()),
    }
}

fn not_found(name: &str) -> Failure {
    Failure::Refused {
        message: format!("Backend not found: {name}"),
        reason: "nothing of this name is in the catalog: add it with registry.register".to_owned(),
    }
}

/// Whose a backend is, and where it is changed.
fn owned(name: &str, source: Source) -> (String, String) {
    let (owner, place) = match source {
        Source::Session => ("a live session", "over its session of the registry protocol"),
        Source::Api => ("the service API", "over the service API"),
        Source::Heartbeat => ("live heartbeats", "in the program that sends them"),
        Source::Manual => ("registry.register", "with registry.update"),
        Source::Env => ("the environment", VARIABLE),
        Source::File => ("the backends file", "in the backends file"),
        Source::Auto => ("proxyd itself", "at [json_rpc] self in proxyd's configuration"),
    };
    let cause = format!("{name} belongs to {owner}");
    let reason = match source {
        Source::Session | Source::Api | Source::Heartbeat | Source::Manual => {
            format!("{cause}: change it {place}")
        }
        Source::Env => {
            format!("{cause}: change {place}, or register {name} here, which goes first")
        }
        Source::File | Source::Auto => {
            format!("{cause}: change it {place}, or register {name} here, which goes first")
        }
    };
    (cause, reason)
}
