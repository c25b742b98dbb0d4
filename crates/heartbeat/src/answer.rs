//! What the catalog says to a request.

use std::net::IpAddr;
use std::time::Duration;

use catalog::{Identity, Refusal, Service, Source, View};
use discovery::{ChangeError, Handle};
use model::{BackendHost, ServiceName};
use wire::heartbeat::{Answer, Ask};

/// For the address of an endpoint that is known by name only.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);

pub(crate) async fn answer(ask: Ask, peer: IpAddr, catalog: &Handle) -> Answer {
    match ask {
        Ask::Register(name) => register(&name, peer, catalog).await,
        Ask::Beat(name) => beat(&name, peer, catalog).await,
        Ask::Deregister(name) => deregister(&name, peer, catalog).await,
        Ask::Lookup(name) => lookup(&name, &catalog.view()).await,
    }
}

async fn register(name: &ServiceName, peer: IpAddr, catalog: &Handle) -> Answer {
    let Some(identity) = alone(name) else { return failed(&"no such name") };
    let register =
        move |catalog: &mut catalog::Catalog, now| catalog.register_heartbeat(&identity, peer, now);
    match catalog.change(register).await {
        Ok(Ok(given)) => {
            tracing::info!(%name, %peer, address = %given.address, port = given.port, "registered");
            Answer::Registered(IpAddr::V4(given.address), given.port)
        }
        Ok(Err(refusal)) => {
            tracing::info!(%name, %peer, %refusal, "not registered");
            failed(&refusal)
        }
        Err(error) => failed(&error),
    }
}

async fn beat(name: &ServiceName, peer: IpAddr, catalog: &Handle) -> Answer {
    let Some(identity) = alone(name) else { return Answer::NotBeaten };
    // Of another peer it would keep a name alive whose own service is gone, and that peer, which
    // waits for the name, would never get it.
    let beaten = catalog.change(move |catalog, now| {
        is_of(catalog.view(), &identity, peer) && catalog.beat(&identity, now)
    });
    match beaten.await {
        Ok(true) => Answer::Beaten,
        Ok(false) => Answer::NotBeaten,
        Err(error) => {
            tracing::debug!(%name, %error, "a heartbeat does not count");
            Answer::NotBeaten
        }
    }
}

async fn deregister(name: &ServiceName, peer: IpAddr, catalog: &Handle) -> Answer {
    let Some(identity) = alone(name) else { return failed(&"no such name") };
    let deregister = move |catalog: &mut catalog::Catalog, now| {
        let service = &identity.service;
        let held = catalog.view().instance(&identity);
        match held {
            Some(held) if held.sources.contains(&Source::Heartbeat) => {}
            Some(held) => {
                let source = held.source.as_str();
                return Err(format!(
                    "{service} is not registered here: its source is {source}, remove it there"
                ));
            }
            None if catalog.view().service(service.as_str()).is_some() => {
                return Err(format!("{service} is not registered here, though the catalog has it"));
            }
            None => return Err(format!("{service} is not registered")),
        }
        if !is_of(catalog.view(), &identity, peer) {
            return Err(Refusal::Foreign(identity.clone()).to_string());
        }
        catalog.remove(&identity, Source::Heartbeat, now);
        Ok(())
    };
    match catalog.change(deregister).await {
        Ok(Ok(())) => {
            tracing::info!(%name, %peer, "deregistered");
            Answer::Deregistered
        }
        Ok(Err(reason)) => failed(&reason),
        Err(error @ (ChangeError::Ended | ChangeError::Unsaved(_) | ChangeError::Failed)) => {
            failed(&error)
        }
    }
}

/// Where a service of any source is: at its virtual address if it is known by that, else at the best
/// endpoint that has an address.
async fn lookup(name: &ServiceName, view: &View) -> Answer {
    let Some(service) = view.service_in_any_case(name.as_str()) else { return Answer::NotFound };
    if let Some(given) = service.virtual_address() {
        return Answer::Found(IpAddr::V4(given.address), given.port);
    }
    match best(service).await {
        Some((ip, port)) => Answer::Found(ip, port),
        None => Answer::NotFound,
    }
}

async fn best(service: &Service) -> Option<(IpAddr, u16)> {
    let endpoints = service.endpoints();
    let standing = |found: &catalog::Reachable<'_>| found.instance.standing_of(found.endpoint);
    let best = endpoints.first().map(standing)?;
    let mut named = None;
    for found in endpoints.iter().filter(|found| standing(found) == best) {
        match &found.endpoint.host {
            BackendHost::Ip(ip) => return Some((*ip, found.endpoint.port)),
            BackendHost::Name(name) => named = named.or(Some((name, found.endpoint.port))),
        }
    }
    let (name, port) = named?;
    let lookup = tokio::net::lookup_host((&**name, port));
    let address = tokio::time::timeout(RESOLVE_TIMEOUT, lookup).await.ok()?.ok()?.next()?;
    Some((address.ip(), port))
}

fn is_of(view: &View, identity: &Identity, peer: IpAddr) -> bool {
    let given = view.instance(identity).and_then(|instance| instance.given);
    given.is_some_and(|given| given.peer == peer.to_canonical())
}

fn alone(name: &ServiceName) -> Option<Identity> {
    Identity::alone(name.as_str()).ok()
}

fn failed(reason: &dyn std::fmt::Display) -> Answer {
    Answer::Failed(reason.to_string().into())
}
