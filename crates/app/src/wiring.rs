//! What the registry's orders mean to the data plane, and what it answers.

use std::sync::Arc;

use catalog::{Endpoint, Facts, Identity, Protocol};
use control::{Effect, Teller};
use dataplane::{Notice, Publisher};
use discovery::Feed;
use model::{
    BackendUrl, Event, Refusal, Reply, RouteId, Target, normalize_authority, normalize_path,
};
use probe::{Policy, Tls};
use routing::{Head, Table};
use runtime::Clock;
use session::{Input, Member, Mode, Query, QueryId};
use tokio::sync::{mpsc, watch};

use crate::operators::Operators;

/// What the registry's orders are carried out with.
#[derive(Debug)]
pub(crate) struct Hands {
    pub(crate) plane: Publisher,
    /// For whoever orders certificates.
    pub(crate) tables: Option<watch::Sender<Arc<Table>>>,
    pub(crate) clock: Clock,
    pub(crate) tls: Tls,
    pub(crate) policy: Policy,
    /// Hears of sessions.
    pub(crate) feed: Feed,
    /// Answers operators.
    pub(crate) catalog: Arc<Operators>,
}

impl Hands {
    /// Carries out an effect. Never waits: what takes time is told when it is done.
    pub(crate) fn perform(&self, effect: Effect, teller: &Teller) {
        match effect {
            Effect::Publish(table) => {
                if let Some(tables) = &self.tables {
                    tables.send_replace(Arc::clone(&table));
                }
                self.plane.publish(table);
            }
            Effect::Presence(endpoints, connected) => {
                self.plane.set_presence(&endpoints, connected);
            }
            Effect::Failing(routes) => self.plane.set_failing(&routes),
            Effect::Drain(endpoints, drain) => self.plane.set_drain(&endpoints, drain),
            Effect::Maintenance(modes) => {
                for (route, mode) in modes {
                    let page = match mode {
                        Mode::Serves => None,
                        Mode::Maintenance { page } => Some(page),
                    };
                    self.plane.set_maintenance(route, page);
                }
            }
            Effect::Watch(QueryId(watch), what) => self.plane.watch(watch, what),
            Effect::Query(id, Query::BackendTest(url, path)) => {
                self.test_backend(id, url, path, teller.clone());
            }
            Effect::Member(service, instance, member) => {
                let identity = Identity { service, instance };
                self.feed.session(identity, member.map(|member| said(*member)));
            }
            Effect::Checked(service, instance, backend, healthy, reason) => {
                let identity = Identity { service, instance };
                self.feed.check(identity, &backend.to_string(), healthy, &reason);
            }
            Effect::Query(id, Query::Catalog { what, with }) => {
                let (catalog, teller) = (Arc::clone(&self.catalog), teller.clone());
                tokio::spawn(async move {
                    let reply = catalog.answer(&what, &with).await;
                    let _ = teller.tell(Input::Answered(id, reply)).await;
                });
            }
            Effect::Query(id, query) => {
                let _ = teller.try_tell(Input::Answered(id, self.answer(&query)));
            }
        }
    }

    fn test_backend(&self, id: QueryId, url: BackendUrl, path: Box<str>, teller: Teller) {
        let (clock, tls, policy) = (self.clock, self.tls.clone(), self.policy.clone());
        tokio::spawn(async move {
            let report = probe::backend_test(clock, &url, &path, &tls, &policy).await;
            let _ = teller.tell(Input::Answered(id, Reply::Backend(report))).await;
        });
    }

    fn answer(&self, query: &Query) -> Reply {
        match query {
            Query::Explain { host, path, .. } => self.explain(host, path),
            Query::Stats { target, routes, compressed } => Reply::Stats {
                all: *target == Target::All,
                reports: routes.iter().map(|route| self.plane.stats(*route)).collect(),
                compressed: *compressed,
            },
            Query::CircuitStatus { target, routes } => Reply::CircuitStatus {
                all: *target == Target::All,
                reports: routes.iter().map(|route| self.plane.circuit(*route)).collect(),
            },
            Query::CircuitReset(routes) => {
                routes.iter().for_each(|route: &RouteId| self.plane.reset_circuit(*route));
                Reply::CircuitOk
            }
            // Asked of the backend itself, and of the catalog.
            Query::BackendTest(..) | Query::Catalog { .. } => {
                Reply::Refused(Refusal::NOT_SUPPORTED_YET)
            }
        }
    }

    fn explain(&self, host: &str, path: &str) -> Reply {
        let Some(host) = normalize_authority(host.as_bytes()) else {
            return Reply::Refused(Refusal::new("host must be a host name"));
        };
        match normalize_path(path.as_bytes()) {
            Ok(normal) => {
                let head = Head { host: Some(&host), raw_path: path, path: &normal };
                Reply::Explain(Box::new(self.plane.explain(head)))
            }
            Err(error) => Reply::Refused(Refusal::new(format!("path {error}"))),
        }
    }
}

/// What an instance's sessions say about it, and whether somebody vouches for it.
fn said(member: Member) -> (Facts, bool) {
    let endpoint = |backend: &BackendUrl| {
        let protocol = Protocol::Url(backend.scheme());
        Endpoint::new(&backend.to_string(), backend.host().clone(), backend.port(), protocol)
    };
    let endpoints = member.backends.iter().map(endpoint).collect();
    let version = member.metadata.as_deref().and_then(version_in);
    let Member { metadata, is_draining, .. } = member;
    let facts = Facts { endpoints, version, metadata, is_draining, ..Facts::default() };
    (facts, member.is_connected)
}

/// Longest version that is taken out of metadata, in bytes: it fits into one text of DNS.
const VERSION_BYTES_MAX: usize = 128;

/// What an instance says its version is: a text in its metadata.
fn version_in(metadata: &str) -> Option<Box<str>> {
    let said: serde_json::Value = serde_json::from_str(metadata).ok()?;
    let version = said.get("version")?.as_str()?;
    let fits = (1..=VERSION_BYTES_MAX).contains(&version.len());
    (fits && !version.contains(char::is_control)).then(|| version.into())
}

/// Tells the registry what the data plane noticed.
pub(crate) async fn tell(mut notices: mpsc::Receiver<Notice>, teller: Teller) {
    while let Some(notice) = notices.recv().await {
        let input = match notice {
            Notice::Refused(endpoint) => Input::Refused(endpoint),
            Notice::Drained(endpoint) => Input::Drained(endpoint),
            Notice::Live(generation) => Input::Live(generation),
            Notice::Circuit(route, state) => {
                Input::Happened(Event::CircuitStateChanged { route, state })
            }
            Notice::Health(route, healthy, reason) => {
                let reason = reason.into();
                Input::Happened(Event::BackendHealthChanged { route, healthy, reason })
            }
            Notice::Tripped(watch, guard) => Input::Tripped(QueryId(watch), guard),
        };
        if teller.tell(input).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_metadata() {
        let long = format!("{{\"version\":\"{}\"}}", "v".repeat(VERSION_BYTES_MAX));
        let longer = long.replace("\"v", "\"vv");
        let longest = "v".repeat(VERSION_BYTES_MAX);
        #[rustfmt::skip]
        let table = [
            ("{\"version\":\"1.2.3\",\"a\":1}", Some("1.2.3")),
            ("{\"version\":2}",                 None),
            ("{\"version\":\"\"}",              None),
            ("{\"version\":\"a\\nb\"}",         None),
            ("{\"pinned\":true}",               None),
            ("[\"version\"]",                   None),
            ("null",                            None),
            ("{",                               None),
            (&long,                             Some(longest.as_str())),
            (&longer,                           None),
        ];
        for (metadata, want) in table {
            let member = Member {
                is_connected: true,
                is_draining: false,
                backends: Vec::new(),
                metadata: Some(metadata.into()),
            };
            let (facts, _) = said(member);
            assert_eq!(facts.version.as_deref(), want, "{metadata}");
            assert_eq!(facts.metadata.as_deref(), Some(metadata));
        }
    }
}
