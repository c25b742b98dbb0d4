//! What each action does to the catalog, or reads from it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

use catalog::{Catalog, Identity, Instance, Lease, Refusal, Source, State, View};
use discovery::Handle;
use model::{Now, ServiceName};
use runtime::Clock;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use telemetry::Outcomes;

use crate::deploy::Deployer;
use crate::entry::{EndpointEntry, EntryError, ServiceEntry, endpoints_of, identity};
use crate::envelope::{Request, loaded, raw};
use crate::event::Networks;
use crate::fault::Fault;
use crate::ignored::ignored;
use crate::order::{Order, way};
use crate::outcome::Became;

/// Whose words can be taken back here, the first of them first.
const IN_REACH: [Source; 2] = [Source::Api, Source::Manual];
/// Instances that are told to who has to name one.
const INSTANCES_TOLD_MAX: usize = 16;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) handle: Handle,
    pub(crate) clock: Clock,
    /// Names this life of the process: numbers of events begin anew with the next one.
    pub(crate) epoch: String,
    pub(crate) deployer: Option<Deployer>,
    pub(crate) outcomes: Outcomes<Became>,
    /// Every service as text, as it was at one moment: thousands ask for the same.
    services: Mutex<Option<(Arc<View>, Arc<RawValue>)>>,
}

#[derive(Deserialize)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) instance: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Ordered {
    pub(crate) name: String,
    pub(crate) instance: Option<String>,
    pub(crate) action: String,
}

#[derive(Deserialize)]
struct OfService {
    service: String,
}

#[derive(Serialize)]
struct Registered {
    #[serde(flatten)]
    entry: ServiceEntry,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<String>,
}

#[derive(Serialize)]
struct StateOrdered<'a> {
    service: &'a str,
    old_state: &'static str,
    new_state: &'static str,
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
}

#[derive(Serialize)]
struct Gone<'a> {
    service: &'a str,
    instance: &'a str,
    status: &'static str,
}

/// An address of a configured subnet, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// The service.
    pub service: String,
    /// Its address.
    pub ip: Ipv4Addr,
}

/// Why a change is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Entry(#[from] EntryError),
    #[error(transparent)]
    Catalog(#[from] Refusal),
    #[error(transparent)]
    Transition(#[from] catalog::TransitionError),
    #[error("Service not found: {0}")]
    Unknown(String),
    #[error("{0} is registered {1}")]
    Elsewhere(Identity, &'static str),
    #[error("{0} has several instances: name one with `instance`: {1}")]
    Several(ServiceName, String),
    #[error(transparent)]
    Change(#[from] discovery::ChangeError),
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::new(refused)
    }
}

impl Api {
    pub(crate) fn new(
        handle: Handle,
        clock: Clock,
        epoch: String,
        deployer: Option<Deployer>,
    ) -> Self {
        Self {
            handle,
            clock,
            epoch,
            deployer,
            outcomes: Outcomes::default(),
            services: Mutex::new(None),
        }
    }

    /// Carries out what needs nothing of the connection but where it comes from.
    pub(crate) async fn answer(
        &self,
        request: &Request,
        asker: IpAddr,
    ) -> Result<Arc<RawValue>, Fault> {
        let view = self.handle.view();
        let answer = match request.action.as_str() {
            "list_services" => return self.services(&view),
            "get_service" => {
                let Named { name, .. } = request.params()?;
                let found = view.service(&name);
                let entry = found.and_then(|found| ServiceEntry::of(found, &view, Some(asker)));
                raw(&entry.ok_or_else(|| Fault::not_found(&name))?)
            }
            "list_endpoints" => raw(&all_endpoints(&view, asker)),
            "service_action" => {
                let Ordered { name, instance, action } = request.params()?;
                let order = Order::parse(&action)
                    .ok_or_else(|| Fault::new("action must be start, stop, restart or reload"))?;
                match self.order(&name, instance, order).await? {
                    None => raw(&Status { status: "reload_initiated" }),
                    Some((from, to)) => raw(&StateOrdered {
                        service: &name,
                        old_state: from.as_str(),
                        new_state: to.as_str(),
                    }),
                }
            }
            "register_service" => {
                let entry = register(&self.handle, &request.params()?, Some(asker)).await?;
                raw(&Registered { entry, ignored: ignored(request.params_text()) })
            }
            "deregister_service" => {
                let Named { name, instance } = request.params()?;
                let identity = deregister(&self.handle, &name, instance.as_deref()).await?;
                let (service, instance) = (&identity.service, &identity.instance);
                let (service, instance) = (service.as_str(), instance.as_str());
                raw(&Gone { service, instance, status: "deregistered" })
            }
            "allocate_ip" => raw(&allocate(&self.handle, service_of(request)?).await?),
            "release_ip" => raw(&release(&self.handle, service_of(request)?).await?),
            "list_allocations" => {
                let all = view.allocations();
                let all = all.map(|(service, ip)| Allocation { service: service.to_owned(), ip });
                raw(&all.collect::<Vec<_>>())
            }
            "get_topology" => raw(&Networks::of(view.topology())),
            "ping" => raw(&Status { status: "pong" }),
            unknown => Err(Fault::new(format!("unknown variant `{unknown}`: no such action"))),
        };
        answer.map(Arc::from)
    }

    /// The event that tells the whole catalog.
    pub(crate) fn loaded(&self) -> Result<String, Fault> {
        let view = self.handle.view();
        Ok(loaded(&self.services(&view)?, view.seq(), &self.epoch))
    }

    fn services(&self, view: &Arc<View>) -> Result<Arc<RawValue>, Fault> {
        let held = self.services.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((of, text)) = held
            && Arc::ptr_eq(&of, view)
        {
            return Ok(text);
        }
        let text: Arc<RawValue> = raw(&all_services(view))?.into();
        let held = Some((Arc::clone(view), Arc::clone(&text)));
        *self.services.lock().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(text)
    }

    async fn order(
        &self,
        name: &str,
        instance: Option<String>,
        order: Order,
    ) -> Result<Option<(State, State)>, Refused> {
        let name = name.to_owned();
        let change = move |catalog: &mut Catalog, now| {
            at_once(catalog, |catalog| carry_out(catalog, &name, instance.as_deref(), order, now))
        };
        self.handle.change(change).await?
    }
}

/// The service that a request names, to have an address or not.
pub(crate) fn service_of(request: &Request) -> Result<ServiceName, Fault> {
    let OfService { service } = request.params()?;
    ServiceName::parse(&service).map_err(|why| Fault::new(format!("service {why}")))
}

pub(crate) fn all_services(view: &View) -> Vec<ServiceEntry> {
    view.services().filter_map(|service| ServiceEntry::of(service, view, None)).collect()
}

/// Where services are, as far as that is an address: clients in use read nothing else, and one host
/// name would keep them from reading any.
fn all_endpoints(view: &View, asker: IpAddr) -> BTreeMap<&str, Vec<EndpointEntry>> {
    let each = view.services().map(|service| {
        let endpoints = endpoints_of(service, view, Some(asker)).into_iter();
        let addresses = endpoints.filter(|(_, is_named)| !is_named).map(|(endpoint, _)| endpoint);
        (service.name.as_str(), addresses.collect())
    });
    each.collect()
}

/// Registers, in place of what the service API said before.
pub(crate) async fn register(
    handle: &Handle,
    entry: &ServiceEntry,
    asker: Option<IpAddr>,
) -> Result<ServiceEntry, Refused> {
    let entry = entry.clone();
    handle.change(move |catalog, now| put(catalog, &entry, asker, now)).await?
}

pub(crate) fn put(
    catalog: &mut Catalog,
    entry: &ServiceEntry,
    asker: Option<IpAddr>,
    now: Now,
) -> Result<ServiceEntry, Refused> {
    let (identity, facts, state) = (entry.identity()?, entry.facts()?, entry.state);
    at_once(catalog, |catalog| {
        if let Some(held) = catalog.view().instance(&identity)
            && held.source < Source::Api
        {
            return Err(live(held).into());
        }
        catalog.put(&identity, Source::Api, facts, now)?;
        let from = catalog.view().instance(&identity).map_or(state, |held| held.state);
        for step in way(from, state)? {
            catalog.set_state(&identity, *step, now)?;
        }
        let view = catalog.view();
        let shown = view.service(&entry.name).and_then(|of| ServiceEntry::of(of, view, asker));
        shown.ok_or_else(|| Refused::Unknown(entry.name.clone()))
    })
}

/// Takes back what the service API said, or else what was added by hand, and says about whom.
pub(crate) async fn deregister(
    handle: &Handle,
    name: &str,
    instance: Option<&str>,
) -> Result<Identity, Refused> {
    let named = identity(name, instance)?;
    let is_named = instance.is_some();
    let take =
        move |catalog: &mut Catalog, now: Now| take_back(catalog, named.clone(), is_named, now);
    handle.change(take).await?
}

/// The instance that is named; else the one called like the service, or the only one there is.
pub(crate) fn take_back(
    catalog: &mut Catalog,
    named: Identity,
    is_named: bool,
    now: Now,
) -> Result<Identity, Refused> {
    let unknown = |what: &dyn std::fmt::Display| Refused::Unknown(what.to_string());
    let service = catalog.view().service(named.service.as_str());
    let service = service.ok_or_else(|| unknown(&named.service))?;
    let ours = |held: &&Arc<Instance>| held.sources.iter().any(|source| IN_REACH.contains(source));
    let identity = match service.instance(named.instance.as_str()) {
        Some(held) if ours(&held) => named,
        Some(held) if held.lease != Lease::Pinned => return Err(live(held).into()),
        Some(held) => return Err(Refused::Elsewhere(named, way_out(held.source))),
        None if is_named => return Err(unknown(&named)),
        None => {
            let mut all = service.instances.iter().filter(ours);
            match (all.next(), all.next()) {
                (Some(only), None) => only.identity.clone(),
                (Some(_), Some(_)) => {
                    let names = service.instances.iter().filter(ours).take(INSTANCES_TOLD_MAX);
                    let names: Vec<_> = names.map(|it| it.identity.instance.as_str()).collect();
                    return Err(Refused::Several(named.service, names.join(", ")));
                }
                (None, _) => {
                    let held = service.owner().ok_or_else(|| unknown(&named.service))?;
                    return Err(match held.lease {
                        Lease::Pinned => {
                            Refused::Elsewhere(held.identity.clone(), way_out(held.source))
                        }
                        Lease::Connection(_) | Lease::Heartbeat => live(held).into(),
                    });
                }
            }
        }
    };
    let removed = IN_REACH.iter().any(|source| catalog.remove(&identity, *source, now));
    debug_assert!(removed, "one of them was there");
    Ok(identity)
}

/// What can be done about what neither the service API nor somebody by hand has said.
const fn way_out(source: Source) -> &'static str {
    match source {
        Source::Session => "by a session: end that",
        Source::Api => "over the service API: deregister it",
        Source::Heartbeat => "by heartbeats: end them",
        Source::Manual => "by hand: remove it",
        Source::Env => "by the environment of proxyd: change that and restart",
        Source::File => "by the backends file: take it out there",
        Source::Auto => "by proxyd itself: change [json_rpc] self in its configuration",
    }
}

pub(crate) async fn allocate(handle: &Handle, service: ServiceName) -> Result<Allocation, Refused> {
    let given = handle.change(move |catalog, _| {
        let ip = catalog.allocate(service.as_str())?;
        Ok(Allocation { service: service.to_string(), ip })
    });
    given.await?
}

pub(crate) async fn release(handle: &Handle, service: ServiceName) -> Result<Allocation, Fault> {
    let freed = handle.change(move |catalog, _| {
        let ip = catalog.release(service.as_str());
        ip.map(|ip| Allocation { service: service.to_string(), ip })
            .ok_or_else(|| Fault::new(format!("no IP is allocated to {service}")))
    });
    freed.await.map_err(Fault::new)?
}

/// Changes all of it or, if a part is refused, nothing.
fn at_once<R>(
    catalog: &mut Catalog,
    change: impl FnOnce(&mut Catalog) -> Result<R, Refused>,
) -> Result<R, Refused> {
    let mut next = catalog.clone();
    let done = change(&mut next)?;
    *catalog = next;
    Ok(done)
}

/// Orders every instance, or the one that is named. Gives what the first of them did and does;
/// nothing if it goes on doing what it does.
pub(crate) fn carry_out(
    catalog: &mut Catalog,
    name: &str,
    instance: Option<&str>,
    order: Order,
    now: Now,
) -> Result<Option<(State, State)>, Refused> {
    let service = catalog.view().service(name);
    let service = service.ok_or_else(|| Refused::Unknown(name.to_owned()))?.clone();
    let is_meant = |held: &&Arc<Instance>| {
        instance.is_none_or(|named| held.identity.instance.as_str() == named)
    };
    let meant: Vec<_> = service.instances.iter().filter(is_meant).collect();
    if meant.is_empty() {
        return Err(Refused::Unknown(format!("{name}/{}", instance.unwrap_or_default())));
    }
    let mut first = None;
    for held in meant {
        if held.lease != Lease::Pinned {
            return Err(live(held).into());
        }
        let steps = order.steps(held.state)?;
        for step in steps {
            catalog.set_state(&held.identity, *step, now)?;
        }
        if steps.is_empty() {
            catalog.remind(&held.identity, now);
        }
        if let (None, Some(last)) = (first, steps.last()) {
            first = Some((held.state, *last));
        }
    }
    Ok(first)
}

fn live(held: &Instance) -> Refusal {
    Refusal::Live(held.identity.clone(), held.source.as_str())
}
