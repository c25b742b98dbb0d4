//! The one validator: what staged changes would come to, and everything that is wrong with them.
//! CONFIG_VALIDATE, CONFIG_APPLY, CONFIG_DIFF and the commands that take effect at once all ask it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use model::{
    Generation, MatchKind, OptionKey, OptionValue, Refusal, RouteId, RouteSpec, Scheme,
    SettingsEdits, StagedRoute, Target,
};
use routing::RouteKey;

use crate::Registry;
use crate::bounds::FAULTS_SHOWN_MAX;
use crate::overlay::{Overlay, routes_of, without_own};
use crate::released::{Claim, Released, Taken};
use crate::staging::is_added;
use crate::state::{Identity, Session, Sid};

/// Changes to check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) routes: &'a BTreeMap<RouteId, StagedRoute>,
    pub(crate) settings: &'a SettingsEdits,
}

/// What they would come to.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Routes of the session that go.
    pub(crate) removes: Vec<RouteId>,
    /// Routes of the session that appear, or are something else from now on, and their age if
    /// they keep it.
    pub(crate) puts: Vec<(RouteId, RouteSpec, Option<Generation>)>,
    /// Settings, with those of removed routes going too.
    pub(crate) settings: SettingsEdits,
    /// Routes that lose keys to this change.
    pub(crate) released: Vec<Released>,
    /// Keys that the change will own, by route.
    pub(crate) keys: Vec<(RouteId, RouteKey)>,
    /// Routes that stay and are compared in another way.
    pub(crate) rekeyed: Vec<RouteId>,
    /// How many routes are new.
    pub(crate) added: usize,
}

/// A plan, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) plan: Plan,
    pub(crate) faults: Vec<String>,
}

impl Checked {
    /// The plan, if nothing is wrong.
    ///
    /// # Errors
    ///
    /// All faults, joined.
    pub(crate) fn accepted(self) -> Result<Plan, Refusal> {
        if self.faults.is_empty() { Ok(self.plan) } else { Err(refusal(&self.faults)) }
    }
}

/// Several faults as one answer.
pub(crate) fn refusal(faults: &[String]) -> Refusal {
    let mut text = faults.iter().take(FAULTS_SHOWN_MAX).cloned().collect::<Vec<_>>().join("; ");
    if let Some(more) = faults.len().checked_sub(FAULTS_SHOWN_MAX).filter(|more| *more > 0) {
        let _ = write!(text, "; and {more} more");
    }
    Refusal::new(text)
}

/// A check under way.
struct Checking<'a> {
    registry: &'a Registry,
    session: &'a Session,
    part: Part<'a>,
    overlay: Overlay<'a>,
    plan: Plan,
    /// Keys that go from one route to another, beside what the caller takes.
    taken: Taken,
    giving: BTreeSet<RouteId>,
    faults: Vec<String>,
}

impl Registry {
    /// Checks changes of a session. `taken` are keys that the change takes away in any case.
    pub(crate) fn checked(&self, session: &Session, part: Part<'_>, taken: Taken) -> Checked {
        let mut checking = Checking {
            registry: self,
            session,
            part,
            overlay: Overlay { base: &session.settings, edits: part.settings },
            plan: Plan { settings: part.settings.clone(), ..Plan::default() },
            taken,
            giving: BTreeSet::new(),
            faults: Vec::new(),
        };
        checking.routes();
        checking.rekeyed();
        checking.targets();
        checking.owners();
        checking.options();
        checking.bounds();
        checking.plan.released = self.released(&checking.taken);
        Checked { plan: checking.plan, faults: checking.faults }
    }

    /// Checks everything that a session has staged.
    pub(crate) fn checked_draft(&self, session: &Session) -> Checked {
        let part = Part { routes: session.staging.routes(), settings: session.staging.settings() };
        self.checked(session, part, Taken::default())
    }

    /// An identity that a plan changes and that has an operation under way.
    pub(crate) fn busy_among(&self, sid: Sid, plan: &Plan) -> Option<Identity> {
        self.concerned(sid, plan).into_iter().find(|identity| self.is_busy(identity))
    }

    /// The identities that a plan changes, the session's own first.
    pub(crate) fn concerned(&self, sid: Sid, plan: &Plan) -> Vec<Identity> {
        let own = self.session(sid).map(|session| session.identity.clone());
        let others = plan.released.iter().filter_map(|released| self.session(released.sid));
        let mut identities: Vec<Identity> = own.into_iter().collect();
        for session in others {
            if !identities.contains(&session.identity) {
                identities.push(session.identity.clone());
            }
        }
        identities
    }
}

impl Checking<'_> {
    /// Sorts routes into those that go and those that are put.
    fn routes(&mut self) {
        for (route, staged) in self.part.routes {
            match staged {
                StagedRoute::Removed => {
                    if self.session.active.contains(route) {
                        self.plan.removes.push(*route);
                        without_own(&self.session.settings, *route, &mut self.plan.settings);
                    }
                }
                StagedRoute::Updated(spec) => self.updated(*route, spec),
                StagedRoute::Added(spec) => self.added(*route, spec),
                StagedRoute::TakenOver { spec, from } => {
                    self.handed_over(*route, *from);
                    self.added(*route, spec);
                }
            }
        }
    }

    fn updated(&mut self, route: RouteId, spec: &RouteSpec) {
        let live = self.registry.table.get(route);
        let Some(entry) = live.filter(|_| self.session.active.contains(&route)) else {
            return self.fault(route, "is not live any more");
        };
        let kind = self.overlay.match_kind(route);
        if entry.spec != *spec {
            let keys: Vec<RouteKey> = routing::keys(spec, kind).collect();
            let same_keys = entry.keys().eq(keys.iter().cloned());
            self.plan.puts.push((route, spec.clone(), same_keys.then_some(entry.since)));
            self.plan.keys.extend(keys.into_iter().map(|key| (route, key)));
        }
    }

    fn added(&mut self, route: RouteId, spec: &RouteSpec) {
        let kind = self.overlay.match_kind(route);
        self.plan.added += 1;
        self.plan.puts.push((route, spec.clone(), None));
        self.plan.keys.extend(routing::keys(spec, kind).map(|key| (route, key)));
    }

    fn handed_over(&mut self, route: RouteId, from: RouteId) {
        match self.registry.owner_of(from) {
            None => self.fault(route, &format!("{from} is not live any more")),
            Some((_, owner)) if owner.trial.is_some() => {
                let service = &owner.identity.service;
                self.fault(route, &format!("service {service} has a try in progress"));
            }
            Some(_) => {
                self.taken.whole(from);
                self.giving.insert(from);
            }
        }
    }

    /// Routes that stay as they are, except that their path is compared in another way.
    fn rekeyed(&mut self) {
        let by_own = self.part.settings.options.keys().filter_map(|(target, key)| match target {
            Target::Route(route) if *key == OptionKey::Match => Some(*route),
            Target::Route(_) | Target::All => None,
        });
        let all = self.part.settings.options.contains_key(&(Target::All, OptionKey::Match));
        let candidates: BTreeSet<RouteId> =
            if all { self.session.active.clone() } else { by_own.collect() };
        for route in candidates {
            if self.part.routes.contains_key(&route) || !self.session.active.contains(&route) {
                continue;
            }
            let Some(entry) = self.registry.table.get(route) else { continue };
            let kind = self.overlay.match_kind(route);
            if kind != entry.config.options.match_kind {
                self.plan.rekeyed.push(route);
                self.plan.keys.extend(routing::keys(&entry.spec, kind).map(|key| (route, key)));
            }
        }
    }

    /// Settings are for routes that are there once this is applied.
    fn targets(&mut self) {
        let mut seen = BTreeSet::new();
        for (route, what) in routes_of(self.part.settings) {
            if !seen.insert((route, what)) {
                continue;
            }
            let staged_here = self.part.routes.contains_key(&route);
            if staged_here || self.session.active.contains(&route) {
                continue;
            }
            let waits = self.session.staging.route(route).is_some_and(is_added);
            let fault = if waits {
                format!("{what} staged for it, and it is not applied itself")
            } else {
                format!("{what} staged for it, and it is gone")
            };
            self.fault(route, &fault);
        }
    }

    fn owners(&mut self) {
        let service = &self.session.identity.service;
        let mut told = BTreeSet::new();
        for (route, key) in &self.plan.keys {
            match self.registry.claim(key, service, &self.giving) {
                Claim::Free => {}
                Claim::From(routes) => {
                    routes.iter().for_each(|from| self.taken.key(*from, &key.domain));
                }
                Claim::Owned(owner) => {
                    if told.insert((*route, owner.clone())) {
                        self.faults
                            .push(format!("route {route}: {key} is owned by service {owner}"));
                    }
                }
            }
        }
    }

    /// Options that do not fit the route they are for.
    fn options(&mut self) {
        use OptionKey::{ProxyProtocol, StripPrefix};
        let own = self.part.settings.options.keys().filter_map(|(target, key)| match target {
            Target::Route(route) if matches!(key, StripPrefix | ProxyProtocol) => Some(*route),
            Target::Route(_) | Target::All => None,
        });
        let put = self.plan.puts.iter().map(|(route, ..)| *route);
        let mut routes: BTreeSet<RouteId> = own.chain(put).collect();
        if self.part.settings.options.contains_key(&(Target::All, ProxyProtocol)) {
            routes.extend(&self.session.active);
        }
        for route in routes {
            // Puts are in the order of their ids, as the draft is.
            let at = self.plan.puts.binary_search_by_key(&route, |(put, ..)| *put);
            let put = at.ok().and_then(|at| self.plan.puts.get(at)).map(|(_, spec, _)| spec);
            let live = || self.registry.table.get(route).map(|entry| &entry.spec);
            let Some(spec) = put.or_else(live) else { continue };
            let option = |key| self.overlay.option(Target::Route(route), key);
            // No request of the route can have it.
            let strips_nothing = match option(StripPrefix) {
                Some(OptionValue::Path(strip)) => {
                    let path = spec.path.compared(MatchKind::Prefix);
                    !is_below(&path, strip) && !is_below(strip, &path)
                }
                _ => false,
            };
            // Its connections carry the requests of many clients.
            let announces = self.overlay.resolved(route, ProxyProtocol);
            let announces_many = announces == Some(&OptionValue::Bool(true))
                && matches!(spec.backend.scheme(), Scheme::H2c | Scheme::Grpc | Scheme::Grpcs);
            if strips_nothing {
                self.fault(route, "strip_prefix fits no request below its path");
            }
            if announces_many {
                self.fault(route, "proxy_protocol needs a backend that speaks HTTP/1.1");
            }
        }
    }

    fn bounds(&mut self) {
        let config = &self.registry.config;
        let (added, removed) = (self.plan.added, self.plan.removes.len());
        if added == 0 {
            return;
        }
        if self.session.active.len() + added > config.routes_per_session_max + removed {
            let max = config.routes_per_session_max;
            self.faults.push(format!("too many routes in this session (max {max})"));
        }
        let coming = self.registry.routes_coming;
        if self.registry.table.len() + coming + added > config.routes_max + removed {
            let max = config.routes_max;
            self.faults.push(format!("too many routes in the proxy (max {max})"));
        }
    }

    fn fault(&mut self, route: RouteId, what: &str) {
        self.faults.push(format!("route {route}: {what}"));
    }
}

/// Whether a path is another one, or lies below it, by whole segments.
fn is_below(path: &str, above: &str) -> bool {
    let above = above.strip_suffix('/').unwrap_or(above);
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_faults_are_counted() {
        let faults: Vec<String> = (0..FAULTS_SHOWN_MAX).map(|at| format!("f{at}")).collect();
        assert!(!refusal(&faults).as_str().contains("more"));
        let one_more: Vec<String> = faults.into_iter().chain(["last".to_owned()]).collect();
        assert!(refusal(&one_more).as_str().ends_with("f19; and 1 more"));
    }

    #[test]
    fn below_is_by_segments() {
        for (path, above, below) in [
            ("/api/x", "/api", true),
            ("/api", "/api/", true),
            ("/apix", "/api", false),
            ("/x", "/", true),
            ("/", "/x", false),
        ] {
            assert_eq!(is_below(path, above), below, "{path} {above}");
        }
    }
}
